//! Callbacks and the threads that run them.
//!
//! One worker serves all registrations. Beside it a standby sleeps: when something has waited in the run
//! queue for [`STALL`] and nothing has been taken from it in that time, the worker is held up in somebody's
//! callback; the standby becomes a worker then, and another thread the standby. So fast
//! callbacks cost one thread, and each stuck one costs one more, up to [`MAX_THREADS`].

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::log::{Cursor, Log};
use super::sync::{HashMap, MutexGuard, thread};
use super::waits::Invocation;
use super::{Hub, RegisterError, Shared, State};
use crate::Notification;

/// How long the run queue may stand still before another worker steps in.
pub(super) const STALL: Duration = Duration::from_millis(10);
/// How long a thread stays that nobody needs.
const LINGER: Duration = Duration::from_secs(1);
/// The most threads; once so many callbacks are stuck, further ones wait.
pub const MAX_THREADS: usize = 64;

pub(super) type Callback = Box<dyn FnMut(Notification) + Send>;

/// The callbacks' place in the hub's state.
#[derive(Default)]
pub(super) struct Dispatch {
    entries: HashMap<u64, Entry>,
    /// Registrations that have something to be told, each at most once.
    queue: VecDeque<u64>,
    /// How many times something was taken from the queue.
    taken: u64,
    /// Threads, the standby included.
    threads: usize,
    workers: usize,
    /// Workers that wait for work.
    free: usize,
    standby: bool,
    /// The standby knows that the queue is not empty.
    watching: bool,
}

struct Entry {
    cursor: Cursor,
    /// Absent while it runs.
    callback: Option<Callback>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    Queued,
    Running {
        invocation: Invocation,
        cancelled: bool,
    },
}

#[derive(Clone, Copy)]
enum Role {
    Worker,
    Standby,
}

struct Job {
    id: u64,
    invocation: Invocation,
    callback: Callback,
    notification: Notification,
}

impl Dispatch {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Queues everyone who has something to be told.
    pub(super) fn schedule(&mut self) {
        for (id, entry) in &mut self.entries {
            if entry.stage == Stage::Idle {
                entry.stage = Stage::Queued;
                self.queue.push_back(*id);
            }
        }
    }

    /// The next callback to run, and what to tell it. It is away while it runs, so that it cannot run twice (N-01).
    fn take(&mut self, log: &Log) -> Option<Job> {
        while let Some(id) = self.queue.pop_front() {
            self.taken += 1;
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            let Some(notification) = log.advance(&mut entry.cursor) else {
                entry.stage = Stage::Idle;
                continue;
            };
            let Some(callback) = entry.callback.take() else {
                continue;
            };
            let invocation = Invocation::new();
            entry.stage = Stage::Running {
                invocation,
                cancelled: false,
            };
            return Some(Job {
                id,
                invocation,
                callback,
                notification,
            });
        }
        None
    }
}

/// A callback's registration; cancelled when dropped.
#[derive(Debug)]
#[must_use = "the registration is cancelled when this is dropped"]
pub struct Registration {
    hub: Hub,
    id: u64,
}

impl Registration {
    /// Ends the registration; again is no error.
    ///
    /// Blocks until a running invocation of the callback has returned; afterwards none runs or starts, and
    /// the callback has been dropped. Within the callback itself, and where callbacks cancel each other, it
    /// does not wait: the running invocation is the last one.
    pub fn cancel(&self) {
        self.hub.cancel(self.id);
    }

    /// Whether notifications can still come: neither cancelled nor ended by a panic.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.hub
            .lock()
            .dispatch
            .entries
            .get(&self.id)
            .is_some_and(|entry| {
                !matches!(
                    entry.stage,
                    Stage::Running {
                        cancelled: true,
                        ..
                    }
                )
            })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Hub {
    /// Has `callback` called with every change from now on. With `initial`, it is called with
    /// [`Kind::Initial`](crate::Kind::Initial) first, strictly before any change, on another thread,
    /// possibly before this returns.
    ///
    /// One invocation at a time, in order. A callback that blocks holds up nobody else; what it could not be
    /// told of meanwhile may be coalesced, except the last state. A callback that panics ends its
    /// registration.
    ///
    /// # Errors
    /// [`RegisterError`]
    pub fn register(
        &self,
        initial: bool,
        callback: impl FnMut(Notification) + Send + 'static,
    ) -> Result<Registration, RegisterError> {
        let callback: Callback = Box::new(callback);
        let mut state = self.lock();
        let id = self.next_id(&mut state)?;
        self.shared
            .staff(&mut state.dispatch)
            .map_err(RegisterError::Thread)?;
        let cursor = state.log.cursor(initial);
        let stage = if initial { Stage::Queued } else { Stage::Idle };
        state.dispatch.entries.insert(
            id,
            Entry {
                cursor,
                callback: Some(callback),
                stage,
            },
        );
        if initial {
            state.dispatch.queue.push_back(id);
            self.shared.call_up(&state.dispatch);
        }
        drop(state);
        Ok(Registration {
            hub: self.clone(),
            id,
        })
    }

    /// Waits for a running invocation (N-06), unless that waits for this thread (N-07, N-08).
    fn cancel(&self, id: u64) {
        let shared = &*self.shared;
        let mut state = self.lock();
        let dispatch = &mut state.dispatch;
        let Some(entry) = dispatch.entries.get_mut(&id) else {
            return;
        };
        if let Stage::Running {
            invocation,
            cancelled,
        } = &mut entry.stage
        {
            *cancelled = true;
            let invocation = *invocation;
            let Some(_waiting) = invocation.wait_for() else {
                return;
            };
            while state.dispatch.entries.contains_key(&id) {
                state = shared.wait(&shared.finished, state, None);
            }
            return;
        }
        if entry.stage == Stage::Queued {
            dispatch.queue.retain(|queued| *queued != id);
        }
        let callback = entry.callback.take();
        // The drop is an invocation too: whoever else cancels waits for it, and so does the callback that cancels here.
        let invocation = Invocation::new();
        entry.stage = Stage::Running {
            invocation,
            cancelled: true,
        };
        let _waiting = invocation.wait_for();
        drop(state);
        drop(shared.end(id, invocation, callback));
    }
}

impl Shared {
    /// Sees to it that there is a worker and a standby.
    fn staff(self: &Arc<Self>, dispatch: &mut Dispatch) -> io::Result<()> {
        if dispatch.workers == 0 {
            self.spawn(Role::Worker)?;
            dispatch.threads += 1;
            dispatch.workers += 1;
        }
        if !dispatch.standby && dispatch.threads < MAX_THREADS {
            self.spawn(Role::Standby)?;
            dispatch.threads += 1;
            dispatch.standby = true;
        }
        Ok(())
    }

