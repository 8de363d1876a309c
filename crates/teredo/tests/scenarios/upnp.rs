//! NATs that open the service port on request (RFC 6081 §5.3).

use std::net::SocketAddrV4;
use std::time::Duration;

use teredo::client::{Nat, NatTraversal};
use teredo::wire::{Datagram, PORT, Trailer};
use teredo::{ClientConfig, Submission};
use teredo_sim::{ClientId, NatBehaviour, World};

use crate::internet::*;
use crate::random_ports::{packet, submit, trace};

/// Client `number`, which has asked its NAT for its service port.
fn granted(
    world: &mut World,
    number: u8,
    behaviour: NatBehaviour,
    nat_traversal: NatTraversal,
) -> ClientId {
    let nat = nat(world, number, behaviour);
    let config = ClientConfig {
        nat_traversal,
        ..ClientConfig::default()
    };
    let client = world.add_idle_client(nat, local(number), config);
    let external = world.ask_gateway(client);
    assert_eq!(
        external,
        Some(SocketAddrV4::new(
            [203, 0, 113, number].into(),
            local(number).port()
        ))
    );
    world.start(client, &[SERVER]);
    qualify(world, client);
    client
}

fn meets(world: &mut World, a: ClientId, b: ClientId) {
    for (from, to, number) in [(b, a, 2), (a, b, 3), (b, a, 4)] {
        assert!(matches!(
            submit(world, from, to, number),
            Submission::Send(_)
        ));
        world.run_for(SECOND);
        assert_eq!(
            delivered(world, to).last(),
            Some(&packet(world, from, to, number))
        );
    }
}

/// R6081-5.3.3-05, R6081-5.3.3-06, R6081-5.3.3-07, R6081-5.3.4.1-01, R6081-5.3.4.2-01, R6081-5.3.4.3-01, golden trace G3: the
/// example of RFC 6081 §6.2. Each sends to the mapping in the other's address, and hears it from elsewhere.
#[test]
fn clients_behind_upnp_symmetric_nats_meet() {
    let mut world = world(1);
    let [a, b] = [1, 2].map(|number| {
        granted(
            &mut world,
            number,
            NatBehaviour::igd_symmetric(),
            NatTraversal::Rfc6081,
        )
    });
    assert_eq!(status(&world, a).nat, Nat::Symmetric);
    world.capture_mut().clear();
    assert_eq!(submit(&mut world, a, b, 1), Submission::Queued);
    world.run_for(SECOND);
    let expected = [
        // Its time to live ends on the way. In the RFC it arrives, and B does not believe it.
        "A service: bubble to B, lost",
        "A service: bubble to primary nonce",
        "B service: bubble to A nonce",
        "B service: bubble to primary nonce",
        "A service: bubble to B nonce",
        "A service: data to B",
        "B service: bubble to A nonce",
    ];
    assert_eq!(trace(&world, [a, b]), expected, "{}", world.capture());
    for client in [a, b] {
        let from = world
            .capture()
            .sent_by(client)
            .filter(|record| record.delivered());
        for record in from.filter(|record| record.datagram.destination.port() != PORT) {
            assert_ne!(record.public_source, teredo(&world, client).mapped);
        }
    }
    assert_eq!(
        submit(&mut world, b, a, 2),
        Submission::Send(teredo(&world, a).mapped)
    );
    world.run_for(SECOND);
    meets(&mut world, a, b);
}

/// R6081-5.3.4.1-01: figure 1 of RFC 6081, the cells with UPnP, each direction, with a refresh in between.
#[test]
fn promised_pairs_with_upnp_meet() {
    let [restricted, symmetric] = [NatBehaviour::igd(), NatBehaviour::igd_symmetric()];
    for (one, two) in [
        (restricted, symmetric),
        (symmetric, restricted),
        (symmetric, symmetric),
    ] {
        let mut world = world(1);
        let a = granted(&mut world, 1, one, NatTraversal::Rfc6081);
        let b = granted(&mut world, 2, two, NatTraversal::Rfc6081);
        let _ = submit(&mut world, a, b, 1);
        world.run_for(SECOND);
        assert_eq!(delivered(&world, b), [packet(&world, a, b, 1)]);
        meets(&mut world, a, b);
        world.run_for(seconds(40));
        let _ = submit(&mut world, b, a, 2);
        world.run_for(SECOND);
        meets(&mut world, a, b);
    }
}

/// R6081-5.3.4.3-01: without any one of the conditions, packets go where the peer is heard.
#[test]
fn without_a_gateway_packets_go_where_the_peer_is_heard() {
    // The peer is not symmetric.
    let mut world = world(1);
    let a = granted(
        &mut world,
        1,
        NatBehaviour::igd_symmetric(),
        NatTraversal::Rfc6081,
    );
    let b = qualified_client(&mut world, 2, NatBehaviour::cone());
    let _ = submit(&mut world, a, b, 1);
    world.run_for(SECOND);
    let to_b = Submission::Send(teredo(&world, b).mapped);
    assert_eq!(submit(&mut world, a, b, 2), to_b);
    // B's NAT is not symmetric, and A is heard from elsewhere.
    let Submission::Send(to) = submit(&mut world, b, a, 3) else {
        panic!("there is a path");
    };
    assert_eq!(to.ip(), teredo(&world, a).mapped.ip());
    assert_ne!(to, teredo(&world, a).mapped);
}

