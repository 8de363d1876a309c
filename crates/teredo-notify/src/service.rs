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
mod quota;
mod reader;
mod socket;
mod socket_file;
mod subscription;

pub use control::{Control, ControlError, ControlFuture, EventBus, Outcome, ReadOnly};
pub use reader::StatusReader;
pub use socket_file::ServiceError;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::hub::Hub;
use context::Context;
use permission::Peer;
use quota::Quota;
use socket::Socket;

/// The default limit of connections.
pub const DEFAULT_CONNECTIONS: usize = 4096;

/// The default of [`Config::silence`].
pub const DEFAULT_SILENCE: Duration = Duration::from_secs(10);

/// How long a service that ends waits for subscribers to read the last announcement.
const FINAL_WRITE: Duration = Duration::from_millis(500);

/// The settings of a [`Service`].
#[derive(Debug, Clone)]
pub struct Config {
    /// The socket. Its folder is created if it is missing.
    pub path: PathBuf,
    /// The group whose members may control the client; none: root alone.
    pub group: Option<u32>,
    /// The most connections. The service raises the process' soft limit of descriptors for them, and has fewer if the
    /// hard limit is lower. A quarter is for peers that may control the client; the rest is shared by all other users,
    /// each of whom has a quarter of all at most.
    pub connections: usize,
    /// How long a peer that may not control the client may be silent before its first call, or leave a reply unread.
    pub silence: Duration,
}

impl Config {
    /// The defaults for a service at this socket: no group.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            group: None,
            connections: DEFAULT_CONNECTIONS,
            silence: DEFAULT_SILENCE,
        }
    }
}

/// The service. It listens from the start, and answers while [`Service::run`] runs.
#[derive(Debug)]
pub struct Service {
    listener: UnixListener,
    context: Arc<Context>,
    quota: Arc<Quota>,
    silence: Duration,
    // After the listener: the lock is released last.
    socket: socket_file::SocketFile,
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
        let bound = socket_file::bind(&config.path)?;
        Ok(Self::on(bound, config, hub, events, control))
    }

    /// Takes a socket that a service manager listens on, at the configured path. It stays when the service ends:
    /// connections wait there for the next service.
    ///
    /// # Errors
    /// The socket is elsewhere.
    pub fn take_over(
        listener: std::os::unix::net::UnixListener,
        config: &Config,
        hub: Hub,
        events: EventBus,
        control: Arc<dyn Control>,
    ) -> io::Result<Self> {
        let taken = socket_file::take_over(listener, &config.path)?;
        Ok(Self::on(taken, config, hub, events, control))
    }

    fn on(
        (listener, socket): (UnixListener, socket_file::SocketFile),
        config: &Config,
        hub: Hub,
        events: EventBus,
        control: Arc<dyn Control>,
    ) -> Self {
        let context = Arc::new(Context {
            hub,
            events,
            control,
            group: config.group,
            network: crate::network(),
            direct: Arc::new(Semaphore::new(subscription::DIRECT)),
            ending: watch::Sender::new(false),
        });
        let quota = Quota::new(quota::connections(config.connections), config.silence);
        Self {
            listener,
            context,
            quota,
            silence: config.silence,
            socket,
        }
    }

    /// The socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.socket.path()
    }

    /// Reads the status for other purposes of this process.
    #[must_use]
    pub fn status(&self) -> StatusReader {
        StatusReader::new(Arc::clone(&self.context))
    }

    /// Serves until `shutdown` is ready. Then it writes to every stream what was announced by then (N-11), closes all
    /// connections and removes the socket. To drop the future does the same without the last write.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut connections = JoinSet::new();
        let mut sweep = interval((self.silence / 4).max(Duration::from_millis(10)));
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
                _ = sweep.tick() => self.quota.end_silent(),
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
        let peer = match Peer::of(&stream, self.context.group) {
            Ok(peer) => peer,
            Err(error) => {
                tracing::debug!(%error, "a connection without credentials");
                return;
            }
        };
        let Some(seat) = self.quota.seat(peer) else {
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
            tokio::select! {
                () = connection::serve(socket, peer, &seat, &context) => {}
                () = seat.evicted() => {
                    tracing::debug!(uid = peer.uid, "connection ended: silent, or one too many of its user's");
                }
            }
        });
    }
}
