//! A row of `teredo status --peers`.

use std::net::{Ipv6Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};

use super::Counters;

/// The most peers in one answer.
pub const MAX_PEERS: usize = 1000;

/// A peer of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its IPv6 address.
    pub address: Ipv6Addr,
    /// Whether packets for it have a way.
    #[serde(default)]
    pub state: PeerState,
    /// Where they go, or went: the mapping of a Teredo peer, or the relay of a native host.
    #[serde(default)]
    pub path: Option<SocketAddrV4>,
    /// Whether the peer began the contact, and not this host.
    #[serde(default)]
    pub began: bool,
    /// The time since its last packet came in directly, in milliseconds.
    #[serde(default)]
    pub heard_ms: Option<u64>,
    /// The time since the last packet to it, in milliseconds.
    #[serde(default)]
    pub sent_ms: Option<u64>,
    /// Its traffic.
    #[serde(default)]
    pub counters: Counters,
}

/// Whether packets for a peer have a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerState {
    /// The path is proven.
    Trusted,
    /// The path is being proven.
    Probing,
    /// The next packet has to find the path again.
    Silent,
    /// A state of a later version.
    #[default]
    #[serde(other)]
    Unknown,
}

impl PeerState {
    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Probing => "probing",
            Self::Silent => "silent",
            Self::Unknown => "unknown",
        }
    }
}
