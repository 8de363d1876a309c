//! The nodes of an exchange: servers, clients with their local and their mapped ends, and relays.

mod nat;
mod register;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use serde::Serialize;

pub(crate) use nat::{Answer, Evidence, embedded_end};
pub use nat::{KnownNat, Mapping, Nat, NatKind};
pub(crate) use register::{OTHERS, Register};

/// The part of a node in the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// It has a Teredo address, or asks a server for one.
    Client,
    /// It answers solicitations and passes bubbles on, on port 3544.
    Server,
    /// It speaks for native IPv6 hosts.
    Relay,
    /// A multicast group, such as that of local discovery.
    Group,
    /// Nothing shows its role.
    Unknown,
}

impl Role {
    /// The role as it stands in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Relay => "relay",
            Self::Group => "group",
            Self::Unknown => "unknown",
        }
    }
}

/// A node of the exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// A name that is unique in the trace: role and number, such as `client-1`. `others` stands for all endpoints beyond
    /// the limit; nothing is said about them.
    pub id: String,
    /// Its role.
    pub role: Role,
    /// Whether it is a relay beside its role.
    pub is_relay: bool,
    /// Its name, if the observer knows one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its IPv4 addresses: of a server, the primary one first.
    pub addresses: Vec<Ipv4Addr>,
    /// Its own end of the socket, if that was seen.
    pub local: Option<SocketAddrV4>,
    /// Where the Internet sees it: the last mapping that a server reported, or that stands in its Teredo address.
    pub mapped: Option<SocketAddrV4>,
    /// Its Teredo addresses, at most 16; the last one is the newest.
    pub teredo: Vec<Ipv6Addr>,
    /// The NAT in front of it, as far as the datagrams show it.
    pub nat: Option<Nat>,
    /// How many datagrams it sent.
    pub sent: u64,
    /// How many datagrams were sent to it.
    pub received: u64,
}

impl Node {
    /// The end by which people know it: the local one, or else the mapping.
    pub fn end(&self) -> Option<SocketAddrV4> {
        self.local.or(self.mapped)
    }
}

#[cfg(test)]
mod tests;
