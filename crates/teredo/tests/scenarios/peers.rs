//! Two clients locate each other (RFC 4380 §5.2.3, §5.2.4, §5.2.6).

use teredo::Submission;
use teredo_sim::{ClientId, NatBehaviour, World};

use crate::internet::*;
use crate::packets;

const KINDS: [NatBehaviour; 3] = [
    NatBehaviour::cone(),
    NatBehaviour::restricted(),
    NatBehaviour::port_restricted(),
];

/// Two qualified clients behind these NATs.
fn pair(seed: u64, one: NatBehaviour, two: NatBehaviour) -> (World, ClientId, ClientId) {
    let mut world = world(seed);
    let one = qualified_client(&mut world, 1, one);
    let two = qualified_client(&mut world, 2, two);
    world.capture_mut().clear();
    (world, one, two)
}

/// Sends packet `number` from one client to the other.
fn send(world: &mut World, from: ClientId, to: ClientId, number: u8) {
    let _ = submit(world, from, to, number);
}

/// As [`send`], but returns the result.
fn submit(world: &mut World, from: ClientId, to: ClientId, number: u8) -> Submission {
    let packet = packets::udp(address(world, from), address(world, to), number);
    world.submit(from, &packet)
}

fn numbers(world: &World, client: ClientId) -> Vec<u8> {
    delivered(world, client)
        .iter()
        .map(|packet| packets::number(packet))
        .collect()
}

/// R4380-5.2.3-09, R4380-5.2.3-10, R4380-5.2.4-06, R4380-5.2.6-01, R5991-3.2-05: the first five packets arrive in
/// order, in one and a half round trips, behind every pair of NATs, and the way back is open at once (trace G1).
#[test]
fn the_first_five_packets_arrive_in_order() {
    for one in KINDS {
        for two in KINDS {
            let (mut world, a, b) = pair(1, one, two);
            let start = world.now();
            for number in 0..5 {
                assert_eq!(submit(&mut world, a, b, number), Submission::Queued);
            }
            assert!(
                world.run_until(SECOND, |world| delivered(world, b).len() == 5),
                "{}",
                world.capture()
            );
            assert_eq!(numbers(&world, b), [0, 1, 2, 3, 4]);
            assert!(world.now() - start < 4 * ROUND_TRIP);

            let mapped = teredo(&world, a).mapped;
            assert_eq!(submit(&mut world, b, a, 9), Submission::Send(mapped));
            let mapped = teredo(&world, b).mapped;
            assert_eq!(submit(&mut world, a, b, 5), Submission::Send(mapped));
            world.run_for(SECOND);
            assert_eq!(numbers(&world, a), [9]);
            assert_eq!(numbers(&world, b), [0, 1, 2, 3, 4, 5]);

            // A direct and an indirect bubble of each client, and an answer to the second indirect one; none reaches a
            // host.
            let sent = bubbles(&world, a);
            let to: Vec<_> = sent
                .iter()
                .map(|record| record.datagram.destination)
                .collect();
            assert_eq!(to, [mapped, socket("192.0.2.1:3544"), mapped]);
            assert_eq!(distinct_bubbles(&world, b).len(), 2);
            assert_eq!(status(&world, a).trusted_peers, 1);
        }
    }
}

/// R4380-2.9-01: bubbles and data leave from the service port.
#[test]
fn everything_leaves_from_the_service_port() {
    let (mut world, a, b) = pair(
        1,
        NatBehaviour::restricted(),
        NatBehaviour::port_restricted(),
    );
    send(&mut world, a, b, 1);
    world.run_for(seconds(120));
    for (client, local) in [(a, local(1)), (b, local(2))] {
        assert!(
            world
                .capture()
                .sent_by(client)
                .all(|record| record.datagram.source == local)
        );
    }
}

