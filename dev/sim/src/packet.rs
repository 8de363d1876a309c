//! IPv6 packets of the programs on hosts.

use std::net::Ipv6Addr;

use etherparse::PacketBuilder;
use teredo::wire::{Icmpv6, Ipv6Packet, emit_echo_reply};

/// The hop limit of hosts.
const HOP_LIMIT: u8 = 64;
/// The ports of the programs.
const PORTS: (u16, u16) = (0x1234, 0x5678);

/// A UDP datagram in IPv6.
///
/// # Panics
///
/// If the payload is longer than UDP can carry.
pub fn udp(source: Ipv6Addr, destination: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    let builder =
        PacketBuilder::ipv6(source.octets(), destination.octets(), HOP_LIMIT).udp(PORTS.0, PORTS.1);
    let mut packet = Vec::with_capacity(builder.size(payload.len()));
    match builder.write(&mut packet, payload) {
        Ok(()) => packet,
        Err(error) => panic!("no UDP datagram: {error}"),
    }
}

/// The reply of a host's kernel to an echo request; `None` if `packet` is none.
pub fn echo_reply(packet: &[u8]) -> Option<Vec<u8>> {
    let packet = Ipv6Packet::parse(packet).ok()?;
    let Ok(Icmpv6::EchoRequest {
        identifier,
        sequence,
        data,
    }) = Icmpv6::parse(&packet)
    else {
        return None;
    };
    let (source, destination) = (packet.destination(), packet.source());
    let mut reply = Vec::new();
    emit_echo_reply(
        source,
        destination,
        HOP_LIMIT,
        identifier,
        sequence,
        data,
        &mut reply,
    );
    Some(reply)
}
