mod stalls;

use teredo::wire::{AlternateAddresses, Flags, Trailer, server_link_local};

use super::*;
use crate::finding::Grade;
use crate::sample::*;
use crate::trace::Trace;

/// The IDs of the findings about the packet with this number.
fn of(trace: &Trace, n: usize) -> Vec<&'static str> {
    ids(&trace.packets[n - 1])
}

/// The qualification, and the answer of the primary address spoiled.
fn spoiled(change: impl FnOnce(&mut Advert)) -> Vec<&'static str> {
    let mut answer = Advert::new(MAPPED);
    change(&mut answer);
    let trace = Exchange::new()
        .send(0, LOCAL, PRIMARY, solicitation(Some(NONCE), false))
        .send(20, PRIMARY, LOCAL, answer.bytes())
        .trace();
    of(&trace, 2)
}

fn client(text: &str) -> std::net::Ipv6Addr {
    text.parse().expect("an address")
}

#[test]
fn a_right_exchange_has_no_findings() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let trace = Exchange::new()
        .qualified()
        .send(1000, LOCAL, PEER, bubble(own, peer, &[]))
        .send(1001, LOCAL, PRIMARY, bubble(own, peer, &[]))
        .send(1060, PEER, LOCAL, bubble(peer, own, &[]))
        .send(1061, LOCAL, PEER, data(own, peer))
        .send(1100, PEER, LOCAL, data(peer, own))
        .until(60_000)
        .trace();
    assert_eq!(all_ids(&trace), []);
    assert_eq!(trace.stalls, []);
    let kinds: Vec<_> = trace
        .packets
        .iter()
        .map(|packet| packet.kind.name())
        .collect();
    assert_eq!(
        kinds,
        [
            "solicitation",
            "advertisement",
            "solicitation",
            "advertisement",
            "bubble",
            "indirect-bubble",
            "bubble",
            "data",
            "data"
        ]
    );
}

#[test]
fn an_advertisement_is_held_against_the_solicitation() {
    assert_eq!(spoiled(|_| {}), [""; 0]);
    assert_eq!(
        spoiled(|answer| answer.nonce = Some([9; 8])),
        ["R4380-5.2.2-02"]
    );
    assert_eq!(spoiled(|answer| answer.nonce = None), ["R4380-5.2.2-01"]);
    assert_eq!(
        spoiled(|answer| answer.confirmation = 1),
        ["R4380-5.2.2-06"]
    );
    assert_eq!(spoiled(|answer| answer.origin = None), ["R4380-5.2.1-06"]);
    assert_eq!(
        spoiled(|answer| answer.prefixes.clear()),
        ["R4380-5.2.1-06"]
    );
    let twice = |answer: &mut Advert| answer.prefixes.push(answer.prefixes[0]);
    assert_eq!(spoiled(twice), ["R4380-5.2.1-06"]);
    let foreign = |answer: &mut Advert| answer.prefixes = vec![prefix(client("2001:db8::"), 64)];
    assert_eq!(spoiled(foreign), ["R4380-5.3.2-02"]);
    let short = |answer: &mut Advert| answer.prefixes[0].length = 32;
    assert_eq!(spoiled(short), ["R4380-5.3.2-02"]);
    let old =
        |answer: &mut Advert| answer.prefixes = vec![prefix(client("3ffe:831f:c000:201::"), 64)];
    assert_eq!(spoiled(old), ["R-OLD-01"]);
    let other = |answer: &mut Advert| answer.destination = client("fe80::1");
    assert_eq!(spoiled(other), ["R4380-5.3.2-04"]);
    let source = |answer: &mut Advert| answer.source = client("fe80::1");
    assert_eq!(spoiled(source), ["R4380-5.3.2-03"]);
    let private = |answer: &mut Advert| answer.origin = Some(end("10.0.0.1:5000"));
    assert_eq!(spoiled(private), ["R4380-4-03"]);
    assert_eq!(spoiled(|answer| answer.mtu = 1500), ["R4380-5.1.2-01"]);
}

