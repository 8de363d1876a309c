//! IPv6 packets that hosts and strangers send.

use std::net::{Ipv6Addr, SocketAddrV4};

use teredo::wire::{self, Datagram, Icmpv6, Ipv6Header, Ipv6Packet, Origin, protocol};

/// A packet with any next header and payload.
pub(crate) fn ipv6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    next_header: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = Vec::new();
    let header = Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_length: u16::try_from(payload.len()).unwrap(),
        next_header,
        hop_limit: 64,
        source,
        destination,
    };
    header.emit(&mut packet);
    packet.extend(payload);
    packet
}

/// A UDP packet with this number.
pub(crate) fn udp(source: Ipv6Addr, destination: Ipv6Addr, number: u8) -> Vec<u8> {
    let mut datagram = vec![0x12, 0x34, 0x56, 0x78, 0, 9, 0, 0, number];
    let checksum = wire::checksum(source, destination, protocol::UDP, &datagram);
    datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
    ipv6(source, destination, protocol::UDP, &datagram)
}

pub(crate) fn bubble(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    ipv6(source, destination, protocol::NO_NEXT_HEADER, &[])
}

/// A bubble as the server forwards it to its client.
pub(crate) fn forwarded_bubble(
    origin: SocketAddrV4,
    source: Ipv6Addr,
    destination: Ipv6Addr,
) -> Vec<u8> {
    let mut payload = Vec::new();
    Origin(origin).emit(&mut payload);
    payload.extend(bubble(source, destination));
    payload
}

/// Any packet as the server forwards it.
pub(crate) fn forwarded(origin: SocketAddrV4, packet: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    Origin(origin).emit(&mut payload);
    payload.extend(packet);
    payload
}

/// The reply to an echo request, or `None` if `packet` is none.
pub(crate) fn echo_reply(packet: &[u8]) -> Option<Vec<u8>> {
    let packet = Ipv6Packet::parse(packet).ok()?;
    let Ok(Icmpv6::EchoRequest {
        identifier,
        sequence,
        data,
    }) = Icmpv6::parse(&packet)
    else {
        return None;
    };
    let mut reply = Vec::new();
    wire::emit_echo_reply(
        packet.destination(),
        packet.source(),
        64,
        identifier,
        sequence,
        data,
        &mut reply,
    );
    Some(reply)
}

/// The inner source and destination of a UDP payload.
pub(crate) fn endpoints(payload: &[u8]) -> (Ipv6Addr, Ipv6Addr) {
    let packet = Datagram::parse(payload).unwrap().packet;
    (packet.source(), packet.destination())
}

/// The number of a packet made by [`udp`].
pub(crate) fn number(packet: &[u8]) -> u8 {
    *packet.last().unwrap()
}
