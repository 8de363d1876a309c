//! The contents of a Teredo datagram: the facts that a trace keeps of it.

use std::net::{Ipv6Addr, SocketAddrV4};

use teredo::wire::{
    Datagram, ECHO_REPLY, ECHO_REQUEST, Flags, Icmpv6, Ipv6Packet, ParseError,
    ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION, RouterAdvertisement, TeredoAddress, checksum,
    is_obsolete_teredo, protocol,
};

use crate::trailer::TrailerRecord;

/// The bytes of an echo request's data that are kept to recognise its reply. A nonce has 8 or so.
const ECHO_KEPT: usize = 64;

/// The facts about a Teredo packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) authentication: Option<Authentication>,
    pub(crate) origin: Option<SocketAddrV4>,
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    pub(crate) hop_limit: u8,
    pub(crate) message: Message,
    pub(crate) trailers: Vec<TrailerRecord>,
    /// The bytes behind the last trailer, which are none.
    pub(crate) stray: usize,
    /// How many IPv6 packets of one size follow each other: a train that the kernel has not cut up yet (UDP_SEGMENT).
    pub(crate) train: usize,
}

/// The authentication element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Authentication {
    pub(crate) nonce: [u8; 8],
    pub(crate) confirmation: u8,
    /// Whether it has an identifier or a value.
    pub(crate) is_secure: bool,
}

/// The IPv6 packet's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// None (RFC 4380 §2.8).
    Bubble,
    /// A router solicitation, and its fault.
    Solicitation(Option<ParseError>),
    /// A router advertisement, or its fault.
    Advertisement(Result<Box<RouterAdvertisement>, ParseError>),
    EchoRequest(Echo),
    EchoReply(Echo),
    /// Anything else.
    Other {
        protocol: u8,
        /// Whether its checksum is wrong.
        is_corrupt: bool,
    },
}

/// An echo request or reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Echo {
    pub(crate) identifier: u16,
    pub(crate) sequence: u16,
    /// The first bytes of its data.
    pub(crate) data: Box<[u8]>,
    /// The length of its data in bytes.
    pub(crate) length: usize,
}

impl Contents {
    /// Reads a UDP payload. If it was `cut`, the end of it is made of zeros, and checksums prove nothing.
    ///
    /// # Errors
    ///
    /// The payload is no Teredo packet.
    pub(crate) fn read(payload: &[u8], cut: bool) -> Result<Self, ParseError> {
        let datagram = Datagram::parse(payload)?;
        let packet = &datagram.packet;
        let behind = datagram.trailers.as_bytes();
        let train = train(packet, behind);
        let (trailers, stray) = match train {
            1 if !cut => TrailerRecord::read_all(behind),
            _ => (Vec::new(), 0),
        };
        Ok(Self {
            authentication: datagram.authentication.map(|element| Authentication {
                nonce: element.nonce,
                confirmation: element.confirmation,
                is_secure: !element.identifier.is_empty() || !element.value.is_empty(),
            }),
            origin: datagram.origin.map(|origin| origin.0),
            source: packet.source(),
            destination: packet.destination(),
            hop_limit: packet.hop_limit(),
            message: Message::read(packet, cut),
            trailers,
            stray,
            train,
        })
    }

    /// The valid nonce trailer, in hexadecimal: of several, the last one counts (R6081-5.1.2-01).
    pub(crate) fn nonce(&self) -> Option<&str> {
        self.trailers
            .iter()
            .rev()
            .find_map(|trailer| trailer.nonce.as_deref())
    }
}

impl Message {
    fn read(packet: &Ipv6Packet<'_>, cut: bool) -> Self {
        if packet.is_bubble() {
            return Self::Bubble;
        }
        let Ok(layer) = packet.upper_layer() else {
            return Self::Other {
                protocol: packet.next_header(),
                is_corrupt: false,
            };
        };
        let is_part = (layer.fragment).is_some_and(|part| part.more || part.offset != 0);
        let other = |is_corrupt| Self::Other {
            protocol: layer.protocol,
            is_corrupt,
        };
        match layer.protocol {
            // No checksum is right: the header says enough.
            protocol::ICMPV6 if cut && !is_part => {
                Self::cut_icmpv6(layer.payload).unwrap_or_else(|| other(false))
            }
            protocol::ICMPV6 if !is_part => Self::icmpv6(packet, layer.payload),
            protocol::TCP | protocol::UDP if !cut && !is_part => {
                let (source, destination) = (packet.source(), packet.destination());
                other(checksum(source, destination, layer.protocol, layer.payload) != 0)
            }
            _ => other(false),
        }
    }

