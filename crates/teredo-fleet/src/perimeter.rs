//! The perimeter: it keeps a set of nftables in step with the bucket.
//!
//! ```text
//!  bucket ── entries ──> ledger ── endpoints, until when ──> set of the kernel
//!    ^                                                          │ taken
//!  hosts <────────────── confirmed ─────────────────────────────┘
//! ```

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddrV4;
use std::pin::pin;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ClientError, Event, Message};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use teredo_firewall::{EndpointSet, EndpointSetError, SetPath};
use teredo_nft::{Change, Monitor, NftError};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout};

use crate::bucket::{Bucket, BucketError, Delivered, Watch};
use crate::confirm::{ASK, CONFIRMED, Confirmation};
use crate::doubt::Doubt;
use crate::ledger::{Learnt, Ledger, Terms};
use crate::patience::Patience;
use crate::servers::{ConnectError, Connection, Servers, judge, refusal};
use crate::stall::Stall;
use crate::troubles::Troubles;
use crate::wait::{message, until};
use crate::{DEFAULT_LEASE, Grants, HostKey};

/// How often the server shows that it lives: a link that is cut is noticed well within a lease.
const PING: Duration = Duration::from_secs(1);

/// How often leases are looked at. The kernel closes what has ended by itself.
const BEAT: Duration = Duration::from_millis(250);

/// The entries of one round: one transaction and a bit.
const ROUND: usize = 2048;

/// How soon what failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The least time between two looks at the set. A look at 100,000 elements takes some 100 ms.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A look may take one part in so many of the time.
const LOOK_SHARE: u32 = 10;

/// The questions of one host that are answered in a beat. It asks every 50 ms.
const QUESTIONS: u32 = 8;

/// How often the deliveries are compared with what the servers have.
const COMPARE: Duration = Duration::from_secs(2);

/// How long the first entries of the bucket may keep a set as it was found.
const SNAPSHOT: Duration = Duration::from_secs(30);

/// How long a confirmation may wait for the connection.
const CONFIRM_WITHIN: Duration = Duration::from_millis(100);

const UNCONNECTED: &str = "there is no connection to the servers";

/// The configuration of a perimeter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerimeterConfig {
    /// The servers.
    pub servers: Servers,
    /// The name by which hosts know it.
    pub name: HostKey,
    /// The set that it keeps.
    pub set: SetPath,
    /// Whether the set holds the mapped endpoint of each host, too.
    pub mapped: bool,
    /// Which host may name which addresses.
    pub grants: Grants,
    /// The most hosts that it follows.
    pub hosts: usize,
}

