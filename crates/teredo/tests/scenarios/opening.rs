//! The time to live of direct bubbles that open the client's own NAT (RFC 4380 §5.2.4 case 5).

use std::time::Duration;

use teredo::wire::Datagram;
use teredo::{ClientConfig, DropReason};
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

/// Client `number` behind NATs in a row, the outermost first; not yet qualified.
fn nested_in<const N: usize>(
    world: &mut World,
    number: u8,
    nats: [NatBehaviour; N],
    config: ClientConfig,
) -> ClientId {
    let mut network = Network::Internet;
    for (depth, behaviour) in (0..).zip(nats) {
        let external = match depth {
            0 => [203, 0, 113, 16 * number],
            depth => [100, 64, depth, number],
        };
        let nat = world.add_nat_in(network, behaviour, external);
        let gateway = [100, 64, depth + 1, 254];
        world.set_gateway(nat, gateway);
        if depth > 0 {
            world.nat_link_mut(nat).delay = Duration::from_millis(2);
        }
        network = nat.into();
    }
    let client = world.add_idle_client(network, local(number), config);
    world.start(client, &[SERVER]);
    client
}

/// Client `number` behind its home's NAT, which is behind another; not yet qualified.
fn nested_client(
    world: &mut World,
    number: u8,
    outer: NatBehaviour,
    inner: NatBehaviour,
    config: ClientConfig,
) -> ClientId {
    nested_in(world, number, [outer, inner], config)
}

