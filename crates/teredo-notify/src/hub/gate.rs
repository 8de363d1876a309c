//! Gating subscribers: those that must have acted on a port before the first datagram leaves from it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::sync::MutexGuard;
use super::{Hub, RegisterError, State};
use crate::Snapshot;

/// How long a gating subscriber may take before the client goes on without it (N-16).
pub const SETTLE_DEADLINE: Duration = Duration::from_millis(250);

/// The place of the gating subscribers in the hub's state.
#[derive(Debug)]
pub(super) struct Gates {
    entries: BTreeMap<u64, Entry>,
    missed: u64,
    /// How many threads wait in [`Hub::wait_settled`].
    waiting: usize,
    /// The highest sequence that no subscriber holds up.
    mark: watch::Sender<u64>,
}

#[derive(Debug)]
struct Entry {
    owner: GateOwner,
    /// What was current at registration: nothing up to that waits for this subscriber.
    exempt: u64,
    settled: Option<u64>,
    settle_time: Option<Duration>,
    missed: u64,
    missed_last: u64,
}

impl Entry {
    fn mark(&self) -> u64 {
        self.settled
            .map_or(self.exempt, |settled| settled.max(self.exempt))
    }
}

/// Who a gating subscriber is, for `teredo status`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GateOwner {
    /// The process, where known.
    pub pid: Option<u32>,
    /// The process' name, where known.
    pub command: Option<String>,
}

/// How a gating subscriber stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateStatus {
    /// The number to [`Hub::settle`] with.
    pub id: u64,
    /// Who it is.
    pub owner: GateOwner,
    /// The last state that it has confirmed.
    pub settled: Option<u64>,
    /// Whether that is the current one.
    pub in_sync: bool,
    /// How long the last confirmation took, from the announcement.
    pub settle_time: Option<Duration>,
    /// How many announcements it has not confirmed in time.
    pub missed: u64,
}

/// What [`Hub::wait_settled`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Every gating subscriber has acted.
    All,
    /// The deadline passed first.
    TimedOut {
        /// Those that are late.
        missing: Vec<GateStatus>,
    },
}

/// A confirmation was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// It has ended, or never was.
    #[error("there is no gating subscription {0}")]
    UnknownSubscription(u64),
    /// Nobody can have acted on what has not been announced.
    #[error("sequence {sequence} has not been announced yet: the last one is {current}")]
    NotAnnounced {
        /// The one confirmed.
        sequence: u64,
        /// The one current.
        current: u64,
    },
}

impl Gates {
    pub(super) fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            missed: 0,
            waiting: 0,
            mark: watch::Sender::new(u64::MAX),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn mark(&self) -> watch::Receiver<u64> {
        self.mark.subscribe()
    }

    /// Brings the mark up to date; whether it has changed.
    fn update(&self) -> bool {
        let mark = self
            .entries
            .values()
            .map(Entry::mark)
            .min()
            .unwrap_or(u64::MAX);
        self.mark
            .send_if_modified(|current| std::mem::replace(current, mark) != mark)
    }

    fn status(&self, current: Snapshot) -> impl Iterator<Item = GateStatus> {
        self.entries.iter().map(move |(id, entry)| GateStatus {
            id: *id,
            owner: entry.owner.clone(),
            settled: entry.settled,
            in_sync: entry.settled == Some(current.sequence),
            settle_time: entry.settle_time,
            missed: entry.missed,
        })
    }
}

/// A gating subscriber; it counts until this is dropped.
#[derive(Debug)]
#[must_use = "the gate ends when this is dropped"]
pub struct GateRegistration {
    hub: Hub,
    id: u64,
}

impl GateRegistration {
    /// The number to [`Hub::settle`] with.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// [`Hub::settle`] for this subscriber.
    ///
    /// # Errors
    /// [`SettleError::NotAnnounced`]
    pub fn settle(&self, sequence: u64) -> Result<(), SettleError> {
        self.hub.settle(self.id, sequence)
    }
}

impl Drop for GateRegistration {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        state.gates.entries.remove(&self.id);
        self.hub.settled_further(state);
    }
}

impl Hub {
    /// Adds a gating subscriber. What is announced already does not wait for it.
    ///
    /// Have the means to learn of changes first ([`Hub::register`], [`Hub::subscribe`]): then no
    /// announcement waits for a subscriber that does not hear of it.
    ///
    /// # Errors
    /// [`RegisterError::Limit`]
    pub fn register_gate(&self, owner: GateOwner) -> Result<GateRegistration, RegisterError> {
        let mut state = self.lock();
        let id = self.next_id(&mut state)?;
        let exempt = state.log.current().sequence;
        state.gates.entries.insert(
            id,
            Entry {
                owner,
                exempt,
                settled: None,
                settle_time: None,
                missed: 0,
                missed_last: 0,
            },
        );
        state.gates.update();
        drop(state);
        Ok(GateRegistration {
            hub: self.clone(),
            id,
        })
    }

