//! The publisher: it keeps the state of the local node in the bucket, as a lease, and is a gate of the node meanwhile.
//!
//! ```text
//!  node ── port (sequence) ──> publisher ── entry ──> bucket ──> perimeters
//!    ^                            │  ^                                │
//!    └──────── settled ───────────┘  └── confirmed, if it waits ──────┘
//! ```

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{ClientError, Event, Subscriber};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use teredo_notify::Snapshot;
use teredo_notify::hub::GateReport;
use teredo_notify::types::FLEET_BACKEND;
use teredo_notify::watcher::{GatingError, GatingSubscriber};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::bucket::{Bucket, BucketError, PutError};
use crate::confirm::{ASK, CONFIRMED, Perimeters};
use crate::details::{self, Details};
use crate::doubt::Doubt;
use crate::entry_clock::EntryClock;
use crate::servers::{ConnectError, Connection, Servers, refusal};
use crate::wait::{message, until};
use crate::{Entry, HostKey};

/// The lease of a bucket that a publisher creates.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(15);

/// The shortest lease: three renewals have to fit in it.
pub const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// How often a server shows that it lives.
const PING: Duration = Duration::from_secs(5);

/// How long the perimeters may take to confirm before that is a trouble: the deadline of the node's gates.
const DEADLINE: Duration = Duration::from_millis(250);

/// How often a perimeter that has not confirmed is asked.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// How often it is asked once the deadline is over.
const ASK_LATER: Duration = Duration::from_secs(1);

/// How often the perimeters are asked although they have confirmed,
const CHECK: Duration = Duration::from_secs(20);

/// and how long one may be silent: two questions and their answers may be lost.
const SILENCE: Duration = Duration::from_secs(75);

/// How soon what the servers refused is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Entries on their way. More than one is rare: the node waits for its gate.
const ON_THE_WAY: usize = 16;

/// How long a host with credentials leaves it to a perimeter to create the bucket.
const PERIMETER_FIRST: Duration = Duration::from_secs(5);

/// How long the end waits for the servers.
const FAREWELL: Duration = Duration::from_secs(1);

const UNCONNECTED: &str = "there is no connection to the servers";

/// An address that no host has, to ask the kernel for the address of this host towards the world.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 88, 99, 1);

/// The configuration of a publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherConfig {
    /// The servers.
    pub servers: Servers,
    /// The key of this host.
    pub host: HostKey,
    /// The lease of the entry, if it is shorter than the bucket's, and of a new bucket; none: the bucket's.
    pub lease: Option<Duration>,
    /// The perimeters that have to confirm a port before it is used.
    pub perimeters: Vec<HostKey>,
    /// The socket of the local node.
    pub socket: PathBuf,
    /// The boot of this host, of at most 64 bytes; Linux tells it in `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
}

/// Why a publisher ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublisherError {
    /// There is no connection, and will be none.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The service does not accept this process as a gate.
    #[error(transparent)]
    Gate(#[from] GatingError),
    /// The system refuses a thread.
    #[error("cannot follow the local service: {0}")]
    Thread(std::io::Error),
    /// The thread that follows the addresses has ended, and with it what they are.
    #[error("the addresses of the local service are no longer followed")]
    Details,
}

/// The state of a publisher.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublisherStatus {
    /// The port of the node; 0: none.
    pub port: u16,
    /// Whether the bucket has the current state, and each perimeter has confirmed it.
    pub in_step: bool,
    /// Why not.
    pub trouble: Option<String>,
    /// The entries that the bucket has taken.
    pub written: u64,
    /// The entries that it has refused, or that got no answer.
    pub failed: u64,
}

/// A publisher, before it runs.
#[derive(Debug)]
pub struct Publisher {
    config: PublisherConfig,
    status: watch::Sender<PublisherStatus>,
}

impl Publisher {
    /// A publisher with this configuration.
    #[must_use]
    pub fn new(config: PublisherConfig) -> Self {
        Self {
            config,
            status: watch::Sender::default(),
        }
    }

    /// The status, now and with every change.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<PublisherStatus> {
        self.status.subscribe()
    }

    /// Publishes until `shutdown` completes, and deletes the entry then. Servers that are not there, and a service that does
    /// not run, are waited for.
    ///
    /// # Errors
    ///
    /// [`PublisherError`], if waiting does not help.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its I/O and time drivers.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), PublisherError> {
        let Self { config, status } = self;
        let name = format!("teredo publish {}", config.host);
        let connection = config.servers.connect(&name, &config.host, PING).await?;
        let details = details::follow(&config.socket).map_err(PublisherError::Thread)?;
        let mut run = Run::new(config, status, connection.client.clone(), details);
        let ended = run.until(connection, shutdown).await;
        run.say_farewell().await;
        ended
    }
}

