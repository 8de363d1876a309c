//! The entries are read one by one while the bucket cannot be watched.

use std::time::Duration;

use async_nats::connection::State;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::{RETRY, Run};
use crate::STATE;
use crate::peek::{Peeked, peek};

/// A watch that ends is there again within this time, as a rule.
const PATIENCE: Duration = Duration::from_secs(2);

/// The looks into the bucket.
pub(super) struct Peeking {
    /// Since when the bucket is not followed, as of the last beat.
    since: Option<Instant>,
    /// The look under way.
    pub(super) look: Option<BoxFuture<'static, Result<Peeked, String>>>,
    /// Where the next one begins, and when.
    next: u64,
    at: Instant,
    is_told: bool,
}

impl Peeking {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            since: None,
            look: None,
            next: 1,
            at: now,
            is_told: false,
        }
    }
}

impl Run {
    /// Begins a look if it is time.
    pub(super) fn peek(&mut self) {
        let now = Instant::now();
        let peeking = &mut self.peeking;
        if self.status.borrow().is_following {
            *peeking = Peeking::new(now);
            return;
        }
        let since = *peeking.since.get_or_insert(now);
        let is_due = now >= peeking.at && now >= since + PATIENCE && peeking.look.is_none();
        if is_due && self.client.connection_state() == State::Connected {
            peeking.look = Some(peek(self.client.clone(), peeking.next).boxed());
        }
    }

    /// Takes what a look has seen. What it has not seen ends with its lease.
    pub(super) async fn peeked(&mut self, outcome: Result<Peeked, String>) {
        self.peeking.look = None;
        self.peeking.at = Instant::now() + RETRY;
        let peeked = match outcome {
            Ok(peeked) => peeked,
            Err(reason) => {
                tracing::debug!(reason, "the entries of the bucket cannot be read");
                return;
            }
        };
        self.peeking.next = peeked.next;
        if peeked.entries.is_empty() {
            return;
        }
        if !std::mem::replace(&mut self.peeking.is_told, true) {
            tracing::info!(target: STATE, "the entries of the bucket are read one by one");
        }
        for entry in &peeked.entries {
            self.learn(&entry.news(), entry.at);
        }
        // From now on, what ends is closed and what is seen is open. The rest of the set stays until its leases end.
        self.has_begun = true;
        self.apply().await;
    }
}
