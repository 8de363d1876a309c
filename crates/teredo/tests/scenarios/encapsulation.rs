//! The tunnel's MTU and what fits through (RFC 4380 §5.1).

use std::net::SocketAddrV4;

use teredo::wire::{Flags, MTU, Origin, PORT, TeredoAddress};
use teredo::{DropReason, Submission};
use teredo_sim::{NatBehaviour, Network};

use crate::internet::*;
use crate::packets;

/// A packet of `length` bytes in all.
fn packet_of(
    length: usize,
    source: std::net::Ipv6Addr,
    destination: std::net::Ipv6Addr,
) -> Vec<u8> {
    packets::ipv6(source, destination, 17, &vec![0; length - 40])
}

/// R4380-5.1.1-01, R4380-5.1.2-04: 1280 bytes pass whole, and are the whole payload.
#[test]
fn packets_of_the_mtu_pass() {
    let mut world = world(1);
    let a = qualified_client(&mut world, 1, NatBehaviour::restricted());
    let b = qualified_client(&mut world, 2, NatBehaviour::restricted());
    let packet = packet_of(MTU, address(&world, a), address(&world, b));
    assert_eq!(world.submit(a, &packet), Submission::Queued);
    world.run_for(SECOND);
    assert_eq!(delivered(&world, b), [&packet[..]]);
    assert_eq!(data(&world, a)[0].payload(), packet);
}

/// R4380-5.1.2-02: a larger packet is answered with Packet Too Big, 1280 bytes, and is not sent.
#[test]
fn larger_packets_are_answered_with_packet_too_big() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::restricted());
    let own = address(&world, client);
    world.capture_mut().clear();
    let packet = packet_of(MTU + 1, own, v6("2001:db8::1"));
    assert_eq!(
        world.submit(client, &packet),
        Submission::Drop(DropReason::TooBig)
    );
    let errors = world.client(client).errors();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].what[40..42], [2, 0], "packet too big");
    assert_eq!(errors[0].what[44..48], 1280_u32.to_be_bytes());
    assert!(errors[0].what.len() <= MTU);
    assert!(world.capture().is_empty());
}

/// R4380-5.1.2-04, R4380-5.1.1-02: a forwarded packet has an origin in front; 1280 bytes are accepted then, too.
#[test]
fn packets_of_the_mtu_are_taken_with_an_origin() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::cone());
    let spoofer = world.add_raw(Network::Internet, &[v4("198.51.100.66")]);
    let packet = packet_of(MTU, v6("2001:db8::1"), address(&world, client));
    let mut payload = Vec::new();
    Origin(socket("198.51.100.66:1")).emit(&mut payload);
    payload.extend(&packet);
    world.inject(
        spoofer,
        SocketAddrV4::new(SERVER.primary, PORT),
        teredo(&world, client).mapped,
        &payload,
    );
    world.run_for(SECOND);
    assert_eq!(delivered(&world, client), [packet]);
}

/// R4380-5.1.1-01: the host's packets must be IPv6 and come from the client's address.
#[test]
fn only_the_clients_own_packets_are_carried() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::restricted());
    let own = address(&world, client);
    let destination = v6("2001:db8::1");
    world.capture_mut().clear();
    let foreign = TeredoAddress {
        flags: Flags::from_bits(teredo(&world, client).flags.bits() ^ 1),
        ..teredo(&world, client)
    };
    for (packet, reason) in [
        (
            packets::udp(foreign.to_ipv6(), destination, 1),
            DropReason::WrongSource,
        ),
        (
            packets::udp(v6("fe80::1"), destination, 1),
            DropReason::WrongSource,
        ),
        (packets::udp(own, own, 1), DropReason::OwnAddress),
        (vec![0x45; 60], DropReason::Malformed),
        (vec![], DropReason::Malformed),
        (
            packets::udp(own, destination, 1)[..45].to_vec(),
            DropReason::Malformed,
        ),
    ] {
        assert_eq!(world.submit(client, &packet), Submission::Drop(reason));
    }
    assert!(world.capture().is_empty());
}