/// A put that the servers have not acknowledged: the moment of its entry, and then its number in the bucket.
type Put = BoxFuture<'static, (Duration, Result<u64, PutError>)>;

struct Run {
    config: PublisherConfig,
    status: watch::Sender<PublisherStatus>,
    client: async_nats::Client,
    gate: GatingSubscriber,
    details: watch::Receiver<Details>,
    bucket: Option<Bucket>,
    /// Since when there has been none.
    missing_since: Option<Instant>,
    perimeters: Perimeters,
    state: Option<Snapshot>,
    clock: EntryClock,
    /// When a connection without success is given up.
    doubt: Doubt,
    puts: FuturesUnordered<Put>,
    /// The number of the last entry that the bucket has.
    number: Option<u64>,
    /// When the last connection began.
    connected: std::time::Instant,
    /// The state that the node waits for, and the time of its entry.
    unsettled: Option<Unsettled>,
    /// Why the bucket does not have the state.
    trouble: Option<String>,
    /// The server's last refusal on this connection.
    refusal: Option<String>,
    reported: Option<String>,
    renew_at: Instant,
    ask_at: Option<Instant>,
    /// When the perimeters are asked although they have confirmed.
    check_at: Instant,
}

#[derive(Debug)]
struct Unsettled {
    sequence: u64,
    /// The moment of the first entry with it; none: there is none yet.
    time: Option<Duration>,
    written: bool,
    since: Instant,
    /// Where the host sends from, as that entry says.
    local: Option<SocketAddrV4>,
    /// Since when all but a confirmation is there.
    waiting_since: Option<Instant>,
}

impl Unsettled {
    /// Whether the perimeters have had the time to confirm it.
    fn is_late(&self) -> bool {
        self.waiting_since
            .is_some_and(|since| since.elapsed() >= DEADLINE)
    }
}

impl Run {
    fn new(
        config: PublisherConfig,
        status: watch::Sender<PublisherStatus>,
        client: async_nats::Client,
        details: watch::Receiver<Details>,
    ) -> Self {
        let now = Instant::now();
        Self {
            gate: GatingSubscriber::new(&config.socket),
            perimeters: Perimeters::new(config.boot.clone(), &config.perimeters),
            config,
            status,
            client,
            details,
            bucket: None,
            missing_since: None,
            state: None,
            clock: EntryClock::default(),
            number: None,
            connected: std::time::Instant::now(),
            doubt: Doubt::new(now),
            puts: FuturesUnordered::new(),
            unsettled: None,
            trouble: Some(String::from("there is no connection to the servers yet")),
            refusal: None,
            reported: None,
            renew_at: now,
            ask_at: None,
            check_at: now + CHECK,
        }
    }

    async fn until(
        &mut self,
        mut connection: Connection,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), PublisherError> {
        let mut shutdown = pin!(shutdown);
        let mut confirmations = self.subscribe().await;
        loop {
            tokio::select! {
                () = &mut shutdown => return Ok(()),
                state = self.gate.next() => self.learn(state?).await,
                changed = self.details.changed() => {
                    changed.map_err(|_| PublisherError::Details)?;
                    self.put().await;
                }
                Some(event) = connection.events.recv() => self.hear(event).await,
                Some((time, outcome)) = self.puts.next() => self.acknowledged(time, outcome).await,
                message = message(&mut confirmations) => {
                    let name = message.subject.rsplit('.').next().unwrap_or_default().to_owned();
                    let now = std::time::Instant::now();
                    // A perimeter sends none. A copy that the server makes of an entry for a reader has one.
                    if message.headers.is_none() {
                        self.perimeters.take(&name, &message.payload, now);
                    }
                    self.settle().await;
                    // One that was silent may be heard again.
                    self.report(false).await;
                }
                () = sleep_until(self.renew_at) => self.put().await,
                () = until(self.ask_at) => self.ask().await,
                () = sleep_until(self.check_at) => self.check().await,
                () = sleep_until(self.doubt.at()) => {
                    if self.trouble.is_none() || self.has_nothing_to_say() {
                        self.doubt.settle(Instant::now());
                    } else {
                        match self.connect_anew().await {
                            Ok(anew) => {
                                connection = anew;
                                confirmations = self.subscribe().await;
                            }
                            // Such as a file that is being replaced.
                            Err(error) => self.fail(error.to_string()).await,
                        }
                    }
                }
            }
        }
    }

