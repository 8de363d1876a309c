//! ICMP errors and their way back through NATs.

use super::*;
use crate::{IcmpError, IcmpKind, Quotation};

const CARRIER: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);

/// A client behind its home's NAT, which is behind that of a carrier; and a host of the Internet at 192.0.2.1.
fn nested() -> (World, NatId, ClientId, RawId) {
    let mut world = World::new(1);
    let peer = world.add_raw(Network::Internet, &[ip("192.0.2.1")]);
    let carrier = world.add_nat(NatBehaviour::carrier(), [203, 0, 113, 1]);
    world.set_gateway(carrier, CARRIER);
    let home = world.add_nat_in(carrier, NatBehaviour::port_restricted(), [100, 64, 0, 7]);
    let client = world.add_idle_client(home, socket("10.0.0.2:5000"), ClientConfig::default());
    (world, home, client, peer)
}

fn errors(world: &World, client: ClientId) -> Vec<IcmpError> {
    let errors = world.client(client).icmp_errors().iter();
    errors.map(|error| error.what).collect()
}

/// Each router on the way answers a datagram that ends there, and the client sees its own socket.
#[test]
fn the_routers_of_two_nats_in_a_row_answer_one_after_the_other() {
    let (mut world, home, client, peer) = nested();
    let to = socket("192.0.2.1:7");
    let expected = [
        world.gateway(home),
        CARRIER,
        ip("198.18.0.1"),
        ip("198.18.0.2"),
    ];
    for (ttl, reporter) in (1..).zip(expected) {
        world.send_from(client, 5000, to, Some(ttl), b"bubble");
        world.run_for(MS * 200);
        let error = IcmpError {
            kind: IcmpKind::TimeExceeded,
            reporter,
            source: socket("10.0.0.2:5000"),
            destination: to,
            length: 6,
            quoted: Quotation::of(b"bubble"),
        };
        assert_eq!(errors(&world, client).last(), Some(&error), "{ttl}");
    }
    assert_eq!(world.capture().notices().count(), 4);
    world.send_from(client, 5000, to, Some(5), b"bubble");
    world.run_for(MS * 200);
    assert_eq!(world.raw(peer).received().len(), 1);
    assert_eq!(errors(&world, client).len(), 4);
}

/// RFC 4787 §9, REQ-12: an ICMP error ends no mapping.
#[test]
fn req_12_an_error_ends_no_mapping() {
    let (mut world, home, client, peer) = nested();
    let to = socket("192.0.2.1:7");
    world.send_from(client, 5000, to, None, b"out");
    world.run_for(MS * 200);
    let mapped = world.raw(peer).received()[0].what.source;
    world.send_from(client, 5000, to, Some(2), b"out");
    world.run_for(MS * 200);
    assert_eq!(errors(&world, client).len(), 1);
    assert_eq!(world.nat(home).mappings(world.now()), 1);
    world.open_port(client, 6000).unwrap();
    world.inject(peer, to, mapped, b"in");
    world.run_for(MS * 200);
    assert!(world.capture().iter().next_back().unwrap().delivered());
}

/// RFC 4787 §10, REQ-13: a NAT tells the sender of a packet that is too long for its link.
#[test]
fn req_13_a_packet_that_is_too_long() {
    let (mut world, home, client, peer) = nested();
    world.nat_link_mut(home).mtu = 1000;
    let inside = world.add_raw(home, &[ip("10.0.0.3")]);
    let long = |dont_fragment| Datagram {
        dont_fragment,
        ..Datagram::new(socket("10.0.0.3:5"), socket("192.0.2.1:7"), vec![0; 973])
    };
    world.inject_datagram(inside, long(true));
    world.run_for(MS * 200);
    let error = world.raw(inside).errors()[0].what;
    assert_eq!(error.kind, IcmpKind::FragmentationNeeded { mtu: 1000 });
    assert_eq!(error.reporter, world.gateway(home));
    assert_eq!(error.source, socket("10.0.0.3:5"));
    assert_eq!(fates(&world), [Fate::TooLong]);

    world.inject_datagram(inside, long(false));
    world.run_for(MS * 200);
    assert_eq!(world.raw(peer).received().len(), 1);
    world.nat_link_mut(home).fragments = false;
    world.inject_datagram(inside, long(false));
    world.run_for(MS * 200);
    assert_eq!(fates(&world)[2], Fate::TooLong);
    assert_eq!(world.raw(inside).errors().len(), 1);
    assert!(errors(&world, client).is_empty());
}

