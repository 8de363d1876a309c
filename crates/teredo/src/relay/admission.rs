//! How many bubbles and errors others can make a relay send (RFC 4380 §7.3.5, §7.4).
//!
//! Anybody on the IPv6 Internet can write any server's address into a destination, and thereby make the relay send a
//! bubble there. So the rate to each server is bounded, and of it and of the rate in total each sender has a share, at
//! several prefix lengths: a sender with a /48 has 65,536 /64s. A flood uses up its own shares, and newcomers from
//! elsewhere are served.
//!
//! A bubble counts until the client answers it, so nobody who reaches clients is limited. A repetition needs a part of
//! each bucket to be left: under attack first bubbles go before repetitions, while a single silent client gets all four.
//! The rate in total refuses repetitions only. If it refused first bubbles, a sender that invents sources could
//! keep all newcomers out with a few thousand packets a second.

use std::hash::Hash;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::Instant;
use crate::limit::{Bucket, Rate};
use crate::slots::SipKeys;

/// The limits of one relay, in memory that does not depend on the number of servers and networks (R4380-7.3.5-01).
#[derive(Debug)]
pub(super) struct Admission {
    total: Fair,
    servers: Fair,
    /// Limits direct bubbles to one address.
    mappings: Buckets,
    keys: SipKeys,
}

/// A bubble that a packet from or to `sender` causes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) server: Ipv4Addr,
    pub(super) sender: Ipv6Addr,
    /// Where a direct bubble goes besides.
    pub(super) mapping: Option<Ipv4Addr>,
}

impl Admission {
    /// `per_server` bubbles per second to each server, and `total` to all of them, for repetitions and shares.
    pub(super) fn new(per_server: u32, total: u32, keys: SipKeys) -> Self {
        Self {
            total: Fair::new(total, keys),
            servers: Fair::new(per_server, keys),
            mappings: Buckets::new(per_server, SHARES[0]),
            keys,
        }
    }

    /// Whether a bubble may be sent; if so, it is counted. `repetition` is 0 for the first one.
    pub(super) fn allow(&mut self, now: Instant, request: Request, repetition: u8) -> bool {
        let (server, total) = self.claims(request);
        let mapping = request.mapping.map(|mapping| self.keys.hash(mapping));
        // All buckets must have a token before one is taken from any.
        let allowed = self.servers.has(now, server, repetition)
            && self.total.has_shares(now, total, repetition)
            && (repetition == 0 || self.total.whole.has(now, total.whole, repetition))
            && mapping.is_none_or(|mapping| self.mappings.has(now, mapping, 0));
        if allowed {
            self.servers.take(now, server);
            self.total.take(now, total);
            if let Some(mapping) = mapping {
                self.mappings.take(now, mapping);
            }
        }
        allowed
    }

    /// Returns the tokens of bubbles that were answered.
    ///
    /// Only an answer that contains the bubble's token is one: it proves that the server passed the bubble on. The token
    /// of a direct bubble proves nothing about the server, so nothing is returned for it.
    pub(super) fn give_back(&mut self, request: Request, bubbles: u8) {
        if request.mapping.is_some() {
            return;
        }
        let (server, total) = self.claims(request);
        self.servers.give_back(server, bubbles);
        self.total.give_back(total, bubbles);
    }

    fn claims(&self, Request { server, sender, .. }: Request) -> (Claim, Claim) {
        let networks = networks_of(sender);
        (
            self.servers.claim(server, networks),
            self.total.claim((), networks),
        )
    }
}

/// The /64, /48 and /32 of an IPv6 address.
pub(super) fn networks_of(address: Ipv6Addr) -> [u64; LEVELS] {
    let network = (address.to_bits() >> 64) as u64;
    [network, network >> 16, network >> 32]
}

/// An IPv4 address, its /24 and its /16.
pub(super) fn networks_of_ipv4(address: Ipv4Addr) -> [u64; LEVELS] {
    let address = address.to_bits().into();
    [address, address >> 8, address >> 16]
}

