//! The common part of the commands that run in the foreground: their start, and the signals to them.

pub(crate) mod counters;
pub(crate) mod inside;
pub(crate) mod keep;
pub(crate) mod local_service;
pub(crate) mod node;
mod port_map;
pub(crate) mod privilege;
pub(crate) mod reload;
pub(crate) mod sandbox;

use std::task::Poll;

use sd_notify::NotifyState;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, interval};

use crate::failure::{Exit, Failure};
use crate::logging;

/// The control plane's runtime: one thread.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, "cannot start the runtime").because(error))
}

/// Runs the control plane until it ends. A name that is still being looked up, in a thread of its own, does not delay the end.
pub(crate) fn run<T>(control: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = runtime()?;
    let outcome = runtime.block_on(control);
    runtime.shutdown_background();
    outcome
}

/// Tells systemd that the daemon serves; without systemd, does nothing.
pub(crate) fn tell_ready() {
    tell(NotifyState::Ready);
}

/// Tells systemd that the daemon is about to end.
pub(crate) fn tell_stopping() {
    tell(NotifyState::Stopping);
}

/// Tells systemd the daemon's state, for `systemctl status`.
pub(crate) fn tell_state(state: &str) {
    tell(NotifyState::Status(state));
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}

/// The service manager's watchdog (`WatchdogSec=`), which kills a daemon that hangs.
#[derive(Debug)]
pub(crate) struct Watchdog(Option<Interval>);

impl Watchdog {
    /// Must be called within a runtime.
    pub(crate) fn new() -> Self {
        Self(sd_notify::watchdog_enabled().map(|limit| interval(limit / 3)))
    }

    /// Waits until a sign of life is due; pending for ever without a watchdog. Cancel safe.
    pub(crate) async fn due(&mut self) {
        match &mut self.0 {
            Some(interval) => drop(interval.tick().await),
            None => std::future::pending().await,
        }
    }

    /// Gives a sign of life, if the daemon is alive.
    pub(crate) fn feed(&self, alive: bool) {
        if alive {
            tell(NotifyState::Watchdog);
        }
    }
}

/// The inputs of a daemon from outside; they outlive a reload.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) end: EndSignals,
    pub(crate) signals: ControlSignals,
    pub(crate) watchdog: Watchdog,
}

impl Session {
    /// Must be called within a runtime.
    pub(crate) fn new() -> Result<Self, Failure> {
        tokio::spawn(async {
            let mut period = interval(logging::FLUSH);
            loop {
                period.tick().await;
                logging::flush(false);
            }
        });
        Ok(Self {
            end: EndSignals::new()?,
            signals: ControlSignals::new()?,
            watchdog: Watchdog::new(),
        })
    }
}

/// Whether a service manager watches this process (sd_notify(3)). An empty name is none.
pub(crate) fn has_service_manager() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| !socket.is_empty())
}

/// The signals that ask a process to end.
///
/// Create it before anything that must be undone at the end: from then on a signal no longer kills.
#[derive(Debug)]
pub(crate) struct EndSignals(Vec<Signal>);

impl EndSignals {
    /// Those to a daemon: SIGINT and SIGTERM. Must be called within a runtime.
    pub(crate) fn new() -> Result<Self, Failure> {
        Self::of([SignalKind::interrupt(), SignalKind::terminate()])
    }

    /// Those to a process without a use for SIGHUP: a terminal sends it, too, and SIGQUIT. Must be called within a
    /// runtime.
    pub(crate) fn of_terminal() -> Result<Self, Failure> {
        Self::of([
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::quit(),
        ])
    }

    fn of(kinds: impl IntoIterator<Item = SignalKind>) -> Result<Self, Failure> {
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

/// SIGUSR1 and SIGHUP, which mean the same in every role and end none.
#[derive(Debug)]
pub(crate) struct ControlSignals {
    print: Signal,
    reload: Signal,
}

/// The request that such a signal makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ControlSignal {
    /// SIGUSR1: print the counters.
    Print,
    /// SIGHUP: reload what can be reloaded.
    Reload,
}

impl ControlSignals {
    /// Must be called within a runtime.
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self {
            print: listen(SignalKind::user_defined1())?,
            reload: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for either. Cancel safe.
    pub(crate) async fn received(&mut self) -> ControlSignal {
        tokio::select! {
            _ = self.print.recv() => ControlSignal::Print,
            _ = self.reload.recv() => ControlSignal::Reload,
        }
    }
}

/// A signal that no longer has its default action. Must be called within a runtime.
pub(crate) fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind)
        .map_err(|error| Failure::new(Exit::Failed, "cannot listen for signals").because(error))
}
