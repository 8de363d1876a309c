//! The metrics over HTTP: where they are, and what a peer may cost.
//!
//! A peer may be any user of this host. There are never more than [`CONNECTIONS`] descriptors, one status is asked for
//! at a time and not more than 50 in a second, and a connection that does not get on makes room for another one. The
//! data path has its own threads.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::http::{self, Refusal, Request};
use crate::daemon::reload;
use crate::failure::{Exit, Failure};
use crate::output::narrate;

/// The most connections at once.
const CONNECTIONS: usize = 8;
/// How long a connection lasts at most.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection may be silent although others wait for its place.
const GRACE: Duration = Duration::from_millis(50);
/// How long a status may take; a daemon that hangs gives none.
const STATUS_TIME: Duration = Duration::from_secs(2);
/// The least time between two statuses.
const PACE: Duration = Duration::from_millis(20);

/// Makes the text of a scrape.
pub(crate) type Source =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = String> + Send>> + Send + Sync>;

/// The place of a daemon's metrics, which a reload may move, and their source.
#[derive(Debug, Default)]
pub(crate) struct Endpoint {
    scraped: Arc<Scraped>,
    place: Option<Place>,
    /// Where the metrics were before the last reload, until it has succeeded.
    before: Option<Option<SocketAddr>>,
}

#[derive(Debug)]
struct Place {
    address: SocketAddr,
    listener: StdListener,
    /// Answers; until there is one, callers wait.
    task: Option<JoinHandle<()>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        // The task goes when the runtime gets to it, but the port must be free at once.
        let _ = shutdown(&self.listener, Shutdown::Both);
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Endpoint {
    /// Takes the address, if there is one. Do this before the sandbox.
    pub(crate) fn bind(address: Option<SocketAddr>) -> Result<Self, Failure> {
        Ok(Self {
            place: address.map(Place::bind).transpose()?,
            ..Self::default()
        })
    }

    /// Answers with what `source` says from now on. Must be called within a runtime.
    pub(crate) fn show(&mut self, source: Source) {
        *self.scraped.source() = Some(Arc::new(source));
        self.answer();
    }

    /// A reload: goes to the new address, and says whether that is another one. `None` if it cannot, which it has said;
    /// then the old settings stay in force. The settings are the same afterwards, because this is done.
    pub(crate) fn reload(
        &mut self,
        old: Option<SocketAddr>,
        new: &mut Option<SocketAddr>,
    ) -> Option<bool> {
        let wanted = std::mem::replace(new, old);
        let before = self.address();
        if wanted == before {
            return Some(false);
        }
        let port = |address: Option<SocketAddr>| address.map(|address| address.port());
        if port(wanted) == port(before) {
            // One of the two addresses may include the other.
            self.place = None;
        }
        match wanted.map(Place::bind).transpose() {
            Ok(place) => {
                self.place = place;
                self.before = Some(before);
                self.answer();
                Some(true)
            }
            Err(failure) => {
                reload::refuse(&failure);
                if self.place.is_none() {
                    self.before = Some(before);
                    self.go_back();
                }
                None
            }
        }
    }

    /// Whether the daemon has started with its settings. If it has not, the old ones stay in force.
    pub(crate) fn started(&mut self, has: bool) {
        if has {
            self.before = None;
        } else {
            self.go_back();
        }
    }

    fn go_back(&mut self) {
        let Some(before) = self.before.take() else {
            return;
        };
        match before.map(Place::bind).transpose() {
            Ok(place) => self.place = place,
            Err(failure) => narrate(failure),
        }
        self.answer();
    }

    fn address(&self) -> Option<SocketAddr> {
        self.place.as_ref().map(|place| place.address)
    }

    /// Answers callers, if there is a source.
    fn answer(&mut self) {
        let ready = self.scraped.source().is_some();
        if let Some(place) = self.place.as_mut().filter(|_| ready) {
            place.answer(&self.scraped);
        }
    }
}

impl Place {
    fn bind(address: SocketAddr) -> Result<Self, Failure> {
        let listener = StdListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        let listener = listener.map_err(|error| refusal(address, error))?;
        if is_exposed(address) {
            narrate(format_args!(
                "warning: anyone who reaches {address} can read the metrics, without a password"
            ));
        }
        Ok(Self {
            address,
            listener,
            task: None,
        })
    }