/// R4380-5.2.4-02: data goes directly to the peer and not through the server.
#[test]
fn data_never_passes_the_server() {
    let (mut world, a, b) = pair(1, NatBehaviour::restricted(), NatBehaviour::restricted());
    for number in 0..100 {
        send(&mut world, a, b, number);
        world.run_for(SECOND / 10);
    }
    let to = teredo(&world, b).mapped;
    let sent = data(&world, a);
    assert_eq!(sent.len(), 100);
    assert!(sent.iter().all(|record| record.datagram.destination == to));
    assert!(
        sent.iter().all(|record| record.payload().len() == 49),
        "the packet is the whole payload"
    );
}

/// R4380-5.2.4-01: after 31 s of silence the path is set up again.
#[test]
fn a_path_is_good_for_thirty_seconds() {
    let (mut world, a, b) = pair(1, NatBehaviour::restricted(), NatBehaviour::restricted());
    send(&mut world, a, b, 1);
    world.run_for(seconds(29));
    assert!(matches!(submit(&mut world, a, b, 2), Submission::Send(_)));
    world.run_for(seconds(35));
    let before = bubbles(&world, a).len();
    assert_eq!(submit(&mut world, a, b, 3), Submission::Queued);
    // Over the path that may still be open (R6081-5.7.4.1-01).
    let asked = &bubbles(&world, a)[before..];
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].datagram.destination, teredo(&world, b).mapped);
    world.run_for(SECOND);
    assert_eq!(numbers(&world, b), [1, 2, 3]);
}

/// R4380-5.2.4-01, R4380-5.2.5-01: the path of a one-way flow is verified in time, so the flow never stops. The other
/// side hears its server all the time, sends nothing to it, and has a NAT that counts outbound traffic only.
#[test]
fn a_flow_in_one_direction_never_pauses() {
    for lifetime in [45, 60, 120, 300] {
        let behaviour = NatBehaviour {
            lifetime: seconds(lifetime),
            refresh_inbound: false,
            ..NatBehaviour::port_restricted()
        };
        let (mut world, a, b) = pair(1, behaviour, behaviour);
        send(&mut world, a, b, 0);
        world.run_for(SECOND);
        for number in 1..=250 {
            assert!(
                matches!(submit(&mut world, a, b, number), Submission::Send(_)),
                "packet {number}, lifetime {lifetime} s"
            );
            world.run_for(SECOND);
        }
        assert_eq!(numbers(&world, b), (0..=250).collect::<Vec<_>>());
        assert!(bubbles(&world, a).len() < 2 * 250 / 10);
    }
}

/// R4380-5.2.3-09: both may begin at the same moment.
#[test]
fn simultaneous_opening() {
    for one in KINDS {
        for two in KINDS {
            let (mut world, a, b) = pair(1, one, two);
            for number in 0..5 {
                send(&mut world, a, b, number);
                send(&mut world, b, a, number);
            }
            world.run_for(seconds(4));
            assert_eq!(numbers(&world, a), [0, 1, 2, 3, 4], "{}", world.capture());
            assert_eq!(numbers(&world, b), [0, 1, 2, 3, 4]);
        }
    }
}

/// R4380-5.2.6-03, R4380-MS-01: the indirect bubble goes to the peer's server, not to the client's own.
#[test]
fn a_peer_of_another_server_is_reached_through_that() {
    let mut world = world(1);
    let a = qualified_client(&mut world, 1, NatBehaviour::port_restricted());
    let nat = nat(&mut world, 2, NatBehaviour::port_restricted());
    let b = world.add_client(nat, local(2), &[OTHER_SERVER]);
    qualify(&mut world, b);
    world.capture_mut().clear();
    send(&mut world, a, b, 1);
    world.run_for(SECOND);
    assert_eq!(numbers(&world, b), [1]);
    assert_eq!(
        bubbles(&world, a)[1].datagram.destination,
        socket("192.0.2.17:3544")
    );
    send(&mut world, b, a, 2);
    world.run_for(SECOND);
    assert_eq!(numbers(&world, a), [2]);
}

