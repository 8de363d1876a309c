//! Whether a watch has stopped without a word.

/// The last comparison of what was delivered with what the servers have.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    /// The entries that had been delivered by then.
    delivered: u64,
    /// The newest entry that the servers had.
    newest: u64,
}

impl Stall {
    /// Whether nothing has come since the last comparison, although the servers had something then. `delivered` counts the
    /// entries, `reached` is the highest number of one; `newest` is what the servers have now, if they tell.
    pub(crate) fn is_one(&mut self, (delivered, reached): (u64, u64), newest: Option<u64>) -> bool {
        let is_one = delivered == self.delivered && reached < self.newest;
        self.delivered = delivered;
        // Once all entries have ended, the one that was the newest is not delivered any more.
        self.newest = newest.unwrap_or_default();
        is_one
    }
}

#[cfg(test)]
mod tests;
