use super::*;

const PATIENCE: Duration = Duration::from_millis(250);

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// N-16
#[test]
fn a_new_gate_is_closed_and_waits_for_nothing() {
    let mut gate = Gate::new(PATIENCE);
    assert!(!gate.is_open());
    assert_eq!(gate.deadline(), None);
    assert_eq!(gate.poll(at(1_000_000), |_| true), None);
    assert!(!gate.is_open());
}

/// N-16
#[test]
fn opens_once_the_announcement_is_settled() {
    let mut gate = Gate::new(PATIENCE);
    gate.announced(at(0), 7);
    assert_eq!(gate.poll(at(10), |_| false), None);
    assert!(!gate.is_open());
    assert_eq!(
        gate.poll(at(20), |sequence| sequence == 7),
        Some(Outcome::Settled)
    );
    assert!(gate.is_open());
    assert_eq!(gate.deadline(), None);
}

/// N-16
#[test]
fn opens_at_the_deadline_and_says_that_it_was_missed() {
    let mut gate = Gate::new(PATIENCE);
    gate.announced(at(100), 1);
    assert_eq!(gate.deadline(), Some(at(350)));
    assert_eq!(gate.poll(at(349), |_| false), None);
    assert_eq!(gate.poll(at(350), |_| false), Some(Outcome::DeadlineMissed));
    assert!(gate.is_open());
}

/// N-16
#[test]
fn a_subscriber_that_settles_at_the_last_moment_has_settled() {
    let mut gate = Gate::new(PATIENCE);
    gate.announced(at(0), 1);
    assert_eq!(gate.poll(at(250), |_| true), Some(Outcome::Settled));
}

/// N-16
#[test]
fn the_outcome_is_reported_once() {
    let mut gate = Gate::new(PATIENCE);
    gate.announced(at(0), 1);
    assert_eq!(gate.poll(at(0), |_| true), Some(Outcome::Settled));
    assert_eq!(gate.poll(at(0), |_| true), None);
}

/// N-16
#[test]
fn closing_forgets_what_was_awaited() {
    let mut gate = Gate::new(PATIENCE);
    gate.announced(at(0), 1);
    gate.close();
    assert_eq!(gate.poll(at(1000), |_| true), None);
    assert!(!gate.is_open());
}

/// N-16
#[test]
fn a_second_announcement_replaces_the_first_and_starts_the_time_anew() {
    let mut gate = Gate::new(PATIENCE);
    gate.announced(at(0), 1);
    gate.announced(at(200), 2);
    assert_eq!(gate.poll(at(260), |sequence| sequence == 1), None);
    assert_eq!(gate.deadline(), Some(at(450)));
    assert_eq!(
        gate.poll(at(300), |sequence| sequence == 2),
        Some(Outcome::Settled)
    );
}

/// N-16: without patience nobody is waited for.
#[test]
fn no_patience_opens_at_once() {
    let mut gate = Gate::new(Duration::ZERO);
    gate.announced(at(5), 1);
    assert_eq!(gate.poll(at(5), |_| false), Some(Outcome::DeadlineMissed));
}
