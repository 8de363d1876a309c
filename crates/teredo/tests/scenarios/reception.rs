//! Datagrams that a client refuses without an answer (RFC 4380 §5.2.3).

use std::net::{Ipv6Addr, SocketAddrV4};

use teredo::wire::{Flags, PORT, TeredoAddress, Trailer};
use teredo::{DropReason, Node, Submission};
use teredo_sim::{ClientId, NatBehaviour, Network, RawId, World};

use crate::internet::*;
use crate::packets;

const PEER: &str = "198.51.100.44:4444";

fn peer_address() -> Ipv6Addr {
    TeredoAddress {
        server: SERVER.primary,
        flags: Flags::default(),
        mapped: socket(PEER),
    }
    .to_ipv6()
}

/// A qualified client behind an open NAT, and a stranger.
fn stage() -> (World, ClientId, RawId) {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::cone());
    let stranger = world.add_raw(Network::Internet, &[*socket(PEER).ip()]);
    world.capture_mut().clear();
    (world, client, stranger)
}

/// Sends a payload from the peer to the client, and returns what reached the host.
fn arrive(world: &mut World, client: ClientId, stranger: RawId, payload: &[u8]) -> Vec<Vec<u8>> {
    let before = delivered(world, client).len();
    let mapped = teredo(world, client).mapped;
    world.inject(stranger, socket(PEER), mapped, payload);
    world.run_for(SECOND);
    delivered(world, client).split_off(before)
}

/// Asserts that a payload is dropped for this reason, is not delivered, and is not answered.
fn assert_dropped(payload: &[u8], reason: DropReason) {
    let (mut world, client, stranger) = stage();
    assert_eq!(
        arrive(&mut world, client, stranger, payload),
        Vec::<Vec<u8>>::new()
    );
    assert_eq!(
        drops(&world, client, reason),
        1,
        "{:?}",
        world
            .client(client)
            .client()
            .drops()
            .iter()
            .collect::<Vec<_>>()
    );
    assert_eq!(world.capture().sent_by(client).count(), 0);
}

/// A good packet of the peer for the client of [`stage`].
fn good() -> Vec<u8> {
    let (world, client, _) = stage();
    packets::udp(peer_address(), address(&world, client), 7)
}

/// The control of the tests below.
#[test]
fn a_good_packet_is_delivered() {
    let (mut world, client, stranger) = stage();
    let good = good();
    assert_eq!(arrive(&mut world, client, stranger, &good), [good]);
}

/// R4380-5.2.3-01, R4380-5.1.1-05: no payload of 1 to 48 bytes of a good one is valid.
#[test]
fn a_packet_cut_short_is_dropped() {
    let good = good();
    for length in 0..good.len() {
        assert_dropped(&good[..length], DropReason::Malformed);
    }
}

/// R4380-5.2.3-01: deterministic garbage of all lengths neither crashes nor provokes a client.
#[test]
fn garbage_is_dropped_silently() {
    let (mut world, client, stranger) = stage();
    let good = good();
    let mapped = teredo(&world, client).mapped;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for _ in 0..20_000 {
        let length = next() % 200;
        let mut payload: Vec<u8> = (0..length).map(|_| next() as u8).collect();
        if let Some(first) = payload.first_mut() {
            *first = [0x60, 0x00, *first][next() % 3];
        }
        world.inject(stranger, socket(PEER), mapped, &payload);
    }
    world.run_for(SECOND);
    assert_eq!(delivered(&world, client), Vec::<Vec<u8>>::new());
    assert_eq!(world.capture().sent_by(client).count(), 0);
    assert_eq!(arrive(&mut world, client, stranger, &good), [good]);
}

/// R4380-5.2.3-02: a payload length beyond the datagram makes it invalid.
#[test]
fn a_payload_length_that_is_too_long_is_dropped() {
    let mut packet = good();
    packet[5] += 1;
    assert_dropped(&packet, DropReason::Malformed);
}

/// R4380-5.2.3-02: a version other than 6 makes it invalid.
#[test]
fn another_version_is_dropped() {
    for version in [0x40, 0x50, 0x70] {
        let mut packet = good();
        packet[0] = version;
        assert_dropped(&packet, DropReason::Malformed);
    }
}

/// R4380-5.2.3-02: bytes behind the packet are for trailers, and do not reach the host.
#[test]
fn trailers_are_cut_off() {
    let (mut world, client, stranger) = stage();
    let good = good();
    let mut payload = good.clone();
    Trailer::Nonce([1, 2, 3, 4]).emit(&mut payload);
    assert_eq!(arrive(&mut world, client, stranger, &payload), [good]);
}

/// RFC 6081 §4: an unknown trailer of the discarding class drops the packet, one of another class does not.
#[test]
fn unknown_trailers_obey_their_class() {
    for kind in [0x40, 0x7f] {
        let mut payload = good();
        payload.extend([kind, 1, 0]);
        assert_dropped(&payload, DropReason::UnknownTrailer);
        // This holds for a stranger's packet, too.
        let (world, client, _) = stage();
        let mut payload = packets::udp(v6("2001:db8::1"), address(&world, client), 7);
        payload.extend([kind, 1, 0]);
        assert_dropped(&payload, DropReason::UnknownTrailer);
    }
    for kind in [0x3f, 0x80, 0xff] {
        let (mut world, client, stranger) = stage();
        let mut payload = good();
        payload.extend([kind, 1, 0]);
        assert_eq!(arrive(&mut world, client, stranger, &payload), [good()]);
    }
}

