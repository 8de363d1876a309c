//! The queue of events.

mod wheel;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt;

use teredo::Instant;

use self::wheel::Wheel;

/// Events ordered by time, and in order of insertion at the same instant.
///
/// The second rule makes runs repeatable: nothing depends on memory addresses or hashing.
///
/// It is a hierarchy of timing wheels (Varghese, Lauck: Hashed and Hierarchical Timing Wheels, 1987), so a million
/// pending timers cost no more than a few: only the events of the current millisecond are sorted.
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
pub struct Schedule<T> {
    /// The instant of the last event that was popped.
    now: Instant,
    /// The events of that instant that were scheduled since: they follow those in `near`, and need no sorting.
    immediate: VecDeque<T>,
    /// The events of ticks up to `tick`.
    near: BinaryHeap<Entry<T>>,
    /// Later events. Wheel `n` has those whose tick has the same digits as `tick` above digit `n`, by that digit.
    wheels: [Wheel<Entry<T>>; WHEELS],
    /// The events beyond all wheels.
    far: BTreeMap<(Instant, u64), T>,
    tick: u64,
    pushed: u64,
    len: usize,
}

/// A tick is 2^20 ns, a little more than a millisecond.
const TICK_BITS: u32 = 20;
/// The bits of a digit: a wheel has 256 slots.
const DIGIT_BITS: u32 = 8;
/// The wheels reach 2^24 ticks ahead, which is almost five hours.
const WHEELS: usize = 3;

/// An event; the earliest is the greatest, for the heap.
struct Entry<T> {
    at: Instant,
    order: u64,
    event: T,
}

impl<T> Entry<T> {
    fn key(&self) -> (Instant, u64) {
        (self.at, self.order)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl<T> fmt::Debug for Schedule<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule")
            .field("len", &self.len)
            .field("next", &self.next_time())
            .finish_non_exhaustive()
    }
}

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Self {
            now: Instant::default(),
            immediate: VecDeque::new(),
            near: BinaryHeap::new(),
            wheels: [(); WHEELS].map(|()| Wheel::default()),
            far: BTreeMap::new(),
            tick: 0,
            pushed: 0,
            len: 0,
        }
    }
}

impl<T> Schedule<T> {
    /// Schedules `event` at `at`, after all earlier events of the same instant.
    pub fn push(&mut self, at: Instant, event: T) {
        self.len += 1;
        if at == self.now {
            return self.immediate.push_back(event);
        }
        let order = self.pushed;
        self.pushed += 1;
        self.place(Entry { at, order, event });
    }

    /// The time of the next event; `None` if there is none.
    pub fn next_time(&self) -> Option<Instant> {
        let immediate = (!self.immediate.is_empty()).then_some(self.now);
        let near = self.near.peek().map(|entry| entry.at);
        if let Some(first) = immediate.into_iter().chain(near).min() {
            return Some(first);
        }
        // Each wheel's events are before those of the next, and each slot's before those of the next.
        let slots = (0..).zip(&self.wheels).find_map(|(number, wheel)| {
            let slot = wheel.next_after(digit(self.tick, number))?;
            wheel.slot(slot).iter().map(|entry| entry.at).min()
        });
        slots.or_else(|| self.far.first_key_value().map(|(&(at, _), _)| at))
    }

    /// Removes and returns the next event if it is due by `limit`.
    pub fn pop_due(&mut self, limit: Instant) -> Option<(Instant, T)> {
        // Events in `near` of the same instant were scheduled earlier; those of an earlier one are due anyway.
        if self.now <= limit
            && self.near.peek().is_none_or(|entry| entry.at > self.now)
            && let Some(event) = self.immediate.pop_front()
        {
            self.len -= 1;
            return Some((self.now, event));
        }
        while self.near.is_empty() {
            if !self.advance(tick_of(limit)) {
                return None;
            }
        }
        if self.near.peek()?.at > limit {
            return None;
        }
        let Entry { at, event, .. } = self.near.pop()?;
        self.len -= 1;
        // The past does not come back while events of the present wait.
        if self.immediate.is_empty() {
            self.now = at;
        }
        Some((at, event))
    }

    /// The number of events.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn place(&mut self, entry: Entry<T>) {
        let tick = tick_of(entry.at);
        if tick <= self.tick {
            return self.near.push(entry);
        }
        // The highest digit that differs.
        let number = (u64::BITS - 1 - (tick ^ self.tick).leading_zeros()) / DIGIT_BITS;
        match self.wheels.get_mut(number as usize) {
            Some(wheel) => wheel.push(digit(tick, number), entry),
            None => {
                self.far.insert(entry.key(), entry.event);
            }
        }
    }

    /// Moves `tick` to the next slot with events, at most to `limit`, and places its events anew. Returns whether there
    /// was one.
    fn advance(&mut self, limit: u64) -> bool {
        for number in 0..WHEELS as u32 {
            let wheel = &mut self.wheels[number as usize];
            let Some(slot) = wheel.next_after(digit(self.tick, number)) else {
                continue;
            };
            let below = DIGIT_BITS * number;
            let above = below + DIGIT_BITS;
            let tick = self.tick >> above << above | (slot as u64) << below;
            if tick > limit {
                return false;
            }
            self.tick = tick;
            for entry in wheel.take(slot) {
                self.place(entry);
            }
            return true;
        }
        let Some((&(at, _), _)) = self.far.first_key_value() else {
            return false;
        };
        let bits = DIGIT_BITS * WHEELS as u32;
        let tick = tick_of(at) >> bits << bits;
        if tick > limit {
            return false;
        }
        self.tick = tick;
        while let Some(first) = self.far.first_entry()
            && tick_of(first.key().0) >> bits == tick >> bits
        {
            let ((at, order), event) = first.remove_entry();
            self.place(Entry { at, order, event });
        }
        true
    }
}

fn tick_of(at: Instant) -> u64 {
    at.as_nanos() >> TICK_BITS
}

/// A digit of a tick, of which number 0 is the lowest.
fn digit(tick: u64, number: u32) -> usize {
    (tick >> (DIGIT_BITS * number)) as usize % wheel::SLOTS
}

#[cfg(test)]
mod tests;
