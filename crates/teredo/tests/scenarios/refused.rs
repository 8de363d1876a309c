//! Destinations that are always refused (RFC 4380 §5.2.4).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use teredo::policy::DestinationPolicy;
use teredo::wire::{Flags, PORT, TeredoAddress};
use teredo::{ClientConfig, DropReason, Submission};
use teredo_sim::{ClientId, NatBehaviour, Network, World};

use crate::fake_server::FakeServer;
use crate::internet::*;
use crate::packets;

/// The first and the last address of every range that RFC 4380 refuses.
const REFUSED: [&str; 18] = [
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "127.0.0.0",
    "127.255.255.255",
    "169.254.0.0",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.88.99.0",
    "192.88.99.255",
    "192.168.0.0",
    "192.168.255.255",
    "224.0.0.0",
    "224.0.0.253",
    "239.255.255.255",
    "255.255.255.255",
];

/// The addresses just outside, and ranges that became special later.
const PERMITTED: [&str; 18] = [
    "1.0.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "223.255.255.255",
    "100.63.255.255",
    "100.128.0.0",
    "192.0.1.0",
    "198.18.0.1",
];

fn stage() -> (World, ClientId) {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::cone());
    world.capture_mut().clear();
    (world, client)
}

fn teredo_at(server: Ipv4Addr, mapped: SocketAddrV4) -> Ipv6Addr {
    TeredoAddress {
        server,
        flags: Flags::default(),
        mapped,
    }
    .to_ipv6()
}

fn submit(world: &mut World, client: ClientId, destination: Ipv6Addr) -> Submission {
    let packet = packets::udp(address(world, client), destination, 1);
    world.submit(client, &packet)
}

fn send(world: &mut World, client: ClientId, destination: Ipv6Addr) {
    let _ = submit(world, client, destination);
}

/// R4380-5.2.4-07, R4380-5.2.4-09, R4380-7.4.3-01, R4380-GU-01: no packet goes to an embedded address of the list.
#[test]
fn embedded_addresses_of_the_list_are_refused() {
    let (mut world, client) = stage();
    for refused in REFUSED {
        let destination = teredo_at(SERVER.primary, SocketAddrV4::new(v4(refused), 4444));
        assert_eq!(
            submit(&mut world, client, destination),
            Submission::Drop(DropReason::RefusedDestination),
            "{refused}"
        );
    }
    world.run_for(seconds(10));
    assert_eq!(world.capture().sent_by(client).count(), 0);
    assert_eq!(status(&world, client).peers, 0);
}

/// R4380-5.2.4-08, R4380-7.4.3-01: no indirect bubble goes to a server of the list.
#[test]
fn embedded_servers_of_the_list_are_refused() {
    let (mut world, client) = stage();
    for refused in REFUSED {
        let destination = teredo_at(v4(refused), socket("198.51.100.44:4444"));
        assert_eq!(
            submit(&mut world, client, destination),
            Submission::Drop(DropReason::RefusedDestination),
            "{refused}"
        );
    }
    world.run_for(seconds(10));
    assert_eq!(world.capture().sent_by(client).count(), 0);
}

/// R4380-GU-01, R4380-GU-03: the addresses beside the list are permitted.
#[test]
fn addresses_beside_the_list_are_permitted() {
    let (mut world, client) = stage();
    for permitted in PERMITTED {
        let mapped = SocketAddrV4::new(v4(permitted), 4444);
        assert_eq!(
            submit(&mut world, client, teredo_at(SERVER.primary, mapped)),
            Submission::Queued,
            "{permitted}"
        );
        assert!(
            bubbles(&world, client)
                .iter()
                .any(|record| record.datagram.destination == mapped)
        );
    }
}

/// R4380-GU-05: port 0 is refused.
#[test]
fn port_zero_is_refused() {
    let (mut world, client) = stage();
    let destination = teredo_at(SERVER.primary, socket("198.51.100.44:0"));
    assert_eq!(
        submit(&mut world, client, destination),
        Submission::Drop(DropReason::RefusedDestination)
    );
    assert!(world.capture().is_empty());
}

