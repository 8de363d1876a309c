//! An IPv4 packet, changed in place. Checksums are adjusted to the change (RFC 1624), so a wrong one stays wrong.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::DiscardReason;

const IPV4_HEADER: usize = 20;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
/// Destination unreachable, time exceeded, parameter problem (RFC 792).
const ERRORS: [u8; 3] = [3, 11, 12];
/// The header of ICMP; an error has the start of the packet that it is about behind it.
const ICMP_HEADER: usize = 8;
/// The remote port of a query, which has none. Zero would mean all of them.
const QUERY: u16 = 1;

const TTL: usize = 8;
const PROTOCOL: usize = 9;
const CHECKSUM: usize = 10;
const SOURCE: usize = 12;
const DESTINATION: usize = 16;

/// The kinds of traffic that are translated, each with ports of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Udp,
    Tcp,
    /// A request of ICMP with an identifier, and its reply.
    Query,
}

/// The contents of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Udp,
    Tcp,
    EchoRequest,
    EchoReply,
    /// An ICMP error about a packet with these ends.
    Error {
        protocol: Protocol,
        source: SocketAddrV4,
        destination: SocketAddrV4,
    },
}

/// A packet that can be translated.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    bytes: &'a mut [u8],
    head: Head,
    content: Content,
}

/// The places of a packet's parts in its bytes.
#[derive(Clone, Copy, Debug)]
struct Head {
    /// The start of the IPv4 header, and its length.
    ip: usize,
    length: usize,
    protocol: Protocol,
    /// Of a query: whether it is a reply.
    is_reply: bool,
}

/// The place of a packet in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    FirstFragment,
    LaterFragment,
}

/// The part that a packet is, with the protocol and the identification of its datagram. It is a whole packet of IPv4.
pub(super) fn part(bytes: &[u8]) -> Result<(Part, u8, u16), DiscardReason> {
    header_length(bytes, 0)?;
    if number(bytes, 2) as usize != bytes.len() {
        return Err(DiscardReason::Malformed);
    }
    const MORE: u16 = 0x2000;
    const OFFSET: u16 = 0x1fff;
    let field = number(bytes, 6);
    let part = match (field & OFFSET, field & MORE) {
        (0, 0) => Part::Whole,
        (0, _) => Part::FirstFragment,
        _ => Part::LaterFragment,
    };
    Ok((part, bytes[PROTOCOL], number(bytes, 4)))
}

/// Source and destination in the header.
pub(super) fn addresses(bytes: &[u8]) -> [Ipv4Addr; 2] {
    [SOURCE, DESTINATION].map(|place| address(bytes, place))
}

/// Replaces source and destination in the header. The ports are elsewhere, and so is the checksum of the contents.
pub(super) fn redirect(bytes: &mut [u8], [source, destination]: [Ipv4Addr; 2]) {
    replace_address(bytes, SOURCE, source);
    replace_address(bytes, DESTINATION, destination);
}

/// Adds one to the time to live.
pub(super) fn add_hop(bytes: &mut [u8]) {
    let old = [bytes[TTL], bytes[PROTOCOL]];
    bytes[TTL] = bytes[TTL].saturating_add(1);
    let new = [bytes[TTL], bytes[PROTOCOL]];
    let sum = adjusted(number(bytes, CHECKSUM), &old, &new);
    put(bytes, CHECKSUM, sum);
}

impl<'a> Packet<'a> {
    /// Reads a whole packet or a first fragment.
    pub(super) fn parse(bytes: &'a mut [u8]) -> Result<Self, DiscardReason> {
        let length = header_length(bytes, 0)?;
        let kind = bytes.get(length).copied().unwrap_or_default();
        if bytes[PROTOCOL] == ICMP && ERRORS.contains(&kind) {
            let inner = length + ICMP_HEADER;
            let head = Head::parse(bytes, inner)?;
            let content = Content::Error {
                protocol: head.protocol,
                source: head.source(bytes),
                destination: head.destination(bytes),
            };
            return Ok(Self {
                bytes,
                head,
                content,
            });
        }
        let head = Head::parse(bytes, 0)?;
        let content = match (head.protocol, head.is_reply) {
            (Protocol::Udp, _) => Content::Udp,
            (Protocol::Tcp, _) => Content::Tcp,
            (Protocol::Query, false) => Content::EchoRequest,
            (Protocol::Query, true) => Content::EchoReply,
        };
        Ok(Self {
            bytes,
            head,
            content,
        })
    }

