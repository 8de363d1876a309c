use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn the_first_change_is_examined_at_once_and_the_next_ones_once_a_second() {
    let start = Instant::now();
    let mut pace = Pace::new(start);
    let mut examinations = 0;
    // A change every 10 ms for 10 s.
    for step in 0..10_000 {
        let now = start + step * MILLISECOND;
        if pace.begin(now) {
            examinations += 1;
            pace.finish(now, MILLISECOND, true);
        }
        if step % 10 == 0 {
            pace.changed();
        }
    }
    assert_eq!(examinations, 10);
}

#[test]
fn a_change_during_an_examination_asks_for_another() {
    let start = Instant::now();
    let mut pace = Pace::new(start);
    assert!(pace.begin(start) && !pace.begin(start));
    pace.changed();
    assert_eq!(pace.due(), None);
    assert!(!pace.finish(start, MILLISECOND, true));
    let next = pace.due().unwrap();
    assert_eq!(next, start + PAUSE);
    assert!(!pace.begin(start) && pace.begin(next));
    assert!(pace.finish(next, MILLISECOND, true));
    assert_eq!(pace.due(), None);
}

/// A ruleset that takes 400 ms to read must not take 40 % of a processor.
#[test]
fn a_large_ruleset_is_examined_less_often() {
    let start = Instant::now();
    let mut pace = Pace::new(start);
    assert!(pace.begin(start));
    pace.finish(start, 400 * MILLISECOND, true);
    pace.changed();
    assert_eq!(pace.due(), Some(start + Duration::from_secs(10)));
}

#[test]
fn a_failed_examination_opens_nothing_and_is_repeated() {
    let start = Instant::now();
    let mut pace = Pace::new(start);
    assert!(pace.begin(start));
    assert!(!pace.finish(start, MILLISECOND, false));
    assert_eq!(pace.due(), Some(start + RETRY));
}
