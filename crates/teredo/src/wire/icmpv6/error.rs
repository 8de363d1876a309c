//! ICMPv6 error messages (RFC 4443 §2.4, §3).

use std::net::Ipv6Addr;

use super::super::{Ipv6Packet, MTU, protocol};
use super::{DESTINATION_UNREACHABLE, PACKET_TOO_BIG, REDIRECT, emit_message};

const HOP_LIMIT: u8 = 64;

/// The bytes before the quotation: IPv6 header, type, code, checksum and four more.
const OVERHEAD: usize = Ipv6Packet::HEADER_LEN + 8;

/// The codes of *destination unreachable* (RFC 4443 §3.1).
pub mod unreachable {
    /// There is no route.
    pub const NO_ROUTE: u8 = 0;
    /// A rule prohibits it.
    pub const PROHIBITED: u8 = 1;
    /// The source address is not valid there.
    pub const BEYOND_SCOPE: u8 = 2;
    /// No host answers at the address.
    pub const ADDRESS: u8 = 3;
    /// No program listens on the port.
    pub const PORT: u8 = 4;
    /// A rule prohibits the source address.
    pub const SOURCE_POLICY: u8 = 5;
    /// The route says "reject".
    pub const REJECT: u8 = 6;
}

/// Appends a *destination unreachable* about `offending`, a whole IPv6 packet, and quotes as much of it as fits into
/// 1280 bytes. `code` is one of [`mod@unreachable`].
///
/// Appends nothing, and returns `false`, if [`may_be_answered_with_error`] says no.
pub fn emit_unreachable(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    code: u8,
    offending: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    emit_error(
        [source, destination],
        [DESTINATION_UNREACHABLE, code],
        0,
        offending,
        out,
    )
}

/// Appends a *packet too big* about `offending`, a whole IPv6 packet, and quotes as much of it as fits into 1280 bytes.
/// `mtu` is the size that would pass, in bytes, at least 1280.
///
/// Appends nothing, and returns `false`, if [`may_be_answered_with_error`] says no.
pub fn emit_packet_too_big(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    mtu: u32,
    offending: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    emit_error(
        [source, destination],
        [PACKET_TOO_BIG, 0],
        mtu,
        offending,
        out,
    )
}

/// Whether an ICMPv6 error may be sent about a packet (RFC 4443 §2.4 e).
///
/// No error is sent about an ICMPv6 error or redirect, or a packet that may be one. A later fragment is fine, because
/// the first one is not delivered either. No error is sent about a packet with a multicast destination or a source that
/// is not a single node's.
pub fn may_be_answered_with_error(offending: &[u8]) -> bool {
    let Ok(packet) = Ipv6Packet::parse(offending) else {
        return false;
    };
    let source = packet.source();
    if source.is_unspecified() || source.is_multicast() || packet.destination().is_multicast() {
        return false;
    }
    match packet.upper_layer() {
        Err(_) => false,
        Ok(layer) if layer.protocol != protocol::ICMPV6 => true,
        Ok(layer) if layer.fragment.is_some_and(|fragment| fragment.offset != 0) => true,
        // Errors are the types below 128.
        Ok(layer) => layer
            .payload
            .first()
            .is_some_and(|&kind| kind >= 128 && kind != REDIRECT),
    }
}

fn emit_error(
    addresses: [Ipv6Addr; 2],
    kind_and_code: [u8; 2],
    word: u32,
    offending: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    if !may_be_answered_with_error(offending) {
        return false;
    }
    let quoted = &offending[..offending.len().min(MTU - OVERHEAD)];
    emit_message(addresses, HOP_LIMIT, kind_and_code, out, |out| {
        out.extend_from_slice(&word.to_be_bytes());
        out.extend_from_slice(quoted);
    });
    true
}

/// The words of `tcpdump` for a code of *destination unreachable*.
pub(super) fn unreachable_name(code: u8) -> &'static str {
    match code {
        unreachable::NO_ROUTE => "destination unreachable, no route",
        unreachable::PROHIBITED => "destination unreachable, prohibited",
        unreachable::BEYOND_SCOPE => "destination unreachable, beyond scope",
        unreachable::ADDRESS => "destination unreachable, address",
        unreachable::PORT => "destination unreachable, port",
        unreachable::SOURCE_POLICY => "destination unreachable, source policy",
        unreachable::REJECT => "destination unreachable, reject route",
        _ => "destination unreachable",
    }
}
