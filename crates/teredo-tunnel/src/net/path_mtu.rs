//! The MTU of the path to a server, as far as the kernel knows it (RFC 1191).

use std::io;
use std::net::{Ipv4Addr, UdpSocket};

use rustix::net::sockopt;
use teredo::wire::{MTU, PORT};

/// IPv4 and UDP.
const OUTER_HEADERS: u16 = 20 + 8;

/// The longest packet of the tunnel that travels to this server in one piece; `None` if all do, as far as is known.
/// [`probe_path`](crate::client::ClientHandle::probe_path) lets the kernel find out.
///
/// # Errors
/// `NetworkUnreachable` if there is no route.
pub fn path_limit(server: Ipv4Addr) -> io::Result<Option<u16>> {
    let longest = mtu(server, None)?.saturating_sub(OUTER_HEADERS);
    Ok((longest < MTU as u16).then_some(longest))
}

/// The MTU of the path to a destination, from this source if there is one.
pub(crate) fn mtu(destination: Ipv4Addr, source: Option<Ipv4Addr>) -> io::Result<u16> {
    let socket = UdpSocket::bind((source.unwrap_or(Ipv4Addr::UNSPECIFIED), 0))?;
    // The kernel tells the MTU of a connected socket alone. Connecting sends nothing.
    socket.connect((destination, PORT))?;
    Ok(u16::try_from(sockopt::ip_mtu(&socket)?).unwrap_or(u16::MAX))
}
