//! The tunnel's interface: MTU, address and routes, by route netlink.
//!
//! Other programs change interfaces too, so what is set up can be looked at and restored (`restore.rs`).

mod announced;
mod own_route;
mod restore;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use futures_util::TryStreamExt;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage,
};
use netlink_packet_route::link::{AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute};
use netlink_packet_route::route::{RouteHeader, RouteMessage, RouteType};
use rtnetlink::{AddressMessageBuilder, LinkUnspec, RouteMessageBuilder};
use rustix::io::Errno;
use tokio::task::JoinHandle;

use super::route::RouteLookup;
use crate::Tun;
pub use announced::{ANNOUNCED_TABLE, AnnouncedRoutes, Network, NetworkError};
pub use restore::Difference;

/// The Teredo service prefix (RFC 4380 §2.6).
const TEREDO_PREFIX: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32);

const DEFAULT_PREFIX: (Ipv6Addr, u8) = (Ipv6Addr::UNSPECIFIED, 0);

/// The number of the routing table that packets from a client's address use, and the priority of the rule that says so:
/// ahead of the rules of VPNs, behind the table of local addresses. It is the number of Teredo's UDP port.
///
/// The clients of a host share the table. Each has a rule for its own address, and a route that only packets from this
/// address take, so none is in another's way.
pub const ROUTING_TABLE: u32 = 3544;

/// The next hop of all routes, which no packet ever sees. Without one, the kernel takes each destination for a neighbour of its
/// own: a scan through a relay would fill the table that all interfaces of the host share, 1024 entries by default.
const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// The metric of a route that names none.
const DEFAULT_METRIC: u32 = 1024;
/// The most clients of a host whose routes are behind each other.
const MAX_SIBLINGS: u32 = 8;

/// How often, and how many times at most, to look whether a new address is in effect.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
const MAX_LOOKS: u32 = 1000;

/// How the interface is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceConfig {
    /// The link MTU in bytes; RFC 4380 §5.1.2 asks for 1280.
    pub mtu: u32,
    /// The metric of a default route through the tunnel, if there is to be one. 1029 puts it behind every
    /// other default route, because Teredo is a last resort (R4380-3.2.1-01).
    pub default_route: Option<u32>,
    /// The most segments in a super-packet that the host's own stack makes, if it is to be told. Not for a host that
    /// forwards: a longer one, which another interface has merged, would be taken apart before it gets to the tunnel.
    pub max_segments: Option<u32>,
    /// The group of the interface, by which a firewall knows it under any name. 0, the default: none.
    pub group: u32,
}

/// As many datagrams of 1280 bytes as one send can take (`UDP_SEGMENT`, 65,507 bytes): with
/// [`InterfaceConfig::max_segments`], one super-packet is one send, and one train on the wire.
pub const SEGMENTS_PER_SEND: u32 = 65_507 / 1280;

impl Default for InterfaceConfig {
    fn default() -> Self {
        Self {
            mtu: 1280,
            default_route: Some(1029),
            max_segments: None,
            group: 0,
        }
    }
}

/// Why the interface could not be set up or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterfaceError {
    /// The kernel has no IPv6 at all.
    #[error("this host has no IPv6; boot the kernel without `ipv6.disable=1`")]
    Ipv6Missing,
    /// A sysctl forbids IPv6 on the interface.
    #[error("IPv6 is disabled on {interface}; enable it with `sysctl -w {sysctl}=0`")]
    Ipv6Disabled {
        /// The interface.
        interface: String,
        /// The setting to change.
        sysctl: String,
    },
    /// The process lacks the privilege.
    #[error("not permitted to {action}; it takes CAP_NET_ADMIN")]
    NotPermitted {
        /// The action that failed.
        action: String,
    },
    /// The interface is not in this network namespace any more.
    #[error(
        "interface {interface} is not in this network namespace any more; move it back or restart"
    )]
    Elsewhere {
        /// The interface.
        interface: String,
    },
    /// The interface was deleted.
    #[error("cannot {action}: the interface is gone")]
    Gone {
        /// The action that failed.
        action: String,
    },
    /// Another interface has the route.
    #[error(
        "cannot {action}: another interface has this route with the same metric; another Teredo may be running"
    )]
    RouteExists {
        /// The action that failed.
        action: String,
    },
    /// Anything else.
    #[error("cannot {action}: {source}")]
    Netlink {
        /// The action that failed.
        action: String,
        /// The kernel's error.
        source: io::Error,
    },
}

/// The interface of a [`Tun`], up. Belongs on the control thread: it must be used within a tokio runtime.
///
/// A client's routes stand only while there is an address, so that without one a connection over IPv6 fails at once
/// rather than waits.
#[derive(Debug)]
pub struct Interface {
    netlink: Netlink,
    name: String,
    index: u32,
    config: InterfaceConfig,
    lookup: RouteLookup,
    /// The address that the interface should have.
    address: Option<Ipv6Addr>,
    /// Whether it should have routes without an address.
    routed: bool,
    /// Whether the kernel knows routes for packets from one address (`CONFIG_IPV6_SUBTREES`).
    source_routes: bool,
}