    pub(super) fn content(&self) -> Content {
        self.content
    }

    pub(super) fn is_echo(&self) -> bool {
        self.content == Content::EchoRequest
    }

    /// Where it comes from. Of a query or error, only the address counts, or the identifier is the port.
    pub(super) fn source(&self) -> SocketAddrV4 {
        match self.content {
            Content::Error { .. } => SocketAddrV4::new(address(self.bytes, SOURCE), 0),
            _ => self.head.source(self.bytes),
        }
    }

    /// Where it goes to.
    pub(super) fn destination(&self) -> SocketAddrV4 {
        match self.content {
            Content::Error { .. } => SocketAddrV4::new(address(self.bytes, DESTINATION), 0),
            _ => self.head.destination(self.bytes),
        }
    }

    /// Replaces the source of a datagram.
    pub(super) fn set_source(&mut self, new: SocketAddrV4) {
        self.head.set(self.bytes, End::Source, new);
    }

    /// Replaces the destination of a datagram.
    pub(super) fn set_destination(&mut self, new: SocketAddrV4) {
        self.head.set(self.bytes, End::Destination, new);
    }

    /// Replaces one end of the packet that an error is about.
    fn set_inner(&mut self, end: End, new: SocketAddrV4) {
        let inner = self.head.ip;
        let old = self.bytes[inner..].to_vec();
        self.head.set(self.bytes, end, new);
        let checksum = inner - ICMP_HEADER + 2;
        let sum = number(self.bytes, checksum);
        let sum = adjusted(sum, &old, &self.bytes[inner..]);
        put(self.bytes, checksum, sum);
    }

    /// An error about a datagram of an inside socket, which comes in: it is for that socket.
    pub(super) fn lead_inside(&mut self, inside: SocketAddrV4) {
        self.set_inner(End::Source, inside);
        replace_address(self.bytes, DESTINATION, *inside.ip());
    }

    /// An error about a datagram to an inside socket, which goes out: it is about the external socket.
    pub(super) fn lead_outside(&mut self, external: SocketAddrV4) {
        self.set_inner(End::Destination, external);
        replace_address(self.bytes, SOURCE, *external.ip());
    }

    /// Makes the reply of an echo request out of it.
    pub(super) fn answer_echo(&mut self) {
        let (source, destination) = (
            address(self.bytes, SOURCE),
            address(self.bytes, DESTINATION),
        );
        replace_address(self.bytes, SOURCE, destination);
        replace_address(self.bytes, DESTINATION, source);
        let message = self.head.length;
        let sum = number(self.bytes, message + 2);
        let sum = adjusted(sum, &[ECHO_REQUEST, 0], &[ECHO_REPLY, 0]);
        self.bytes[message] = ECHO_REPLY;
        put(self.bytes, message + 2, sum);
    }
}

#[derive(Clone, Copy, Debug)]
enum End {
    Source,
    Destination,
}

impl Head {
    /// Finds the parts of the packet that begins at `ip`, of which at least eight bytes of contents are there.
    fn parse(bytes: &[u8], ip: usize) -> Result<Self, DiscardReason> {
        let length = header_length(bytes, ip)?;
        let contents = bytes.get(ip + length..).unwrap_or_default();
        if contents.len() < 8 {
            return Err(DiscardReason::Malformed);
        }
        let (protocol, is_reply) = match (bytes[ip + PROTOCOL], contents[0]) {
            (UDP, _) => (Protocol::Udp, false),
            (TCP, _) => (Protocol::Tcp, false),
            (ICMP, ECHO_REQUEST) => (Protocol::Query, false),
            (ICMP, ECHO_REPLY) => (Protocol::Query, true),
            _ => return Err(DiscardReason::Protocol),
        };
        Ok(Self {
            ip,
            length,
            protocol,
            is_reply,
        })
    }

    /// The place of the port of one end; `None` if it has none.
    fn port(&self, end: End) -> Option<usize> {
        let contents = self.ip + self.length;
        match (self.protocol, end, self.is_reply) {
            (Protocol::Query, End::Source, false) | (Protocol::Query, End::Destination, true) => {
                Some(contents + 4)
            }
            (Protocol::Query, ..) => None,
            (_, End::Source, _) => Some(contents),
            (_, End::Destination, _) => Some(contents + 2),
        }
    }