/// R4380-5.2.3-03: a packet for another address is not for the client.
#[test]
fn another_destination_is_dropped() {
    let (world, client, _) = stage();
    let own = TeredoAddress::from_ipv6(address(&world, client)).unwrap();
    let other_flags = TeredoAddress {
        flags: Flags::from_bits(own.flags.bits() ^ 1),
        ..own
    }
    .to_ipv6();
    for destination in [other_flags, v6("2001:db8::1"), v6("fe80::1"), v6("ff02::1")] {
        assert_dropped(
            &packets::udp(peer_address(), destination, 7),
            DropReason::WrongDestination,
        );
    }
}

/// R4380-5.2.3-09, R4380-5.2.3-13, R6169-2.2-01: a Teredo source whose mapping is not the outer source is refused,
/// data and bubbles alike.
#[test]
fn an_embedded_mapping_that_does_not_fit_is_refused() {
    let (world, client, _) = stage();
    let own = address(&world, client);
    for mapped in ["198.51.100.44:4445", "198.51.100.45:4444"] {
        let forged = TeredoAddress {
            server: SERVER.primary,
            flags: Flags::default(),
            mapped: socket(mapped),
        }
        .to_ipv6();
        assert_dropped(&packets::udp(forged, own, 7), DropReason::MappingMismatch);
        assert_dropped(&packets::bubble(forged, own), DropReason::MappingMismatch);
    }
}

/// L-03: the client's own packets come back only through a loop.
#[test]
fn a_packet_from_itself_is_refused() {
    let (world, client, _) = stage();
    let own = address(&world, client);
    assert_dropped(&packets::udp(own, own, 7), DropReason::OwnAddress);
}

/// R4380-5.2.3-03: no host has a multicast, loopback or unspecified source.
#[test]
fn impossible_sources_are_refused() {
    let (world, client, _) = stage();
    let own = address(&world, client);
    for source in ["ff02::1", "::1", "::"] {
        assert_dropped(&packets::udp(v6(source), own, 7), DropReason::Malformed);
    }
}

/// R6169-2.3-01, W-01: a packet with a routing header, which asks the end of a tunnel to forward it, is refused.
#[test]
fn routing_headers_are_refused() {
    let (world, client, _) = stage();
    let own = address(&world, client);
    let mut header = vec![59, 2, 0, 1, 0, 0, 0, 0];
    header.extend(v6("2001:db8::1").octets());
    assert_dropped(
        &packets::ipv6(peer_address(), own, 43, &header),
        DropReason::RoutingHeader,
    );
    // It cannot hide behind other headers.
    let mut hidden = vec![43, 0, 1, 4, 0, 0, 0, 0];
    hidden.extend(&header);
    assert_dropped(
        &packets::ipv6(peer_address(), own, 60, &hidden),
        DropReason::RoutingHeader,
    );
}

/// R4380-7.1-01: no link-local communication over Teredo, in either direction.
#[test]
fn link_local_traffic_is_not_carried() {
    let (mut world, client, stranger) = stage();
    let own = address(&world, client);
    for destination in [
        "fe80::1",
        "ff02::1",
        "ff0e::1",
        "fd00::1",
        "::1",
        "::",
        "::ffff:192.0.2.1",
    ] {
        let packet = packets::udp(own, v6(destination), 1);
        assert_eq!(
            world.submit(client, &packet),
            Submission::Drop(DropReason::NotTunnelled),
            "{destination}"
        );
    }
    for source in [
        "fe80::1",
        "fec0::1",
        "fd00::1",
        "::192.0.2.1",
        "::ffff:192.0.2.1",
    ] {
        let packet = packets::udp(v6(source), own, 1);
        assert_eq!(
            arrive(&mut world, client, stranger, &packet),
            Vec::<Vec<u8>>::new(),
            "{source}"
        );
    }
    assert_eq!(world.capture().sent_by(client).count(), 0);
}

/// R4380-7.1-01: the server forwards none either. A redirect or an advertisement behind an extension header would
/// otherwise reach the host's Neighbor Discovery.
#[test]
fn neighbor_discovery_does_not_come_from_the_server() {
    let (mut world, client, stranger) = stage();
    let own = address(&world, client);
    let mapped = teredo(&world, client).mapped;
    let advertisement = [58, 0, 1, 4, 0, 0, 0, 0, 134, 0, 0, 0, 0, 0, 0, 0];
    for (next_header, payload) in [(58, &[137, 0, 0, 0][..]), (60, &advertisement[..])] {
        let packet = packets::ipv6(v6("fe80::1"), own, next_header, payload);
        world.inject(stranger, socket("192.0.2.1:3544"), mapped, &packet);
    }
    world.run_for(SECOND);
    assert_eq!(delivered(&world, client), Vec::<Vec<u8>>::new());
    assert_eq!(drops(&world, client, DropReason::NotTunnelled), 2);
}

/// R4380-5.2.3-05: an origin indication counts from the client's own server only.
#[test]
fn an_origin_from_a_stranger_is_not_followed() {
    let (mut world, client, stranger) = stage();
    let own = address(&world, client);
    let payload = packets::forwarded_bubble(socket("198.51.100.77:7777"), v6("2001:db8::1"), own);
    arrive(&mut world, client, stranger, &payload);
    assert_eq!(world.capture().sent_by(client).count(), 0);
}

/// R4380-7.4.2-01: the server does not forward a bubble with a false source.
#[test]
fn the_server_does_not_carry_forged_bubbles() {
    let (mut world, client, stranger) = stage();
    let forged = TeredoAddress {
        server: SERVER.primary,
        flags: Flags::default(),
        mapped: socket("198.51.100.45:1"),
    };
    let bubble = packets::bubble(forged.to_ipv6(), address(&world, client));
    world.inject(
        stranger,
        socket(PEER),
        SocketAddrV4::new(SERVER.primary, PORT),
        &bubble,
    );
    world.run_for(SECOND);
    assert_eq!(world.capture().len(), 1);
}