    /// Gives the connection up and makes another one: the library can wait for minutes for a server that is cut off.
    async fn connect_anew(&mut self) -> Result<Connection, ConnectError> {
        self.doubt.grow(Instant::now());
        let name = format!("teredo publish {}", self.config.host);
        let connection = self
            .config
            .servers
            .connect(&name, &self.config.host, PING)
            .await?;
        self.client = connection.client.clone();
        self.puts.clear();
        (self.bucket, self.refusal) = (None, None);
        Ok(connection)
    }

    /// Whether the connection waits for the local service, which has not told its port yet.
    fn has_nothing_to_say(&self) -> bool {
        self.state.is_none() && self.client.connection_state() == State::Connected
    }

    async fn subscribe(&self) -> Option<Subscriber> {
        if self.perimeters.is_empty() {
            return None;
        }
        self.client
            .subscribe(format!("{CONFIRMED}.{}.*", self.config.host))
            .await
            .ok()
    }

    async fn learn(&mut self, state: Snapshot) {
        self.state = Some(state);
        self.unsettled = Some(Unsettled {
            sequence: state.sequence,
            time: None,
            written: false,
            since: Instant::now(),
            local: None,
            waiting_since: None,
        });
        self.status.send_modify(|status| {
            status.port = state.port;
            status.in_step = false;
        });
        self.put().await;
    }

    async fn hear(&mut self, event: Event) {
        match event {
            Event::Connected => {
                tracing::info!("connected to the servers");
                // Another cluster may have another bucket.
                self.bucket = None;
                self.refusal = None;
                self.connected = std::time::Instant::now();
                self.check_at = Instant::now();
                if self.state.is_none() {
                    self.fail(String::from(
                        "the local service has not told its port: it is stopped, or does not answer",
                    ))
                    .await;
                }
                self.put().await;
            }
            Event::Disconnected => {
                tracing::warn!("the connection to the servers is lost");
                self.refusal = None;
                self.fail(UNCONNECTED.to_owned()).await;
            }
            // Such as a permission that is missing.
            Event::ServerError(error) => {
                let refusal = refusal(&error, &format!("host '{}'", self.config.host));
                tracing::error!(refusal, "the server refuses");
                self.refusal = Some(refusal.clone());
                self.fail(refusal).await;
            }
            Event::ClientError(ClientError::Other(cause)) => {
                if self.client.connection_state() != State::Connected {
                    self.fail(format!("{UNCONNECTED}: {cause}")).await;
                }
            }
            other => {
                tracing::debug!(%other, "news of the connection");
            }
        }
    }

    /// Writes the current state, which renews the lease, too.
    async fn put(&mut self) {
        self.renew_at = Instant::now() + RETRY;
        let Some(state) = self.state else {
            return;
        };
        // The library would keep it for a later connection, and a port of the past would be opened then.
        if self.client.connection_state() != State::Connected {
            // The news of its end may not have come yet.
            match self.trouble.is_none() {
                true => self.fail(UNCONNECTED.to_owned()).await,
                false => self.report(true).await,
            }
            return;
        }
        if self.puts.len() >= ON_THE_WAY {
            return;
        }
        let bucket = match &self.bucket {
            Some(bucket) => bucket.clone(),
            None => match self.open().await {
                Ok(bucket) => bucket,
                Err(error) => {
                    self.fail(error.to_string()).await;
                    return;
                }
            },
        };
        self.renew_at = Instant::now() + self.interval();
        let entry = self.entry(state);
        let time = entry.moment();
        if state.has_port() && entry.local.is_none() {
            // Nobody can open a port without an address, so nothing is confirmed.
            self.fail(String::from("the IPv4 address of this host is not known"))
                .await;
            return;
        }
        if let Some(unsettled) = &mut self.unsettled {
            // The host may have moved: the port is of no use at its former address.
            if unsettled.time.is_none() || unsettled.local != entry.local {
                (unsettled.time, unsettled.local) = (Some(time), entry.local);
                (unsettled.written, unsettled.waiting_since) = (false, None);
            }
        }
        match bucket.put(&entry).await {
            Ok(acknowledgement) => self.puts.push(Box::pin(async move {
                let outcome = acknowledgement.await;
                (
                    time,
                    outcome.map(|taken| taken.sequence).map_err(PutError::from),
                )
            })),
            Err(error) => self.fail(error).await,
        }
    }

