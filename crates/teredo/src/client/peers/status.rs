//! The list of peers, as people see it.

use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use super::{Peer, Peers};
use crate::Instant;
use crate::client::reachability::Forward;

/// A peer of a client at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerStatus {
    /// Its IPv6 address.
    pub address: Ipv6Addr,
    /// Whether packets for it have a way.
    pub state: PeerState,
    /// Where they go, or went: the mapping of a Teredo peer, or the relay of a native host.
    pub path: Option<SocketAddrV4>,
    /// Whether the peer began the contact, and not this host.
    pub began: bool,
    /// The time since its last packet came in directly.
    pub heard: Option<Duration>,
    /// The time since the last packet to it.
    pub sent: Option<Duration>,
    /// Its traffic.
    pub traffic: PeerTraffic,
}

/// Whether packets for a peer have a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerState {
    /// The path is proven, and was used in the last 30 s (RFC 4380 §5.2.4 case 1).
    Trusted,
    /// The path is being proven.
    Probing,
    /// The next packet has to find the path again.
    Silent,
}

/// The traffic of a peer over its path, since it is in the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerTraffic {
    /// Packets from it.
    pub rx_packets: u64,
    /// Bytes of these packets.
    pub rx_bytes: u64,
    /// Packets to it.
    pub tx_packets: u64,
    /// Bytes of these packets.
    pub tx_bytes: u64,
}

impl PeerTraffic {
    pub(in crate::client) fn received(&mut self, bytes: usize) {
        self.rx_packets += 1;
        self.rx_bytes += bytes as u64;
    }

    pub(in crate::client) fn sent(&mut self, packets: u64, bytes: u64) {
        self.tx_packets += packets;
        self.tx_bytes += bytes;
    }
}

impl Peers {
    /// The peers that were used last, those with a path first; at most `most`.
    pub(in crate::client) fn recent(&self, now: Instant, most: usize) -> Vec<PeerStatus> {
        let status = |slot| self.peer(slot).status(now, self.address(slot));
        self.by_use().take(most).map(status).collect()
    }

    /// Further packets went to this peer, if the entry is still there.
    pub(in crate::client) fn count_sent(&mut self, slot: u32, packets: u64, bytes: u64) {
        if let Some(peer) = self.slots.get_mut(slot) {
            peer.traffic.sent(packets, bytes);
        }
    }
}

impl Peer {
    fn status(&self, now: Instant, address: Ipv6Addr) -> PeerStatus {
        PeerStatus {
            address,
            state: match self.path(now) {
                Some(_) if self.forward == Forward::Confirmed => PeerState::Trusted,
                Some(_) => PeerState::Probing,
                None if self.contact.is_some() => PeerState::Probing,
                None => PeerState::Silent,
            },
            path: self.proven.map(|path| path.to),
            began: self.outer.is_some(),
            heard: self.last_reception.map(|at| now - at),
            sent: self.last_transmission.map(|at| now - at),
            traffic: self.traffic,
        }
    }
}
