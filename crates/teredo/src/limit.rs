//! A token bucket, to limit actions that others can cause.

use std::time::Duration;

use crate::Instant;

/// `burst` actions at once, then one per `interval`.
#[derive(Debug)]
pub(crate) struct RateLimit {
    burst: u32,
    interval: Duration,
    tokens: u32,
    refilled: Instant,
}

impl RateLimit {
    pub(crate) fn new(burst: u32, interval: Duration, now: Instant) -> Self {
        Self {
            burst,
            interval,
            tokens: burst,
            refilled: now,
        }
    }

    /// Takes a token if there is one.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        let gained = (now - self.refilled).as_nanos() / self.interval.as_nanos().max(1);
        if gained >= u128::from(self.burst - self.tokens) {
            self.tokens = self.burst;
            self.refilled = now;
        } else {
            // Less than `burst`, so it fits.
            self.tokens += gained as u32;
            self.refilled += self.interval * gained as u32;
        }
        let allowed = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        allowed
    }
}
