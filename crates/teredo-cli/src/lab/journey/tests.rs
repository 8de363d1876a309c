use super::*;

const ALICE: &str = "192.168.1.2:40000";
const ALICE_OUT: &str = "198.51.100.1:40000";
const BOB: &str = "192.168.2.2:50000";
const BOB_OUT: &str = "203.0.113.1:20000";
const SERVER: &str = "192.0.2.45:3544";

fn end(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

fn at(millisecond: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millisecond)
}

fn seen(time: u64, from: &str, to: &str, payload: &str) -> Sighting {
    Sighting {
        time: at(time),
        from: end(from),
        to: end(to),
        ttl: 64,
        id: 0,
        payload: payload.as_bytes().to_vec(),
    }
}

fn router(public: &str) -> Router {
    Router {
        addresses: vec![*end(public).ip()],
        ..Router::default()
    }
}

/// Alice and bob behind their NATs, and a server.
fn places() -> [Place; 3] {
    let place = |own: &str, public: &str| Place {
        own: vec![*end(own).ip()],
        inside: Vec::new(),
        routers: vec![router(public)],
    };
    let server = Place {
        own: vec![*end(SERVER).ip()],
        ..Place::default()
    };
    [place(ALICE, ALICE_OUT), place(BOB, BOB_OUT), server]
}

fn fates(places: &[Place]) -> Vec<Option<Fate>> {
    journeys(places)
        .into_iter()
        .map(|journey| journey.fate)
        .collect()
}

fn ended(by: Obstacle, reason: &str) -> Option<Fate> {
    let reason = reason.to_owned();
    Some(Fate::Dropped { by, reason })
}

/// A datagram is one journey, although it is seen at four places with other ends.
#[test]
fn a_datagram_passes_both_nats() {
    let [mut alice, mut bob, server] = places();
    alice.inside.push(seen(10, ALICE, BOB_OUT, "bubble"));
    alice.routers[0]
        .outside
        .push(seen(11, ALICE_OUT, BOB_OUT, "bubble"));
    bob.routers[0]
        .outside
        .push(seen(12, ALICE_OUT, BOB_OUT, "bubble"));
    bob.inside.push(seen(13, ALICE_OUT, BOB, "bubble"));
    let all = journeys(&[alice, bob, server]);
    let [journey] = &all[..] else {
        panic!("{all:?}")
    };
    assert_eq!(journey.start.from, end(ALICE));
    assert_eq!(journey.public_source, Some(end(ALICE_OUT)));
    assert_eq!(journey.inner_destination, Some(end(BOB)));
    assert_eq!(journey.fate, Some(Fate::Delivered));
}

/// A repetition has the same bytes, and a fate of its own.
#[test]
fn a_repetition_is_another_journey() {
    let [mut alice, bob, mut server] = places();
    for time in [10, 20] {
        alice.inside.push(seen(time, ALICE, SERVER, "solicitation"));
        alice.routers[0]
            .outside
            .push(seen(time + 1, ALICE_OUT, SERVER, "solicitation"));
    }
    server
        .inside
        .push(seen(22, ALICE_OUT, SERVER, "solicitation"));
    assert_eq!(
        fates(&[alice, bob, server]),
        [ended(Obstacle::Network, "lost"), Some(Fate::Delivered)]
    );
}

/// A symmetric NAT has several mappings of a socket: of two copies to different ones, the right one arrives.
#[test]
fn copies_to_two_mappings_are_told_apart() {
    let [mut alice, mut bob, server] = places();
    for (time, to) in [(10, "198.51.100.1:1"), (20, "198.51.100.1:2")] {
        bob.inside.push(seen(time, BOB, to, "bubble"));
        bob.routers[0]
            .outside
            .push(seen(time + 1, BOB_OUT, to, "bubble"));
        alice.routers[0]
            .outside
            .push(seen(time + 2, BOB_OUT, to, "bubble"));
    }
    alice.inside.push(seen(23, BOB_OUT, ALICE, "bubble"));
    assert_eq!(
        fates(&[alice, bob, server]),
        [
            ended(Obstacle::ReceiverNat, "no mapping has port 1"),
            Some(Fate::Delivered)
        ]
    );
}

