//! The loop of a perimeter: the connection, the hosts that ask, and its status.

mod entries;
mod peeking;
mod questions;
mod set;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddrV4;
use std::pin::pin;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ClientError, Event, ServerError};
use futures_util::future::BoxFuture;
use teredo_firewall::EndpointSet;
use teredo_nft::Monitor;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout};

use self::entries::{COMPARE, Opened, next_entry};
use self::peeking::Peeking;
use self::questions::Hearing;
use super::{Perimeter, PerimeterConfig, PerimeterError, PerimeterStatus};
use crate::bucket::{Bucket, BucketError, Watch};
use crate::confirm::{CONFIRMED, Confirmation};
use crate::doubt::Doubt;
use crate::ledger::{Ledger, Terms};
use crate::patience::Patience;
use crate::servers::{ConnectError, Connection, Connector, judge, refusal};
use crate::stall::Stall;
use crate::troubles::Troubles;
use crate::wait::{outcome, until};
use crate::{DEFAULT_LEASE, HostKey, STATE};

/// How often leases are looked at. The kernel closes what has ended by itself.
const BEAT: Duration = Duration::from_millis(250);

/// How soon what failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The questions of one host that are answered in a beat. It asks every 50 ms.
const QUESTIONS: u32 = 8;

/// How long the first entries of the bucket may keep a set as it was found.
const SNAPSHOT: Duration = Duration::from_secs(30);

/// How long a confirmation may wait for the connection.
const CONFIRM_WITHIN: Duration = Duration::from_millis(100);

const UNCONNECTED: &str = "there is no connection to the servers";

/// A perimeter that runs.
pub(super) struct Run {
    config: PerimeterConfig,
    connector: Connector,
    client: Client,
    set: EndpointSet,
    monitor: Monitor,
    status: watch::Sender<PerimeterStatus>,
    ledger: Ledger,
    watch: Option<Watch>,
    /// The next watch, while the cluster makes it.
    opening: Option<BoxFuture<'static, Result<Opened, BucketError>>>,
    bucket: Option<Bucket>,
    stall: Stall,
    /// When the servers are asked for their newest entry, and the answer.
    compare_at: Instant,
    newest: Option<BoxFuture<'static, Option<u64>>>,
    /// When the bucket was created that the ledger knows.
    created: Option<i128>,
    /// When to look for the bucket again.
    watch_at: Instant,
    troubles: Troubles,
    peeking: Peeking,
    hearing: Hearing,
    /// How often each host has asked since the last beat.
    asked: HashMap<HostKey, u32>,
    /// The words for it while there is no connection.
    unconnected: String,
    /// When a connection without success is given up.
    doubt: Doubt,
    /// How long the next watch may take to begin.
    patience: Patience,
    /// The endpoints that the kernel may have to change.
    pending: HashSet<SocketAddrV4>,
    /// The hosts to confirm once the kernel has taken all.
    unconfirmed: HashSet<HostKey>,
    /// Whether all entries have been seen once, or never will: before that, what the set holds stays.
    has_begun: bool,
    begin_at: Instant,
    /// When another program's change is looked at, and when the last look was over and how long it took.
    look_at: Option<Instant>,
    looked: (Instant, Duration),
    retry_at: Option<Instant>,
    beat: Interval,
}

impl Run {
    pub(super) fn new(
        perimeter: Perimeter,
        connector: Connector,
        asking: Connector,
        client: Client,
    ) -> Self {
        let Perimeter {
            config,
            set,
            monitor,
            status,
        } = perimeter;
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let now = Instant::now();
        let terms = Terms {
            lease: DEFAULT_LEASE,
            mapped: config.mapped,
            grants: config.grants.clone(),
            hosts: config.hosts,
        };
        Self {
            config,
            connector,
            client,
            set,
            monitor,
            status,
            ledger: Ledger::new(terms),
            watch: None,
            opening: None,
            bucket: None,
            stall: Stall::default(),
            compare_at: now + COMPARE,
            newest: None,
            created: None,
            // The news of the connection comes first.
            watch_at: now + RETRY * 2,
            troubles: Troubles::default(),
            peeking: Peeking::new(now),
            hearing: Hearing::new(asking, now),
            asked: HashMap::new(),
            unconnected: UNCONNECTED.to_owned(),
            doubt: Doubt::new(now),
            patience: Patience::new(),
            pending: HashSet::new(),
            unconfirmed: HashSet::new(),
            has_begun: false,
            begin_at: now + SNAPSHOT,
            look_at: None,
            looked: (now, Duration::ZERO),
            retry_at: None,
            beat,
        }
    }