/// R6081-5.3.3-05: a router may open the port, or say so, after the servers have answered, such as after a change of the port.
/// The client then forgets its failed attempts, because the port was closed when it made them.
#[test]
fn a_router_may_answer_late() {
    const EARLY: [u64; 8] = [0, 45, 70, 100, 300, 500, 1000, 2100];
    const LATE: [u64; 4] = [4100, 6100, 9000, 30_000];
    let inside = EARLY.iter().chain(&LATE).map(|&late| (late, true));
    // A peer that has given up asks again after 300 s.
    let outside = EARLY.iter().map(|&late| (late, false));
    for (late_ms, begins_inside) in inside.chain(outside) {
        for opens_at_once in [true, false] {
            let mut world = world(1);
            let nat = nat(&mut world, 1, NatBehaviour::igd_symmetric());
            let a = world.add_idle_client(nat, local(1), ClientConfig::default());
            let external = opens_at_once.then(|| world.open_at_gateway(a)).flatten();
            world.start(a, &[SERVER]);
            qualify(&mut world, a);
            let b = granted(
                &mut world,
                2,
                NatBehaviour::igd_symmetric(),
                NatTraversal::Rfc6081,
            );
            let (from, to) = if begins_inside { (a, b) } else { (b, a) };
            let _ = submit(&mut world, from, to, 1);
            world.run_for(Duration::from_millis(late_ms));
            let external = external.or_else(|| world.open_at_gateway(a));
            world.tell_mapping(a, external);
            for (from, to) in [(from, to), (to, from)] {
                let arrives = (2..27).any(|number| {
                    let _ = submit(&mut world, from, to, number);
                    world.run_for(SECOND / 5);
                    delivered(&world, to).last() == Some(&packet(&world, from, to, number))
                });
                let context = format!("{late_ms} ms, {begins_inside}, {opens_at_once}");
                assert!(arrives, "{context}: {}", world.capture());
            }
        }
    }
}

/// R6081-5.6.4.1-01: behind several NATs, the mapping of the innermost one is an alternate address, for
/// peers behind the same outermost one.
#[test]
fn behind_two_nats_the_inner_mapping_is_an_alternate_address() {
    let mut world = world(1);
    let outer = nat(&mut world, 1, NatBehaviour::port_restricted());
    let [a, b] = [1, 2].map(|number| {
        let inner = world.add_nat_in(outer, NatBehaviour::igd(), [100, 64, 0, number]);
        let client = world.add_idle_client(inner, local(number), ClientConfig::default());
        let external = SocketAddrV4::new([100, 64, 0, number].into(), local(number).port());
        assert_eq!(world.ask_gateway(client), Some(external));
        world.start(client, &[SERVER]);
        qualify(&mut world, client);
        client
    });
    world.capture_mut().clear();
    assert_eq!(submit(&mut world, a, b, 1), Submission::Queued);
    world.run_for(SECOND);
    let sent = bubbles(&world, a);
    let lists = sent.iter().filter_map(|record| {
        let datagram = Datagram::parse(record.payload()).unwrap();
        datagram.trailers.iter().find_map(|trailer| match trailer {
            Trailer::AlternateAddresses(list) => Some(list.as_slice().to_vec()),
            _ => None,
        })
    });
    let expected = vec![local(1), socket("100.64.0.1:40001")];
    assert_eq!(lists.collect::<Vec<_>>(), [expected]);
    assert_eq!(delivered(&world, b), [packet(&world, a, b, 1)]);
}

/// R6081-5.3.3-07: a device that gives another address than the server sees is not the only NAT, or it lies.
#[test]
fn a_gateway_that_lies_changes_nothing() {
    let mut world = world(1);
    let lies = NatBehaviour {
        igd: Some(teredo_sim::Igd::Lies([198, 51, 100, 99].into())),
        ..NatBehaviour::igd_symmetric()
    };
    let nat = nat(&mut world, 1, lies);
    let a = world.add_idle_client(nat, local(1), ClientConfig::default());
    assert_eq!(world.ask_gateway(a), Some(socket("198.51.100.99:40001")));
    world.start(a, &[SERVER]);
    qualify(&mut world, a);
    let b = granted(
        &mut world,
        2,
        NatBehaviour::igd_symmetric(),
        NatTraversal::Rfc6081,
    );
    world.capture_mut().clear();
    let _ = submit(&mut world, a, b, 1);
    world.run_for(seconds(9));
    let victim =
        |record: &&teredo_sim::Record| *record.datagram.destination.ip() == v4("198.51.100.99");
    assert_eq!(world.capture().iter().find(victim), None);
}

/// By RFC 4380 alone, a mapping changes nothing but the filter of the NAT.
#[test]
fn without_the_extensions_a_mapping_is_not_used() {
    let mut world = world(1);
    let nat = nat(&mut world, 1, NatBehaviour::igd_symmetric());
    let client = world.add_idle_client(nat, local(1), by_rfc4380());
    let _ = world.ask_gateway(client);
    world.start(client, &[SERVER]);
    world.run_for(seconds(20));
    assert_eq!(status(&world, client).address, None);
}
