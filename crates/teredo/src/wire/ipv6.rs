//! IPv6 packets (RFC 8200): the fixed header, extension headers, the checksum of the payload, and bubbles.

use std::fmt;
use std::net::Ipv6Addr;

use super::{Icmpv6, ParseError};

/// Next-header values.
pub mod protocol {
    /// Hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// A routing header.
    pub const ROUTING: u8 = 43;
    /// A fragment header.
    pub const FRAGMENT: u8 = 44;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// Nothing follows. Bubbles have this.
    pub const NO_NEXT_HEADER: u8 = 59;
    /// Destination options.
    pub const DESTINATION_OPTIONS: u8 = 60;
}

const HEADER_LEN: usize = 40;
const HOP_LIMIT: usize = 7;

/// Only attacks have more.
const MAX_EXTENSION_HEADERS: usize = 8;

/// A view of an IPv6 packet. Its version is 6, and its length agrees with its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Packet<'a> {
    header: &'a [u8; HEADER_LEN],
    bytes: &'a [u8],
}

impl<'a> Ipv6Packet<'a> {
    /// The length of the fixed header in bytes.
    pub const HEADER_LEN: usize = HEADER_LEN;

    /// Parses a packet that takes up all of `bytes`.
    ///
    /// # Errors
    ///
    /// [`ParseError::Truncated`], [`ParseError::Version`], [`ParseError::Surplus`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        match Self::parse_prefix(bytes)? {
            (packet, []) => Ok(packet),
            (_, rest) => Err(ParseError::Surplus(rest.len())),
        }
    }

    /// Parses the packet at the front of `bytes`; returns it and what follows.
    ///
    /// # Errors
    ///
    /// [`ParseError::Truncated`], [`ParseError::Version`].
    pub fn parse_prefix(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let truncated = |needed| ParseError::Truncated {
            what: "IPv6 packet",
            needed,
            available: bytes.len(),
        };
        let header: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or_else(|| truncated(HEADER_LEN))?;
        let version = header[0] >> 4;
        if version != 6 {
            return Err(ParseError::Version(version));
        }
        let len = HEADER_LEN + usize::from(u16::from_be_bytes([header[4], header[5]]));
        let (bytes, rest) = bytes.split_at_checked(len).ok_or_else(|| truncated(len))?;
        Ok((Self { header, bytes }, rest))
    }

    /// The source address.
    pub fn source(&self) -> Ipv6Addr {
        self.address(8)
    }

    /// The destination address.
    pub fn destination(&self) -> Ipv6Addr {
        self.address(24)
    }

    fn address(&self, at: usize) -> Ipv6Addr {
        let mut octets = [0; 16];
        octets.copy_from_slice(&self.header[at..at + 16]);
        Ipv6Addr::from(octets)
    }

    /// The type of the bytes behind the fixed header; see [`protocol`].
    pub fn next_header(&self) -> u8 {
        self.header[6]
    }

    /// The hop limit.
    pub fn hop_limit(&self) -> u8 {
        self.header[HOP_LIMIT]
    }

    /// The bytes behind the fixed header, including extension headers.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[HEADER_LEN..]
    }

    /// The whole packet.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether this is a bubble: nothing follows the header, as its type says (RFC 4380 §2.8).
    pub fn is_bubble(&self) -> bool {
        self.next_header() == protocol::NO_NEXT_HEADER && self.payload().is_empty()
    }

    /// The fixed header.
    pub fn header(&self) -> Ipv6Header {
        let word = u32::from_be_bytes([
            self.header[0],
            self.header[1],
            self.header[2],
            self.header[3],
        ]);
        Ipv6Header {
            traffic_class: (word >> 20) as u8,
            flow_label: word & 0xf_ffff,
            payload_length: u16::from_be_bytes([self.header[4], self.header[5]]),
            next_header: self.next_header(),
            hop_limit: self.hop_limit(),
            source: self.source(),
            destination: self.destination(),
        }
    }

    /// Skips hop-by-hop options, destination options, routing and fragment headers.
    ///
    /// Any other protocol ends the walk, including encrypted and unknown ones. The header of a fragment other than the
    /// first also ends it, because the bytes behind it are no header.
    ///
    /// # Errors
    ///
    /// [`ParseError::Truncated`] if a header exceeds the packet, [`ParseError::TooManyExtensionHeaders`].
    pub fn upper_layer(&self) -> Result<UpperLayer<'a>, ParseError> {
        let mut layer = UpperLayer {
            protocol: self.next_header(),
            payload: self.payload(),
            routing: None,
            fragment: None,
        };
        for _ in 0..=MAX_EXTENSION_HEADERS {
            let is_fragment = match layer.protocol {
                protocol::FRAGMENT => true,
                protocol::HOP_BY_HOP | protocol::DESTINATION_OPTIONS | protocol::ROUTING => false,
                _ => return Ok(layer),
            };
            let truncated = |needed| ParseError::Truncated {
                what: "IPv6 extension header",
                needed,
                available: layer.payload.len(),
            };
            let head: &[u8; 8] = layer.payload.first_chunk().ok_or_else(|| truncated(8))?;
            let len = if is_fragment {
                8
            } else {
                8 * (1 + usize::from(head[1]))
            };
            let (_, payload) = layer
                .payload
                .split_at_checked(len)
                .ok_or_else(|| truncated(len))?;
            if is_fragment {
                let word = u16::from_be_bytes([head[2], head[3]]);
                layer.fragment = Some(Fragment {
                    offset: word & !7,
                    more: word & 1 != 0,
                });
            } else if layer.protocol == protocol::ROUTING {
                layer.routing = Some(Routing {
                    kind: head[2],
                    segments_left: head[3],
                });
            }
            layer.protocol = head[0];
            layer.payload = payload;
            if layer.fragment.is_some_and(|fragment| fragment.offset != 0) {
                return Ok(layer);
            }
        }
        Err(ParseError::TooManyExtensionHeaders)
    }
}