/// R4380-5.3.2-05: known as Teredo by the client that asked.
#[test]
fn an_advertisement_comes_from_the_port_of_servers() {
    let answer = Advert::new(MAPPED).bytes();
    let trace = Exchange::new()
        .send(0, LOCAL, PRIMARY, solicitation(Some(NONCE), false))
        .send(20, "192.0.2.1:3545", LOCAL, answer.clone())
        .trace();
    assert_eq!(of(&trace, 2), ["R4380-5.3.2-05"]);
    let alone = Exchange::new().send(20, "192.0.2.1:3545", LOCAL, answer);
    assert_eq!(alone.trace().not_teredo, 1);
}

/// Inside the tunnel no checksum may be left open.
#[test]
fn a_wrong_checksum_is_named() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let mut packet = data(own, peer);
    packet[6] = 17;
    let trace = Exchange::new().send(0, MAPPED, PEER, packet).trace();
    assert_eq!(all_ids(&trace), [(1, "packet.checksum")]);
    let mut request = ping(own, peer, &[1; 8]);
    request[42] ^= 1;
    let trace = Exchange::new().send(0, MAPPED, PEER, request).trace();
    assert_eq!(all_ids(&trace), [(1, "packet.checksum")]);
}

/// R4380-5.2.1-02, R4380-5.2.1-06: hop limit and checksum.
#[test]
fn neighbor_discovery_is_checked() {
    let mut question = solicitation(Some(NONCE), false);
    question[13 + 7] = 254;
    let mut answer = Advert::new(MAPPED).bytes();
    *answer.last_mut().unwrap() ^= 1;
    let trace = Exchange::new()
        .send(0, LOCAL, PRIMARY, question)
        .send(20, PRIMARY, LOCAL, answer)
        .trace();
    assert_eq!(of(&trace, 1), ["R4380-5.2.1-02"]);
    assert_eq!(of(&trace, 2), ["R4380-5.2.1-06"]);
}

/// R4380-5.3.2-06, R5991-3.2-01
#[test]
fn the_cone_bit_chooses_the_address_that_answers() {
    let mut answer = Advert::new(MAPPED);
    answer.destination = own(true);
    let exchange = |from| {
        Exchange::new()
            .send(0, LOCAL, PRIMARY, solicitation(Some(NONCE), true))
            .send(20, from, LOCAL, answer.bytes())
            .trace()
    };
    let right = exchange(SECONDARY);
    assert_eq!(all_ids(&right), [(1, "R5991-3.2-01")]);
    assert_eq!(right.packets[0].cone, Some(true));
    assert_eq!(of(&exchange(PRIMARY), 2), ["R4380-5.3.2-06"]);

    let without = Exchange::new()
        .send(0, LOCAL, PRIMARY, solicitation(Some(NONCE), false))
        .send(20, SECONDARY, LOCAL, Advert::new(MAPPED).bytes())
        .trace();
    assert_eq!(of(&without, 2), ["R4380-5.3.2-06"]);
}

/// R4380-5.2.2-03: a copy on a second interface and a repetition are no reuse.
#[test]
fn a_nonce_is_used_once() {
    let ask = || solicitation(Some(NONCE), false);
    let trace = Exchange::new()
        .send(0, LOCAL, PRIMARY, ask())
        .send(4000, LOCAL, PRIMARY, ask())
        .send(4020, PRIMARY, LOCAL, Advert::new(MAPPED).bytes())
        .send(34_000, LOCAL, PRIMARY, ask())
        .trace();
    assert_eq!(all_ids(&trace), [(4, "R4380-5.2.2-03")]);
}

/// R4380-5.2.2-05, R4380-5.2.1-01
#[test]
fn a_solicitation_has_its_form() {
    let mut confirmed = solicitation(Some(NONCE), false);
    confirmed[12] = 1;
    assert_eq!(
        of(
            &Exchange::new().send(0, LOCAL, PRIMARY, confirmed).trace(),
            1
        ),
        ["R4380-5.2.2-05"]
    );
    let mut misdirected = Vec::new();
    teredo::wire::emit_router_solicitation(client("2001:db8::5"), &mut misdirected);
    assert_eq!(
        of(
            &Exchange::new()
                .qualified()
                .send(100, LOCAL, PRIMARY, misdirected)
                .trace(),
            5
        ),
        ["R4380-5.2.1-01"]
    );
}

