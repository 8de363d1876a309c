//! The choice of datagrams that leave without a UDP checksum, to show the peer that this node has a path in the kernel.
//!
//! A peer with such a path on a virtual link sends packets that lack their checksum only to nodes that have shown this
//! (`teredo_bpf::Entry::needs_checksums`). The path in the kernel shows it with every datagram. User space has to while the
//! path is not in use, and while the peer's packets in the kernel depend on it.
//!
//! A checksum protects the outer header, too, so most datagrams keep theirs.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use teredo::Instant;

/// Destinations are kept in sets of a few places each. Of more that are in use at a time, some have to wait.
const SETS: usize = 256;
const PLACES: usize = 4;

/// The time to the second such datagram; each further one doubles it, up to a limit.
const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

/// After so much silence it begins anew.
const IDLE: Duration = Duration::from_secs(1);

/// The destinations of the last second, and when the next datagram to each is to leave without a checksum.
pub(super) struct BareDatagrams(Box<[[Place; PLACES]; SETS]>);

#[derive(Clone, Copy)]
struct Place {
    to: SocketAddrV4,
    /// The last datagram to it.
    last: Instant,
    due: Instant,
    gap: Duration,
}

impl BareDatagrams {
    pub(super) fn new() -> Self {
        Self(Box::new([[Place::NONE; PLACES]; SETS]))
    }

    /// Each peer is to be shown it again.
    pub(super) fn clear(&mut self) {
        self.0.fill([Place::NONE; PLACES]);
    }

    /// Takes note of a datagram to this place, and decides whether it leaves without a checksum.
    pub(super) fn is_due(&mut self, now: Instant, to: SocketAddrV4) -> bool {
        let set = &mut self.0[set_of(to)];
        let oldest = |set: &[Place; PLACES]| {
            let places = set.iter().enumerate();
            places
                .min_by_key(|(_, place)| place.last)
                .map_or(0, |(at, _)| at)
        };
        let known = set.iter().position(|place| place.to == to);
        let place = &mut set[known.unwrap_or_else(|| oldest(set))];
        if known.is_none() || now.saturating_duration_since(place.last) >= IDLE {
            *place = Place::new(to, now);
            return false;
        }
        place.last = now;
        if now < place.due {
            return false;
        }
        place.due = now + place.gap;
        place.gap = (place.gap * 2).min(LONGEST);
        true
    }
}

impl Place {
    /// The kernel sends to no port 0, so nothing has this destination.
    const NONE: Self = Self::new(
        SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
        Instant::from_nanos(0),
    );

    const fn new(to: SocketAddrV4, now: Instant) -> Self {
        Self {
            to,
            last: now,
            due: now,
            gap: FIRST,
        }
    }
}

/// By multiplication (Knuth). Addresses that are made to collide slow down the path of those that made them.
fn set_of(to: SocketAddrV4) -> usize {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let key = u64::from(to.ip().to_bits()) << 16 | u64::from(to.port());
    (key.wrapping_mul(SPREAD) >> 32) as usize % SETS
}

#[cfg(test)]
mod tests;
