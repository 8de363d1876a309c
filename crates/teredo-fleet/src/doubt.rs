//! When to give a connection up.

use std::time::Duration;

use tokio::time::Instant;

/// The time without success after which a connection is given up. A server that lives answers much sooner.
const FIRST: Duration = Duration::from_secs(5);

/// So many connections are given up after that time each. A server that has just come back takes a connection and answers
/// nothing, and with two of them a lease would be over.
const SOON: u32 = 3;

/// The time after which the next ones are given up: the first one after an outage must not take a lease of 15 s. The library
/// goes on for a while with a connection that is given up (`servers.rs`), so there may be a few at a time.
const LATER: Duration = Duration::from_secs(10);

/// The doubt in a connection: it grows with each one that brought nothing.
#[derive(Debug)]
pub(crate) struct Doubt {
    at: Instant,
    given_up: u32,
}

impl Doubt {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            at: now + FIRST,
            given_up: 0,
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
        self.given_up = self.given_up.saturating_add(1);
        self.at = now + if self.given_up < SOON { FIRST } else { LATER };
    }
}

#[cfg(test)]
mod tests;
