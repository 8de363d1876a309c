//! The client's data path: a thread that owns the state machine, the TUN interface and the service port.
//!
//! The rest of the program talks to it through an [`EngineHandle`], and hears of it through [`EngineEvent`]s.

mod change;
mod handle;
mod native;
mod optional;
mod worker;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use teredo::client::LocalSubnet;
use teredo::{Client, ClientConfig, DropCounters, ServerAddress};

use crate::lane::seed;
use crate::{BindError, Tun, clock};

pub use crate::lane::{Counters, Offload, Operation};
pub use crate::port::{ChangeError, PortAnnouncer, PortChange, PortFallback};
pub use handle::EngineHandle;

/// How long gating subscribers may take to settle by default.
const DEFAULT_SETTLE_DEADLINE: Duration = Duration::from_millis(250);

/// The settings of an [`Engine`].
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The address to bind; unspecified leaves it to the routing table.
    pub bind: Ipv4Addr,
    /// The port to bind; `None` for one that the kernel chooses.
    pub port: Option<u16>,
    /// The servers to qualify with; more can be set later.
    pub servers: Vec<ServerAddress>,
    /// The protocol's settings.
    pub client: ClientConfig,
    /// The subnets that the host is attached to (see [`attached`](crate::net::watch::attached)), for local discovery.
    pub subnets: Vec<LocalSubnet>,
    /// An address of the host's native IPv6, if it has that: the client is dormant then (RFC 4380 §5.5).
    pub native: Option<Ipv6Addr>,
    /// How long to wait for gating subscribers before datagrams leave from a new port all the same.
    pub settle_deadline: Duration,
    /// Whether work is done for many packets at once where the kernel can.
    pub offload: Offload,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            bind: Ipv4Addr::UNSPECIFIED,
            port: None,
            servers: Vec::new(),
            client: ClientConfig::default(),
            subnets: Vec::new(),
            native: None,
            settle_deadline: DEFAULT_SETTLE_DEADLINE,
            offload: Offload::default(),
        }
    }
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// No port could be had, neither the one asked for nor any other.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A timer, an event descriptor, randomness or the thread itself was refused.
    #[error("cannot start the data path: {0}")]
    Io(#[from] io::Error),
}

/// What an engine tells its owner. Called on the data-path thread: hand it on and return.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineEvent {
    /// The client has something to say.
    Client(teredo::client::Event),
    /// This port is in use from now on.
    PortBound {
        /// The port.
        port: u16,
        /// Why it is not the one asked for.
        fell_back: Option<PortFallback>,
    },
    /// A gating subscriber did not settle in time, and the port was taken into use without it.
    SettleMissed {
        /// The port.
        port: u16,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The kernel refuses to send, receive or deliver. Told once, until another error comes, the network changes
    /// or the client qualifies.
    IoError {
        /// What was being done.
        operation: Operation,
        /// What the kernel said.
        message: String,
    },
    /// The interface was deleted; the engine has ended.
    InterfaceLost,
    /// A thread of the data path has ended by itself, which the log gives the reason of; the others do not make up for
    /// it.
    Ended,
}

/// Everything that can be asked of an engine, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// The client's own account.
    pub client: teredo::client::Status,
    /// What it dropped, and why.
    pub drops: DropCounters,
    /// The service port in use; 0 where there is none.
    pub port: u16,
    /// Traffic and system calls.
    pub counters: Counters,
}

/// The data path of a client, before it has a thread.
#[derive(Debug)]
pub struct Engine(());

impl Engine {
    /// Binds the service port and starts the thread, in the network namespace of the calling thread.
    ///
    /// A dormant client binds no port and announces none. Otherwise the port is announced first; the client starts to qualify when the announcement is settled, or when
    /// [`EngineConfig::settle_deadline`] has passed.
    pub fn spawn(
        mut tun: Tun,
        config: EngineConfig,
        announcer: Box<dyn PortAnnouncer>,
        events: impl Fn(EngineEvent) + Send + 'static,
    ) -> Result<EngineHandle, SpawnError> {
        if config.offload == Offload::Auto {
            tun.enable_offloads();
        }
        let client = Client::new(config.client.clone(), seed()?, clock::now());
        worker::spawn(tun, config, client, announcer, Box::new(events))
    }
}

#[cfg(test)]
mod tests;
