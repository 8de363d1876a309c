//! The life of the mapping, without I/O: the next task, and when.
//!
//! ```text
//!            wanted                      mapped
//!   idle ───────────────> asking ───────────────────> held ──┐ half of the lifetime
//!    ^                    │    ^                      │  ^ <──┘ has passed: renew
//!    │            refused │    │ after a pause,       │  │
//!    │                    v    │ 30 s to an hour      │  └── silent: again, until it has expired
//!    │                   refused <────────────────────┤ lost
//!    │                                                │ not wanted, or another port
//!    └──────── taken back <───────────────────────────┘
//! ```

use std::time::{Duration, Instant};

use crate::ask::LIFETIME;
use crate::mapping::{Mapping, Refusal, Wanted};

/// The first pause after a refusal; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(30);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// The lifetime that counts for the renewal, if the router gives a longer one: it may end the mapping sooner, or restart.
const LONGEST_RENEWED: Duration = Duration::from_secs(LIFETIME as u64);

/// The lifetime that counts for a router that is silent (RFC 6887 §15: a server's longest should be 24 hours).
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// How often a mapping without lifetime is looked after: the router may have lost it.
const PERMANENT: Duration = Duration::from_secs(600);

/// The pause after a renewal without an answer.
const RENEW_AGAIN: Duration = Duration::from_secs(15);

/// So many of these in a row end a mapping without a lifetime.
const MOST_SILENCES: u32 = 4;

/// The shortest time between two looks that others cause.
const CALM: Duration = Duration::from_secs(10);

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Ask for a mapping.
    Ask(Wanted),
    /// Ask for this mapping again.
    Renew(Mapping),
    /// Take this mapping back, unless it is another host's by now.
    Release(Mapping),
}

/// The state as others see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// No mapping is wanted.
    #[default]
    Idle,
    /// The router is being asked.
    Asking,
    /// There is a mapping.
    Mapped(Mapping),
    /// There is none.
    Refused(Refusal),
}

/// Decides what to do next. Time is an argument, and answers are.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    wanted: Option<Wanted>,
    held: Option<Held>,
    /// Taken back before anything else happens.
    leaving: Option<Mapping>,
    /// May exist: the router did not answer the question. It leaves as one that is held does.
    unconfirmed: Option<Mapping>,
    running: Option<Task>,
    refused: Option<Refusal>,
    refusals: u32,
    retry: Option<Instant>,
    looked: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    mapping: Mapping,
    renew: Instant,
    /// None: it does not end by itself.
    expires: Option<Instant>,
    silences: u32,
}

impl Keeper {
    /// A keeper that first takes back what the process before has left (R6081-5.3.3-01).
    #[must_use]
    pub(crate) fn new(left: Option<Mapping>) -> Self {
        Self {
            leaving: left,
            ..Self::default()
        }
    }

    /// Sets the mapping to have; `None` for none. The keeper takes back a mapping that differs.
    pub(crate) fn want(&mut self, wanted: Option<Wanted>) {
        if self.wanted != wanted {
            self.wanted = wanted;
            self.refusals = 0;
            (self.refused, self.retry) = (None, None);
        }
    }

    /// Something has happened that may have ended the mapping, or may bring one. Counts once in ten seconds.
    pub(crate) fn look(&mut self, now: Instant) {
        if self.looked.is_some_and(|at| now < at + CALM) {
            return;
        }
        self.looked = Some(now);
        self.retry = None;
        if let Some(held) = &mut self.held {
            held.renew = now;
        }
    }

    /// The task that is due; none while one is under way.
    pub(crate) fn task(&mut self, now: Instant) -> Option<Task> {
        if self.running.is_some() {
            return None;
        }
        let moved = |mapping: &Mapping| self.wanted != Some(mapping.wanted());
        if self.leaving.is_none() {
            let held = self.held.take_if(|held| moved(&held.mapping));
            let held = held.map(|held| held.mapping);
            self.leaving = held.or_else(|| self.unconfirmed.take_if(|mapping| moved(mapping)));
        }
        self.running = match (self.leaving, &self.held, self.wanted) {
            (Some(mapping), _, _) => Some(Task::Release(mapping)),
            (None, Some(held), _) => (held.renew <= now).then_some(Task::Renew(held.mapping)),
            (None, None, Some(wanted)) => {
                let waits = self.retry.is_some_and(|at| now < at);
                (!waits).then_some(Task::Ask(wanted))
            }
            (None, None, None) => None,
        };
        self.running
    }