/// The last sighting and the known mappings tell where a datagram ended, and why.
#[test]
fn the_nat_that_dropped_it_is_named() {
    let [mut alice, mut bob, mut server] = places();
    bob.inside.push(seen(1, BOB, SERVER, "solicitation"));
    bob.routers[0]
        .outside
        .push(seen(2, BOB_OUT, SERVER, "solicitation"));
    server.inside.push(seen(3, BOB_OUT, SERVER, "solicitation"));
    for (time, to) in [(10, BOB_OUT), (20, "203.0.113.1:7")] {
        alice.inside.push(seen(time, ALICE, to, to));
        alice.routers[0]
            .outside
            .push(seen(time + 1, ALICE_OUT, to, to));
        bob.routers[0]
            .outside
            .push(seen(time + 2, ALICE_OUT, to, to));
    }
    alice.inside.push(seen(30, ALICE, SERVER, "refused"));
    let mut short = seen(40, ALICE, BOB_OUT, "short");
    short.ttl = 2;
    alice.inside.push(short);
    alice.routers[0]
        .outside
        .push(seen(41, ALICE_OUT, BOB_OUT, "short"));
    alice
        .inside
        .push(seen(50, ALICE, "203.0.113.99:1", "nowhere"));
    alice.routers[0]
        .outside
        .push(seen(51, ALICE_OUT, "203.0.113.99:1", "nowhere"));
    assert_eq!(
        fates(&[alice, bob, server]),
        [
            Some(Fate::Delivered),
            ended(
                Obstacle::ReceiverNat,
                "filtered: port 20000 is not open to that sender"
            ),
            ended(Obstacle::ReceiverNat, "no mapping has port 7"),
            ended(Obstacle::SenderNat, "it did not leave"),
            ended(Obstacle::Network, "its time to live of 2 ran out"),
            ended(Obstacle::Network, "no such host"),
        ]
    );
}

/// A NAT in user space says why; the port is added.
#[test]
fn the_nats_own_reason_names_the_port() {
    for (refusal, expected) in [
        (
            Refusal::Filtered,
            "filtered: port 20000 is not open to that sender",
        ),
        (Refusal::NoMapping, "no mapping has port 20000"),
        (Refusal::NoHairpin, "no hairpinning"),
    ] {
        let [mut alice, mut bob, server] = places();
        alice.inside.push(seen(10, ALICE, BOB_OUT, "bubble"));
        alice.routers[0]
            .outside
            .push(seen(11, ALICE_OUT, BOB_OUT, "bubble"));
        bob.routers[0]
            .outside
            .push(seen(12, ALICE_OUT, BOB_OUT, "bubble"));
        bob.routers[0].discards.push(Discard {
            time: at(13),
            side: Side::Outside,
            packet: b"headers, and the bubble".to_vec(),
            reason: DiscardReason::Refused(refusal),
        });
        assert_eq!(
            fates(&[alice, bob, server]),
            [ended(Obstacle::ReceiverNat, expected)]
        );
    }
}

/// A NAT in user space says why.
#[test]
fn the_nats_own_reason_counts() {
    let [mut alice, mut bob, server] = places();
    alice.inside.push(seen(10, ALICE, BOB_OUT, "bubble"));
    alice.routers[0]
        .outside
        .push(seen(11, ALICE_OUT, BOB_OUT, "bubble"));
    bob.routers[0]
        .outside
        .push(seen(12, ALICE_OUT, BOB_OUT, "bubble"));
    bob.routers[0].discards.push(Discard {
        time: at(13),
        side: Side::Outside,
        packet: b"headers, and the bubble".to_vec(),
        reason: DiscardReason::Fragment,
    });
    assert_eq!(
        fates(&[alice, bob, server]),
        [ended(Obstacle::ReceiverNat, "a fragment without its first")]
    );
}

