//! When to give a connection up.

use std::time::Duration;

use tokio::time::Instant;

/// The time without success after which a connection is given up. A server that lives answers much sooner.
const FIRST: Duration = Duration::from_secs(5);

/// The longest such time. The library goes on for a while with a connection that is given up (`servers.rs`), so there may be a
/// few at a time.
const LONGEST: Duration = Duration::from_secs(60);

/// The doubt in a connection: it grows with each one that brought nothing.
#[derive(Debug)]
pub(crate) struct Doubt {
    at: Instant,
    pause: Duration,
}

impl Doubt {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            at: now + FIRST,
            pause: FIRST,
        }
    }

    /// When the connection is given up.
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// The connection works.
    pub(crate) fn settle(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// It was given up.
    pub(crate) fn grow(&mut self, now: Instant) {
        self.pause = (self.pause * 2).min(LONGEST);
        self.at = now + self.pause;
    }
}

#[cfg(test)]
mod tests;
