//! The model checker's primitives, with timeouts that expire, which shuttle lacks.

use std::ops::{Deref, DerefMut};
use std::sync::{
    LockResult, Mutex as Bookkeeping, MutexGuard as Books, PoisonError, TryLockError, TryLockResult,
};
use std::time::Duration;

pub(in crate::hub) use shuttle::sync::atomic::AtomicU64;
pub(in crate::hub) use shuttle::{thread, thread_local};

use shuttle::rand::Rng as _;

/// shuttle's, with a guard that knows its mutex, as [`Condvar`] needs.
pub(in crate::hub) struct Mutex<T>(shuttle::sync::Mutex<T>);

pub(in crate::hub) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    guard: shuttle::sync::MutexGuard<'a, T>,
}

impl<T> Mutex<T> {
    pub(in crate::hub) fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub(in crate::hub) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let held = |guard| MutexGuard { mutex: self, guard };
        match self.0.lock() {
            Ok(guard) => Ok(held(guard)),
            Err(poisoned) => Err(PoisonError::new(held(poisoned.into_inner()))),
        }
    }

    pub(in crate::hub) fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        let held = |guard| MutexGuard { mutex: self, guard };
        match self.0.try_lock() {
            Ok(guard) => Ok(held(guard)),
            Err(TryLockError::WouldBlock) => Err(TryLockError::WouldBlock),
            Err(TryLockError::Poisoned(poisoned)) => {
                Err(PoisonError::new(held(poisoned.into_inner())).into())
            }
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// shuttle's own never times out. Here the scheduler decides how time passes: a timed wait ends when its thread is
/// chosen to go on, notified or not. A wait without a limit ends only with a notification, so a missing notification
/// is a deadlock.
#[derive(Default)]
pub(in crate::hub) struct Condvar {
    // Never held at a point where the scheduler decides.
    waiters: Bookkeeping<Waiters>,
}

#[derive(Default)]
struct Waiters {
    last: u64,
    waiting: Vec<(u64, thread::Thread)>,
}

impl Condvar {
    pub(in crate::hub) fn new() -> Self {
        Self::default()
    }

    pub(in crate::hub) fn wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
    ) -> LockResult<MutexGuard<'a, T>> {
        let (mutex, ticket) = self.enter(guard);
        while self.is_waiting(ticket) {
            thread::park();
        }
        mutex.lock()
    }

    pub(in crate::hub) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, bool)> {
        let (mutex, ticket) = self.enter(guard);
        thread::yield_now();
        let timed_out = self.is_waiting(ticket);
        self.books().waiting.retain(|(waiter, _)| *waiter != ticket);
        match mutex.lock() {
            Ok(guard) => Ok((guard, timed_out)),
            Err(poisoned) => Err(PoisonError::new((poisoned.into_inner(), timed_out))),
        }
    }

    pub(in crate::hub) fn notify_one(&self) {
        thread::sleep(Duration::ZERO);
        let mut books = self.books();
        if books.waiting.is_empty() {
            return;
        }
        let chosen = shuttle::rand::thread_rng().gen_range(0..books.waiting.len());
        let (_, thread) = books.waiting.swap_remove(chosen);
        drop(books);
        thread.unpark();
    }

    pub(in crate::hub) fn notify_all(&self) {
        thread::sleep(Duration::ZERO);
        let waiting = std::mem::take(&mut self.books().waiting);
        for (_, thread) in waiting {
            thread.unpark();
        }
    }

    /// Unlocks and begins to wait. The scheduler decides before the unlock, and not between the two.
    fn enter<'a, T>(&self, guard: MutexGuard<'a, T>) -> (&'a Mutex<T>, u64) {
        let mutex = guard.mutex;
        drop(guard);
        let mut books = self.books();
        books.last += 1;
        let ticket = books.last;
        books.waiting.push((ticket, thread::current()));
        (mutex, ticket)
    }

    fn is_waiting(&self, ticket: u64) -> bool {
        self.books()
            .waiting
            .iter()
            .any(|(waiter, _)| *waiter == ticket)
    }

    fn books(&self) -> Books<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Goes off at any time once it is set.
pub(in crate::hub) struct Alarm {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Alarm {
    #[expect(clippy::unnecessary_wraps, reason = "the other one can fail")]
    pub(in crate::hub) fn new() -> std::io::Result<Self> {
        Ok(Self {
            set: Mutex::new(false),
            changed: Condvar::new(),
        })
    }

    pub(in crate::hub) fn set(&self, _: Duration) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    pub(in crate::hub) fn stop(&self) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    pub(in crate::hub) fn wait(&self, limit: Option<Duration>) -> bool {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        while !*set {
            match limit {
                None => {
                    set = self
                        .changed
                        .wait(set)
                        .unwrap_or_else(PoisonError::into_inner)
                }
                Some(limit) => {
                    let waited = self.changed.wait_timeout(set, limit);
                    (set, _) = waited.unwrap_or_else(PoisonError::into_inner);
                    break;
                }
            }
        }
        std::mem::take(&mut *set)
    }
}
