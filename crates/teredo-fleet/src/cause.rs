//! Why there is no connection to the servers, in words that say what to do.
//!
//! The library keeps the last error of each server, and shows them before its next attempt. It says nothing while it looks
//! a name up.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{ClientError, Event, Server};
use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How long there is no connection before the cause is told. Most come back sooner.
const PATIENCE: Duration = Duration::from_secs(1);

/// The least time between two causes.
const PAUSE: Duration = Duration::from_secs(5);

/// The attempts that the library has shown.
#[derive(Default)]
pub(crate) struct Causes {
    attempts: Mutex<Attempts>,
}

#[derive(Default)]
struct Attempts {
    is_connected: bool,
    servers: Vec<Attempt>,
}

#[derive(Clone)]
struct Attempt {
    host: String,
    port: u16,
    /// None: it has not been tried yet, or its name has led nowhere.
    error: Option<String>,
}

impl Causes {
    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The servers, as the library shows them before each attempt.
    pub(crate) fn note_servers(&self, servers: &[Server]) {
        self.attempts().servers = servers
            .iter()
            .map(|server| Attempt {
                host: server.addr.host().to_owned(),
                port: server.addr.port(),
                error: server.last_error.as_deref().map(plain),
            })
            .collect();
    }

    pub(crate) fn note_connection(&self, is_connected: bool) {
        self.attempts().is_connected = is_connected;
    }

    /// Sends causes as errors of the client, until nobody receives them.
    pub(crate) async fn tell(self: Arc<Self>, sender: mpsc::Sender<Event>) {
        let telling = async {
            loop {
                sleep(PATIENCE).await;
                let servers = match &*self.attempts() {
                    Attempts {
                        is_connected: true, ..
                    } => continue,
                    attempts => attempts.servers.clone(),
                };
                let (told, pending) = causes(&servers).await;
                if told.is_empty() || self.attempts().is_connected {
                    continue;
                }
                let cause = ClientError::Other(told.join(", "));
                // A full channel holds news enough.
                drop(sender.try_send(Event::ClientError(cause)));
                // Each question keeps a thread: there is one at a time.
                if let Some(pending) = pending {
                    pending.await;
                }
                sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = telling => {}
            () = sender.closed() => {}
        }
    }
}

/// The causes, and the question to the name service that is not answered yet.
async fn causes(servers: &[Attempt]) -> (Vec<String>, Option<impl Future<Output = ()> + use<>>) {
    let mut told = Vec::new();
    let mut unknown = Vec::new();
    for Attempt { host, port, error } in servers {
        match error {
            Some(error) => told.push(format!("{host}:{port}: {error}")),
            None => unknown.push((host.clone(), *port)),
        }
    }
    for (host, port) in unknown {
        let named = host.clone();
        let mut lookup =
            Box::pin(async move { lookup_host((named.as_str(), port)).await.map(drop) });
        match timeout(PATIENCE, &mut lookup).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => told.push(format!("{host}: {}", of_name_service(&error))),
            Err(_) => {
                told.push(format!("the name service does not answer for {host}"));
                let pending = async { drop(lookup.await) };
                return (told, Some(pending));
            }
        }
    }
    (told, None)
}

fn of_name_service(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.strip_prefix("failed to lookup address information: ");
    words.unwrap_or(&text).to_owned()
}

/// The library's words for an error, without the number and the kind of it. Of TLS they are those of a programmer.
fn plain(error: &str) -> String {
    let end = error.find(" (os error").unwrap_or(error.len());
    let error = ["IO error: ", "TLS error: "]
        .iter()
        .find_map(|kind| error[..end].strip_prefix(kind))
        .unwrap_or(&error[..end]);
    if let Some(fault) = error.strip_prefix("invalid peer certificate: ") {
        let fault = match fault {
            // An authority of this name has another key.
            "UnknownIssuer" | "BadSignature" => {
                "it is of an authority that is not in --ca, or not in the system's list"
            }
            fault => fault,
        };
        return format!("its certificate is refused: {fault}");
    }
    match error {
        "timed out" => "no answer in time",
        "tls handshake eof" => "it ends the connection during the TLS handshake",
        "expected INFO, got nothing" => "it ends the connection at once: it may be full",
        error if error.starts_with("received corrupt message of type") => "it does not offer TLS",
        error if error.starts_with("authorization violation") => "it refuses the credentials",
        error => error,
    }
    .to_owned()
}

#[cfg(test)]
mod tests;
