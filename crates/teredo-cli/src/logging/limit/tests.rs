use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A line is its place, its likeness and its text.
fn said(
    limit: &mut Limit<u32, &'static str>,
    place: u32,
    likeness: u64,
    now: Duration,
) -> Option<u64> {
    let admitted = limit.admit(place, likeness, "line", 1, now)?;
    Some(admitted.1)
}

#[test]
fn one_line_an_hour_and_the_number_of_the_others() {
    let mut limit = Limit::default();
    assert_eq!(said(&mut limit, 1, 7, SECOND), Some(0));
    for moment in 2..1000 {
        assert_eq!(said(&mut limit, 1, 7, SECOND * moment), None, "{moment}");
    }
    assert_eq!(said(&mut limit, 1, 7, PERIOD), None, "a second too early");
    assert_eq!(said(&mut limit, 1, 7, PERIOD + SECOND), Some(999));
    assert_eq!(said(&mut limit, 1, 7, PERIOD + SECOND * 2), None);
}

#[test]
fn other_places_and_other_lines_are_said() {
    let mut limit = Limit::default();
    for (place, likeness) in [(1, 7), (2, 7), (1, 8)] {
        assert_eq!(said(&mut limit, place, likeness, SECOND), Some(0));
        assert_eq!(said(&mut limit, place, likeness, SECOND), None);
    }
}

/// A line that varies is written a bounded number of times, and takes no entry of another place.
#[test]
fn a_line_that_varies_is_bounded() {
    let mut limit = Limit::default();
    let written = (0..100_000).filter(|&likeness| said(&mut limit, 1, likeness, SECOND).is_some());
    assert_eq!(written.count(), VARIANTS + 1);
    assert_eq!(limit.places[&1].len(), VARIANTS + 1);
    assert_eq!(said(&mut limit, 2, 0, SECOND), Some(0));
    // An hour later the old ones make room, and none is lost from the count.
    let written =
        (100_000..200_000).filter_map(|likeness| said(&mut limit, 1, likeness, SECOND + PERIOD));
    let written: Vec<u64> = written.collect();
    assert_eq!(written.len(), VARIANTS + 1);
    let left_out = 100_000 - (VARIANTS as u64 + 1);
    assert_eq!(written.iter().sum::<u64>(), left_out);
}

#[test]
fn places_are_bounded() {
    let mut limit = Limit::default();
    let written = (0..10_000).filter(|&place| said(&mut limit, place, 0, SECOND).is_some());
    assert_eq!(written.count(), PLACES + 1);
    assert_eq!(limit.places.len(), PLACES);
}

/// The last line of an hour is the true one: without it a log that ends with "qualified" could be long untrue.
#[test]
fn the_last_of_those_left_out_is_told_when_it_is_due() {
    let mut limit: Limit<u32, &str> = Limit::default();
    let late = |line, left_out, age| Late {
        line,
        left_out,
        age,
    };
    assert_eq!(limit.admit(1, 7, "first", 1, SECOND), Some(("first", 0)));
    assert_eq!(limit.due(PERIOD * 2, false), []);
    assert_eq!(limit.admit(1, 7, "second", 1, SECOND * 2), None);
    assert_eq!(limit.admit(1, 7, "third", 1, SECOND * 3), None);
    assert_eq!(limit.due(PERIOD, false), []);
    assert_eq!(
        limit.due(PERIOD + SECOND, false),
        [late("third", 1, PERIOD - SECOND * 2)]
    );
    assert_eq!(limit.due(PERIOD + SECOND, true), []);
    assert_eq!(
        limit.admit(1, 7, "fourth", 1, PERIOD + SECOND * 2),
        None,
        "an hour from the last that was written"
    );
    assert_eq!(
        limit.due(PERIOD + SECOND * 3, true),
        [late("fourth", 0, SECOND)]
    );
}

/// A second outage within the hour is told when it happens.
#[test]
fn a_state_is_told_six_times_an_hour() {
    let mut limit = Limit::default();
    let mut said = |moment| limit.admit(1, 7, "lost", STATES, moment);
    let written = (1..=100).filter(|&moment| said(SECOND * moment).is_some());
    assert_eq!(written.collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(said(PERIOD + SECOND), Some(("lost", 94)));
    assert_eq!(said(PERIOD + SECOND * 2), Some(("lost", 0)));
}
