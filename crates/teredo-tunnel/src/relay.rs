//! A relay's data path: a thread that owns the state machine, the TUN interface and the service port.
//!
//! Between the interface and the IPv6 Internet the host's own IPv6 stack is the router, with its routes, its rules
//! and its hop limits. For a host-specific relay it is the host that answers, echo requests among others (R-HSR-03).

mod worker;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use teredo::relay::{RelayCounters, RelayStatus, Served};
use teredo::{DropCounters, RelayConfig};
use tokio::sync::oneshot;

use crate::engine::{Counters, EngineEvent, Offload, PortAnnouncer};
use crate::{BindError, Tun, Waker};

/// The settings of a relay's data path.
#[derive(Clone, Debug)]
pub struct RelayPathConfig {
    /// The address to bind; unspecified leaves it to the routing table.
    pub bind: Ipv4Addr,
    /// The port to bind; 0 for one that the kernel chooses.
    pub port: u16,
    /// The protocol's settings; the data path fills in the service port.
    pub relay: RelayConfig,
    /// How long to wait for gating subscribers before datagrams leave all the same (N-16).
    pub settle_deadline: Duration,
    /// Whether work is done for many packets at once where the kernel can.
    pub offload: Offload,
}

/// Why a relay did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The port could not be had. Nobody would look for the relay at another one.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A timer, an event descriptor, randomness or the thread itself was refused.
    #[error("cannot start the data path: {0}")]
    Io(#[from] io::Error),
}

/// Everything that can be asked of a relay's data path, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayPathStatus {
    /// The relay's own account.
    pub relay: RelayStatus,
    /// What it did.
    pub relayed: RelayCounters,
    /// What it dropped, and why.
    pub drops: DropCounters,
    /// The service port.
    pub port: u16,
    /// Traffic and system calls.
    pub counters: Counters,
}

enum Command {
    SetBroadcasts(Vec<Ipv4Addr>),
    SetNative {
        error_source: Option<Ipv6Addr>,
        served: Option<Served>,
    },
    Status(oneshot::Sender<RelayPathStatus>),
    Shutdown,
}

/// A running relay. Dropping it is [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct RelayHandle {
    commands: mpsc::Sender<Command>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl RelayHandle {
    /// Binds the service port and starts the thread, in the network namespace of the calling thread.
    ///
    /// The port is announced first; the relay serves when the announcement is settled, or when
    /// [`RelayPathConfig::settle_deadline`] has passed. `events` is called on the data-path thread: hand it on and
    /// return. There is none from a [`Client`](EngineEvent::Client).
    pub fn spawn(
        tun: Tun,
        config: RelayPathConfig,
        announcer: Box<dyn PortAnnouncer>,
        events: impl Fn(EngineEvent) + Send + 'static,
    ) -> Result<Self, RelayError> {
        worker::spawn(tun, config, announcer, Box::new(events))
    }

    /// Wakes the thread, for when an announcement has been settled.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Replaces the directed broadcast addresses of the attached subnets (see
    /// [`broadcasts`](crate::watch::broadcasts)).
    pub fn set_broadcasts(&self, broadcasts: Vec<Ipv4Addr>) {
        self.send(Command::SetBroadcasts(broadcasts));
    }

    /// Tells of changed IPv6 addresses: the one that errors come from and, where that changes too, what is served.
    pub fn set_native(&self, error_source: Option<Ipv6Addr>, served: Option<Served>) {
        self.send(Command::SetNative {
            error_source,
            served,
        });
    }

    /// Everything that can be asked; `None` once the relay has ended.
    pub fn status(&self) -> impl Future<Output = Option<RelayPathStatus>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Status(reply));
        async { answer.await.ok() }
    }

    /// Ends the relay: the port is closed and its end announced, and the interface disappears. Blocks for no longer
    /// than a batch takes; nobody is waited for.
    pub fn shutdown(mut self) {
        self.end();
    }

    fn send(&self, command: Command) {
        // A relay that has ended drops the command, and with it the sender of the reply.
        let _ = self.commands.send(command);
        self.waker.wake();
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.send(Command::Shutdown);
            if thread.join().is_err() {
                tracing::error!("the relay panicked");
            }
        }
    }
}

impl Drop for RelayHandle {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;
