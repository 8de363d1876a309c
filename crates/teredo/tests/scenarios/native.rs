//! Hosts of the native IPv6 Internet, found by the direct IPv6 connectivity test (RFC 4380 §5.2.9).

use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::time::Duration;

use teredo::wire::{self, Icmpv6, Ipv6Packet, PORT};
use teredo::{DropReason, Submission};
use teredo_sim::{ClientId, NatBehaviour, Network, RawId, World};

use crate::fake_relay::{self, NATIVE, RELAY, Reply};
use crate::internet::*;
use crate::packets;

const KINDS: [NatBehaviour; 3] = [
    NatBehaviour::cone(),
    NatBehaviour::restricted(),
    NatBehaviour::port_restricted(),
];

/// A qualified client, and a relay with a native host that replies like this.
fn stage(behaviour: NatBehaviour, reply: Reply) -> (World, ClientId, RawId) {
    let mut world = world(1);
    let relay = fake_relay::add(&mut world, reply);
    let client = qualified_client(&mut world, 1, behaviour);
    world.capture_mut().clear();
    (world, client, relay)
}

fn submit(world: &mut World, client: ClientId, number: u8) -> Submission {
    let packet = packets::udp(address(world, client), v6(NATIVE), number);
    world.submit(client, &packet)
}

fn send(world: &mut World, client: ClientId, number: u8) {
    let _ = submit(world, client, number);
}

/// The nonce in an echo request that a client sent.
fn nonce(payload: &[u8]) -> Vec<u8> {
    let packet = Ipv6Packet::parse(payload).unwrap();
    match Icmpv6::parse(&packet) {
        Ok(Icmpv6::EchoRequest { data, .. }) => data.to_vec(),
        other => panic!("{other:?}"),
    }
}

/// R4380-5.2.3-07, R4380-5.2.9-01, R4380-5.2.9-02, R4380-5.2.9-05, R4380-MS-01: the test goes through the client's
/// server. The reply comes through the relay, reveals its address, and releases the queued packets in order. The host
/// sees nothing of it.
#[test]
fn the_first_five_packets_reach_a_native_host_in_order() {
    for kind in KINDS {
        let (mut world, client, relay) = stage(kind, packets::echo_reply);
        for number in 0..5 {
            assert_eq!(submit(&mut world, client, number), Submission::Queued);
        }
        let requests = echo_requests(&world, client);
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].datagram.destination, socket("192.0.2.1:3544"));
        assert_eq!(
            packets::endpoints(requests[0].payload()),
            (address(&world, client), v6(NATIVE))
        );
        assert!(nonce(requests[0].payload()).len() >= 8);

        world.run_for(SECOND);
        let sent = data(&world, client);
        let numbers: Vec<_> = sent
            .iter()
            .map(|record| packets::number(record.payload()))
            .collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4], "{}", world.capture());
        assert!(
            sent.iter()
                .all(|record| record.datagram.destination == socket(RELAY) && record.delivered())
        );
        assert_eq!(
            submit(&mut world, client, 5),
            Submission::Send(socket(RELAY))
        );
        assert_eq!(
            delivered(&world, client),
            Vec::<Vec<u8>>::new(),
            "neither bubbles nor the reply are delivered"
        );
        assert_eq!(world.raw(relay).native().len(), 1);
    }
}

/// R4380-5.2.4-03: four echo requests 2 s apart, then an error for the host.
#[test]
fn a_silent_native_host_is_given_up_after_four_tests() {
    let (mut world, client, _) = stage(NatBehaviour::restricted(), |_| None);
    let start = world.now();
    send(&mut world, client, 1);
    send(&mut world, client, 2);
    world.run_for(seconds(20));
    assert_eq!(
        times(start, &echo_requests(&world, client)),
        [0.0, 2.0, 4.0, 6.0]
    );
    assert_eq!(data(&world, client), []);
    let errors = world.client(client).errors();
    assert_eq!(errors.len(), 2);
    for error in errors {
        assert_eq!(error.at - start, seconds(8));
        assert_eq!(error.what[40..42], [1, 3], "address unreachable");
    }
}

