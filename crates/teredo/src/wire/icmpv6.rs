//! ICMPv6 (RFC 4443) and as much Neighbor Discovery (RFC 4861) as Teredo speaks.

use std::fmt;
use std::net::Ipv6Addr;

use super::{Ipv6Header, Ipv6Packet, ParseError, checksum, protocol};

mod echo;
mod error;
mod router;

pub use echo::{emit_echo_reply, emit_echo_request};
pub use error::{emit_packet_too_big, emit_unreachable, may_be_answered_with_error, unreachable};
pub use router::{
    ALL_ROUTERS, PrefixInformation, RouterAdvertisement, RouterSolicitation,
    emit_router_solicitation,
};

const DESTINATION_UNREACHABLE: u8 = 1;
const PACKET_TOO_BIG: u8 = 2;
const TIME_EXCEEDED: u8 = 3;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const REDIRECT: u8 = 137;

const HEADER_LEN: usize = 4;

/// The hop limit of Neighbor Discovery: whoever receives it knows that no router touched it.
const ND_HOP_LIMIT: u8 = 255;

/// An ICMPv6 message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Icmpv6<'a> {
    /// A packet could not be delivered.
    DestinationUnreachable {
        /// Why; see [`mod@unreachable`].
        code: u8,
        /// The beginning of that packet.
        quoted: &'a [u8],
    },
    /// A packet was larger than the next link.
    PacketTooBig {
        /// What that link takes, in bytes.
        mtu: u32,
        /// The beginning of that packet.
        quoted: &'a [u8],
    },
    /// A packet's hop limit, or the time to put its fragments together, ran out.
    TimeExceeded {
        /// 0: the hop limit; 1: the time.
        code: u8,
        /// The beginning of that packet.
        quoted: &'a [u8],
    },
    /// "Are you there?"
    EchoRequest {
        /// Comes back in the reply.
        identifier: u16,
        /// Comes back in the reply.
        sequence: u16,
        /// Comes back in the reply.
        data: &'a [u8],
    },
    /// "I am."
    EchoReply {
        /// From the request.
        identifier: u16,
        /// From the request.
        sequence: u16,
        /// From the request.
        data: &'a [u8],
    },
    /// A host asks for a router.
    RouterSolicitation(RouterSolicitation<'a>),
    /// A router says that it is there.
    RouterAdvertisement(RouterAdvertisement),
    /// Anything else.
    Other {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
        /// What follows the checksum.
        body: &'a [u8],
    },
}

impl<'a> Icmpv6<'a> {
    /// The message in a packet, behind extension headers if there are any.
    ///
    /// # Errors
    ///
    /// The packet carries something else or a fragment, the checksum is wrong, the message is too short for its
    /// type, or it is a router solicitation or advertisement that RFC 4861 §6.1 wants discarded: hop limit not
    /// 255, code not 0, a wrong source, or an option of length 0 (R4380-5.2.1-06, R4380-5.3.2-11).
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
            // RFC 6980 §5: Neighbor Discovery is never fragmented, not even into one fragment.
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

    /// One of the messages that have four bytes of their own and then data.
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

/// Appends a whole IPv6 packet: header, type, code, checksum, and what `body` appends, cut off at 64 KiB.
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

#[cfg(test)]
mod tests;