/// The sender of an inbound datagram learns the MTU of the link to the NAT from the router before it.
#[test]
fn a_long_packet_from_outside_is_reported_by_the_internet() {
    let (mut world, one, two) = pair(1);
    world.link_mut(two).mtu = 100;
    let datagram = Datagram {
        dont_fragment: true,
        ..Datagram::new(socket("192.0.2.1:5"), socket("192.0.2.2:6"), vec![0; 100])
    };
    world.inject_datagram(one, datagram);
    world.run_for(MS * 200);
    let error = world.raw(one).errors()[0].what;
    assert_eq!(error.kind, IcmpKind::FragmentationNeeded { mtu: 100 });
}

/// A closed port behind a NAT: the sender sees the external socket that it sent to.
#[test]
fn a_closed_port_is_reported_in_external_addresses() {
    let (mut world, _, client, peer) = nested();
    let to = socket("192.0.2.1:7");
    world.open_port(client, 6000).unwrap();
    world.send_from(client, 6000, to, None, b"out");
    world.run_for(MS * 200);
    world.close_port(client, 6000);
    let mapped = world.raw(peer).received()[0].what.source;
    world.inject(peer, to, mapped, b"in");
    world.run_for(MS * 200);
    let error = world.raw(peer).errors()[0].what;
    assert_eq!(
        error,
        IcmpError {
            kind: IcmpKind::PortUnreachable,
            reporter: *mapped.ip(),
            source: to,
            destination: mapped,
            length: 2,
            quoted: Quotation::of(b"in"),
        }
    );
}

/// A NAT that rejects tells senders that it refuses; one that drops does not.
#[test]
fn a_nat_rejects_or_drops() {
    for (behaviour, count) in [
        (NatBehaviour::open_input(), 1),
        (NatBehaviour::port_restricted(), 0),
    ] {
        let mut world = World::new(1);
        let stranger = world.add_raw(Network::Internet, &[ip("192.0.2.1")]);
        world.add_nat(behaviour, [203, 0, 113, 1]);
        world.inject(
            stranger,
            socket("192.0.2.1:7"),
            socket("203.0.113.1:5"),
            b"",
        );
        world.run_for(MS * 200);
        let errors = world.raw(stranger).errors();
        assert_eq!(errors.len(), count);
        assert!(errors.iter().all(|error| {
            error.what.kind == IcmpKind::PortUnreachable && error.what.reporter == ip("203.0.113.1")
        }));
    }
}

/// An address that nobody has, a black hole, and a NAT's own address inside.
#[test]
fn unreachable_destinations() {
    let (mut world, home, client, _) = nested();
    world.set_silent(ip("192.0.2.66"), true);
    world.set_gateway(home, [10, 0, 0, 1]);
    for to in ["192.0.2.99:1", "192.0.2.66:1", "10.0.0.1:1900"] {
        world.send_from(client, 5000, socket(to), None, b"");
        world.run_for(MS * 200);
    }
    let seen: Vec<_> = errors(&world, client)
        .iter()
        .map(|error| (error.kind, error.reporter))
        .collect();
    assert_eq!(
        seen,
        [
            (IcmpKind::HostUnreachable, ip("198.18.0.2")),
            (IcmpKind::PortUnreachable, ip("10.0.0.1")),
        ]
    );
}

/// An error about a datagram that the host did not send ends at its NAT.
#[test]
fn an_error_about_a_stranger_ends_at_the_nat() {
    let (mut world, home, client, peer) = nested();
    let datagram = Datagram::new(socket("203.0.113.1:5000"), socket("192.0.2.99:1"), vec![]);
    world.inject_datagram(peer, datagram);
    world.run_for(MS * 200);
    assert_eq!(fates(&world), [Fate::NoRoute]);
    assert!(errors(&world, client).is_empty());
    assert_eq!(world.nat(home).mappings(world.now()), 0);
}
