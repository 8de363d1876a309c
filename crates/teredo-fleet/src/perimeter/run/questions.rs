//! The questions of the hosts, by a connection of their own.
//!
//! NATS limits no rate. All that a host can have sent to a perimeter are its entry, of 1 KiB, and questions, of 16 KiB: so a
//! flood of questions may keep this connection busy, and the one with the watch hears its signs of life.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Event, ServerError, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::Instant;

use super::{QUESTIONS, RETRY, Run};
use crate::confirm::ASK;
use crate::servers::{ConnectError, Connection, Connector};
use crate::{HostKey, STATE};

/// The questions that may wait; a host asks again after 50 ms.
const WAITING: usize = 1024;

/// When a subscription that was refused is tried again: the administrator may have mended the account.
const REFUSED: Duration = Duration::from_secs(10);

/// A connection that is there, or away, for so long has more to tell than one that changes.
const SETTLED: Duration = Duration::from_secs(1);

const UNCONNECTED: &str = "there is no connection for them";

/// A word that comes by this connection.
#[derive(Debug)]
pub(super) enum Heard {
    /// A host asks whether its entry has been acted on.
    Question(HostKey),
    /// The server refuses the subscription.
    Refusal(ServerError),
    /// The library has given the connection up.
    End,
}

/// How the questions are heard.
pub(super) struct Hearing {
    /// It has turns of its own: two connections that took the servers in step would never meet the same one.
    connector: Connector,
    questions: Option<Questions>,
    /// When there may be a connection again.
    at: Instant,
    /// Whether there is one, as of the last beat, and since when.
    is_connected: (bool, Instant),
}

/// The connection. The library makes it anew, and gives up after some attempts.
struct Questions {
    connection: Connection,
    subscriber: Option<Subscriber>,
}

impl Hearing {
    pub(super) fn new(connector: Connector, now: Instant) -> Self {
        Self {
            connector: connector.with_room_for(WAITING),
            questions: None,
            at: now,
            is_connected: (false, now),
        }
    }

    /// Gives the connection up, and makes another one with the next beat.
    pub(super) fn begin_anew(&mut self) {
        (self.questions, self.at) = (None, Instant::now());
    }

    /// The next word; without a connection, none ever comes. Nothing is lost if it is given up.
    pub(super) async fn next(&mut self) -> Heard {
        match &mut self.questions {
            Some(questions) => questions.next().await,
            None => std::future::pending().await,
        }
    }
}

impl Questions {
    async fn follow(connector: &Connector) -> Result<Self, ConnectError> {
        let connection = connector.connect().await?;
        let subscriber = connection.client.subscribe(format!("{ASK}.*")).await.ok();
        Ok(Self {
            connection,
            subscriber,
        })
    }

    fn is_connected(&self) -> bool {
        self.connection.client.connection_state() == State::Connected
    }

    async fn next(&mut self) -> Heard {
        loop {
            tokio::select! {
                Some(event) = self.connection.events.recv() => match event {
                    Event::ServerError(error) if is_about_a_permission(&error) => {
                        return Heard::Refusal(error);
                    }
                    // One for each question beyond those that may wait.
                    Event::SlowConsumer(_) => {}
                    other => tracing::debug!(%other, "news of the connection for questions"),
                },
                host = question(&mut self.subscriber) => {
                    return host.map_or(Heard::End, Heard::Question);
                }
            }
        }
    }
}

/// After all other errors the library connects anew.
fn is_about_a_permission(error: &ServerError) -> bool {
    error.to_string().contains("Permissions Violation")
}

/// The host that asks next; none after the end of the subscription.
async fn question(subscriber: &mut Option<Subscriber>) -> Option<HostKey> {
    while let Some(message) = subscriber.as_mut()?.next().await {
        // The server sees to it that a host asks for itself.
        let token = message.subject.rsplit('.').next();
        if let Some(host) = token.and_then(|token| token.parse().ok()) {
            return Some(host);
        }
    }
    None
}

impl Run {
    /// Takes what has come from the hosts that ask, as much as may wait.
    pub(super) async fn listen(&mut self, first: Heard) {
        let mut next = Some(first);
        for _ in 0..WAITING {
            match next {
                Some(Heard::Question(host)) => self.answer(host).await,
                Some(Heard::Refusal(error)) => {
                    self.mishear(&self.in_words(&error), REFUSED);
                }
                Some(Heard::End) => self.mishear(UNCONNECTED, RETRY),
                None => return,
            }
            next = self.hearing.next().now_or_never();
        }
    }

    /// Gives the connection up, and makes the next one later.
    fn mishear(&mut self, reason: &str, pause: Duration) {
        self.hearing.questions = None;
        self.hearing.at = Instant::now() + pause;
        self.tell_unheard(reason);
    }

    fn tell_unheard(&mut self, reason: &str) {
        const WHAT: &str = "the questions of the hosts are not heard";
        let words = format!("{WHAT}: {reason}");
        if self.troubles.questions.replace(words).is_none() {
            tracing::warn!(target: STATE, reason, "{WHAT}");
        }
        self.tell_troubles();
    }

    /// Makes the connection if there is none, and tells whether it has settled.
    pub(super) async fn hear_hosts(&mut self) {
        let now = Instant::now();
        if self.hearing.questions.is_none() && now >= self.hearing.at {
            match Questions::follow(&self.hearing.connector).await {
                Ok(questions) => self.hearing.questions = Some(questions),
                // Such as a file that is being replaced.
                Err(error) => self.mishear(&error.to_string(), RETRY),
            }
        }
        let hearing = &mut self.hearing;
        let hears = hearing
            .questions
            .as_ref()
            .is_some_and(Questions::is_connected);
        if hears != hearing.is_connected.0 {
            hearing.is_connected = (hears, now);
        }
        if now < hearing.is_connected.1 + SETTLED {
            return;
        }
        let is_told = self.troubles.questions.is_some();
        if hears && is_told {
            tracing::info!(target: STATE, "the questions of the hosts are heard again");
            self.troubles.questions = None;
            self.tell_troubles();
        } else if !hears && !is_told && self.status.borrow().is_following {
            self.tell_unheard(UNCONNECTED);
        }
    }

    /// Tells a host how far its entries have been acted on.
    async fn answer(&mut self, host: HostKey) {
        let is_known = self.status.borrow().in_step
            && !self.unconfirmed.contains(&host)
            && self
                .ledger
                .state(&host, std::time::Instant::now())
                .is_some();
        if is_known {
            // One host must not keep the others waiting.
            let asked = self.asked.entry(host.clone()).or_default();
            *asked += 1;
            if *asked <= QUESTIONS {
                self.tell(&host).await;
            }
        }
    }
}
