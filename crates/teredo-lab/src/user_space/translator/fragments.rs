//! Fragments: those behind the first have no ports, and go where that went (RFC 4787 §11).
//!
//! One that comes before its first is dropped: the links of the lab keep the order.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;

use teredo::Instant;

use super::Side;

/// The most datagrams whose fragments are awaited; older ones are forgotten first.
const KEPT: usize = 256;
/// How long fragments are awaited: as long as Linux does (`net.ipv4.ipfrag_time`).
const PATIENCE: Duration = Duration::from_secs(30);

/// The fragments of one datagram have this in common (RFC 791 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// The side that they come from.
    pub(super) from: Side,
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) protocol: u8,
    pub(super) id: u16,
}

/// The way of the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// The side that it left to.
    pub(super) to: Side,
    /// Its addresses then.
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
}

/// The ways of first fragments.
#[derive(Debug, Default)]
pub(super) struct Fragments(VecDeque<(Key, Way, Instant)>);

impl Fragments {
    /// The first fragment went this way.
    pub(super) fn led(&mut self, now: Instant, key: Key, way: Way) {
        self.0.retain(|(known, _, end)| *known != key && now < *end);
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((key, way, now + PATIENCE));
    }

    /// The way of a fragment behind the first; `None` if that has not passed.
    pub(super) fn way(&self, now: Instant, key: &Key) -> Option<Way> {
        let mut alive = self.0.iter().filter(|(.., end)| now < *end);
        alive
            .find(|(known, ..)| known == key)
            .map(|(_, way, _)| *way)
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}
