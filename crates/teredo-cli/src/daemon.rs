//! What the commands that run in the foreground have in common: how they start, and how they are told to end.

use sd_notify::NotifyState;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Exit, Failure};

/// The control plane's runtime: one thread.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, "cannot start the runtime").because(error))
}

/// Tells systemd that the daemon serves; without systemd there is nobody to tell.
pub(crate) fn tell_ready() {
    tell(NotifyState::Ready);
}

/// Tells systemd that the daemon is about to end.
pub(crate) fn tell_stopping() {
    tell(NotifyState::Stopping);
}

/// Tells systemd where the daemon stands, for `systemctl status`.
pub(crate) fn tell_state(state: &str) {
    tell(NotifyState::Status(state));
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}

/// SIGINT and SIGTERM, which ask a daemon to end.
///
/// To be made before anything that has to be taken back: from then on a signal no longer kills.
#[derive(Debug)]
pub(crate) struct EndSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl EndSignals {
    /// Must be called within a runtime.
    pub(crate) fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(Exit::Failed, "cannot listen for signals").because(error)
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for either. May be dropped and called again.
    pub(crate) async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