/// The number of prefix lengths at which a sender has a share.
pub(super) const LEVELS: usize = 3;
/// The shares of the longest prefix, of the next, and of the shortest one, in eighths of a rate.
pub(super) const SHARES: [u64; LEVELS] = [2, 3, 4];
pub(super) const WHOLE: u64 = 8;

/// A rate to each of many targets, of which a prefix of senders has a share only.
#[derive(Debug)]
pub(super) struct Fair {
    whole: Buckets,
    shares: [Buckets; LEVELS],
    keys: SipKeys,
}

/// The buckets that an action takes a token from: the whole rate's, and one for each prefix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    whole: u64,
    shares: [u64; LEVELS],
}

impl Fair {
    /// `rate` actions per second, and as many at once.
    pub(super) fn new(rate: u32, keys: SipKeys) -> Self {
        Self {
            whole: Buckets::new(rate, WHOLE),
            shares: SHARES.map(|share| Buckets::new(rate, share)),
            keys,
        }
    }

    /// The buckets for an action on `target` that a sender with these prefixes causes.
    pub(super) fn claim(&self, target: impl Hash + Copy, networks: [u64; LEVELS]) -> Claim {
        let shares = std::array::from_fn(|level| self.keys.hash((target, level, networks[level])));
        Claim {
            whole: self.keys.hash(target),
            shares,
        }
    }

    /// Whether each bucket has a token, and more than `quarters` of its room left.
    pub(super) fn has(&self, now: Instant, claim: Claim, quarters: u8) -> bool {
        self.whole.has(now, claim.whole, quarters) && self.has_shares(now, claim, quarters)
    }

    /// [`Self::has`] for the sender's shares, whatever is left of the whole.
    fn has_shares(&self, now: Instant, claim: Claim, quarters: u8) -> bool {
        let mut shares = self.shares.iter().zip(claim.shares);
        shares.all(|(share, hash)| share.has(now, hash, quarters))
    }

    pub(super) fn take(&mut self, now: Instant, claim: Claim) {
        self.whole.take(now, claim.whole);
        for (share, hash) in self.shares.iter_mut().zip(claim.shares) {
            share.take(now, hash);
        }
    }

    pub(super) fn give_back(&mut self, claim: Claim, tokens: u8) {
        self.whole.give_back(claim.whole, tokens);
        for (share, hash) in self.shares.iter_mut().zip(claim.shares) {
            share.give_back(hash, tokens);
        }
    }

    /// Takes a token from each bucket if all have one.
    pub(super) fn allow(&mut self, now: Instant, claim: Claim) -> bool {
        let allowed = self.has(now, claim, 0);
        if allowed {
            self.take(now, claim);
        }
        allowed
    }
}

/// Places for token buckets. Two targets or networks in one place share its rate, which errs on the side of fewer
/// bubbles.
const PLACES: usize = 1 << 13;

/// Token buckets for many subjects. Each holds the tokens of a second.
#[derive(Debug)]
struct Buckets {
    places: Vec<Bucket>,
    rate: Rate,
}

impl Buckets {
    /// `share` eighths of `rate`, at least one token a second.
    fn new(rate: u32, share: u64) -> Self {
        let second = Duration::from_secs(1).as_nanos() as u64;
        let rate = (u64::from(rate) * share / WHOLE).max(1);
        Self {
            places: vec![Bucket::default(); PLACES],
            rate: Rate {
                interval: second / rate,
                depth: second,
            },
        }
    }

    /// Whether there is a token, and more than `quarters` of the room for others left.
    fn has(&self, now: Instant, hash: u64, quarters: u8) -> bool {
        let kept = (self.rate.depth - self.rate.interval) * u64::from(quarters) / 4;
        self.places[place(hash)].has(now, self.rate, kept)
    }

    /// Takes a token; from an empty bucket, none.
    fn take(&mut self, now: Instant, hash: u64) {
        self.places[place(hash)].take(now, self.rate);
    }

    fn give_back(&mut self, hash: u64, tokens: u8) {
        self.places[place(hash)].give_back(self.rate, tokens);
    }
}

fn place(hash: u64) -> usize {
    hash as usize & (PLACES - 1)
}

#[cfg(test)]
mod tests;
