//! A server as its clients, relays and enemies see it: one datagram in, at most one out.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use super::*;
use crate::ServerAddress;
use crate::wire::{Flags, emit_bubble, emit_echo_request, emit_router_solicitation, link_local};

mod accept;
mod answer;
mod forward;
mod limits;
mod properties;
mod secure;

const PRIMARY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 120);
const SECONDARY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 121);
const FOREIGN_SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 118);

/// A client of the server, one of another server, and a relay: their outer addresses.
const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 4096);
const PEER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 10), 8192);
const RELAY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 20), 3545);

/// A node of the IPv6 Internet.
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// Where a packet for it is said to have been sent.
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
        NOW,
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

/// R4380-7.4-01: whatever goes in, at most one datagram comes out, and none where it says so.
fn receive(
    server: &mut Server,
    from: SocketAddrV4,
    local: Ipv4Addr,
    datagram: &[u8],
) -> (Reception<'static>, Option<Sent>) {
    let reception = server.handle_udp(NOW, from, local, datagram);
    let mut bytes = vec![0xa5];
    let sent = server.poll_transmit(&mut bytes).map(|transmit| {
        assert_eq!(
            transmit.len,
            bytes.len() - 1,
            "only what was appended counts"
        );
        let (to, source) = match (transmit.destination, transmit.source) {
            (Destination::Udp(to), Some(source)) => (to, source),
            (Destination::Host, None) => (INTERNET, PRIMARY),
            other => panic!("{other:?}"),
        };
        Sent {
            to,
            source,
            bytes: bytes.split_off(1),
        }
    });
    in_place(server, from, local, datagram, sent.as_ref());
    assert_eq!(bytes, [0xa5], "the buffer is appended to");
    assert_eq!(server.poll_transmit(&mut bytes), None);
    assert_eq!(sent.is_some(), reception == Reception::Consumed);
    assert_eq!(server.poll_event(), None);
    assert_eq!(server.poll_timeout(), None);
    (reception, sent)
}

/// What is answered in place is what is answered elsewhere, in a buffer that is just long enough; a shorter one is
/// refused.
fn in_place(
    server: &Server,
    from: SocketAddrV4,
    local: Ipv4Addr,
    datagram: &[u8],
    sent: Option<&Sent>,
) {
    let mut server = server.clone();
    let mut answer = |buffer: &mut [u8]| {
        buffer[..datagram.len()].copy_from_slice(datagram);
        server.answer_in_place(NOW, from, local, buffer, datagram.len())
    };
    let len = sent.map_or(0, |sent| sent.bytes.len()).max(datagram.len());
    let mut buffer = vec![0xa5; len];
    let (to, source, len) = match (answer(&mut buffer), sent) {
        (Ok(Answer::Udp { to, source, len }), Some(_)) => (to, source, len),
        (Ok(Answer::Native { len }), Some(_)) => (INTERNET, PRIMARY, len),
        (Err(_), None) => return,
        other => panic!("{other:?}"),
    };
    let sent = sent.unwrap();
    assert_eq!(
        (to, source, &buffer[..len]),
        (sent.to, sent.source, &sent.bytes[..])
    );
    if len > datagram.len() {
        let mut short = vec![0xa5; len - 1];
        assert_eq!(answer(&mut short), Err(DropReason::Oversized));
    }
}

/// Sends a datagram to the primary address and expects something back.
fn expect_sent(server: &mut Server, from: SocketAddrV4, datagram: &[u8]) -> Sent {
    let (reception, sent) = receive(server, from, PRIMARY, datagram);
    sent.unwrap_or_else(|| panic!("{reception:?}"))
}

/// Sends a datagram to the primary address and expects it to be dropped, and counted, for this reason.
#[track_caller]
fn expect_drop(server: &mut Server, from: SocketAddrV4, datagram: &[u8], reason: DropReason) {
    let before = server.drops().get(reason);
    assert_eq!(
        receive(server, from, PRIMARY, datagram),
        (Reception::Drop(reason), None)
    );
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
