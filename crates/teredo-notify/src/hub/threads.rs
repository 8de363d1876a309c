//! The threads that run callbacks: who waits, who runs, and who steps in.
//!
//! One thread leads. It waits at the hub's source of news and then runs the callbacks itself, so that nobody is woken
//! between the two. The source of a hub that is published to is its run queue; that of a mirror is the connection to
//! whatever it mirrors ([`Source`]). Beside the leader a standby sleeps on an alarm:
//!
//! ```text
//!            news                      none is due any more
//!   leader ───────> runs callbacks ─────────────────────────> waits at the source
//!                     │ sets the alarm      │ stops it
//!                     v                     v
//!                   ─────────── alarm ───────────
//!                                 │ goes off, or is rung: an initial notification is due, and the leader is away
//!                                 v
//!   standby looks: does anybody run callbacks?
//!                     │ no: runs what is due          │ yes: has one of them taken a job since the last look?
//!                     v                               │ yes: sets the alarm       │ no
//!                   a helper                          v                           v
//!                                                   sleeps                      takes over: leads if the leader is
//!                                                                               stuck, helps if it is at the source
//! ```
//!
//! So a change costs no wake but the leader's. Callbacks that block hold up nobody else for longer than two looks
//! (N-14): who is stuck in one is given up, with its lead and its place at the source; when it is back it runs what is
//! due, and becomes a standby. Each stuck callback costs a thread, up to [`MAX_THREADS`]. Threads that nobody needs go
//! home after [`LINGER`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::callbacks::Job;
use super::sync::{Alarm, MutexGuard, thread};
use super::{Hub, RegisterError, Shared, State};

/// The time between two looks of the standby: after two without an end of any callback, it has stepped in. So the run
/// queue stands still for 10 ms at the most.
const WATCH: Duration = Duration::from_millis(5);
/// How long a thread stays that nobody needs.
const LINGER: Duration = Duration::from_secs(1);
/// The most threads; once so many callbacks are stuck, further ones wait.
pub const MAX_THREADS: usize = 64;

/// Where the states of a hub that mirrors another come from; see [`Hub::follow`].
pub trait Source: Send + Sync {
    /// Waits for the next state and [relays](Hub::relay) it, or does one more step towards that. False: there will be
    /// none any more.
    ///
    /// One thread at a time is in here, but not always the same.
    fn next(&self) -> bool;
}

/// The threads' place in the hub's state.
#[derive(Default)]
pub(super) struct Threads {
    /// All of them.
    threads: usize,
    /// Those that wait for the alarm; one is enough.
    standbys: usize,
    /// Those that run callbacks, without the ones that were given up.
    serving: usize,
    /// Grows when those that run callbacks are given up.
    shift: u64,
    leader: Leader,
    /// Grows with each leader.
    term: u64,
    source: Option<Arc<dyn Source>>,
    bell: Bell,
    /// How many jobs had been taken at the last look.
    seen: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Leader {
    #[default]
    Absent,
    /// Runs callbacks, or is about to look for some.
    Serving,
    /// Waits at the run queue.
    Waiting,
    /// Waits at the source.
    Away,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Bell {
    #[default]
    Silent,
    Set,
    Rung,
}

/// Whom a change of the run queue concerns. To be called once the lock is open: a wake under it would wake somebody
/// who waits for it next.
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
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    fn begin(&mut self) -> u64 {
        self.serving += 1;
        self.shift
    }
}

impl State {
    /// Who has to know that the queue is no longer empty.
    pub(super) fn call(&mut self) -> Wake {
        let Self {
            callbacks, threads, ..
        } = self;
        if callbacks.is_idle() {
            return Wake::Nobody;
        }
        match threads.leader {
            Leader::Waiting => {
                // It need not be woken twice.
                threads.leader = Leader::Serving;
                Wake::Leader
            }
            // Whoever runs callbacks looks for more, and the alarm is set.
            Leader::Serving => Wake::Nobody,
            Leader::Away | Leader::Absent if threads.serving > 0 || threads.bell == Bell::Rung => {
                Wake::Nobody
            }
            Leader::Away | Leader::Absent => {
                threads.bell = Bell::Rung;
                Wake::Standby
            }
        }
    }

    /// Sends the threads home if the last registration has gone.
    pub(super) fn relieve(&mut self) -> Wake {
        if self.callbacks.len() > 0 || self.threads.threads == 0 {
            return Wake::Nobody;
        }
        self.threads.bell = Bell::Rung;
        Wake::Everybody
    }
}

impl Hub {
    /// Makes this hub a mirror: a thread of it waits at `source`, and runs the callbacks that are due in between.
    /// When the source has ended, another may follow.
    ///
    /// # Errors
    /// [`RegisterError::Thread`]
    pub fn follow(&self, source: Arc<dyn Source>) -> Result<(), RegisterError> {
        let shared = &self.shared;
        let mut state = self.lock();
        let term = state.threads.term + 1;
        shared
            .spawn(&mut state, Role::Leader { term })
            .map_err(RegisterError::Thread)?;
        let threads = &mut state.threads;
        // One that waits has to learn that it leads no more.
        let call = match threads.leader {
            Leader::Waiting => Wake::Leader,
            _ => Wake::Nobody,
        };
        threads.term = term;
        threads.leader = Leader::Serving;
        threads.source = Some(source);
        drop(state);
        shared.wake(call);
        Ok(())
    }

