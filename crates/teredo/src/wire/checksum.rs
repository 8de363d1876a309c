//! The Internet checksum over an IPv6 pseudo-header (RFC 8200 §8.1, RFC 1071).

use std::net::Ipv6Addr;

/// The checksum of an upper-layer packet whose checksum field is zero, in host byte order.
///
/// Over a packet whose checksum field is filled in, the result is zero exactly if the field is right.
pub fn checksum(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, payload: &[u8]) -> u16 {
    let mut sum = sum(&source.octets()) + sum(&destination.octets()) + sum(payload);
    sum += payload.len() as u64 + u64::from(protocol);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The sum of the big-endian words; an odd last byte counts as the upper half of a word.
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(2);
    let last = words
        .remainder()
        .first()
        .map_or(0, |&byte| u64::from(byte) << 8);
    words.fold(last, |sum, word| {
        sum + u64::from(u16::from_be_bytes([word[0], word[1]]))
    })
}

#[cfg(test)]
mod tests;
