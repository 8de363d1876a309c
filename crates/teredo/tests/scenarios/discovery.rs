//! Clients on one link behind one NAT that does not hairpin find each other (RFC 4380 §5.2.8).

use teredo::client::LocalSubnet;
use teredo::wire::{DISCOVERY, Datagram};
use teredo::{ClientConfig, DropReason, Submission};
use teredo_sim::{ClientId, NatBehaviour, Record, World};

use crate::internet::*;
use crate::packets;

/// Two neighbours that have found each other.
fn acquainted(seed: u64) -> (World, [ClientId; 2]) {
    let (mut world, _, clients) = neighbours(seed, NatBehaviour::port_restricted());
    for client in clients {
        join(&mut world, client);
    }
    world.run_for(seconds(2));
    for client in clients {
        assert_eq!(status(&world, client).neighbours, 1, "{}", world.capture());
    }
    (world, clients)
}

fn local_bubbles(world: &World, client: ClientId) -> Vec<Record> {
    bubbles(world, client)
        .into_iter()
        .filter(|record| record.datagram.destination == DISCOVERY)
        .collect()
}

fn submit(world: &mut World, from: ClientId, to: ClientId, number: u8) -> Submission {
    let packet = packets::udp(address(world, from), address(world, to), number);
    world.submit(from, &packet)
}

/// R4380-5.2.8-03: the local bubble, byte by byte; its TTL of 1 is the driver's.
#[test]
fn a_local_bubble_is_as_the_rfc_draws_it() {
    let (world, [a, _]) = acquainted(1);
    let bubble = local_bubbles(&world, a).remove(0);
    assert_eq!(bubble.datagram.source, local(1));
    assert_eq!(bubble.datagram.destination, socket("224.0.0.253:3544"));
    let datagram = Datagram::parse(bubble.payload()).unwrap();
    assert!(datagram.authentication.is_none() && datagram.origin.is_none());
    let packet = datagram.packet;
    assert_eq!(packet.source(), address(&world, a));
    assert_eq!(packet.destination(), v6("ff02::1"));
    assert_eq!((packet.next_header(), packet.hop_limit()), (59, 1));
    assert_eq!(bubble.payload().len(), 40);
}

/// R4380-5.2.8-02: 200 s to 300 s apart, at random; the first at once.
#[test]
fn local_bubbles_come_at_random_times() {
    let mut world = world(3);
    let client = qualified_client(&mut world, 1, NatBehaviour::restricted());
    join(&mut world, client);
    let start = world.now();
    world.run_for(seconds(200 * 300));
    let times = times(start, &local_bubbles(&world, client));
    assert!(times[0] < 1.0, "the first one after {} s", times[0]);
    let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() >= 200, "{} local bubbles", gaps.len());
    assert!(
        gaps.iter().all(|gap| (200.0..=300.0).contains(gap)),
        "{gaps:?}"
    );
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    assert!((240.0..260.0).contains(&mean), "not uniform: mean {mean}");
    for decile in 0..10 {
        let low = 200.0 + 10.0 * f64::from(decile);
        let there = gaps.iter().filter(|gap| (low..low + 10.0).contains(*gap));
        assert!(
            there.count() >= 5,
            "nothing between {low} s and {} s",
            low + 10.0
        );
    }
}

/// R4380-5.2.3-11, R4380-5.2.8-07, R4380-5.2.8-08: a local bubble is answered by a unicast bubble. Its sender is
/// remembered but not trusted: the first packet waits.
#[test]
fn a_local_bubble_is_answered_and_not_trusted() {
    let (mut world, [a, b]) = acquainted(1);
    let to_a: Vec<_> = bubbles(&world, b)
        .into_iter()
        .filter(|record| record.datagram.destination == local(1))
        .collect();
    assert!(!to_a.is_empty(), "{}", world.capture());
    let (source, target) = packets::endpoints(to_a[0].payload());
    assert_eq!((source, target), (address(&world, b), address(&world, a)));
    // The other client's answer makes a path for 30 s.
    world.run_for(seconds(45));
    assert_eq!(status(&world, b).neighbours, 1);
    assert_eq!(submit(&mut world, b, a, 1), Submission::Queued);
}

/// R4380-5.2.8-08: the answers of neighbours that are not known yet are expected, and no refused sources.
#[test]
fn the_answers_of_new_neighbours_are_no_drops() {
    for seed in 0..20 {
        let (world, clients) = acquainted(seed);
        for client in clients {
            for reason in [DropReason::RefusedSource, DropReason::LocalDiscovery] {
                assert_eq!(drops(&world, client, reason), 0, "{}", world.capture());
            }
        }
    }
}

