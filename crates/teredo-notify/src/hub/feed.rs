//! Receiving by polling: a stream for tasks, an iterator for threads. It needs no thread of the hub.
//!
//! A part of the hub: `hub.rs` owns the lock and the state.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_util::stream::Stream;

use super::log::{Cursor, Log};
use super::sync::thread::{self, Thread};
use super::{Hub, RegisterError, State};
use crate::{Notification, RandomSnapshot};

pub(super) struct Entry {
    cursor: Cursor,
    waker: Option<Waker>,
}

impl Entry {
    /// Whether a change of the random ports is news for it.
    pub(super) fn follows_random(&self) -> bool {
        self.cursor.follows_random()
    }

    pub(super) fn take_waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }
}

/// The notifications of a [`Hub`], as a [`Stream`] that never ends, or one by one.
///
/// The rules of callbacks hold: in order, nothing twice, always the last state. States wait in the hub, so a feed that
/// is never read costs nothing.
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
    key: FeedKey,
}

/// The order in which an announcement reaches the feeds: by rank, then by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FeedKey {
    rank: Rank,
    id: u64,
}

/// Which feeds an announcement reaches first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Those of gates, which the client waits for (N-16).
    Gating,
    /// All others.
    Ordinary,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed")
            .field("id", &self.key.id)
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

    /// Begins a [`Feed`] of this rank.
    ///
    /// # Errors
    /// [`RegisterError::Limit`]
    pub fn subscribe_as(&self, rank: Rank, initial: bool) -> Result<Feed, RegisterError> {
        let cursor = |log: &Log| log.cursor(initial);
        self.add_feed(rank, cursor)
    }

    /// Begins the [`Feed`] of a gate that follows the random ports: when they change it yields the state again, and an
    /// [`Outlet`](super::Outlet) writes them along with each state.
    ///
    /// # Errors
    /// [`RegisterError::Limit`]
    pub fn subscribe_random(&self, initial: bool) -> Result<Feed, RegisterError> {
        self.add_feed(Rank::Gating, |log| log.random_cursor(initial))
    }

    fn add_feed(
        &self,
        rank: Rank,
        cursor: impl FnOnce(&Log) -> Cursor,
    ) -> Result<Feed, RegisterError> {
        let mut state = self.lock();
        let id = self.next_id(&mut state)?;
        let key = FeedKey { rank, id };
        let cursor = cursor(&state.log);
        state.feeds.insert(
            key,
            Entry {
                cursor,
                waker: None,
            },
        );
        drop(state);
        Ok(Feed {
            hub: self.clone(),
            key,
        })
    }
}

impl Feed {
    /// The number of this subscription.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.key.id
    }

    /// The next notification, if there is one now.
    pub fn try_next(&mut self) -> Option<Notification> {
        self.advance(None).map(|(notification, _)| notification)
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
            if let Some((notification, _)) = self.advance(Some(&waker)) {
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
            .map_or(Poll::Pending, |(notification, _)| Poll::Ready(notification))
    }

    /// The next notification, and the random ports if the feed follows them; if there is none, `waker` is woken when
    /// there is.
    pub(super) fn advance(
        &self,
        waker: Option<&Waker>,
    ) -> Option<(Notification, Option<RandomSnapshot>)> {
        let mut state = self.hub.lock();
        let State { feeds, log, .. } = &mut *state;
        let entry = feeds.get_mut(&self.key)?;
        let notification = log.advance(&mut entry.cursor);
        let random = entry.cursor.follows_random().then(|| log.random());
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
        notification.map(|notification| (notification, random))
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
        let entry = self.hub.lock().feeds.remove(&self.key);
        drop(entry);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
