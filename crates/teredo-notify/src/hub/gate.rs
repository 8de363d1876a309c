//! Gates: the subscribers that must have acted on a port before the first datagram leaves from it.
//!
//! A part of the hub: `hub.rs` owns the lock and the state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::gate_change::GateChange;
use super::random::{RandomPart, UNAWARE};
use super::sync::MutexGuard;
use super::{Hub, RegisterError, State};
use crate::Snapshot;
use crate::types::FLEET_BACKEND;

/// How long a gate may take before the client goes on without it (N-16).
pub const SETTLE_DEADLINE: Duration = Duration::from_millis(250);

/// The gates of a hub.
#[derive(Debug)]
pub(super) struct Gates {
    pub(super) entries: BTreeMap<u64, Entry>,
    /// How many gates have each mark, so that the lowest is found without a look at all of them.
    marks: BTreeMap<u64, usize>,
    missed: u64,
    departed: Departed,
    /// How many threads wait in [`Hub::wait_settled`].
    waiting: usize,
    /// The highest sequence that no gate delays.
    mark: watch::Sender<u64>,
}

/// The last gate of each kind, if it has ended and no other one of its kind reports.
#[derive(Debug, Default)]
struct Departed {
    firewall: Option<GateOwner>,
    publisher: Option<GateOwner>,
}

impl Departed {
    fn like(&mut self, report: &GateReport) -> &mut Option<GateOwner> {
        if report.is_of_fleet() {
            &mut self.publisher
        } else {
            &mut self.firewall
        }
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    owner: GateOwner,
    /// The sequence at registration: no state up to that waits for this gate.
    exempt: u64,
    settled: Option<u64>,
    settle_time: Option<Duration>,
    missed: u64,
    missed_last: u64,
    /// Its part in admitting random ports.
    pub(super) random: RandomPart,
    /// Its last report, and when it came.
    report: Option<(GateReport, Instant)>,
}

impl Entry {
    fn mark(&self) -> u64 {
        self.settled
            .map_or(self.exempt, |settled| settled.max(self.exempt))
    }

    pub(super) fn is_of_fleet(&self) -> bool {
        self.report
            .as_ref()
            .is_some_and(|(report, _)| report.is_of_fleet())
    }

    /// Why it opens no random ports; none if it does, or may.
    pub(super) fn random_trouble(&self) -> Option<String> {
        let reported = || self.report.as_ref()?.0.random_trouble.clone();
        if self.random.follows() {
            self.trouble().or_else(reported)
        } else {
            Some(UNAWARE.to_owned())
        }
    }

    /// Whether it has settled the current state, and its confirmation holds.
    pub(super) fn is_in_sync(&self, current: u64) -> bool {
        self.settled == Some(current) && self.trouble().is_none()
    }

    /// When its last report expires.
    pub(super) fn expires(&self) -> Option<Instant> {
        let (report, at) = self.report.as_ref()?;
        at.checked_add(report.valid)
    }

    /// Why its confirmation does not hold; none if it does.
    fn trouble(&self) -> Option<String> {
        let (report, at) = self.report.as_ref()?;
        let silent = at.elapsed();
        if silent > report.valid {
            let seconds = silent.as_secs();
            return Some(format!(
                "it hangs: its last report is {seconds} s old; restart it"
            ));
        }
        report.trouble.clone()
    }
}

/// The owner of a gate, for `teredo status`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GateOwner {
    /// The process, if known.
    pub pid: Option<u32>,
    /// The process' name, if known.
    pub command: Option<String>,
}

/// A gate's report on itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct GateReport {
    /// Why the port is not open, or the tunnel not closed, although the gate has settled; none: all is well.
    pub trouble: Option<String>,
    /// The interfaces from which it drops unsolicited traffic.
    pub protects: Vec<String>,
    /// The program by which it opens the port, in a few words; none: it does so itself.
    pub backend: Option<String>,
    /// Why it opens no random ports; none: it does.
    pub random_trouble: Option<String>,
    /// For how long the report holds. A gate that has not reported again by then hangs.
    pub valid: Duration,
}

impl GateReport {
    /// Whether it is of the publisher of a fleet, which opens no port of this host.
    #[must_use]
    pub fn is_of_fleet(&self) -> bool {
        self.backend.as_deref() == Some(FLEET_BACKEND)
    }
}

/// The state of a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateStatus {
    /// The number to [`Hub::settle`] with.
    pub id: u64,
    /// Its owner.
    pub owner: GateOwner,
    /// The last state that it has settled.
    pub settled: Option<u64>,
    /// Whether that is the current one, and the gate has no trouble.
    pub in_sync: bool,
    /// Why its confirmation does not hold: it has withdrawn it, or hangs.
    pub trouble: Option<String>,
    /// The interfaces that it protects, by its last report.
    pub protects: Vec<String>,
    /// The program by which it opens the port, by its last report.
    pub backend: Option<String>,
    /// Why it opens no random ports; none: it does.
    pub random_trouble: Option<String>,
    /// How long it took to settle, from the announcement.
    pub settle_time: Option<Duration>,
    /// How many announcements it has not settled in time.
    pub missed: u64,
}

