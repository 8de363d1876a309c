//! Asking clients for bubbles (RFC 4380 §5.4.1 case 3), and how many a relay can be made to send.
//!
//! Anybody on the IPv6 Internet can write any server's address into a destination, and thereby make the relay send a
//! bubble there. The rate to each server is bounded, and so is the share of one network, so that a scan does not use up
//! the rate that others need.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use rand_core::Rng;

use super::peers::{Ask, Cause, Due, Key};
use super::{Relay, RelayConfig};
use crate::slots::SipKeys;
use crate::wire::{self, PORT, TeredoAddress};
use crate::{DropReason, Instant};

/// The hop limit of bubbles; nothing depends on it.
const HOP_LIMIT: u8 = 255;

impl Relay {
    /// Starts to ask a client that is not being asked yet, because `sender` has a packet for it.
    pub(super) fn contact(
        &mut self,
        now: Instant,
        key: Key,
        sender: Ipv6Addr,
    ) -> Result<(), DropReason> {
        self.begin(now, key, sender, Cause::Native)
    }

    /// Starts to ask a client that nothing was sent to; its packets for `sender` may be forged.
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

    /// Repeats what is due, and gives up clients that were asked often enough.
    pub(super) fn drive_contacts(&mut self, now: Instant) {
        while let Some(due) = self.underway.due(now) {
            match due {
                // A bubble beyond the limits counts as lost on the way.
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

    /// Sends a bubble. Its source, the "local IPv6 address" (R4380-5.4.1-05), is link-local and random for each client
    /// that is asked, as with the relays of `miredo`. An answer to it proves that the client received the bubble. A
    /// constant address would not do: a client answers four bubbles in 300 s to an address that sends it nothing else
    /// (§5.2.6), so the paths of one-way flows could not be verified for long.
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

/// Checks that a client and its server may be sent to. Neither may be a refused destination (R4380-5.4.1-02) or the
/// relay itself (L-03). They must differ (L-02), because a server that is its own client would send to itself
/// endlessly.
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

/// Places for token buckets. Two servers or networks in one place share its rate, which errs on the side of fewer
/// bubbles.
const PLACES: usize = 1 << 13;

/// The divisor for the share of one network or address in a server's rate.
const SHARE: u32 = 4;

/// The limits of one relay, in memory that does not depend on the number of servers and networks (R4380-7.3.5-01).
#[derive(Debug)]
pub(super) struct Admission {
    servers: Buckets,
    networks: Buckets,
    mappings: Buckets,
    keys: SipKeys,
}

impl Admission {
    /// `rate` bubbles per second to each server.
    pub(super) fn new(rate: u32, keys: SipKeys) -> Self {
        Self {
            servers: Buckets::new(rate),
            networks: Buckets::new(rate / SHARE),
            mappings: Buckets::new(rate / SHARE),
            keys,
        }
    }

    /// Whether a packet from or to `sender` may cause a bubble to `server`, and to `mapping` if a direct bubble goes
    /// there.
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
        // All buckets must have a token before one is taken from any.
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

/// Token buckets that hold the tokens of a second. Each is stored as the time when it will be full.
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