/// R4380-5.2.4-10, R5991-3.2-02, R4380-4-07: the flag bits of a peer, cone bit and reserved ones, have no effect.
#[test]
fn the_flags_of_a_peer_are_ignored() {
    for bits in [0x8000, 0x4300, 0xffff, 0x0001] {
        let mut world = world(1);
        let client = qualified_client(&mut world, 1, NatBehaviour::restricted());
        let from = socket("198.51.100.44:4444");
        let peer = world.add_raw(teredo_sim::Network::Internet, &[*from.ip()]);
        let flags = teredo::wire::Flags::from_bits(bits);
        let own = address(&world, client);
        let other = teredo::wire::TeredoAddress {
            server: SERVER.primary,
            flags,
            mapped: from,
        }
        .to_ipv6();
        assert_eq!(
            world.submit(client, &packets::udp(own, other, 1)),
            Submission::Queued
        );
        world.run_for(SECOND);
        assert_eq!(
            data(&world, client),
            [],
            "nothing but bubbles before the peer is heard"
        );
        assert_eq!(
            bubbles(&world, client).len(),
            2,
            "a direct and an indirect bubble"
        );
        world.inject(
            peer,
            from,
            teredo(&world, client).mapped,
            &packets::bubble(other, own),
        );
        world.run_for(SECOND);
        assert_eq!(data(&world, client).len(), 1, "flags {bits:#06x}");
    }
}

/// R4380-5.2.3-09: data before any bubble is accepted, and makes its sender a peer.
#[test]
fn data_from_the_embedded_mapping_is_trusted() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::cone());
    let from = socket("198.51.100.44:4444");
    let peer = world.add_raw(teredo_sim::Network::Internet, &[*from.ip()]);
    let other = teredo::wire::TeredoAddress {
        server: SERVER.primary,
        flags: Default::default(),
        mapped: from,
    }
    .to_ipv6();
    let own = address(&world, client);
    world.inject(
        peer,
        from,
        teredo(&world, client).mapped,
        &packets::udp(other, own, 7),
    );
    world.run_for(SECOND);
    assert_eq!(delivered(&world, client), [packets::udp(other, own, 7)]);
    assert_eq!(
        world.submit(client, &packets::udp(own, other, 8)),
        Submission::Send(from)
    );
    assert_eq!(bubbles(&world, client), []);
}

/// RFC 4380 §8.3: behind the same NAT, hairpinning is needed.
#[test]
fn clients_behind_one_nat_need_hairpinning() {
    for hairpin in [true, false] {
        let mut world = world(1);
        let nat = nat(
            &mut world,
            1,
            NatBehaviour {
                hairpin,
                ..NatBehaviour::port_restricted()
            },
        );
        let [a, b] = [1, 2].map(|number| {
            let client = world.add_idle_client(nat, local(number), by_rfc4380());
            world.start(client, &[SERVER]);
            client
        });
        qualify(&mut world, a);
        qualify(&mut world, b);
        send(&mut world, a, b, 1);
        world.run_for(seconds(10));
        assert_eq!(numbers(&world, b), if hairpin { vec![1] } else { vec![] });
        assert_eq!(world.client(a).errors().len(), usize::from(!hairpin));
    }
}

/// R4380-5.2.5-05: a peer with a new mapping is found at its new address.
#[test]
fn a_peer_that_renumbered_is_found_again() {
    let (mut world, a, b) = pair(1, NatBehaviour::restricted(), NatBehaviour::restricted());
    send(&mut world, a, b, 1);
    world.run_for(SECOND);
    let elsewhere = nat(&mut world, 3, NatBehaviour::restricted());
    world.rebind(b, elsewhere, local(3));
    qualify(&mut world, b);
    send(&mut world, a, b, 2);
    send(&mut world, b, a, 3);
    world.run_for(seconds(4));
    assert_eq!(
        (numbers(&world, b), numbers(&world, a)),
        (vec![1, 2], vec![3])
    );
}
