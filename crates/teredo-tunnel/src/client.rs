//! A client's data path: one lane.
//!
//! The rest of the program talks to it through a [`ClientHandle`], and hears from it through [`LaneEvent`]s.

mod handle;
mod random;
mod role;
mod sockets;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use teredo::client::{LocalSubnet, Resumption};
use teredo::{ClientConfig, DropCounters, Keyring, ServerAddress};

use crate::kernel::KernelPath;
use crate::lane::{Counters, LaneEvent};
use crate::offload::Offload;

pub use handle::ClientHandle;

/// An event of a client's data path.
pub type ClientEvent = LaneEvent<teredo::client::Event>;

/// The settings of a client's data path.
#[derive(Clone, Debug)]
pub struct ClientPathConfig {
    /// The address to bind; unspecified leaves it to the routing table.
    pub bind: Ipv4Addr,
    /// The port to bind; `None` for one that the kernel chooses.
    pub port: Option<u16>,
    /// The servers to qualify with; more can be set later.
    pub servers: Vec<ServerAddress>,
    /// The identifiers and secrets for the servers; more can be set later.
    pub keyring: Keyring,
    /// The protocol's settings.
    pub client: ClientConfig,
    /// The subnets that the host is attached to (see [`attached`](crate::net::NetworkMonitor::attached)), for local discovery.
    pub subnets: Vec<LocalSubnet>,
    /// An address of the host's native IPv6, if it has that: the client is dormant then (RFC 4380 §5.5).
    pub native: Option<Ipv6Addr>,
    /// How long to wait for gating subscribers before datagrams leave from a new port all the same.
    pub settle_deadline: Duration,
    /// Whether to use kernel offloads.
    pub offload: Offload,
    /// Whether the client begins stopped, without a port, until [`ClientHandle::start`].
    pub stopped: bool,
    /// The things that a client before this one has left.
    pub predecessor: Predecessor,
    /// The path in the kernel, attached to the client's interface, if there is one.
    pub kernel: Option<KernelPath>,
}

/// Things that a client leaves to the one that is started after it.
#[derive(Clone, Debug, Default)]
pub struct Predecessor {
    /// Its service port. A socket that does not fit [`ClientPathConfig::bind`] and [`ClientPathConfig::port`] is closed.
    pub socket: Option<Arc<OwnedFd>>,
    /// The number of the port, which is tried before any other if there is neither a socket nor a configured port.
    pub port: Option<u16>,
    /// The address to serve with at once, if the client gets that port.
    pub resumption: Option<Resumption>,
}

impl ClientPathConfig {
    /// The defaults: no server yet, and gating subscribers have `settle_deadline`.
    pub fn new(settle_deadline: Duration) -> Self {
        Self {
            bind: Ipv4Addr::UNSPECIFIED,
            port: None,
            servers: Vec::new(),
            keyring: Keyring::default(),
            client: ClientConfig::default(),
            subnets: Vec::new(),
            native: None,
            settle_deadline,
            offload: Offload::default(),
            stopped: false,
            predecessor: Predecessor::default(),
            kernel: None,
        }
    }
}

/// The state of a client's data path at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPathStatus {
    /// The state machine's own account.
    pub client: teredo::client::Status,
    /// Packets dropped, by reason.
    pub drops: DropCounters,
    /// The service port in use; 0 for none.
    pub port: u16,
    /// Traffic and system calls.
    pub counters: Counters,
}

#[cfg(test)]
mod tests;
