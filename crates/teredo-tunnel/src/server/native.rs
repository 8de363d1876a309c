//! The server's raw socket towards the IPv6 Internet: packets leave as they are, headers included.

use std::io;
use std::net::{Ipv6Addr, SocketAddrV6};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// `IPPROTO_RAW`: the packet has its own header.
const RAW: i32 = 255;

/// A raw socket, if the host permits one.
#[derive(Debug)]
pub(super) struct Native(Option<Socket>);

impl Native {
    /// Without CAP_NET_RAW or IPv6 there is no socket; clients still find each other.
    pub(super) fn open() -> Self {
        let socket = Socket::new(
            Domain::IPV6,
            Type::RAW.nonblocking(),
            Some(Protocol::from(RAW)),
        );
        match socket {
            Ok(socket) => Self(Some(socket)),
            Err(error) => {
                tracing::debug!(%error, "no raw socket");
                Self(None)
            }
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Sends an IPv6 packet to the destination in its header.
    pub(super) fn send(&self, packet: &[u8]) -> io::Result<()> {
        let destination = packet
            .get(24..40)
            .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        let (Some(socket), Some(destination)) = (&self.0, destination) else {
            return Err(io::ErrorKind::NetworkUnreachable.into());
        };
        let to = SocketAddrV6::new(Ipv6Addr::from(destination), 0, 0, 0);
        socket.send_to(packet, &SockAddr::from(to)).map(drop)
    }
}
