use std::net::Ipv4Addr;

use super::*;

fn endpoint(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), port)
}

fn open(ports: &[u16]) -> Open {
    ports.iter().copied().map(endpoint).collect()
}

/// An endpoint that is closed for a while: when it opened, when it closed, and for how long.
#[test]
fn a_history_tells_openings_and_gaps() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut history = History::default();
    for (millis, ports) in [
        (0, &[1][..]),
        (10, &[1, 2]),
        (20, &[1, 2]),
        (30, &[2]),
        (50, &[1, 2]),
    ] {
        history.note(at(millis), open(ports));
    }
    assert_eq!(
        history.changes.len(),
        4,
        "what does not change is not noted"
    );
    assert_eq!(history.opened(endpoint(2), start), Some(at(10)));
    assert_eq!(history.opened(endpoint(1), at(35)), Some(at(50)));
    assert_eq!(history.opened(endpoint(3), start), None);
    assert_eq!(
        history.gap(endpoint(1), start, at(60)),
        Duration::from_millis(20)
    );
    assert_eq!(history.gap(endpoint(2), at(10), at(60)), Duration::ZERO);
    assert_eq!(
        history.gap(endpoint(3), at(40), at(60)),
        Duration::from_millis(20)
    );
    assert_eq!(history.closed(&open(&[1]), start), None);
    history.note(at(70), open(&[2]));
    assert_eq!(history.closed(&open(&[1]), start), Some(at(70)));
}