/// R4380-4-03, R4380-4-05, R5991-3.1-02, R4380-GU-05, R-OLD-01: once for each address.
#[test]
fn addresses_are_checked_once() {
    let to = teredo(PEER);
    let old: std::net::Ipv6Addr = "3ffe:831f:c000:201:0:11b7:34ff:8efa".parse().unwrap();
    for (source, id) in [
        (with_flags(MAPPED, 0x4000), "R5991-3.1-02"),
        (with_flags(MAPPED, 0x0200), "R4380-4-05"),
        (teredo("10.0.0.1:61000"), "R4380-4-03"),
        (teredo("203.0.113.5:0"), "R4380-GU-05"),
        (old, "R-OLD-01"),
    ] {
        let trace = Exchange::new()
            .send(0, LOCAL, PEER, data(source, to))
            .send(1, LOCAL, PEER, data(source, to))
            .trace();
        assert_eq!(all_ids(&trace), [(1, id)], "{source}");
    }
    let trace = Exchange::new()
        .send(0, LOCAL, PEER, data(with_flags(MAPPED, 0x3cff), to))
        .trace();
    assert_eq!(all_ids(&trace), [], "the random bits of RFC 5991");
}

/// R4380-5.2.4-07
#[test]
fn nothing_goes_to_private_mappings() {
    let peer = teredo("10.9.9.9:4096");
    let trace = Exchange::new()
        .send(0, LOCAL, "10.9.9.9:4096", bubble(teredo(MAPPED), peer, &[]))
        .trace();
    assert_eq!(of(&trace, 1), ["R4380-4-03", "R4380-5.2.4-07"]);
}

/// R4380-5.2.6-04, R4380-5.2.6-05
#[test]
fn bubbles_are_rare() {
    let packet = || bubble(teredo(MAPPED), teredo(PEER), &[]);
    let at = |times: &[u64]| {
        let mut exchange = Exchange::new();
        for &time in times {
            exchange =
                exchange
                    .send(time, LOCAL, PEER, packet())
                    .send(time + 1, LOCAL, PRIMARY, packet());
        }
        all_ids(&exchange.trace())
    };
    assert_eq!(at(&[0, 2000, 4000, 6000]).len(), 1, "the stall alone");
    assert!(at(&[0, 1000]).contains(&(3, "R4380-5.2.6-04")));
    let five = at(&[0, 2000, 4000, 6000, 8000]);
    assert!(five.contains(&(9, "R4380-5.2.6-05")), "{five:?}");
    let later = at(&[0, 2000, 4000, 6000, 300_000, 302_000]);
    assert!(
        !later.iter().any(|(_, id)| *id == "R4380-5.2.6-05"),
        "{later:?}"
    );
}

/// R4380-5.2.6-07: an answer allows more.
#[test]
fn an_answer_resets_the_count() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let mut exchange = Exchange::new();
    for round in 0..8 {
        exchange = exchange
            .send(round * 40_000, LOCAL, PEER, bubble(own, peer, &[]))
            .send(round * 40_000 + 30, PEER, LOCAL, bubble(peer, own, &[]));
    }
    let trace = exchange.until(600_000).trace();
    assert_eq!(all_ids(&trace), []);
    assert_eq!(trace.stalls, []);
}

/// R4380-5.2.6-03
#[test]
fn an_indirect_bubble_goes_to_the_server_of_the_peer() {
    let mut peer = teredo::wire::TeredoAddress::from_ipv6(teredo(PEER)).unwrap();
    peer.server = [192, 0, 2, 65].into();
    let trace = Exchange::new()
        .qualified()
        .send(
            1000,
            LOCAL,
            PRIMARY,
            bubble(teredo(MAPPED), peer.to_ipv6(), &[]),
        )
        .trace();
    assert_eq!(trace.packets[4].kind, Kind::IndirectBubble);
    assert_eq!(of(&trace, 5), ["R4380-5.2.6-03"]);
}

