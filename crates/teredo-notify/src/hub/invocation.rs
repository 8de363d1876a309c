//! Which callback waits for which, so that callbacks that cancel each other's registrations do not wait
//! for ever. It spans all hubs of the process: one callback may cancel in another hub.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use super::sync::thread_local;

/// One run of a callback. Never used twice, so that an entry about a run that has ended leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Invocation(u64);

// Of the standard library under a model checker too: it outlives a run, and what is done with it is one step.
static NEXT: AtomicU64 = AtomicU64::new(1);
static WAITS: LazyLock<Mutex<HashMap<Invocation, Invocation>>> = LazyLock::new(Mutex::default);

thread_local! {
    static CURRENT: Cell<Option<Invocation>> = const { Cell::new(None) };
}

fn waits() -> MutexGuard<'static, HashMap<Invocation, Invocation>> {
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Invocation {
    pub(super) fn new() -> Self {
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs `body` as this invocation.
    pub(super) fn enter<R>(self, body: impl FnOnce() -> R) -> R {
        let outer = CURRENT.with(|current| current.replace(Some(self)));
        let result = body();
        CURRENT.with(|current| current.set(outer));
        result
    }

    /// Permission for this thread to wait until the invocation has ended; none if that would close a
    /// circle: it is the one that runs on this thread, or it waits for it, directly or through others
    /// (N-07, N-08).
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

/// Waiting is on record while this lives.
#[derive(Debug)]
pub(super) struct Waiting(Option<Invocation>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(waiter) = self.0 {
            waits().remove(&waiter);
        }
    }
}

/// For code that must work in the child of a fork: while this is held, no other thread has the lock that all
/// hubs of the process share. Take it before the fork, and drop it in both processes.
///
/// Hubs themselves are of no use in the child, which has none of their threads.
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
