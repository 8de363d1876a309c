//! The local service: the hub for other processes, Varlink over a Unix socket.
//!
//! The interface is described in `io.teredo.Client.varlink`, which the service also hands out itself. Any
//! local user may read; what steers the client, gating included, needs root or the service's group.
//!
//! A connection costs one task and, while it has nothing to say, no buffer. Calls are read also while a
//! stream is open; a reply is made when the one ahead of it has left. So a subscriber that does not read
//! holds up nobody, and no queue grows for it (N-14).
//!
//! What is announced is written to its subscribers by the thread that announces it, without a wake of any other
//! ([`Outlet`](crate::hub::Outlet)): first to the gating ones, then to a limited number of others. The tasks write
//! to the rest, and to whoever does not keep up.

mod connection;
mod control;
mod events;
mod methods;
mod permission;
mod socket;
mod socket_file;
mod subscription;

pub use control::{Control, ControlError, ControlFuture, Outcome};
pub use events::EventBus;
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
use socket::Socket;

/// The most connections unless told otherwise.
pub const DEFAULT_CONNECTIONS: usize = 4096;

/// How long the service stays at its end for those who have not read yet what was announced.
const FAREWELL: Duration = Duration::from_millis(500);

/// Where and for whom the service listens.
#[derive(Debug, Clone)]
pub struct Config {
    /// The socket. Its folder is created if it is missing.
    pub path: PathBuf,
    /// The group whose members may steer the client; none: root alone.
    pub group: Option<u32>,
    /// The most connections. One user who may not steer gets a quarter of them at most, so that nobody can
    /// keep the firewall out.
    pub connections: usize,
}

impl Config {
    /// The defaults: no group.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            group: None,
            connections: DEFAULT_CONNECTIONS,
        }
    }
}

/// The service, listening. [`Service::run`] makes it answer.
#[derive(Debug)]
pub struct Service {
    listener: UnixListener,
    shared: Arc<Shared>,
    // After the listener: the lock is given back last.
    socket: socket_file::SocketFile,
}

/// What all connections have in common.
struct Shared {
    hub: Hub,
    events: EventBus,
    control: Arc<dyn Control>,
    group: Option<u32>,
    connections: usize,
    /// Places for subscribers that are written to directly.
    direct: Arc<Semaphore>,
    /// Tells the connections that the service ends.
    ending: watch::Sender<bool>,
    /// How many connections each user has.
    users: Mutex<HashMap<u32, usize>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

impl Service {
    /// Begins to listen; call it within a tokio runtime. Connections wait from now on.
    ///
    /// A socket that a dead instance has left is replaced; nothing else ever is.
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
        let shared = Arc::new(Shared {
            hub,
            events,
            control,
            group: config.group,
            connections: config.connections,
            direct: Arc::new(Semaphore::new(subscription::DIRECT)),
            ending: watch::Sender::new(false),
            users: Mutex::default(),
        });
        Ok(Self {
            listener,
            shared,
            socket,
        })
    }

    /// The socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.socket.path()
    }

    /// Serves until `shutdown` is ready; then tells every stream what was announced by then (N-11), closes
    /// every connection and removes the socket. Dropping the future does the same, but for the telling.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => self.admit(stream, &mut connections),
                    Err(error) => {
                        // Out of file descriptors, most likely: it stays so until somebody goes.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
        self.shared.ending.send_replace(true);
        let farewell = async { while connections.join_next().await.is_some() {} };
        if timeout(FAREWELL, farewell).await.is_err() {
            tracing::debug!(
                count = connections.len(),
                "leaving connections that do not read"
            );
        }
    }

    fn admit(&self, stream: UnixStream, connections: &mut JoinSet<()>) {
        let peer = match stream.peer_cred() {
            Ok(peer) => peer,
            Err(error) => {
                tracing::warn!(%error, "the kernel does not tell who connects");
                return;
            }
        };
        let Some(seat) = Seat::take(&self.shared, peer.uid(), connections.len()) else {
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
        let shared = Arc::clone(&self.shared);
        connections.spawn(async move {
            connection::serve(socket, peer, &shared).await;
            drop(seat);
        });
    }
}

/// One connection's place among those of its user.
struct Seat {
    shared: Arc<Shared>,
    uid: u32,
}

impl Seat {
    fn take(shared: &Arc<Shared>, uid: u32, connections: usize) -> Option<Self> {
        let mut users = shared.users.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = users.get(&uid).copied().unwrap_or_default();
        let fair = if uid == 0 {
            shared.connections
        } else {
            shared.connections.div_ceil(4)
        };
        if connections >= shared.connections || taken >= fair {
            return None;
        }
        users.insert(uid, taken + 1);
        Some(Self {
            shared: Arc::clone(shared),
            uid,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut users = self
            .shared
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
