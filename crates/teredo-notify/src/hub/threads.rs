//! The threads that run callbacks.
//!
//! One thread leads. It waits for news and then runs the callbacks itself, so no thread is woken between the two. The
//! leader of a hub that is published to waits at the run queue; the leader of a mirror waits at its [`Source`], the
//! connection to the hub that it mirrors. Beside it a standby sleeps on an alarm:
//!
//! ```text
//!            news                      none is due
//!   leader ───────> runs callbacks ──────────────────> waits for news
//!                     │ sets the alarm      │ stops it
//!                     v                     v
//!                   ─────────── alarm ───────────
//!                                 │ expires; or fired because a callback is due while the leader is at the source
//!                                 v
//!   standby: does a thread run callbacks?
//!                     │ no: runs what is due          │ yes: was a job taken since the last check?
//!                     v                               │ yes: sets the alarm       │ no
//!                   helper                            v                           v
//!                                                   sleeps                      leads if the leader is stuck,
//!                                                                               helps if it is at the source
//! ```
//!
//! So each change causes one wake-up, the leader's. A callback that blocks delays the others by two checks at most
//! (N-14): its thread loses the lead, and once it returns it runs what is due and stands by, or exits if another thread
//! does. Each stuck callback occupies a thread, up to [`MAX_THREADS`]. Idle threads exit after [`LINGER`].
//!
//! A part of the hub: `hub.rs` owns the lock and the state, and this file the methods that concern threads.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::callbacks::{Callback, Invocation, Job, Key};
use super::sync::{Alarm, MutexGuard, thread};
use super::{Hub, RegisterError, Shared, State};

/// The time between two checks of the standby. It steps in after two checks without progress, so the run queue
/// stalls for 10 ms at most.
const CHECK: Duration = Duration::from_millis(5);
/// How long an idle thread stays.
const LINGER: Duration = Duration::from_secs(1);
/// The most threads of a hub. Once this many callbacks are stuck, further ones wait.
pub const MAX_THREADS: usize = 64;

/// The origin of the states of a hub that mirrors another; see [`Hub::follow`].
pub trait Source: Send + Sync {
    /// Waits for the next state and [relays](Hub::relay) it, or makes one step towards that. False: the source has
    /// ended.
    ///
    /// One thread at a time calls this, but not always the same.
    fn next(&self) -> bool;
}

/// The threads of a hub.
#[derive(Default)]
pub(super) struct Threads {
    total: usize,
    /// Those that wait for the alarm. One is enough.
    standbys: usize,
    /// Those that run callbacks, without the stuck ones.
    running: usize,
    /// Grows each time that the running threads are declared stuck.
    epoch: u64,
    leader: Leader,
    /// Grows with each leader.
    term: u64,
    source: Option<Arc<dyn Source>>,
    alarm: AlarmState,
    /// How many jobs had been taken at the last check.
    seen: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Leader {
    #[default]
    Absent,
    /// Runs callbacks, or is about to look for some.
    Running,
    /// Waits at the run queue.
    Waiting,
    /// Waits at the source.
    AtSource,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum AlarmState {
    #[default]
    Off,
    Set,
    Fired,
}

/// Which threads to wake after a change of the run queue. [`Shared::wake`] does it once the lock is open: a thread
/// that is woken under the lock would wait for it next.
#[derive(Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Wake {
    Nobody,
    Leader,
    Standby,
    Everybody,
}

#[derive(Clone, Copy)]
enum Role {
    Leader { term: u64 },
    Helper,
    Standby,
}

impl Threads {
    #[cfg(test)]
    pub(super) fn total(&self) -> usize {
        self.total
    }

    fn begin_running(&mut self) -> u64 {
        self.running += 1;
        self.epoch
    }

    /// Stands by, or exits if another thread does.
    fn become_standby(&mut self) -> Option<Role> {
        if self.standbys > 0 {
            self.total -= 1;
            return None;
        }
        self.standbys += 1;
        Some(Role::Standby)
    }
}

impl Hub {
    /// Makes this hub a mirror: one of its threads waits at `source` and runs the callbacks that are due in between.
    ///
    /// Another source may replace this one. The same thread then turns to it as soon as this one's [`Source::next`]
    /// returns.
    ///
    /// # Errors
    /// [`RegisterError::Thread`]
    pub fn follow(&self, source: Arc<dyn Source>) -> Result<(), RegisterError> {
        let shared = &self.shared;
        let mut state = self.lock();
        shared
            .ensure_leader(&mut state)
            .map_err(RegisterError::Thread)?;
        state.threads.source = Some(source);
        let wake = match state.threads.leader {
            Leader::Waiting => Wake::Leader,
            _ => Wake::Nobody,
        };
        drop(state);
        shared.wake(wake);
        Ok(())
    }

