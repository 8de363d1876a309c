//! Routes that a routing daemon announces, for as long as this process lives.
//!
//! ```text
//!  table 3545: 2001::/32     dev announce-relay metric 100      a routing daemon learns the table (BIRD: `learn`)
//!              192.0.2.99/32 dev announce-relay metric 100
//! ```
//!
//! No rule leads to the table, so no packet takes these routes. They lead through a TUN interface of this process that
//! carries nothing: the kernel removes it, and them, when the process ends, however it ends.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use netlink_packet_route::route::{RouteMessage, RouteProtocol, RouteScope};
use rtnetlink::{LinkUnspec, RouteMessageBuilder};
use rustix::io::Errno;

use super::{InterfaceError, Netlink, Scope, attempt, check_ipv6, ignore_absent, no_own_address};
use crate::Tun;

/// The table of [`AnnouncedRoutes`] by default. It is not [`ROUTING_TABLE`](super::ROUTING_TABLE), which packets of this
/// host's own clients use.
pub const ANNOUNCED_TABLE: u32 = 3545;

/// A network of IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

impl Network {
    /// The network of an address: its first `bits` bits, at most all.
    pub fn new(address: IpAddr, bits: u8) -> Self {
        match address {
            IpAddr::V4(address) => {
                let bits = bits.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                let first = Ipv4Addr::from_bits(address.to_bits() & mask).into();
                Self { first, bits }
            }
            IpAddr::V6(address) => {
                let bits = bits.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                let first = Ipv6Addr::from_bits(address.to_bits() & mask).into();
                Self { first, bits }
            }
        }
    }

    /// Its first address.
    pub const fn first(&self) -> IpAddr {
        self.first
    }

    /// The number of bits that its addresses share.
    pub const fn bits(&self) -> u8 {
        self.bits
    }
}

impl From<Ipv4Addr> for Network {
    /// The address alone.
    fn from(address: Ipv4Addr) -> Self {
        Self::new(address.into(), 32)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// The text is no [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a network such as 2001::/32 or 192.0.2.99/32, without bits behind its length")]
pub struct NetworkError;

impl FromStr for Network {
    type Err = NetworkError;

    /// A mistyped network would be announced to others, so nothing is guessed.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = text.split_once('/').ok_or(NetworkError)?;
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let is_number = bits.bytes().all(|byte| byte.is_ascii_digit());
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.parse().ok().filter(|bits| is_number && *bits <= most);
        let network = Self::new(address, bits.ok_or(NetworkError)?);
        (network.first == address)
            .then_some(network)
            .ok_or(NetworkError)
    }
}

/// The routes, and the interface that they lead through.
#[derive(Debug)]
pub struct AnnouncedRoutes {
    tun: Tun,
    netlink: Netlink,
    networks: Vec<Network>,
    table: u32,
    /// The metric of the routes that are there.
    metric: Option<u32>,
}

impl AnnouncedRoutes {
    /// Takes a new interface, and adds no route yet. Call it within a tokio runtime.
    ///
    /// # Errors
    /// [`InterfaceError`] if IPv6 networks are to be announced and the host has no IPv6, for example.
    pub async fn new(tun: Tun, table: u32, networks: Vec<Network>) -> Result<Self, InterfaceError> {
        let needs_ipv6 = networks.iter().any(|network| network.first.is_ipv6());
        if needs_ipv6 {
            check_ipv6(tun.name(), Scope::NewInterfaces)?;
        }
        let netlink = Netlink::open()?;
        let up = || LinkUnspec::new_with_index(tun.index()).up();
        // An address of its own would make the kernel look for routers. A kernel without IPv6 makes none.
        let quiet = up().append_extra_attribute(no_own_address()).build();
        let links = netlink.handle.link();
        if needs_ipv6 || links.change(quiet.clone()).execute().await.is_err() {
            let link = if needs_ipv6 { quiet } else { up().build() };
            let name = tun.name();
            attempt(links.change(link).execute(), || {
                format!("set interface {name} up")
            })
            .await?;
        }
        Ok(Self {
            tun,
            netlink,
            networks,
            table,
            metric: None,
        })
    }

    /// Sees to it that the routes are there with this metric, or that there are none. Those that are there already stay
    /// untouched. A change of the metric adds the new routes before it removes the old ones.
    ///
    /// # Errors
    /// [`InterfaceError`]; some routes may be there then.
    pub async fn set(&mut self, metric: Option<u32>) -> Result<(), InterfaceError> {
        if let Some(metric) = metric {
            for &network in &self.networks {
                self.add(network, metric).await?;
            }
        }
        let before = std::mem::replace(&mut self.metric, metric);
        if let Some(before) = before.filter(|_| before != metric) {
            for &network in &self.networks {
                self.remove(network, before).await?;
            }
        }
        Ok(())
    }

    async fn add(&self, network: Network, metric: u32) -> Result<(), InterfaceError> {
        let request = self.netlink.handle.route().add(self.route(network, metric));
        let added = attempt(request.execute(), || {
            format!("add a route to {network} to table {}", self.table)
        });
        match added.await {
            Err(InterfaceError::Netlink { source, .. })
                if Errno::from_io_error(&source) == Some(Errno::EXIST) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    async fn remove(&self, network: Network, metric: u32) -> Result<(), InterfaceError> {
        let request = self.netlink.handle.route().del(self.route(network, metric));
        let removed = attempt(request.execute(), || {
            format!("remove the route to {network} from table {}", self.table)
        });
        ignore_absent(removed.await)
    }

    fn route(&self, network: Network, metric: u32) -> RouteMessage {
        match network.first {
            IpAddr::V4(first) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(first, network.bits)
                .scope(RouteScope::Link)
                .protocol(RouteProtocol::Static)
                .output_interface(self.tun.index())
                .table_id(self.table)
                .priority(metric)
                .build(),
            IpAddr::V6(first) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(first, network.bits)
                .protocol(RouteProtocol::Static)
                .output_interface(self.tun.index())
                .table_id(self.table)
                .priority(metric)
                .build(),
        }
    }
}

#[cfg(test)]
mod tests;
