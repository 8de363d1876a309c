//! A feed that the publishing thread writes out: no thread is woken between an announcement and the system call that
//! sends it.
//!
//! ```text
//!  the thread that publishes                              the outlet's task
//!            │ the feed's waker                                  │ there is room, or it was woken
//!            v                                                   v
//!         try_lock ── it is locked ──────────> wake ───>       lock
//!            │                                                   │
//!            v                                                   v
//!  write one notification ── no room, more ──> wake ───>   write the rest, and all that is new
//! ```
//!
//! The lock keeps the two apart, so each notification leaves once, whole and in order. It is held for system calls
//! that do not block, and the publishing thread never waits for it (N-14).

use std::io;
use std::sync::{Arc, PoisonError, TryLockError};
use std::task::{Wake, Waker};

use super::feed::Feed;
use super::sync::{Mutex, MutexGuard};
use crate::{Notification, RandomSnapshot};

/// The destination of an [`Outlet`].
pub trait Sink: Send + Sync + 'static {
    /// The bytes of a notification; not empty.
    fn encode(&self, notification: Notification) -> Vec<u8>;

    /// The same for a feed that [follows the random ports](super::Hub::subscribe_random), with these. By default they
    /// are left out.
    fn encode_with_random(&self, notification: Notification, random: RandomSnapshot) -> Vec<u8> {
        let _ = random;
        self.encode(notification)
    }

    /// Writes as many of these bytes as there is room for, without blocking.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there is no room. After any other error the outlet is useless.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Wakes the outlet's task, which must [advance](Outlet::advance), now and whenever there is room again, until
    /// everything has left. Runs on the publishing thread and must not block.
    fn wake_task(&self);
}

/// Which thread writes a new notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// The publishing thread, as long as there is room.
    Publisher,
    /// The outlet's task, always.
    Task,
}

/// Writes the notifications of a [`Feed`] to a [`Sink`].
///
/// The [initial](super::Hub::subscribe) notification, and any that is due when the outlet is made, wait for the first
/// [`Outlet::advance`].
#[must_use = "nothing is written after this is dropped"]
pub struct Outlet<S: Sink> {
    inner: Arc<Inner<S>>,
}

struct Inner<S> {
    sink: S,
    writer: Writer,
    flow: Mutex<Flow>,
}

struct Flow {
    /// Absent once the outlet is dropped.
    feed: Option<Feed>,
    /// The notification that is being written. The next is made when it has left (N-14).
    rest: Vec<u8>,
    written: usize,
}

impl<S: Sink> Outlet<S> {
    /// An outlet that `writer` writes.
    pub fn new(feed: Feed, sink: S, writer: Writer) -> Self {
        let flow = Mutex::new(Flow {
            feed: Some(feed),
            rest: Vec::new(),
            written: 0,
        });
        let inner = Arc::new(Inner { sink, writer, flow });
        Self { inner }
    }

    /// The destination.
    pub fn sink(&self) -> &S {
        &self.inner.sink
    }

    /// Writes everything that is due; whether all of it has left. If not, there is no room.
    ///
    /// # Errors
    /// Those of [`Sink::write`].
    pub fn advance(&self) -> io::Result<bool> {
        let waker = Waker::from(Arc::clone(&self.inner));
        let mut flow = self
            .inner
            .flow
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while flow.flush(&self.inner.sink)? {
            if !flow.fetch(&self.inner.sink, &waker) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl<S: Sink> Drop for Outlet<S> {
    fn drop(&mut self) {
        let mut flow = self
            .inner
            .flow
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // The hub has the feed's waker, and that has the feed.
        let feed = flow.feed.take();
        drop(flow);
        drop(feed);
    }
}

impl<S: Sink> std::fmt::Debug for Outlet<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet").finish_non_exhaustive()
    }
}

impl<S: Sink> Wake for Inner<S> {
    fn wake(self: Arc<Self>) {
        let flow = match (self.writer, self.flow.try_lock()) {
            (Writer::Publisher, Ok(flow)) => flow,
            (Writer::Publisher, Err(TryLockError::Poisoned(poisoned))) => poisoned.into_inner(),
            (Writer::Task, _) | (_, Err(TryLockError::WouldBlock)) => return self.sink.wake_task(),
        };
        if !self.publish(flow) {
            self.sink.wake_task();
        }
    }
}

impl<S: Sink> Inner<S> {
    /// Writes the latest announcement and nothing more, so that other publishers cannot keep this thread here. Whether
    /// nothing is left to do.
    fn publish(self: &Arc<Self>, mut flow: MutexGuard<'_, Flow>) -> bool {
        let waker = Waker::from(Arc::clone(self));
        // With a rest, the task already waits for room.
        if !flow.rest.is_empty() || !flow.fetch(&self.sink, &waker) {
            return true;
        }
        // The task sees the same error when it tries.
        matches!(flow.flush(&self.sink), Ok(true)) && !flow.fetch(&self.sink, &waker)
    }
}

impl Flow {
    /// Encodes the next notification; if there is none, `waker` is woken when there is.
    fn fetch(&mut self, sink: &impl Sink, waker: &Waker) -> bool {
        let Some((notification, random)) = self
            .feed
            .as_ref()
            .and_then(|feed| feed.advance(Some(waker)))
        else {
            return false;
        };
        self.rest = match random {
            None => sink.encode(notification),
            Some(random) => sink.encode_with_random(notification, random),
        };
        self.written = 0;
        true
    }

    /// Writes the rest; whether all of it has left.
    fn flush(&mut self, sink: &impl Sink) -> io::Result<bool> {
        while self.written < self.rest.len() {
            match sink.write(&self.rest[self.written..]) {
                Ok(length) => self.written += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.rest = Vec::new();
        Ok(true)
    }
}