/// R4380-5.2.4-03: a lost test is repeated.
#[test]
fn lost_tests_are_repeated() {
    for lost in 0..4_u32 {
        let (mut world, client, _) = stage(NatBehaviour::port_restricted(), packets::echo_reply);
        let mut left = lost;
        world.interfere(move |datagram| {
            let eaten = datagram.destination == socket("192.0.2.1:3544") && left > 0;
            left -= u32::from(eaten);
            eaten
        });
        send(&mut world, client, 1);
        world.run_for(seconds(8));
        assert_eq!(
            echo_requests(&world, client).len(),
            1 + usize::try_from(lost).unwrap()
        );
        assert_eq!(data(&world, client).len(), 1);
        assert_eq!(world.client(client).errors().len(), 0);
    }
}

/// R4380-5.2.3-07, R4380-5.2.9-05: a server may also be the relay (RFC 4380 §5.3.1), and then the reply comes from
/// there.
#[test]
fn a_server_that_is_the_relay_passes_the_test() {
    let (mut world, client, _) = stage(NatBehaviour::cone(), |_| None);
    let server = world.add_raw(Network::Internet, &[v4("198.51.100.66")]);
    send(&mut world, client, 1);
    let reply = packets::echo_reply(echo_requests(&world, client)[0].payload()).unwrap();
    let (from, mapped) = (socket("192.0.2.1:3544"), teredo(&world, client).mapped);
    world.inject(server, from, mapped, &reply);
    world.run_for(SECOND);
    assert_eq!(delivered(&world, client), Vec::<Vec<u8>>::new());
    assert_eq!(data(&world, client)[0].datagram.destination, from);
    let answer = packets::udp(v6(NATIVE), address(&world, client), 2);
    world.inject(server, from, mapped, &answer);
    world.run_for(SECOND);
    assert_eq!(delivered(&world, client), [answer]);
}

/// R4380-5.2.3-08, R4380-5.2.9-04, W-05: a reply with a wrong nonce of any length releases nothing.
#[test]
fn a_forged_reply_releases_nothing() {
    let (mut world, client, _) = stage(NatBehaviour::cone(), |_| None);
    let spoofer = world.add_raw(Network::Internet, &[v4("198.51.100.66")]);
    send(&mut world, client, 1);
    world.run_for(SECOND / 10);
    let request = echo_requests(&world, client)[0].payload().to_vec();
    let right = packets::echo_reply(&request).unwrap();
    let own = address(&world, client);
    let reply = |data: &[u8]| {
        let mut reply = Vec::new();
        wire::emit_echo_reply(v6(NATIVE), own, 64, 0, 0, data, &mut reply);
        reply
    };
    let nonce = nonce(&request);
    let mut broken_checksum = right.clone();
    broken_checksum[42] ^= 1;
    let mut forged = vec![
        reply(&[]),
        reply(&nonce[..nonce.len() - 1]),
        reply(&[&nonce[..], &[0]].concat()),
        broken_checksum,
    ];
    for byte in 0..nonce.len() {
        let mut wrong = nonce.clone();
        wrong[byte] ^= 0x80;
        forged.push(reply(&wrong));
    }
    let count = forged.len();
    for payload in forged {
        world.inject(
            spoofer,
            socket("198.51.100.66:6666"),
            teredo(&world, client).mapped,
            &payload,
        );
    }
    world.run_for(SECOND);
    assert_eq!(data(&world, client), []);
    assert_eq!(delivered(&world, client), Vec::<Vec<u8>>::new());
    assert_eq!(status(&world, client).trusted_peers, 0);
    let refused = drops(&world, client, DropReason::WrongNonce)
        + drops(&world, client, DropReason::InvalidIcmpv6);
    assert_eq!(refused, count as u64);

    // The control: the right one does.
    world.inject(
        spoofer,
        socket("198.51.100.66:6666"),
        teredo(&world, client).mapped,
        &right,
    );
    world.run_for(SECOND);
    assert_eq!(
        data(&world, client)[0].datagram.destination,
        socket("198.51.100.66:6666")
    );
}

