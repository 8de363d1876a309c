//! The loop of a publisher: the local node, and the connection.

mod entry;
mod settle;

use std::net::Ipv4Addr;
use std::pin::pin;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{ClientError, Event, Subscriber};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use teredo_notify::Snapshot;
use teredo_notify::watcher::GatingSubscriber;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use self::entry::Put;
use self::settle::{CHECK, Unsettled};
use super::{PublisherConfig, PublisherError, PublisherStatus};
use crate::STATE;
use crate::bucket::{Bucket, BucketError};
use crate::confirm::{CONFIRMED, Perimeters};
use crate::details::Details;
use crate::doubt::Doubt;
use crate::entry_clock::EntryClock;
use crate::servers::{ConnectError, Connection, Connector, refusal};
use crate::wait::{message, outcome, until};

/// How soon what the servers refused is tried again.
const RETRY: Duration = Duration::from_millis(500);

const UNCONNECTED: &str = "there is no connection to the servers";

/// A publisher that runs.
pub(super) struct Run {
    config: PublisherConfig,
    status: watch::Sender<PublisherStatus>,
    connector: Connector,
    client: async_nats::Client,
    gate: GatingSubscriber,
    details: watch::Receiver<Details>,
    bucket: Option<Bucket>,
    /// The bucket is looked for.
    opening: Option<BoxFuture<'static, Result<Bucket, BucketError>>>,
    /// Whether the bucket is still as it was known.
    is_confirmed: bool,
    /// Since when there has been none.
    missing_since: Option<Instant>,
    perimeters: Perimeters,
    state: Option<Snapshot>,
    clock: EntryClock,
    /// Where the host last sent from.
    address: Option<Ipv4Addr>,
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

impl Run {
    pub(super) fn new(
        config: PublisherConfig,
        status: watch::Sender<PublisherStatus>,
        (connector, client): (Connector, async_nats::Client),
        details: watch::Receiver<Details>,
    ) -> Self {
        let now = Instant::now();
        Self {
            gate: GatingSubscriber::new(&config.socket),
            perimeters: Perimeters::new(config.boot.clone(), &config.perimeters),
            config,
            status,
            connector,
            client,
            details,
            bucket: None,
            opening: None,
            is_confirmed: false,
            missing_since: None,
            state: None,
            clock: EntryClock::default(),
            address: None,
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

    pub(super) async fn until(
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
                opened = outcome(&mut self.opening) => self.opened(opened).await,
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
        let connection = self.connector.connect().await?;
        self.client = connection.client.clone();
        self.puts.clear();
        self.bucket = self.bucket.take().map(|bucket| bucket.over(&self.client));
        (self.opening, self.is_confirmed, self.refusal) = (None, false, None);
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
                tracing::info!(target: STATE, "connected to the servers");
                // Another cluster may have another bucket.
                (self.opening, self.is_confirmed, self.refusal) = (None, false, None);
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
                tracing::warn!(target: STATE, "the connection to the servers is lost");
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

    async fn fail(&mut self, reason: String) {
        // It tells more than the timeout that follows.
        let reason = self.refusal.clone().unwrap_or(reason);
        self.renew_at = Instant::now() + RETRY;
        if self.trouble.as_ref() != Some(&reason) {
            tracing::warn!(target: STATE, reason, "the bucket does not have this host's state");
        }
        self.trouble = Some(reason);
        // Always: a gate that no longer reports counts as hung.
        self.report(true).await;
    }
}
