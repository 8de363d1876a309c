//! The queue of things to come.

use std::collections::BTreeMap;

use teredo::Instant;

/// Events in the order of their time, and events of the same instant in the order in which they were pushed.
///
/// The second half is what makes a run repeatable: nothing depends on addresses in memory or on hashing.
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
    /// Lets `event` happen at `at`, after everything that was pushed earlier for the same instant.
    pub fn push(&mut self, at: Instant, event: T) {
        self.entries.insert((at, self.pushed), event);
        self.pushed += 1;
    }

    /// When the next event happens; `None` if nothing is to come.
    pub fn next_time(&self) -> Option<Instant> {
        self.entries.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Takes the next event out if it happens at `limit` or before.
    pub fn pop_due(&mut self, limit: Instant) -> Option<(Instant, T)> {
        let entry = self
            .entries
            .first_entry()
            .filter(|entry| entry.key().0 <= limit)?;
        let ((at, _), event) = entry.remove_entry();
        Some((at, event))
    }

    /// How many events are to come.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is to come.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
