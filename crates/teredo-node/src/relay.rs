//! A running relay, as its owner sees it.

mod builder;
mod run;

use std::sync::Arc;

use teredo_notify::hub::Hub;
use teredo_tunnel::kernel::KernelPath;
use teredo_tunnel::relay::{RelayHandle, RelayPathStatus};
use tokio::sync::watch;

use crate::RunError;
use crate::kernel::KernelUse;
use crate::start::Running;

pub use builder::{DEFAULT_RELAY_PORT, PreparedRelay, RelayBuilder};

/// A Teredo relay in this process. [`shutdown`](Self::shutdown) ends it in order; dropping it ends it too, but does not
/// wait.
#[derive(Debug)]
pub struct Relay {
    handle: Arc<RelayHandle>,
    kernel: Arc<KernelUse>,
    hub: Hub,
    running: Running,
    trouble: Option<String>,
    open: watch::Receiver<bool>,
}

impl Relay {
    /// A relay with the default settings: for the whole IPv6 Internet, on port 3545.
    pub fn builder() -> RelayBuilder {
        RelayBuilder::new()
    }

    /// The hub where callbacks register for the port.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The trouble that the relay had at its start; [`Status::reason`](teredo_notify::types::Status::reason) has its
    /// present trouble.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Whether the port is settled and the relay serves.
    #[must_use]
    pub fn open(&self) -> watch::Receiver<bool> {
        self.open.clone()
    }

    /// The path in the kernel, if it is loaded.
    #[must_use]
    pub fn kernel_path(&self) -> Option<&KernelPath> {
        self.kernel.path()
    }

    /// Port, peers, traffic, drops; `None` once a part of the relay has ended.
    pub fn status(&self) -> impl Future<Output = Option<RelayPathStatus>> + Send + use<> {
        self.handle.status()
    }

    /// Waits until the relay ends by itself, which it does if its interface is deleted. Cancel safe.
    pub async fn ended(&mut self) -> RunError {
        self.running.ended().await
    }

    /// Ends the relay in order: the routes go first, then the port is closed and its end announced.
    ///
    /// # Errors
    /// [`RunError`] if the relay had ended by itself, unless [`ended`](Self::ended) has reported that.
    pub async fn shutdown(self) -> Result<(), RunError> {
        let ended = self.running.shutdown().await;
        // Joins the data path's threads, which close the port and announce that.
        drop(self.handle);
        ended
    }
}