    /// The place of the checksum of the contents.
    fn checksum(&self) -> usize {
        let offset = match self.protocol {
            Protocol::Udp => 6,
            Protocol::Tcp => 16,
            Protocol::Query => 2,
        };
        self.ip + self.length + offset
    }

    fn source(&self, bytes: &[u8]) -> SocketAddrV4 {
        let port = self.port(End::Source).map_or(QUERY, |at| number(bytes, at));
        SocketAddrV4::new(address(bytes, self.ip + SOURCE), port)
    }

    fn destination(&self, bytes: &[u8]) -> SocketAddrV4 {
        let port = self
            .port(End::Destination)
            .map_or(QUERY, |at| number(bytes, at));
        SocketAddrV4::new(address(bytes, self.ip + DESTINATION), port)
    }

    /// Replaces the address and the port of one end, and adjusts the checksums.
    fn set(&self, bytes: &mut [u8], end: End, new: SocketAddrV4) {
        let place = self.ip
            + match end {
                End::Source => SOURCE,
                End::Destination => DESTINATION,
            };
        let old = address(bytes, place).octets();
        let address = new.ip().octets();
        bytes[place..place + 4].copy_from_slice(&address);
        let header = self.ip + CHECKSUM;
        put(
            bytes,
            header,
            adjusted(number(bytes, header), &old, &address),
        );

        // The pseudo header of UDP and TCP has the addresses; that of ICMP does not exist.
        let mut change = match self.protocol {
            Protocol::Query => (Vec::new(), Vec::new()),
            Protocol::Udp | Protocol::Tcp => (old.to_vec(), address.to_vec()),
        };
        if let Some(port) = self.port(end) {
            change.0.extend_from_slice(&bytes[port..port + 2]);
            change.1.extend_from_slice(&new.port().to_be_bytes());
            put(bytes, port, new.port());
        }
        // An error need not quote so much.
        let checksum = self.checksum();
        if bytes.len() < checksum + 2 {
            return;
        }
        let sum = number(bytes, checksum);
        let is_absent = self.protocol == Protocol::Udp && sum == 0;
        if !is_absent {
            let sum = adjusted(sum, &change.0, &change.1);
            // RFC 768: zero means that there is none.
            let is_zero = self.protocol == Protocol::Udp && sum == 0;
            put(bytes, checksum, if is_zero { u16::MAX } else { sum });
        }
    }
}

/// The length of the IPv4 header that begins at `ip`.
fn header_length(bytes: &[u8], ip: usize) -> Result<usize, DiscardReason> {
    let header = bytes.get(ip..).unwrap_or_default();
    let length = header
        .first()
        .map_or(0, |first| usize::from(first & 0xf) * 4);
    let is_ipv4 = header.first().is_some_and(|first| first >> 4 == 4);
    if !is_ipv4 || length < IPV4_HEADER || header.len() < length {
        return Err(DiscardReason::Malformed);
    }
    Ok(length)
}

fn replace_address(bytes: &mut [u8], place: usize, new: Ipv4Addr) {
    let old = address(bytes, place).octets();
    bytes[place..place + 4].copy_from_slice(&new.octets());
    put(
        bytes,
        CHECKSUM,
        adjusted(number(bytes, CHECKSUM), &old, &new.octets()),
    );
}

fn address(bytes: &[u8], place: usize) -> Ipv4Addr {
    Ipv4Addr::new(
        bytes[place],
        bytes[place + 1],
        bytes[place + 2],
        bytes[place + 3],
    )
}

fn number(bytes: &[u8], place: usize) -> u16 {
    u16::from_be_bytes([bytes[place], bytes[place + 1]])
}

fn put(bytes: &mut [u8], place: usize, number: u16) {
    bytes[place..place + 2].copy_from_slice(&number.to_be_bytes());
}

/// A checksum after bytes at an even place were replaced by as many others (RFC 1624 §3, equation 3).
fn adjusted(sum: u16, old: &[u8], new: &[u8]) -> u16 {
    let words = |bytes: &[u8]| -> Vec<u16> {
        let pairs = bytes.chunks(2);
        let word = |pair: &[u8]| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
        pairs.map(word).collect()
    };
    let mut total = u32::from(!sum);
    for (old, new) in words(old).into_iter().zip(words(new)) {
        total += u32::from(!old) + u32::from(new);
        total = (total & 0xffff) + (total >> 16);
    }
    total = (total & 0xffff) + (total >> 16);
    !(total as u16)
}
