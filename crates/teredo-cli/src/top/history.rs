//! A node over time: its last looks, its ports, and the rates between looks.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::Ipv6Addr;
use std::time::{Duration, SystemTime};

use teredo_notify::types::{Counters, Peer, Status};

use crate::status::rate::per_second;

/// The most rates that are kept of one thing: more than a wide terminal shows.
const MAX_RATES: usize = 256;

/// The most ports that are kept.
const MAX_PORTS: usize = 64;

/// A node at one moment.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// Since the view began.
    pub(super) at: Duration,
    pub(super) wall: SystemTime,
    pub(super) status: Status,
    /// None if this user may not see them, or the role has none.
    pub(super) peers: Option<Vec<Peer>>,
}

/// The amounts a second between looks, the last one at the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates(VecDeque<u64>);

impl Rates {
    fn push(&mut self, rate: u64) {
        if self.0.len() == MAX_RATES {
            self.0.pop_front();
        }
        self.0.push_back(rate);
    }

    /// The last rate.
    pub(super) fn last(&self) -> u64 {
        self.0.back().copied().unwrap_or(0)
    }

    /// All of them, the oldest first.
    pub(super) fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = u64> + ExactSizeIterator + Clone + '_ {
        self.0.iter().copied()
    }
}

/// A port that the node had, from a time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PortSince {
    pub(super) wall: SystemTime,
    /// 0: none.
    pub(super) port: u16,
    /// Changes between this look and the one before that were not seen.
    pub(super) unseen: u64,
}

/// Both directions.
#[derive(Clone, Debug, Default)]
pub(super) struct Traffic {
    pub(super) rx: Rates,
    pub(super) tx: Rates,
}

impl Traffic {
    fn push(&mut self, before: &Counters, now: &Counters, elapsed: Duration) {
        self.rx
            .push(per_second(before.rx_bytes, now.rx_bytes, elapsed));
        self.tx
            .push(per_second(before.tx_bytes, now.tx_bytes, elapsed));
    }
}

/// A node over time. It is bounded, whatever the node says.
#[derive(Debug, Default)]
pub(super) struct History {
    last: Option<Look>,
    /// Why there is no node now.
    gone: Option<String>,
    ports: VecDeque<PortSince>,
    traffic: Traffic,
    peers: HashMap<Ipv6Addr, Traffic>,
    drops: BTreeMap<String, Rates>,
}

impl History {
    /// Takes in the next look.
    pub(super) fn observe(&mut self, look: Look) {
        self.gone = None;
        self.note_port(&look);
        if let Some(before) = &self.last {
            let elapsed = look.at.saturating_sub(before.at);
            let counters = (&before.status.counters, &look.status.counters);
            self.traffic.push(counters.0, counters.1, elapsed);
            for (reason, &count) in &look.status.drops {
                let known = before.status.drops.get(reason).copied().unwrap_or(0);
                let rates = self.drops.entry(reason.clone()).or_default();
                rates.push(per_second(known, count, elapsed));
            }
            let earlier = before.peers.iter().flatten();
            let earlier: HashMap<_, _> =
                earlier.map(|peer| (peer.address, peer.counters)).collect();
            for peer in look.peers.iter().flatten() {
                let known = earlier.get(&peer.address).copied().unwrap_or_default();
                let traffic = self.peers.entry(peer.address).or_default();
                traffic.push(&known, &peer.counters, elapsed);
            }
        }
        // The list of the service is bounded, and so is this.
        let present = |address: &Ipv6Addr| {
            let mut peers = look.peers.iter().flatten();
            peers.any(|peer| peer.address == *address)
        };
        self.peers.retain(|address, _| present(address));
        self.drops
            .retain(|reason, _| look.status.drops.contains_key(reason));
        self.last = Some(look);
    }

    /// There is no service now.
    pub(super) fn gone(&mut self, why: String) {
        self.gone = Some(why);
    }

    fn note_port(&mut self, look: &Look) {
        let (port, sequence) = (look.status.port, look.status.sequence);
        let known = self.ports.back().map(|last| last.port);
        let before = self.last.as_ref().map(|last| last.status.sequence);
        // A service that was restarted counts from the beginning.
        let steps = before.map_or(0, |before| sequence.saturating_sub(before));
        if known == Some(port) && steps == 0 {
            return;
        }
        if self.ports.len() == MAX_PORTS {
            self.ports.pop_front();
        }
        self.ports.push_back(PortSince {
            wall: look.wall,
            port,
            unseen: steps.saturating_sub(1),
        });
    }

    pub(super) fn last(&self) -> Option<&Look> {
        self.last.as_ref()
    }

    pub(super) fn why_gone(&self) -> Option<&str> {
        self.gone.as_deref()
    }

    /// The last one first.
    pub(super) fn ports(&self) -> impl Iterator<Item = &PortSince> {
        self.ports.iter().rev()
    }

    pub(super) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    pub(super) fn of_peer(&self, address: &Ipv6Addr) -> Option<&Traffic> {
        self.peers.get(address)
    }

    pub(super) fn of_drop(&self, reason: &str) -> Option<&Rates> {
        self.drops.get(reason)
    }
}

#[cfg(test)]
mod tests;