    fn answer(&mut self, scraped: &Arc<Scraped>) {
        if self.task.is_some() {
            return;
        }
        let listener = self.listener.try_clone().and_then(TcpListener::from_std);
        match listener {
            Ok(listener) => {
                self.task = Some(tokio::spawn(accept(listener, Arc::clone(scraped))));
                narrate(format_args!("metrics at http://{}/metrics", self.address));
            }
            Err(error) => narrate(format_args!("no metrics: {error}")),
        }
    }
}

/// Whether other hosts reach the address.
pub(crate) fn is_exposed(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

fn refusal(address: SocketAddr, error: io::Error) -> Failure {
    let port = address.port();
    let exit = match error.kind() {
        ErrorKind::PermissionDenied => Exit::NotPermitted,
        _ => Exit::Failed,
    };
    let hint = match error.kind() {
        ErrorKind::AddrInUse => format!(
            "'ss -ltnp sport = :{port}' names who has it; each daemon needs a port of its own for its metrics"
        ),
        ErrorKind::AddrNotAvailable => {
            String::from("give an address of this host; a port alone means 127.0.0.1")
        }
        ErrorKind::PermissionDenied if port < 1024 => {
            String::from("choose a port above 1023 for the metrics")
        }
        _ => String::from(
            "a sandbox may forbid it: a firewall agent that started without 'metrics' needs a restart to get them",
        ),
    };
    Failure::new(exit, format!("cannot serve metrics at {address}"))
        .because(error)
        .hint(hint)
}

/// The source, and the pace at which it is asked.
#[derive(Default)]
struct Scraped {
    source: Mutex<Option<Arc<Source>>>,
    /// When it was last asked. The lock is held while it is asked.
    last: tokio::sync::Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Scraped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scraped").finish_non_exhaustive()
    }
}

impl Scraped {
    fn source(&self) -> std::sync::MutexGuard<'_, Option<Arc<Source>>> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn text(&self) -> Result<String, Refusal> {
        let mut last = self.last.lock().await;
        if let Some(last) = *last {
            sleep_until(last + PACE).await;
        }
        let source = self.source().clone().ok_or(Refusal::Unavailable)?;
        let text = timeout(STATUS_TIME, source()).await;
        *last = Some(Instant::now());
        text.map_err(|_| Refusal::Unavailable)
    }
}

/// A connection. While its status is being asked for, it makes no room for another one.
#[derive(Debug)]
struct Connection {
    task: AbortHandle,
    since: Instant,
    asks: Arc<AtomicBool>,
}

async fn accept(listener: TcpListener, scraped: Arc<Scraped>) {
    let mut tasks = JoinSet::new();
    // The oldest first.
    let mut connections: Vec<Connection> = Vec::new();
    loop {
        connections.retain(|connection| !connection.task.is_finished());
        let room = tasks.len() < CONNECTIONS;
        let due = idle(&connections).map(|oldest| connections[oldest].since + GRACE);
        tokio::select! {
            accepted = listener.accept(), if room => match accepted {
                Ok((stream, _)) => {
                    let asks = Arc::new(AtomicBool::new(false));
                    let task = serve(stream, Arc::clone(&scraped), Arc::clone(&asks));
                    connections.push(Connection {
                        task: tasks.spawn(async { drop(timeout(PATIENCE, task).await) }),
                        since: Instant::now(),
                        asks,
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a connection for metrics");
                    sleep(Duration::from_millis(100)).await;
                }
            },
            () = until(due), if !room => {
                let is_due = |&oldest: &usize| connections[oldest].since.elapsed() >= GRACE;
                if let Some(oldest) = idle(&connections).filter(is_due) {
                    connections.remove(oldest).task.abort();
                    // A descriptor is closed when this is ready.
                    tasks.join_next().await;
                }
            }
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// The oldest connection that can make room.
fn idle(connections: &[Connection]) -> Option<usize> {
    let mut connections = connections.iter();
    connections.position(|connection| !connection.asks.load(Ordering::Relaxed))
}

/// Waits until then; for ever if there is no such time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// A failure is the peer's, and it sees it.
async fn serve(
    mut stream: TcpStream,
    scraped: Arc<Scraped>,
    asks: Arc<AtomicBool>,
) -> io::Result<()> {
    let answer = match http::read(&mut stream).await? {
        None => return Ok(()),
        Some(Request::Refused(refusal)) => refusal.answer(),
        Some(Request::Metrics { body }) => {
            asks.store(true, Ordering::Relaxed);
            let text = scraped.text().await;
            asks.store(false, Ordering::Relaxed);
            text.map_or_else(Refusal::answer, |text| http::answer(&text, body))
        }
    };
    stream.write_all(&answer).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests;
