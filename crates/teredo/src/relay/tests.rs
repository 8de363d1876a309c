mod paths;
mod properties;
mod receive;
mod send;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use super::*;
use crate::wire::{self, Flags, Ipv6Header, Ipv6Packet, PORT, protocol};
use crate::{Destination, Reception, Submission};

const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 120);
const SERVICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 9), 4545);
const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 4096);
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const OWN: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xffff);

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn teredo(server: Ipv4Addr, mapped: SocketAddrV4) -> Ipv6Addr {
    TeredoAddress {
        server,
        flags: Flags::default(),
        mapped,
    }
    .to_ipv6()
}

fn client() -> Ipv6Addr {
    teredo(SERVER, CLIENT)
}

fn config() -> RelayConfig {
    RelayConfig {
        error_source: Some(OWN),
        ..RelayConfig::new(SERVICE, Served::Networks(Vec::new()))
    }
}

fn relay_with(config: RelayConfig) -> Relay {
    Relay::new(config, [7; 32])
}

fn relay() -> Relay {
    relay_with(config())
}

fn relay_with_seed(seed: [u8; 32]) -> Relay {
    Relay::new(config(), seed)
}

fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_length: payload.len() as u16,
        next_header,
        hop_limit: 64,
        source,
        destination,
    }
    .emit(&mut packet);
    packet.extend_from_slice(payload);
    packet
}

/// A packet of a protocol that the relay does not know.
fn data(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    ipv6(source, destination, protocol::UDP, &[0; 9])
}

fn bubble(source: Ipv6Addr, destination: Ipv6Addr, hop_limit: u8) -> Vec<u8> {
    let mut packet = Vec::new();
    wire::emit_bubble(source, destination, hop_limit, &mut packet);
    packet
}

/// The output of a relay.
fn sent(relay: &mut Relay) -> Vec<(Destination, Vec<u8>)> {
    let mut all = Vec::new();
    let mut bytes = Vec::new();
    while let Some(transmit) = relay.poll_transmit(&mut bytes) {
        all.push((transmit.destination, std::mem::take(&mut bytes)));
    }
    all
}

/// Its bubbles: where to, source, destination.
fn bubbles(relay: &mut Relay) -> Vec<(SocketAddrV4, Ipv6Addr, Ipv6Addr)> {
    sent(relay)
        .into_iter()
        .filter_map(|(to, bytes)| match (to, Ipv6Packet::parse(&bytes)) {
            (Destination::Udp(to), Ok(packet)) if packet.is_bubble() => {
                Some((to, packet.source(), packet.destination()))
            }
            _ => None,
        })
        .collect()
}

/// The outer and inner destinations of the bubbles.
fn asked(relay: &mut Relay) -> Vec<(SocketAddrV4, Ipv6Addr)> {
    let bubbles = bubbles(relay).into_iter();
    bubbles.map(|(to, _, target)| (to, target)).collect()
}

fn server_port(server: Ipv4Addr) -> SocketAddrV4 {
    SocketAddrV4::new(server, PORT)
}

fn receive(relay: &mut Relay, now: Instant, from: SocketAddrV4, datagram: &[u8]) -> String {
    format!("{:?}", relay.handle_udp(now, from, *SERVICE.ip(), datagram))
}

/// A relay that has heard the client at time zero.
fn trusting(config: RelayConfig) -> Relay {
    let mut relay = relay_with(config);
    assert_eq!(
        relay.handle_tun(at(0), &data(NATIVE, client())),
        Submission::Queued
    );
    let asked = bubbles(&mut relay);
    let answer = bubble(client(), asked[0].1, 255);
    assert_eq!(
        relay.handle_udp(at(0), CLIENT, *SERVICE.ip(), &answer),
        Reception::Consumed
    );
    assert_eq!(sent(&mut relay).len(), 1, "what waited");
    relay
}
