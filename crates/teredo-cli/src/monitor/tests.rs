use super::*;

fn port(sequence: u64, kind: PortKind, port: u16) -> Event {
    Event {
        time: "2026-11-22T13:05:07.123456Z".into(),
        ..Event::now(sequence, Detail::Port { kind, port })
    }
}

fn state(state: Phase) -> Event {
    let detail = Detail::State {
        state,
        reason: Some("no answer from \"x\"\u{1b}[2J".into()),
        address: None,
        mapped: Some("192.0.2.45:40000".parse().expect("an address")),
        nat: Some("restricted".into()),
        server: None,
    };
    Event {
        time: "2026-11-22T13:05:07.123456Z".into(),
        ..Event::now(17, detail)
    }
}

fn shown(event: &Event) -> String {
    anstream::adapter::strip_str(&Line(event).to_string()).to_string()
}

fn port_of(event: &Event) -> (PortKind, u16) {
    let Detail::Port { kind, port } = event.detail else {
        panic!("not a port event: {event:?}")
    };
    (kind, port)
}

#[test]
fn lines_have_a_verb_and_pairs() {
    assert_eq!(
        shown(&port(17, PortKind::Change, 40002)),
        "2026-11-22T13:05:07.123456Z [PORT] change port=40002 sequence=17"
    );
    assert_eq!(
        Line(&state(Phase::Probe))
            .to_string()
            .replace("\u{1b}[36m", "")
            .replace("\u{1b}[0m", ""),
        "2026-11-22T13:05:07.123456Z [STATE] probe mapped=192.0.2.45:40000 nat=restricted \
         reason=\"no answer from \\\"x\\\"\\u{1b}[2J\" sequence=17"
    );
    let lost = Event {
        time: "t".into(),
        ..Event::now(4, Detail::Lost { count: 12 })
    };
    assert_eq!(shown(&lost), "t [LOST] count=12 sequence=4");
}

/// N-11, N-15: the end of the service is the end of its port, and its return an addition.
#[test]
fn a_service_that_goes_away_takes_its_port_along() {
    let mut view = View::default();
    let first = view
        .received(port(3, PortKind::Current, 40001))
        .expect("the first state is shown");
    assert_eq!(port_of(&first), (PortKind::Current, 40001));

    let gone = view.gone();
    assert_eq!(
        gone.iter().map(port_of).collect::<Vec<_>>(),
        [(PortKind::Delete, 0)]
    );
    assert_eq!(gone[0].sequence, 3);
    assert!(view.gone().is_empty(), "what is gone cannot go again");

    assert!(
        view.received(port(0, PortKind::Current, 0)).is_none(),
        "no port is no news"
    );
    let back = view
        .received(port(1, PortKind::Current, 40002))
        .expect("a new port is shown");
    assert_eq!(port_of(&back), (PortKind::Add, 40002));
}

/// N-13: what did not change is no event.
#[test]
fn a_reconnection_without_a_change_shows_nothing() {
    let mut view = View::default();
    view.received(port(3, PortKind::Current, 0))
        .expect("the first state is shown");
    assert!(view.gone().is_empty());
    assert!(view.received(port(7, PortKind::Current, 0)).is_none());
}

#[test]
fn the_state_goes_with_the_service_as_well() {
    let mut view = View::default();
    view.received(state(Phase::Qualified)).expect("shown");
    let gone = view.gone();
    assert!(
        matches!(
            &gone[..],
            [Event {
                detail: Detail::State {
                    state: Phase::Offline,
                    ..
                },
                ..
            }]
        ),
        "{gone:?}"
    );
}

#[test]
fn events_of_later_versions_are_left_out() {
    assert!(
        View::default()
            .received(Event::now(1, Detail::Unknown))
            .is_none()
    );
}