/// R4380-5.2.9-03, W-05: the nonce of a finished test is worthless.
#[test]
fn an_old_nonce_is_refused() {
    let (mut world, client, _) = stage(NatBehaviour::cone(), |_| None);
    let replayer = world.add_raw(Network::Internet, &[v4("198.51.100.66")]);
    send(&mut world, client, 1);
    world.run_for(seconds(9));
    let old = packets::echo_reply(echo_requests(&world, client)[0].payload()).unwrap();
    let mapped = teredo(&world, client).mapped;
    world.inject(replayer, socket("198.51.100.66:6666"), mapped, &old);
    world.run_for(SECOND);
    assert_eq!(status(&world, client).trusted_peers, 0);

    // Nor during the next test.
    send(&mut world, client, 2);
    world.inject(replayer, socket("198.51.100.66:6666"), mapped, &old);
    world.run_for(SECOND);
    assert_eq!(data(&world, client), []);
    assert_eq!(status(&world, client).trusted_peers, 0);
}

/// R4380-5.2.9-02, W-05: no two tests have the same nonce, and there are 64 random bits or more in each.
#[test]
fn nonces_are_all_different() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::restricted());
    let own = address(&world, client);
    for number in 0..500 {
        let native = v6(&format!("2001:db8::{number:x}"));
        world.send(client, &packets::udp(own, native, 1));
        world.run_for(SECOND);
    }
    let requests = echo_requests(&world, client);
    let mut nonces: Vec<_> = requests
        .iter()
        .map(|record| {
            (
                packets::endpoints(record.payload()).1,
                nonce(record.payload()),
            )
        })
        .collect();
    nonces.sort();
    nonces.dedup();
    let by_host = nonces.len();
    nonces.sort_by(|a, b| a.1.cmp(&b.1));
    nonces.dedup_by(|a, b| a.1 == b.1);
    assert_eq!(
        (by_host, nonces.len()),
        (500, 500),
        "one for each test, repeats included"
    );
    let random = (0..nonces[0].1.len()).filter(|&place| {
        let values: BTreeSet<u8> = nonces.iter().map(|(_, nonce)| nonce[place]).collect();
        values.len() > 128
    });
    assert!(
        random.count() >= 8,
        "bytes of 500 nonces that take most values"
    );
}

/// R4380-5.2.3-13, R4380-5.2.3-15, R4380-5.2.9-04, R4380-7.2.2-01: packets of an unknown relay are delivered, but
/// nothing is sent to it until the test through the server has confirmed it.
#[test]
fn an_unknown_relay_is_heard_but_not_believed() {
    let (mut world, client, _) = stage(NatBehaviour::cone(), |_| None);
    let rogue = world.add_raw(Network::Internet, &[v4("198.51.100.66")]);
    let own = address(&world, client);
    let packet = packets::udp(v6(NATIVE), own, 9);
    world.inject(
        rogue,
        socket("198.51.100.66:6666"),
        teredo(&world, client).mapped,
        &packet,
    );
    world.run_for(Duration::from_millis(100));
    assert_eq!(delivered(&world, client), [packet]);
    let requests = echo_requests(&world, client);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].datagram.destination, socket("192.0.2.1:3544"));
    assert_eq!(submit(&mut world, client, 1), Submission::Queued);
    world.run_for(seconds(20));
    assert!(
        world.raw(rogue).received().is_empty(),
        "nothing is sent to the rogue relay"
    );
}

/// R4380-5.2.3-05, R4380-GU-04: the bubble of a relay is answered to the origin that the server added, and the host
/// behind it is tested.
#[test]
fn the_bubble_of_a_relay_is_answered_to_its_origin() {
    for kind in KINDS {
        let (mut world, client, _) = stage(kind, |_| None);
        let relay = world.add_raw(Network::Internet, &[v4("198.51.100.66")]);
        let bubble = packets::bubble(v6(NATIVE), address(&world, client));
        world.inject(
            relay,
            socket("198.51.100.66:6666"),
            SocketAddrV4::new(SERVER.primary, PORT),
            &bubble,
        );
        world.run_for(SECOND);
        let received = world.raw(relay).received();
        assert_eq!(received.len(), 1, "{}", world.capture());
        assert_eq!(
            packets::endpoints(&received[0].what.payload),
            (address(&world, client), v6(NATIVE))
        );
        assert_eq!(received[0].what.destination, socket("198.51.100.66:6666"));
    }
}

