//! The queue of events.

use std::collections::BTreeMap;

use teredo::Instant;

/// Events ordered by time, and in order of insertion at the same instant.
///
/// The second rule makes runs repeatable: nothing depends on memory addresses or hashing.
///
/// ```
/// use teredo::Instant;
/// use teredo_sim::Schedule;
///
/// let mut schedule = Schedule::default();
/// schedule.push(Instant::from_nanos(2), "later");
/// schedule.push(Instant::from_nanos(1), "first");
/// schedule.push(Instant::from_nanos(1), "second");
///
/// let now = Instant::from_nanos(1);
/// assert_eq!(schedule.pop_due(now), Some((now, "first")));
/// assert_eq!(schedule.pop_due(now), Some((now, "second")));
/// assert_eq!(schedule.pop_due(now), None);
/// assert_eq!(schedule.next_time(), Some(Instant::from_nanos(2)));
/// ```
#[derive(Debug)]
pub struct Schedule<T> {
    entries: BTreeMap<(Instant, u64), T>,
    pushed: u64,
}

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            pushed: 0,
        }
    }
}

impl<T> Schedule<T> {
    /// Schedules `event` at `at`, after all earlier events of the same instant.
    pub fn push(&mut self, at: Instant, event: T) {
        self.entries.insert((at, self.pushed), event);
        self.pushed += 1;
    }

    /// The time of the next event; `None` if there is none.
    pub fn next_time(&self) -> Option<Instant> {
        self.entries.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Removes and returns the next event if it is due by `limit`.
    pub fn pop_due(&mut self, limit: Instant) -> Option<(Instant, T)> {
        let entry = self
            .entries
            .first_entry()
            .filter(|entry| entry.key().0 <= limit)?;
        let ((at, _), event) = entry.remove_entry();
        Some((at, event))
    }

    /// The number of events.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
