//! Everything that comes from outside is hostile: it is dropped, counted under a name, and does no harm.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use teredo_lab::{Host, NatKind, Receive};

use crate::world::*;

/// An IPv6 packet of `next_header` with this payload, which need not be valid.
fn ipv6(next_header: u8, source: Ipv6Addr, destination: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next_header, 64];
    packet[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    packet.extend_from_slice(&source.octets());
    packet.extend_from_slice(&destination.octets());
    packet.extend_from_slice(payload);
    packet
}

/// Sends a UDP datagram with any source address at all.
fn spoof(host: &Host, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) {
    let length = 28 + payload.len();
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
    packet[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    packet.extend_from_slice(&from.ip().octets());
    packet.extend_from_slice(&to.ip().octets());
    packet.extend_from_slice(&from.port().to_be_bytes());
    packet.extend_from_slice(&to.port().to_be_bytes());
    // Without a UDP checksum, which IPv4 allows.
    packet.extend_from_slice(&((length - 20) as u16).to_be_bytes());
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(payload);
    host.namespace()
        .run(|| {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP))?;
            socket.set_header_included_v4(true)?;
            socket.send_to(&packet, &SockAddr::from(to))
        })
        .unwrap()
        .unwrap();
}

/// R4380-5.2.3-01, R4380-5.2.3-02, R4380-5.1.1-05, R4380-5.2.3-03, R4380-7.2.2-01: malformed, truncated, oversized and
/// spoofed datagrams are named, counted drops, and the tunnel goes on.
#[test]
fn garbage_is_counted_and_does_no_harm() {
    // Without a NAT in front, everything reaches the client.
    let world = World::new(NatKind::None, NatKind::PortRestricted);
    let _server = world.serve();
    let (alice_host, bob_host) = (
        world.left.host("alice").unwrap(),
        world.right.host("bob").unwrap(),
    );
    let mallory = world
        .internet
        .host("mallory", &[Ipv4Addr::new(203, 0, 113, 66)])
        .unwrap();
    let (alice, bob) = (world.client(&alice_host, &[]), world.client(&bob_host, &[]));
    let (a, b) = (alice.address(), bob.address());
    let target = alice.status().local.unwrap();
    let server = SocketAddrV4::new(SERVER, 3544);
    let stranger: Ipv6Addr = "2001:db8:666::1".parse().unwrap();

    let socket = mallory.udp_socket((Ipv4Addr::UNSPECIFIED, 6666)).unwrap();
    let valid = ipv6(59, b, a, &[]);
    let mut garbage: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0],
        vec![0xff; 65_000],
        vec![0x60; 20],
        vec![0, 1, 255, 255],
    ];
    garbage.extend((0..40).map(|length| valid[..length].to_vec()));
    // A payload length beyond the datagram.
    garbage.push({
        let mut packet = valid.clone();
        packet[4..6].copy_from_slice(&1000u16.to_be_bytes());
        packet
    });
    for payload in &garbage {
        socket.send_to(payload, target).unwrap();
    }
    // To somebody else; from bob, who is elsewhere; from alice herself; with a routing header.
    let cases = [
        ("wrong_destination", ipv6(59, b, stranger, &[])),
        ("mapping_mismatch", ipv6(17, b, a, &[0; 8])),
        ("own_address", ipv6(17, a, a, &[0; 8])),
        (
            "routing_header",
            ipv6(43, stranger, a, &[59, 0, 0, 0, 0, 0, 0, 0]),
        ),
        ("unverified_source", ipv6(59, stranger, a, &[])),
    ];
    for (_, payload) in &cases {
        socket.send_to(payload, target).unwrap();
    }
    // An advertisement as from the server, that nobody asked for.
    spoof(
        &mallory,
        server,
        target,
        &ipv6(58, "fe80::1".parse().unwrap(), a, &[134; 16]),
    );

    let status = alice.until(SECOND * 5, "all drops counted", |status| {
        status
            .drops
            .get("malformed")
            .is_some_and(|&count| count >= garbage.len() as u64)
            && cases
                .iter()
                .all(|(name, _)| status.drops.contains_key(*name))
            && status.drops.contains_key("unsolicited_advertisement")
    });
    assert!(status.peers.total <= 3, "{:?}", status.peers);
    let replies = teredo_lab::ping(&alice_host, b, 5, Duration::from_secs(5)).unwrap();
    assert!(replies.are_all_in_order(5), "{replies:?}");
}

/// R4380-7.4-01, R4380-5.3-01: what a server cannot use it does not answer, and it goes on.
#[test]
fn a_server_survives_garbage_in_silence() {
    let (world, _server) = World::with_server();
    let mallory = world
        .internet
        .host("mallory", &[Ipv4Addr::new(203, 0, 113, 66)])
        .unwrap();
    let socket = mallory.udp_socket((Ipv4Addr::UNSPECIFIED, 6666)).unwrap();
    let mut state = 1u64;
    for length in 0..1500 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let bytes: Vec<u8> = (0..length).map(|at| (state >> (at % 56)) as u8).collect();
        socket.send_to(&bytes, (SERVER, 3544)).unwrap();
        socket.send_to(&bytes, (SECONDARY, 3544)).unwrap();
    }
    // Later than all that, and answered: so whatever was to come for the garbage is here already.
    let host = world.left.host("alice").unwrap();
    world.client(&host, &[]).qualified();
    socket.set_nonblocking(true).unwrap();
    assert!(
        socket.receive(&mut [0; 2048]).is_err(),
        "the server answered garbage"
    );
}
