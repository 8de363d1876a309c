//! The arithmetic of the search; the scenarios show the search itself.

use super::*;

/// The candidates in seconds, in order, and the resulting interval, behind a NAT with this lifetime.
fn search(lifetime: f64) -> (Vec<f64>, f64) {
    let mut search = Determination::new(Duration::from_secs(30));
    let mut candidates = Vec::new();
    loop {
        let candidate = search.candidate.as_secs_f64();
        candidates.push(candidate);
        assert!(candidates.len() < 20, "no end: {candidates:?}");
        // Behind a NAT that hairpins, the control succeeds.
        if search.conclude(candidate < lifetime) {
            return (candidates, search.refresh.as_secs_f64());
        }
    }
}

/// R4380-5.2.7-03, R4380-5.2.7-05, R4380-5.2.7-06, A-05
#[test]
fn candidates_are_those_of_the_rfc() {
    assert_eq!(search(70.0), (vec![60.0, 90.0, 75.0], 60.0));
    assert_eq!(search(f64::INFINITY), (vec![60.0, 90.0], 90.0));
    assert_eq!(search(100.0), (vec![60.0, 90.0], 90.0));
    assert_eq!(search(80.0), (vec![60.0, 90.0, 75.0], 75.0));
    assert_eq!(search(50.0), (vec![60.0, 45.0], 45.0));
}

/// if no longer interval is possible, the control (0 s) and then the interval itself and shorter ones follow, and
/// an interval that failed is not in force.
#[test]
fn shorter_candidates_follow_a_control() {
    let longer = [60.0, 45.0, 37.5, 0.0];
    for (lifetime, shorter, found) in [
        (33.0, vec![30.0], 30.0),
        (20.0, vec![30.0, 15.0, 22.5, 18.75], 18.75),
        (17.0, vec![30.0, 15.0, 22.5, 18.75], 15.0),
        (6.0, vec![30.0, 15.0, 7.5, 5.0, 6.25], 5.0),
        (3.0, vec![30.0, 15.0, 7.5, 5.0], 5.0),
    ] {
        let candidates = [&longer[..], &shorter].concat();
        assert_eq!(search(lifetime), (candidates, found), "{lifetime} s");
    }
    // If the control fails, nothing is known: the search starts over, once, with the other way.
    assert_eq!(search(0.0), ([longer, longer].concat(), 30.0));
}
