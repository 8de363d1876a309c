//! A server as its clients, relays and enemies see it: each datagram has at most one answer.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use super::*;
use crate::wire::{
    Flags, Ipv6Packet, emit_bubble, emit_echo_request, emit_router_solicitation, link_local,
};

mod accept;
mod answer;
mod forward;
mod limits;
mod properties;
mod secure;

const PRIMARY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 120);
const SECONDARY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 121);
const FOREIGN_SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 118);

/// The outer addresses of a client of the server, of a client of another server, and of a relay.
const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 4096);
const PEER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 10), 8192);
const RELAY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 20), 3545);

/// A node of the IPv6 Internet.
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// The destination that stands for the IPv6 Internet.
const INTERNET: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

const NOW: Instant = Instant::from_nanos(0);

/// A datagram that the server sent.
#[derive(Debug, PartialEq, Eq)]
struct Sent {
    to: SocketAddrV4,
    source: Ipv4Addr,
    bytes: Vec<u8>,
}

fn server() -> Server {
    Server::new(
        ServerConfig::new(ServerAddress {
            primary: PRIMARY,
            secondary: SECONDARY,
        }),
        [0; 32],
    )
}

fn teredo(server: Ipv4Addr, mapped: SocketAddrV4) -> Ipv6Addr {
    TeredoAddress {
        server,
        flags: Flags::from_random(0x1234),
        mapped,
    }
    .to_ipv6()
}

fn client() -> Ipv6Addr {
    teredo(PRIMARY, CLIENT)
}

fn peer() -> Ipv6Addr {
    teredo(FOREIGN_SERVER, PEER)
}

/// R4380-7.4-01: each datagram has at most one answer, and it is the same in a buffer of any sufficient length.
fn receive(
    server: &mut Server,
    from: SocketAddrV4,
    local: Ipv4Addr,
    datagram: &[u8],
) -> Result<Sent, DropReason> {
    let room = server.buffer_len().max(datagram.len());
    let outcome = answer_within(server, from, local, datagram, room);
    let len = outcome.as_ref().map_or(0, |sent| sent.bytes.len());
    let again = &mut server.clone();
    let tight = answer_within(again, from, local, datagram, len.max(datagram.len()));
    assert_eq!(tight, outcome);
    if len > datagram.len() {
        let short = answer_within(again, from, local, datagram, len - 1);
        assert_eq!(short, Err(DropReason::Oversized));
    }
    outcome
}

/// The answer in a buffer of `room` bytes.
fn answer_within(
    server: &mut Server,
    from: SocketAddrV4,
    local: Ipv4Addr,
    datagram: &[u8],
    room: usize,
) -> Result<Sent, DropReason> {
    let mut buffer = datagram.to_vec();
    buffer.resize(room, 0xa5);
    let answer = server.answer_in_place(NOW, from, local, &mut buffer, datagram.len())?;
    let (to, source, len) = match answer {
        Answer::Udp { to, source, len } => (to, source, len),
        Answer::Native { len } => (INTERNET, PRIMARY, len),
    };
    buffer.truncate(len);
    Ok(Sent {
        to,
        source,
        bytes: buffer,
    })
}

/// Sends a datagram to the primary address and expects an answer.
fn expect_sent(server: &mut Server, from: SocketAddrV4, datagram: &[u8]) -> Sent {
    receive(server, from, PRIMARY, datagram).unwrap()
}

/// Sends a datagram to the primary address and expects it to be dropped, and counted, for this reason.
#[track_caller]
fn expect_drop(server: &mut Server, from: SocketAddrV4, datagram: &[u8], reason: DropReason) {
    let before = server.drops().get(reason);
    assert_eq!(receive(server, from, PRIMARY, datagram), Err(reason));
    assert_eq!(server.drops().get(reason), before + 1);
}

fn bubble(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let mut bytes = Vec::new();
    emit_bubble(source, destination, 21, &mut bytes);
    bytes
}

fn echo(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let mut bytes = Vec::new();
    emit_echo_request(source, destination, 64, 7, 1, b"ping", &mut bytes);
    bytes
}

fn solicitation(flags: Flags) -> Vec<u8> {
    let mut bytes = Vec::new();
    emit_router_solicitation(
        link_local(flags, "192.168.1.2:50000".parse().unwrap()),
        &mut bytes,
    );
    bytes
}
