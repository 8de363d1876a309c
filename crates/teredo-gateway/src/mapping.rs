//! A mapping of a router, and the reasons why there is none.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The protocol that a mapping was asked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// The Port Control Protocol (RFC 6887).
    Pcp,
    /// The NAT Port Mapping Protocol (RFC 6886).
    NatPmp,
    /// The Internet Gateway Device of UPnP.
    Upnp,
}

impl Protocol {
    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcp => "pcp",
            Self::NatPmp => "nat-pmp",
            Self::Upnp => "upnp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
        })
    }
}

/// The mapping to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The router: the next hop of the way to the Internet.
    pub gateway: Ipv4Addr,
    /// The address and port that the external port is to lead to.
    pub local: SocketAddrV4,
}

/// A mapping of a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// The protocol that it was asked for by.
    pub protocol: Protocol,
    /// The router.
    pub gateway: Ipv4Addr,
    /// The end inside: this host's.
    pub local: SocketAddrV4,
    /// The end outside. Its address is unspecified while the router has not confirmed the mapping.
    pub external: SocketAddrV4,
    /// The mapping's lifetime in seconds; none: until it is taken back.
    pub lifetime: Option<u32>,
    /// The nonce that shows to a server of PCP whose the mapping is (RFC 6887 §11.1).
    pub nonce: Option<[u32; 3]>,
    /// The seconds since the router last lost its mappings, as the router reports it (RFC 6887 §8.5).
    pub epoch: Option<u32>,
}

impl Mapping {
    /// A mapping that is about to be asked for.
    #[must_use]
    pub fn intended(wanted: Wanted, protocol: Protocol) -> Self {
        Self {
            protocol,
            gateway: wanted.gateway,
            local: wanted.local,
            external: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, wanted.local.port()),
            lifetime: None,
            nonce: None,
            epoch: None,
        }
    }

    /// Returns what was wanted.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        Wanted {
            gateway: self.gateway,
            local: self.local,
        }
    }

    pub(crate) fn lasts(&self) -> Option<Duration> {
        self.lifetime
            .map(|seconds| Duration::from_secs(seconds.into()))
    }
}

/// Keeps the mapping where the next process finds it, so that it is taken back even after a kill -9.
///
/// Losing it is no error: the router forgets the mapping when its lifetime is over.
pub trait MappingStore: Send {
    /// The mapping that the process before has left.
    fn load(&mut self) -> Option<Mapping>;
    /// There is, or may be, this mapping from now on. It replaces the one before.
    fn save(&mut self, mapping: &Mapping);
    /// There is no mapping.
    fn clear(&mut self);
}

/// Why there is no mapping.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No answer.
    #[error("the router does not answer PCP, NAT-PMP or UPnP")]
    Silent,
    /// The kernel sends nothing to it (EPERM).
    #[error("the firewall rules of this host drop what it sends to the router")]
    Blocked,
    /// The router has a public address. It belongs to a provider, and is not asked.
    #[error("the router {0} has a public address, and is not asked")]
    Public(Ipv4Addr),
    /// The router would map another address than the one that is bound.
    #[error("the router {gateway} is reached from {from}, not from {bound}")]
    OtherSource {
        /// The router.
        gateway: Ipv4Addr,
        /// The address that datagrams to it leave from.
        from: Ipv4Addr,
        /// The address of the service port.
        bound: Ipv4Addr,
    },
    /// The router answered with an error.
    #[error("the router refuses by {0}: {1}")]
    Refused(Protocol, String),
    /// Another host has the port.
    #[error("port {0} of the router belongs to another host")]
    Taken(u16),
    /// The router confirmed the mapping, but it leads to another host.
    #[error("the router's mapping of port {0} leads to another host")]
    OtherHost(u16),
    /// The router confirmed the mapping, and does not list it.
    #[error("the router has confirmed a mapping of port {0} that it does not list")]
    NotListed(u16),
    /// Nothing can have this address on the outside.
    #[error("the router names {0} as its external address")]
    Incredible(SocketAddrV4),
    /// The lifetime is too short to renew.
    #[error("the router gives a mapping for {0} s only")]
    ShortLived(u32),
    /// The answer does not follow the protocol.
    #[error("the router's answer by {0} is malformed")]
    Malformed(Protocol),
}

impl Refusal {
    /// For a datagram that did not leave, or did not arrive.
    pub(crate) fn unsent(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::PermissionDenied => return Self::Blocked,
            // The usual answer of a router that has neither PCP nor NAT-PMP.
            ErrorKind::ConnectionRefused => {}
            _ => tracing::debug!(%error, "the router is not reached"),
        }
        Self::Silent
    }

    /// Whether the router has said nothing, although it may have understood.
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(self, Self::Silent | Self::Blocked)
    }

    /// Whether a mapping that was held is gone for certain.
    pub(crate) fn is_final(&self) -> bool {
        // A refusal may be for a while, as that of a router without an uplink.
        !self.is_unanswered() && !matches!(self, Self::Refused(..) | Self::Malformed(_))
    }
}