/// The result of [`Hub::wait_settled`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Every gate has settled.
    All,
    /// The deadline passed first.
    TimedOut {
        /// The gates that are late.
        missing: Vec<GateStatus>,
    },
}

/// A confirmation was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// The gate has ended, or never existed.
    #[error("there is no gating subscription {0}")]
    UnknownSubscription(u64),
    /// The state has not been announced.
    #[error("sequence {sequence} has not been announced yet: the last one is {current}")]
    NotAnnounced {
        /// The sequence that was to be settled.
        sequence: u64,
        /// The last one announced.
        current: u64,
    },
}

impl Gates {
    pub(super) fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            marks: BTreeMap::new(),
            missed: 0,
            departed: Departed::default(),
            waiting: 0,
            mark: watch::Sender::new(u64::MAX),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn missed(&self) -> u64 {
        self.missed
    }

    pub(super) fn firewall_departed(&self) -> bool {
        self.departed.firewall.is_some()
    }

    pub(super) fn mark(&self) -> watch::Receiver<u64> {
        self.mark.subscribe()
    }

    /// A gate has another mark; none: it is new, or has ended.
    fn move_mark(&mut self, from: Option<u64>, to: Option<u64>) {
        if let Some(to) = to {
            *self.marks.entry(to).or_default() += 1;
        }
        if let Some(from) = from
            && let Some(count) = self.marks.get_mut(&from)
        {
            *count -= 1;
            if *count == 0 {
                self.marks.remove(&from);
            }
        }
        let lowest = self
            .marks
            .first_key_value()
            .map_or(u64::MAX, |(mark, _)| *mark);
        self.mark
            .send_if_modified(|current| std::mem::replace(current, lowest) != lowest);
    }

    fn status(&self, current: Snapshot) -> impl Iterator<Item = GateStatus> {
        self.entries.iter().map(move |(id, entry)| GateStatus {
            id: *id,
            owner: entry.owner.clone(),
            settled: entry.settled,
            in_sync: entry.is_in_sync(current.sequence),
            trouble: entry.trouble(),
            protects: entry
                .report
                .as_ref()
                .map_or_else(Vec::new, |(report, _)| report.protects.clone()),
            backend: entry
                .report
                .as_ref()
                .and_then(|(report, _)| report.backend.clone()),
            random_trouble: entry.random_trouble(),
            settle_time: entry.settle_time,
            missed: entry.missed,
        })
    }
}

/// A gate; it counts until this is dropped.
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

    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// [`Hub::settle`] for this gate.
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
        let mut change = GateChange::Ended;
        if let Some(gone) = state.gates.entries.remove(&self.id) {
            state.gates.move_mark(Some(gone.mark()), None);
            if let Some((report, _)) = gone.report {
                if report.is_of_fleet() {
                    // It kept no packet of this host.
                    change = GateChange::Reported;
                }
                let others = state.gates.entries.values();
                let mut reports = others.filter_map(|other| Some(&other.report.as_ref()?.0));
                if reports.all(|other| other.is_of_fleet() != report.is_of_fleet()) {
                    *state.gates.departed.like(&report) = Some(gone.owner);
                }
            }
        }
        // First: without this gate, its rules may go.
        self.hub.tell_of_gates(state, change);
        self.hub.settled_further(self.hub.lock());
    }
}

/// A hook of [`Hub::on_settle`]; it is removed when this is dropped.
#[derive(Debug)]
#[must_use = "the hook is removed when this is dropped"]
pub struct SettleHook {
    hub: Hub,
    id: u64,
}

impl Drop for SettleHook {
    fn drop(&mut self) {
        let hook = self.hub.lock().settle_hooks.remove(&self.id);
        // The drop of the closure is foreign code and must not run under the lock.
        drop(hook);
    }
}

impl Hub {
    /// Adds a gate. States that were announced before do not wait for it.
    ///
    /// First [register](Hub::register) or [subscribe](Hub::subscribe), so that no announcement waits for a gate that
    /// does not hear of it.
    ///
    /// # Errors
    /// [`RegisterError::Limit`]
    pub fn register_gate(&self, owner: GateOwner) -> Result<GateRegistration, RegisterError> {
        self.add_gate(owner, |_| RandomPart::Unaware)
    }

    /// The same of a gate that also follows the random ports.
    ///
    /// # Errors
    /// [`RegisterError::Limit`]
    pub fn register_random_gate(
        &self,
        owner: GateOwner,
    ) -> Result<GateRegistration, RegisterError> {
        self.add_gate(owner, RandomPart::Admitted)
    }

    fn add_gate(
        &self,
        owner: GateOwner,
        part: impl FnOnce(u64) -> RandomPart,
    ) -> Result<GateRegistration, RegisterError> {
        let mut state = self.lock();
        let id = self.next_id(&mut state)?;
        let exempt = state.log.current().sequence;
        let random = part(state.log.random().sequence);
        state.gates.entries.insert(
            id,
            Entry {
                owner,
                exempt,
                settled: None,
                settle_time: None,
                missed: 0,
                missed_last: 0,
                random,
                report: None,
            },
        );
        state.gates.move_mark(None, Some(exempt));
        self.tell_of_gates(state, GateChange::New);
        Ok(GateRegistration {
            hub: self.clone(),
            id,
        })
    }