/// R4380-5.2.3-06: a trusted relay delivers in both directions, and its packets keep the path alive.
#[test]
fn a_trusted_relay_carries_a_conversation() {
    let (mut world, client, relay) = stage(NatBehaviour::port_restricted(), packets::echo_reply);
    let own = address(&world, client);
    send(&mut world, client, 0);
    world.run_for(SECOND);
    for number in 1..=60 {
        let mapped = teredo(&world, client).mapped;
        world.inject(
            relay,
            socket(RELAY),
            mapped,
            &packets::udp(v6(NATIVE), own, number),
        );
        world.run_for(seconds(2));
        assert_eq!(
            submit(&mut world, client, number),
            Submission::Send(socket(RELAY))
        );
    }
    let numbers: Vec<_> = delivered(&world, client)
        .iter()
        .map(|packet| packets::number(packet))
        .collect();
    assert_eq!(numbers, (1..=60).collect::<Vec<_>>());
    assert_eq!(
        echo_requests(&world, client).len(),
        1,
        "a path in use needs no test"
    );
}

/// R4380-5.2.4-01: after 31 s of silence the host is tested again.
#[test]
fn a_silent_relay_is_tested_again() {
    let (mut world, client, _) = stage(NatBehaviour::port_restricted(), packets::echo_reply);
    send(&mut world, client, 0);
    world.run_for(seconds(32));
    assert_eq!(submit(&mut world, client, 1), Submission::Queued);
    assert_eq!(echo_requests(&world, client).len(), 2);
    world.run_for(SECOND);
    assert_eq!(data(&world, client).len(), 2);
}

/// R4380-5.2.9-05: an echo reply to the host's own ping reaches the host.
#[test]
fn the_pings_of_the_host_are_its_own() {
    let (mut world, client, relay) = stage(NatBehaviour::port_restricted(), packets::echo_reply);
    let own = address(&world, client);
    let mut ping = Vec::new();
    wire::emit_echo_request(own, v6(NATIVE), 64, 7, 1, b"from the host", &mut ping);
    assert_eq!(world.submit(client, &ping), Submission::Queued);
    world.run_for(SECOND);
    let last = world.raw(relay).received().last().unwrap();
    assert_eq!(last.what.payload, ping);
    let reply = packets::echo_reply(&ping).unwrap();
    world.inject(relay, socket(RELAY), teredo(&world, client).mapped, &reply);
    world.run_for(SECOND);
    assert_eq!(delivered(&world, client), [reply]);
}

/// R4380-5.2.4-03: a stranger's packet causes one test, a packet of the host four.
#[test]
fn the_answer_to_a_stranger_has_all_its_tests() {
    for lost in 1..4_u32 {
        let (mut world, client, relay) = stage(NatBehaviour::cone(), packets::echo_reply);
        let mut left = lost;
        world.interfere(move |datagram| {
            let eaten = datagram.destination == socket("192.0.2.1:3544") && left > 0;
            left -= u32::from(eaten);
            eaten
        });
        let question = packets::udp(v6(NATIVE), address(&world, client), 9);
        let mapped = teredo(&world, client).mapped;
        world.inject(relay, socket(RELAY), mapped, &question);
        world.run_for(SECOND);
        assert_eq!(delivered(&world, client), [question]);
        assert_eq!(submit(&mut world, client, 1), Submission::Queued);
        world.run_for(seconds(8));
        assert_eq!(data(&world, client).len(), 1, "{lost} lost");
        assert_eq!(world.client(client).errors().len(), 0);
    }
}

/// W-04: strangers cause a limited number of tests. Their packets are the host's in any case.
#[test]
fn provoked_tests_are_limited() {
    let (mut world, client, _) = stage(NatBehaviour::cone(), |_| None);
    let rogue = world.add_raw(Network::Internet, &[v4("198.51.100.66")]);
    let own = address(&world, client);
    let mapped = teredo(&world, client).mapped;
    for number in 0..5_000 {
        let native = v6(&format!("2001:db8:1::{number:x}"));
        world.inject(
            rogue,
            socket("198.51.100.66:6666"),
            mapped,
            &packets::udp(native, own, 1),
        );
        world.run_for(Duration::from_millis(2));
    }
    world.run_for(seconds(10));
    let tests = echo_requests(&world, client).len();
    assert!(
        (50..=150).contains(&tests),
        "{tests} tests in 10 s, one each tenth of a second expected"
    );
    assert_eq!(delivered(&world, client).len(), 5_000);
}
