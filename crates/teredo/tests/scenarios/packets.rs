//! IPv6 packets that hosts and strangers send.

use std::net::{Ipv6Addr, SocketAddrV4};

use teredo::wire::{Datagram, Ipv6Header, Origin, protocol};
pub(crate) use teredo_sim::packet::echo_reply;

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
    teredo_sim::packet::udp(source, destination, &[number])
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

/// The inner source and destination of a UDP payload.
pub(crate) fn endpoints(payload: &[u8]) -> (Ipv6Addr, Ipv6Addr) {
    let packet = Datagram::parse(payload).unwrap().packet;
    (packet.source(), packet.destination())
}

/// The number of a packet made by [`udp`].
pub(crate) fn number(packet: &[u8]) -> u8 {
    *packet.last().unwrap()
}
