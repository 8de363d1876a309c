//! A relay's data path: threads, each of which owns a queue of the TUN interface, a socket on the service port and a
//! state machine for the clients that fall to it (see `lanes`).
//!
//! Between the interface and the IPv6 Internet the host's own IPv6 stack is the router, with its routes, its rules
//! and its hop limits. For a host-specific relay it is the host that answers, echo requests among others (R-HSR-03).

mod lane;
mod spawn;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use teredo::relay::{RelayCounters, RelayStatus, Served};
use teredo::{DropCounters, RelayConfig};
use tokio::sync::oneshot;

use crate::client::{Counters, EngineEvent, Offload, PortAnnouncer};
use crate::{BindError, TunQueues, Waker};

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
    /// A timer, an event descriptor, randomness or a thread was refused.
    #[error("cannot start the data path: {0}")]
    Io(#[from] io::Error),
}

/// Everything that can be asked of a relay's data path, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

impl RelayPathStatus {
    /// Adds what one lane has to tell.
    fn add(&mut self, lane: &Self) {
        self.relay += lane.relay;
        self.relayed += lane.relayed;
        self.drops.merge(&lane.drops);
        self.port = lane.port;
        self.counters += lane.counters;
    }
}

/// Called by every lane.
type Events = Arc<dyn Fn(EngineEvent) + Send + Sync>;

enum Command {
    /// The port is settled.
    Open,
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
    // They end first: the other one announces that the port is closed, which it is then.
    others: Vec<LaneHandle>,
    first: LaneHandle,
}

#[derive(Debug)]
struct LaneHandle {
    commands: mpsc::Sender<Command>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl RelayHandle {
    /// Binds the service port and starts a thread for each queue, in the network namespace of the calling thread.
    ///
    /// The port is announced first; the relay serves when the announcement is settled, or when
    /// [`RelayPathConfig::settle_deadline`] has passed. `events` is called on the data-path threads: hand it on and
    /// return. There is none from a [`Client`](EngineEvent::Client).
    pub fn spawn(
        queues: TunQueues,
        config: RelayPathConfig,
        announcer: Box<dyn PortAnnouncer>,
        events: impl Fn(EngineEvent) + Send + Sync + 'static,
    ) -> Result<Self, RelayError> {
        spawn::spawn(queues, config, announcer, Arc::new(events))
    }

    /// Wakes the thread that waits, for when an announcement has been settled.
    pub fn waker(&self) -> Waker {
        self.first.waker.clone()
    }

    /// Replaces the directed broadcast addresses of the attached subnets (see
    /// [`broadcasts`](crate::net::watch::broadcasts)).
    pub fn set_broadcasts(&self, broadcasts: Vec<Ipv4Addr>) {
        self.send(|| Command::SetBroadcasts(broadcasts.clone()));
    }

    /// Tells of changed IPv6 addresses: the one that errors come from and, where that changes too, what is served.
    pub fn set_native(&self, error_source: Option<Ipv6Addr>, served: Option<Served>) {
        self.send(|| Command::SetNative {
            error_source,
            served: served.clone(),
        });
    }

    /// Everything that can be asked; `None` once a part of the relay has ended.
    pub fn status(&self) -> impl Future<Output = Option<RelayPathStatus>> + Send + use<> {
        let mut answers = Vec::new();
        self.send(|| {
            let (reply, answer) = oneshot::channel();
            answers.push(answer);
            Command::Status(reply)
        });
        async {
            let mut sum = RelayPathStatus::default();
            for answer in answers {
                sum.add(&answer.await.ok()?);
            }
            Some(sum)
        }
    }

    /// Ends the relay: the port is closed and its end announced, and the interface disappears. Blocks for no longer
    /// than a batch takes; nobody is waited for.
    pub fn shutdown(self) {
        drop(self);
    }

    fn send(&self, mut command: impl FnMut() -> Command) {
        self.first.send(command());
        for lane in &self.others {
            lane.send(command());
        }
    }
}

impl LaneHandle {
    fn send(&self, command: Command) {
        // A lane that has ended drops the command, and with it the sender of the reply.
        let _ = self.commands.send(command);
        self.waker.wake();
    }
}

impl Drop for RelayHandle {
    fn drop(&mut self) {
        // All at once; dropping them waits for each.
        for lane in &self.others {
            lane.send(Command::Shutdown);
        }
    }
}

impl Drop for LaneHandle {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.send(Command::Shutdown);
            if thread.join().is_err() {
                tracing::error!("a thread of the relay panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests;
