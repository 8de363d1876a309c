//! The token bucket, which limits what others can make a node do.
//!
//! A bucket is a number, the *theoretical arrival time* of the generic cell rate algorithm (ITU-T I.371): the time when
//! it will be full.

use std::time::Duration;

use crate::Instant;

/// A burst of actions, and one per interval in the long run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// The time for one token.
    pub(crate) interval: u64,
    /// The time to fill the bucket.
    pub(crate) depth: u64,
}

impl Rate {
    /// `burst` actions at once, then so many per second, in nanoseconds. Neither is 0.
    pub(crate) const fn per_second(burst: u32, per_second: u32) -> Self {
        let interval = 1_000_000_000 / per_second as u64;
        Self {
            interval,
            depth: interval * burst as u64,
        }
    }

    /// `burst` actions at once, then one in each interval.
    pub(crate) const fn every(burst: u32, interval: Duration) -> Self {
        // Far below 584 years.
        let interval = interval.as_nanos() as u64;
        Self {
            interval,
            depth: interval * burst as u64,
        }
    }

    /// Takes a token from a bucket that will be full at `full_at`, and returns the new time. `None` if less than `kept`
    /// of the depth would be left.
    pub(crate) fn take(self, full_at: u64, now: u64, kept: u64) -> Option<u64> {
        let full_at = full_at.max(now).saturating_add(self.interval);
        (full_at - now <= self.depth.saturating_sub(kept)).then_some(full_at)
    }
}

/// A bucket in nanoseconds, full at first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    full_at: u64,
}

impl Bucket {
    /// Whether no token is missing.
    pub(crate) fn is_full(self, now: Instant) -> bool {
        self.full_at <= now.as_nanos()
    }

    /// Whether there is a token, and `kept` of the depth is left afterwards.
    pub(crate) fn has(self, now: Instant, rate: Rate, kept: u64) -> bool {
        rate.take(self.full_at, now.as_nanos(), kept).is_some()
    }

    /// Takes a token; from an empty bucket, none.
    pub(crate) fn take(&mut self, now: Instant, rate: Rate) {
        let now = now.as_nanos();
        self.full_at = (self.full_at.max(now) + rate.interval).min(now + rate.depth);
    }

    /// Takes a token, unless less than `kept` of the depth would be left.
    pub(crate) fn allow(&mut self, now: Instant, rate: Rate, kept: u64) -> bool {
        let taken = rate.take(self.full_at, now.as_nanos(), kept);
        self.full_at = taken.unwrap_or(self.full_at);
        taken.is_some()
    }

    /// Returns tokens that were taken.
    pub(crate) fn give_back(&mut self, rate: Rate, tokens: u8) {
        self.full_at = self
            .full_at
            .saturating_sub(rate.interval * u64::from(tokens));
    }
}

/// One bucket with its rate.
#[derive(Debug)]
pub(crate) struct RateLimit {
    rate: Rate,
    bucket: Bucket,
}

impl RateLimit {
    /// `burst` actions at once, then one per `interval`.
    pub(crate) fn new(burst: u32, interval: Duration) -> Self {
        Self {
            rate: Rate::every(burst, interval),
            bucket: Bucket::default(),
        }
    }

    /// Takes a token if there is one.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        self.bucket.allow(now, self.rate, 0)
    }
}

#[cfg(test)]
mod tests;