/// R6081-5.2.4.2-01, R6081-5.2.4.2-02
#[test]
fn the_nonce_of_a_direct_bubble_is_that_of_the_question() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let with = |nonce| [Trailer::Nonce(nonce)];
    let ask = |exchange: Exchange| {
        exchange.send(0, LOCAL, PEER, bubble(own, peer, &[])).send(
            1,
            LOCAL,
            PRIMARY,
            bubble(own, peer, &with(*b"abcd")),
        )
    };
    let answered = |nonce| {
        let answer = bubble(peer, own, &with(nonce));
        ask(Exchange::new()).send(50, PEER, LOCAL, answer).trace()
    };
    assert_eq!(of(&answered(*b"abcd"), 3), [""; 0]);
    assert_eq!(of(&answered(*b"abce"), 3), ["R6081-5.2.4.2-01"]);
    let alone = Exchange::new()
        .send(50, PEER, LOCAL, bubble(peer, own, &with(*b"abcd")))
        .trace();
    assert_eq!(of(&alone, 1), ["R6081-5.2.4.2-02"]);
}

/// R6081-5.1.2-01: of two nonces the last one counts, and the answer repeats it.
#[test]
fn the_last_nonce_of_a_question_counts() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let both = [Trailer::Nonce(*b"abcd"), Trailer::Nonce(*b"wxyz")];
    let answered = |nonce| {
        let answer = bubble(peer, own, &[Trailer::Nonce(nonce)]);
        Exchange::new()
            .send(0, LOCAL, PEER, bubble(own, peer, &[]))
            .send(1, LOCAL, PRIMARY, bubble(own, peer, &both))
            .send(50, PEER, LOCAL, answer)
            .trace()
    };
    assert_eq!(of(&answered(*b"wxyz"), 3), [""; 0]);
    assert_eq!(of(&answered(*b"abcd"), 3), ["R6081-5.2.4.2-01"]);
}

/// R6081-4.2-01, R6081-4.3-01, R6081-4.3-02, R6081-4.4-01, R6081-4.5-01, R6081-5.1.2-02, R6081-5.1.2-03, R6081-5.1.2-04
#[test]
fn trailers_have_their_form() {
    let behind = |bytes: &[u8]| {
        let mut packet = bubble(teredo(PEER), teredo(MAPPED), &[]);
        packet.extend_from_slice(bytes);
        let trace = Exchange::new().send(0, PEER, LOCAL, packet).trace();
        let names: Vec<_> = (trace.packets[0].trailers.iter())
            .map(|trailer| trailer.name)
            .collect();
        (names, of(&trace, 1))
    };
    assert_eq!(
        behind(&[4, 4, 0, 0, 0, 0]),
        (vec!["neighbor-discovery"], vec![])
    );
    assert_eq!(behind(&[5, 2, 16, 0]), (vec!["random-port"], vec![]));
    assert_eq!(behind(&[0x80, 1, 7]), (vec!["unknown"], vec![]));
    assert_eq!(
        behind(&[1, 3, 0, 0, 0]),
        (vec!["nonce"], vec!["R6081-4.2-01"])
    );
    assert_eq!(
        behind(&[3, 2, 0, 0]),
        (vec!["alternate-address"], vec!["R6081-4.3-01"])
    );
    assert_eq!(
        behind(&[4, 1, 0]),
        (vec!["neighbor-discovery"], vec!["R6081-4.4-01"])
    );
    assert_eq!(
        behind(&[5, 1, 0]),
        (vec!["random-port"], vec!["R6081-4.5-01"])
    );
    assert_eq!(
        behind(&[0x40, 0]),
        (vec!["unknown"], vec!["R6081-5.1.2-02"])
    );
    assert_eq!(behind(&[0x31, 0x32, 3]), (vec![], vec!["R6081-5.1.2-04"]));

    let alternate = AlternateAddresses::new(&[end("192.168.1.2:4096")]).unwrap();
    let mut with = Vec::new();
    Trailer::AlternateAddresses(alternate).emit(&mut with);
    assert_eq!(
        behind(&with),
        (vec!["alternate-address"], vec!["R6081-4.3-02"])
    );
}

