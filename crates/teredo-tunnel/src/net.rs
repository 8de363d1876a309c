//! The host's network: the tunnel's interface, and the changes of everything else.

mod decision;
mod departures;
mod hardware;
mod interface;
mod ipsec;
mod iptables;
mod monitor;
mod path_mtu;
mod route;
mod routing_changes;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use teredo::wire::PORT;

pub use decision::{Decision, Decisions, passes_reverse_path};
pub use departures::Departures;
pub use hardware::is_virtual;
pub(crate) use interface::into_io;
pub use interface::{
    ANNOUNCED_TABLE, AnnouncedRoutes, Difference, Interface, InterfaceConfig, InterfaceError,
    Network, NetworkError, ROUTING_TABLE, SEGMENTS_PER_SEND,
};
pub use ipsec::{IpsecPolicies, IpsecPolicy};
pub use iptables::legacy_rules;
pub use monitor::{Attached, NativeIpv6, NetworkChange, NetworkMonitor};
pub(crate) use path_mtu::mtu;
pub use path_mtu::path_limit;
pub use routing_changes::RoutingChanges;

pub(crate) use route::{NOTICE_BUFFER, Outgoing, RouteLookup};

/// The router that datagrams from `source` to `destination` go to first; none if there is no route, or none by a router.
///
/// # Errors
/// The kernel does not answer.
pub fn router_to(destination: Ipv4Addr, source: Ipv4Addr) -> io::Result<Option<Ipv4Addr>> {
    let route = RouteLookup::open()?.ipv4_from(destination, source)?;
    Ok(route.and_then(|route| match route.gateway {
        Some(IpAddr::V4(router)) => Some(router),
        Some(IpAddr::V6(_)) | None => None,
    }))
}

/// The interface and address that the kernel would send from to `destination`; `None` without a route.
///
/// # Errors
/// The kernel does not answer.
pub fn way_to(destination: Ipv4Addr) -> io::Result<Option<(u32, Option<Ipv4Addr>)>> {
    let way = RouteLookup::open()?.outgoing(destination, None)?;
    Ok(way.map(|way| (way.link, way.source)))
}

/// The address that the kernel would send from to `server`: the local address of a socket that is bound to none.
///
/// # Errors
/// `NetworkUnreachable` if there is no route.
pub fn local_address(server: Ipv4Addr) -> io::Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // Connecting a UDP socket sends nothing; any port will do.
    socket.connect((server, PORT))?;
    match socket.local_addr()? {
        SocketAddr::V4(local) => Ok(*local.ip()),
        SocketAddr::V6(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}
