//! The questions of the hosts, by a connection of their own.
//!
//! NATS limits no rate. All that a host can have sent to a perimeter are its entry, of 1 KiB, and questions, of 16 KiB: so a
//! flood of questions may keep this connection busy, and the one with the watch hears its signs of life.

use async_nats::{Event, ServerError, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};

use crate::HostKey;
use crate::confirm::ASK;
use crate::servers::{ConnectError, Connection, Connector};

/// The questions that may wait; a host asks again after 50 ms.
pub(super) const WAITING: usize = 1024;

/// A word that comes by this connection.
#[derive(Debug)]
pub(super) enum Heard {
    /// A host asks whether its entry has been acted on.
    Question(HostKey),
    /// The server refuses something, such as the subscription.
    Refusal(ServerError),
}

/// The connection, which the library makes anew as often as it ends.
#[derive(Debug)]
pub(super) struct Questions {
    connection: Connection,
    subscriber: Option<Subscriber>,
}

impl Questions {
    pub(super) async fn follow(connector: &Connector) -> Result<Self, ConnectError> {
        let connection = connector.connect().await?;
        let subscriber = connection.client.subscribe(format!("{ASK}.*")).await.ok();
        Ok(Self {
            connection,
            subscriber,
        })
    }

    /// Waits for the next. Nothing is lost if it is given up.
    pub(super) async fn next(&mut self) -> Heard {
        loop {
            tokio::select! {
                Some(event) = self.connection.events.recv() => match event {
                    Event::ServerError(error) => return Heard::Refusal(error),
                    other => tracing::debug!(%other, "news of the connection for questions"),
                },
                host = question(&mut self.subscriber) => return Heard::Question(host),
            }
        }
    }

    /// The next that has come already.
    pub(super) fn next_now(&mut self) -> Option<Heard> {
        self.next().now_or_never()
    }
}

/// The host that asks next; without a subscription, none ever does.
async fn question(subscriber: &mut Option<Subscriber>) -> HostKey {
    while let Some(subscriber) = subscriber
        && let Some(message) = subscriber.next().await
    {
        // The server sees to it that a host asks for itself.
        let token = message.subject.rsplit('.').next();
        if let Some(host) = token.and_then(|token| token.parse().ok()) {
            return host;
        }
    }
    std::future::pending().await
}
