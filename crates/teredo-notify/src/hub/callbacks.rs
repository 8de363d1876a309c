//! Callbacks: who is registered, what each is to be told, and what running and cancelling one means. The threads that
//! run them are the [threads](super::threads)'s.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use slab::Slab;

use super::invocation::Invocation;
use super::log::{Cursor, Log};
use super::sync::MutexGuard;
use super::threads::Wake;
use super::{Hub, RegisterError, Shared, State};
use crate::Notification;

pub(super) type Callback = Box<dyn FnMut(Notification) + Send>;

/// The callbacks' place in the hub's state.
#[derive(Default)]
pub(super) struct Callbacks {
    /// Side by side, because a change visits them all.
    entries: Slab<Entry>,
    /// Registrations that have something to be told, each at most once.
    queue: VecDeque<Key>,
    /// How many times something was taken from the queue.
    taken: u64,
    /// How many threads wait for the end of an invocation.
    cancelling: usize,
}

/// Where a registration is, and which: the place is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    place: usize,
    id: u64,
}

struct Entry {
    id: u64,
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

/// An invocation that is due.
pub(super) struct Job {
    key: Key,
    invocation: Invocation,
    callback: Callback,
    notification: Notification,
}

impl Callbacks {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody is to be called.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many times something was taken from the queue.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Queues everyone who has something to be told.
    pub(super) fn schedule(&mut self) {
        for (place, entry) in &mut self.entries {
            if entry.stage == Stage::Idle {
                entry.stage = Stage::Queued;
                let id = entry.id;
                self.queue.push_back(Key { place, id });
            }
        }
    }

    fn get(&self, key: Key) -> Option<&Entry> {
        self.entries
            .get(key.place)
            .filter(|entry| entry.id == key.id)
    }

    fn get_mut(&mut self, key: Key) -> Option<&mut Entry> {
        self.entries
            .get_mut(key.place)
            .filter(|entry| entry.id == key.id)
    }

    /// The next invocation, if one is due. Its callback is away while it runs, so that it cannot run twice (N-01).
    pub(super) fn take(&mut self, log: &Log) -> Option<Job> {
        while let Some(key) = self.queue.pop_front() {
            self.taken += 1;
            let Some(entry) = self.get_mut(key) else {
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
                key,
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
    key: Key,
}

impl Registration {
    /// Ends the registration; again is no error.
    ///
    /// Blocks until a running invocation of the callback has returned; afterwards none runs or starts, and
    /// the callback has been dropped. Within the callback itself, and where callbacks cancel each other, it
    /// does not wait: the running invocation is the last one.
    pub fn cancel(&self) {
        self.hub.cancel(self.key);
    }

    /// Whether notifications can still come: neither cancelled nor ended by a panic.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.hub
            .lock()
            .callbacks
            .get(self.key)
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
            .staff(&mut state)
            .map_err(RegisterError::Thread)?;
        let cursor = state.log.cursor(initial);
        let stage = if initial { Stage::Queued } else { Stage::Idle };
        let place = state.callbacks.entries.insert(Entry {
            id,
            cursor,
            callback: Some(callback),
            stage,
        });
        let key = Key { place, id };
        let mut call = Wake::Nobody;
        if initial {
            state.callbacks.queue.push_back(key);
            call = state.call();
        }
        drop(state);
        self.shared.wake(call);
        Ok(Registration {
            hub: self.clone(),
            key,
        })
    }

    /// Waits for a running invocation (N-06), unless that waits for this thread (N-07, N-08).
    fn cancel(&self, key: Key) {
        let shared = &*self.shared;
        let mut state = self.lock();
        let callbacks = &mut state.callbacks;
        let Some(entry) = callbacks.get_mut(key) else {
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
            state.callbacks.cancelling += 1;
            while state.callbacks.get(key).is_some() {
                state = shared.wait(&shared.finished, state, None);
            }
            state.callbacks.cancelling -= 1;
            return;
        }
        let callback = entry.callback.take();
        let queued = entry.stage == Stage::Queued;
        // The drop is an invocation too: whoever else cancels waits for it, and so does the callback that cancels here.
        let invocation = Invocation::new();
        entry.stage = Stage::Running {
            invocation,
            cancelled: true,
        };
        if queued {
            callbacks.queue.retain(|queued| *queued != key);
        }
        let _waiting = invocation.wait_for();
        drop(state);
        drop(shared.end(key, invocation, callback));
    }
}

impl Shared {
    /// Invokes a callback.
    pub(super) fn run(&self, job: Job) -> MutexGuard<'_, State> {
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
        let entry = callbacks.get_mut(key);
        if returned
            && let Some(entry) = entry
            && let Stage::Running {
                cancelled: false, ..
            } = entry.stage
        {
            entry.callback = Some(callback);
            if log.has_news(&entry.cursor) {
                entry.stage = Stage::Queued;
                callbacks.queue.push_back(key);
            } else {
                entry.stage = Stage::Idle;
            }
            return state;
        }
        drop(state);
        self.end(key, invocation, Some(callback))
    }

    /// Drops the callback of a cancelled registration, and then the registration.
    fn end(
        &self,
        key: Key,
        invocation: Invocation,
        callback: Option<Callback>,
    ) -> MutexGuard<'_, State> {
        // As the invocation: what the callback owns may cancel this registration as it is dropped.
        invocation.enter(|| contain("dropping a callback", || drop(callback)));
        let mut state = self.lock();
        if state.callbacks.get(key).is_some() {
            state.callbacks.entries.remove(key.place);
        }
        let (awaited, call) = (state.callbacks.cancelling > 0, state.relieve());
        if !awaited && call == Wake::Nobody {
            return state;
        }
        drop(state);
        if awaited {
            self.finished.notify_all();
        }
        self.wake(call);
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
    // The payload is foreign too, and may panic as it is dropped.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
    false
}
