//! The hub: the client publishes its port here, and everyone else learns of it. No sockets.
//!
//! ```
//! use std::sync::mpsc;
//! use teredo_notify::{Kind, hub::Hub};
//!
//! let hub = Hub::new();
//! let (told, heard) = mpsc::channel();
//! let registration = hub.register(true, move |n| told.send((n.kind, n.state.port)).unwrap())?;
//! hub.publish(40_123);
//! hub.publish(0);
//! assert_eq!(heard.iter().take(3).collect::<Vec<_>>(), [
//!     (Kind::Initial, 0),
//!     (Kind::Add, 40_123),
//!     (Kind::Delete, 0),
//! ]);
//! registration.cancel();
//! # Ok::<(), teredo_notify::hub::RegisterError>(())
//! ```
//!
//! # Who does the work
//!
//! On the way of a change no thread is woken but the one that waits for it:
//!
//! ```text
//!  the client's process                                another process
//!
//!  Hub::publish ──> Outlet ──> its Sink ─ ─ socket ─ ─> Source::next ──> Hub::relay ──> callbacks
//!       │           the thread that publishes           one thread, which leads
//!       └──> the leader ──> callbacks
//! ```
//!
//! - A callback runs on the thread that waited for the news: at the run queue of a hub that is published to, or at
//!   the [`Source`] of one that mirrors another. That thread leads. A standby takes its place when a callback blocks.
//! - A [`Feed`] is asked by whoever has it. In an [`Outlet`] it is written out by the thread that publishes, for as
//!   long as there is room; else by the outlet's task.
//! - [`Hub::publish`] runs no callback, waits for nobody, and wakes nobody under the hub's lock.

mod callbacks;
mod feed;
mod gate;
mod invocation;
mod log;
mod outlet;
mod sync;
mod threads;

pub use callbacks::Registration;
pub use feed::{Feed, Rank};
pub use gate::{GateOwner, GateRegistration, GateStatus, SETTLE_DEADLINE, SettleError, Settled};
pub use invocation::ForkHold;
pub use outlet::{Outlet, Sink, Writer};
pub use threads::{MAX_THREADS, Source};

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::Snapshot;
use sync::{Alarm, AtomicU64, Condvar, Mutex, MutexGuard};
use threads::Wake;

/// The most registrations of a hub unless told otherwise: callbacks, feeds and gates together.
pub const DEFAULT_LIMIT: usize = 1_000_000;

/// Where the port is announced and notifications come from. Clones are the same hub.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

struct Shared {
    /// The current state, to be read without a lock: [`pack`].
    current: AtomicU64,
    mark: watch::Receiver<u64>,
    limit: usize,
    state: Mutex<State>,
    /// For the leader: the run queue is not empty.
    work: Condvar,
    /// For the standby; from the first thread on.
    alarm: OnceLock<Alarm>,
    /// For those who cancel: an invocation has ended.
    finished: Condvar,
    /// For those who wait for gating subscribers.
    settled: Condvar,
}

struct State {
    log: log::Log,
    announced_at: Instant,
    last_id: u64,
    callbacks: callbacks::Callbacks,
    threads: threads::Threads,
    feeds: BTreeMap<feed::Place, feed::Entry>,
    gates: gate::Gates,
    settle_hooks: Vec<Arc<dyn Fn() + Send + Sync>>,
}

/// A registration was refused.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// There are as many as there may be.
    #[error("the limit of {0} registrations is reached")]
    Limit(usize),
    /// The system gave no thread to run callbacks on.
    #[error("cannot start a thread for callbacks")]
    Thread(#[source] io::Error),
}

impl Hub {
    /// A hub that has no port to announce yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }

    /// The same with room for `limit` registrations.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        let gates = gate::Gates::new();
        let shared = Shared {
            current: AtomicU64::new(pack(Snapshot::default())),
            mark: gates.mark(),
            limit,
            state: Mutex::new(State {
                log: log::Log::new(),
                announced_at: Instant::now(),
                last_id: 0,
                callbacks: callbacks::Callbacks::default(),
                threads: threads::Threads::default(),
                feeds: BTreeMap::new(),
                gates,
                settle_hooks: Vec::new(),
            }),
            work: Condvar::new(),
            alarm: OnceLock::new(),
            finished: Condvar::new(),
            settled: Condvar::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Announces the port; 0: none. Returns the sequence number of the state, which is the one to
    /// [wait for](Self::wait_settled) before the port is used.
    ///
    /// Never waits for a receiver. The port that is current already is no news: nobody is notified, and the
    /// current sequence number returned (N-13).
    pub fn publish(&self, port: u16) -> u64 {
        self.announce(port, State::call)
    }

    fn announce(&self, port: u16, call: impl FnOnce(&mut State) -> Wake) -> u64 {
        let mut state = self.lock();
        let Some(current) = state.log.push(port) else {
            return state.log.current().sequence;
        };
        state.announced_at = Instant::now();
        self.shared.current.store(pack(current), Ordering::Release);
        state.callbacks.schedule();
        let call = call(&mut state);
        let wakers: Vec<_> = state
            .feeds
            .values_mut()
            .filter_map(feed::Entry::take_waker)
            .collect();
        drop(state);
        self.shared.wake(call);
        for waker in wakers {
            waker.wake();
        }
        current.sequence
    }

    /// The current state. Takes no lock and makes no system call.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        unpack(self.shared.current.load(Ordering::Acquire))
    }

    /// How many registrations there are: callbacks, feeds and gates.
    #[must_use]
    pub fn registrations(&self) -> usize {
        self.lock().registrations()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    fn next_id(&self, state: &mut State) -> Result<u64, RegisterError> {
        if state.registrations() >= self.shared.limit {
            return Err(RegisterError::Limit(self.shared.limit));
        }
        state.last_id += 1;
        Ok(state.last_id)
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("current", &self.snapshot())
            .finish_non_exhaustive()
    }
}

impl State {
    fn registrations(&self) -> usize {
        self.callbacks.len() + self.feeds.len() + self.gates.len()
    }
}

impl Shared {
    // No foreign code runs under the lock, so that a poisoned one is as good as any other.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        condition: &Condvar,
        state: MutexGuard<'a, State>,
        timeout: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        match timeout {
            None => condition
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                condition
                    .wait_timeout(state, timeout)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        }
    }
}

/// Port and sequence in one word; 48 bits of sequence are 8,900 years of a change every millisecond.
fn pack(state: Snapshot) -> u64 {
    state.sequence << 16 | u64::from(state.port)
}

fn unpack(word: u64) -> Snapshot {
    Snapshot {
        sequence: word >> 16,
        port: (word & 0xffff) as u16,
    }
}

#[cfg(test)]
mod tests;
