//! How much a server sends, to one destination and in total.
//!
//! A server forwards strangers' packets to any client that they name, and answers datagrams whose source may be forged.
//! Each packet is small, but many of them are a weapon. So a token bucket limits the rate to each destination, and
//! another one the rate to all together. This is the only memory of a server, and losing it does no harm: the table has a
//! fixed size, and the entry that was idle longest makes room.
//!
//! One sender must not use up what others need to reach the same destination. Half of a destination's bucket is for
//! anyone. Of the other half, one IPv4 address gets an eighth of the rate and one /16 a quarter. So a sender that is alone
//! gets nearly the whole rate, and one that floods leaves the others the second half. The shares are looked up only when
//! the first half is empty.
//!
//! A bucket is a number, the time when it will be full. Many threads share the table without a lock.

use std::fmt;
use std::hash::Hasher;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use siphasher::sip::SipHasher13;

use super::limited::{Limited, Refusals};
use crate::Instant;
use crate::limit::Rate as Limit;

/// A rate with a burst, in packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Packets per second in the long run.
    pub per_second: NonZeroU32,
    /// Packets at once after a pause, at most those of two years.
    pub burst: NonZeroU32,
}

impl Rate {
    const fn of(per_second: u32, burst: u32) -> Option<Self> {
        match (NonZeroU32::new(per_second), NonZeroU32::new(burst)) {
            (Some(per_second), Some(burst)) => Some(Self { per_second, burst }),
            _ => None,
        }
    }
}

/// The most that a server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// Forwarded packets and echo replies to one IPv4 address, and forwarded packets to one /64 of the IPv6 Internet.
    /// `None`: no limit. 256 per second, 512 at once. One sender leaves half of it to others.
    pub per_destination: Option<Rate>,
    /// Router advertisements to one IPv4 address. `None`: no limit. 10,000 per second, 20,000 at once: a carrier's NAT
    /// with a client at each port causes 2,200, because clients solicit every 30 s.
    pub advertisements: Option<Rate>,
    /// Forwarded packets and echo replies to all destinations together. `None`, the default: no limit. The limit for
    /// each destination protects victims, while anybody could use up a total that all need.
    pub total: Option<Rate>,
    /// The most entries in the table, 8 bytes each; rounded up to a power of two. A destination has one, and so has each
    /// of its senders while it is flooded. 65,536. Advertisements have a table of that size for themselves.
    pub destinations: usize,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            per_destination: Rate::of(256, 512),
            advertisements: Rate::of(10_000, 20_000),
            total: None,
            destinations: 65_536,
        }
    }
}

/// The divisor for the share of one sender's IPv4 address in a destination's rate.
const HOST_SHARE: u64 = 8;
/// The divisor for the share of one /16.
const NETWORK_SHARE: u64 = 4;
const NETWORK_BITS: u32 = 16;

/// The number of places for a destination.
const WAYS: usize = 4;
/// A place is a tag of 16 bits, which distinguishes destinations in the same set, and a time of 48 bits.
const TIME_BITS: u32 = 48;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// The unit of that time is 2^10 ns, so its range is nine years.
const UNIT_BITS: u32 = 10;
/// The longest time to fill a bucket, in ns: a quarter of the range.
const MAX_DEPTH: u64 = 1 << (TIME_BITS + UNIT_BITS - 2);

/// The token buckets, for all servers and threads of a process.
#[derive(Debug)]
pub struct RelayLimiter {
    per_destination: Option<Fair>,
    advertisements: Option<Advertisements>,
    /// In nanoseconds.
    total: Option<(Limit, AtomicU64)>,
    /// Keys of the hash, so that nobody outside can aim at a place.
    keys: (u64, u64),
    places: Box<[[AtomicU64; WAYS]]>,
    /// A thread that finds it in use does not wait, and its refusal is missing from the list.
    refusals: Mutex<Refusals>,
}

impl RelayLimiter {
    /// Starts with full buckets. The seed must be unpredictable to others.
    pub fn new(limits: RelayLimits, seed: [u8; 32]) -> Self {
        let places: Box<[AtomicU64]> = (0..AdvertisementLimit::BUCKETS)
            .map(|_| AtomicU64::new(0))
            .collect();
        let buckets: Box<[AtomicU64; AdvertisementLimit::BUCKETS]> =
            places.try_into().expect("as many as collected");
        Self::with_buckets(limits, seed, Arc::new(buckets))
    }

