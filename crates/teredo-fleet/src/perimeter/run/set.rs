//! The set of the kernel is kept in step with the ledger, and put right after a change of others.

use std::time::Duration;

use teredo_firewall::EndpointSetError;
use teredo_nft::Change;
use tokio::time::Instant;

use super::{RETRY, Run};
use crate::STATE;

/// The least time between two looks at the set. A look at 100,000 elements takes some 100 ms.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A look may take one part in so many of the time.
const LOOK_SHARE: u32 = 10;

impl Run {
    /// Removes all elements that are this process's.
    pub(in super::super) fn release(&mut self) -> Result<(), EndpointSetError> {
        match self.set.release(std::time::Instant::now()) {
            Ok(()) | Err(EndpointSetError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Puts into the kernel what may have changed.
    pub(super) async fn apply(&mut self) {
        let dirty = self.ledger.take_dirty();
        if self.retry_at.is_some() {
            // The next attempt begins with all.
            return;
        }
        self.pending.extend(dirty);
        let now = std::time::Instant::now();
        let endpoints: Vec<_> = self.pending.iter().copied().collect();
        let ledger = &self.ledger;
        match self
            .set
            .hold(&endpoints, |endpoint| ledger.until(endpoint, now), now)
        {
            Ok(()) => {
                self.pending.clear();
                let (endpoints, hosts) = (self.set.len(), self.ledger.open_hosts());
                if self.troubles.set.take().is_some() {
                    tracing::info!(target: STATE, "the set follows the hosts again");
                }
                let trouble = self.troubles.in_words();
                self.status.send_if_modified(|status| {
                    let before = status.clone();
                    (status.in_step, status.endpoints, status.hosts) = (true, endpoints, hosts);
                    status.trouble = trouble;
                    *status != before
                });
                self.confirm().await;
            }
            Err(error) => self.fail(&error),
        }
    }

    pub(super) fn fail(&mut self, error: &EndpointSetError) {
        self.retry_at = Some(Instant::now() + RETRY);
        self.pending.clear();
        let reason = error.to_string();
        if self.troubles.set.as_ref() != Some(&reason) {
            tracing::error!(target: STATE, reason, "the set does not follow the hosts; trying again");
        }
        self.troubles.set = Some(reason);
        self.status.send_modify(|status| {
            status.refusals += u64::from(!matches!(error, EndpointSetError::Missing(_)));
            status.in_step = false;
            if matches!(error, EndpointSetError::Missing(_)) {
                (status.endpoints, status.hosts) = (0, 0);
            }
            status.trouble = self.troubles.in_words();
        });
    }

    pub(super) async fn retry(&mut self) {
        self.retry_at = None;
        self.pending.extend(self.ledger.endpoints());
        self.pending.extend(self.set.held());
        self.look().await;
    }

    /// Closes what has ended, and renews what goes on.
    pub(super) async fn renew(&mut self) {
        let now = std::time::Instant::now();
        self.asked.clear();
        self.hear_hosts().await;
        self.peek();
        self.ledger.expire(now);
        if self.troubles.expire(Instant::now()) {
            self.tell_troubles();
        }
        if !self.has_begun && Instant::now() >= self.begin_at {
            self.has_begun = true;
        }
        if self.has_begun {
            self.pending.extend(self.set.due(now));
            self.apply().await;
        }
    }

    pub(super) fn note(&mut self, change: &Change) {
        tracing::debug!(?change, "another program changed the ruleset");
        let (over, took) = self.looked;
        self.look_at
            .get_or_insert_with(|| over + LOOK_INTERVAL.max(took * LOOK_SHARE));
    }

    /// Looks at the set, and puts it right.
    pub(super) async fn look(&mut self) {
        self.look_at = None;
        let begun = Instant::now();
        let read = self.set.read(std::time::Instant::now());
        self.looked = (Instant::now(), begun.elapsed());
        match read {
            Ok(false) if self.pending.is_empty() => {}
            Ok(differs) => {
                if self.has_begun {
                    if differs && self.status.borrow().in_step {
                        tracing::info!("another program changed the set; it is put right");
                        self.status.send_modify(|status| status.repairs += 1);
                    }
                    self.pending.extend(self.ledger.endpoints());
                    self.pending.extend(self.set.held());
                    self.apply().await;
                }
            }
            Err(error) => self.fail(&error),
        }
    }
}
