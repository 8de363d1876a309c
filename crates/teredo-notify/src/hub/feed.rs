//! Receiving by asking: a stream for tasks, an iterator for threads. No thread of the hub is involved.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_util::stream::Stream;

use super::log::Cursor;
use super::sync::thread::{self, Thread};
use super::{Hub, RegisterError, State};
use crate::Notification;

pub(super) struct Entry {
    cursor: Cursor,
    waker: Option<Waker>,
}

impl Entry {
    pub(super) fn take_waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }
}

/// The notifications of a [`Hub`], as a [`Stream`] that never ends, or one by one.
///
/// The same rules hold as for callbacks: in order, nothing twice, the last state always. States
/// wait in the hub, not here; a feed that nobody reads costs nothing.
///
/// ```
/// use std::time::Duration;
/// use teredo_notify::{Kind, hub::Hub};
///
/// let hub = Hub::new();
/// let mut feed = hub.subscribe(false)?;
/// assert!(feed.try_next().is_none());
/// hub.publish(40_123);
/// let notification = feed.next_within(Duration::from_secs(1)).unwrap();
/// assert_eq!((notification.kind, notification.state.port), (Kind::Add, 40_123));
/// # Ok::<(), teredo_notify::hub::RegisterError>(())
/// ```
#[must_use = "the feed ends when this is dropped"]
pub struct Feed {
    hub: Hub,
    place: Place,
}

/// The order in which feeds are told of an announcement: ranks, and within a rank who came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    rank: Rank,
    id: u64,
}

/// Who is told first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Whoever the client waits for (N-16).
    Gating,
    /// Everybody else.
    Ordinary,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed")
            .field("id", &self.place.id)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// Begins a [`Feed`]. With `initial`, the current state comes first, as
    /// [`Kind::Initial`](crate::Kind::Initial).
    ///
    /// # Errors
    /// [`RegisterError::Limit`]
    pub fn subscribe(&self, initial: bool) -> Result<Feed, RegisterError> {
        self.subscribe_as(Rank::Ordinary, initial)
    }

    /// The same with a say in who is told first.
    ///
    /// # Errors
    /// [`RegisterError::Limit`]
    pub fn subscribe_as(&self, rank: Rank, initial: bool) -> Result<Feed, RegisterError> {
        let mut state = self.lock();
        let id = self.next_id(&mut state)?;
        let place = Place { rank, id };
        let cursor = state.log.cursor(initial);
        state.feeds.insert(
            place,
            Entry {
                cursor,
                waker: None,
            },
        );
        drop(state);
        Ok(Feed {
            hub: self.clone(),
            place,
        })
    }
}

impl Feed {
    /// The number of this subscription.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.place.id
    }

    /// What is there to be told now, if anything.
    pub fn try_next(&mut self) -> Option<Notification> {
        self.advance(None)
    }

    /// The next notification. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Notification {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Blocks this thread for the next notification, for no longer than `timeout`.
    pub fn next_within(&mut self, timeout: Duration) -> Option<Notification> {
        match Instant::now().checked_add(timeout) {
            Some(deadline) => self.next_before(Some(deadline)),
            None => self.next_before(None),
        }
    }

    /// Blocks this thread for the next notification.
    pub(crate) fn next_before(&mut self, deadline: Option<Instant>) -> Option<Notification> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            if let Some(notification) = self.advance(Some(&waker)) {
                return Some(notification);
            }
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                Some(Duration::ZERO) => return None,
                Some(left) => thread::park_timeout(left),
            }
        }
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Notification> {
        self.advance(Some(cx.waker()))
            .map_or(Poll::Pending, Poll::Ready)
    }

    /// The next notification; if there is none, `waker` is woken when there is.
    pub(super) fn advance(&self, waker: Option<&Waker>) -> Option<Notification> {
        let mut state = self.hub.lock();
        let State { feeds, log, .. } = &mut *state;
        let entry = feeds.get_mut(&self.place)?;
        let notification = log.advance(&mut entry.cursor);
        if let (None, Some(waker)) = (notification, waker)
            && !entry
                .waker
                .as_ref()
                .is_some_and(|known| known.will_wake(waker))
        {
            let old = entry.waker.replace(waker.clone());
            // A waker's drop is foreign code; it must not run under the lock.
            drop(state);
            drop(old);
        }
        notification
    }
}

impl Stream for Feed {
    type Item = Notification;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Notification>> {
        self.get_mut().poll(cx).map(Some)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let entry = self.hub.lock().feeds.remove(&self.place);
        drop(entry);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