/// R4380-5.2.8-03
#[test]
fn a_discovery_bubble_stays_on_the_link() {
    let mut packet = Vec::new();
    teredo::wire::emit_bubble(teredo(MAPPED), client("ff02::1"), 1, &mut packet);
    let group = "224.0.0.253:3544";
    let right = Exchange::new()
        .ttl(1)
        .send(0, LOCAL, group, packet.clone())
        .trace();
    assert_eq!(right.packets[0].kind, Kind::DiscoveryBubble);
    assert_eq!(all_ids(&right), []);
    let far = Exchange::new()
        .ttl(64)
        .send(0, LOCAL, group, packet)
        .trace();
    assert_eq!(of(&far, 1), ["R4380-5.2.8-03"]);
}

/// R4380-5.1.1-04, R4380-5.1.1-05, R4380-5.2.3-01, R4380-5.2.3-02
#[test]
fn malformed_datagrams_say_why() {
    let right = solicitation(Some(NONCE), false);
    let mut twice = right[..13].to_vec();
    twice.extend_from_slice(&right);
    for (payload, id) in [
        (twice, "R4380-5.1.1-04"),
        (right[..10].to_vec(), "R4380-5.1.1-05"),
        (right[..right.len() - 1].to_vec(), "R4380-5.2.3-02"),
    ] {
        let trace = Exchange::new()
            .qualified()
            .send(100, LOCAL, PRIMARY, payload)
            .trace();
        assert_eq!(trace.packets[4].kind, Kind::Malformed);
        assert_eq!(of(&trace, 5), [id]);
    }
    let trace = Exchange::new()
        .qualified()
        .send(100, LOCAL, PRIMARY, *b"GET / HTTP/1.1")
        .trace();
    assert_eq!(of(&trace, 5), ["R4380-5.2.3-01"], "to a known server");
}

/// R4380-5.2.9-01, R4380-5.2.9-02, R4380-5.2.3-08
#[test]
fn ping_tests_and_their_replies() {
    let (own, host) = (teredo(MAPPED), client(HOST));
    let nonce = [7; 8];
    let answered = |data: &[u8]| {
        Exchange::new()
            .qualified()
            .send(20_000, LOCAL, PRIMARY, ping(own, host, &nonce))
            .send(20_100, RELAY, LOCAL, pong(host, own, data))
            .until(60_000)
            .trace()
    };
    let right = answered(&nonce);
    assert_eq!(right.packets[4].kind, Kind::PingRequest);
    assert_eq!(right.packets[5].kind, Kind::PingReply);
    assert_eq!(all_ids(&right), []);
    assert_eq!(
        all_ids(&answered(&[8; 8])),
        [(5, "stall.ping"), (6, "R4380-5.2.3-08")]
    );

    let short = Exchange::new()
        .send(0, LOCAL, PRIMARY, ping(own, host, &[1; 4]))
        .trace();
    assert_eq!(of(&short, 1), ["R4380-5.2.9-02"]);
}

