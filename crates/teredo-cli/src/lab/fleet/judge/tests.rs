use super::*;

const LEASE: Duration = Duration::from_secs(15);
const LATE: Duration = Duration::from_millis(300);
const SECOND: Duration = Duration::from_secs(1);

fn port(host: usize, number: u16) -> SocketAddrV4 {
    SocketAddrV4::new(host_address(host), number)
}

fn holds(ports: &[SocketAddrV4]) -> Open {
    ports.iter().copied().collect()
}

/// A judge who knows one host with a port, which is open in the west.
fn judge(now: Instant) -> Judge {
    let mut judge = Judge::new(now, LEASE, LATE);
    judge.port(0, Some(port(0, 1)), now);
    judge.look(Side::West, &holds(&[port(0, 1)]), now).unwrap();
    judge
}

#[test]
fn a_port_is_open_for_its_lease_after_its_end() {
    let start = Instant::now();
    let ends: [fn(&mut Judge, Instant); 4] = [
        |judge, now| judge.port(0, None, now),
        |judge, now| judge.port(0, Some(port(0, 2)), now),
        |judge, now| judge.told(0, false, now),
        |judge, now| judge.following(Side::West, false, now),
    ];
    for end in ends {
        let mut judge = judge(start);
        end(&mut judge, start + SECOND);
        let open = holds(&[port(0, 1), port(0, 2)]);
        // The new port is not strange, or it is so once.
        let in_time = start + SECOND + LEASE;
        judge.look(Side::West, &open, in_time).unwrap();
        assert_eq!(judge.open, LEASE);
        let breach = judge.look(Side::West, &holds(&[port(0, 1)]), in_time + LATE + SECOND);
        assert!(breach.unwrap_err().words.contains("after its end"));
    }
}

#[test]
fn a_live_port_is_closed_for_the_lease_at_most() {
    let start = Instant::now();
    let mut judge = judge(start);
    let none = Open::new();
    judge.look(Side::West, &none, start + LEASE).unwrap();
    assert_eq!(judge.closed, LEASE);
    let breach = judge.look(Side::West, &none, start + LEASE + SECOND);
    assert!(breach.unwrap_err().words.contains("closed at fw1"));
}

/// The time begins anew when everything is there again.
#[test]
fn a_port_that_is_not_live_may_be_closed() {
    let start = Instant::now();
    let mut judge = judge(start);
    let none = Open::new();
    judge.told(0, false, start + SECOND);
    judge.look(Side::West, &none, start + LEASE * 3).unwrap();
    judge.told(0, true, start + LEASE * 3);
    judge.look(Side::West, &none, start + LEASE * 4).unwrap();
    assert!(
        judge
            .look(Side::West, &none, start + LEASE * 4 + SECOND)
            .is_err()
    );
}

#[test]
fn a_port_that_nobody_has_is_a_breach_at_the_second_look() {
    let start = Instant::now();
    let mut judge = judge(start);
    let open = holds(&[port(0, 1), port(3, 9)]);
    judge.look(Side::East, &open, start).unwrap();
    let breach = judge.look(Side::East, &open, start + SECOND);
    assert!(breach.unwrap_err().words.contains("nobody's"));
}

#[test]
fn a_host_is_live_while_all_is_up() {
    let start = Instant::now();
    let mut judge = judge(start);
    assert_eq!(judge.live().collect::<Vec<_>>(), [0]);
    judge.following(Side::East, false, start);
    assert_eq!(judge.live().count(), 0);
}
