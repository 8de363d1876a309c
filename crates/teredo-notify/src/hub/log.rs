//! The core of delivery, pure: the last states, and each receiver's position in them.
//!
//! Receivers have no queues. The hub keeps the last [`DEPTH`] states once, and a receiver is a [`Cursor`] into them, so
//! a change costs the same memory for one receiver and for ten thousand. A receiver's next notification is computed
//! when it can take it.

use std::collections::VecDeque;

use crate::types::PortChanges;
use crate::{Kind, Notification, RandomPorts, RandomSnapshot, Snapshot};

/// How many states a receiver may lag behind without missing one.
pub(super) const DEPTH: usize = 16;

/// The last states, the current one at the end. Neighbours differ in their port.
#[derive(Debug)]
pub(super) struct Log {
    states: VecDeque<Snapshot>,
    current: Snapshot,
    random: RandomSnapshot,
    changes: PortChanges,
}

/// A receiver's position.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    known: Snapshot,
    confirm: bool,
    /// The number of the random ports that it knows; none: it does not follow them.
    random: Option<u64>,
}

impl Cursor {
    pub(super) fn follows_random(&self) -> bool {
        self.random.is_some()
    }
}

impl Log {
    pub(super) fn new() -> Self {
        let current = Snapshot::default();
        Self {
            states: VecDeque::from([current]),
            current,
            random: RandomSnapshot::default(),
            changes: PortChanges::default(),
        }
    }

    pub(super) fn changes(&self) -> PortChanges {
        self.changes
    }

    pub(super) fn current(&self) -> Snapshot {
        self.current
    }

    /// Appends the state "the port is `port`"; none if it already is (N-13).
    pub(super) fn push(&mut self, port: u16) -> Option<Snapshot> {
        match Kind::of_step(self.current.port, port)? {
            Kind::Add => self.changes.add += 1,
            Kind::Delete => self.changes.delete += 1,
            Kind::Change | Kind::Initial => self.changes.change += 1,
        }
        self.current = Snapshot {
            sequence: self.current.sequence + 1,
            port,
        };
        if self.states.len() == DEPTH {
            self.states.pop_front();
        }
        self.states.push_back(self.current);
        Some(self.current)
    }

    pub(super) fn random(&self) -> RandomSnapshot {
        self.random
    }

    /// "The random ports are these"; false if they already are (N-13).
    pub(super) fn set_random(&mut self, ports: RandomPorts) -> bool {
        let is_new = ports != self.random.ports;
        if is_new {
            self.random = RandomSnapshot {
                sequence: self.random.sequence + 1,
                ports,
            };
        }
        is_new
    }

    /// A receiver that knows the current state. With `initial` it is notified of that first (N-02), else never (N-03).
    pub(super) fn cursor(&self, initial: bool) -> Cursor {
        Cursor {
            known: self.current,
            confirm: initial,
            random: None,
        }
    }

    /// The same of a receiver that follows the random ports.
    pub(super) fn random_cursor(&self, initial: bool) -> Cursor {
        Cursor {
            random: Some(self.random.sequence),
            ..self.cursor(initial)
        }
    }

    /// Whether [`Log::advance`] has a notification.
    pub(super) fn has_news(&self, cursor: &Cursor) -> bool {
        cursor.confirm
            || cursor.known.sequence != self.current.sequence
            || self.has_random_news(cursor)
    }

    fn has_random_news(&self, cursor: &Cursor) -> bool {
        cursor
            .random
            .is_some_and(|known| known != self.random.sequence)
    }

    /// A receiver's next notification.
    ///
    /// State after state, in order (N-01), while the log reaches back far enough; after that straight to the current
    /// state (N-14). One case needs care: the receiver missed states, and the current port is the one that it knows.
    /// It may have asked for the port in between (N-12) and believe in a port that is gone, so it gets the state
    /// before the current one, and then the current one.
    ///
    /// A receiver that follows the random ports gets the current ones along with each state, and the state again if they
    /// alone have changed.
    pub(super) fn advance(&self, cursor: &mut Cursor) -> Option<Notification> {
        if cursor.confirm {
            cursor.confirm = false;
            cursor.random = cursor.random.map(|_| self.random.sequence);
            return Some(Notification {
                kind: Kind::Initial,
                state: cursor.known,
            });
        }
        if cursor.known.sequence == self.current.sequence {
            let has_news = self.has_random_news(cursor);
            cursor.random = cursor.random.map(|_| self.random.sequence);
            return has_news.then_some(Notification {
                kind: Kind::Change,
                state: cursor.known,
            });
        }
        cursor.random = cursor.random.map(|_| self.random.sequence);
        let next = cursor.known.sequence + 1;
        let state = match self.states.iter().find(|state| state.sequence == next) {
            Some(state) => *state,
            None if self.current.port != cursor.known.port => self.current,
            None => self
                .states
                .iter()
                .rev()
                .nth(1)
                .copied()
                .unwrap_or(self.current),
        };
        let known = std::mem::replace(&mut cursor.known, state);
        Some(Notification {
            kind: Kind::of_step(known.port, state.port)?,
            state,
        })
    }
}

#[cfg(test)]
mod tests;
