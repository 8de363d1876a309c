//! The time to live of direct bubbles that open the client's own NAT (RFC 4380 §5.2.4 case 5).

use std::time::Duration;

use teredo::DropReason;
use teredo_sim::{ClientId, Fate, NatBehaviour, Network, Refusal, World};

use crate::internet::*;
use crate::packets;

/// Two qualified clients, each behind its own router with an open input.
fn stage() -> (World, ClientId, ClientId) {
    let mut world = world(1);
    let [a, b] =
        [1, 2].map(|number| qualified_client(&mut world, number, NatBehaviour::open_input()));
    world.capture_mut().clear();
    (world, a, b)
}

fn send(world: &mut World, from: ClientId, to: ClientId, number: u8) {
    let packet = packets::udp(address(world, from), address(world, to), number);
    let _ = world.submit(from, &packet);
}

fn numbers(world: &World, client: ClientId) -> Vec<u8> {
    delivered(world, client)
        .iter()
        .map(|packet| packets::number(packet))
        .collect()
}

/// The times to live of the direct bubbles that a client sent.
fn direct(world: &World, from: ClientId, to: ClientId) -> Vec<u8> {
    let mapped = teredo(world, to).mapped;
    bubbles(world, from)
        .iter()
        .filter(|record| record.datagram.destination == mapped)
        .map(|record| record.datagram.ttl)
        .collect()
}

/// R4380-5.2.4-06: behind routers with open input the clients connect at once, whichever begins, and if both do. A
/// single early bubble would keep them apart, as the next test shows.
#[test]
fn clients_behind_open_inputs_meet() {
    for beginners in [&[0][..], &[1], &[0, 1]] {
        let (mut world, a, b) = stage();
        let clients = [a, b];
        for number in 0..5 {
            for &from in beginners {
                send(&mut world, clients[from], clients[1 - from], number);
            }
        }
        world.run_for(4 * ROUND_TRIP);
        for &from in beginners {
            assert_eq!(
                numbers(&world, clients[1 - from]),
                [0, 1, 2, 3, 4],
                "{beginners:?}:\n{}",
                world.capture()
            );
        }
        send(&mut world, b, a, 9);
        world.run_for(SECOND);
        assert_eq!(numbers(&world, a).last(), Some(&9));
    }
}

/// The effect of the RFC's direct bubble there: a peer that sends it all the way gets no answer from the known mapping.
/// `miredo` sends such bubbles.
#[test]
fn a_bubble_that_gets_there_too_early_keeps_the_two_apart() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::open_input());
    let peer = world.add_raw(Network::Internet, &[v4("198.51.100.44")]);
    let from = socket("198.51.100.44:4444");
    let mapped = teredo(&world, client).mapped;
    let source = teredo::wire::TeredoAddress {
        server: SERVER.primary,
        flags: Default::default(),
        mapped: from,
    };
    let bubble = packets::bubble(source.to_ipv6(), address(&world, client));
    world.inject(peer, from, mapped, &bubble);
    world.run_for(SECOND);
    let early = world.capture().sent_by(peer).last().unwrap().fate;
    assert_eq!(early, Fate::Refused(Refusal::Filtered));
    world.inject(peer, from, socket("192.0.2.1:3544"), &bubble);
    world.run_for(SECOND);
    let answer = &world.raw(peer).received()[0].what;
    assert_ne!(answer.source, mapped);
    assert_eq!(*answer.source.ip(), *mapped.ip());
}

/// R4380-5.2.4-06: bubbles to a peer that does not answer go further each time, and finally all the way.
#[test]
fn each_direct_bubble_goes_further_and_the_indirect_ones_go_all_the_way() {
    let (mut world, a, b) = stage();
    world.link_mut(b).up = false;
    send(&mut world, a, b, 1);
    world.run_for(seconds(10));
    assert_eq!(direct(&world, a, b), [2, 4, 8, 64]);
    let fates: Vec<_> = bubbles(&world, a)
        .iter()
        .map(|record| (record.datagram.ttl, record.fate == Fate::Expired))
        .collect();
    let indirect = (64, false);
    assert_eq!(
        fates,
        [
            (2, true),
            indirect,
            (4, false),
            indirect,
            (8, false),
            indirect,
            (64, false),
            indirect
        ]
    );
}