/// R4380-5.2-07, R4380-5.2.3-12, R4380-5.2.4-04, R4380-5.2.4-09: the first packet waits for a unicast and a local
/// bubble; then both directions use the link, with addresses that are not global.
#[test]
fn neighbours_talk_over_the_link() {
    let (mut world, [a, b]) = acquainted(1);
    // Longer than the path that discovery makes.
    world.run_for(seconds(60));
    world.capture_mut().clear();
    for number in 0..5 {
        assert_eq!(submit(&mut world, a, b, number), Submission::Queued);
    }
    let asked: Vec<_> = bubbles(&world, a)
        .iter()
        .map(|record| record.datagram.destination)
        .collect();
    assert!(
        asked.contains(&local(2)) && asked.contains(&DISCOVERY),
        "{asked:?}"
    );
    assert!(
        world.run_until(SECOND / 10, |world| delivered(world, b).len() == 5),
        "{}",
        world.capture()
    );
    assert_eq!(submit(&mut world, a, b, 5), Submission::Send(local(2)));
    assert_eq!(submit(&mut world, b, a, 6), Submission::Send(local(1)));
    world.run_for(SECOND);
    let numbers: Vec<_> = delivered(&world, b)
        .iter()
        .map(|packet| packets::number(packet))
        .collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    assert_eq!(delivered(&world, a).len(), 1);
    for record in data(&world, a).into_iter().chain(data(&world, b)) {
        assert!(record.datagram.destination.ip().is_private(), "{record}");
    }
}

/// R4380-5.2.4-01: a conversation over the link goes on for an hour, even in one direction only, and its path is
/// verified on the link.
#[test]
fn a_one_way_flow_over_the_link_never_halts() {
    let (mut world, [a, b]) = acquainted(1);
    let _ = submit(&mut world, a, b, 0);
    world.run_for(SECOND);
    for _ in 0..3600 {
        assert_eq!(submit(&mut world, a, b, 1), Submission::Send(local(2)));
        world.run_for(SECOND);
    }
    assert_eq!(delivered(&world, b).len(), 3601);
}

/// R4380-5.2.8-01, R4380-MS-05: a client that joins the link later is known within seconds, in both directions.
#[test]
fn a_newcomer_is_known_at_once() {
    let (mut world, nat, [a, b]) = neighbours(4, NatBehaviour::port_restricted());
    join(&mut world, a);
    world.run_for(seconds(100));
    join(&mut world, b);
    world.run_for(seconds(2));
    for client in [a, b] {
        assert_eq!(status(&world, client).neighbours, 1, "{}", world.capture());
    }
    // On another link nothing of it is left.
    let elsewhere = crate::internet::nat(&mut world, 9, NatBehaviour::port_restricted());
    world.rebind(b, elsewhere, local(2));
    qualify(&mut world, b);
    world.set_local_subnet(b, None);
    assert_eq!(status(&world, b).neighbours, 0);
    world.rebind(b, nat, socket("10.0.0.9:40002"));
    qualify(&mut world, b);
    join(&mut world, b);
    world.run_for(seconds(15));
    let _ = submit(&mut world, a, b, 1);
    world.run_for(SECOND);
    let found = submit(&mut world, a, b, 2);
    assert_eq!(found, Submission::Send(socket("10.0.0.9:40002")));
}

/// R4380-5.2.8-09, R4380-7.3.4-01: with discovery off, a client neither sends nor receives local bubbles.
#[test]
fn discovery_can_be_switched_off() {
    let mut world = world(1);
    let nat = nat(&mut world, 1, NatBehaviour::port_restricted());
    let a = world.add_client(nat, local(1), &[SERVER]);
    let config = ClientConfig {
        local_discovery: false,
        ..ClientConfig::default()
    };
    let b = world.add_idle_client(nat, local(2), config);
    world.start(b, &[SERVER]);
    for client in [a, b] {
        qualify(&mut world, client);
        join(&mut world, client);
    }
    world.run_for(seconds(1000));
    assert!(local_bubbles(&world, a).len() >= 3);
    assert_eq!(bubbles(&world, b).len(), 0);
    assert_eq!(status(&world, b).neighbours, 0);
    assert!(drops(&world, b, DropReason::LocalDiscovery) >= 3);
}

/// R4380-5.2.4-06: a neighbour that has left the link is still reached by the public path if there is one.
#[test]
fn a_neighbour_that_went_away_is_reached_by_the_public_way() {
    let (mut world, [a, b]) = acquainted(1);
    let elsewhere = nat(&mut world, 9, NatBehaviour::port_restricted());
    let before = teredo(&world, b);
    world.rebind(b, elsewhere, local(3));
    qualify(&mut world, b);
    assert_ne!(teredo(&world, b), before);
    world.set_local_subnet(b, None);
    assert_eq!(submit(&mut world, a, b, 1), Submission::Queued);
    assert!(world.run_until(SECOND, |world| !delivered(world, b).is_empty()));
}

/// R4380-5.2.4-09, R4380-MS-05: on another link nothing goes to the address that a neighbour had on the first, even if
/// the mapping is the same.
#[test]
fn paths_on_a_link_end_with_the_link() {
    let (mut world, [a, b]) = acquainted(1);
    let _ = submit(&mut world, a, b, 1);
    world.run_for(SECOND);
    assert_eq!(submit(&mut world, a, b, 2), Submission::Send(local(2)));
    let other = LocalSubnet {
        prefix_len: 16,
        ..subnet(&world, a)
    };
    world.set_local_subnet(a, Some(other));
    assert_eq!(submit(&mut world, a, b, 3), Submission::Queued);
}
