//! The local service: the hub for other processes, Varlink over a Unix socket.
//!
//! `io.teredo.Client.varlink` defines the interface; the service also returns that text itself. Any local user may
//! read. Control of the client, gating included, needs root or the service's group.
//!
//! A connection costs one task and, while it is quiet, no buffer. It reads calls even while a stream is open, and
//! makes each reply when the one before has left. So a subscriber that does not read delays no other, and no queue
//! grows for it (N-14).
//!
//! The publishing thread writes each announcement to the subscribers itself, without waking another thread
//! ([`Outlet`](crate::hub::Outlet)): first to the gates, then to a limited number of others. The connections' tasks
//! write to the rest, and to subscribers that do not keep up.

mod connection;
mod context;
mod control;
mod methods;
mod permission;
mod socket;
mod socket_file;
mod subscription;

pub use control::{Control, ControlError, ControlFuture, EventBus, Outcome};
pub use socket_file::ServiceError;

use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::hub::Hub;
use context::Context;
use socket::Socket;

/// The default limit of connections.
pub const DEFAULT_CONNECTIONS: usize = 4096;

/// How long a service that ends waits for subscribers to read the last announcement.
const FINAL_WRITE: Duration = Duration::from_millis(500);

/// The settings of a [`Service`].
#[derive(Debug, Clone)]
pub struct Config {
    /// The socket. Its folder is created if it is missing.
    pub path: PathBuf,
    /// The group whose members may control the client; none: root alone.
    pub group: Option<u32>,
    /// The most connections. A user without the right to control gets a quarter of them at most, so that no user can
    /// keep the firewall out.
    pub connections: usize,
}

impl Config {
    /// The defaults for a service at this socket: no group.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            group: None,
            connections: DEFAULT_CONNECTIONS,
        }
    }
}

/// The service. It listens from the start, and answers while [`Service::run`] runs.
#[derive(Debug)]
pub struct Service {
    listener: UnixListener,
    context: Arc<Context>,
    seats: Arc<Seats>,
    // After the listener: the lock is released last.
    socket: socket_file::SocketFile,
}

/// How many connections each user has.
#[derive(Debug)]
struct Seats {
    limit: usize,
    users: Mutex<HashMap<u32, usize>>,
}

impl Service {
    /// Begins to listen; call it within a tokio runtime. Connections are queued from now on.
    ///
    /// Replaces the socket of a dead instance, and nothing else.
    ///
    /// # Errors
    /// [`ServiceError`]
    pub fn bind(
        config: &Config,
        hub: Hub,
        events: EventBus,
        control: Arc<dyn Control>,
    ) -> Result<Self, ServiceError> {
        let (listener, socket) = socket_file::bind(&config.path)?;
        let context = Arc::new(Context {
            hub,
            events,
            control,
            group: config.group,
            direct: Arc::new(Semaphore::new(subscription::DIRECT)),
            ending: watch::Sender::new(false),
        });
        let seats = Arc::new(Seats {
            limit: config.connections,
            users: Mutex::default(),
        });
        Ok(Self {
            listener,
            context,
            seats,
            socket,
        })
    }

    /// The socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.socket.path()
    }

    /// Serves until `shutdown` is ready. Then it writes to every stream what was announced by then (N-11), closes all
    /// connections and removes the socket. To drop the future does the same without the last write.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => self.accept(stream, &mut connections),
                    Err(error) => {
                        // Probably no descriptor is left, until a connection ends.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
        self.context.ending.send_replace(true);
        let ended = async { while connections.join_next().await.is_some() {} };
        if timeout(FINAL_WRITE, ended).await.is_err() {
            tracing::debug!(
                count = connections.len(),
                "closing connections that do not read"
            );
        }
    }

    fn accept(&self, stream: UnixStream, connections: &mut JoinSet<()>) {
        let peer = match stream.peer_cred() {
            Ok(peer) => peer,
            Err(error) => {
                tracing::warn!(%error, "a connection without credentials");
                return;
            }
        };
        let Some(seat) = Seat::take(&self.seats, peer.uid(), connections.len()) else {
            tracing::warn!(uid = peer.uid(), "too many connections; refusing another");
            return;
        };
        let socket = match Socket::new(stream) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%error, "cannot wait for a connection");
                return;
            }
        };
        let context = Arc::clone(&self.context);
        connections.spawn(async move {
            connection::serve(socket, peer, &context).await;
            drop(seat);
        });
    }
}

/// A connection's share of its user's limit.
struct Seat {
    seats: Arc<Seats>,
    uid: u32,
}

impl Seat {
    fn take(seats: &Arc<Seats>, uid: u32, connections: usize) -> Option<Self> {
        let mut users = seats.users.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = users.get(&uid).copied().unwrap_or_default();
        let fair = if uid == 0 {
            seats.limit
        } else {
            seats.limit.div_ceil(4)
        };
        if connections >= seats.limit || taken >= fair {
            return None;
        }
        users.insert(uid, taken + 1);
        Some(Self {
            seats: Arc::clone(seats),
            uid,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut users = self
            .seats
            .users
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = users.get_mut(&self.uid) {
            *taken -= 1;
            if *taken == 0 {
                users.remove(&self.uid);
            }
        }
    }
}
