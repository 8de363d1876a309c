//! Links: delay, jitter, loss and duplication.

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
    /// The probability that a datagram is lost, from 0 to 1.
    pub loss: f64,
    /// The probability that a datagram is duplicated, from 0 to 1.
    pub duplication: f64,
}

impl LinkQuality {
    /// A link with this delay one way and no faults.
    pub const fn with_delay(delay: Duration) -> Self {
        Self {
            up: true,
            delay,
            jitter: Duration::ZERO,
            reorder: false,
            loss: 0.0,
            duplication: 0.0,
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

/// The outcome for a datagram on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Passage {
    /// The link is down.
    Down,
    /// Lost by chance.
    Lost,
    /// It arrives.
    Arrives {
        /// When.
        at: Instant,
        /// When a duplicate arrives.
        copy: Option<Instant>,
    },
}

/// The link between a host (or the outside of a NAT) and its network. It has no rate and no buffer.
#[derive(Clone, Debug)]
pub struct Link {
    /// The current properties.
    pub quality: LinkQuality,
    random: Stream,
    /// The latest arrival so far, in each direction.
    latest: [Instant; 2],
}

impl Link {
    pub(crate) fn new(quality: LinkQuality, random: Stream) -> Self {
        Self {
            quality,
            random,
            latest: [Instant::default(); 2],
        }
    }

    /// Sends a datagram over the link at `now`.
    pub fn carry(&mut self, now: Instant, direction: Direction) -> Passage {
        if !self.quality.up {
            return Passage::Down;
        }
        if self.random.chance(self.quality.loss) {
            return Passage::Lost;
        }
        let duplicated = self.random.chance(self.quality.duplication);
        let at = self.arrival(now, direction);
        let copy = duplicated.then(|| self.arrival(now, direction));
        Passage::Arrives { at, copy }
    }

    fn arrival(&mut self, now: Instant, direction: Direction) -> Instant {
        let at = now + self.quality.delay + self.random.up_to(self.quality.jitter);
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
