//! When the rules are examined, and whether the result is still about the rules as they are.

use std::time::{Duration, Instant};

/// ```text
///          change               due
///   idle ────────> wanted ────────────> running ──┐ change: wanted again, and the result opens nothing
///     ^                                  │   ^────┘
///     └──────────────────────────────────┘ finish
/// ```
#[derive(Debug)]
pub(super) struct Pace {
    /// Since the last examination began, something has changed.
    wanted: bool,
    running: bool,
    /// No examination begins before.
    earliest: Instant,
}

/// Between two examinations.
const PAUSE: Duration = Duration::from_secs(1);

/// An examination takes at most one part of so many of a processor.
const SHARE: u32 = 25;

/// Before a failed examination is repeated.
const RETRY: Duration = Duration::from_secs(10);

impl Pace {
    /// The first examination is due now.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            wanted: true,
            running: false,
            earliest: now,
        }
    }

    pub(super) fn changed(&mut self) {
        self.wanted = true;
    }

    /// When the next examination is due; none if no change asks for one, or one is running.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.wanted && !self.running).then_some(self.earliest)
    }

    /// Whether an examination begins now.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let begins = self.due().is_some_and(|due| due <= now);
        if begins {
            self.wanted = false;
            self.running = true;
        }
        begins
    }

    /// The examination has ended; returns whether nothing has changed since it began.
    pub(super) fn finish(&mut self, now: Instant, took: Duration, known: bool) -> bool {
        let current = !self.wanted;
        self.running = false;
        let pause = PAUSE.max(took.saturating_mul(SHARE));
        self.earliest = now + if known { pause } else { pause.max(RETRY) };
        self.wanted |= !known;
        current && known
    }
}

#[cfg(test)]
mod tests;