    pub(super) async fn until(
        &mut self,
        mut connection: Connection,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), PerimeterError> {
        let mut shutdown = pin!(shutdown);
        loop {
            let (look_at, retry_at) = (self.look_at, self.retry_at);
            let is_idle = self.watch.is_none() && self.opening.is_none();
            let watch_at = is_idle.then_some(self.watch_at);
            tokio::select! {
                () = &mut shutdown => return Ok(()),
                delivered = next_entry(&mut self.watch) => self.take(delivered).await,
                Some(event) = connection.events.recv() => self.hear(&event),
                heard = self.hearing.next() => self.listen(heard).await,
                change = self.monitor.changed() => self.note(&change?),
                _ = self.beat.tick() => self.renew().await,
                () = until(look_at) => self.look().await,
                () = until(retry_at) => self.retry().await,
                () = until(watch_at) => self.follow(),
                opened = outcome(&mut self.opening) => self.opened(opened).await,
                () = sleep_until(self.compare_at) => self.ask_newest(),
                peeked = outcome(&mut self.peeking.look) => self.peeked(peeked).await,
                newest = outcome(&mut self.newest) => self.compare(newest),
                () = sleep_until(self.doubt.at()) => {
                    if self.status.borrow().is_following {
                        self.doubt.settle(Instant::now());
                    } else {
                        match self.connect_anew().await {
                            Ok(anew) => connection = anew,
                            // Such as a file that is being replaced.
                            Err(error) => {
                                self.unconnected = error.to_string();
                                self.lose(&self.unconnected.clone());
                            }
                        }
                    }
                }
            }
        }
    }

    /// Gives the connection up and makes another one: the library can wait for minutes for a server that is cut off.
    async fn connect_anew(&mut self) -> Result<Connection, ConnectError> {
        self.doubt.grow(Instant::now());
        let connection = self.connector.connect().await?;
        self.client = connection.client.clone();
        (self.watch, self.opening, self.peeking.look) = (None, None, None);
        self.hearing.begin_anew();
        UNCONNECTED.clone_into(&mut self.unconnected);
        self.troubles.forget_refusal();
        Ok(connection)
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::Connected => {
                tracing::info!(target: STATE, "connected to the servers");
                judge(&self.client);
                self.troubles.forget_refusal();
                self.watch_at = Instant::now();
            }
            Event::Disconnected => {
                // The bucket's consumer may go on without anybody: the next one begins with all entries.
                self.abandon();
                self.opening = None;
                UNCONNECTED.clone_into(&mut self.unconnected);
                self.troubles.forget_refusal();
                self.lose(UNCONNECTED);
            }
            Event::ServerError(error) => self.refused(error),
            Event::ClientError(ClientError::Other(cause)) => {
                if self.client.connection_state() != State::Connected {
                    self.unconnected = format!("{UNCONNECTED}: {cause}");
                    self.lose(&self.unconnected.clone());
                }
            }
            other => tracing::debug!(%other, "news of the connection"),
        }
    }

    fn refused(&mut self, error: &ServerError) {
        let refusal = self.in_words(error);
        tracing::error!(refusal, "the server refuses");
        self.troubles.refuse(Instant::now(), refusal);
        self.tell_troubles();
    }

    fn in_words(&self, refused: &ServerError) -> String {
        refusal(
            refused,
            &format!("the perimeter '{}' (--name)", self.config.name),
        )
    }

    fn lose(&mut self, reason: &str) {
        let is_following = self.status.borrow().is_following;
        if is_following || self.troubles.bucket.as_deref() != Some(reason) {
            tracing::warn!(
                target: STATE,
                reason,
                "the bucket is not followed; what is open ends with its lease"
            );
            self.troubles.bucket = Some(reason.to_owned());
        }
        if is_following {
            self.status
                .send_modify(|status| status.is_following = false);
            // The connection may be good, and the next one to a server that has just come back and answers nothing.
            self.doubt.settle(Instant::now());
        }
        self.tell_troubles();
    }

    fn tell_troubles(&self) {
        let trouble = self.troubles.in_words();
        self.status.send_if_modified(|status| {
            let changed = status.trouble != trouble;
            status.trouble = trouble;
            changed
        });
    }

    /// Tells the hosts that changed.
    async fn confirm(&mut self) {
        for host in std::mem::take(&mut self.unconfirmed) {
            // A host that does not hear it asks.
            if !self.tell(&host).await {
                break;
            }
        }
    }

    /// Returns whether the connection takes more.
    async fn tell(&self, host: &HostKey) -> bool {
        let Some(state) = self.ledger.state(host, std::time::Instant::now()) else {
            return true;
        };
        if self.client.connection_state() != State::Connected {
            return false;
        }
        let subject = format!("{CONFIRMED}.{host}.{}", self.config.name);
        let message = Confirmation::of(&state).encode();
        timeout(CONFIRM_WITHIN, self.client.publish(subject, message.into()))
            .await
            .is_ok()
    }
}
