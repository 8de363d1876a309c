//! The hub: the client publishes its port, and subscribers receive each change. No sockets.
//!
//! ```
//! use std::sync::mpsc;
//! use teredo_notify::{Kind, hub::Hub};
//!
//! let hub = Hub::new();
//! let (send, received) = mpsc::channel();
//! let registration = hub.register(true, move |n| send.send((n.kind, n.state.port)).unwrap())?;
//! hub.publish(40_123);
//! hub.publish(0);
//! assert_eq!(received.iter().take(3).collect::<Vec<_>>(), [
//!     (Kind::Initial, 0),
//!     (Kind::Add, 40_123),
//!     (Kind::Delete, 0),
//! ]);
//! registration.cancel();
//! # Ok::<(), teredo_notify::hub::RegisterError>(())
//! ```
//!
//! # Terms
//!
//! - The **hub** knows the current port. A **feed** yields its states when it is polled; an **outlet** writes a
//!   feed to a socket.
//! - A **gate** is a subscriber that the client waits for, typically a firewall. It **settles** a state when it has
//!   acted on it, and the client sends nothing from a new port before all gates have settled it or the
//!   [deadline](SETTLE_DEADLINE) has passed.
//! - A **random port** is a further socket, for single peers. A gate that follows the random ports **admits** a state of
//!   them, and the client uses none that a gate has not admitted. Nobody else hears of them.
//! - A **mirror** is a hub that repeats the states of another one, which a [`Source`] brings.
//!
//! # Threads
//!
//! Each change wakes one thread in each process that waits for it:
//!
//! ```text
//!  the client's process                                another process
//!
//!  Hub::publish ──> Outlet ──> its Sink ─ ─ socket ─ ─> Source::next ──> Hub::relay ──> callbacks
//!       │           on the publishing thread            on the leading thread
//!       └──> the leader ──> callbacks
//! ```
//!
//! - Callbacks run on the thread that waited for the news, the leader. A standby replaces it when a callback blocks.
//! - A [`Feed`] runs on the thread that polls it. An [`Outlet`] is written by the publishing thread as long as the
//!   socket has room, else by the outlet's task.
//! - [`Hub::publish`] runs no callback, never waits, and wakes no thread under the hub's lock. It runs the
//!   [hooks](Hub::on_publish), which take no time.
//!
//! # Files
//!
//! This file has the hub's lock and the state behind it. Each file of the folder holds one part of the state, and the
//! methods of [`Hub`] on that part; only these refer back to this file.

mod callbacks;
mod feed;
mod gate;
mod gate_change;
mod log;
mod outlet;
mod publish_hook;
mod random;
mod registration;
mod sync;
mod threads;

pub use callbacks::ForkHold;
pub use feed::{Feed, Rank};
pub use gate::{
    GateOwner, GateRegistration, GateReport, GateStatus, SETTLE_DEADLINE, SettleError, SettleHook,
    Settled,
};
pub use gate_change::{GateChange, GateHook, GateSummary};
pub use outlet::{Outlet, Sink, Writer};
pub use publish_hook::PublishHook;
pub use random::Admission;
pub use registration::Registration;
pub use threads::{MAX_THREADS, Source};

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::Snapshot;
use crate::snapshot::Node;
use crate::types::Notifications;
use sync::{Alarm, AtomicU64, Condvar, Mutex, MutexGuard};
use threads::Wake;

/// The default limit of registrations of a hub: callbacks, feeds and gates together.
pub const DEFAULT_LIMIT: usize = 1_000_000;

/// Announces the port and delivers the notifications. Clones are the same hub.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

struct Shared {
    /// The current state, for reading without a lock: [`pack`].
    current: AtomicU64,
    mark: watch::Receiver<u64>,
    limit: usize,
    node: Mutex<Arc<Node>>,
    state: Mutex<State>,
    /// Signals the leader: the run queue is not empty.
    work: Condvar,
    /// Signals the standby. Made with the first thread.
    alarm: OnceLock<Alarm>,
    /// Signals threads that cancel: an invocation has ended.
    finished: Condvar,
    /// Signals threads that wait for gates.
    settled: Condvar,
}

