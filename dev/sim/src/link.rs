//! Links: delay, jitter, loss, duplication, reordering, rate, queue and MTU.

use std::time::Duration;

use teredo::Instant;

use crate::random::Stream;

/// The properties of a [`Link`]. They may change while datagrams are on the way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkQuality {
    /// Whether the link is up.
    pub up: bool,
    /// The delay of every datagram, one way.
    pub delay: Duration,
    /// The largest additional delay; it is uniform from zero to this.
    pub jitter: Duration,
    /// Whether jitter may reorder datagrams. Otherwise a late datagram delays those behind it.
    pub reorder: bool,
    /// The probability that a datagram is overtaken, from 0 to 1: it comes later by `lag`, and delays no other.
    pub overtaken: f64,
    /// The additional delay of an overtaken datagram.
    pub lag: Duration,
    /// The probability that a datagram is lost, from 0 to 1.
    pub loss: f64,
    /// The probability that a datagram is duplicated, from 0 to 1.
    pub duplication: f64,
    /// The rate in bytes of IPv4 packets per second, in each direction; 0 for no limit.
    pub rate: u64,
    /// The longest wait for the datagrams before, if there is a rate; a datagram that would wait longer is dropped.
    pub queue: Duration,
    /// The longest IPv4 packet, in bytes.
    pub mtu: u16,
    /// Whether a longer packet passes in fragments, if it does not forbid that. Many NATs and firewalls drop fragments.
    pub fragments: bool,
}

impl LinkQuality {
    /// A link with this delay one way, an MTU of 1500 bytes, and no faults.
    pub const fn with_delay(delay: Duration) -> Self {
        Self {
            up: true,
            delay,
            jitter: Duration::ZERO,
            reorder: false,
            overtaken: 0.0,
            lag: Duration::ZERO,
            loss: 0.0,
            duplication: 0.0,
            rate: 0,
            queue: Duration::from_millis(100),
            mtu: 1500,
            fragments: true,
        }
    }
}

/// A direction, seen from the host or NAT with the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards the Internet.
    Up,
    /// From the Internet.
    Down,
}

/// The size of a datagram, as a link sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The bytes of the IPv4 packet, headers included.
    pub bytes: usize,
    /// Whether the packet forbids fragments.
    pub dont_fragment: bool,
}

/// The outcome for a datagram on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Passage {
    /// The link is down.
    Down,
    /// Lost by chance.
    Lost,
    /// The queue is full.
    Overflow,
    /// Longer than the MTU, which is given if the datagram forbids fragments: its sender shall know.
    TooLong(Option<u16>),
    /// It arrives.
    Arrives {
        /// When.
        at: Instant,
        /// When a duplicate arrives.
        copy: Option<Instant>,
    },
}

/// The link between a host (or the outside of a NAT) and its network.
#[derive(Clone, Debug)]
pub struct Link {
    /// The current properties.
    pub quality: LinkQuality,
    random: Stream,
    /// The latest arrival so far, in each direction.
    latest: [Instant; 2],
    /// When the last datagram so far has left the sender, in each direction.
    busy: [Instant; 2],
}

impl Link {
    pub(crate) fn new(quality: LinkQuality, random: Stream) -> Self {
        Self {
            quality,
            random,
            latest: [Instant::default(); 2],
            busy: [Instant::default(); 2],
        }
    }

    /// Sends a datagram over the link at `now`.
    pub fn carry(&mut self, now: Instant, direction: Direction, size: Size) -> Passage {
        if !self.quality.up {
            return Passage::Down;
        }
        if size.bytes > usize::from(self.quality.mtu) {
            if size.dont_fragment {
                return Passage::TooLong(Some(self.quality.mtu));
            }
            if !self.quality.fragments {
                return Passage::TooLong(None);
            }
        }
        if self.random.chance(self.quality.loss) {
            return Passage::Lost;
        }
        let duplicated = self.random.chance(self.quality.duplication);
        let Some(sent) = self.transmit(now, direction, size.bytes) else {
            return Passage::Overflow;
        };
        let at = self.arrival(sent, direction);
        let copy = duplicated.then(|| self.arrival(sent, direction));
        Passage::Arrives { at, copy }
    }

    /// When the datagram has left its sender; `None` if it would wait too long.
    fn transmit(&mut self, now: Instant, direction: Direction, bytes: usize) -> Option<Instant> {
        let LinkQuality { rate, queue, .. } = self.quality;
        if rate == 0 {
            return Some(now);
        }
        let busy = &mut self.busy[direction as usize];
        let start = now.max(*busy);
        if start - now > queue {
            return None;
        }
        let nanos = u128::from(bytes as u64) * 1_000_000_000 / u128::from(rate);
        *busy = start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Some(*busy)
    }

    fn arrival(&mut self, now: Instant, direction: Direction) -> Instant {
        let at = now + self.quality.delay + self.random.up_to(self.quality.jitter);
        // Only a link that reorders draws a number for it, so that others behave as they did before.
        if self.quality.overtaken > 0.0 && self.random.chance(self.quality.overtaken) {
            return at + self.quality.lag;
        }
        if self.quality.reorder {
            return at;
        }
        let latest = &mut self.latest[direction as usize];
        *latest = at.max(*latest);
        *latest
    }
}

#[cfg(test)]
mod tests;
