//! How much a server forwards, to one destination and in total.
//!
//! A server forwards strangers' packets to any client that they name. Each is small, but many of them are a weapon. So
//! a token bucket limits the rate to each destination, and another one the rate to all together. This is the only
//! memory of a server, and losing it does no harm: the table has a fixed size, and the entry that was idle longest
//! makes room.
//!
//! A bucket is a number, the *theoretical arrival time* of the generic cell rate algorithm (ITU-T I.371): the instant
//! at which the bucket will be full. Many threads share the table without a lock.

use std::hash::Hasher;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use siphasher::sip::SipHasher13;

use crate::Instant;

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

/// The most that a server forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// To one IPv4 address, or to one /64 of the IPv6 Internet. `None`: no limit. 256 per second, 512 at once.
    pub per_destination: Option<Rate>,
    /// To all of them together. `None`, the default: no limit. The limit for each destination protects victims, while
    /// anybody could use up a total that all need.
    pub total: Option<Rate>,
    /// The most destinations in the table, 8 bytes each; rounded up to a power of two. 65,536.
    pub destinations: usize,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            per_destination: Rate::of(256, 512),
            total: None,
            destinations: 65_536,
        }
    }
}

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
    limits: RelayLimits,
    /// Keys of the hash, so that nobody outside can aim at a place.
    keys: (u64, u64),
    places: Box<[[AtomicU64; WAYS]]>,
    total: AtomicU64,
}

impl RelayLimiter {
    /// Starts with full buckets. The seed must be unpredictable to others.
    pub fn new(limits: RelayLimits, seed: [u8; 32]) -> Self {
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
            limits,
            keys: (key(0), key(8)),
            places: (0..sets).map(|_| Default::default()).collect(),
            total: AtomicU64::new(0),
        }
    }

    /// Whether a packet may go to this IPv4 address; if so, it is counted.
    pub(super) fn allows_ipv4(&self, now: Instant, to: Ipv4Addr) -> bool {
        self.allows(now, &to.octets())
    }

    /// Whether a packet may go to this address of the IPv6 Internet; if so, it is counted.
    pub(super) fn allows_native(&self, now: Instant, to: Ipv6Addr) -> bool {
        self.allows(now, &to.octets()[..8])
    }

    fn allows(&self, now: Instant, destination: &[u8]) -> bool {
        let one = self.limits.per_destination;
        let all = self.limits.total;
        one.is_none_or(|rate| self.take_from_one(now, destination, rate))
            && all.is_none_or(|rate| self.take_from_all(now, rate))
    }

    fn take_from_all(&self, now: Instant, rate: Rate) -> bool {
        let take = |full_at| arrive(full_at, now.as_nanos(), rate, 0);
        self.total
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }

    fn take_from_one(&self, now: Instant, destination: &[u8], rate: Rate) -> bool {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        hasher.write(destination);
        let hash = hasher.finish();
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
            let Some(full_at) = arrive(full_at, now, rate, UNIT_BITS) else {
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

/// Takes a token from a bucket that is full at `full_at`. Returns the new time, or `None` if the bucket is empty. Times
/// are in units of 2^`unit` ns.
fn arrive(full_at: u64, now: u64, rate: Rate, unit: u32) -> Option<u64> {
    let interval = Duration::from_secs(1) / rate.per_second.get();
    // Rounded up, so that a rate is never exceeded.
    let interval = (interval.as_nanos() >> unit) as u64 + 1;
    let depth = interval
        .saturating_mul(u64::from(rate.burst.get()))
        .min(MAX_DEPTH >> unit);
    let full_at = full_at.max(now).saturating_add(interval);
    (full_at - now <= depth).then_some(full_at)
}

#[cfg(test)]
mod tests;
