//! The properties of NATs.

use std::time::Duration;

use super::igd::Igd;

/// When a socket behind the NAT gets another external port (RFC 4787 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mapping {
    /// Never: one external port for all destinations.
    EndpointIndependent,
    /// For each destination address.
    AddressDependent,
    /// For each destination address and port.
    AddressAndPortDependent,
}

/// Who may send to an external port (RFC 4787 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Filtering {
    /// Everybody.
    EndpointIndependent,
    /// Every address that the socket has sent to, from any port.
    AddressDependent,
    /// Every address and port that the socket has sent to.
    AddressAndPortDependent,
}

/// Which external port a socket gets (RFC 4787 §4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortAssignment {
    /// The same port as inside, or the next free one above it: the first mapping of a port keeps it, and others get
    /// other ports.
    Preserving,
    /// The same port as inside, even if another mapping has it, as long as their destinations differ (RFC 4787 §4.2.1:
    /// port overloading, which REQ-3 forbids). A datagram from outside finds its mapping by its sender. A Linux router
    /// is of this kind: to a client, whose sockets keep their ports towards all destinations, it looks like a cone NAT.
    ///
    /// It needs a mapping that depends on the destination; otherwise it is as [`Preserving`](Self::Preserving).
    Overloading,
    /// The next port in sequence.
    Sequential,
    /// The next port but one in sequence.
    SequentialByTwo,
    /// Any.
    Random,
}

/// Which external address a mapping gets if the NAT has several (RFC 4787 §4.1, REQ-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pooling {
    /// All mappings of an inside host have the same address.
    Paired,
    /// Each new mapping gets the next address.
    Arbitrary,
}

/// The source that a hairpinned datagram shows to its receiver (RFC 4787 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HairpinSource {
    /// The external address and port, as REQ-9 demands.
    External,
    /// The address and port inside, so that the receiver does not recognise the sender.
    Internal,
}

/// External ports that a NAT assigns, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl PortRange {
    /// The ports that are not well known (RFC 4787 §4.2.1, REQ-3a). A port below that is preserved all the same.
    pub const ALL: Self = Self {
        first: 1024,
        last: u16::MAX,
    };

    /// The number of ports.
    pub const fn size(self) -> u32 {
        (self.last as u32 + 1).saturating_sub(self.first as u32)
    }

    /// Whether it has this port.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

/// The behaviour of a [`Nat`](super::Nat).
///
/// ```
/// use std::time::Duration;
/// use teredo_nat::{NatBehaviour, PortAssignment};
///
/// let shabby = NatBehaviour {
///     lifetime: Duration::from_secs(25),
///     ports: PortAssignment::Random,
///     ..NatBehaviour::port_restricted()
/// };
/// # let _ = shabby;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatBehaviour {
    /// Whether addresses are translated. Otherwise it is a router, and `filtering` that of a firewall: hosts behind it
    /// have public addresses, and the fields about ports, pools and hairpinning mean nothing.
    pub translates: bool,
    /// When a socket gets another external port.
    pub mapping: Mapping,
    /// Who may send to an external port.
    pub filtering: Filtering,
    /// Which external port a socket gets.
    pub ports: PortAssignment,
    /// Whether an external port is even if the inside port is, and odd if that is (RFC 4787 §4.2.2, REQ-4). Once all
    /// ports of that kind are taken, the others serve too.
    pub parity: bool,
    /// The external ports.
    pub range: PortRange,
    /// How many external addresses the NAT has, from 1: the given address and those of the same number in the next /24
    /// networks, unless [`Nat::set_pool`](super::Nat::set_pool) gives others.
    pub addresses: u8,
    /// Which external address a mapping gets.
    pub pooling: Pooling,
    /// The most mappings of one inside host, as carriers have it (RFC 6888 §3, REQ-4); `None` for no limit.
    pub most_per_host: Option<u32>,
    /// How long a mapping, and the permission of one destination to answer, lasts after the last outbound datagram. RFC
    /// 4787 §4.3 demands at least 2 minutes; some NATs have 30 s.
    pub lifetime: Duration,
    /// Whether outbound datagrams keep a mapping alive. RFC 4787 §4.3, REQ-6, demands it; without it a mapping ends its
    /// lifetime after its first datagram.
    pub refresh_outbound: bool,
    /// Whether accepted inbound datagrams also keep a mapping alive (RFC 4787 §4.3, REQ-6: outbound ones must).
    pub refresh_inbound: bool,
    /// Whether hosts inside reach each other by their external addresses (RFC 4787 §6).
    pub hairpin: bool,
    /// The source of hairpinned datagrams.
    pub hairpin_source: HairpinSource,
    /// Whether the router accepts refused inbound datagrams as its own, as a Linux router with unfiltered input does.
    /// For half a minute that connection is in the way: towards the sender the host gets another external port, and
    /// datagrams of the sender end at the router (Debian bug #404365).
    pub open_input: bool,
    /// Whether refused inbound datagrams are answered with an ICMP port unreachable; others vanish without an error.
    pub rejects: bool,
    /// Whether ICMP errors about outbound datagrams come in, as RFC 5508 §4 demands; otherwise they vanish.
    pub icmp_errors: bool,
    /// Whether it is an Internet Gateway Device, and of which conduct.
    pub igd: Option<Igd>,
}