    fn icmpv6(packet: &Ipv6Packet<'_>, message: &[u8]) -> Self {
        match (message.first(), Icmpv6::parse(packet)) {
            (Some(&ROUTER_SOLICITATION), parsed) => Self::Solicitation(parsed.err()),
            (_, Ok(Icmpv6::RouterAdvertisement(advertisement))) => {
                Self::Advertisement(Ok(Box::new(advertisement)))
            }
            (Some(&ROUTER_ADVERTISEMENT), Err(error)) => Self::Advertisement(Err(error)),
            (
                _,
                Ok(Icmpv6::EchoRequest {
                    identifier,
                    sequence,
                    data,
                }),
            ) => Self::EchoRequest(Echo::new(identifier, sequence, data)),
            (
                _,
                Ok(Icmpv6::EchoReply {
                    identifier,
                    sequence,
                    data,
                }),
            ) => Self::EchoReply(Echo::new(identifier, sequence, data)),
            (_, parsed) => Self::Other {
                protocol: protocol::ICMPV6,
                is_corrupt: matches!(parsed, Err(ParseError::Checksum(_))),
            },
        }
    }

    fn cut_icmpv6(message: &[u8]) -> Option<Self> {
        match *message.first()? {
            ROUTER_SOLICITATION => Some(Self::Solicitation(None)),
            ROUTER_ADVERTISEMENT => Some(Self::Advertisement(Err(ParseError::Truncated {
                what: "router advertisement",
                needed: message.len() + 1,
                available: message.len(),
            }))),
            ECHO_REQUEST => Some(Self::EchoRequest(Echo::of_cut(message))),
            ECHO_REPLY => Some(Self::EchoReply(Echo::of_cut(message))),
            _ => None,
        }
    }
}

impl Echo {
    fn new(identifier: u16, sequence: u16, data: &[u8]) -> Self {
        Self {
            identifier,
            sequence,
            data: data.iter().copied().take(ECHO_KEPT).collect(),
            length: data.len(),
        }
    }

    fn of_cut(message: &[u8]) -> Self {
        let word = |at: usize| {
            let bytes = message.get(at..).and_then(|rest| rest.first_chunk::<2>());
            bytes.map_or(0, |bytes| u16::from_be_bytes(*bytes))
        };
        Self::new(word(4), word(6), message.get(8..).unwrap_or_default())
    }

    /// Whether this is the reply to `request`: the data is the nonce (RFC 4380 §5.2.9).
    pub(crate) fn answers(&self, request: &Self) -> bool {
        (&self.data, self.length) == (&request.data, request.length)
    }
}

/// The number of IPv6 packets between the same two nodes that fill a payload.
fn train(first: &Ipv6Packet<'_>, mut rest: &[u8]) -> usize {
    let mut count = 1;
    while !rest.is_empty() {
        match Ipv6Packet::parse_prefix(rest) {
            Ok((next, behind))
                if next.source() == first.source()
                    && next.destination() == first.destination()
                    && next.as_bytes().len() <= first.as_bytes().len() =>
            {
                count += 1;
                rest = behind;
            }
            _ => return 1,
        }
    }
    count
}

/// The Teredo address in an IPv6 address, of the obsolete prefix as well.
pub(crate) fn embedded(address: Ipv6Addr) -> Option<TeredoAddress> {
    if !is_obsolete_teredo(&address) {
        return TeredoAddress::from_ipv6(address);
    }
    // The layout was the same (Microsoft's documents of Windows XP).
    let mut octets = address.octets();
    let [p0, p1, p2, p3, ..] = &mut octets;
    [*p0, *p1, *p2, *p3] = [0x20, 0x01, 0, 0];
    TeredoAddress::from_ipv6(octets.into())
}

/// Whether the cone bit of a solicitation's source is set.
pub(crate) fn is_cone(source: Ipv6Addr) -> bool {
    teredo::wire::link_local_flags(&source).bits() & Flags::CONE.bits() != 0
}

#[cfg(test)]
mod tests;
