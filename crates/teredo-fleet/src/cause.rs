//! Why there is no connection to the servers, in words that say what to do.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::{ClientError, ConnectErrorKind, Event, ServerAddr};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::Urls;

/// How long a server may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(1);

/// The least time between two searches for a cause. The library tries to connect once a second.
const PAUSE: Duration = Duration::from_secs(5);

/// Finds causes, and not all the time.
pub(crate) struct Causes {
    urls: Urls,
    next: Mutex<Instant>,
}

impl Causes {
    pub(crate) fn new(urls: Urls) -> Self {
        Self {
            urls,
            next: Mutex::new(Instant::now()),
        }
    }

    /// Looks for the cause of a failure of the library in the background: a connection that comes meanwhile must not wait.
    pub(crate) fn ask(&self, failure: String, sender: &mpsc::Sender<Event>) {
        let now = Instant::now();
        {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            if now < *next {
                return;
            }
            *next = now + PAUSE;
        }
        let (urls, sender) = (self.urls.clone(), sender.clone());
        tokio::spawn(async move {
            let cause = cause(&urls, &failure).await;
            // A full channel holds news enough.
            drop(sender.try_send(Event::ClientError(ClientError::Other(cause))));
        });
    }
}

/// The cause of a failure that the library names by its kind alone. Each server that is named is tried once more, by TCP.
async fn cause(urls: &Urls, failure: &str) -> String {
    let is = |kind: ConnectErrorKind| failure == kind.to_string();
    if is(ConnectErrorKind::AuthorizationViolation) || is(ConnectErrorKind::Authentication) {
        return String::from("they refuse the credentials");
    }
    let (mut accept, mut refused) = (Vec::new(), Vec::new());
    for url in urls.iter() {
        let Ok(server) = url.parse::<ServerAddr>() else {
            continue;
        };
        let (host, port) = (server.host(), server.port());
        match timeout(PATIENCE, TcpStream::connect((host, port))).await {
            Ok(Ok(_)) => accept.push(format!("{host}:{port}")),
            Ok(Err(error)) => refused.push(format!("{host}:{port}: {}", plain(&error))),
            Err(_) => refused.push(format!("{host}:{port} does not answer")),
        }
    }
    if !accept.is_empty() {
        refused.push(of_server(&accept, is(ConnectErrorKind::TimedOut)));
    }
    refused.join(", ")
}

/// Servers that accept connections.
fn of_server(servers: &[String], is_silent: bool) -> String {
    let (who, whose) = match servers {
        [server] => (format!("{server} accepts connections"), "its"),
        servers => (format!("{} accept connections", servers.join(" and ")), "a"),
    };
    if is_silent {
        format!("{who}, and one does not speak NATS in time")
    } else {
        format!(
            "{who}, and the greeting fails: {whose} certificate is of another authority, for another name or out of date, or a \
             server does not offer TLS, or is full"
        )
    }
}

/// Without the number of the error.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_owned()
}

#[cfg(test)]
mod tests;
