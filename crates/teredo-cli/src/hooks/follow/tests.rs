use teredo_notify::types::{Phase, PortKind, Role};

use super::*;

fn port(sequence: u64, port: u16) -> Event {
    let kind = PortKind::Change;
    Event::now(sequence, Detail::Port { kind, port })
}

fn phase(state: Phase, address: Option<&str>) -> Event {
    let detail = Detail::State {
        state,
        reason: None,
        address: address.map(|address| address.parse().expect("an address")),
        mapped: None,
        nat: None,
        server: Some(String::from("192.0.2.1")),
    };
    Event::now(1, detail)
}

fn status(port: u16) -> Option<Status> {
    Some(Status {
        state: Phase::Dormant,
        role: Role::Client,
        interface: Some(String::from("teredo")),
        local: format!("192.168.1.2:{port}").parse().ok(),
        ..Status::default()
    })
}

/// A hook must not be told "no address" only because the port came first.
#[test]
fn a_state_is_whole_or_none() {
    let mut follower = Follower::new(Path::new("/nowhere"));
    assert_eq!(follower.apply(&port(3, 40001), || status(40001)), None);
    let event = phase(Phase::Qualified, Some("2001::1"));
    let state = follower.apply(&event, || status(40001)).expect("whole");
    assert_eq!(
        (state.port, state.sequence, state.phase),
        (40001, 3, Phase::Qualified)
    );
    assert_eq!(state.interface.as_deref(), Some("teredo"));
    assert_eq!(state.local.map(|local| local.port()), Some(40001));

    // One that comes back is whole again when it has told both.
    let gone = follower.gone();
    assert_eq!(
        (gone.port, gone.address, gone.phase),
        (0, None, Phase::Offline)
    );
    assert_eq!(gone.interface.as_deref(), Some("teredo"));
    assert_eq!(follower.apply(&event, || status(40001)), None);
    assert!(follower.apply(&port(1, 40001), || status(40001)).is_some());
}

/// The status may be of a later moment than the event, and must not mix with it.
#[test]
fn a_status_of_another_moment_does_not_lie() {
    let mut follower = Follower::new(Path::new("/nowhere"));
    follower.apply(&port(3, 40001), || None);
    follower.apply(&phase(Phase::Probe, None), || status(40001));
    let state = follower
        .apply(&port(4, 40002), || status(40003))
        .expect("whole");
    assert_eq!(
        (state.port, state.local, state.phase),
        (40002, None, Phase::Probe)
    );
}

#[test]
fn lost_events_are_made_up_for() {
    let mut follower = Follower::new(Path::new("/nowhere"));
    follower.apply(&port(3, 40001), || status(40001));
    follower.apply(&phase(Phase::Probe, None), || status(40001));
    let lost = Event::now(3, Detail::Lost { count: 9 });
    let state = follower.apply(&lost, || status(40001)).expect("whole");
    assert_eq!(state.phase, Phase::Dormant);
    assert_eq!(follower.apply(&lost, || None), None);
}
