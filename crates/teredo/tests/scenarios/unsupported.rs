//! Impossible paths: within the retries the program gets an ICMPv6 error (RFC 4380 §5.2.4, RFC 6081 §3).

use std::net::Ipv6Addr;
use std::time::Duration;

use teredo::wire::{Flags, Icmpv6, Ipv6Packet, TeredoAddress, unreachable};
use teredo::{DropReason, Submission};
use teredo_sim::{ClientId, NatBehaviour, World};

use crate::internet::*;
use crate::packets;

/// The error that a program gets for an undeliverable packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// *Address unreachable*, this long after it sent the packet.
    Told(Duration),
    /// Nothing within a minute.
    Silence,
}

/// Sends a packet and waits for the error about it.
pub(crate) fn unreachable_after(world: &mut World, client: ClientId, to: Ipv6Addr) -> Outcome {
    let own = address(world, client);
    let packet = packets::udp(own, to, 1);
    let (start, before) = (world.now(), world.client(client).errors().len());
    world.send(client, &packet);
    let told = world.run_until(seconds(60), |world| {
        world.client(client).errors().len() > before
    });
    if !told {
        return Outcome::Silence;
    }
    let error = world.client(client).errors()[before].clone();
    let parsed = Ipv6Packet::parse(&error.what).unwrap();
    assert_eq!(parsed.destination(), own, "the error is for the program");
    let expected = Icmpv6::DestinationUnreachable {
        code: unreachable::ADDRESS,
        quoted: &packet,
    };
    assert_eq!(Icmpv6::parse(&parsed).unwrap(), expected);
    Outcome::Told(error.at - start)
}

/// A peer with this address.
fn peer(server: &str, mapped: &str) -> Ipv6Addr {
    TeredoAddress {
        server: v4(server),
        flags: Flags::default(),
        mapped: socket(mapped),
    }
    .to_ipv6()
}

/// R4380-5.2.4-06, R4380-5.2.4-11: a peer that does not exist, one whose server does not, and one with the wrong server
/// in its address, one after the other and all at once.
#[test]
fn a_peer_that_cannot_be_reached_is_reported() {
    let mut world = world(1);
    let a = qualified_client(&mut world, 1, NatBehaviour::port_restricted());
    let b = qualified_client(&mut world, 2, NatBehaviour::port_restricted());
    let wrong_server = TeredoAddress {
        server: OTHER_SERVER.primary,
        ..teredo(&world, b)
    };
    for to in [
        peer("192.0.2.1", "198.51.100.200:5000"),
        peer("198.51.100.250", "198.51.100.200:5000"),
        wrong_server.to_ipv6(),
    ] {
        let outcome = unreachable_after(&mut world, a, to);
        assert_eq!(outcome, Outcome::Told(seconds(8)), "{to}");
        // Four bubbles in 300 s are used up: the next packet is answered at once.
        let outcome = unreachable_after(&mut world, a, to);
        assert_eq!(outcome, Outcome::Told(Duration::ZERO), "{to}");
    }
    assert_eq!(delivered(&world, b).len(), 0);
}

/// R4380-5.2.1-11, R4380-5.2.4-06: a peer that moved behind a symmetric NAT has no address any more; a host that uses
/// the old one gets an error.
#[test]
fn a_peer_behind_a_symmetric_nat_is_reported() {
    let mut world = world(1);
    let a = qualified_client(&mut world, 1, NatBehaviour::port_restricted());
    let b = client_with(&mut world, 2, NatBehaviour::port_restricted(), by_rfc4380());
    qualify(&mut world, b);
    let known = address(&world, b);
    let symmetric = nat(&mut world, 3, NatBehaviour::symmetric());
    world.rebind(b, symmetric, local(2));
    world.run_for(seconds(20));
    assert_eq!(status(&world, b).address, None);
    let outcome = unreachable_after(&mut world, a, known);
    assert_eq!(outcome, Outcome::Told(seconds(8)));
}

/// R4380-5.2.4-03: a native host without a relay, and a server that does not forward the test.
#[test]
fn a_native_host_that_cannot_be_reached_is_reported() {
    let mut world = world(1);
    let a = qualified_client(&mut world, 1, NatBehaviour::port_restricted());
    let outcome = unreachable_after(&mut world, a, v6("2001:db8::77"));
    assert_eq!(outcome, Outcome::Told(seconds(8)));
    world.set_silent(SERVER.primary, true);
    let outcome = unreachable_after(&mut world, a, v6("2001:db8::78"));
    assert_eq!(outcome, Outcome::Told(seconds(8)));
}

/// R4380-5.2-04, R4380-5.2.1-05: behind a symmetric NAT, or without a server, there is no source address for programs;
/// any packet is refused at once.
#[test]
fn without_service_nothing_waits() {
    let mut world = world(1);
    let symmetric = client(&mut world, 1, NatBehaviour::symmetric());
    let forsaken = client(&mut world, 2, NatBehaviour::port_restricted());
    world.set_silent(SERVER.primary, true);
    world.set_silent(SERVER.secondary, true);
    world.run_for(seconds(13));
    for client in [symmetric, forsaken] {
        assert_eq!(status(&world, client).address, None);
        let packet = packets::udp(v6("2001::1"), v6("2001:db8::1"), 1);
        let dropped = world.submit(client, &packet);
        assert_eq!(dropped, Submission::Drop(DropReason::NotQualified));
    }
}

/// R4380-7.1-01, R4380-5.2.4-07: a packet for private IPv6 is answered with *no route* at once; the refused
/// destinations of RFC 4380 §5.2.4 are not answered.
#[test]
fn what_is_never_tunnelled_is_reported_at_once() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::port_restricted());
    let own = address(&world, client);
    for (to, told) in [
        (v6("fd00::1"), true),
        (v6("fe80::1"), true),
        (v6("ff02::1"), false),
        (peer("192.0.2.1", "10.0.0.7:5000"), false),
    ] {
        let before = world.client(client).errors().len();
        world.send(client, &packets::udp(own, to, 1));
        world.run_for(seconds(60));
        let errors = world.client(client).errors();
        assert_eq!(errors.len() - before, usize::from(told), "{to}");
        if told {
            assert_eq!(
                errors[before].what[40..42],
                [1, unreachable::NO_ROUTE],
                "{to}"
            );
        }
    }
}
