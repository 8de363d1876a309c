//! Two clients behind one NAT without local discovery: they connect by hairpinning, or not at all (RFC 4380 §8.3).

use std::net::SocketAddrV4;

use teredo::wire::{AlternateAddresses, Datagram, Flags, PORT, TeredoAddress, Trailer};
use teredo::{DropReason, Submission};
use teredo_sim::{Filtering, NatBehaviour, Network, Record};

use crate::internet::*;
use crate::packets;
use crate::unsupported::{Outcome, unreachable_after};

/// R4380-5.2.4-06, R4380-5.2.6-01: if the NAT hairpins, the public path works with any filter.
#[test]
fn a_hairpinning_nat_leads_from_one_host_to_the_other() {
    for filtering in [
        Filtering::EndpointIndependent,
        Filtering::AddressDependent,
        Filtering::AddressAndPortDependent,
    ] {
        let behaviour = NatBehaviour {
            hairpin: true,
            filtering,
            ..NatBehaviour::cone()
        };
        let (mut world, _, [a, b]) = neighbours(1, behaviour);
        let there = packets::udp(address(&world, a), address(&world, b), 1);
        let back = packets::udp(address(&world, b), address(&world, a), 2);
        assert_eq!(world.submit(a, &there), Submission::Queued);
        assert!(
            world.run_until(SECOND, |world| delivered(world, b) == [there.clone()]),
            "{filtering:?}: {}",
            world.capture()
        );
        let mapped = teredo(&world, a).mapped;
        assert_eq!(world.submit(b, &back), Submission::Send(mapped));
        world.run_for(SECOND);
        assert_eq!(delivered(&world, a), [back]);
    }
}

/// R4380-5.2.4-11: if it does not, and the clients have not met on the link, the program gets an error within the
/// retries.
#[test]
fn without_hairpinning_the_program_is_told() {
    let mut world = world(1);
    let nat = nat(&mut world, 1, NatBehaviour::port_restricted());
    let [a, b] = [1, 2].map(|number| {
        let client = world.add_idle_client(nat, local(number), by_rfc4380());
        world.start(client, &[SERVER]);
        qualify(&mut world, client);
        client
    });
    let to = address(&world, b);
    assert_eq!(
        unreachable_after(&mut world, a, to),
        Outcome::Told(seconds(8))
    );
    assert_eq!(status(&world, a).trusted_peers, 0);
}

/// L-03: nothing goes to the own address, or to the own mapping under another address, and the program gets an error.
#[test]
fn nothing_is_sent_to_oneself() {
    let behaviour = NatBehaviour {
        hairpin: true,
        ..NatBehaviour::cone()
    };
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, behaviour);
    world.capture_mut().clear();
    let own = address(&world, client);
    let mut other_name = teredo(&world, client);
    other_name.server = OTHER_SERVER.primary;
    for to in [own, other_name.to_ipv6()] {
        let dropped = world.submit(client, &packets::udp(own, to, 1));
        assert_eq!(dropped, Submission::Drop(DropReason::OwnAddress));
    }
    assert_eq!(world.client(client).errors().len(), 2);
    assert_eq!(bubbles(&world, client).len(), 0);
    // Packets that come back through the hairpin are refused.
    let hostile = world.add_raw(world.network_of(client), &[v4("10.0.0.66")]);
    let mapped = teredo(&world, client).mapped;
    world.inject(
        hostile,
        socket("10.0.0.66:5000"),
        mapped,
        &packets::udp(own, own, 1),
    );
    world.inject(
        hostile,
        local(1),
        mapped,
        &packets::udp(other_name.to_ipv6(), own, 1),
    );
    world.run_for(SECOND);
    assert_eq!(delivered(&world, client).len(), 0);
    assert_eq!(
        drops(&world, client, DropReason::OwnAddress),
        4,
        "{}",
        world.capture()
    );
}

/// The trailers of a bubble.
fn alternates(record: &Record) -> Option<AlternateAddresses> {
    let datagram = Datagram::parse(record.payload()).unwrap();
    datagram.trailers.iter().find_map(|trailer| match trailer {
        Trailer::AlternateAddresses(addresses) => Some(addresses),
        _ => None,
    })
}

/// R6081-5.6.4.1-01, R6081-5.6.4.1-02, R6081-5.6.4.2-02, R6081-5.6.4.3-01, R6081-6.5-01: without hairpinning, the local
/// addresses lead from one to the other, behind any kind of NAT. They go into indirect bubbles alone (R6081-4.3-02).
#[test]
fn local_addresses_lead_from_one_host_to_the_other() {
    for behaviour in [
        NatBehaviour::cone(),
        NatBehaviour::restricted(),
        NatBehaviour::port_restricted(),
        NatBehaviour::symmetric(),
    ] {
        let (mut world, _, [a, b]) = neighbours(1, behaviour);
        world.capture_mut().clear();
        let there = packets::udp(address(&world, a), address(&world, b), 1);
        assert_eq!(world.submit(a, &there), Submission::Queued);
        assert!(
            world.run_until(SECOND, |world| delivered(world, b) == [there.clone()]),
            "{behaviour:?}: {}",
            world.capture()
        );
        for (client, number) in [(a, 1), (b, 2)] {
            for bubble in bubbles(&world, client) {
                let is_indirect = *bubble.datagram.destination.ip() == SERVER.primary;
                let own = alternates(&bubble).map(|all| all.as_slice().to_vec());
                assert_eq!(own, is_indirect.then(|| vec![local(number)]));
            }
        }
        // Once they have met, the local path alone is used, for minutes and after a silence.
        world.capture_mut().clear();
        let back = packets::udp(address(&world, b), address(&world, a), 2);
        for pause in [1, 1, 20, 25, 40, 1] {
            let _ = world.submit(a, &there);
            let _ = world.submit(b, &back);
            world.run_for(seconds(pause));
        }
        assert_eq!(delivered(&world, b).len(), 7);
        assert_eq!(delivered(&world, a).len(), 6);
        assert!(
            data(&world, a)
                .iter()
                .all(|record| record.datagram.destination == local(2))
        );
    }
}