/// R4380-5.3.1-02, R4380-5.3.1-06, R4380-5.3.1-14, R4380-5.4.2-02
#[test]
fn servers_and_relays_are_held_to_their_rules() {
    let (own, peer, host) = (teredo(MAPPED), teredo(PEER), client(HOST));
    let trace = Exchange::new()
        .qualified()
        .send(1000, LOCAL, PRIMARY, data(own, host))
        .trace();
    assert_eq!(of(&trace, 5), ["R4380-5.3.1-02"]);

    let spoofed = Exchange::new()
        .send(0, "198.51.100.9:1000", PRIMARY, bubble(peer, own, &[]))
        .trace();
    assert_eq!(of(&spoofed, 1)[..1], ["R4380-5.3.1-06"]);

    let passed = |packet: Vec<u8>| {
        let trace = Exchange::new()
            .qualified()
            .send(1000, PRIMARY, LOCAL, packet);
        of(&trace.trace(), 5)
    };
    let packet = bubble(peer, own, &[]);
    assert_eq!(passed(passed_on(PEER, &packet)), [""; 0]);
    assert_eq!(passed(packet.clone()), ["R4380-5.3.1-14"]);
    assert_eq!(
        passed(passed_on("198.51.100.9:1", &packet)),
        ["R4380-5.3.1-06"]
    );

    let strict = Exchange::new()
        .send(0, RELAY, "203.0.113.5:61000", data(host, own))
        .send(10, "203.0.113.5:61001", RELAY, data(own, host))
        .trace();
    assert_eq!(of(&strict, 2), ["R4380-5.4.2-02"]);
}

/// R4380-5.2.3-08: the data is the nonce, not the sequence number; and the test may be older than the capture.
#[test]
fn a_ping_reply_is_known_by_its_data() {
    let (own, host) = (teredo(MAPPED), client(HOST));
    let mut reply = Vec::new();
    teredo::wire::emit_echo_reply(host, own, 64, 1, 7, &[7; 8], &mut reply);
    let replied = |at, reply: Vec<u8>| {
        let trace = Exchange::new()
            .qualified()
            .send(at, LOCAL, PRIMARY, ping(own, host, &[7; 8]))
            .send(at + 100, RELAY, LOCAL, reply)
            .trace();
        let packet = trace.packets.into_iter().last().unwrap();
        (
            packet.kind,
            packet.findings.first().map(|finding| finding.grade),
        )
    };
    assert_eq!(replied(2000, reply), (Kind::PingReply, None));
    let other = || pong(host, own, &[8; 8]);
    assert_eq!(replied(2000, other()), (Kind::PingReply, Some(Grade::Note)));
    assert_eq!(
        replied(20_000, other()),
        (Kind::PingReply, Some(Grade::Warn))
    );
}

/// R6081-5.1.2-02, R6081-4.2-01: one finding a packet, and no breach by the sender.
#[test]
fn a_rule_is_broken_once_a_packet() {
    let mut packet = bubble(teredo(PEER), teredo(MAPPED), &[]);
    packet.extend_from_slice(&[0x41, 0].repeat(3000));
    let trace = Exchange::new().send(0, PEER, LOCAL, packet).trace();
    assert_eq!(all_ids(&trace), [(1, "R6081-5.1.2-02")]);
    assert_eq!(trace.packets[0].worst(), Some(Grade::Warn));
}

/// R4380-5.2.2-02: the solicitation may have been lost on the way to the file.
#[test]
fn one_missing_solicitation_is_no_breach() {
    let mut second = Advert::new(MAPPED);
    second.nonce = Some([2; 8]);
    let trace = Exchange::new()
        .send(0, LOCAL, PRIMARY, solicitation(Some(NONCE), false))
        .send(20, PRIMARY, LOCAL, Advert::new(MAPPED).bytes())
        .send(30, SECONDARY, LOCAL, second.bytes())
        .trace();
    assert_eq!(all_ids(&trace), [(3, "R4380-5.2.2-02")]);
    assert_eq!(trace.count(Grade::Fail), 0);
}

/// R4380-5.2.6-03: a server sends to a client whose mapping has the port of servers.
#[test]
fn a_client_with_the_port_of_servers_is_no_wrong_server() {
    let on_port = "203.0.113.9:3544";
    let trace = Exchange::new()
        .qualified()
        .send(
            100,
            PRIMARY,
            on_port,
            bubble(teredo(PEER), teredo(on_port), &[]),
        )
        .trace();
    assert!(
        !of(&trace, 5).contains(&"R4380-5.2.6-03"),
        "{:?}",
        of(&trace, 5)
    );
}
