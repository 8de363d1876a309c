//! The client's data path: a thread that owns the state machine, the TUN interface and the service port.
//!
//! The rest of the program talks to it through an [`EngineHandle`], and hears of it through [`EngineEvent`]s.

mod announce;
mod change;
mod counters;
mod handle;
mod native;
mod optional;
pub(crate) mod path;
mod port;
pub(crate) mod trouble;
mod worker;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use teredo::client::LocalSubnet;
use teredo::{Client, ClientConfig, DropCounters, ServerAddress};

use crate::{BindError, Tun, clock};

pub use announce::PortAnnouncer;
pub use counters::Counters;
pub use handle::EngineHandle;
pub use port::{ChangeError, PortChange, PortFallback};

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
    /// The subnets that the host is attached to (see [`attached`](crate::watch::attached)), for local discovery.
    pub subnets: Vec<LocalSubnet>,
    /// An address of the host's native IPv6, if it has that: the client is dormant then (RFC 4380 §5.5).
    pub native: Option<Ipv6Addr>,
    /// How long to wait for gating subscribers before datagrams leave from a new port all the same.
    pub settle_deadline: Duration,
    /// Whether work is done for many packets at once where the kernel can.
    pub offload: Offload,
}

/// Whether the kernel is to hand over and take many packets as one (TSO, USO, UDP_SEGMENT, UDP_GRO).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offload {
    /// As far as it can; what it refuses is done packet by packet.
    #[default]
    Auto,
    /// Never: for finding out whether a fault lies there.
    Off,
}

/// What is no [`Offload`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 'auto' or 'off'")]
pub struct ParseOffloadError;

impl FromStr for Offload {
    type Err = ParseOffloadError;

    fn from_str(text: &str) -> Result<Self, ParseOffloadError> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            _ => Err(ParseOffloadError),
        }
    }
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

/// What the data path does with the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Sending datagrams.
    Send,
    /// Receiving datagrams.
    Receive,
    /// Handing packets to the host.
    Deliver,
    /// Taking packets from the host.
    Submit,
    /// Looking for other clients on the link (RFC 4380 §5.2.8).
    Discover,
    /// Looking for a longer refresh interval (RFC 4380 §5.2.7).
    Determine,
}

impl Operation {
    /// The operation's name in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Deliver => "deliver",
            Self::Submit => "submit",
            Self::Discover => "discover",
            Self::Determine => "determine",
        }
    }
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

/// For a wait that is a look.
pub(crate) const AT_ONCE: rustix::event::Timespec = rustix::event::Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// Randomness that nobody can foresee: nonces and the random bits of the address come from it (RFC 5991 §4).
pub(crate) fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    let mut filled = 0;
    while filled < seed.len() {
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::rand::getrandom(&mut seed[filled..], flags)?;
    }
    Ok(seed)
}

#[cfg(test)]
mod tests;