struct State {
    log: log::Log,
    announced_at: Instant,
    last_id: u64,
    callbacks: callbacks::Callbacks,
    threads: threads::Threads,
    feeds: BTreeMap<feed::FeedKey, feed::Entry>,
    gates: gate::Gates,
    settle_hooks: BTreeMap<u64, Arc<dyn Fn() + Send + Sync>>,
    publish_hooks: publish_hook::PublishHooks,
    gate_hooks: BTreeMap<u64, gate_change::Hook>,
}

/// A registration was refused.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The hub has as many as it may have.
    #[error("the limit of {0} registrations is reached")]
    Limit(usize),
    /// The system cannot start a thread for callbacks.
    #[error("cannot start a thread for callbacks")]
    Thread(#[source] io::Error),
}

impl Hub {
    /// A hub without a port.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }

    /// A hub without a port and with room for `limit` registrations.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        let gates = gate::Gates::new();
        let shared = Shared {
            current: AtomicU64::new(pack(Snapshot::default())),
            mark: gates.mark(),
            limit,
            node: Mutex::new(Arc::default()),
            state: Mutex::new(State {
                log: log::Log::new(),
                announced_at: Instant::now(),
                last_id: 0,
                callbacks: callbacks::Callbacks::default(),
                threads: threads::Threads::default(),
                feeds: BTreeMap::new(),
                gates,
                settle_hooks: BTreeMap::new(),
                publish_hooks: publish_hook::PublishHooks::default(),
                gate_hooks: BTreeMap::new(),
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

    /// Announces the port; 0: none. Returns the sequence number of the state. [Wait](Self::wait_settled) for it
    /// before you use the port.
    ///
    /// Never waits for a subscriber. To announce the current port again notifies nobody and returns the current
    /// sequence number (N-13).
    pub fn publish(&self, port: u16) -> u64 {
        self.announce(port, State::wake_for_work)
    }

    fn announce(&self, port: u16, wake: impl FnOnce(&mut State) -> Wake) -> u64 {
        let mut state = self.lock();
        let Some(current) = state.log.push(port) else {
            return state.log.current().sequence;
        };
        state.announced_at = Instant::now();
        self.shared.current.store(pack(current), Ordering::Release);
        state.callbacks.schedule();
        let wake = wake(&mut state);
        let wakers: Vec<_> = state
            .feeds
            .values_mut()
            .filter_map(feed::Entry::take_waker)
            .collect();
        let hooks = state.publish_hooks.all();
        drop(state);
        self.shared.wake(wake);
        for waker in wakers {
            waker.wake();
        }
        for hook in hooks {
            hook(current);
        }
        current.sequence
    }

    /// The current state. Takes no lock and makes no system call.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        unpack(self.shared.current.load(Ordering::Acquire))
    }

    /// Sets the node behind the port. Gates of a service learn of it with the next announcement.
    pub fn set_node(&self, node: Node) {
        let mut current = self
            .shared
            .node
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(node);
    }

    /// The node behind the port.
    #[must_use]
    pub fn node(&self) -> Arc<Node> {
        let node = self
            .shared
            .node
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&node)
    }

    /// How many registrations there are: callbacks, feeds and gates.
    #[must_use]
    pub fn registrations(&self) -> usize {
        self.lock().registrations()
    }

    /// How often the port has changed, and how many feeds tell of that. A gate of the service has one, too.
    #[must_use]
    pub fn notifications(&self) -> Notifications {
        let state = self.lock();
        Notifications {
            changes: state.log.changes(),
            subscribers: state.feeds.len() as u64,
            missed: state.gates.missed(),
            departed: state.gates.firewall_departed(),
        }
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
    // No foreign code runs under the lock, so a poisoned one is still consistent.
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

/// Port and sequence in one word. 48 bits of sequence last 8,900 years at a change every millisecond.
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
