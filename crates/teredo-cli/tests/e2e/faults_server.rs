//! Faults of `miredo-server` 1.2.6 that this server must not have: the same probes, seen to find them there.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use teredo::wire::{
    Authentication, Flags, PORT, TeredoAddress, emit_bubble, emit_router_solicitation, link_local,
};
use teredo_lab::Receive;

use crate::world::*;

const VICTIM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 98), 40_000);
const STRANGER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 99), 50_000);

/// Two hosts without a NAT.
fn sockets(world: &World) -> (UdpSocket, UdpSocket) {
    let open = |name, at: SocketAddrV4| {
        let host = world.internet.host(name, &[*at.ip()]).unwrap();
        let socket = host.udp_socket(at).unwrap();
        socket.set_read_timeout(Some(SECOND * 5)).unwrap();
        socket
    };
    (open("victim", VICTIM), open("stranger", STRANGER))
}

fn solicitation(from: SocketAddrV4, nonce: Option<[u8; 8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(nonce) = nonce {
        Authentication::nonce_only(nonce).emit(&mut bytes);
    }
    emit_router_solicitation(link_local(Flags::default(), from), &mut bytes);
    bytes
}

/// How often a stranger who solicits without an element is answered with the nonce that a victim has just sent.
fn leaked_nonces(world: &World) -> usize {
    let (victim, stranger) = sockets(world);
    let mut buffer = [0; 2048];
    let leaks = (1..=3).filter(|&round| {
        let nonce = [0x5e, 0xc2, 0xe7, 0x5e, 0xc2, 0xe7, 0x5e, round];
        victim
            .send_to(&solicitation(VICTIM, Some(nonce)), (SERVER, PORT))
            .unwrap();
        let len = victim.receive(&mut buffer).unwrap();
        assert!(buffer[..len].windows(8).any(|bytes| bytes == nonce));
        stranger
            .send_to(&solicitation(STRANGER, None), (SERVER, PORT))
            .unwrap();
        let len = stranger.receive(&mut buffer).unwrap();
        buffer[..len].windows(8).any(|bytes| bytes == nonce)
    });
    leaks.count()
}

/// Finding A: the nonce of one client is not for another.
///
/// `miredo-server` 1.2.6, probed by `leaked_nonces`, gave the
/// victim's nonce away 3 times of 3.
#[test]
fn the_nonce_of_a_client_is_not_leaked() {
    let (world, _server) = World::with_server();
    assert_eq!(leaked_nonces(&world), 0);
}

/// The lengths of what arrives at a victim when a stranger sends bubbles for it with so many bytes behind them.
fn passed_on(world: &World, surplus: &[usize]) -> Vec<usize> {
    let (victim, stranger) = sockets(world);
    let destination = TeredoAddress {
        server: SERVER,
        flags: Flags::default(),
        mapped: VICTIM,
    };
    let bubble = |hop_limit| {
        let mut bytes = Vec::new();
        let source = "2001:db8::1".parse().unwrap();
        emit_bubble(source, destination.to_ipv6(), hop_limit, &mut bytes);
        bytes
    };
    for &surplus in surplus {
        let bytes = [bubble(1), vec![0xda; surplus]].concat();
        stranger.send_to(&bytes, (SERVER, PORT)).unwrap();
    }
    // What comes last says that nothing more will.
    stranger.send_to(&bubble(2), (SERVER, PORT)).unwrap();
    let mut buffer = [0; 1 << 16];
    let mut lengths = Vec::new();
    loop {
        let len = victim.receive(&mut buffer).unwrap();
        // The packet is behind the origin indication.
        if buffer[8 + 7] == 2 {
            return lengths;
        }
        lengths.push(len);
    }
}

/// Finding B: the bytes behind a bubble are limited to the length of all trailers, so that the server carries no data.
///
/// `miredo-server` 1.2.6, probed by `passed_on` with the same bubbles, passed on all of
/// them: 48, 92, 112, 113, 1048 and 60,048 bytes.
#[test]
fn bytes_behind_a_bubble_are_bounded() {
    let (world, _server) = World::with_server();
    let arrived = passed_on(&world, &[0, 44, 64, 65, 1000, 60_000]);
    assert_eq!(arrived, [48, 92, 112]);
}
