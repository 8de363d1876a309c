//! How many bubbles a relay may be made to send.
//!
//! Everybody on the IPv6 Internet can write any server's address into a destination, and have the relay send a
//! bubble there. What comes of it is bounded for each server, and what one network has a share of is bounded too,
//! so that a scan does not use up what others need.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::peers::SipKeys;
use crate::Instant;

/// Places for token buckets. Two that share one have one rate together, which errs on the side of fewer bubbles.
const PLACES: usize = 1 << 13;

/// What one network or one address may have of a server's rate.
const SHARE: u32 = 4;

/// The limits of one relay, in memory that does not depend on how many servers and networks there are
/// (R4380-7.3.5-01).
#[derive(Debug)]
pub(super) struct Admission {
    servers: Buckets,
    networks: Buckets,
    mappings: Buckets,
    keys: SipKeys,
}

impl Admission {
    /// `rate` bubbles a second to each server.
    pub(super) fn new(rate: u32, keys: SipKeys) -> Self {
        Self {
            servers: Buckets::new(rate),
            networks: Buckets::new(rate / SHARE),
            mappings: Buckets::new(rate / SHARE),
            keys,
        }
    }

    /// Whether a packet from or to `sender` may have a bubble sent to `server`, and to `mapping` if it goes there as well.
    pub(super) fn allow(
        &mut self,
        now: Instant,
        server: Ipv4Addr,
        sender: Ipv6Addr,
        mapping: Option<Ipv4Addr>,
    ) -> bool {
        let [a, b, c, d, ..] = sender.segments();
        let network = self.keys.hash((server, [a, b, c, d]));
        let server = self.keys.hash(server);
        let mapping = mapping.map(|mapping| self.keys.hash(mapping));
        // All are asked before any is charged.
        let allowed = self.networks.has(now, network)
            && self.servers.has(now, server)
            && mapping.is_none_or(|mapping| self.mappings.has(now, mapping));
        if allowed {
            self.networks.take(now, network);
            self.servers.take(now, server);
            if let Some(mapping) = mapping {
                self.mappings.take(now, mapping);
            }
        }
        allowed
    }
}

/// Token buckets that hold as much as they gain in a second, each told by the time when it will be full again.
#[derive(Debug)]
struct Buckets {
    full_at: Vec<Instant>,
    interval: Duration,
}

impl Buckets {
    fn new(rate: u32) -> Self {
        Self {
            full_at: vec![Instant::default(); PLACES],
            interval: Duration::from_secs(1) / rate.max(1),
        }
    }

    fn has(&self, now: Instant, hash: u64) -> bool {
        let missing = self.full_at[place(hash)] - now;
        missing + self.interval <= Duration::from_secs(1)
    }

    fn take(&mut self, now: Instant, hash: u64) {
        let full_at = &mut self.full_at[place(hash)];
        *full_at = (*full_at).max(now) + self.interval;
    }
}

fn place(hash: u64) -> usize {
    hash as usize & (PLACES - 1)
}

#[cfg(test)]
mod tests;
