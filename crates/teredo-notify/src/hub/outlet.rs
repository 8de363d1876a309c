//! A feed that writes itself out, from the thread that publishes: between an announcement and the system call that
//! tells of it, nobody is woken.
//!
//! ```text
//!  the thread that publishes                              the outlet's task
//!            │ the feed's waker                                  │ there is room, or it was called
//!            v                                                   v
//!         try_lock ── somebody else writes ──> call ───>       lock
//!            │                                                   │
//!            v                                                   v
//!  write one notification ── no room, more ──> call ───>   write what is left, and all that is news
//! ```
//!
//! The lock keeps the two apart, so that each notification leaves once, whole, and in its place. It is held for
//! system calls that do not block, and the one who publishes never waits for it (N-14).

use std::io;
use std::sync::{Arc, PoisonError, TryLockError};
use std::task::{Wake, Waker};

use super::feed::Feed;
use super::sync::{Mutex, MutexGuard};
use crate::Notification;

/// Where an [`Outlet`] writes.
pub trait Sink: Send + Sync + 'static {
    /// The form in which a notification goes out; not empty.
    fn encode(&self, notification: Notification) -> Vec<u8>;

    /// Writes the beginning of this, as much as there is room for, without blocking.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where there is no room; the others end the outlet's use.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Calls the outlet's task: it is to [advance](Outlet::advance), now and whenever there is room again, until all
    /// has left. Called from the thread that publishes; must not block.
    fn call(&self);
}

/// Who writes what is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// The thread that announces, as long as there is room.
    Publisher,
    /// The outlet's task, always.
    Task,
}

/// The notifications of a [`Feed`], on their way through a [`Sink`].
///
/// What is news when it is made, and the [initial](super::Hub::subscribe) notification, wait for the first
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
    /// Absent when the outlet has gone.
    feed: Option<Feed>,
    /// What has not left yet of the notification that is on its way. No other is made before it has (N-14).
    rest: Vec<u8>,
    written: usize,
}

impl<S: Sink> Outlet<S> {
    /// An outlet that `writer` writes to.
    pub fn new(feed: Feed, sink: S, writer: Writer) -> Self {
        let flow = Mutex::new(Flow {
            feed: Some(feed),
            rest: Vec::new(),
            written: 0,
        });
        let inner = Arc::new(Inner { sink, writer, flow });
        Self { inner }
    }

    /// Where it writes.
    pub fn sink(&self) -> &S {
        &self.inner.sink
    }

    /// Writes all that is to be told; whether all of it has left. If not, there is no room.
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
            (Writer::Task, _) | (_, Err(TryLockError::WouldBlock)) => return self.sink.call(),
        };
        if !self.publish(flow) {
            self.sink.call();
        }
    }
}

impl<S: Sink> Inner<S> {
    /// Writes what has just been announced, and nothing more: who publishes again and again is not to be kept here by
    /// others who do. Whether nothing is left to do.
    fn publish(self: &Arc<Self>, mut flow: MutexGuard<'_, Flow>) -> bool {
        let waker = Waker::from(Arc::clone(self));
        // If something has not left yet, the task waits for room.
        if !flow.rest.is_empty() || !flow.fetch(&self.sink, &waker) {
            return true;
        }
        // An error strikes the task too, when it tries.
        matches!(flow.flush(&self.sink), Ok(true)) && !flow.fetch(&self.sink, &waker)
    }
}

impl Flow {
    /// Has the next notification on its way; if there is none, `waker` is woken when there is.
    fn fetch(&mut self, sink: &impl Sink, waker: &Waker) -> bool {
        let Some(notification) = self
            .feed
            .as_ref()
            .and_then(|feed| feed.advance(Some(waker)))
        else {
            return false;
        };
        self.rest = sink.encode(notification);
        self.written = 0;
        true
    }

    /// Writes what is on its way; whether it has left.
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
