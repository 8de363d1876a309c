//! Why there is no connection to the servers, in words that say what to do.
//!
//! The library keeps the last error of each server, and shows them before each round of attempts. It says nothing while it
//! looks a name up, and keeps no error of that.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{ClientError, Event, Server};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How often it is looked whether there is a connection, and how long a name may take before that is told.
const LOOK: Duration = Duration::from_secs(1);

/// The least time between two causes.
const PAUSE: Duration = Duration::from_secs(5);

/// After so many rounds without another error of a server, its last one is no cause: its name leads nowhere any more, or the
/// library has not come to it.
const ROUNDS: u32 = 3;

/// The attempts to connect, as the library shows them.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<Rounds>);

#[derive(Default)]
struct Rounds {
    is_connected: bool,
    servers: Vec<Tried>,
}

#[derive(Clone)]
struct Tried {
    host: String,
    port: u16,
    /// Its failures, the last one, and for how many rounds there has been no other.
    failures: usize,
    error: Option<String>,
    age: u32,
}

impl Tried {
    fn recent_error(&self) -> Option<&str> {
        self.error.as_deref().filter(|_| self.age < ROUNDS)
    }
}

impl Attempts {
    fn rounds(&self) -> MutexGuard<'_, Rounds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The servers, as the library shows them before each round.
    pub(crate) fn note_servers(&self, servers: &[Server]) {
        let mut rounds = self.rounds();
        let before = std::mem::take(&mut rounds.servers);
        rounds.servers = servers
            .iter()
            .map(|server| {
                let (host, port) = (server.addr.host(), server.addr.port());
                let known = before
                    .iter()
                    .find(|known| known.host == host && known.port == port);
                let age = match known {
                    Some(known) if known.failures == server.failed_attempts => {
                        known.age.saturating_add(1)
                    }
                    _ => 0,
                };
                Tried {
                    host: host.to_owned(),
                    port,
                    failures: server.failed_attempts,
                    error: server.last_error.as_deref().map(plain),
                    age,
                }
            })
            .collect();
    }

    /// A connection begins or ends. Errors of before are no cause of an end.
    pub(crate) fn note_connection(&self, is_connected: bool) {
        let mut rounds = self.rounds();
        rounds.is_connected = is_connected;
        for server in &mut rounds.servers {
            server.age = ROUNDS;
        }
    }

    /// Sends the causes as errors of the client while there is no connection, until nobody receives them.
    pub(crate) async fn tell(self: Arc<Self>, sender: mpsc::Sender<Event>) {
        let telling = async {
            let mut names = Names::default();
            loop {
                sleep(LOOK).await;
                let servers = match &*self.rounds() {
                    Rounds {
                        is_connected: true, ..
                    } => continue,
                    rounds => rounds.servers.clone(),
                };
                let told = causes(&servers, &mut names).await;
                if told.is_empty() || self.rounds().is_connected {
                    continue;
                }
                let cause = ClientError::Other(told.join(", "));
                // A full channel holds news enough.
                drop(sender.try_send(Event::ClientError(cause)));
                sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = telling => {}
            () = sender.closed() => {}
        }
    }
}

async fn causes(servers: &[Tried], names: &mut Names) -> Vec<String> {
    let mut told = Vec::new();
    let mut unknown = Vec::new();
    for server in servers {
        match server.recent_error() {
            Some(error) => told.push(format!("{}: {error}", place(&server.host, server.port))),
            None => unknown.push(server.host.as_str()),
        }
    }
    for host in unknown {
        told.extend(names.trouble(host).await);
    }
    told
}

/// Questions to the system's name service. Each keeps a thread for as long as the service likes, so there is one at a time.
#[derive(Default)]
struct Names {
    asked: Option<(String, BoxFuture<'static, io::Result<()>>)>,
}

impl Names {
    /// Why the name leads nowhere; none if it leads somewhere, or if another one is being asked for.
    async fn trouble(&mut self, host: &str) -> Option<String> {
        let (asked, mut answer) = self.asked.take().unwrap_or_else(|| {
            let name = host.to_owned();
            let answer = async move { lookup_host((name.as_str(), 0)).await.map(drop) };
            (host.to_owned(), answer.boxed())
        });
        match timeout(LOOK, &mut answer).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{asked}: {}", of_name_service(&error))),
            Err(_) => {
                let told = (asked == host)
                    .then(|| format!("the name service has not answered for {asked} yet"));
                self.asked = Some((asked, answer));
                told
            }
        }
    }
}

fn place(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
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
        error if error.starts_with("authorization violation") => {
            "it refuses the credentials, or none are given (--creds)"
        }
        error => error,
    }
    .to_owned()
}

#[cfg(test)]
mod tests;
