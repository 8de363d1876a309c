//! The table of callbacks: the registrations, the invocations that are due, and which callback waits for which.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use slab::Slab;

use super::log::{Cursor, Log};
use super::sync::thread_local;
use crate::Notification;

pub(super) type Callback = Box<dyn FnMut(Notification) + Send>;

#[derive(Default)]
pub(super) struct Callbacks {
    /// In one block of memory, because a change visits all of them.
    entries: Slab<Entry>,
    /// Registrations that have a notification due, each at most once.
    queue: VecDeque<Key>,
    taken: u64,
    /// How many threads wait for the end of an invocation.
    pub(super) cancelling: usize,
}

/// The slot of a registration, and its number: slots are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    slot: usize,
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
    pub(super) key: Key,
    pub(super) invocation: Invocation,
    pub(super) callback: Callback,
    pub(super) notification: Notification,
}

/// The result of a cancellation.
pub(super) enum Cancelled {
    /// The registration had ended.
    Nothing,
    /// The callback runs, in this invocation.
    Running(Invocation),
    /// The callback was idle. To drop it is an invocation too: other threads that cancel wait for that.
    Idle(Invocation, Option<Callback>),
}

impl Callbacks {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no callback is due.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many times a registration was taken from the queue.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    pub(super) fn insert(&mut self, id: u64, cursor: Cursor, callback: Callback) -> Key {
        let slot = self.entries.insert(Entry {
            id,
            cursor,
            callback: Some(callback),
            stage: Stage::Idle,
        });
        Key { slot, id }
    }

    /// Queues a registration that has an initial notification due.
    pub(super) fn enqueue(&mut self, key: Key) {
        if let Some(entry) = self.get_mut(key) {
            entry.stage = Stage::Queued;
            self.queue.push_back(key);
        }
    }

    /// Queues every registration that is idle, because there is news.
    pub(super) fn schedule(&mut self) {
        for (slot, entry) in &mut self.entries {
            if entry.stage == Stage::Idle {
                entry.stage = Stage::Queued;
                let id = entry.id;
                self.queue.push_back(Key { slot, id });
            }
        }
    }

    /// The next invocation, if one is due. Its callback is away while it runs, so it cannot run twice (N-01).
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

    /// Takes a callback back after its invocation, which `returned` or panicked. Gives it back if its registration has
    /// ended.
    pub(super) fn put_back(
        &mut self,
        key: Key,
        callback: Callback,
        returned: bool,
        log: &Log,
    ) -> Option<Callback> {
        let Some(entry) = self.get_mut(key).filter(|entry| {
            returned
                && matches!(
                    entry.stage,
                    Stage::Running {
                        cancelled: false,
                        ..
                    }
                )
        }) else {
            return Some(callback);
        };
        entry.callback = Some(callback);
        if log.has_news(&entry.cursor) {
            entry.stage = Stage::Queued;
            self.queue.push_back(key);
        } else {
            entry.stage = Stage::Idle;
        }
        None
    }

    pub(super) fn cancel(&mut self, key: Key) -> Cancelled {
        let Some(entry) = self.get_mut(key) else {
            return Cancelled::Nothing;
        };
        if let Stage::Running {
            invocation,
            cancelled,
        } = &mut entry.stage
        {
            *cancelled = true;
            return Cancelled::Running(*invocation);
        }
        let invocation = Invocation::new();
        let running = Stage::Running {
            invocation,
            cancelled: true,
        };
        let callback = entry.callback.take();
        if std::mem::replace(&mut entry.stage, running) == Stage::Queued {
            self.queue.retain(|queued| *queued != key);
        }
        Cancelled::Idle(invocation, callback)
    }

    pub(super) fn remove(&mut self, key: Key) {
        if self.contains(key) {
            self.entries.remove(key.slot);
        }
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn is_active(&self, key: Key) -> bool {
        self.get(key).is_some_and(|entry| {
            !matches!(
                entry.stage,
                Stage::Running {
                    cancelled: true,
                    ..
                }
            )
        })
    }

    fn get(&self, key: Key) -> Option<&Entry> {
        self.entries
            .get(key.slot)
            .filter(|entry| entry.id == key.id)
    }

    fn get_mut(&mut self, key: Key) -> Option<&mut Entry> {
        self.entries
            .get_mut(key.slot)
            .filter(|entry| entry.id == key.id)
    }
}

/// One run of a callback. A number is never used again, so an entry about a run that has ended leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Invocation(u64);

// The standard library's under a model checker too: they outlive a run, and each use is one step.
static NEXT: AtomicU64 = AtomicU64::new(1);
/// Which invocation waits for which, over all hubs of the process: a callback may cancel in another hub.
static WAITS: LazyLock<Mutex<HashMap<Invocation, Invocation>>> = LazyLock::new(Mutex::default);

thread_local! {
    static CURRENT: Cell<Option<Invocation>> = const { Cell::new(None) };
}

fn waits() -> MutexGuard<'static, HashMap<Invocation, Invocation>> {
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Invocation {
    fn new() -> Self {
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs `body` as this invocation.
    pub(super) fn enter<R>(self, body: impl FnOnce() -> R) -> R {
        let outer = CURRENT.with(|current| current.replace(Some(self)));
        let result = body();
        CURRENT.with(|current| current.set(outer));
        result
    }

    /// Permission for this thread to wait until the invocation has ended. None if that would close a circle: the
    /// invocation runs on this thread, or waits for it, directly or through others (N-07, N-08).
    pub(super) fn wait_for(self) -> Option<Waiting> {
        let Some(waiter) = CURRENT.with(Cell::get) else {
            return Some(Waiting(None));
        };
        let mut waits = waits();
        let mut link = Some(self);
        while let Some(invocation) = link {
            if invocation == waiter {
                return None;
            }
            link = waits.get(&invocation).copied();
        }
        waits.insert(waiter, self);
        Some(Waiting(Some(waiter)))
    }
}

/// The wait is on record while this lives.
#[derive(Debug)]
pub(super) struct Waiting(Option<Invocation>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(waiter) = self.0 {
            waits().remove(&waiter);
        }
    }
}

/// For code that must work in the child of a fork: while this is held, no other thread holds the lock that all hubs
/// of the process share. Take it before the fork, and drop it in both processes.
///
/// Hubs themselves are useless in the child, which has none of their threads.
#[derive(Debug)]
pub struct ForkHold {
    _waits: MutexGuard<'static, HashMap<Invocation, Invocation>>,
}

impl ForkHold {
    /// Waits for the lock, which is held for moments and never while foreign code runs.
    #[must_use]
    pub fn take() -> Self {
        Self { _waits: waits() }
    }
}
