//! The settings of each daemon: the command line first, then the configuration files, then the defaults.

use std::fmt;
use std::net::Ipv4Addr;
use std::num::NonZeroUsize;

use teredo::policy::DestinationPolicy;

use crate::config::Config;
use crate::failure::{Exit, Failure};

pub(crate) use client::ClientSettings;
pub(crate) use conflict::Conflict;
pub(crate) use firewall::FirewallSettings;
pub(crate) use relay::RelaySettings;
pub(crate) use server::{SERVER_SOCKET, ServerSettings, ServerSocket, next_address, serves};

mod client;
mod conflict;
mod firewall;
mod relay;
mod server;

/// The default name of the interface.
const DEFAULT_INTERFACE: &str = "teredo";

/// The contradictions in the configuration. A missing key may come from the command line.
pub(crate) fn conflicts(config: &Config) -> Vec<Conflict> {
    [
        server::conflicts(&config.server),
        relay::conflicts(&config.relay),
    ]
    .concat()
}

/// Where a daemon may send.
pub(crate) fn destinations(allow_private: bool, deny: &[(Ipv4Addr, u8)]) -> DestinationPolicy {
    let mut policy = DestinationPolicy::default();
    policy.allow_private(allow_private);
    for &(net, len) in deny {
        policy.deny(net, len);
    }
    policy
}

/// An address of a server or relay that clients refuse, with the reason and the remedy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RefusedAddress {
    address: Ipv4Addr,
    pub(crate) remedy: &'static str,
}

impl fmt::Display for RefusedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, which is not a global unicast address", self.address)
    }
}

impl From<RefusedAddress> for Failure {
    fn from(refused: RefusedAddress) -> Self {
        let what = format!("{} is not a global unicast address", refused.address);
        Self::new(Exit::Failed, what)
            .hint(refused.remedy)
            .of_settings()
    }
}

/// Whether clients refuse an address of a server or relay.
pub(crate) fn refused_address(
    address: Ipv4Addr,
    allow_private: Option<bool>,
) -> Option<RefusedAddress> {
    let permitted = |private| destinations(private, &[]).permits_address(address);
    let remedy = if permitted(true) {
        "clients on the Internet cannot reach it; in a lab, use --allow-private"
    } else {
        "clients need an address that they can reach on the Internet"
    };
    let refused = RefusedAddress { address, remedy };
    (!permitted(allow_private.unwrap_or(false))).then_some(refused)
}

/// The list of the command line, or else that of the configuration.
fn given<T>(list: Vec<T>, configured: Option<Vec<T>>) -> Vec<T> {
    if list.is_empty() {
        configured.unwrap_or_default()
    } else {
        list
    }
}

fn interface(argument: Option<String>, configured: Option<String>) -> String {
    argument
        .or(configured)
        .unwrap_or_else(|| DEFAULT_INTERFACE.to_owned())
}

fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests;