#[test]
fn a_datagram_to_a_group_has_no_fate() {
    let [mut alice, bob, server] = places();
    alice
        .inside
        .push(seen(10, ALICE, "224.0.0.253:3544", "bubble"));
    assert_eq!(fates(&[alice, bob, server]), [None]);
}

/// A train that the kernel has not cut up is several datagrams; trailers behind a packet are not.
#[test]
fn a_train_is_cut() {
    let packet = |length: u8| {
        let mut packet = vec![0x60, 0, 0, 0, 0, length];
        packet.resize(40 + usize::from(length), length);
        packet
    };
    let train = [packet(3), packet(3), packet(1)].concat();
    assert_eq!(cut(&train), [packet(3), packet(3), packet(1)]);
    let bubble = [packet(0), vec![4, 4, 1, 2, 3, 4]].concat();
    assert_eq!(cut(&bubble), [&bubble[..]]);
    for odd in [&b""[..], b"\0\0indication", &packet(9)[..45]] {
        assert_eq!(cut(odd), [odd]);
    }
}

/// Copies of a bubble leave at once, from two sockets or with two times to live: the identification tells them apart.
#[test]
fn copies_at_one_time_are_told_apart() {
    let [mut alice, mut bob, server] = places();
    let marked = |id: u16, time, from: &str, to: &str| Sighting {
        id,
        ..seen(time, from, to, "bubble")
    };
    bob.inside = vec![marked(7, 10, BOB, ALICE_OUT), marked(8, 10, BOB, ALICE_OUT)];
    let outside = vec![
        marked(7, 12, BOB_OUT, ALICE_OUT),
        marked(8, 13, BOB_OUT, ALICE_OUT),
    ];
    bob.routers[0].outside = outside.clone();
    alice.routers[0].outside = outside;
    alice.inside.push(marked(8, 14, BOB_OUT, ALICE));
    assert_eq!(
        fates(&[alice, bob, server]),
        [
            ended(Obstacle::ReceiverNat, "no mapping has port 40000"),
            Some(Fate::Delivered)
        ]
    );
}

/// Two NATs in a row: each of them may be the end.
#[test]
fn the_nat_of_the_carrier_is_told_from_the_homes() {
    const MIDDLE: &str = "100.64.1.2:40000";
    let [mut alice, mut bob, server] = places();
    alice.routers.insert(0, router(MIDDLE));
    let mut short = seen(10, ALICE, BOB_OUT, "short");
    short.ttl = 2;
    alice.inside.push(short);
    alice.routers[0]
        .outside
        .push(seen(11, MIDDLE, BOB_OUT, "short"));
    for (time, payload) in [(20, "filtered"), (30, "inner"), (40, "through")] {
        bob.inside.push(seen(time, BOB, ALICE_OUT, payload));
        bob.routers[0]
            .outside
            .push(seen(time + 1, BOB_OUT, ALICE_OUT, payload));
        alice.routers[1]
            .outside
            .push(seen(time + 2, BOB_OUT, ALICE_OUT, payload));
        if payload != "filtered" {
            alice.routers[0]
                .outside
                .push(seen(time + 3, BOB_OUT, MIDDLE, payload));
        }
    }
    alice.inside.push(seen(44, BOB_OUT, ALICE, "through"));
    let all = journeys(&[alice, bob, server]);
    let by: Vec<_> = (all.iter())
        .map(|journey| match &journey.fate {
            Some(Fate::Dropped { by, .. }) => Some(*by),
            _ => None,
        })
        .collect();
    assert_eq!(
        by,
        [
            Some(Obstacle::SenderCarrierNat),
            Some(Obstacle::ReceiverCarrierNat),
            Some(Obstacle::ReceiverNat),
            None
        ]
    );
    assert_eq!(all[3].inner_destination, Some(end(ALICE)));
}
