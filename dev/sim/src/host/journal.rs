//! The output of a host, as far as tests want to see it.

use teredo::Instant;

use super::Stamped;

/// The latest values of a kind, with their times, oldest first.
///
/// It keeps at least as many as its limit, and at most twice as many: to move all of them for each new one would cost
/// more.
#[derive(Clone, Debug)]
pub(crate) struct Journal<T> {
    entries: Vec<Stamped<T>>,
    limit: u32,
}

/// The limit of hosts unless [`World::keep_output`](crate::World::keep_output) sets another.
pub(crate) const KEPT: u32 = 1_000_000;

impl<T> Journal<T> {
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            entries: Vec::new(),
            limit,
        }
    }

    pub(crate) fn entries(&self) -> &[Stamped<T>] {
        &self.entries
    }

    /// Adds a value, which is not even made if none are kept.
    pub(crate) fn note(&mut self, now: Instant, value: impl FnOnce() -> T) {
        if self.limit == 0 {
            return;
        }
        let limit = self.limit as usize;
        if self.entries.len() >= limit.saturating_mul(2) {
            self.entries.drain(..self.entries.len() - limit);
        }
        self.entries.push(Stamped {
            at: now,
            what: value(),
        });
    }

    /// Keeps this many from now on.
    pub(crate) fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
        let surplus = self.entries.len().saturating_sub(limit as usize);
        self.entries.drain(..surplus);
        if limit == 0 {
            self.entries = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests;
