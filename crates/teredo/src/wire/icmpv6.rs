//! ICMPv6 (RFC 4443), and the part of Neighbor Discovery (RFC 4861) that Teredo uses.

use std::fmt;
use std::net::Ipv6Addr;

use super::{Ipv6Header, Ipv6Packet, ParseError, checksum, protocol};

mod error;
mod router;

pub use error::{emit_packet_too_big, emit_unreachable, may_be_answered_with_error, unreachable};
pub use router::{
    ALL_ROUTERS, PrefixInformation, RouterAdvertisement, RouterSolicitation,
    emit_router_solicitation,
};

const DESTINATION_UNREACHABLE: u8 = 1;
const PACKET_TOO_BIG: u8 = 2;
const TIME_EXCEEDED: u8 = 3;
/// The type of an echo request (RFC 4443 §4.1).
pub const ECHO_REQUEST: u8 = 128;
/// The type of an echo reply (RFC 4443 §4.2).
pub const ECHO_REPLY: u8 = 129;
/// The type of a router solicitation (RFC 4861 §4.1).
pub const ROUTER_SOLICITATION: u8 = 133;
/// The type of a router advertisement (RFC 4861 §4.2).
pub const ROUTER_ADVERTISEMENT: u8 = 134;
const REDIRECT: u8 = 137;

const HEADER_LEN: usize = 4;

/// The hop limit of Neighbor Discovery, which proves that no router forwarded the message.
const ND_HOP_LIMIT: u8 = 255;

/// An ICMPv6 message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Icmpv6<'a> {
    /// A packet could not be delivered.
    DestinationUnreachable {
        /// The reason; see [`mod@unreachable`].
        code: u8,
        /// The beginning of that packet.
        quoted: &'a [u8],
    },
    /// A packet was larger than the next link.
    PacketTooBig {
        /// The MTU of that link, in bytes.
        mtu: u32,
        /// The beginning of that packet.
        quoted: &'a [u8],
    },
    /// A packet's hop limit, or the time to reassemble its fragments, ran out.
    TimeExceeded {
        /// 0: the hop limit; 1: the time.
        code: u8,
        /// The beginning of that packet.
        quoted: &'a [u8],
    },
    /// A request to send an echo reply.
    EchoRequest {
        /// Repeated in the reply.
        identifier: u16,
        /// Repeated in the reply.
        sequence: u16,
        /// Repeated in the reply.
        data: &'a [u8],
    },
    /// The reply to an echo request.
    EchoReply {
        /// From the request.
        identifier: u16,
        /// From the request.
        sequence: u16,
        /// From the request.
        data: &'a [u8],
    },
    /// A host looks for a router.
    RouterSolicitation(RouterSolicitation<'a>),
    /// A router announces itself.
    RouterAdvertisement(RouterAdvertisement),
    /// Anything else.
    Other {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
        /// The bytes behind the checksum.
        body: &'a [u8],
    },
}

impl<'a> Icmpv6<'a> {
    /// Parses the message in a packet, behind any extension headers.
    ///
    /// # Errors
    ///
    /// The packet carries something else or a fragment, the checksum is wrong, the message is too short for its type,
    /// or RFC 4861 §6.1 requires a router solicitation or advertisement to be discarded: hop limit not 255, code not 0,
    /// a wrong source, or an option of length 0 (R4380-5.2.1-06, R4380-5.3.2-11).
    pub fn parse(packet: &Ipv6Packet<'a>) -> Result<Self, ParseError> {
        let layer = packet.upper_layer()?;
        if layer.protocol != protocol::ICMPV6 {
            return Err(ParseError::NotIcmpv6(layer.protocol));
        }
        if layer
            .fragment
            .is_some_and(|fragment| fragment.more || fragment.offset != 0)
        {
            return Err(ParseError::Fragmented);
        }
        let message = layer.payload;
        let (&[kind, code, c0, c1], body) = message
            .split_first_chunk::<HEADER_LEN>()
            .ok_or_else(|| truncated(HEADER_LEN, message))?;
        if checksum(
            packet.source(),
            packet.destination(),
            protocol::ICMPV6,
            message,
        ) != 0
        {
            return Err(ParseError::Checksum(u16::from_be_bytes([c0, c1])));
        }
        if matches!(kind, ROUTER_SOLICITATION | ROUTER_ADVERTISEMENT) {
            // RFC 6980 §5: Neighbor Discovery is never fragmented, not even into a single fragment.
            if layer.fragment.is_some() {
                return Err(ParseError::Fragmented);
            }
            if packet.hop_limit() != ND_HOP_LIMIT {
                return Err(ParseError::NeighborDiscoveryHopLimit(packet.hop_limit()));
            }
            if code != 0 {
                return Err(ParseError::NeighborDiscoveryCode(code));
            }
        }
        match kind {
            ROUTER_SOLICITATION => {
                RouterSolicitation::parse(packet.source(), body).map(Self::RouterSolicitation)
            }
            ROUTER_ADVERTISEMENT => {
                RouterAdvertisement::parse(packet.source(), body).map(Self::RouterAdvertisement)
            }
            DESTINATION_UNREACHABLE
            | PACKET_TOO_BIG
            | TIME_EXCEEDED
            | ECHO_REQUEST
            | ECHO_REPLY => {
                let (word, rest) = body
                    .split_first_chunk::<4>()
                    .ok_or_else(|| truncated(8, message))?;
                Ok(Self::with_word(kind, code, *word, rest))
            }
            _ => Ok(Self::Other { kind, code, body }),
        }
    }