    /// [Publishes](Hub::publish) a state that the [`Source`] has brought. To be called within [`Source::next`] only:
    /// the same thread runs the callbacks when that returns. Returns the sequence number of the state.
    pub fn relay(&self, port: u16) -> u64 {
        self.announce(port, |_| Wake::Nobody)
    }
}

impl State {
    /// Which thread to wake now that a callback may be due.
    pub(super) fn wake_for_work(&mut self) -> Wake {
        let Self {
            callbacks, threads, ..
        } = self;
        if callbacks.is_idle() {
            return Wake::Nobody;
        }
        match threads.leader {
            Leader::Waiting => {
                // One wake-up is enough.
                threads.leader = Leader::Running;
                Wake::Leader
            }
            // A running thread looks for more, and the alarm is set.
            Leader::Running => Wake::Nobody,
            Leader::AtSource | Leader::Absent
                if threads.running > 0 || threads.alarm == AlarmState::Fired =>
            {
                Wake::Nobody
            }
            Leader::AtSource | Leader::Absent => {
                threads.alarm = AlarmState::Fired;
                Wake::Standby
            }
        }
    }

    /// Lets all threads find out that the last registration has gone, so that they exit.
    fn wake_to_exit(&mut self) -> Wake {
        if self.callbacks.len() > 0 || self.threads.total == 0 {
            return Wake::Nobody;
        }
        self.threads.alarm = AlarmState::Fired;
        Wake::Everybody
    }
}

impl Shared {
    /// Wakes these threads. The lock must be open.
    pub(super) fn wake(&self, wake: Wake) {
        match wake {
            Wake::Nobody => {}
            // All of them: a former leader may still be waiting.
            Wake::Leader => self.work.notify_all(),
            Wake::Standby => self.fire_alarm(),
            Wake::Everybody => {
                self.work.notify_all();
                self.fire_alarm();
            }
        }
    }

    fn fire_alarm(&self) {
        if let Some(alarm) = self.alarm.get() {
            alarm.set(Duration::ZERO);
        }
    }

    /// Starts a leader and a standby if there is none.
    pub(super) fn ensure_threads(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        self.ensure_leader(state)?;
        self.ensure_standby(state)
    }

    fn ensure_leader(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        if state.threads.leader == Leader::Absent {
            let term = state.threads.term + 1;
            self.spawn(state, Role::Leader { term })?;
            state.threads.term = term;
            state.threads.leader = Leader::Running;
        }
        Ok(())
    }

    fn ensure_standby(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        if state.threads.standbys == 0 && state.threads.total < MAX_THREADS {
            self.spawn(state, Role::Standby)?;
            state.threads.standbys += 1;
        }
        Ok(())
    }

    fn spawn(self: &Arc<Self>, state: &mut State, role: Role) -> io::Result<()> {
        if self.alarm.get().is_none() {
            // The state is locked, so no other thread sets it.
            let _ = self.alarm.set(Alarm::new()?);
        }
        let shared = Arc::clone(self);
        let body = move || {
            let mut role = Some(role);
            while let Some(current) = role {
                role = match current {
                    Role::Leader { term } => shared.lead(term),
                    Role::Helper => shared.help(),
                    Role::Standby => shared.stand_by(),
                };
            }
        };
        thread::Builder::new()
            .name("teredo-notify".to_owned())
            .spawn(body)?;
        state.threads.total += 1;
        Ok(())
    }

    /// Returns the next role; none: the thread exits.
    fn lead(self: &Arc<Self>, term: u64) -> Option<Role> {
        let mut state = self.lock();
        loop {
            state = self.run_due(state);
            if state.threads.term != term {
                return state.threads.become_standby();
            }
            let Some(source) = state.threads.source.clone() else {
                let idle = state.callbacks.len() == 0;
                state.threads.leader = Leader::Waiting;
                state = self.wait(&self.work, state, idle.then_some(LINGER));
                if state.threads.term == term {
                    state.threads.leader = Leader::Running;
                    if idle && state.callbacks.len() == 0 && state.threads.source.is_none() {
                        state.threads.leader = Leader::Absent;
                        state.threads.total -= 1;
                        return None;
                    }
                }
                continue;
            };
            state.threads.leader = Leader::AtSource;
            drop(state);
            let goes_on = source.next();
            state = self.lock();
            // No other thread takes the lead from one that is at the source.
            state.threads.leader = Leader::Running;
            if !goes_on {
                state
                    .threads
                    .source
                    .take_if(|current| Arc::ptr_eq(current, &source));
            }
        }
    }