impl fmt::Display for Ipv6Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IP6 {} > {}: ", self.source(), self.destination())?;
        if self.is_bubble() {
            return write!(f, "no next header, hlim {}", self.hop_limit());
        }
        match self.upper_layer() {
            Err(error) => write!(f, "malformed ({error}), length {}", self.payload().len()),
            Ok(layer) => layer.fmt_in(self, f),
        }
    }
}

/// The payload behind the extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpperLayer<'a> {
    /// The type of the payload.
    pub protocol: u8,
    /// The payload.
    pub payload: &'a [u8],
    /// The last routing header. It is never acted on inside a tunnel (RFC 6169 §2.3).
    pub routing: Option<Routing>,
    /// The fragment header.
    pub fragment: Option<Fragment>,
}

impl UpperLayer<'_> {
    fn fmt_in(&self, packet: &Ipv6Packet<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.payload.len();
        if let Some(routing) = self.routing {
            write!(
                f,
                "srcrt (type {}, segleft {}) ",
                routing.kind, routing.segments_left
            )?;
        }
        if let Some(fragment) = self.fragment {
            write!(f, "frag ({}|{length}) ", fragment.offset)?;
            if fragment.offset != 0 {
                return write!(f, "of ip-proto-{}", self.protocol);
            }
        }
        match self.protocol {
            protocol::ICMPV6 => match Icmpv6::parse(packet) {
                Ok(message) => write!(f, "{message}"),
                Err(error) => write!(f, "ICMP6, malformed ({error}), length {length}"),
            },
            protocol::TCP => write!(f, "TCP, length {length}"),
            protocol::UDP => write!(f, "UDP, length {length}"),
            protocol::NO_NEXT_HEADER => write!(f, "no next header, length {length}"),
            protocol => write!(f, "ip-proto-{protocol}, length {length}"),
        }
    }
}

/// The contents of a routing header (RFC 8200 §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routing {
    /// Its type.
    pub kind: u8,
    /// The number of nodes still to be visited.
    pub segments_left: u8,
}

/// The contents of a fragment header (RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The offset of the fragment, in bytes.
    pub offset: u16,
    /// Whether parts follow.
    pub more: bool,
}

/// The fixed header of an IPv6 packet to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Header {
    /// The traffic class.
    pub traffic_class: u8,
    /// The flow label; its upper 12 bits are not written.
    pub flow_label: u32,
    /// The number of bytes that follow the header.
    pub payload_length: u16,
    /// The type of what follows; see [`protocol`].
    pub next_header: u8,
    /// The hop limit.
    pub hop_limit: u8,
    /// The source address.
    pub source: Ipv6Addr,
    /// The destination address.
    pub destination: Ipv6Addr,
}

impl Ipv6Header {
    /// Appends the header; [`Self::payload_length`] bytes must follow.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let word = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0xf_ffff;
        out.extend_from_slice(&word.to_be_bytes());
        out.extend_from_slice(&self.payload_length.to_be_bytes());
        out.extend_from_slice(&[self.next_header, self.hop_limit]);
        out.extend_from_slice(&self.source.octets());
        out.extend_from_slice(&self.destination.octets());
    }
}

impl fmt::Display for Ipv6Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "IP6 (class {:#04x}, flowlabel {:#07x}, hlim {}, next-header {}, payload length {}) {} > {}",
            self.traffic_class,
            self.flow_label,
            self.hop_limit,
            self.next_header,
            self.payload_length,
            self.source,
            self.destination
        )
    }
}

/// Changes the hop limit of the IPv6 packet at the front of `packet`. No checksum covers it.
///
/// # Errors
///
/// Those of [`Ipv6Packet::parse_prefix`]; nothing is changed then.
pub fn set_hop_limit(packet: &mut [u8], hop_limit: u8) -> Result<(), ParseError> {
    Ipv6Packet::parse_prefix(packet)?;
    packet[HOP_LIMIT] = hop_limit;
    Ok(())
}

/// Appends a bubble (RFC 4380 §2.8): 40 bytes. Servers and peers must accept any hop limit; local discovery uses 1.
///
/// [`Ipv6Packet::is_bubble`] recognises one.
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

/// The checksum of an upper-layer packet whose checksum field is zero, in host byte order.
///
/// If the checksum field is filled in, the result is zero if and only if the checksum is right.
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
