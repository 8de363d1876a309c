//! The perimeter: it keeps a set of nftables in step with the bucket.
//!
//! ```text
//!  bucket ── entries ──> ledger ── endpoints, until when ──> set of the kernel
//!    ^                                                          │ taken
//!  hosts <────────────── confirmed ─────────────────────────────┘
//! ```

mod run;

use std::collections::BTreeMap;
use std::time::Duration;

use teredo_firewall::{EndpointSet, EndpointSetError, SetPath};
use teredo_nft::{Monitor, NftError};
use tokio::sync::watch;

use self::run::Run;
use crate::servers::{ConnectError, Connector, Servers};
use crate::{DEFAULT_LEASE, Grants, HostKey};

/// How often the server shows that it lives: a link that is cut is noticed well within a lease.
const PING: Duration = Duration::from_secs(1);

/// The configuration of a perimeter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerimeterConfig {
    /// The servers.
    pub servers: Servers,
    /// The name by which hosts know it.
    pub name: HostKey,
    /// The set that it keeps.
    pub set: SetPath,
    /// Whether the set holds the mapped endpoint of each host, too.
    pub mapped: bool,
    /// Which host may name which addresses.
    pub grants: Grants,
    /// The most hosts that it follows.
    pub hosts: usize,
}

/// Why there is no perimeter, or none any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PerimeterError {
    /// There is no connection, and will be none.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The set cannot be kept.
    #[error(transparent)]
    Set(#[from] EndpointSetError),
    /// The kernel cannot be followed.
    #[error(transparent)]
    Netlink(#[from] NftError),
}

/// The state and the counters of a perimeter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PerimeterStatus {
    /// Whether a server is connected and its entries are complete.
    pub is_following: bool,
    /// Whether the kernel has taken what the entries say.
    pub in_step: bool,
    /// Why not.
    pub trouble: Option<String>,
    /// The hosts with an open endpoint.
    pub hosts: usize,
    /// The endpoints in the set.
    pub endpoints: usize,
    /// The lease of the bucket.
    pub lease: Option<Duration>,
    /// How often another program changed what the set held, and it was put right.
    pub repairs: u64,
    /// How often the kernel refused a change.
    pub refusals: u64,
    /// The entries that counted for nothing, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

/// A perimeter whose set is there or will be, before it follows the bucket.
#[derive(Debug)]
pub struct Perimeter {
    config: PerimeterConfig,
    set: EndpointSet,
    monitor: Monitor,
    status: watch::Sender<PerimeterStatus>,
}

impl Perimeter {
    /// Looks at the set. That it does not exist yet is no error.
    ///
    /// # Errors
    ///
    /// [`PerimeterError`]
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its I/O driver.
    pub fn new(config: PerimeterConfig) -> Result<Self, PerimeterError> {
        let mut set = EndpointSet::open(config.set.clone(), DEFAULT_LEASE)?;
        // Before the first look, so that no change after it is missed.
        let monitor = Monitor::open(set.netlink_port())?;
        match set.read(std::time::Instant::now()) {
            Ok(_) | Err(EndpointSetError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Self {
            config,
            set,
            monitor,
            status: watch::Sender::default(),
        })
    }

    /// The status, now and with every change.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<PerimeterStatus> {
        self.status.subscribe()
    }

    /// Keeps the set in step until `shutdown` completes, and removes its elements then. Servers that are not there are
    /// waited for; meanwhile elements end with their leases, and so they do after an error.
    ///
    /// # Errors
    ///
    /// [`PerimeterError`], if waiting does not help.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), PerimeterError> {
        let name = format!("teredo firewall {}", self.config.name);
        let Self { config, .. } = &self;
        let connector = |name| Connector::new(&config.servers, name, &config.name, PING);
        let asking = connector(format!("{name}, questions"));
        let connector = connector(name);
        let connection = connector.connect().await?;
        let mut run = Run::new(self, connector, asking, connection.client.clone());
        // What this one leaves ends with its leases, if the next one does not take it over.
        run.until(connection, shutdown).await?;
        run.release()?;
        Ok(())
    }
}
