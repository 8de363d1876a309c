//! The relay's list of peers (RFC 4380 §5.4), built for millions of them.
//!
//! ```text
//!                 first packet                   direct answer
//!   unknown ─────────────────────> Underway ─────────────────────> Table (trusted)
//!      ^      (a bubble goes out)     │                              │   ^
//!      │                              │ no answer to 4 bubbles       │   │ any packet: good for 30 s more
//!      ├──────────────────────────────┘ or evicted by newer ones     └───┘
//!      └───────────────────────────────────────────────────────────── 30 s of silence, or least used in a full
//!                                                                      table
//! ```
//!
//! There are two tables because their needs are opposite. A peer under way has a queue and a deadline, lives for
//! seconds, and costs an attacker one packet. So the table is small, such peers evict each other, and each network of
//! senders fills a part of the queues only. A trusted peer has answered from its mapping. There may be millions, and
//! invented destinations cannot displace them. An entry is an address and two times, because a relay sends to the mapping
//! in the address (RFC 4380 §5.4.2); the few clients that have proven another one are in a table of their own
//! (`relay::elsewhere`).

mod shares;
mod table;
mod underway;

pub(super) use table::Table;
pub(super) use underway::{Answered, Ask, Cause, Due, Moved, Underway};

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::Instant;
use crate::wire::{Flags, TeredoAddress};

/// A Teredo address without the common prefix: 12 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    server: u32,
    flags_and_port: u32,
    address: u32,
}

impl Key {
    /// Fills empty places.
    const NOBODY: Self = Self {
        server: 0,
        flags_and_port: 0,
        address: 0,
    };
}

impl From<TeredoAddress> for Key {
    fn from(address: TeredoAddress) -> Self {
        Self {
            server: address.server.to_bits(),
            flags_and_port: u32::from(address.flags.bits()) << 16
                | u32::from(address.mapped.port()),
            address: address.mapped.ip().to_bits(),
        }
    }
}

impl From<Key> for TeredoAddress {
    fn from(key: Key) -> Self {
        Self {
            server: Ipv4Addr::from_bits(key.server),
            flags: Flags::from_bits((key.flags_and_port >> 16) as u16),
            mapped: SocketAddrV4::new(Ipv4Addr::from_bits(key.address), key.flags_and_port as u16),
        }
    }
}

/// The nanoseconds of a [`Tick`].
const TICK: u64 = 100_000_000;

/// A time in tenths of a second, in 31 bits. The range is 6.8 years from the clock's epoch.
///
/// Rounding down makes the age of an entry up to a tenth too large or too small, but an entry never lives longer than
/// the whole number of seconds that its age is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u32);

impl Tick {
    /// Earlier than every tick of the clock.
    const NEVER: Self = Self(0);
    const LATEST: u32 = u32::MAX >> 1;

    /// The tick in which `now` lies.
    pub(super) fn at(now: Instant) -> Self {
        // The first tick is 1, because 0 is [`Self::NEVER`].
        let tick = now.as_nanos() / TICK + 1;
        Self(u32::try_from(tick).map_or(Self::LATEST, |tick| tick.min(Self::LATEST)))
    }

    /// The first instant in it.
    fn start(self) -> Instant {
        Instant::from_nanos(u64::from(self.0.saturating_sub(1)) * TICK)
    }

    /// Whether fewer than `seconds` have passed since `earlier`.
    fn is_within(self, seconds: u32, earlier: Self) -> bool {
        self.0.saturating_sub(earlier.0) < seconds * 10
    }
}

#[cfg(test)]
mod tests;
