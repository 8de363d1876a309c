use teredo_lab::DiscardReason;

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
        payload: payload.as_bytes().to_vec(),
    }
}

/// Alice and bob behind their NATs, and a server.
fn places() -> [Place; 3] {
    let place = |own: &str, public: &str| Place {
        own: vec![*end(own).ip()],
        public: vec![*end(public).ip()],
        ..Place::default()
    };
    [
        place(ALICE, ALICE_OUT),
        place(BOB, BOB_OUT),
        place(SERVER, SERVER),
    ]
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
    alice.outside.push(seen(11, ALICE_OUT, BOB_OUT, "bubble"));
    bob.outside.push(seen(12, ALICE_OUT, BOB_OUT, "bubble"));
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
        alice
            .outside
            .push(seen(time + 1, ALICE_OUT, SERVER, "solicitation"));
    }
    let arrived = seen(22, ALICE_OUT, SERVER, "solicitation");
    server.inside.push(arrived.clone());
    server.outside.push(arrived);
    assert_eq!(
        fates(&[alice, bob, server]),
        [ended(Obstacle::Network, "lost"), Some(Fate::Delivered)]
    );
}

/// The last sighting and the known mappings tell where a datagram ended, and why.
#[test]
fn the_nat_that_dropped_it_is_named() {
    let [mut alice, mut bob, mut server] = places();
    bob.inside.push(seen(1, BOB, SERVER, "solicitation"));
    bob.outside.push(seen(2, BOB_OUT, SERVER, "solicitation"));
    server
        .outside
        .push(seen(3, BOB_OUT, SERVER, "solicitation"));
    server.inside.push(seen(3, BOB_OUT, SERVER, "solicitation"));
    for (time, to) in [(10, BOB_OUT), (20, "203.0.113.1:7")] {
        alice.inside.push(seen(time, ALICE, to, to));
        alice.outside.push(seen(time + 1, ALICE_OUT, to, to));
        bob.outside.push(seen(time + 2, ALICE_OUT, to, to));
    }
    alice.inside.push(seen(30, ALICE, SERVER, "refused"));
    let mut short = seen(40, ALICE, BOB_OUT, "short");
    short.ttl = 2;
    alice.inside.push(short);
    alice.outside.push(seen(41, ALICE_OUT, BOB_OUT, "short"));
    alice
        .inside
        .push(seen(50, ALICE, "203.0.113.99:1", "nowhere"));
    alice
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

/// A NAT in user space says why.
#[test]
fn the_nats_own_reason_counts() {
    let [mut alice, mut bob, server] = places();
    alice.inside.push(seen(10, ALICE, BOB_OUT, "bubble"));
    alice.outside.push(seen(11, ALICE_OUT, BOB_OUT, "bubble"));
    bob.outside.push(seen(12, ALICE_OUT, BOB_OUT, "bubble"));
    bob.discards.push(Discard {
        time: at(13),
        side: Side::Outside,
        packet: b"headers, and the bubble".to_vec(),
        reason: DiscardReason::Fragment,
    });
    assert_eq!(
        fates(&[alice, bob, server]),
        [ended(Obstacle::ReceiverNat, "a fragment")]
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