    /// [Publishes](Hub::publish) a state that the [`Source`] has brought: from within [`Source::next`], and nowhere
    /// else. The same thread runs the callbacks when it is back from there.
    pub fn relay(&self, port: u16) {
        self.announce(port, |_| Wake::Nobody);
    }
}

impl Shared {
    /// Wakes those who are called. The lock must be open.
    pub(super) fn wake(&self, call: Wake) {
        match call {
            Wake::Nobody => {}
            // All: one that leads no more may be waiting still.
            Wake::Leader => self.work.notify_all(),
            Wake::Standby => self.ring(),
            Wake::Everybody => {
                self.work.notify_all();
                self.ring();
            }
        }
    }

    fn ring(&self) {
        if let Some(alarm) = self.alarm.get() {
            alarm.set(Duration::ZERO);
        }
    }

    /// Sees to it that there is a leader and a standby.
    pub(super) fn staff(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        if state.threads.leader == Leader::Absent && state.threads.source.is_none() {
            let term = state.threads.term + 1;
            self.spawn(state, Role::Leader { term })?;
            state.threads.term = term;
            state.threads.leader = Leader::Serving;
        }
        self.second(state)
    }

    /// Sees to it that there is a standby, unless there are too many threads.
    fn second(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        if state.threads.standbys == 0 && state.threads.threads < MAX_THREADS {
            self.spawn(state, Role::Standby)?;
            state.threads.standbys += 1;
        }
        Ok(())
    }

    fn spawn(self: &Arc<Self>, state: &mut State, role: Role) -> io::Result<()> {
        if self.alarm.get().is_none() {
            // Nobody else sets it: the state is locked.
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
        state.threads.threads += 1;
        Ok(())
    }

    /// Runs callbacks until none is due.
    fn serve<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let mut shift = state.threads.begin();
        while let Some(job) = state.take_job() {
            if state.threads.bell == Bell::Silent {
                self.set_alarm(&mut state);
            }
            if let Err(error) = self.second(&mut state) {
                tracing::error!(%error, "no standby thread for callbacks");
            }
            drop(state);
            state = self.run(job);
            if state.threads.shift != shift {
                shift = state.threads.begin();
            }
        }
        state.threads.serving -= 1;
        if state.threads.serving == 0 && state.threads.bell == Bell::Set {
            self.stop_alarm(&mut state);
        }
        state
    }

    /// The standby will look.
    fn set_alarm(&self, state: &mut State) {
        if let Some(alarm) = self.alarm.get() {
            state.threads.seen = state.callbacks.taken();
            state.threads.bell = Bell::Set;
            alarm.set(WATCH);
        }
    }

    fn stop_alarm(&self, state: &mut State) {
        if let Some(alarm) = self.alarm.get() {
            state.threads.bell = Bell::Silent;
            alarm.stop();
        }
    }

    /// Returns what to be next, none to end.
    fn lead(self: &Arc<Self>, term: u64) -> Option<Role> {
        let mut state = self.lock();
        loop {
            state = self.serve(state);
            if state.threads.term != term {
                return state.threads.retire();
            }
            let Some(source) = state.threads.source.clone() else {
                let idle = state.callbacks.len() == 0;
                state.threads.leader = Leader::Waiting;
                state = self.wait(&self.work, state, idle.then_some(LINGER));
                if state.threads.term == term {
                    state.threads.leader = Leader::Serving;
                    if idle && state.callbacks.len() == 0 {
                        state.threads.leader = Leader::Absent;
                        state.threads.threads -= 1;
                        return None;
                    }
                }
                continue;
            };
            state.threads.leader = Leader::Away;
            drop(state);
            let goes_on = source.next();
            state = self.lock();
            if state.threads.term == term {
                state.threads.leader = Leader::Serving;
                if !goes_on {
                    state.threads.leader = Leader::Absent;
                    state.threads.source = None;
                    state.threads.term += 1;
                }
            }
        }
    }

    /// Runs what is due, while the leader is elsewhere.
    fn help(self: &Arc<Self>) -> Option<Role> {
        self.serve(self.lock()).threads.retire()
    }

    /// Sleeps until the alarm goes, and looks; returns what to be next, none to end.
    fn stand_by(&self) -> Option<Role> {
        // No thread is started before the alarm is there.
        let alarm = self.alarm.get()?;
        let mut state = self.lock();
        loop {
            let spare = state.is_spare();
            drop(state);
            let rang = alarm.wait(spare.then_some(LINGER));
            state = self.lock();
            if rang {
                state.threads.bell = Bell::Silent;
                if let Some(role) = self.look(&mut state) {
                    state.threads.standbys -= 1;
                    return Some(role);
                }
            } else if spare && state.is_spare() {
                state.threads.standbys -= 1;
                state.threads.threads -= 1;
                // Another one may not know that it can go too.
                if state.threads.standbys > 0 {
                    state.threads.bell = Bell::Rung;
                    drop(state);
                    self.ring();
                }
                return None;
            }
        }
    }

    /// Whether somebody is needed in the place of those who are stuck, or elsewhere (N-14).
    fn look(&self, state: &mut State) -> Option<Role> {
        let State {
            callbacks, threads, ..
        } = state;
        if threads.serving > 0 && threads.seen == callbacks.taken() {
            threads.shift += 1;
            threads.serving = 0;
            if threads.leader == Leader::Serving {
                threads.term += 1;
                return Some(Role::Leader { term: threads.term });
            }
        }
        if threads.serving > 0 {
            self.set_alarm(state);
            return None;
        }
        (!callbacks.is_idle()).then_some(Role::Helper)
    }
}

impl State {
    fn take_job(&mut self) -> Option<Job> {
        self.callbacks.take(&self.log)
    }

    /// Whether one standby less will do.
    fn is_spare(&self) -> bool {
        self.callbacks.len() == 0 || self.threads.standbys > 1
    }
}

impl Threads {
    fn retire(&mut self) -> Option<Role> {
        self.standbys += 1;
        Some(Role::Standby)
    }
}
