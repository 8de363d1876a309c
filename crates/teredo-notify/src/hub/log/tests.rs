use proptest::prelude::*;

use super::{Cursor, DEPTH, Log};
use crate::types::PortChanges;
use crate::{Kind, Notification, RandomPorts, Snapshot};

fn drain(log: &Log, cursor: &mut Cursor) -> Vec<Notification> {
    std::iter::from_fn(|| log.advance(cursor)).collect()
}

fn told(kind: Kind, sequence: u64, port: u16) -> Notification {
    Notification {
        kind,
        state: Snapshot { sequence, port },
    }
}

/// N-11: what each step is called.
#[test]
fn kinds_follow_the_steps() {
    let mut log = Log::new();
    let mut cursor = log.cursor(false);
    for port in [10, 20, 0, 20] {
        log.push(port);
    }
    assert_eq!(
        drain(&log, &mut cursor),
        [
            told(Kind::Add, 1, 10),
            told(Kind::Change, 2, 20),
            told(Kind::Delete, 3, 0),
            told(Kind::Add, 4, 20),
        ]
    );
    let changes = PortChanges {
        add: 2,
        change: 1,
        delete: 1,
    };
    assert_eq!(log.changes(), changes, "and counted");
}

/// N-02, N-03: the confirmation comes first and once, or never.
#[test]
fn the_confirmation_precedes_a_change_that_came_before_it() {
    let mut log = Log::new();
    log.push(10);
    let (mut with, mut without) = (log.cursor(true), log.cursor(false));
    log.push(20);
    assert_eq!(
        drain(&log, &mut with),
        [told(Kind::Initial, 1, 10), told(Kind::Change, 2, 20)]
    );
    assert_eq!(drain(&log, &mut without), [told(Kind::Change, 2, 20)]);
}

/// N-13
#[test]
fn the_same_port_again_is_no_change() {
    let mut log = Log::new();
    assert_eq!(log.push(0), None);
    let mut cursor = log.cursor(false);
    assert!(log.push(10).is_some());
    assert_eq!(log.push(10), None);
    assert_eq!(drain(&log, &mut cursor).len(), 1);
}

/// N-14: as many as the log is deep, none is left out; one more, and only the last counts.
#[test]
fn who_lags_too_far_is_told_of_the_last_state_alone() {
    let mut log = Log::new();
    let mut cursor = log.cursor(false);
    for port in 1..=DEPTH as u16 {
        log.push(port);
    }
    assert_eq!(drain(&log, &mut cursor.clone()).len(), DEPTH);
    log.push(1000);
    assert_eq!(
        drain(&log, &mut cursor),
        [told(Kind::Add, DEPTH as u64 + 1, 1000)]
    );
}

/// N-12, N-14: a receiver may have asked for the port while it lagged. Back at the port that it was last
/// told of, it must be told so.
#[test]
fn a_detour_that_was_missed_still_ends_with_the_last_state() {
    let mut log = Log::new();
    log.push(10);
    let mut cursor = log.cursor(false);
    for port in 100..100 + 2 * DEPTH as u16 {
        log.push(port);
    }
    let last = log.push(10).unwrap();
    let heard = drain(&log, &mut cursor);
    assert_eq!(
        heard.last().map(|notification| notification.state),
        Some(last)
    );
    assert_eq!(heard.len(), 2);
    assert!(
        heard
            .iter()
            .all(|notification| notification.kind == Kind::Change)
    );
}

#[derive(Debug, Clone)]
enum Step {
    Publish(u16),
    PublishRandom(u16),
    Deliver,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few ports, so that the same one often comes back.
    prop::collection::vec(
        prop_oneof![3 => (0..4_u16).prop_map(Step::Publish), 1 => (0..3_u16).prop_map(Step::PublishRandom), 1 => Just(Step::Deliver)],
        0..200,
    )
}

proptest! {
    /// N-01, N-02, N-03, N-11, N-13, N-14, N-19, whatever comes when.
    #[test]
    fn receivers_hear_the_truth_in_order(
        before in prop::collection::vec(0..4_u16, 0..20),
        steps in steps(),
        initial: bool,
        follows_random: bool,
    ) {
        let mut log = Log::new();
        for port in before {
            log.push(port);
        }
        let base = log.current();
        let mut cursor = match follows_random {
            true => log.random_cursor(initial),
            false => log.cursor(initial),
        };
        let mut heard_random = follows_random.then(|| log.random());
        let mut history = vec![base];
        let mut heard: Vec<Notification> = Vec::new();
        // A state that is known already is news of the random ports, and only if they are.
        let mut hear = |log: &Log, news: Notification| {
            let known = heard.last().map_or(base.sequence, |last| last.state.sequence);
            let has_random_news = follows_random && heard_random.replace(log.random()) != Some(log.random());
            if news.state.sequence == known && news.kind != Kind::Initial {
                assert!(has_random_news && news.kind == Kind::Change, "the same twice");
            } else {
                heard.push(news);
            }
        };
        let mut lag: usize = 0;
        let mut overflown = false;
        for step in steps {
            match step {
                Step::Publish(port) => {
                    if let Some(state) = log.push(port) {
                        prop_assert_ne!(state.port, history[history.len() - 1].port);
                        history.push(state);
                        lag += 1;
                        overflown |= lag > DEPTH;
                    }
                }
                Step::PublishRandom(port) => {
                    let mut ports = RandomPorts::default();
                    ports.insert(50_000 + port).unwrap();
                    let before = log.random();
                    prop_assert_eq!(log.set_random(ports), before.ports != ports);
                    prop_assert_eq!(log.random().sequence - before.sequence, u64::from(before.ports != ports));
                }
                Step::Deliver => {
                    prop_assert_eq!(log.has_news(&cursor), log.advance(&mut cursor.clone()).is_some());
                    if let Some(notification) = log.advance(&mut cursor) {
                        lag = (log.current().sequence - notification.state.sequence) as usize;
                        hear(&log, notification);
                    }
                }
            }
        }
        for notification in drain(&log, &mut cursor) {
            hear(&log, notification);
        }
        prop_assert_eq!(heard_random, follows_random.then(|| log.random()), "the last random ports were not delivered");
        prop_assert!(!log.has_news(&cursor));

        if initial {
            prop_assert!(!heard.is_empty());
            prop_assert_eq!(heard.remove(0), Notification { kind: Kind::Initial, state: base });
        }
        let mut known = base;
        for Notification { kind, state } in &heard {
            prop_assert!(state.sequence > known.sequence, "out of order");
            prop_assert_eq!(*state, history[(state.sequence - base.sequence) as usize]);
            prop_assert_eq!(Some(*kind), Kind::of_step(known.port, state.port));
            known = *state;
        }
        prop_assert_eq!(known, log.current(), "the last state was not delivered");
        if !overflown {
            prop_assert_eq!(heard.len(), history.len() - 1, "a state was left out without need");
        }
    }
}
