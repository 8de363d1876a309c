//! The shares of senders in the queues: each of their networks fills a part only.

use std::collections::HashMap;
use std::net::Ipv6Addr;

use crate::relay::admission::{LEVELS, SHARES, WHOLE, networks_of};
use crate::slots::SipKeys;

/// The bytes that wait for each /64, /48 and /32. A network has the same share of the queues as of the bubbles, so a scan
/// leaves half of them to newcomers from elsewhere.
///
/// Only what waits is counted, so there are at most three networks for each packet in a queue.
#[derive(Debug)]
pub(super) struct Shares {
    waiting: HashMap<(usize, u64), usize, SipKeys>,
    total: usize,
}

impl Shares {
    /// Parts of `total` bytes.
    pub(super) fn new(total: usize, keys: SipKeys) -> Self {
        Self {
            waiting: HashMap::with_hasher(keys),
            total,
        }
    }

    /// Whether so many more bytes of `sender` fit into the shares of its networks.
    pub(super) fn has_room(&self, sender: Ipv6Addr, bytes: usize) -> bool {
        self.networks(sender).all(|(network, share)| {
            let waiting = self.waiting.get(&network).copied().unwrap_or(0);
            waiting + bytes <= share
        })
    }

    pub(super) fn add(&mut self, sender: Ipv6Addr, bytes: usize) {
        for (level, network) in networks_of(sender).into_iter().enumerate() {
            *self.waiting.entry((level, network)).or_default() += bytes;
        }
    }

    pub(super) fn remove(&mut self, sender: Ipv6Addr, bytes: usize) {
        for network in networks_of(sender).into_iter().enumerate() {
            if let Some(waiting) = self.waiting.get_mut(&network) {
                *waiting = waiting.saturating_sub(bytes);
                if *waiting == 0 {
                    self.waiting.remove(&network);
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn networks(&self, sender: Ipv6Addr) -> impl Iterator<Item = ((usize, u64), usize)> {
        let networks: [u64; LEVELS] = networks_of(sender);
        let share = |eighths| self.total / WHOLE as usize * eighths as usize;
        let shares = SHARES.map(share);
        networks.into_iter().enumerate().zip(shares)
    }
}