/// R6081-7-02: a peer behind another NAT learns no local address, and nothing goes to the addresses that it names. If
/// the peer is behind the same NAT, one bubble goes to each of four addresses at most.
#[test]
fn alternate_addresses_are_for_neighbours() {
    let names =
        |last: [u8; 4]| last.map(|last| SocketAddrV4::new(v4(&format!("10.9.9.{last}")), 7777));
    let list = AlternateAddresses::new(&names([1, 2, 3, 4])).unwrap();
    for shares_nat in [true, false] {
        let mut world = world(1);
        let client = qualified_client(&mut world, 1, NatBehaviour::cone());
        let own = teredo(&world, client).mapped;
        let peer = world.add_raw(Network::Internet, &[v4("198.51.100.44")]);
        let mapped = if shares_nat {
            SocketAddrV4::new(*own.ip(), 50_000)
        } else {
            socket("198.51.100.44:4444")
        };
        let source = TeredoAddress {
            server: SERVER.primary,
            flags: Flags::default(),
            mapped,
        }
        .to_ipv6();
        let mut bubble = packets::bubble(source, address(&world, client));
        Trailer::Nonce([1; 4]).emit(&mut bubble);
        Trailer::AlternateAddresses(list).emit(&mut bubble);
        world.capture_mut().clear();
        // As the server forwards it.
        let forwarded = packets::forwarded(mapped, &bubble);
        let server = SocketAddrV4::new(SERVER.primary, PORT);
        for _ in 0..3 {
            world.inject(peer, server, own, &forwarded);
        }
        world.run_for(SECOND);
        let to = |address: SocketAddrV4| {
            let sent = bubbles(&world, client);
            sent.iter()
                .filter(|record| record.datagram.destination == address)
                .count()
        };
        for address in names([1, 2, 3, 4]) {
            assert_eq!(to(address), usize::from(shares_nat), "{address}");
        }
        for bubble in bubbles(&world, client) {
            let is_indirect = bubble.datagram.destination == server;
            assert_eq!(alternates(&bubble).is_some(), shares_nat && is_indirect);
        }
    }
}

/// R6081-7-02: a peer can name any address. Nothing goes to public and special addresses, to ports of the system, to
/// this host, or twice to one address.
#[test]
fn alternate_addresses_are_inside_the_nat() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::cone());
    let own = teredo(&world, client).mapped;
    let peer = world.add_raw(Network::Internet, &[v4("198.51.100.44")]);
    let mapped = SocketAddrV4::new(*own.ip(), 50_000);
    let source = TeredoAddress {
        server: SERVER.primary,
        flags: Flags::default(),
        mapped,
    };
    let (host, server) = (local(1), SocketAddrV4::new(SERVER.primary, PORT));
    let lists = [
        [
            "198.51.100.9:7777",
            "169.254.169.254:7777",
            "192.168.1.1:53",
            "240.0.0.1:7777",
        ],
        [
            "10.9.9.1:7777",
            "10.9.9.1:7777",
            "10.9.9.1:7777",
            "0.1.2.3:7777",
        ],
        [
            "10.0.0.1:5353",
            "10.0.0.1:22",
            "192.0.2.77:7777",
            "100.64.0.9:7777",
        ],
    ];
    assert_eq!(*host.ip(), v4("10.0.0.1"));
    world.capture_mut().clear();
    for list in lists {
        let list = AlternateAddresses::new(&list.map(socket)).unwrap();
        let mut bubble = packets::bubble(source.to_ipv6(), address(&world, client));
        Trailer::Nonce([1; 4]).emit(&mut bubble);
        Trailer::AlternateAddresses(list).emit(&mut bubble);
        world.inject(peer, server, own, &packets::forwarded(mapped, &bubble));
        world.run_for(seconds(3));
    }
    let sent = bubbles(&world, client);
    let mut elsewhere: Vec<SocketAddrV4> = sent
        .iter()
        .map(|record| record.datagram.destination)
        .filter(|to| ![server, mapped].contains(to))
        .collect();
    elsewhere.sort();
    assert_eq!(
        elsewhere,
        [socket("10.9.9.1:7777"), socket("100.64.0.9:7777")]
    );
}

/// An attacker makes up an address with our public address and a server that listens: it learns no local address.
#[test]
fn a_strange_server_learns_no_local_address() {
    for (server, learns) in [(SERVER.primary, true), (v4("198.51.100.44"), false)] {
        let mut world = world(1);
        let client = qualified_client(&mut world, 1, NatBehaviour::cone());
        let target = TeredoAddress {
            server,
            flags: Flags::default(),
            mapped: SocketAddrV4::new(*teredo(&world, client).mapped.ip(), 50_000),
        };
        world.capture_mut().clear();
        let packet = packets::udp(address(&world, client), target.to_ipv6(), 1);
        assert_eq!(world.submit(client, &packet), Submission::Queued);
        world.run_for(seconds(9));
        let sent = bubbles(&world, client);
        let mut indirect = sent
            .iter()
            .filter(|record| *record.datagram.destination.ip() == server);
        assert!(indirect.clone().count() > 0);
        assert!(indirect.all(|bubble| alternates(bubble).is_some() == learns));
    }
}