/// Pairs of NATs in a row that look like a cone NAT from outside.
fn two_nats() -> impl Iterator<Item = (NatBehaviour, NatBehaviour)> {
    let kinds = [
        NatBehaviour::cone(),
        NatBehaviour::restricted(),
        NatBehaviour::port_restricted(),
        NatBehaviour::open_input(),
        NatBehaviour::carrier(),
    ];
    let inner = [0, 1, 2, 3].map(|kind| kinds[kind]);
    kinds
        .into_iter()
        .flat_map(move |outer| inner.map(|inner| (outer, inner)))
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

/// R4380-5.2.4-06: a router behind the NAT reports the first bubble. So those that follow end there, too, and the last one
/// goes all the way.
#[test]
fn a_known_distance_is_kept_and_the_indirect_bubbles_go_all_the_way() {
    let (mut world, a, b) = stage();
    world.link_mut(b).up = false;
    send(&mut world, a, b, 1);
    world.run_for(seconds(10));
    assert_eq!(direct(&world, a, b), [2, 2, 2, 64]);
    let fates: Vec<_> = bubbles(&world, a)
        .iter()
        .map(|record| (record.datagram.ttl, record.fate == Fate::Expired))
        .collect();
    let (limited, indirect) = ((2, true), (64, false));
    assert_eq!(
        fates,
        [
            limited,
            indirect,
            limited,
            indirect,
            limited,
            indirect,
            (64, false),
            indirect
        ]
    );
}

/// R4380-5.2.4-06: without reports, bubbles to a peer that does not answer go further each time, and each is sent three
/// times at most.
#[test]
fn without_reports_each_direct_bubble_goes_further() {
    let (mut world, a, b) = stage();
    world.set_mute(true);
    world.link_mut(b).up = false;
    send(&mut world, a, b, 1);
    world.run_for(seconds(10));
    assert_eq!(direct(&world, a, b), [2, 2, 2, 4, 4, 4, 8, 8, 8, 64]);
    let all = bubbles(&world, a);
    let indirect = all
        .iter()
        .filter(|record| record.datagram.destination.port() == 3544);
    assert_eq!(indirect.count(), 4);
}

/// Behind two NATs of any kind the first peer is found at once, whichever begins. Without reports, the second bubble gets
/// through, which costs 2 s.
#[test]
fn behind_two_nats_the_first_peer_is_found_at_once() {
    for (outer, inner) in two_nats() {
        for (peer, begins) in [(false, 0), (true, 0), (true, 1)] {
            let mut world = world(1);
            let client = nested_client(&mut world, 1, outer, inner, by_rfc4380());
            let peer = match peer {
                true => nested_client(&mut world, 2, outer, inner, by_rfc4380()),
                false => client_with(&mut world, 2, NatBehaviour::open_input(), by_rfc4380()),
            };
            qualify(&mut world, client);
            qualify(&mut world, peer);
            let pair = [client, peer];
            let (from, to) = (pair[begins], pair[1 - begins]);
            let start = world.now();
            send(&mut world, from, to, 1);
            let there = world.run_until(SECOND, |world| !delivered(world, to).is_empty());
            assert!(there, "{outer:?} {inner:?}:\n{}", world.capture());
            assert!(world.now() - start < 4 * ROUND_TRIP);
            send(&mut world, to, from, 2);
            world.run_for(SECOND);
            assert_eq!(numbers(&world, from), [2]);
        }
    }
}

/// The knowledge from the first peer holds for the next ones.
#[test]
fn later_peers_profit_from_the_first() {
    let mut world = world(1);
    let (outer, inner) = (NatBehaviour::open_input(), NatBehaviour::port_restricted());
    let client = nested_client(&mut world, 1, outer, inner, by_rfc4380());
    qualify(&mut world, client);
    for number in [2, 3] {
        let peer = qualified_client(&mut world, number, NatBehaviour::port_restricted());
        send(&mut world, client, peer, 1);
        world.run_for(SECOND);
        assert_eq!(numbers(&world, peer), [1], "{}", world.capture());
        let ttls = direct(&world, client, peer);
        assert_eq!(
            ttls[0], number,
            "the second peer's first bubble passes both"
        );
        assert_eq!(*ttls.last().unwrap(), 3);
        assert!(ttls.len() <= 3, "{ttls:?}");
    }
}

/// The same through three NATs, whose routers each report one bubble: the copies of the first attempt are just enough.
#[test]
fn behind_three_nats_the_copies_are_enough() {
    let mut world = world(1);
    let client = nested_in(
        &mut world,
        1,
        [NatBehaviour::port_restricted(); 3],
        by_rfc4380(),
    );
    qualify(&mut world, client);
    let peer = qualified_client(&mut world, 2, NatBehaviour::open_input());
    send(&mut world, client, peer, 1);
    world.run_for(SECOND);
    assert_eq!(numbers(&world, peer), [1], "{}", world.capture());
    assert_eq!(direct(&world, client, peer), [2, 3, 4]);
}

/// Routers that send no reports, and NATs that let none in: the second bubble gets through, as long as the outer router
/// does not keep the peer's answer for itself. Then the next peer is found at once.
#[test]
fn behind_two_nats_without_reports_the_second_bubble_gets_through() {
    for mute in [true, false] {
        let mut world = world(1);
        world.set_mute(mute);
        let deaf = NatBehaviour {
            icmp_errors: false,
            ..NatBehaviour::port_restricted()
        };
        let outer = NatBehaviour::port_restricted();
        let client = nested_client(&mut world, 1, outer, deaf, by_rfc4380());
        qualify(&mut world, client);
        for (number, expected) in [(2, [2, 2, 2, 4].as_slice()), (3, &[4])] {
            let peer = qualified_client(&mut world, number, NatBehaviour::port_restricted());
            let start = world.now();
            send(&mut world, client, peer, 1);
            let there = world.run_until(seconds(10), |world| !delivered(world, peer).is_empty());
            assert!(there, "{}", world.capture());
            let ttls = direct(&world, client, peer);
            assert_eq!(ttls[..expected.len()], *expected);
            assert!(ttls.iter().all(|ttl| ttl <= expected.last().unwrap()));
            let waited = seconds(u64::from(number == 2) * 2);
            assert!((waited..waited + 8 * ROUND_TRIP).contains(&(world.now() - start)));
        }
    }
}

/// R6081-3.1-01: with the extensions and without reports, the first one is found at once, too: its own indirect bubble is
/// answered by one that goes all the way.
#[test]
fn behind_two_nats_a_peer_that_asks_back_is_found_at_once() {
    let mut world = world(1);
    world.set_mute(true);
    let both = NatBehaviour::port_restricted();
    let client = nested_client(&mut world, 1, both, both, Default::default());
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
    assert_eq!(direct(&world, client, peer), [2, 2, 2, 64]);
}

/// A single lost bubble, of the client that begins or of the one that answers, keeps nobody apart, even if both routers
/// have open inputs.
#[test]
fn a_lost_bubble_keeps_no_clients_apart() {
    for by_rfc6081 in [false, true] {
        for lost in 0..6 {
            let mut world = world(1);
            let config = || match by_rfc6081 {
                true => Default::default(),
                false => by_rfc4380(),
            };
            let [a, b] = [1, 2].map(|number| {
                let client = client_with(&mut world, number, NatBehaviour::open_input(), config());
                qualify(&mut world, client);
                client
            });
            let mut count = 0;
            world.interfere(move |datagram| {
                let datagram = Datagram::parse(&datagram.payload);
                let is_bubble = datagram.is_ok_and(|datagram| datagram.packet.is_bubble());
                count += u32::from(is_bubble);
                is_bubble && count == lost + 1
            });
            send(&mut world, a, b, 1);
            world.run_for(seconds(4));
            send(&mut world, b, a, 2);
            world.run_for(SECOND);
            let heard = [numbers(&world, a), numbers(&world, b)];
            assert_eq!(
                heard,
                [[2], [1]],
                "bubble {lost} lost:\n{}",
                world.capture()
            );
        }
    }
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
