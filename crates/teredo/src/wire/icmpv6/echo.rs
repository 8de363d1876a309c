//! Echo request and reply (RFC 4443 §4).

use std::net::Ipv6Addr;

use super::{ECHO_REPLY, ECHO_REQUEST, emit_message};

/// Appends an echo request as a whole IPv6 packet. Of `data` at most 65,527 bytes are written.
pub fn emit_echo_request(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hop_limit: u8,
    identifier: u16,
    sequence: u16,
    data: &[u8],
    out: &mut Vec<u8>,
) {
    emit_echo(
        [source, destination],
        hop_limit,
        ECHO_REQUEST,
        [identifier, sequence],
        data,
        out,
    );
}

/// Appends an echo reply as a whole IPv6 packet. Of `data` at most 65,527 bytes are written.
pub fn emit_echo_reply(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hop_limit: u8,
    identifier: u16,
    sequence: u16,
    data: &[u8],
    out: &mut Vec<u8>,
) {
    emit_echo(
        [source, destination],
        hop_limit,
        ECHO_REPLY,
        [identifier, sequence],
        data,
        out,
    );
}

fn emit_echo(
    addresses: [Ipv6Addr; 2],
    hop_limit: u8,
    kind: u8,
    [identifier, sequence]: [u16; 2],
    data: &[u8],
    out: &mut Vec<u8>,
) {
    emit_message(addresses, hop_limit, [kind, 0], out, |out| {
        out.extend_from_slice(&identifier.to_be_bytes());
        out.extend_from_slice(&sequence.to_be_bytes());
        out.extend_from_slice(data);
    });
}
