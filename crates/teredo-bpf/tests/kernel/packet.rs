//! IPv6 packets, byte for byte.

use std::net::Ipv6Addr;

use teredo::wire::{Ipv6Header, checksum, protocol};

/// A packet with this upper layer.
pub(crate) fn packet(from: Ipv6Addr, to: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_length: payload.len() as u16,
        next_header,
        hop_limit: 64,
        source: from,
        destination: to,
    }
    .emit(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

/// A UDP packet with the right checksum.
pub(crate) fn udp(from: Ipv6Addr, to: Ipv6Addr, ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    packet(from, to, protocol::UDP, &udp_part(from, to, ports, data))
}

/// A UDP header and its data.
pub(crate) fn udp_part(from: Ipv6Addr, to: Ipv6Addr, ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let mut part = Vec::new();
    for field in [ports.0, ports.1, 8 + data.len() as u16, 0] {
        part.extend_from_slice(&field.to_be_bytes());
    }
    part.extend_from_slice(data);
    let sum = checksum(from, to, protocol::UDP, &part);
    part[6..8].copy_from_slice(&sum.to_be_bytes());
    part
}

/// The same packet with an extension header of 8 bytes in front of its upper layer.
pub(crate) fn with_extension(packet: &[u8], kind: u8, rest: [u8; 7]) -> Vec<u8> {
    let (header, payload) = packet.split_at(40);
    let mut bytes = header.to_vec();
    let len = payload.len() as u16 + 8;
    bytes[4..6].copy_from_slice(&len.to_be_bytes());
    bytes[6] = kind;
    bytes.push(header[6]);
    bytes.extend_from_slice(&rest);
    bytes.extend_from_slice(payload);
    bytes
}

/// The same packet with these ECN bits.
pub(crate) fn with_ecn(mut packet: Vec<u8>, ecn: u8) -> Vec<u8> {
    packet[1] = packet[1] & !0x30 | ecn << 4;
    packet
}
