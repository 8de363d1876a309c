//! The bucket is followed: a watch is opened, compared with what the servers have, and given up.

use std::time::Duration;

use async_nats::connection::State;
use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::{RETRY, Run};
use crate::bucket::{Bucket, BucketError, Delivered, Watch};
use crate::ledger::Learnt;
use crate::stall::Stall;
use crate::{DEFAULT_LEASE, News, STATE};

/// The entries of one round: one transaction and a bit.
const ROUND: usize = 2048;

/// How often the deliveries are compared with what the servers have.
pub(super) const COMPARE: Duration = Duration::from_secs(2);

/// A bucket, and whether it can be watched.
pub(super) struct Opened {
    bucket: Bucket,
    watch: Result<Watch, BucketError>,
}

impl Run {
    /// Begins to follow the bucket. The leases do not wait meanwhile.
    pub(super) fn follow(&mut self) {
        self.watch_at = Instant::now() + RETRY;
        if self.client.connection_state() != State::Connected {
            self.lose(&self.unconnected.clone());
            return;
        }
        // Where hosts need no credentials, the first of them creates the bucket, with the lease that it wants.
        let create = self.config.servers.creds.is_some().then_some(DEFAULT_LEASE);
        let (client, patience) = (self.client.clone(), self.patience.get());
        let opening = async move {
            let bucket = Bucket::open(&client, create).await?;
            let watch = bucket.watch(patience).await;
            Ok(Opened { bucket, watch })
        };
        self.opening = Some(opening.boxed());
    }

    pub(super) async fn opened(&mut self, opened: Result<Opened, BucketError>) {
        self.opening = None;
        self.watch_at = Instant::now() + RETRY;
        let Opened { bucket, watch } = match opened {
            Ok(opened) => opened,
            Err(error) => return self.lose(&error.to_string()),
        };
        // The leader of the bucket has answered over this connection, so another one is no better: it may be to a dead server.
        self.doubt.settle(Instant::now());
        if bucket.lease != self.ledger.lease() {
            self.ledger.set_lease(bucket.lease);
            self.set.set_lease(bucket.lease);
        }
        if self.created.replace(bucket.created) != Some(bucket.created) {
            self.ledger.begin_anew();
        }
        self.status
            .send_modify(|status| status.lease = Some(bucket.lease));
        self.bucket = Some(bucket);
        match watch {
            Ok(watch) => {
                self.patience.met();
                self.stall = Stall::default();
                let is_complete = watch.is_complete();
                self.watch = Some(watch);
                if is_complete {
                    self.begin().await;
                }
            }
            Err(error) => {
                self.patience.missed();
                self.lose(&error.to_string());
            }
        }
    }

    /// Asks the servers for their newest entry, in the background.
    pub(super) fn ask_newest(&mut self) {
        self.compare_at = Instant::now() + COMPARE;
        let bucket = self.bucket.as_ref().filter(|_| self.watch.is_some());
        self.newest = bucket.map(|bucket| bucket.newest().boxed());
    }

    /// A consumer that delivers nothing, although the servers have entries, is given up: it may be on a server that has just
    /// started, and says of itself that it is well.
    pub(super) fn compare(&mut self, newest: Option<u64>) {
        self.newest = None;
        let Some(watch) = &self.watch else {
            return;
        };
        if self.stall.is_one(watch.progress(), newest) {
            self.lose("the servers have newer entries, and deliver none");
        } else if watch.is_complete() || newest != Some(0) {
            return;
        }
        // The entries that it waited for may also have ended.
        self.abandon();
        self.watch_at = Instant::now();
    }

    pub(super) fn abandon(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.abandon();
        }
    }

    /// Takes an entry, and all that have arrived with it.
    pub(super) async fn take(&mut self, first: Result<Delivered, String>) {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(delivered) = next.take() {
            match delivered {
                Ok(delivered) => self.learn(&delivered.news(), delivered.at),
                Err(reason) => {
                    self.abandon();
                    // What has ended it may be there again.
                    self.watch_at = Instant::now() + RETRY;
                    self.lose(&format!("the watch has ended: {reason}"));
                    break;
                }
            }
            taken += 1;
            if taken < ROUND {
                next = next_entry(&mut self.watch).now_or_never();
            }
        }
        let is_complete = self.watch.as_ref().is_some_and(Watch::is_complete);
        if is_complete && !self.status.borrow().is_following {
            self.begin().await;
        } else if self.has_begun {
            self.apply().await;
        }
    }

    pub(super) fn learn(&mut self, news: &News<'_>, at: std::time::Instant) {
        match self.ledger.learn(news, at) {
            Ok(Learnt::Changed) => self.unconfirmed.extend(news.key.parse()),
            Ok(Learnt::Renewed | Learnt::Known | Learnt::Gone) => {}
            Err(refusal) => {
                let is_first = !self.status.borrow().refused.contains_key(refusal.name());
                self.status
                    .send_modify(|status| *status.refused.entry(refusal.name()).or_default() += 1);
                // The key is another one's word: it is shown in quotes, and cut.
                let key: String = news.key.chars().take(crate::MAX_KEY).collect();
                if is_first {
                    tracing::warn!(?key, reason = %refusal, "an entry counts for nothing; more of the kind are counted");
                } else {
                    tracing::debug!(?key, reason = %refusal, "an entry counts for nothing");
                }
            }
        }
    }

    /// All entries are known: what the set holds beyond them is closed.
    pub(super) async fn begin(&mut self) {
        self.has_begun = true;
        self.pending.extend(self.set.held());
        // Without a host there is nothing to put into it, and it may be missing.
        match self.set.check() {
            Ok(()) => self.apply().await,
            Err(error) => self.fail(&error),
        }
        let hosts = self.ledger.open_hosts();
        tracing::info!(target: STATE, hosts, "the entries of the bucket are known");
        self.doubt.settle(Instant::now());
        self.troubles.bucket = None;
        self.troubles.forget_refusal();
        self.status.send_modify(|status| status.is_following = true);
        self.tell_troubles();
    }
}

pub(super) async fn next_entry(watch: &mut Option<Watch>) -> Result<Delivered, String> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}
