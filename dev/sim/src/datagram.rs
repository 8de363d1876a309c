//! UDP datagrams, and a short description of their payload.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use crate::link::Size;

const IPV6_HEADER: usize = 40;
const ICMPV6: u8 = 58;
const NO_NEXT_HEADER: u8 = 59;

/// A UDP datagram over IPv4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The claimed source.
    pub source: SocketAddrV4,
    /// The destination.
    pub destination: SocketAddrV4,
    /// How many routers, including NATs, it may still pass, plus one.
    pub ttl: u8,
    /// Whether routers may not cut it up (the DF bit of IPv4). The program leaves that to the network, so hosts of the
    /// simulator do too.
    pub dont_fragment: bool,
    /// The UDP payload.
    pub payload: Vec<u8>,
}

impl Datagram {
    /// The default time to live of hosts.
    pub const TTL: u8 = 64;

    /// The headers of IPv4 and UDP, in bytes.
    const HEADERS: usize = 28;

    /// A datagram with the default time to live.
    pub fn new(source: SocketAddrV4, destination: SocketAddrV4, payload: Vec<u8>) -> Self {
        Self {
            source,
            destination,
            ttl: Self::TTL,
            dont_fragment: false,
            payload,
        }
    }

    /// The size of its IPv4 packet.
    pub(crate) fn size(&self) -> Size {
        Size {
            bytes: Self::HEADERS + self.payload.len(),
            dont_fragment: self.dont_fragment,
        }
    }
}

/// The kind of Teredo packet in a UDP payload (RFC 4380 §5.1.1), for the log; `Display` is one phrase.
///
/// It does not use `teredo::wire`, so the log is right even if that has a fault.
pub(crate) struct Summary<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        if let [0, 1, id, value, ..] = rest {
            let length = 13 + usize::from(*id) + usize::from(*value);
            let Some(inner) = rest.get(length..) else {
                return f.write_str("malformed authentication");
            };
            f.write_str("authentication, ")?;
            rest = inner;
        }
        if let [0, 0, p0, p1, a, b, c, d, inner @ ..] = rest {
            let address = Ipv4Addr::new(!a, !b, !c, !d);
            write!(
                f,
                "origin {}, ",
                SocketAddrV4::new(address, !u16::from_be_bytes([*p0, *p1]))
            )?;
            rest = inner;
        }
        inner(rest, f)
    }
}

fn inner(packet: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if packet.len() < IPV6_HEADER || packet[0] >> 4 != 6 {
        return f.write_str("not IPv6");
    }
    let kind = match (packet[6], packet.get(IPV6_HEADER)) {
        (NO_NEXT_HEADER, _) => "bubble",
        (ICMPV6, Some(133)) => "router solicitation",
        (ICMPV6, Some(134)) => "router advertisement",
        (ICMPV6, Some(128)) => "echo request",
        (ICMPV6, Some(129)) => "echo reply",
        (ICMPV6, _) => "ICMPv6",
        (6, _) => "TCP",
        (17, _) => "UDP",
        _ => "IPv6",
    };
    write!(f, "{kind} {} > {}", address(packet, 8), address(packet, 24))
}

/// The IPv6 address at `offset`; the caller has checked the length of the header.
fn address(packet: &[u8], offset: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&packet[offset..offset + 16]);
    Ipv6Addr::from(octets)
}

#[cfg(test)]
mod tests;