    /// A gating subscriber confirms that it has acted on every state up to and including `sequence`.
    ///
    /// # Errors
    /// [`SettleError`]; nothing changes then. Confirming twice, or an older state, is no error.
    pub fn settle(&self, id: u64, sequence: u64) -> Result<(), SettleError> {
        let mut state = self.lock();
        let current = state.log.current().sequence;
        let took = state.announced_at.elapsed();
        let entry = state
            .gates
            .entries
            .get_mut(&id)
            .ok_or(SettleError::UnknownSubscription(id))?;
        if sequence > current {
            return Err(SettleError::NotAnnounced { sequence, current });
        }
        if entry.settled.is_none_or(|settled| settled < sequence) {
            entry.settled = Some(sequence);
            if sequence == current && sequence > entry.exempt {
                entry.settle_time = Some(took);
            }
        }
        self.settled_further(state);
        Ok(())
    }

    /// Whether every gating subscriber has acted on `sequence` (N-16). Cheap enough to ask before each packet.
    #[must_use]
    pub fn is_settled(&self, sequence: u64) -> bool {
        *self.shared.mark.borrow() >= sequence
    }

    /// Blocks until [`Hub::is_settled`], or `timeout` has passed; then it does [`Hub::expire`].
    pub fn wait_settled(&self, sequence: u64, timeout: Duration) -> Settled {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.lock();
        while !self.is_settled(sequence) {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                drop(state);
                let missing = self.expire(sequence);
                // The last one may have settled since.
                return if missing.is_empty() {
                    Settled::All
                } else {
                    Settled::TimedOut { missing }
                };
            }
            state.gates.waiting += 1;
            state = self.shared.wait(&self.shared.settled, state, left);
            state.gates.waiting -= 1;
        }
        Settled::All
    }

    /// Waits until [`Hub::is_settled`]; for use under a timeout, with [`Hub::expire`] when it strikes.
    pub async fn settled(&self, sequence: u64) {
        let mut mark = self.shared.mark.clone();
        // An error would mean that the hub has gone, and this method borrows it.
        let _ = mark.wait_for(|mark| *mark >= sequence).await;
    }

    /// The deadline for `sequence` has passed: those who have not confirmed it are logged, counted once
    /// for each announcement, and returned (N-16).
    pub fn expire(&self, sequence: u64) -> Vec<GateStatus> {
        let mut state = self.lock();
        let State { gates, log, .. } = &mut *state;
        for (id, entry) in &mut gates.entries {
            if entry.mark() < sequence && entry.missed_last < sequence {
                entry.missed_last = sequence;
                entry.missed += 1;
                gates.missed += 1;
                tracing::warn!(
                    subscription = id,
                    pid = entry.owner.pid,
                    command = entry.owner.command,
                    sequence,
                    "a gating subscriber has not confirmed the port in time; going on without it"
                );
            }
        }
        let late = |id: u64| {
            gates
                .entries
                .get(&id)
                .is_some_and(|entry| entry.mark() < sequence)
        };
        gates
            .status(log.current())
            .filter(|gate| late(gate.id))
            .collect()
    }

    /// How many confirmations have not come in time, over all subscribers that ever were.
    #[must_use]
    pub fn gate_missed(&self) -> u64 {
        self.lock().gates.missed
    }

    /// The gating subscribers, in the order in which they came.
    #[must_use]
    pub fn gates(&self) -> Vec<GateStatus> {
        let state = self.lock();
        state.gates.status(state.log.current()).collect()
    }

    /// Has `hook` called whenever a gating subscriber has confirmed something or has gone, so that
    /// [`Hub::is_settled`] and [`Hub::gates`] may tell something new; it is to wake whoever waits for that, not to
    /// do work. It stays for the life of the hub.
    pub fn on_settle(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.lock().settle_hooks.push(std::sync::Arc::new(hook));
    }

    fn settled_further(&self, state: MutexGuard<'_, State>) {
        state.gates.update();
        let (hooks, awaited) = (state.settle_hooks.clone(), state.gates.waiting > 0);
        drop(state);
        if awaited {
            self.shared.settled.notify_all();
        }
        for hook in hooks {
            hook();
        }
    }
}
