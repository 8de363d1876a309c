//! What the commands that run in the foreground have in common: how they start, and how they are told to end.

pub(crate) mod inside;
pub(crate) mod node;
pub(crate) mod privilege;

use std::task::Poll;

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

/// SIGINT, SIGTERM and SIGHUP, which ask a daemon to end.
///
/// To be made before anything that has to be taken back: from then on a signal no longer kills.
#[derive(Debug)]
pub(crate) struct EndSignals(Vec<Signal>);

impl EndSignals {
    /// Must be called within a runtime.
    pub(crate) fn new() -> Result<Self, Failure> {
        let mut signals = Self::without_hangup()?;
        // Whoever starts a daemon with nohup(1) means it to outlive the terminal.
        if !is_ignored(SignalKind::hangup()) {
            signals.0.push(listen(SignalKind::hangup())?);
        }
        Ok(signals)
    }

    /// For a daemon that has something to read anew at a SIGHUP. Must be called within a runtime.
    pub(crate) fn without_hangup() -> Result<Self, Failure> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        let signals: Result<_, _> = kinds.into_iter().map(listen).collect();
        signals.map(Self)
    }

    /// Waits for any. May be dropped and called again.
    pub(crate) async fn received(&mut self) {
        std::future::poll_fn(|context| {
            let ready = self
                .0
                .iter_mut()
                .any(|signal| signal.poll_recv(context).is_ready());
            if ready {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

/// A signal that no longer does what it does by default. Must be called within a runtime.
pub(crate) fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind)
        .map_err(|error| Failure::new(Exit::Failed, "cannot listen for signals").because(error))
}

/// Whether this process was started with the signal ignored.
fn is_ignored(kind: SignalKind) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return false;
    };
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal 1 is the lowest bit.
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}
