//! What a cable, a radio or a whole path does to datagrams.

use std::time::Duration;

use teredo::Instant;

use crate::random::Stream;

/// The qualities of a [`Link`]; they may be changed while datagrams are under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkQuality {
    /// Whether anything passes at all.
    pub up: bool,
    /// How long every datagram takes, one way.
    pub delay: Duration,
    /// How much longer it may take: uniform from zero to this.
    pub jitter: Duration,
    /// Whether jitter may let a datagram overtake an earlier one. Without, a late datagram holds back those
    /// behind it.
    pub reorder: bool,
    /// The probability that a datagram vanishes, from 0 to 1.
    pub loss: f64,
    /// The probability that a datagram arrives twice, from 0 to 1.
    pub duplication: f64,
}

impl LinkQuality {
    /// A faultless link with this delay one way.
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

/// A direction of travel, seen from the host or NAT that the link belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards the Internet.
    Up,
    /// From the Internet.
    Down,
}

/// What a link did with a datagram.
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
        /// When it arrives a second time, if it was duplicated.
        copy: Option<Instant>,
    },
}

/// The way between a host (or the outside of a NAT) and the network that it is attached to.
///
/// A link has no rate and no buffer: it delays, loses and duplicates.
#[derive(Clone, Debug)]
pub struct Link {
    /// How good it is right now.
    pub quality: LinkQuality,
    random: Stream,
    /// The latest arrival so far, upwards and downwards.
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

    /// Puts a datagram on the link at `now`.
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