    /// The same, with buckets of advertisements that another part of the host may share. To take tokens from them by
    /// [`advertisement_limit`](Self::advertisement_limit) is to keep the limit together with this value.
    pub fn with_buckets(
        limits: RelayLimits,
        seed: [u8; 32],
        buckets: Arc<dyn AdvertisementBuckets>,
    ) -> Self {
        let key = |at: usize| {
            let bytes = std::array::from_fn(|i| seed[at + i]);
            u64::from_le_bytes(bytes)
        };
        let sets = limits
            .destinations
            .div_ceil(WAYS)
            .max(1)
            .next_power_of_two();
        Self {
            per_destination: limits.per_destination.map(Fair::new),
            advertisements: limits
                .advertisements
                .map(|rate| Advertisements::new(rate, key(16), buckets)),
            total: limits.total.map(|rate| (limit(rate, 0), AtomicU64::new(0))),
            keys: (key(0), key(8)),
            places: (0..sets).map(|_| Default::default()).collect(),
            refusals: Mutex::default(),
        }
    }

    /// Whether a packet that `sender` caused may go to this IPv4 address; if so, it is counted.
    pub(super) fn allows_ipv4(&self, now: Instant, sender: Ipv4Addr, to: Ipv4Addr) -> bool {
        self.allows(now, sender, to.to_bits().into()) || self.refuse(Limited::Client(to))
    }

    /// Whether a packet of `sender` may go to this address of the IPv6 Internet; if so, it is counted.
    pub(super) fn allows_native(&self, now: Instant, sender: Ipv4Addr, to: Ipv6Addr) -> bool {
        let network = to.to_bits() >> 64;
        self.allows(now, sender, network as u64)
            || self.refuse(Limited::Network(Ipv6Addr::from_bits(network << 64)))
    }

    /// Whether an advertisement may go to this IPv4 address; if so, it is counted.
    pub(super) fn allows_advertisement(&self, now: Instant, to: Ipv4Addr) -> bool {
        self.advertisements
            .as_ref()
            .is_none_or(|advertisements| advertisements.allow(now, to))
            || self.refuse(Limited::Client(to))
    }

    /// The limit of advertisements, and how a destination finds its bucket; `None` without a limit.
    pub fn advertisement_limit(&self) -> Option<AdvertisementLimit> {
        self.advertisements
            .as_ref()
            .map(|advertisements| AdvertisementLimit {
                token: advertisements.limit.interval,
                depth: advertisements.limit.depth,
                factor: advertisements.factor,
            })
    }

    /// The destinations with the most refusals, and an upper bound of each count; a few are missing if several threads
    /// refuse at once.
    pub fn most_refused(&self) -> Vec<(Limited, u64)> {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.most()
    }

    /// Notes a refusal. Always false.
    #[cold]
    fn refuse(&self, destination: Limited) -> bool {
        if let Ok(mut refusals) = self.refusals.try_lock() {
            refusals.count(destination);
        }
        false
    }

    /// `destination` is an IPv4 address or a /64 of the IPv6 Internet.
    fn allows(&self, now: Instant, sender: Ipv4Addr, destination: u64) -> bool {
        self.per_destination
            .is_none_or(|fair| self.take_fairly(now, sender, destination, fair))
            && self.take_from_all(now)
    }

    fn take_fairly(&self, now: Instant, sender: Ipv4Addr, destination: u64, fair: Fair) -> bool {
        let hash = self.hash(&[destination]);
        if self.take(now, hash, fair.whole, fair.kept) {
            return true;
        }
        // The narrower share first: a flood uses up its own before it takes from its network's.
        let sender = sender.to_bits();
        [
            (u64::from(sender) | HOST, fair.host),
            (u64::from(sender >> NETWORK_BITS) | NETWORK, fair.network),
        ]
        .into_iter()
        .all(|(sender, share)| {
            let hash = self.hash(&[destination, sender]);
            self.take(now, hash, share, 0)
        }) && self.take(now, hash, fair.whole, 0)
    }

    fn take_from_all(&self, now: Instant) -> bool {
        let total = self.total.as_ref();
        total.is_none_or(|(limit, full_at)| take_from(full_at, now, *limit))
    }

    fn hash(&self, key: &[u64]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        for &word in key {
            hasher.write_u64(word);
        }
        hasher.finish()
    }

    /// Takes a token from a bucket of the table, and leaves `kept` of its depth.
    fn take(&self, now: Instant, hash: u64, limit: Limit, kept: u64) -> bool {
        let tag = hash >> TIME_BITS;
        // The number of sets is a power of two, and needs fewer bits than the hash has below the tag.
        let set = &self.places[hash as usize & (self.places.len() - 1)];
        let now = (now.as_nanos() >> UNIT_BITS) & TIME_MASK;
        loop {
            let seen: [u64; WAYS] = std::array::from_fn(|way| set[way].load(Ordering::Relaxed));
            let own = seen.iter().position(|place| place >> TIME_BITS == tag);
            // A bucket that was idle longest is the fullest one.
            let idlest = || (0..WAYS).min_by_key(|&way| seen[way] & TIME_MASK);
            let Some(way) = own.or_else(idlest) else {
                return true;
            };
            let full_at = if own.is_some() {
                seen[way] & TIME_MASK
            } else {
                0
            };
            let Some(full_at) = limit.take(full_at, now, kept) else {
                return false;
            };
            let place = tag << TIME_BITS | full_at & TIME_MASK;
            let taken =
                set[way].compare_exchange(seen[way], place, Ordering::Relaxed, Ordering::Relaxed);
            // Otherwise another thread was faster.
            if taken.is_ok() {
                return true;
            }
        }
    }
}