impl Interface {
    /// Gives the interface its MTU (R4380-5.1.2-02), forbids it an address of its own making, and sets it up.
    ///
    /// Without a link-local address the kernel neither solicits routers nor reports multicast groups, which
    /// the tunnel would only have to drop.
    pub async fn set_up(tun: &Tun, config: InterfaceConfig) -> Result<Self, InterfaceError> {
        let (name, index) = (tun.name().to_owned(), tun.index());
        check_ipv6(&name, Scope::NewInterfaces)?;
        let netlink = Netlink::open()?;
        let link = LinkUnspec::new_with_index(index)
            .mtu(config.mtu)
            .append_extra_attribute(LinkAttribute::Group(config.group))
            .append_extra_attribute(no_own_address());
        let links = netlink.handle.link();
        attempt(links.change(link.build()).execute(), || {
            format!("configure interface {name}")
        })
        .await?;
        if let Some(segments) = config.max_segments {
            let limit = LinkUnspec::new_with_index(index)
                .append_extra_attribute(LinkAttribute::GsoMaxSegs(segments));
            // Without it, what goes beyond a send is a send of its own.
            let changed = netlink.handle.link().change(limit.build()).execute().await;
            if let Err(error) = changed {
                tracing::debug!(%error, interface = name, "super-packets are as long as they come");
            }
        }
        let up = LinkUnspec::new_with_index(index).up().build();
        attempt(links.change(up).execute(), || {
            format!("set interface {name} up")
        })
        .await?;
        Ok(Self {
            netlink,
            name,
            index,
            config,
            lookup: RouteLookup::open().map_err(|source| InterfaceError::Netlink {
                action: "open a netlink socket".to_owned(),
                source,
            })?,
            address: None,
            routed: false,
            source_routes: true,
        })
    }

    /// The interface's name, as of the last look.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Teredo address that the interface should have.
    pub fn address(&self) -> Option<Ipv6Addr> {
        self.address
    }

    /// Puts `address` on the interface, and the routes with the first one.
    ///
    /// An address that was there before goes only when the new one stands, so that there is no moment without. After an
    /// error the interface should still have the address; [`restore`](Self::restore) tries again.
    pub async fn set_address(&mut self, address: Ipv6Addr) -> Result<(), InterfaceError> {
        if self.address == Some(address) {
            return Ok(());
        }
        let old = self.address.replace(address);
        self.add_address(address).await?;
        let Some(old) = old else {
            self.delete_stale_rules().await?;
            return self.add_routes().await;
        };
        self.add_own_route(address).await?;
        let rest = self.delete_own_route(old).await;
        self.delete_address(old, 128).await.and(rest)
    }

    /// Puts the routes on an interface that is to have no address: a relay's (R4380-5.4-01), which sends in the name of
    /// others, or in that of the host's other addresses, whose traffic to clients then takes no other way (R-HSR-01,
    /// R-HSR-02).
    pub async fn set_routes(&mut self) -> Result<(), InterfaceError> {
        self.routed = true;
        self.add_routes().await
    }

    /// Takes the routes off an interface without an address.
    pub async fn clear_routes(&mut self) -> Result<(), InterfaceError> {
        self.routed = false;
        self.delete_routes().await
    }

    /// Takes routes and address off the interface.
    pub async fn clear_address(&mut self) -> Result<(), InterfaceError> {
        let Some(address) = self.address.take() else {
            return Ok(());
        };
        // A failure of one of them is no reason to skip the others.
        let own = self.delete_own_route(address).await;
        let routes = self.delete_routes().await;
        self.delete_address(address, 128).await.and(own).and(routes)
    }

    async fn add_address(&self, address: Ipv6Addr) -> Result<(), InterfaceError> {
        let message = self.address_message(address);
        let mut request = self
            .netlink
            .handle
            .address()
            .add(self.index, IpAddr::V6(address), 128)
            .replace();
        *request.message_mut() = message;
        let added = attempt(request.execute(), || {
            format!("add {address} to {}", self.name)
        });
        added.await.map_err(|error| match error {
            // The setting itself may be out of sight, in a sandbox.
            InterfaceError::Netlink { source, .. }
                if Errno::from_io_error(&source) == Some(Errno::ACCESS) =>
            {
                InterfaceError::Ipv6Disabled {
                    interface: self.name.clone(),
                    sysctl: "net.ipv6.conf.all.disable_ipv6".to_owned(),
                }
            }
            other => other,
        })?;
        self.wait_until_local(address).await;
        Ok(())
    }

