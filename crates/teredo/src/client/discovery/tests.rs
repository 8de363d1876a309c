use super::*;

fn mapping(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new([203, 0, 113, 1].into(), port)
}

fn endpoint(host: u8) -> SocketAddrV4 {
    SocketAddrV4::new([192, 168, 1, host].into(), 50_000)
}

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

/// R4380-5.2.8-05: the neighbours in a subnet of any size.
#[test]
fn neighbours_are_the_other_hosts_of_the_subnet() {
    let subnet = |prefix_len| LocalSubnet {
        address: [192, 168, 1, 2].into(),
        prefix_len,
    };
    for (prefix_len, address, expected) in [
        (24, [192, 168, 1, 3], true),
        (24, [192, 168, 1, 2], false),
        (24, [192, 168, 1, 0], false),
        (24, [192, 168, 1, 255], false),
        (24, [192, 168, 0, 3], false),
        (16, [192, 168, 1, 255], true),
        (31, [192, 168, 1, 3], true),
        (31, [192, 168, 1, 1], false),
        (32, [192, 168, 1, 3], false),
        (0, [203, 0, 113, 1], true),
        (0, [255, 255, 255, 255], false),
        (200, [192, 168, 1, 3], false),
    ] {
        let found = subnet(prefix_len).has_neighbour(address.into());
        assert_eq!(found, expected, "{address:?} in /{prefix_len}");
    }
}

/// R4380-5.2.8-07: the last local bubble counts, for 600 s.
#[test]
fn a_neighbour_is_where_it_was_last_and_not_for_ever() {
    let mut neighbours = Neighbours::default();
    assert_eq!(neighbours.note(at(0), mapping(1), endpoint(3)), Noted::New);
    assert_eq!(
        neighbours.note(at(1), mapping(1), endpoint(3)),
        Noted::Known
    );
    assert_eq!(neighbours.note(at(2), mapping(1), endpoint(4)), Noted::New);
    assert_eq!(neighbours.endpoint(at(601), mapping(1)), Some(endpoint(4)));
    assert_eq!(neighbours.endpoint(at(602), mapping(1)), None);
    assert_eq!(
        neighbours.note(at(700), mapping(1), endpoint(4)),
        Noted::New
    );
}

/// R4380-7.3.3-01: forged bubbles displace each other, and no neighbour that has answered.
#[test]
fn a_flood_of_local_bubbles_displaces_nobody_who_answered() {
    let mut neighbours = Neighbours::default();
    let _ = neighbours.note(at(0), mapping(1), endpoint(3));
    neighbours.heard(mapping(1));
    for port in 2..10_000 {
        assert_eq!(
            neighbours.note(at(1), mapping(port), endpoint(9)),
            Noted::New
        );
    }
    assert_eq!(neighbours.len(), 256);
    assert_eq!(neighbours.endpoint(at(2), mapping(1)), Some(endpoint(3)));
    for port in 1..=u16::MAX {
        neighbours.heard(mapping(port));
    }
    assert_eq!(
        neighbours.note(at(2), mapping(20_000), endpoint(9)),
        Noted::Full
    );
    // An outdated neighbour makes room.
    assert_eq!(
        neighbours.note(at(700), mapping(20_000), endpoint(9)),
        Noted::New
    );
}

/// R4380-5.2.6-04, R4380-5.2.6-05
#[test]
fn answers_to_a_neighbour_are_limited() {
    let mut neighbours = Neighbours::default();
    let _ = neighbours.note(at(0), mapping(1), endpoint(3));
    let answered = |neighbours: &mut Neighbours, seconds: std::ops::Range<u64>| {
        seconds
            .filter(|&second| neighbours.may_answer(at(second), mapping(1)))
            .collect::<Vec<_>>()
    };
    assert_eq!(answered(&mut neighbours, 0..100), [0, 2, 4, 6]);
    neighbours.heard(mapping(1));
    assert_eq!(answered(&mut neighbours, 100..110), [100, 102, 104, 106]);
    assert!(!neighbours.may_answer(at(0), mapping(2)), "nobody known");
}