    /// Runs what is due while the leader is at the source.
    fn help(self: &Arc<Self>) -> Option<Role> {
        self.run_due(self.lock()).threads.become_standby()
    }

    /// Sleeps until the alarm goes off, and checks. Returns the next role; none: the thread exits.
    fn stand_by(&self) -> Option<Role> {
        // The alarm exists before the first thread.
        let alarm = self.alarm.get()?;
        let mut state = self.lock();
        loop {
            let idle = state.callbacks.len() == 0;
            drop(state);
            let went_off = alarm.wait(idle.then_some(LINGER));
            state = self.lock();
            if went_off {
                state.threads.alarm = AlarmState::Off;
                if let Some(role) = self.check_progress(&mut state) {
                    state.threads.standbys -= 1;
                    return Some(role);
                }
            } else if idle && state.callbacks.len() == 0 {
                state.threads.standbys -= 1;
                state.threads.total -= 1;
                return None;
            }
        }
    }

    /// Whether the standby has to replace a stuck thread, or help (N-14).
    fn check_progress(&self, state: &mut State) -> Option<Role> {
        let State {
            callbacks, threads, ..
        } = state;
        if threads.running > 0 && threads.seen == callbacks.taken() {
            threads.epoch += 1;
            threads.running = 0;
            if threads.leader == Leader::Running {
                threads.term += 1;
                return Some(Role::Leader { term: threads.term });
            }
        }
        if threads.running > 0 {
            self.set_alarm(state);
            return None;
        }
        (!callbacks.is_idle()).then_some(Role::Helper)
    }

    fn set_alarm(&self, state: &mut State) {
        if let Some(alarm) = self.alarm.get() {
            state.threads.seen = state.callbacks.taken();
            state.threads.alarm = AlarmState::Set;
            alarm.set(CHECK);
        }
    }

    fn stop_alarm(&self, state: &mut State) {
        if let Some(alarm) = self.alarm.get() {
            state.threads.alarm = AlarmState::Off;
            alarm.stop();
        }
    }

    /// Runs callbacks until none is due.
    fn run_due<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let mut epoch = state.threads.begin_running();
        loop {
            let State { callbacks, log, .. } = &mut *state;
            let Some(job) = callbacks.take(log) else {
                break;
            };
            if state.threads.alarm == AlarmState::Off {
                self.set_alarm(&mut state);
            }
            if let Err(error) = self.ensure_standby(&mut state) {
                tracing::error!(%error, "no standby thread for callbacks");
            }
            drop(state);
            state = self.run(job);
            if state.threads.epoch != epoch {
                epoch = state.threads.begin_running();
            }
        }
        state.threads.running -= 1;
        if state.threads.running == 0 && state.threads.alarm == AlarmState::Set {
            self.stop_alarm(&mut state);
        }
        state
    }

    fn run(&self, job: Job) -> MutexGuard<'_, State> {
        let Job {
            key,
            invocation,
            mut callback,
            notification,
        } = job;
        let returned =
            invocation.enter(|| contain("a port-change callback", || callback(notification)));
        let mut state = self.lock();
        let State { callbacks, log, .. } = &mut *state;
        match callbacks.put_back(key, callback, returned, log) {
            None => state,
            Some(callback) => {
                drop(state);
                self.end(key, invocation, Some(callback))
            }
        }
    }

    /// Drops the callback of a cancelled registration, and then the registration.
    pub(super) fn end(
        &self,
        key: Key,
        invocation: Invocation,
        callback: Option<Callback>,
    ) -> MutexGuard<'_, State> {
        // Within the invocation: the drop of what the callback owns may cancel this registration.
        invocation.enter(|| contain("dropping a callback", || drop(callback)));
        let mut state = self.lock();
        state.callbacks.remove(key);
        let (awaited, wake) = (state.callbacks.cancelling > 0, state.wake_to_exit());
        if !awaited && wake == Wake::Nobody {
            return state;
        }
        drop(state);
        if awaited {
            self.finished.notify_all();
        }
        self.wake(wake);
        self.lock()
    }
}

/// Runs foreign code; whether it returned without a panic (N-17).
fn contain(what: &str, body: impl FnOnce()) -> bool {
    let Err(payload) = catch_unwind(AssertUnwindSafe(body)) else {
        return true;
    };
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(message, "{what} has panicked; its registration ends");
    // The payload is foreign too, and may panic when it is dropped.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
    false
}
