//! Asking clients for bubbles (RFC 4380 §5.4.1 case 3), and how many a relay may be made to send.
//!
//! Everybody on the IPv6 Internet can write any server's address into a destination, and have the relay send a
//! bubble there. What comes of it is bounded for each server, and what one network has a share of is bounded too,
//! so that a scan does not use up what others need.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use rand_core::Rng;

use super::peers::{Ask, Cause, Due, Key};
use super::{Relay, RelayConfig};
use crate::slots::SipKeys;
use crate::wire::{self, PORT, TeredoAddress};
use crate::{DropReason, Instant};

/// Of bubbles; nothing depends on it.
const HOP_LIMIT: u8 = 255;

impl Relay {
    /// Begins to ask a client that is not under way, because `sender` has a packet for it.
    pub(super) fn contact(
        &mut self,
        now: Instant,
        key: Key,
        sender: Ipv6Addr,
    ) -> Result<(), DropReason> {
        self.begin(now, key, sender, Cause::Native)
    }

    /// Begins to ask a client that nothing was sent to, and whose packets for `sender` may be forged.
    pub(super) fn challenge(
        &mut self,
        now: Instant,
        key: Key,
        sender: Ipv6Addr,
    ) -> Result<(), DropReason> {
        if !self.provoked.allow(now) {
            return Err(DropReason::TestLimit);
        }
        self.begin(now, key, sender, Cause::Provoked)
    }

    fn begin(
        &mut self,
        now: Instant,
        key: Key,
        sender: Ipv6Addr,
        cause: Cause,
    ) -> Result<(), DropReason> {
        if !self.admit(now, key, sender) {
            return Err(DropReason::BubbleLimit);
        }
        let token = link_local(self.rng.next_u64());
        self.underway.begin(now, key, Ask { sender, token }, cause);
        self.count_evictions();
        self.emit_bubble(key, token);
        Ok(())
    }

    /// Repeats what is due, and gives up what was repeated enough.
    pub(super) fn drive_contacts(&mut self, now: Instant) {
        while let Some(due) = self.underway.due(now) {
            match due {
                // One that is not admitted counts as lost on the way.
                Due::Repeat(key, Ask { sender, token }) => {
                    if self.admit(now, key, sender) {
                        self.emit_bubble(key, token);
                    }
                }
                Due::GiveUp(waiting) => {
                    for packet in waiting {
                        self.drops.count(DropReason::PeerUnreachable);
                        self.report(now, &packet, |from, to, out| {
                            let code = wire::unreachable::ADDRESS;
                            wire::emit_unreachable(from, to, code, &packet, out)
                        });
                    }
                }
            }
        }
    }

    fn admit(&mut self, now: Instant, key: Key, sender: Ipv6Addr) -> bool {
        let target = TeredoAddress::from(key);
        let mapping = self.config.direct_bubbles.then_some(*target.mapped.ip());
        self.admission.allow(now, target.server, sender, mapping)
    }

    /// The "local IPv6 address" that a bubble comes from (R4380-5.4.1-05) is link-local and drawn at random for each
    /// client that is asked, as the relays of `miredo` have it. Whoever answers to it has got the bubble. And a
    /// client answers four bubbles in 300 s to an address that sends it nothing else (§5.2.6): from an address that
    /// stays, the paths of one-way flows could not be verified for long.
    fn emit_bubble(&mut self, key: Key, token: Ipv6Addr) {
        let target = TeredoAddress::from(key);
        // R4380-5.4.1-09
        let direct = self.config.direct_bubbles.then_some(target.mapped);
        self.counters.bubbles += 1;
        for to in direct.into_iter().chain([server_of(target)]) {
            self.outbox.udp(to, |out| {
                wire::emit_bubble(token, target.to_ipv6(), HOP_LIMIT, out);
            });
        }
    }
}

fn link_local(identifier: u64) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(identifier))
}

/// Whether a client may be sent to, and its server: neither may be where nothing may be sent (R4380-5.4.1-02), the
/// relay itself (L-03), or the same (L-02): a server that is its own client would send to itself, again and again.
pub(super) fn check(config: &RelayConfig, target: TeredoAddress) -> Result<(), DropReason> {
    let server = server_of(target);
    if config.is_own(target.mapped) || config.is_own(server) {
        Err(DropReason::OwnAddress)
    } else if target.mapped == server {
        Err(DropReason::SelfLoop)
    } else if config.destinations.permits(target.mapped) && config.destinations.permits(server) {
        Ok(())
    } else {
        Err(DropReason::RefusedDestination)
    }
}

fn server_of(target: TeredoAddress) -> SocketAddrV4 {
    SocketAddrV4::new(target.server, PORT)
}

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