    async fn open(&mut self) -> Result<Bucket, BucketError> {
        let create = self.config.lease.unwrap_or(DEFAULT_LEASE);
        // With credentials, a host may not create it, as a rule, and a refusal takes as long as a silence. A perimeter does.
        let patience = if self.config.servers.creds.is_some() {
            PERIMETER_FIRST
        } else {
            Duration::ZERO
        };
        let is_due = self
            .missing_since
            .is_some_and(|since| since.elapsed() >= patience)
            || patience.is_zero();
        let opened = Bucket::open(&self.client, is_due.then_some(create)).await;
        self.missing_since = match &opened {
            Err(BucketError::Missing) => Some(self.missing_since.unwrap_or_else(Instant::now)),
            _ => None,
        };
        let bucket = opened?;
        if let Some(wanted) = self.config.lease.filter(|wanted| *wanted != bucket.lease) {
            let (wanted, lease) = (
                humantime::format_duration(wanted),
                humantime::format_duration(bucket.lease),
            );
            tracing::warn!(
                "the bucket keeps entries for {lease}, not {wanted}: perimeters close after the shorter of the two"
            );
        }
        Ok(self.bucket.insert(bucket).clone())
    }

    /// The time to the next renewal: a third of the lease, and up to a fifth less. After a power cut of a site all hosts come
    /// at once, and must not stay together.
    fn interval(&self) -> Duration {
        (self.lease() / 3).mul_f64(0.8 + 0.2 * fastrand::f64())
    }

    /// How long an entry lasts.
    fn lease(&self) -> Duration {
        let bucket = self
            .bucket
            .as_ref()
            .map_or(DEFAULT_LEASE, |bucket| bucket.lease);
        self.config
            .lease
            .map_or(bucket, |wanted| wanted.min(bucket))
    }

    fn entry(&mut self, state: Snapshot) -> Entry {
        let (time, uptime) = self.clock.next();
        let details = *self.details.borrow_and_update();
        // The status may be of another moment than the port, and during a change it is.
        let same_port = details
            .local
            .is_some_and(|local| local.port() == state.port);
        let address = details.local.map(|local| *local.ip()).or_else(own_address);
        let local = address
            .filter(|_| state.has_port())
            .map(|address| SocketAddrV4::new(address, state.port));
        Entry {
            host: self.config.host.clone(),
            address: details.address.filter(|_| same_port),
            local,
            mapped: details.mapped.filter(|_| same_port),
            sequence: state.sequence,
            boot: self.config.boot.clone(),
            time,
            uptime: Some(uptime),
            // The bucket's needs no mention.
            lease: self.config.lease.filter(|wanted| {
                self.bucket
                    .as_ref()
                    .is_some_and(|bucket| *wanted < bucket.lease)
            }),
        }
    }

    async fn acknowledged(&mut self, time: Duration, outcome: Result<u64, PutError>) {
        match outcome {
            Ok(number) => {
                self.number = Some(number);
                self.status.send_modify(|status| status.written += 1);
                (self.trouble, self.refusal) = (None, None);
                self.doubt.settle(Instant::now());
                if let Some(unsettled) = &mut self.unsettled {
                    unsettled.written |= unsettled.time.is_some_and(|first| first <= time);
                }
                self.settle().await;
                self.report(true).await;
            }
            Err(error) => {
                self.status.send_modify(|status| status.failed += 1);
                // The servers have enough to do then, so it is not looked for after each failure.
                if error.is_without_bucket {
                    self.bucket = None;
                }
                self.fail(error.reason).await;
            }
        }
    }

    async fn fail(&mut self, reason: String) {
        // It tells more than the timeout that follows.
        let reason = self.refusal.clone().unwrap_or(reason);
        self.renew_at = Instant::now() + RETRY;
        if self.trouble.as_ref() != Some(&reason) {
            tracing::warn!(reason, "the bucket does not have this host's state");
        }
        self.trouble = Some(reason);
        // Always: a gate that no longer reports counts as hung.
        self.report(true).await;
    }

    /// Lets the node use its new port (N-16): the bucket has the entry, and every perimeter has confirmed it. Until then, does
    /// nothing.
    async fn settle(&mut self) {
        let Some(Unsettled {
            sequence,
            time: Some(time),
            written: true,
            since,
            ref mut waiting_since,
            ..
        }) = self.unsettled
        else {
            return;
        };
        if !self.perimeters.missing(time).is_empty() {
            let now = Instant::now();
            waiting_since.get_or_insert(now);
            self.ask_at.get_or_insert(now + ASK_EVERY);
            return;
        }
        self.gate.settle(sequence).await;
        self.unsettled = None;
        self.ask_at = None;
        tracing::info!(
            sequence,
            micros = since.elapsed().as_micros(),
            "the fleet knows the port"
        );
        self.report(true).await;
    }

