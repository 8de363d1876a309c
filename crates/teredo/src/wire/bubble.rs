//! Bubbles: IPv6 packets without a payload, sent for the hole that they make in a NAT (RFC 4380 §2.8).

use std::net::Ipv6Addr;

use super::{Ipv6Header, protocol};

/// Appends a bubble: 40 bytes. Servers and peers must take any hop limit; local discovery uses 1.
///
/// [`Ipv6Packet::is_bubble`](super::Ipv6Packet::is_bubble) tells one.
pub fn emit_bubble(source: Ipv6Addr, destination: Ipv6Addr, hop_limit: u8, out: &mut Vec<u8>) {
    Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_length: 0,
        next_header: protocol::NO_NEXT_HEADER,
        hop_limit,
        source,
        destination,
    }
    .emit(out);
}

#[cfg(test)]
mod tests;