/// R4380-GU-02, R4380-GU-03, W-02: directed broadcasts of attached subnets, and the operator's denied networks.
#[test]
fn broadcasts_and_the_operators_own_networks_are_refused() {
    let mut destinations = DestinationPolicy::default();
    destinations.set_broadcasts(vec![v4("203.0.113.127")]);
    destinations.deny(v4("198.51.100.0"), 24);
    let mut world = world(1);
    let config = ClientConfig {
        destinations,
        ..ClientConfig::default()
    };
    let client = client_with(&mut world, 1, NatBehaviour::cone(), config);
    qualify(&mut world, client);
    for (mapped, expected) in [
        (
            "203.0.113.127:4444",
            Submission::Drop(DropReason::RefusedDestination),
        ),
        ("203.0.113.126:4444", Submission::Queued),
        (
            "198.51.100.44:4444",
            Submission::Drop(DropReason::RefusedDestination),
        ),
        ("198.51.101.44:4444", Submission::Queued),
    ] {
        let destination = teredo_at(SERVER.primary, socket(mapped));
        assert_eq!(
            submit(&mut world, client, destination),
            expected,
            "{mapped}"
        );
    }

    // W-02: datagrams from a refused address are not accepted, because the client would otherwise send there as to a
    // known peer.
    let intruder = world.add_raw(Network::Internet, &[v4("198.51.100.44")]);
    let from = socket("198.51.100.44:4444");
    let packet = packets::udp(teredo_at(SERVER.primary, from), address(&world, client), 1);
    world.inject(intruder, from, teredo(&world, client).mapped, &packet);
    world.run_for(SECOND);
    assert_eq!(delivered(&world, client), Vec::<Vec<u8>>::new());
    assert_eq!(drops(&world, client, DropReason::RefusedSource), 1);
}

/// L-03: a client does not send to its own mapping, with any flags.
#[test]
fn the_own_mapping_is_refused() {
    let (mut world, client) = stage();
    let own = teredo(&world, client);
    for destination in [
        own,
        TeredoAddress {
            flags: Flags::from_bits(own.flags.bits() ^ 1),
            ..own
        },
    ] {
        let submission = submit(&mut world, client, destination.to_ipv6());
        assert_eq!(submission, Submission::Drop(DropReason::OwnAddress));
    }
    assert!(world.capture().is_empty());
}

/// R4380-GU-04, R4380-5.2.4-07: an indirect bubble is not answered to such an address, in the source or in the origin
/// indication of the server.
#[test]
fn bubbles_do_not_lead_to_refused_addresses() {
    for refused in REFUSED {
        let mut world = World::new(1);
        let server = FakeServer::add(&mut world, SERVER, Some);
        let client = qualified_client(&mut world, 1, NatBehaviour::cone());
        let own = address(&world, client);
        world.capture_mut().clear();
        let embedded = teredo_at(SERVER.primary, SocketAddrV4::new(v4(refused), 4444));
        let honest = socket("198.51.100.44:4444");
        for (source, origin) in [
            (embedded, honest),
            (v6("2001:db8::1"), SocketAddrV4::new(v4(refused), 4444)),
            (v6("2001:db8::2"), socket("198.51.100.44:0")),
        ] {
            let payload = packets::forwarded_bubble(origin, source, own);
            world.inject(
                server.host,
                SocketAddrV4::new(SERVER.primary, PORT),
                teredo(&world, client).mapped,
                &payload,
            );
        }
        world.run_for(seconds(10));
        assert_eq!(
            world.capture().sent_by(client).count(),
            0,
            "{refused}:\n{}",
            world.capture()
        );
        assert_eq!(drops(&world, client, DropReason::RefusedDestination), 3);
    }
}

/// R-OLD-01: an address with the obsolete prefix is a native one: it is tested, and not sent to directly.
#[test]
fn the_obsolete_prefix_is_not_teredo() {
    let (mut world, client) = stage();
    let mut octets = teredo_at(SERVER.primary, socket("198.51.100.44:4444")).octets();
    octets[..4].copy_from_slice(&[0x3f, 0xfe, 0x83, 0x1f]);
    send(&mut world, client, octets.into());
    world.run_for(seconds(10));
    assert_eq!(bubbles(&world, client), []);
}
