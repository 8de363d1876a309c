use std::time::Duration;

use super::*;

fn state(port: u16, address: Option<u16>) -> State {
    State {
        port,
        sequence: port.into(),
        address: address.map(|last| Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, last)),
        ..State::default()
    }
}

/// The kind, the port and the end of the address of a change.
fn told(changes: &mut Changes) -> Option<(&'static str, u16, Option<u16>)> {
    let change = changes.next()?;
    let address = change.now.address.map(|address| address.segments()[7]);
    Some((change.kind.name(), change.now.port, address))
}

/// A world in virtual time: each state comes at its second, and each change takes some seconds to be told.
fn run(
    changes: &mut Changes,
    states: &[(u64, State)],
    takes: Duration,
) -> Vec<(u64, &'static str, u16, Option<u16>)> {
    let mut states = states.iter().peekable();
    let (mut now, mut log) = (Duration::ZERO, Vec::new());
    loop {
        while let Some((_, state)) = states.next_if(|(at, _)| Duration::from_secs(*at) <= now) {
            changes.observe(state.clone());
        }
        if let Some((kind, port, address)) = told(changes) {
            log.push((now.as_secs(), kind, port, address));
            now += takes;
        } else if let Some((at, _)) = states.peek() {
            now = Duration::from_secs(*at);
        } else {
            return log;
        }
    }
}

const HOOKS: [ChangeKind; 2] = [ChangeKind::Port, ChangeKind::Address];

#[test]
fn the_first_state_is_a_change_even_if_it_is_nothing() {
    let mut changes = Changes::new(&HOOKS, 1);
    changes.observe(State::default());
    let first = changes.next().expect("a change");
    assert_eq!(
        (first.kind, first.before, first.now.port),
        (ChangeKind::Port, None, 0)
    );
    assert_eq!(told(&mut changes), Some(("address", 0, None)));
    assert_eq!(told(&mut changes), None);
    changes.observe(State::default());
    assert_eq!(told(&mut changes), None);
}

#[test]
fn each_change_is_told_once_and_in_order() {
    let states = [
        (0, state(1, Some(1))),
        (10, state(2, Some(1))),
        (11, state(2, None)),
        (20, state(2, Some(2))),
        (21, state(2, Some(2))),
        (30, State::default()),
    ];
    let log = run(&mut Changes::new(&HOOKS, 1), &states, Duration::ZERO);
    assert_eq!(
        log,
        [
            (0, "port", 1, Some(1)),
            (0, "address", 1, Some(1)),
            (10, "port", 2, Some(1)),
            (11, "address", 2, None),
            (20, "address", 2, Some(2)),
            (30, "port", 0, None),
            (30, "address", 0, None),
        ]
    );
}

/// While hooks run for an older state, only the newest waits, and the last run has the last state.
#[test]
fn a_slow_hook_gets_the_newest_state_next() {
    let mut changes = Changes::new(&[ChangeKind::Port], 1);
    let states: Vec<_> = (0..=100)
        .map(|port| (port, state(port as u16, None)))
        .collect();
    let log = run(&mut changes, &states, Duration::from_secs(30));
    let ports: Vec<_> = log.iter().map(|&(at, _, port, _)| (at, port)).collect();
    assert_eq!(ports, [(0, 0), (30, 30), (60, 60), (90, 90), (120, 100)]);
}

/// The second kind of an older state is told with the newer one: nobody is told a thing that is known to be wrong.
#[test]
fn a_kind_that_waits_is_told_as_it_is_by_then() {
    let mut changes = Changes::new(&HOOKS, 1);
    changes.observe(state(1, Some(1)));
    assert_eq!(told(&mut changes), Some(("port", 1, Some(1))));
    changes.observe(state(2, Some(2)));
    assert_eq!(told(&mut changes), Some(("port", 2, Some(2))));
    assert_eq!(told(&mut changes), Some(("address", 2, Some(2))));
    assert_eq!(told(&mut changes), None);
}

/// A state that came and went during a run is none.
#[test]
fn a_change_that_is_undone_in_time_is_not_told() {
    let mut changes = Changes::new(&HOOKS, 1);
    changes.observe(state(1, None));
    while told(&mut changes).is_some() {}
    changes.observe(State::default());
    changes.observe(state(1, None));
    assert_eq!(told(&mut changes), None);
}

#[test]
fn the_step_is_from_the_state_that_was_told() {
    let mut changes = Changes::new(&HOOKS, 1);
    changes.observe(state(1, None));
    while told(&mut changes).is_some() {}
    changes.observe(state(2, None));
    changes.observe(state(3, None));
    let change = changes.next().expect("a change");
    assert_eq!(
        (change.before.map(|before| before.port), change.now.port),
        (Some(1), 3)
    );
}

/// A monitor tells every event, as long as its command is not too slow.
#[test]
fn several_states_wait_if_they_may() {
    let mut changes = Changes::new(&[ChangeKind::Port], 3);
    for port in 1..=5 {
        changes.observe(state(port, None));
    }
    let ports: Vec<_> = std::iter::from_fn(|| told(&mut changes))
        .map(|told| told.1)
        .collect();
    assert_eq!(ports, [1, 2, 5]);
}

#[test]
fn kinds_that_nobody_wants_are_not_told() {
    let mut changes = Changes::new(&[ChangeKind::State, ChangeKind::State], 1);
    changes.observe(state(1, None));
    assert_eq!(told(&mut changes), Some(("state", 1, None)));
    changes.observe(state(2, Some(1)));
    assert_eq!(told(&mut changes), None);
    changes.observe(State {
        phase: Phase::Probe,
        ..state(3, None)
    });
    assert_eq!(told(&mut changes), Some(("state", 3, None)));
}

/// For a monitor, one event is one change, even if it brought an address and a state.
#[test]
fn an_event_is_one_change() {
    let mut changes = Changes::as_events(&ChangeKind::ALL, 8, None);
    changes.observe(state(1, Some(1)));
    changes.observe(State {
        phase: Phase::Probe,
        ..state(1, Some(1))
    });
    changes.observe(State::default());
    let kinds: Vec<_> = std::iter::from_fn(|| told(&mut changes))
        .map(|told| told.0)
        .collect();
    assert_eq!(kinds, ["port", "address", "state", "port", "address"]);
}

/// `monitor --count 3 --exec`: three runs for any events.
#[test]
fn no_more_are_told_than_asked_for() {
    let mut changes = Changes::as_events(&ChangeKind::ALL, 8, Some(3));
    for port in 1..=3 {
        changes.observe(state(port, Some(1)));
    }
    let told: Vec<_> = std::iter::from_fn(|| told(&mut changes)).collect();
    let kinds: Vec<_> = told.iter().map(|told| told.0).collect();
    assert_eq!(kinds, ["port", "address", "port"]);
    changes.observe(state(4, None));
    assert_eq!(changes.next(), None);
}
