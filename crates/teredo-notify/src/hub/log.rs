//! The core of delivery, pure: the last states, and how far a receiver has got in them.
//!
//! There is no queue for each receiver. The hub keeps the last [`DEPTH`] states once, and a receiver is a
//! [`Cursor`] into them, so that a change costs the same memory for one receiver and for ten thousand.
//! What a receiver is to be told is computed when it can be told.

use std::collections::VecDeque;

use crate::{Kind, Notification, Snapshot};

/// How many states a slow receiver may lag behind and still get every one of them.
pub(super) const DEPTH: usize = 16;

/// The last states, the current one at the end; neighbours always differ in their port.
#[derive(Debug)]
pub(super) struct Log {
    states: VecDeque<Snapshot>,
    current: Snapshot,
}

/// What one receiver knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    known: Snapshot,
    confirm: bool,
}

impl Log {
    pub(super) fn new() -> Self {
        let current = Snapshot::default();
        Self {
            states: VecDeque::from([current]),
            current,
        }
    }

    pub(super) fn current(&self) -> Snapshot {
        self.current
    }

    /// Appends the state "the port is `port`"; none if it already is (N-13).
    pub(super) fn push(&mut self, port: u16) -> Option<Snapshot> {
        if port == self.current.port {
            return None;
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

    /// A receiver that knows the current state, and is told so first if it wants `initial`
    /// (N-02), else never (N-03).
    pub(super) fn cursor(&self, initial: bool) -> Cursor {
        Cursor {
            known: self.current,
            confirm: initial,
        }
    }

    /// Whether [`Log::advance`] would tell something.
    pub(super) fn has_news(&self, cursor: &Cursor) -> bool {
        cursor.confirm || cursor.known.sequence != self.current.sequence
    }

    /// The next thing to tell a receiver.
    ///
    /// State after state, in order (N-01), while the log reaches back far enough; after that straight to the current
    /// state (N-14). One case needs care: the receiver missed states, and the current port is the one
    /// that it was last told of. It may have asked for the port in between (N-12) and believe in a
    /// port that is gone, so it is told of the state before the current one, and then of the current.
    pub(super) fn advance(&self, cursor: &mut Cursor) -> Option<Notification> {
        if cursor.confirm {
            cursor.confirm = false;
            return Some(Notification {
                kind: Kind::Initial,
                state: cursor.known,
            });
        }
        if cursor.known.sequence == self.current.sequence {
            return None;
        }
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
