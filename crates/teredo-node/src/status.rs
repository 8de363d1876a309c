//! The common part of a client's and a relay's status.

use std::time::{Instant, SystemTime};

use teredo::DropCounters;
use teredo_notify::types::{Counters, Phase, Status, rfc3339};

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

/// Fills in the traffic: the summary, every counter of the data path, and the drops.
pub(crate) fn set_traffic(
    status: &mut Status,
    counters: &teredo_tunnel::lane::Counters,
    drops: &DropCounters,
) {
    status.counters = Counters {
        rx_packets: counters.udp.rx_datagrams,
        rx_bytes: counters.udp.rx_bytes,
        tx_packets: counters.udp.tx_datagrams,
        tx_bytes: counters.udp.tx_bytes,
    };
    status.data_path = counters
        .iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect();
    status.drops = drops
        .iter()
        .map(|(reason, count)| (reason.name().to_owned(), count))
        .collect();
}
