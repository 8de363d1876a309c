//! Work at the hooks of the programs, on a thread of its own.
//!
//! ```text
//!   lane, control loop ── Job ──> queue ──> thread ──> the kernel: 10 to 60 ms each, and the lock of all interfaces
//!                                             │
//!             Place::Attached, and the count of changes <──┘   lanes offer their paths again
//! ```
//!
//! User space carries the packets until a job is done. The thread begins with the first job and ends with the last one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::thread;

use nix::net::if_::if_indextoname;

use super::{KernelPath, LOOPBACK, MOST_UNDERLAYS, Obstacle, Place, State, Underlay};
use crate::net::is_virtual;

/// A change at the hooks.
pub(super) enum Job {
    /// Attach to the interface of the tunnel.
    Overlay(u32),
    /// Attach to this interface to the IPv4 Internet.
    Underlay(u32),
    Detach(u32),
    /// Let go of what the probe has left.
    Release(Box<dyn Send>),
}

#[cfg(test)]
impl Job {
    pub(super) fn changes_a_hook(&self) -> bool {
        matches!(self, Self::Overlay(_) | Self::Underlay(_) | Self::Detach(_))
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlay(index) => write!(f, "Overlay({index})"),
            Self::Underlay(index) => write!(f, "Underlay({index})"),
            Self::Detach(index) => write!(f, "Detach({index})"),
            Self::Release(_) => f.write_str("Release"),
        }
    }
}

/// The jobs that wait.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    pub(super) waiting: VecDeque<Job>,
    /// Whether there is a thread.
    pub(super) has_worker: bool,
}

impl Jobs {
    pub(super) fn of(waiting: impl IntoIterator<Item = Job>) -> Self {
        Self {
            waiting: waiting.into_iter().collect(),
            has_worker: false,
        }
    }
}

impl Jobs {
    /// The first one, but what the probe has left goes last: nobody waits for that.
    fn next(&mut self) -> Option<Job> {
        let mut jobs = self.waiting.iter();
        let first = jobs.position(|job| !matches!(job, Job::Release(_)));
        self.waiting.remove(first.unwrap_or(0))
    }
}

impl KernelPath {
    /// Attaches the programs beside everything else, to the interface of the tunnel first. The thread has the privileges of the
    /// caller and is in its network namespace, so the first call comes after a process has given up what it does not need.
    pub fn attach(&self) {
        self.work([]);
    }

    /// Attaches the programs to an interface before the first peer behind it is known.
    pub fn expect(&self, underlay: u32) {
        let job = self.state().place(underlay).1;
        self.work(job);
    }

    /// Has these jobs done, after those that wait.
    pub(super) fn work(&self, jobs: impl IntoIterator<Item = Job>) {
        let mut queue = self.jobs();
        queue.waiting.extend(jobs);
        if queue.has_worker || queue.waiting.is_empty() {
            return;
        }
        let path = self.clone();
        let thread = thread::Builder::new().name("teredo-hooks".to_owned());
        match thread.spawn(move || while path.work_once() {}) {
            Ok(_) => queue.has_worker = true,
            // The next job tries again.
            Err(error) => tracing::warn!(%error, "no thread attaches the path in the kernel"),
        }
    }

    /// Does the first job; false at the end of the queue.
    fn work_once(&self) -> bool {
        let job = {
            let mut queue = self.jobs();
            let job = queue.next();
            queue.has_worker = job.is_some();
            job
        };
        match job {
            None => return false,
            Some(Job::Overlay(index)) => self.attach_overlay(index),
            Some(Job::Underlay(index)) => self.attach_underlay(index),
            Some(Job::Detach(index)) => self.0.hooks.detach(index),
            Some(Job::Release(left)) => drop(left),
        }
        true
    }

    fn attach_overlay(&self, index: u32) {
        let attached = if_indextoname(index)
            .map_err(|error| error.to_string())
            .and_then(|name| {
                let attached = self.0.hooks.attach_overlay(&name.to_string_lossy());
                attached.map_err(|error| error.to_string())
            });
        let mut state = self.state();
        if state.overlay != index {
            // Another node has taken over meanwhile.
            return;
        }
        match attached {
            Ok(_) => state.clear(Obstacle::Hooks),
            Err(error) => state.hinder(Obstacle::Hooks, error),
        }
    }

    fn attach_underlay(&self, index: u32) {
        let Ok(name) = if_indextoname(index) else {
            // It has just gone.
            self.state().underlays.remove(&index);
            return;
        };
        let name = name.to_string_lossy();
        let attached = self.0.hooks.attach_underlay(&name);
        let attached = attached.map(|_| Underlay {
            is_virtual: is_virtual(&name).unwrap_or(true),
        });
        let mut state = self.state();
        let place = match attached {
            Ok(underlay) => {
                state.clear(Obstacle::Underlay);
                Place::Attached(underlay)
            }
            Err(error) => {
                if state.attached().next().is_some() {
                    tracing::info!(%error, interface = %name, "user space carries the packets of this interface");
                } else {
                    state.hinder(Obstacle::Underlay, error.to_string());
                }
                Place::Refused
            }
        };
        state.underlays.insert(index, place);
        drop(state);
        self.0.changes.fetch_add(1, Ordering::Release);
    }

    /// The number of interfaces that were looked at so far.
    pub(super) fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Acquire)
    }

    pub(super) fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The knowledge of an interface to the IPv4 Internet, and the job if it is seen for the first time. It is tried once.
    pub(super) fn place(&mut self, index: u32) -> (Place, Option<Job>) {
        if let Some(known) = self.underlays.get(&index) {
            return (*known, None);
        }
        if index == LOOPBACK || self.underlays.len() >= MOST_UNDERLAYS {
            return (Place::Refused, None);
        }
        self.underlays.insert(index, Place::Awaited);
        (Place::Awaited, Some(Job::Underlay(index)))
    }

    pub(super) fn attached(&self) -> impl Iterator<Item = Underlay> {
        let places = self.underlays.values();
        places.filter_map(|place| match place {
            Place::Attached(underlay) => Some(*underlay),
            _ => None,
        })
    }
}