    fn spawn(self: &Arc<Self>, role: Role) -> io::Result<()> {
        let shared = Arc::clone(self);
        let body = move || {
            let mut role = Some(role);
            while let Some(current) = role {
                role = match current {
                    Role::Worker => shared.work(),
                    Role::Standby => shared.stand_by(),
                };
            }
        };
        thread::Builder::new()
            .name("teredo-notify".to_owned())
            .spawn(body)?;
        Ok(())
    }

    /// There is something in the queue.
    pub(super) fn call_up(&self, dispatch: &Dispatch) {
        for _ in 0..dispatch.free.min(dispatch.queue.len()) {
            self.work.notify_one();
        }
        if !dispatch.watching && !dispatch.queue.is_empty() {
            self.stall.notify_one();
        }
    }

    /// Sends the threads home when the last registration has gone.
    fn relieve(&self, dispatch: &Dispatch) {
        if dispatch.entries.is_empty() {
            self.work.notify_all();
            self.stall.notify_all();
        }
    }

    /// Runs callbacks; returns what to be next, none to end.
    fn work(self: &Arc<Self>) -> Option<Role> {
        let mut state = self.lock();
        loop {
            let State { dispatch, log, .. } = &mut *state;
            if let Some(job) = dispatch.take(log) {
                self.call_up(dispatch);
                if let Err(error) = self.staff(dispatch) {
                    tracing::error!(%error, "no standby thread for callbacks");
                }
                drop(state);
                state = self.run(job);
                continue;
            }
            let spare = dispatch.free > 0 || dispatch.entries.is_empty();
            dispatch.free += 1;
            state = self.wait(&self.work, state, spare.then_some(LINGER));
            let dispatch = &mut state.dispatch;
            dispatch.free -= 1;
            let needed =
                !dispatch.queue.is_empty() || (dispatch.free == 0 && !dispatch.entries.is_empty());
            if spare && !needed {
                dispatch.workers -= 1;
                // There is none if so many callbacks were stuck that it had to step in as the last one.
                if !dispatch.standby && !dispatch.entries.is_empty() {
                    dispatch.standby = true;
                    return Some(Role::Standby);
                }
                dispatch.threads -= 1;
                return None;
            }
        }
    }

    fn run(&self, job: Job) -> MutexGuard<'_, State> {
        let Job {
            id,
            invocation,
            mut callback,
            notification,
        } = job;
        let returned =
            invocation.enter(|| contain("a port-change callback", || callback(notification)));

        let mut state = self.lock();
        let State { dispatch, log, .. } = &mut *state;
        let entry = dispatch.entries.get_mut(&id);
        if returned
            && let Some(entry) = entry
            && let Stage::Running {
                cancelled: false, ..
            } = entry.stage
        {
            entry.callback = Some(callback);
            if log.has_news(&entry.cursor) {
                entry.stage = Stage::Queued;
                dispatch.queue.push_back(id);
            } else {
                entry.stage = Stage::Idle;
            }
            return state;
        }
        drop(state);
        self.end(id, invocation, Some(callback))
    }

    /// Drops the callback of a cancelled registration, and then the registration.
    fn end(
        &self,
        id: u64,
        invocation: Invocation,
        callback: Option<Callback>,
    ) -> MutexGuard<'_, State> {
        // As the invocation: what the callback owns may cancel this registration as it is dropped.
        invocation.enter(|| contain("dropping a callback", || drop(callback)));
        let mut state = self.lock();
        state.dispatch.entries.remove(&id);
        self.finished.notify_all();
        self.relieve(&state.dispatch);
        state
    }

    /// Sees to it that the queue moves, whoever is stuck (N-14); returns what to be next, none to end.
    fn stand_by(&self) -> Option<Role> {
        let mut state = self.lock();
        loop {
            let idle = state.dispatch.entries.is_empty();
            if state.dispatch.queue.is_empty() {
                state = self.wait(&self.stall, state, idle.then_some(LINGER));
                if idle && state.dispatch.entries.is_empty() {
                    state.dispatch.standby = false;
                    state.dispatch.threads -= 1;
                    return None;
                }
                continue;
            }
            let taken = state.dispatch.taken;
            state.dispatch.watching = true;
            let waited = self.stall.wait_timeout_while(state, STALL, |state| {
                state.dispatch.taken == taken && !state.dispatch.queue.is_empty()
            });
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let dispatch = &mut state.dispatch;
            dispatch.watching = false;
            if dispatch.taken == taken && !dispatch.queue.is_empty() {
                dispatch.standby = false;
                dispatch.workers += 1;
                return Some(Role::Worker);
            }
        }
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
    // The payload is foreign too, and may panic as it is dropped.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
    false
}
