//! Make before break: no datagram leaves from a port that is not announced and settled.

use std::time::Duration;

use teredo::Instant;

/// Whether datagrams may leave, and if not, what is awaited.
///
/// ```text
///            close()              announced()            poll(): settled, or the deadline passed
///   Open ------------> Closed ------------------> Waiting ------------------------------------> Open
/// ```
#[derive(Debug)]
pub(crate) struct Gate {
    patience: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    Waiting { sequence: u64, deadline: Instant },
}

/// How the wait for the subscribers ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every gating subscriber has confirmed.
    Settled,
    /// One or more have not, and their time is up.
    DeadlineMissed,
}

impl Gate {
    /// A closed gate, whose subscribers have `patience` to settle.
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            patience,
            state: State::Closed,
        }
    }

    /// Whether datagrams may leave.
    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Nothing may leave from here on.
    pub(crate) fn close(&mut self) {
        self.state = State::Closed;
    }

    /// A port was announced under `sequence`; an earlier announcement no longer counts.
    pub(crate) fn announced(&mut self, now: Instant, sequence: u64) {
        self.state = State::Waiting {
            sequence,
            deadline: now + self.patience,
        };
    }

    /// Opens if the awaited announcement is settled, or if its time is up (N-16).
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        is_settled: impl FnOnce(u64) -> bool,
    ) -> Option<Outcome> {
        let State::Waiting { sequence, deadline } = self.state else {
            return None;
        };
        let outcome = if is_settled(sequence) {
            Outcome::Settled
        } else if now >= deadline {
            Outcome::DeadlineMissed
        } else {
            return None;
        };
        self.state = State::Open;
        Some(outcome)
    }

    /// When to poll at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { deadline, .. } => Some(deadline),
            State::Open | State::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests;