    /// The gate `id` reports on itself.
    ///
    /// # Errors
    /// [`SettleError::UnknownSubscription`]
    pub fn report(&self, id: u64, report: GateReport) -> Result<(), SettleError> {
        let mut state = self.lock();
        let entry = state.gates.entries.get_mut(&id);
        let entry = entry.ok_or(SettleError::UnknownSubscription(id))?;
        let before = entry.random_trouble();
        entry.report = Some((report.clone(), Instant::now()));
        let refuses = entry.random_trouble().is_some() && before.is_none();
        *state.gates.departed.like(&report) = None;
        if refuses {
            // A client that waits for this gate need not wait any longer.
            self.settled_further(state);
            state = self.lock();
        }
        self.tell_of_gates(state, GateChange::Reported);
        Ok(())
    }

    /// The gate `id` has acted on every state up to and including `sequence`.
    ///
    /// # Errors
    /// [`SettleError`]; nothing changes then. To settle twice, or an older state, is no error.
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
            let before = entry.mark();
            entry.settled = Some(sequence);
            if sequence == current && sequence > entry.exempt {
                entry.settle_time = Some(took);
            }
            let after = entry.mark();
            state.gates.move_mark(Some(before), Some(after));
        }
        self.settled_further(state);
        if sequence == current {
            self.tell_of_gates(self.lock(), GateChange::Settled);
        }
        Ok(())
    }

    /// Whether every gate has settled `sequence` (N-16). Cheap enough for every packet.
    #[must_use]
    pub fn is_settled(&self, sequence: u64) -> bool {
        *self.shared.mark.borrow() >= sequence
    }

    /// Blocks until [`Hub::is_settled`]. After `timeout` it calls [`Hub::expire`].
    pub fn wait_settled(&self, sequence: u64, timeout: Duration) -> Settled {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.lock();
        while !self.is_settled(sequence) {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                drop(state);
                let missing = self.expire(sequence);
                // The last gate may have settled since.
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

    /// Waits until [`Hub::is_settled`]. Put it under a timeout, and call [`Hub::expire`] when that passes.
    pub async fn settled(&self, sequence: u64) {
        let mut mark = self.shared.mark.clone();
        // An error would mean that the hub is dropped, and this method borrows it.
        let _ = mark.wait_for(|mark| *mark >= sequence).await;
    }

    /// The deadline for `sequence` has passed: logs, counts once for each announcement, and returns the gates that have
    /// not settled it (N-16).
    ///
    /// `sequence` must be the announcement that was waited for. The current one may be newer, and its deadline has not
    /// passed. A sequence that was never announced has no deadline, and no gate has missed it.
    pub fn expire(&self, sequence: u64) -> Vec<GateStatus> {
        let mut state = self.lock();
        let State { gates, log, .. } = &mut *state;
        if sequence > log.current().sequence {
            return Vec::new();
        }
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

    /// How many deadlines were missed, over all gates that ever existed.
    #[must_use]
    pub fn gate_missed(&self) -> u64 {
        self.lock().gates.missed
    }

    /// The gates, oldest first.
    #[must_use]
    pub fn gates(&self) -> Vec<GateStatus> {
        let state = self.lock();
        state.gates.status(state.log.current()).collect()
    }

    /// The last firewall of this host that [reported](Self::report), if it has ended and no other one reports: nobody opens
    /// the port here any more.
    #[must_use]
    pub fn departed_firewall(&self) -> Option<GateOwner> {
        self.lock().gates.departed.firewall.clone()
    }

    /// The last [publisher](GateReport::is_of_fleet) that reported, if it has ended and no other one reports.
    #[must_use]
    pub fn departed_publisher(&self) -> Option<GateOwner> {
        self.lock().gates.departed.publisher.clone()
    }

    /// Calls `hook` whenever a gate has settled, admitted or refused something, or ended, which changes
    /// [`Hub::is_settled`], [`Hub::admission`] and [`Hub::gates`], until the guard is dropped. The hook should wake a
    /// waiter and do no work itself.
    pub fn on_settle(&self, hook: impl Fn() + Send + Sync + 'static) -> SettleHook {
        let mut state = self.lock();
        state.last_id += 1;
        let id = state.last_id;
        state.settle_hooks.insert(id, Arc::new(hook));
        drop(state);
        SettleHook {
            hub: self.clone(),
            id,
        }
    }

    pub(super) fn settled_further(&self, state: MutexGuard<'_, State>) {
        let hooks: Vec<_> = state.settle_hooks.values().map(Arc::clone).collect();
        let awaited = state.gates.waiting > 0;
        drop(state);
        if awaited {
            self.shared.settled.notify_all();
        }
        for hook in hooks {
            hook();
        }
    }
}