/// Why there is no perimeter, or none any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PerimeterError {
    /// There is no connection, and will be none.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The set cannot be kept.
    #[error(transparent)]
    Set(#[from] EndpointSetError),
    /// The kernel cannot be followed.
    #[error(transparent)]
    Netlink(#[from] NftError),
}

/// The state and the counters of a perimeter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PerimeterStatus {
    /// Whether a server is connected and its entries are complete.
    pub is_following: bool,
    /// Whether the kernel has taken what the entries say.
    pub in_step: bool,
    /// Why not.
    pub trouble: Option<String>,
    /// The hosts with an open endpoint.
    pub hosts: usize,
    /// The endpoints in the set.
    pub endpoints: usize,
    /// The lease of the bucket.
    pub lease: Option<Duration>,
    /// How often another program changed what the set held, and it was put right.
    pub repairs: u64,
    /// How often the kernel refused a change.
    pub refusals: u64,
    /// The entries that counted for nothing, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

/// A perimeter whose set is there or will be, before it follows the bucket.
#[derive(Debug)]
pub struct Perimeter {
    config: PerimeterConfig,
    set: EndpointSet,
    monitor: Monitor,
    status: watch::Sender<PerimeterStatus>,
}

impl Perimeter {
    /// Looks at the set. That it does not exist yet is no error.
    ///
    /// # Errors
    ///
    /// [`PerimeterError`]
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its I/O driver.
    pub fn new(config: PerimeterConfig) -> Result<Self, PerimeterError> {
        let mut set = EndpointSet::open(config.set.clone(), DEFAULT_LEASE)?;
        // Before the first look, so that no change after it is missed.
        let monitor = Monitor::open(set.netlink_port())?;
        match set.read(std::time::Instant::now()) {
            Ok(_) | Err(EndpointSetError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Self {
            config,
            set,
            monitor,
            status: watch::Sender::default(),
        })
    }

    /// The status, now and with every change.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<PerimeterStatus> {
        self.status.subscribe()
    }

    /// Keeps the set in step until `shutdown` completes, and removes its elements then. Servers that are not there are
    /// waited for; meanwhile elements end with their leases, and so they do after an error.
    ///
    /// # Errors
    ///
    /// [`PerimeterError`], if waiting does not help.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), PerimeterError> {
        let name = format!("teredo firewall {}", self.config.name);
        let connection = self
            .config
            .servers
            .connect(&name, &self.config.name, PING)
            .await?;
        let mut run = Run::new(self, connection.client.clone());
        // What this one leaves ends with its leases, if the next one does not take it over.
        run.until(connection, shutdown).await?;
        match run.set.release(std::time::Instant::now()) {
            Ok(()) | Err(EndpointSetError::Missing(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

struct Run {
    config: PerimeterConfig,
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

/// A bucket, and whether it can be watched.
struct Opened {
    bucket: Bucket,
    watch: Result<Watch, BucketError>,
}

impl Run {
    fn new(perimeter: Perimeter, client: Client) -> Self {
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

    async fn until(
        &mut self,
        mut connection: Connection,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), PerimeterError> {
        let mut shutdown = pin!(shutdown);
        let mut questions = self.client.subscribe(format!("{ASK}.*")).await.ok();
        loop {
            let (look_at, retry_at) = (self.look_at, self.retry_at);
            let is_idle = self.watch.is_none() && self.opening.is_none();
            let watch_at = is_idle.then_some(self.watch_at);
            tokio::select! {
                () = &mut shutdown => return Ok(()),
                delivered = next_entry(&mut self.watch) => self.take(delivered).await,
                Some(event) = connection.events.recv() => self.hear(&event),
                message = message(&mut questions) => self.answer(&message).await,
                change = self.monitor.changed() => self.note(&change?),
                _ = self.beat.tick() => self.renew().await,
                () = until(look_at) => self.look().await,
                () = until(retry_at) => self.retry().await,
                () = until(watch_at) => self.follow(),
                opened = outcome(&mut self.opening) => self.opened(opened).await,
                () = sleep_until(self.compare_at) => self.ask_newest(),
                newest = outcome(&mut self.newest) => self.compare(newest),
                () = sleep_until(self.doubt.at()) => {
                    if self.status.borrow().is_following {
                        self.doubt.settle(Instant::now());
                    } else {
                        match self.connect_anew().await {
                            Ok(anew) => {
                                connection = anew;
                                questions = self.client.subscribe(format!("{ASK}.*")).await.ok();
                            }
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
        let name = format!("teredo firewall {}", self.config.name);
        let connection = self
            .config
            .servers
            .connect(&name, &self.config.name, PING)
            .await?;
        self.client = connection.client.clone();
        (self.watch, self.opening) = (None, None);
        UNCONNECTED.clone_into(&mut self.unconnected);
        self.troubles.forget_refusal();
        Ok(connection)
    }

    /// Begins to follow the bucket. The leases do not wait meanwhile.
    fn follow(&mut self) {
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

    async fn opened(&mut self, opened: Result<Opened, BucketError>) {
        self.opening = None;
        self.watch_at = Instant::now() + RETRY;
        let Opened { bucket, watch } = match opened {
            Ok(opened) => opened,
            Err(error) => return self.lose(&error.to_string()),
        };
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
    fn ask_newest(&mut self) {
        self.compare_at = Instant::now() + COMPARE;
        let bucket = self.bucket.as_ref().filter(|_| self.watch.is_some());
        self.newest = bucket.map(|bucket| bucket.newest().boxed());
    }

    /// A consumer that delivers nothing, although the servers have entries, is given up: it may be on a server that has just
    /// started, and says of itself that it is well.
    fn compare(&mut self, newest: Option<u64>) {
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

    fn abandon(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.abandon();
        }
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::Connected => {
                tracing::info!("connected to the servers");
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
            Event::ServerError(error) => {
                let whose = format!("the perimeter '{}' (--name)", self.config.name);
                let refusal = refusal(error, &whose);
                tracing::error!(refusal, "the server refuses");
                self.troubles.refuse(Instant::now(), refusal);
                self.tell_troubles();
            }
            Event::ClientError(ClientError::Other(cause)) => {
                if self.client.connection_state() != State::Connected {
                    self.unconnected = format!("{UNCONNECTED}: {cause}");
                    self.lose(&self.unconnected.clone());
                }
            }
            other => tracing::debug!(%other, "news of the connection"),
        }
    }

    fn lose(&mut self, reason: &str) {
        let is_following = self.status.borrow().is_following;
        if is_following || self.troubles.bucket.as_deref() != Some(reason) {
            tracing::warn!(
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

    /// Takes an entry, and all that have arrived with it.
    async fn take(&mut self, first: Result<Delivered, String>) {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(delivered) = next.take() {
            match delivered {
                Ok(delivered) => self.learn(&delivered),
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

    fn learn(&mut self, delivered: &Delivered) {
        let news = delivered.news();
        match self.ledger.learn(&news, delivered.at) {
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
    async fn begin(&mut self) {
        self.has_begun = true;
        self.pending.extend(self.set.held());
        // Without a host there is nothing to put into it, and it may be missing.
        match self.set.check() {
            Ok(()) => self.apply().await,
            Err(error) => self.fail(&error),
        }
        let hosts = self.ledger.open_hosts();
        tracing::info!(hosts, "the entries of the bucket are known");
        self.doubt.settle(Instant::now());
        self.troubles.bucket = None;
        self.troubles.forget_refusal();
        self.status.send_modify(|status| status.is_following = true);
        self.tell_troubles();
    }

    /// Puts into the kernel what may have changed.
    async fn apply(&mut self) {
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
                    tracing::info!("the set follows the hosts again");
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

    fn fail(&mut self, error: &EndpointSetError) {
        self.retry_at = Some(Instant::now() + RETRY);
        self.pending.clear();
        let reason = error.to_string();
        if self.troubles.set.as_ref() != Some(&reason) {
            tracing::error!(reason, "the set does not follow the hosts; trying again");
        }
        self.troubles.set = Some(reason);
        self.status.send_modify(|status| {
            status.refusals += u64::from(!matches!(error, EndpointSetError::Missing(_)));
            status.in_step = false;
            status.trouble = self.troubles.in_words();
        });
    }

    async fn retry(&mut self) {
        self.retry_at = None;
        self.pending.extend(self.ledger.endpoints());
        self.pending.extend(self.set.held());
        self.look().await;
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

    /// A host asks whether its entry has been acted on.
    async fn answer(&mut self, message: &Message) {
        let host = message
            .subject
            .rsplit('.')
            .next()
            .and_then(|token| token.parse().ok());
        if let Some(host) = host
            && self.status.borrow().in_step
            && !self.unconfirmed.contains(&host)
            && self
                .ledger
                .state(&host, std::time::Instant::now())
                .is_some()
        {
            // One host must not keep the others waiting.
            let asked = self.asked.entry(host.clone()).or_default();
            *asked += 1;
            if *asked <= QUESTIONS {
                self.tell(&host).await;
            }
        }
    }

    /// Closes what has ended, and renews what goes on.
    async fn renew(&mut self) {
        let now = std::time::Instant::now();
        self.asked.clear();
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

    fn note(&mut self, change: &Change) {
        tracing::debug!(?change, "another program changed the ruleset");
        let (over, took) = self.looked;
        self.look_at
            .get_or_insert_with(|| over + LOOK_INTERVAL.max(took * LOOK_SHARE));
    }

    /// Looks at the set, and puts it right.
    async fn look(&mut self) {
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

/// The outcome of work in the background; without any, none ever comes.
async fn outcome<T>(work: &mut Option<BoxFuture<'static, T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

async fn next_entry(watch: &mut Option<Watch>) -> Result<Delivered, String> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}
