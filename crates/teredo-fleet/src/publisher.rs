//! The publisher: it keeps the state of the local node in the bucket, as a lease, and is a gate of the node meanwhile.
//!
//! ```text
//!  node ── port (sequence) ──> publisher ── entry ──> bucket ──> perimeters
//!    ^                            │  ^                                │
//!    └──────── settled ───────────┘  └── confirmed, if it waits ──────┘
//! ```

mod run;

use std::path::PathBuf;
use std::time::Duration;

use teredo_notify::watcher::GatingError;
use tokio::sync::watch;

use self::run::Run;
use crate::HostKey;
use crate::details;
use crate::servers::{ConnectError, Connector, Servers};

/// The lease of a bucket that a publisher creates.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(15);

/// The shortest lease: three renewals have to fit in it.
pub const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// How often a server shows that it lives.
const PING: Duration = Duration::from_secs(5);

/// The configuration of a publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherConfig {
    /// The servers.
    pub servers: Servers,
    /// The key of this host.
    pub host: HostKey,
    /// The lease of the entry, if it is shorter than the bucket's, and of a new bucket; none: the bucket's.
    pub lease: Option<Duration>,
    /// The perimeters that have to confirm a port before it is used.
    pub perimeters: Vec<HostKey>,
    /// The socket of the local node.
    pub socket: PathBuf,
    /// The boot of this host, of at most 64 bytes; Linux tells it in `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
}

/// Why a publisher ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublisherError {
    /// There is no connection, and will be none.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The service does not accept this process as a gate.
    #[error(transparent)]
    Gate(#[from] GatingError),
    /// The system refuses a thread.
    #[error("cannot follow the local service: {0}")]
    Thread(std::io::Error),
    /// The thread that follows the addresses has ended, and with it what they are.
    #[error("the addresses of the local service are no longer followed")]
    Details,
}

/// The state of a publisher.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublisherStatus {
    /// The port of the node; 0: none.
    pub port: u16,
    /// Whether the bucket has the current state, and each perimeter has confirmed it.
    pub in_step: bool,
    /// Why not.
    pub trouble: Option<String>,
    /// The entries that the bucket has taken.
    pub written: u64,
    /// The entries that it has refused, or that got no answer.
    pub failed: u64,
}

/// A publisher, before it runs.
#[derive(Debug)]
pub struct Publisher {
    config: PublisherConfig,
    status: watch::Sender<PublisherStatus>,
}

impl Publisher {
    /// A publisher with this configuration.
    #[must_use]
    pub fn new(config: PublisherConfig) -> Self {
        Self {
            config,
            status: watch::Sender::default(),
        }
    }

    /// The status, now and with every change.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<PublisherStatus> {
        self.status.subscribe()
    }

    /// Publishes until `shutdown` completes, and deletes the entry then. Servers that are not there, and a service that does
    /// not run, are waited for.
    ///
    /// # Errors
    ///
    /// [`PublisherError`], if waiting does not help.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its I/O and time drivers.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), PublisherError> {
        let Self { config, status } = self;
        let name = format!("teredo publish {}", config.host);
        let connector = Connector::new(&config.servers, name, &config.host, PING);
        let connection = connector.connect().await?;
        let details = details::follow(&config.socket).map_err(PublisherError::Thread)?;
        let mut run = Run::new(
            config,
            status,
            (connector, connection.client.clone()),
            details,
        );
        let ended = run.until(connection, shutdown).await;
        run.say_farewell().await;
        ended
    }
}