/// The buckets of advertisements, one for each hash of an IPv4 address.
///
/// Every solicitation passes here, so this is simpler than the table. Two addresses with the same hash share a bucket,
/// which is far larger than both need. A multiplication is good enough as a hash: an attacker who could aim at a
/// victim's bucket could as well solicit with the victim's address.
#[derive(Debug)]
struct Advertisements {
    limit: Limit,
    factor: u64,
    buckets: Arc<dyn AdvertisementBuckets>,
}

/// The memory of the buckets of advertisements.
pub trait AdvertisementBuckets: fmt::Debug + Send + Sync {
    /// The times when each bucket will be full, in nanoseconds on the clock of the [`Instant`]s. All are 0 at first.
    fn full_at(&self) -> &[AtomicU64; AdvertisementLimit::BUCKETS];
}

impl AdvertisementBuckets for Box<[AtomicU64; AdvertisementLimit::BUCKETS]> {
    fn full_at(&self) -> &[AtomicU64; AdvertisementLimit::BUCKETS] {
        self
    }
}

/// The limit of advertisements to one IPv4 address, for those that share its buckets. Times are in nanoseconds.
///
/// An advertisement takes `token` from its bucket: the later of now and its time, plus `token`, is its new time, if that is not
/// more than `depth` from now. Otherwise it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdvertisementLimit {
    /// The time for one advertisement.
    pub token: u64,
    /// The time to fill a bucket.
    pub depth: u64,
    /// The upper [`BUCKET_BITS`](Self::BUCKET_BITS) of the address times this are the number of its bucket.
    pub factor: u64,
}

impl AdvertisementLimit {
    /// The bits of a bucket's number.
    pub const BUCKET_BITS: u32 = 16;

    /// The number of buckets.
    pub const BUCKETS: usize = 1 << Self::BUCKET_BITS;
}

impl Advertisements {
    fn new(rate: Rate, key: u64, buckets: Arc<dyn AdvertisementBuckets>) -> Self {
        Self {
            limit: limit(rate, 0),
            // Odd, and good with any key.
            factor: (key ^ 0x9e37_79b9_7f4a_7c15) | 1,
            buckets,
        }
    }

    fn allow(&self, now: Instant, to: Ipv4Addr) -> bool {
        let hash = u64::from(to.to_bits()).wrapping_mul(self.factor);
        // The upper bits depend on the whole address.
        let bucket = (hash >> (u64::BITS - AdvertisementLimit::BUCKET_BITS)) as usize;
        take_from(&self.buckets.full_at()[bucket], now, self.limit)
    }
}

/// The kind of a share: the bits above the IPv4 address or network in its key.
const HOST: u64 = 1 << 32;
const NETWORK: u64 = 2 << 32;

/// The limits of one destination. The unit is the table's, 2^10 ns.
#[derive(Clone, Copy, Debug)]
struct Fair {
    whole: Limit,
    /// The part of the bucket that is kept for senders within their shares.
    kept: u64,
    host: Limit,
    network: Limit,
}

impl Fair {
    fn new(rate: Rate) -> Self {
        let whole = limit(rate, UNIT_BITS);
        Self {
            whole,
            // A bucket of one token cannot be divided.
            kept: whole.depth - (whole.depth / 2).max(whole.interval),
            host: share(whole, HOST_SHARE),
            network: share(whole, NETWORK_SHARE),
        }
    }
}

/// A rate in units of 2^`unit` ns.
fn limit(rate: Rate, unit: u32) -> Limit {
    // Rounded up, so that a rate is never exceeded.
    let interval = ((1_000_000_000 / u64::from(rate.per_second.get())) >> unit) + 1;
    let depth = interval
        .saturating_mul(u64::from(rate.burst.get()))
        .min(MAX_DEPTH >> unit);
    Limit { interval, depth }
}

/// A part of the rate and of the burst, of one token at least.
fn share(whole: Limit, divisor: u64) -> Limit {
    let interval = whole.interval * divisor;
    Limit {
        interval,
        depth: whole.depth.max(interval),
    }
}

/// Takes a token from a bucket in nanoseconds.
fn take_from(full_at: &AtomicU64, now: Instant, limit: Limit) -> bool {
    let take = |full_at| limit.take(full_at, now.as_nanos(), 0);
    full_at
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        .is_ok()
}

#[cfg(test)]
mod tests;