    /// The kernel makes the host's own route to a new address a moment after it has confirmed the address; what
    /// arrives before that is dropped.
    async fn wait_until_local(&self, address: Ipv6Addr) {
        for _ in 0..MAX_LOOKS {
            let question = RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(address, 128)
                .build();
            let mut answer = std::pin::pin!(self.netlink.handle.route().get(question).execute());
            // No answer is a route that is not there yet.
            if let Ok(Some(route)) = answer.try_next().await
                && route.header.kind == RouteType::Local
            {
                return;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        tracing::warn!(%address, interface = self.name, "the address is slow to come into effect");
    }

    async fn add_routes(&mut self) -> Result<(), InterfaceError> {
        let mut taken = Ok(());
        for route in self.routes() {
            self.add_free_route(route, &mut taken).await?;
        }
        if let Some(address) = self.address {
            self.add_own_route(address).await?;
        }
        taken
    }

    /// Adds a route. One that another interface has is noted in `taken`, and keeps no other from being added. If that is
    /// another client's, the route goes behind it.
    async fn add_free_route(
        &self,
        wanted: WantedRoute,
        taken: &mut Result<(), InterfaceError>,
    ) -> Result<(), InterfaceError> {
        let mut added = self.add_route(wanted).await;
        if matches!(added, Err(InterfaceError::RouteExists { .. }))
            && self.is_siblings(wanted).await?
        {
            let metric = wanted.metric.unwrap_or(DEFAULT_METRIC);
            for behind in 1..=MAX_SIBLINGS {
                let metric = Some(metric.saturating_add(behind));
                added = self.add_route(WantedRoute { metric, ..wanted }).await;
                if !matches!(added, Err(InterfaceError::RouteExists { .. })) {
                    break;
                }
            }
        }
        match added {
            error @ Err(InterfaceError::RouteExists { .. }) => {
                *taken = error;
                Ok(())
            }
            result => result,
        }
    }

    /// Whether another client of this program has the route. A relay shares it with nobody: the second one would get no
    /// packet.
    async fn is_siblings(&self, wanted: WantedRoute) -> Result<bool, InterfaceError> {
        if self.address.is_none() || self.config.group == 0 {
            return Ok(false);
        }
        let Some(route) = self.find(wanted, None)? else {
            return Ok(false);
        };
        let link = self.read_link_of(route.link).await?;
        let group = link
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::Group(group) => Some(*group),
                _ => None,
            });
        Ok(group == Some(self.config.group))
    }

    async fn add_route(&self, wanted: WantedRoute) -> Result<(), InterfaceError> {
        let request = self.netlink.handle.route().add(self.message(wanted));
        let added = attempt(request.execute(), || {
            format!("add a route to {wanted} through {}", self.name)
        });
        match added.await {
            Err(InterfaceError::Netlink { action, source })
                if Errno::from_io_error(&source) == Some(Errno::EXIST) =>
            {
                Err(InterfaceError::RouteExists { action })
            }
            other => other,
        }
    }

    async fn delete_routes(&self) -> Result<(), InterfaceError> {
        let mut deleted = Ok(());
        for route in self.routes() {
            deleted = deleted.and(self.delete_route(route).await);
        }
        deleted
    }

    async fn delete_route(&self, route: WantedRoute) -> Result<(), InterfaceError> {
        // It may be behind that of another client.
        let any = WantedRoute {
            metric: None,
            ..route
        };
        let request = self.netlink.handle.route().del(self.message(any));
        let action = || format!("remove the route to {route} through {}", self.name);
        ignore_absent(attempt(request.execute(), action).await)
    }

    async fn delete_address(&self, address: Ipv6Addr, len: u8) -> Result<(), InterfaceError> {
        let message = AddressMessageBuilder::<Ipv6Addr>::new()
            .index(self.index)
            .address(address, len)
            .build();
        let request = self.netlink.handle.address().del(message).execute();
        ignore_absent(attempt(request, || format!("remove {address} from {}", self.name)).await)
    }

    /// A host address: no prefix route, and no duplicate detection, which nobody could answer.
    fn address_message(&self, address: Ipv6Addr) -> AddressMessage {
        let mut message = AddressMessageBuilder::<Ipv6Addr>::new()
            .index(self.index)
            .address(address, 128)
            .build();
        message.header.family = AddressFamily::Inet6;
        message.header.flags = AddressHeaderFlags::Nodad;
        let flags = AddressFlags::Nodad | AddressFlags::Noprefixroute;
        message.attributes.push(AddressAttribute::Flags(flags));
        message
    }

    /// The routes of the main table that the interface should have.
    fn routes(&self) -> impl Iterator<Item = WantedRoute> + use<> {
        let route = |destination, metric| WantedRoute {
            destination,
            metric,
            source: None,
        };
        let default = self.config.default_route;
        let default = default.map(|metric| route(DEFAULT_PREFIX, Some(metric)));
        std::iter::once(route(TEREDO_PREFIX, None)).chain(default)
    }

