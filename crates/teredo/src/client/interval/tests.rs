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
    assert_eq!(search(20.0), (vec![60.0, 45.0, 37.5], 30.0));
    assert_eq!(search(50.0), (vec![60.0, 45.0], 45.0));
}
