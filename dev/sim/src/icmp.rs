//! ICMP errors about datagrams (RFC 792).

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::datagram::Datagram;
use crate::link::Size;

/// The kind of an ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpKind {
    /// The time to live ran out at a router (type 11, code 0).
    TimeExceeded,
    /// No router knows a way to the host (type 3, code 1).
    HostUnreachable,
    /// Nobody listens on the port (type 3, code 3).
    PortUnreachable,
    /// Longer than the next link's MTU, and it may not be cut up (type 3, code 4).
    FragmentationNeeded {
        /// The MTU in bytes, IPv4 header included (RFC 1191 §4).
        mtu: u16,
    },
}

impl IcmpKind {
    /// The type and the code.
    pub const fn numbers(self) -> (u8, u8) {
        match self {
            Self::TimeExceeded => (11, 0),
            Self::HostUnreachable => (3, 1),
            Self::PortUnreachable => (3, 3),
            Self::FragmentationNeeded { .. } => (3, 4),
        }
    }
}

impl fmt::Display for IcmpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimeExceeded => f.write_str("time exceeded"),
            Self::HostUnreachable => f.write_str("host unreachable"),
            Self::PortUnreachable => f.write_str("port unreachable"),
            Self::FragmentationNeeded { mtu } => write!(f, "longer than the MTU {mtu}"),
        }
    }
}

/// An ICMP error about a datagram, on its way to the datagram's source. NATs on that way translate the datagram's
/// addresses back, so the host recognises its own socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// The kind.
    pub kind: IcmpKind,
    /// The router or host that sent it. A router inside has a private address, which tells the host that it is behind
    /// two NATs.
    pub reporter: Ipv4Addr,
    /// The source of the datagram.
    pub source: SocketAddrV4,
    /// The destination of the datagram.
    pub destination: SocketAddrV4,
    /// The bytes of the datagram's payload.
    pub length: u16,
    /// The first ones.
    pub quoted: Quotation,
}

/// The first bytes of a datagram's payload, as many as fit. RFC 1812 §4.3.2.3 has routers quote as much as possible; many
/// quote none, as RFC 792 has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Quotation {
    bytes: [u8; Self::MOST],
    len: u8,
}

impl Quotation {
    const MOST: usize = 40;

    /// The first bytes of `payload`.
    pub fn of(payload: &[u8]) -> Self {
        let len = payload.len().min(Self::MOST);
        let mut bytes = [0; Self::MOST];
        bytes[..len].copy_from_slice(&payload[..len]);
        Self {
            bytes,
            len: len as u8,
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len.into()]
    }
}

impl fmt::Debug for Quotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().fmt(f)
    }
}

impl IcmpError {
    /// The size of its own IPv4 packet: two headers of IPv4, eight bytes of ICMP and eight of the datagram.
    pub(crate) const SIZE: Size = Size {
        bytes: 56,
        dont_fragment: false,
    };

    pub(crate) fn about(kind: IcmpKind, reporter: Ipv4Addr, datagram: &Datagram) -> Self {
        Self {
            kind,
            reporter,
            source: datagram.source,
            destination: datagram.destination,
            length: u16::try_from(datagram.payload.len()).unwrap_or(u16::MAX),
            quoted: Quotation::of(&datagram.payload),
        }
    }
}

impl fmt::Display for IcmpError {
    /// A phrase in the style of `tcpdump`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} > {}: {}: {} > {}",
            self.reporter,
            self.source.ip(),
            self.kind,
            self.source,
            self.destination
        )
    }
}
