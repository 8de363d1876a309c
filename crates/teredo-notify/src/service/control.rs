use std::future::Future;
use std::pin::Pin;

use crate::types::Status;

/// What [`Control`] returns.
pub type ControlFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the service cannot know or do itself: the client behind it.
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
    /// How the client stands. The service fills in `port`, `sequence` and `firewall` from the hub itself.
    fn status(&self) -> ControlFuture<'_, Status>;

    /// Moves to `port`, or to one of the system's choice. Ready when the change is announced and the gating
    /// subscribers have settled or run out of time.
    fn rebind(&self, port: Option<u16>) -> ControlFuture<'_, Result<Outcome, ControlError>>;

    /// Closes the port and stops. Stopping what has stopped is no error.
    fn stop(&self) -> ControlFuture<'_, Result<Outcome, ControlError>>;

    /// Starts again. Starting what runs is no error.
    fn start(&self) -> ControlFuture<'_, Result<Outcome, ControlError>>;
}

/// What a control call has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    /// The port now; 0: none.
    pub port: u16,
    /// Whether every gating subscriber has confirmed it in time.
    pub settled: bool,
}

/// Why a control call has failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The port that was asked for belongs to another program.
    #[error("port {0} is in use by another program")]
    PortInUse(u16),
    /// The client has no port to move: it is stopped.
    #[error("the client is stopped")]
    NotReady,
    /// Anything else, in words.
    #[error("{0}")]
    Failed(String),
}
