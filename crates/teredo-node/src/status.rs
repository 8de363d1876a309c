//! The common part of a client's and a relay's status.

use std::time::{Duration, Instant, SystemTime};

use teredo::DropCounters;
use teredo::client::{PeerState as PathState, PeerStatus};
use teredo_notify::types::{Counters, Peer, PeerState, Phase, Status, rfc3339};

use crate::kernel::KernelUse;

/// The time when a node started, and the time when it entered its state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    started: Instant,
    since: SystemTime,
}

impl Times {
    pub(crate) fn now() -> Self {
        Self {
            started: Instant::now(),
            since: SystemTime::now(),
        }
    }

    /// The node enters a state.
    pub(crate) fn enter_state(&mut self) {
        self.since = SystemTime::now();
    }

    /// A status with the times filled in.
    pub(crate) fn status(&self, state: Phase, reason: Option<String>) -> Status {
        Status {
            state,
            reason,
            since: Some(rfc3339(self.since)),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            ..Status::default()
        }
    }
}

/// The summary of the traffic of user space.
pub(crate) fn traffic(counters: &teredo_tunnel::lane::Counters) -> Counters {
    Counters {
        rx_packets: counters.udp.rx_datagrams,
        rx_bytes: counters.udp.rx_bytes,
        tx_packets: counters.udp.tx_datagrams,
        tx_bytes: counters.udp.tx_bytes,
    }
}

/// A peer of a client.
pub(crate) fn peer(peer: &PeerStatus) -> Peer {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Peer {
        address: peer.address,
        state: match peer.state {
            PathState::Trusted => PeerState::Trusted,
            PathState::Probing => PeerState::Probing,
            PathState::Silent => PeerState::Silent,
            _ => PeerState::Unknown,
        },
        path: peer.path,
        began: peer.began,
        heard_ms: peer.heard.map(ms),
        sent_ms: peer.sent.map(ms),
        counters: Counters {
            rx_packets: peer.traffic.rx_packets,
            rx_bytes: peer.traffic.rx_bytes,
            tx_packets: peer.traffic.tx_packets,
            tx_bytes: peer.traffic.tx_bytes,
        },
    }
}

/// Fills in the traffic: the summary, who carried it, every counter of the data path, and the drops.
pub(crate) fn set_traffic(
    status: &mut Status,
    counters: &teredo_tunnel::lane::Counters,
    kernel: &KernelUse,
    drops: &DropCounters,
) {
    status.counters = traffic(counters);
    kernel.add_to(&mut status.counters);
    status.data_path = kernel.describe(counters.carried_packets);
    let counters = counters.iter();
    status
        .data_path
        .counters
        .extend(counters.map(|(name, count)| (name.to_owned(), count)));
    status.drops = drops
        .iter()
        .map(|(reason, count)| (reason.name().to_owned(), count))
        .collect();
}
