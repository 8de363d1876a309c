//! The client behind the service, as the service sees it: its methods and its events.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::broadcast;

use crate::hub::Hub;
use crate::types::{Detail, Event, Peer, Status};

/// The future of a method of [`Control`].
pub type ControlFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The client behind the service.
///
/// ```
/// use teredo_notify::service::{Control, ControlError, ControlFuture, Outcome};
/// use teredo_notify::types::Status;
///
/// struct Fixed;
///
/// impl Control for Fixed {
///     fn status(&self) -> ControlFuture<'_, Status> {
///         Box::pin(async { Status::default() })
///     }
///     fn rebind(&self, port: Option<u16>) -> ControlFuture<'_, Result<Outcome, ControlError>> {
///         Box::pin(async move { Err(ControlError::Failed("this port is fixed".into())) })
///     }
///     fn stop(&self) -> ControlFuture<'_, Result<Outcome, ControlError>> {
///         Box::pin(async { Ok(Outcome { port: 0, settled: true }) })
///     }
///     fn start(&self) -> ControlFuture<'_, Result<Outcome, ControlError>> {
///         Box::pin(async { Ok(Outcome { port: 40_123, settled: true }) })
///     }
/// }
/// ```
pub trait Control: Send + Sync + 'static {
    /// The client's status. The service fills in `port`, `sequence` and `firewall` from the hub.
    fn status(&self) -> ControlFuture<'_, Status>;

    /// The peers that were used last, at most `most`. A node without a list that people can read has none.
    fn peers(&self, most: usize) -> ControlFuture<'_, Vec<Peer>> {
        let _ = most;
        Box::pin(async { Vec::new() })
    }

    /// Moves to `port`, or to a port of the system's choice. Ready when the change is announced and the gates have
    /// settled or missed the deadline. Without this, the order is refused, and so are the next two.
    fn rebind(&self, port: Option<u16>) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        let _ = port;
        refuse()
    }

    /// Closes the port and stops. To stop a stopped client is no error.
    fn stop(&self) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        refuse()
    }

    /// Starts again. To start a running client is no error.
    fn start(&self) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        refuse()
    }
}

fn refuse<'a>() -> ControlFuture<'a, Result<Outcome, ControlError>> {
    let refusal = "this node takes no orders; its service manager starts and stops it";
    Box::pin(async { Err(ControlError::Failed(refusal.into())) })
}

/// A client that has a status and takes no orders, for a program that only announces: every order fails.
///
/// ```
/// use teredo_notify::service::{Control, ReadOnly};
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let control = ReadOnly::default();
/// let error = control.stop().await.unwrap_err();
/// assert_eq!(error.to_string(), "this node takes no orders; its service manager starts and stops it");
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct ReadOnly(pub Status);

impl Control for ReadOnly {
    fn status(&self) -> ControlFuture<'_, Status> {
        Box::pin(async { self.0.clone() })
    }
}

/// The result of a control call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    /// The port now; 0: none.
    pub port: u16,
    /// Whether every gate has settled it in time.
    pub settled: bool,
}

/// Why a control call has failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Another program uses the requested port.
    #[error("port {0} is in use by another program")]
    PortInUse(u16),
    /// The client is stopped, so it has no port to move.
    #[error("the client is stopped")]
    NotReady,
    /// Any other failure, in words.
    #[error("{0}")]
    Failed(String),
}

/// How many events a slow monitor may lag behind before it loses some.
const BACKLOG: usize = 256;

/// Delivers the client's events to the monitors. Clones are the same bus.
///
/// Publish everything but port events: the service makes those from the hub, which loses none.
#[derive(Debug, Clone)]
pub struct EventBus {
    hub: Hub,
    sender: broadcast::Sender<Event>,
}

impl EventBus {
    /// A bus whose events carry the sequence numbers of `hub`.
    #[must_use]
    pub fn new(hub: Hub) -> Self {
        Self {
            hub,
            sender: broadcast::Sender::new(BACKLOG),
        }
    }

    /// Sends an event to all monitors. Never blocks; a monitor that is too slow learns how many it has lost.
    pub fn publish(&self, detail: Detail) {
        if self.sender.receiver_count() > 0 {
            // An error means that the last monitor has just gone.
            let _ = self
                .sender
                .send(Event::now(self.hub.snapshot().sequence, detail));
        }
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }
}
