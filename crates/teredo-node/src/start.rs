//! The common part of starting a client or a relay, and the end of both.

use std::io;
use std::time::{Duration, Instant};

use teredo_notify::hub::Hub;
use teredo_notify::snapshot::Node;
use teredo_notify::types::Role;
use teredo_tunnel::kernel::KernelError;
use teredo_tunnel::net::InterfaceError;
use teredo_tunnel::{OpenError, SpawnError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::Protection;
#[cfg(doc)]
use teredo_tunnel::kernel::DataPathChoice;

/// How long a predecessor that is ending may stand in the way.
const PATIENCE: Duration = Duration::from_millis(500);
const RETRY_INTERVAL: Duration = Duration::from_millis(10);
const GATE_INTERVAL: Duration = Duration::from_millis(1);

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The tunnel interface could not be created.
    #[error("cannot create the tunnel interface: {0}")]
    Tun(#[from] OpenError),
    /// The interface could not be set up.
    #[error("cannot set the tunnel interface up: {0}")]
    Interface(#[from] InterfaceError),
    /// The inside of the tunnel cannot be closed, so the interface was not set up.
    #[error("cannot close the inside of the tunnel: {0}")]
    Protection(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The network cannot be monitored.
    #[error("cannot monitor the network: {0}")]
    Monitor(io::Error),
    /// The path in the kernel was asked for ([`DataPathChoice::Kernel`]) and cannot be had.
    #[error("cannot have the path in the kernel: {0}")]
    Kernel(#[source] KernelError),
    /// The data path did not start.
    #[error("cannot start the data path: {0}")]
    DataPath(#[from] SpawnError),
}

/// Why a node ended although its owner did not ask for it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The interface was deleted.
    #[error("interface {0} was deleted")]
    InterfaceDeleted(String),
    /// A thread of the data path ended by itself; the log has the reason.
    #[error("a thread of the data path has ended by itself")]
    DataPathEnded,
    /// The control loop panicked.
    #[error("the control loop panicked")]
    Panicked,
}

/// A control loop that runs as a task. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    end: oneshot::Sender<()>,
    /// None once its end was reported.
    task: Option<JoinHandle<Result<(), RunError>>>,
}

impl Running {
    /// Starts the loop that `run` makes of a receiver; it must end when the sender is gone.
    pub(crate) fn start<F>(run: impl FnOnce(oneshot::Receiver<()>) -> F) -> Self
    where
        F: Future<Output = Result<(), RunError>> + Send + 'static,
    {
        let (end, ended) = oneshot::channel();
        Self {
            end,
            task: Some(tokio::spawn(run(ended))),
        }
    }

    /// Waits until the loop ends by itself; pending for ever once that was reported. Cancel safe.
    pub(crate) async fn ended(&mut self) -> RunError {
        let Some(task) = &mut self.task else {
            return std::future::pending().await;
        };
        let outcome = task.await;
        self.task = None;
        match outcome {
            Ok(Err(error)) => error,
            // The owner has not asked for the end.
            Ok(Ok(())) | Err(_) => RunError::Panicked,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.task.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends the loop at once: it undoes nothing.
    pub(crate) async fn abandon(self) {
        if let Some(task) = self.task {
            task.abort();
            // It is gone when this is ready.
            let _ = task.await;
        }
    }

    /// Ends the loop in order; fails if it had ended by itself and that was not reported yet.
    pub(crate) async fn shutdown(self) -> Result<(), RunError> {
        drop(self.end);
        match self.task {
            Some(task) => task.await.unwrap_or(Err(RunError::Panicked)),
            None => Ok(()),
        }
    }
}

/// Repeats `attempt` for a moment while `is_transient` holds for its error: after a `kill -9` the kernel needs some
/// milliseconds to release locks, interfaces and tables of the process before.
///
/// # Errors
/// The last error of `attempt`.
pub async fn retry_briefly<T, E>(
    mut attempt: impl FnMut() -> Result<T, E>,
    is_transient: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let patience = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Err(error) if is_transient(&error) && Instant::now() < patience => {
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            outcome => return outcome,
        }
    }
}

/// Opens a TUN interface whose name a predecessor may still have.
pub(crate) async fn open_tun<T>(
    open: impl FnMut() -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    retry_briefly(open, |error| matches!(error, OpenError::NameTaken { .. })).await
}

/// Names the interface to the firewalls, and closes its inside. The interface must not be up yet.
pub(crate) fn protect(
    hub: &Hub,
    role: Role,
    interface: &str,
    index: u32,
    protection: Option<&dyn Protection>,
) -> Result<(), StartError> {
    hub.set_node(Node {
        role: Some(role),
        interface: Some(interface.to_owned()),
        index: Some(index),
        kept: hub.node().kept,
    });
    match protection {
        Some(protection) => protection.close(interface).map_err(StartError::Protection),
        None => Ok(()),
    }
}

/// The interface has another name now: the same as [`protect`], and a refusal is logged.
pub(crate) fn protect_renamed(
    hub: &Hub,
    role: Role,
    interface: &str,
    protection: Option<&dyn Protection>,
) {
    let Some(index) = hub.node().index else {
        return;
    };
    if let Err(error) = protect(hub, role, interface, index, protection) {
        tracing::error!(%error, interface, "the renamed interface is not protected");
    }
}

/// Gives firewall agents that wait for the service `grace` to subscribe before the first port is announced, so that they
/// gate it like every later one (N-16). They watch for the service's socket and need a few milliseconds. The control
/// loop handles agents that come later.
pub(crate) async fn wait_for_gates(hub: &Hub, grace: Duration) {
    let current = hub.snapshot().sequence;
    let subscribed = async {
        while !hub.gates().iter().any(|gate| gate.settled >= Some(current)) {
            tokio::time::sleep(GATE_INTERVAL).await;
        }
    };
    // Without an agent the time runs out.
    let _ = tokio::time::timeout(grace, subscribed).await;
}