    /// The task has ended. The outcome of [`Task::Release`] does not matter: a router that did not answer forgets the
    /// mapping when its lifetime is over.
    pub(crate) fn finish(&mut self, now: Instant, outcome: Result<Mapping, Refusal>) {
        match (self.running.take(), outcome) {
            (None, _) => {}
            (Some(Task::Release(_)), _) => self.leaving = None,
            (Some(Task::Ask(_)), Ok(mapping)) => self.hold(now, mapping),
            (Some(Task::Ask(_)), Err(refusal)) => self.refuse(now, refusal),
            (Some(Task::Renew(before)), Ok(mapping)) => {
                if mapping.epoch < before.epoch {
                    tracing::info!("the router has restarted, and has the mapping again");
                }
                self.hold(now, mapping);
            }
            (Some(Task::Renew(_)), Err(refusal)) => self.not_renewed(now, refusal),
        }
    }

    /// The router did not answer [`Task::Ask`]; it may have made this mapping.
    pub(crate) fn unconfirmed(&mut self, made: Mapping) {
        self.unconfirmed = Some(made);
    }

    /// The task was given up halfway; it may have made this mapping.
    pub(crate) fn abandon(&mut self, made: Option<Mapping>) {
        if let Some(Task::Ask(_)) = self.running.take() {
            self.leaving = made;
        }
    }

    /// When [`task`](Self::task) has something to do, if nothing else happens.
    #[must_use]
    pub(crate) fn timeout(&self) -> Option<Instant> {
        match (&self.held, self.wanted) {
            (Some(held), _) => Some(held.renew),
            (None, Some(_)) => self.retry,
            (None, None) => None,
        }
    }

    /// Whether nothing is left to take back.
    #[must_use]
    pub(crate) fn is_done(&self) -> bool {
        self.wanted.is_none()
            && self.held.is_none()
            && self.leaving.is_none()
            && self.unconfirmed.is_none()
    }

    /// The present state.
    #[must_use]
    pub(crate) fn state(&self) -> State {
        let Some(wanted) = self.wanted else {
            return State::Idle;
        };
        match (&self.held, &self.refused) {
            (Some(held), _) if held.mapping.wanted() == wanted => State::Mapped(held.mapping),
            (None, Some(refusal)) => State::Refused(refusal.clone()),
            _ => State::Asking,
        }
    }

    fn hold(&mut self, now: Instant, mapping: Mapping) {
        self.refusals = 0;
        (self.refused, self.retry, self.unconfirmed) = (None, None, None);
        let lasts = mapping.lasts();
        self.held = Some(Held {
            mapping,
            // RFC 6887 §11.2.1: at half of the lifetime.
            renew: now + lasts.map_or(PERMANENT, |lasts| lasts.min(LONGEST_RENEWED) / 2),
            expires: lasts.map(|lasts| now + lasts.min(LONGEST_LIFETIME)),
            silences: 0,
        });
    }

    /// R6081-5.3.3-03: the client works without a mapping, and the pauses grow.
    fn refuse(&mut self, now: Instant, refusal: Refusal) {
        let doubled = PAUSE * 2_u32.saturating_pow(self.refusals);
        self.refusals = self.refusals.saturating_add(1).min(16);
        self.retry = Some(now + doubled.min(LONGEST_PAUSE));
        self.refused = Some(refusal);
    }

    fn not_renewed(&mut self, now: Instant, refusal: Refusal) {
        let Some(held) = &mut self.held else {
            return;
        };
        held.silences += 1;
        held.renew = now + RENEW_AGAIN;
        let over = match held.expires {
            Some(expires) => expires <= now,
            None => held.silences >= MOST_SILENCES,
        };
        if over || refusal.is_final() {
            let lost = self.held.take().map(|held| held.mapping);
            // Without lifetime it may still be there.
            self.unconfirmed = lost.filter(|_| !refusal.is_final());
            self.refuse(now, refusal);
        }
    }
}

#[cfg(test)]
mod tests;
