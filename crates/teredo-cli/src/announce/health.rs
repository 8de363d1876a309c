//! Whether a node is well, from the answers to probes. No I/O; time is an argument.
//!
//! ```text
//!            first answer                 3 of 10 late or lost
//!   Dead ─────────────────────> Healthy ───────────────────────> Strained
//!    ^ │                           ^                              │ ^ │
//!    │ │                           └───────── 10 good in a row ───┘ │ │
//!    │ └──────────────────────────────────────── 3 answers in a row ┘ │
//!    └──── 3 lost in a row, or one refused, from either state <───────┘
//! ```
//!
//! The way to the better state is longer than the way to the worse one, so a node at the edge does not flap. One that has
//! died returns as strained: it proves itself before others send it their traffic.

use std::collections::VecDeque;
use std::time::Duration;

use teredo::Instant;

/// So many lost in a row mean that the node is dead.
const DEAD_AFTER: u32 = 3;
/// So many answers in a row mean that it is back.
const BACK_AFTER: u32 = 3;
/// The probes that count for a strained node, and how many of them are late or lost then.
const WINDOW: usize = 10;
const STRAINED_AT: usize = 3;

/// The state of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It has not answered yet, or answers no more.
    Dead,
    /// It answers, but late or not always.
    Strained,
    /// It answers.
    Healthy,
}

/// How often to ask, and when an answer is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// The time between two probes. A probe without an answer until the next one is lost.
    pub(crate) every: Duration,
    pub(crate) late: Duration,
}

/// The outcome of all probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) probes: u64,
    pub(crate) late: u64,
    pub(crate) lost: u64,
    pub(crate) refused: u64,
    /// The time of the last answer.
    pub(crate) took: Option<Duration>,
}

/// The number of a probe.
pub(crate) type Number = u64;

/// Asks at intervals, and judges the answers.
#[derive(Debug)]
pub(crate) struct Watch {
    pace: Pace,
    health: Health,
    /// Whether it has answered ever.
    is_known: bool,
    due: Instant,
    asked: Option<(Number, Instant)>,
    /// Whether each of the last probes was answered in time.
    recent: VecDeque<bool>,
    lost: u32,
    answered: u32,
    tally: Tally,
}

impl Watch {
    /// The first probe is due at once.
    pub(crate) fn new(now: Instant, pace: Pace) -> Self {
        Self {
            pace,
            health: Health::Dead,
            is_known: false,
            due: now,
            asked: None,
            recent: VecDeque::with_capacity(WINDOW),
            lost: 0,
            answered: 0,
            tally: Tally::default(),
        }
    }

    pub(crate) const fn health(&self) -> Health {
        self.health
    }

    pub(crate) const fn tally(&self) -> Tally {
        self.tally
    }

    /// How many of the last probes were late or lost, and how many probes these are.
    pub(crate) fn recent(&self) -> (usize, usize) {
        (self.bad(), self.recent.len())
    }

    /// When to call [`Self::tick`] next.
    pub(crate) const fn due(&self) -> Instant {
        self.due
    }

    /// The next probe, if it is due. One that has no answer by now is lost.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Number> {
        if now < self.due {
            return None;
        }
        if self.asked.take().is_some() {
            self.tally.lost += 1;
            self.lost += 1;
            self.answered = 0;
            self.judge(Some(false));
        }
        // From now on: after a sleep, the probes that were missed are not made up for.
        self.due = now + self.pace.every;
        self.tally.probes += 1;
        self.asked = Some((self.tally.probes, now));
        Some(self.tally.probes)
    }

    /// The node has answered this probe.
    pub(crate) fn answered(&mut self, now: Instant, number: Number) {
        let Some(took) = self.take(number).map(|asked| now - asked) else {
            return;
        };
        let is_late = took > self.pace.late;
        self.tally.took = Some(took);
        self.tally.late += u64::from(is_late);
        self.answered += 1;
        self.lost = 0;
        self.judge(Some(!is_late));
    }

    /// There is no node: this probe was refused, or could not even be sent.
    pub(crate) fn refused(&mut self, number: Number) {
        if self.take(number).is_some() {
            self.tally.refused += 1;
            self.answered = 0;
            self.lost = DEAD_AFTER;
            self.judge(None);
        }
    }

    /// The time at which the probe under way with this number was sent.
    fn take(&mut self, number: Number) -> Option<Instant> {
        let (_, at) = self.asked.take_if(|(asked, _)| *asked == number)?;
        Some(at)
    }

    fn bad(&self) -> usize {
        self.recent.iter().filter(|was_good| !**was_good).count()
    }

    fn judge(&mut self, was_good: Option<bool>) {
        if let Some(was_good) = was_good {
            if self.recent.len() == WINDOW {
                self.recent.pop_front();
            }
            self.recent.push_back(was_good);
        }
        if self.lost >= DEAD_AFTER {
            self.health = Health::Dead;
            self.recent.clear();
            return;
        }
        self.health = match self.health {
            Health::Dead if !self.is_known && self.answered > 0 => {
                self.is_known = true;
                match was_good {
                    Some(true) => Health::Healthy,
                    _ => Health::Strained,
                }
            }
            Health::Dead if self.answered >= BACK_AFTER => Health::Strained,
            Health::Healthy if self.bad() >= STRAINED_AT => Health::Strained,
            Health::Strained if self.recent.len() == WINDOW && self.bad() == 0 => Health::Healthy,
            same => same,
        };
    }
}

#[cfg(test)]
mod tests;
