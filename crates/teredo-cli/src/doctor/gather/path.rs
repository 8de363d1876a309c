//! The MTU of the path to the server.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};

use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery};
use teredo::wire::MTU;

/// The first port of traceroute: a datagram there only asks for the path.
const TRACEROUTE: u16 = 33_434;

/// Sends a datagram that no router may cut, so that the kernel learns the MTU of the path (RFC 1191).
pub(super) fn measure(server: Ipv4Addr) {
    let send = || -> io::Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        sockopt::set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DO)?;
        socket.connect((server, TRACEROUTE))?;
        socket.send(&[0; MTU]).map(drop)
    };
    // The answer of a router goes to the kernel, which is asked later.
    let _ = send();
}