/// Behind two NATs the first bubble expires before the outer one, which costs 2 s. The first bubble to the next peer
/// goes further, so that peer is found at once.
#[test]
fn behind_two_nats_the_second_bubble_gets_through_and_later_peers_profit() {
    let mut world = world(1);
    let outer = nat(&mut world, 1, NatBehaviour::port_restricted());
    let inner = world.add_nat_in(outer, NatBehaviour::port_restricted(), [100, 64, 0, 2]);
    let client = world.add_idle_client(inner, local(1), by_rfc4380());
    world.start(client, &[SERVER]);
    qualify(&mut world, client);
    let peers =
        [2, 3].map(|number| qualified_client(&mut world, number, NatBehaviour::port_restricted()));
    for (peer, expected) in peers.into_iter().zip([vec![2, 4], vec![4]]) {
        let start = world.now();
        send(&mut world, client, peer, 1);
        let there = world.run_until(seconds(10), |world| !delivered(world, peer).is_empty());
        assert!(there, "{}", world.capture());
        assert_eq!(direct(&world, client, peer), expected);
        let waited = seconds(2 * (expected.len() as u64 - 1));
        assert!(
            (waited..waited + 8 * ROUND_TRIP).contains(&(world.now() - start)),
            "{:?}",
            world.now() - start
        );
    }
}

/// R6081-3.1-01: with the extensions, the first one is found at once, too: its own indirect bubble is answered by one that
/// goes all the way.
#[test]
fn behind_two_nats_a_peer_that_asks_back_is_found_at_once() {
    let mut world = world(1);
    let outer = nat(&mut world, 1, NatBehaviour::port_restricted());
    let inner = world.add_nat_in(outer, NatBehaviour::port_restricted(), [100, 64, 0, 2]);
    let client = world.add_client(inner, local(1), &[SERVER]);
    qualify(&mut world, client);
    let peer = qualified_client(&mut world, 2, NatBehaviour::port_restricted());
    let start = world.now();
    send(&mut world, client, peer, 1);
    let there = world.run_until(seconds(10), |world| !delivered(world, peer).is_empty());
    assert!(there, "{}", world.capture());
    assert!(
        world.now() - start < 8 * ROUND_TRIP,
        "{:?}",
        world.now() - start
    );
    assert_eq!(direct(&world, client, peer), [2, 64]);
}

/// An existing path is verified with bubbles that go all the way: both NATs are open.
#[test]
fn a_path_in_use_is_verified_all_the_way() {
    let (mut world, a, b) = stage();
    send(&mut world, a, b, 0);
    world.run_for(SECOND);
    for number in 1..60 {
        send(&mut world, a, b, number);
        world.run_for(SECOND);
    }
    let ttls = direct(&world, a, b);
    assert_eq!(ttls[0], 2);
    assert!(
        ttls.len() > 2 && ttls[1..].iter().all(|ttl| *ttl == 64),
        "{ttls:?}"
    );
    assert_eq!(numbers(&world, b), (0..60).collect::<Vec<_>>());
    assert_eq!(drops(&world, a, DropReason::PeerUnreachable), 0);
}

/// A bubble that is lost while a path in use is verified says nothing about the distance of the NAT.
#[test]
fn a_loss_on_a_path_in_use_makes_no_bubble_go_further() {
    let (mut world, a, b) = stage();
    send(&mut world, a, b, 0);
    world.run_for(SECOND);
    for number in 1..30 {
        world.link_mut(b).up = !(19..23).contains(&number);
        send(&mut world, a, b, number);
        world.run_for(SECOND);
    }
    let ttls = direct(&world, a, b);
    assert!(
        ttls.len() > 2 && ttls[1..].iter().all(|ttl| *ttl == 64),
        "{ttls:?}"
    );
    let c = qualified_client(&mut world, 3, NatBehaviour::open_input());
    send(&mut world, a, c, 1);
    world.run_for(SECOND);
    // The second one answers the peer's indirect bubble.
    assert_eq!(direct(&world, a, c), [2, 64]);
    assert_eq!(numbers(&world, c), [1]);
}

/// The first bubble opens the client's NAT and expires behind it, so it never reaches a stranger's router.
#[test]
fn the_first_bubble_ends_behind_the_own_nat() {
    let (mut world, a, b) = stage();
    let before = world.now();
    send(&mut world, a, b, 1);
    world.run_for(Duration::from_millis(1) + ROUND_TRIP / 2);
    let sent = bubbles(&world, a);
    assert_eq!(sent[0].at, before);
    assert_eq!(sent[0].fate, Fate::Expired);
    assert_ne!(
        sent[0].public_source, sent[0].datagram.source,
        "it has passed the NAT"
    );
}
