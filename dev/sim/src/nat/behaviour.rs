//! The properties of NATs.

use std::time::Duration;

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
    /// The same port as inside, or the next free one above it.
    Preserving,
    /// The next port in sequence.
    Sequential,
    /// Any.
    Random,
}

/// The behaviour of a [`Nat`](super::Nat).
///
/// ```
/// use std::time::Duration;
/// use teredo_sim::{NatBehaviour, PortAssignment};
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
    /// When a socket gets another external port.
    pub mapping: Mapping,
    /// Who may send to an external port.
    pub filtering: Filtering,
    /// Which external port a socket gets.
    pub ports: PortAssignment,
    /// How long a mapping, and the permission of one destination to answer, lasts after the last outbound datagram. RFC
    /// 4787 §4.3 demands at least 2 minutes; some NATs have 30 s.
    pub lifetime: Duration,
    /// Whether accepted inbound datagrams also keep a mapping alive (RFC 4787 §4.3, REQ-6: outbound ones must).
    pub refresh_inbound: bool,
    /// Whether hosts inside reach each other by their external addresses (RFC 4787 §6).
    pub hairpin: bool,
    /// Whether the router accepts refused inbound datagrams as its own, as a Linux router with unfiltered input does.
    /// For half a minute that connection is in the way: towards the sender the host gets another external port, and
    /// datagrams of the sender end at the router (Debian bug #404365).
    pub open_input: bool,
}

impl NatBehaviour {
    const fn new(mapping: Mapping, filtering: Filtering, ports: PortAssignment) -> Self {
        Self {
            mapping,
            filtering,
            ports,
            lifetime: Duration::from_secs(120),
            refresh_inbound: false,
            hairpin: false,
            open_input: false,
        }
    }

    /// A cone NAT (RFC 4380 §3.1): one port for all destinations, open to all senders.
    pub const fn cone() -> Self {
        Self::new(
            Mapping::EndpointIndependent,
            Filtering::EndpointIndependent,
            PortAssignment::Preserving,
        )
    }

    /// A restricted cone NAT: one port for all destinations, open to the addresses that were sent to.
    pub const fn restricted() -> Self {
        Self::new(
            Mapping::EndpointIndependent,
            Filtering::AddressDependent,
            PortAssignment::Preserving,
        )
    }

    /// A port restricted cone NAT: one port for all destinations, open to the addresses and ports that were sent to.
    pub const fn port_restricted() -> Self {
        Self::new(
            Mapping::EndpointIndependent,
            Filtering::AddressAndPortDependent,
            PortAssignment::Preserving,
        )
    }

    /// As [`port_restricted`](Self::port_restricted), with a router whose input is unfiltered.
    pub const fn open_input() -> Self {
        Self {
            open_input: true,
            ..Self::port_restricted()
        }
    }

    /// A symmetric NAT: another port, in sequence, for each destination, open to that destination only.
    pub const fn symmetric() -> Self {
        Self::new(
            Mapping::AddressAndPortDependent,
            Filtering::AddressAndPortDependent,
            PortAssignment::Sequential,
        )
    }
}