    /// Asks the perimeters that have not confirmed.
    async fn ask(&mut self) {
        self.ask_at = None;
        let Some(unsettled) = &self.unsettled else {
            return;
        };
        let Some(time) = unsettled.time else {
            return;
        };
        if self.perimeters.missing(time).is_empty() {
            return;
        }
        let is_late = unsettled.is_late();
        self.ask_at = Some(Instant::now() + if is_late { ASK_LATER } else { ASK_EVERY });
        if is_late {
            self.report(false).await;
        }
        self.send_question().await;
    }

    /// Asks whether the perimeters still hold what they have confirmed: one may have died since.
    async fn check(&mut self) {
        self.check_at = Instant::now() + CHECK.mul_f64(0.8 + 0.2 * fastrand::f64());
        if !self.perimeters.is_empty() {
            self.send_question().await;
        }
    }

    async fn send_question(&self) {
        if self.client.connection_state() == State::Connected {
            // One that is lost is repeated.
            let _ = self
                .client
                .publish(format!("{ASK}.{}", self.config.host), Vec::new().into())
                .await;
        }
    }

    /// Tells the node how the fleet is: when that changes, or to say that this process works.
    async fn report(&mut self, always: bool) {
        let port = self.state.map_or(0, |state| state.port);
        let late = self.unsettled.as_ref().filter(|state| state.is_late());
        let waiting = late.and_then(|unsettled| {
            let missing = self.perimeters.missing(unsettled.time?);
            match port {
                0 => told(&missing, "did not confirm that the port is closed"),
                port => told(&missing, &format!("did not confirm port {port}")),
            }
        });
        let silent = || {
            let now = std::time::Instant::now();
            let silent = self.perimeters.silent(self.connected, now, SILENCE);
            told(&silent, "confirmed the port, and does so no longer")
        };
        let trouble = self.trouble.clone().or(waiting).or_else(silent);
        let is_new = self.reported != trouble;
        let in_step = trouble.is_none() && self.unsettled.is_none() && self.state.is_some();
        self.status.send_if_modified(|status| {
            let changed = status.trouble != trouble || status.in_step != in_step;
            status.in_step = in_step;
            status.trouble.clone_from(&trouble);
            changed
        });
        if !is_new && !always {
            return;
        }
        let report = GateReport {
            trouble: trouble.clone(),
            protects: Vec::new(),
            backend: Some(FLEET_BACKEND.to_owned()),
            random_trouble: Some(String::from(
                "the perimeters of a fleet open no random ports",
            )),
            valid: self.lease().max(RETRY * 4),
        };
        if is_new && self.trouble.is_none() {
            match &trouble {
                Some(trouble) => tracing::warn!(trouble, "a perimeter does not have this port"),
                None => tracing::info!(port, "the bucket and the perimeters have the port"),
            }
        }
        self.gate.report(&report).await;
        self.reported = trouble;
    }

    /// Deletes the entry. Without the servers, it ends with its lease.
    async fn say_farewell(&mut self) {
        let taken = async {
            while let Some((_, outcome)) = self.puts.next().await {
                self.number = outcome.ok().or(self.number);
            }
        };
        let _ = timeout(FAREWELL, taken).await;
        if let (Some(bucket), Some(number)) = (&self.bucket, self.number)
            && self.client.connection_state() == State::Connected
        {
            match timeout(FAREWELL, bucket.delete(&self.config.host, number)).await {
                Ok(Ok(())) => tracing::info!("the entry of this host is deleted"),
                Ok(Err(error)) => {
                    tracing::warn!(error, "the entry of this host ends with its lease")
                }
                Err(_) => tracing::warn!(
                    "the entry of this host ends with its lease: the servers do not answer"
                ),
            }
        }
    }
}

/// The names of perimeters, and their deed; none if there are none.
fn told(perimeters: &[&HostKey], deed: &str) -> Option<String> {
    let names: Vec<_> = perimeters.iter().map(|name| name.as_str()).collect();
    (!names.is_empty()).then(|| format!("{} {deed}", names.join(" and ")))
}

/// The address from which the kernel sends to the world; it sends nothing to find out.
fn own_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((ELSEWHERE, 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        std::net::IpAddr::V4(address) => Some(address),
        std::net::IpAddr::V6(_) => None,
    }
}