    /// A message with four bytes of its own in front of the data.
    fn with_word(kind: u8, code: u8, word: [u8; 4], rest: &'a [u8]) -> Self {
        let [w0, w1, w2, w3] = word;
        let identifier = u16::from_be_bytes([w0, w1]);
        let sequence = u16::from_be_bytes([w2, w3]);
        match kind {
            DESTINATION_UNREACHABLE => Self::DestinationUnreachable { code, quoted: rest },
            PACKET_TOO_BIG => Self::PacketTooBig {
                mtu: u32::from_be_bytes(word),
                quoted: rest,
            },
            TIME_EXCEEDED => Self::TimeExceeded { code, quoted: rest },
            ECHO_REQUEST => Self::EchoRequest {
                identifier,
                sequence,
                data: rest,
            },
            _ => Self::EchoReply {
                identifier,
                sequence,
                data: rest,
            },
        }
    }
}

impl fmt::Display for Icmpv6<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ICMP6, ")?;
        match self {
            Self::DestinationUnreachable { code, quoted } => {
                write!(
                    f,
                    "{}, length {}",
                    error::unreachable_name(*code),
                    8 + quoted.len()
                )
            }
            Self::PacketTooBig { mtu, quoted } => {
                write!(f, "packet too big, mtu {mtu}, length {}", 8 + quoted.len())
            }
            Self::TimeExceeded { code: 0, quoted } => {
                write!(f, "time exceeded in-transit, length {}", 8 + quoted.len())
            }
            Self::TimeExceeded { quoted, .. } => {
                write!(
                    f,
                    "time exceeded in reassembly, length {}",
                    8 + quoted.len()
                )
            }
            Self::EchoRequest {
                identifier,
                sequence,
                data,
            } => {
                write!(
                    f,
                    "echo request, id {identifier}, seq {sequence}, length {}",
                    8 + data.len()
                )
            }
            Self::EchoReply {
                identifier,
                sequence,
                data,
            } => {
                write!(
                    f,
                    "echo reply, id {identifier}, seq {sequence}, length {}",
                    8 + data.len()
                )
            }
            Self::RouterSolicitation(solicitation) => write!(f, "{solicitation}"),
            Self::RouterAdvertisement(advertisement) => write!(f, "{advertisement}"),
            Self::Other { kind, code, body } => {
                write!(
                    f,
                    "type {kind}, code {code}, length {}",
                    HEADER_LEN + body.len()
                )
            }
        }
    }
}

fn truncated(needed: usize, message: &[u8]) -> ParseError {
    ParseError::Truncated {
        what: "ICMPv6 message",
        needed,
        available: message.len(),
    }
}

/// Appends a whole IPv6 packet: header, type, code, checksum, and the output of `body`, cut off at 64 KiB.
fn emit_message(
    [source, destination]: [Ipv6Addr; 2],
    hop_limit: u8,
    [kind, code]: [u8; 2],
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    let header = Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_length: 0,
        next_header: protocol::ICMPV6,
        hop_limit,
        source,
        destination,
    };
    header.emit(out);
    let message = out.len();
    out.extend_from_slice(&[kind, code, 0, 0]);
    body(out);
    out.truncate(message + usize::from(u16::MAX));
    let payload_length = (out.len() - message) as u16;
    out[start + 4..start + 6].copy_from_slice(&payload_length.to_be_bytes());
    let checksum = checksum(source, destination, protocol::ICMPV6, &out[message..]);
    out[message + 2..message + 4].copy_from_slice(&checksum.to_be_bytes());
}

/// Appends an echo request as a whole IPv6 packet, with at most 65,527 bytes of `data`.
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

/// Appends an echo reply as a whole IPv6 packet, with at most 65,527 bytes of `data`.
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

#[cfg(test)]
mod tests;