    fn message(&self, wanted: WantedRoute) -> RouteMessage {
        let (prefix, len) = wanted.destination;
        let mut route = RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(prefix, len)
            .output_interface(self.index)
            .gateway(GATEWAY)
            .table_id(wanted.table());
        if let Some(metric) = wanted.metric {
            route = route.priority(metric);
        }
        if let Some(source) = wanted.source.filter(|_| self.source_routes) {
            route = route.source_prefix(source, 128);
        }
        route.build()
    }
}

/// A route through the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WantedRoute {
    destination: (Ipv6Addr, u8),
    metric: Option<u32>,
    /// The client's address, if the route is for packets from it.
    source: Option<Ipv6Addr>,
}

impl WantedRoute {
    fn table(self) -> u32 {
        match self.source {
            Some(_) => ROUTING_TABLE,
            None => u32::from(RouteHeader::RT_TABLE_MAIN),
        }
    }
}

impl fmt::Display for WantedRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, len) = self.destination;
        write!(f, "{prefix}/{len}")?;
        if self.source.is_some() {
            write!(f, " in table {ROUTING_TABLE}")?;
        }
        Ok(())
    }
}

/// Forbids the kernel to give an interface an address of its own making.
fn no_own_address() -> LinkAttribute {
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])])
}

/// It is no error if another program has removed it meanwhile.
fn ignore_absent(result: Result<(), InterfaceError>) -> Result<(), InterfaceError> {
    match result {
        Err(InterfaceError::Netlink { ref source, .. })
            if matches!(
                Errno::from_io_error(source),
                Some(Errno::ADDRNOTAVAIL | Errno::SRCH | Errno::NOENT)
            ) =>
        {
            Ok(())
        }
        Err(InterfaceError::Gone { .. }) => Ok(()),
        other => other,
    }
}

async fn attempt(
    request: impl Future<Output = Result<(), rtnetlink::Error>>,
    action: impl FnOnce() -> String,
) -> Result<(), InterfaceError> {
    let Err(error) = request.await else {
        return Ok(());
    };
    let (action, source) = (action(), into_io(error));
    Err(match Errno::from_io_error(&source) {
        Some(Errno::PERM) => InterfaceError::NotPermitted { action },
        Some(Errno::NODEV | Errno::NXIO) => InterfaceError::Gone { action },
        _ => InterfaceError::Netlink { action, source },
    })
}

/// Which setting allows IPv6 on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// The one that new interfaces begin with: the interface goes with the program that the error ends.
    NewInterfaces,
    /// The interface's own.
    ThisInterface,
}

/// Finds out why IPv6 would not work on `interface` before the kernel says a mere `EACCES`.
fn check_ipv6(interface: &str, scope: Scope) -> Result<(), InterfaceError> {
    let disabled = |name: &str| {
        std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"))
    };
    match disabled(interface) {
        Ok(value) if value.trim() != "0" => {
            let is_set = |name| disabled(name).is_ok_and(|value| value.trim() != "0");
            // `all` is what people set, and setting it back mends every interface that it broke.
            let scope = if is_set("all") {
                "all".to_owned()
            } else if scope == Scope::NewInterfaces && is_set("default") {
                "default".to_owned()
            } else {
                // sysctl(8) swaps dots and slashes.
                let swap = |c| match c {
                    '.' => '/',
                    '/' => '.',
                    c => c,
                };
                interface.chars().map(swap).collect()
            };
            let sysctl = format!("net.ipv6.conf.{scope}.disable_ipv6");
            Err(InterfaceError::Ipv6Disabled {
                interface: interface.to_owned(),
                sysctl,
            })
        }
        // A sandbox may hide the settings.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !kernel_has_ipv6() => {
            Err(InterfaceError::Ipv6Missing)
        }
        // A setting that cannot be read does not count as disabled.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn kernel_has_ipv6() -> bool {
    !matches!(
        rustix::net::socket(
            rustix::net::AddressFamily::INET6,
            rustix::net::SocketType::DGRAM,
            None
        ),
        Err(Errno::AFNOSUPPORT)
    )
}

/// A route netlink socket and the task that serves it.
#[derive(Debug)]
pub(crate) struct Netlink {
    pub(crate) handle: rtnetlink::Handle,
    connection: JoinHandle<()>,
}

impl Netlink {
    pub(crate) fn open() -> Result<Self, InterfaceError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|source| InterfaceError::Netlink {
                action: "open a netlink socket".to_owned(),
                source,
            })?;
        Ok(Self {
            handle,
            connection: tokio::spawn(connection),
        })
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

pub(crate) fn into_io(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
