//! The service port: UDP over IPv4, in batches.
//!
//! Receiving takes many datagrams in one call and lets the kernel merge (`UDP_GRO`) what came in one train.
//! Sending gives the kernel one buffer for a run of datagrams to the same place (`UDP_SEGMENT`), and one call
//! for many datagrams to different places (`sendmmsg`). DF is clear. Outer ECN bits are zero on the way out (RFC 9601
//! §6.1.3) and told on the way in, for [`Ecn::decapsulate`](teredo::wire::Ecn::decapsulate); the kernel merges no
//! datagrams that differ in them.

mod errors;
mod receive;
mod send;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Ipv4PacketInfo, ReceiveTimestampns, UdpGroSegment};
use quinn_udp::UdpSocketState;
use rustix::io::Errno;
use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use teredo::wire::DISCOVERY;

pub(crate) use errors::Entry;
pub(crate) use receive::{Datagram, ReceiveBatch};
pub(crate) use send::{Arena, Arenas, SERVICE, SendBatch};

/// A larger one buys nothing (measured).
const RECEIVE_BUFFER: usize = 1 << 20;
/// 1 MiB is enough for the throughput; a smaller one costs 15 % (measured). The rest is for what waits in the kernel for
/// neighbours that do not answer: see `Links` in the client. The kernel doubles it.
const SEND_BUFFER: usize = 4 << 20;

/// Why a UDP port is not available.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another socket has the port.
    #[error("UDP port {port} on {address} is in use by another socket")]
    InUse {
        /// The address asked for.
        address: Ipv4Addr,
        /// The port asked for.
        port: u16,
    },
    /// The address belongs to no interface.
    #[error("{address} is not an address of this host")]
    AddressNotAvailable {
        /// The address asked for.
        address: Ipv4Addr,
    },
    /// A port below 1024 without the privilege, or a policy that forbids it.
    #[error(
        "not permitted to use UDP port {port} on {address}; a port below 1024 takes CAP_NET_BIND_SERVICE"
    )]
    NotPermitted {
        /// The address asked for.
        address: Ipv4Addr,
        /// The port asked for.
        port: u16,
    },
    /// Anything else.
    #[error("cannot open UDP port {port} on {address}: {source}")]
    Io {
        /// The address asked for.
        address: Ipv4Addr,
        /// The port asked for.
        port: u16,
        /// The kernel's error.
        source: io::Error,
    },
}

/// A bound, non-blocking UDP socket.
#[derive(Debug)]
pub(crate) struct ServiceSocket {
    socket: UdpSocket,
    state: UdpSocketState,
    local: SocketAddrV4,
    /// Trains may be handed to the kernel whole.
    segmentation: bool,
}

impl ServiceSocket {
    /// Binds `port` on `address`; port 0 leaves the choice to the kernel. All that a client sends leaves from it
    /// (R4380-2.9-01).
    pub(crate) fn bind(address: Ipv4Addr, port: u16) -> Result<Self, BindError> {
        Self::bind_beside(address, port, false)
    }

    /// Binds `port` on `address` `count` times, port 0 to one of the kernel's choice: it gives each socket its share of
    /// the senders.
    ///
    /// The first one is alone at first. So a port that another program has is refused, although two programs of the
    /// same user may share one (`SO_REUSEPORT`).
    pub(crate) fn bind_shared(
        address: Ipv4Addr,
        port: u16,
        count: usize,
    ) -> Result<Vec<Self>, BindError> {
        let first = Self::bind(address, port)?;
        if count > 1 {
            sockopt::set_socket_reuseport(&first.socket, true).map_err(|errno| BindError::Io {
                address,
                port,
                source: errno.into(),
            })?;
        }
        let port = first.local().port();
        let mut sockets = vec![first];
        for _ in 1..count {
            sockets.push(Self::bind_beside(address, port, true)?);
        }
        Ok(sockets)
    }

    /// Takes over a socket of a process before, with what it has received.
    ///
    /// # Errors
    /// It is no UDP socket over IPv4, or not bound to this address and port. Port 0 stands for any.
    pub(crate) fn take_over(descriptor: OwnedFd, address: Ipv4Addr, port: u16) -> io::Result<Self> {
        let socket = Socket::from(descriptor);
        let is_udp = socket.domain()? == Domain::IPV4 && socket.r#type()? == Type::DGRAM;
        let local = socket.local_addr()?.as_socket_ipv4();
        let fits = local.is_some_and(|local| {
            *local.ip() == address && local.port() != 0 && [0, local.port()].contains(&port)
        });
        if !is_udp || !fits {
            let local = local.map_or_else(|| "no address".to_owned(), |local| local.to_string());
            let message = format!("the socket that was kept has {local}, not {address}:{port}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        // It may watch for a process that is gone; most have none.
        let _ = socket.detach_filter();
        Self::with(socket)
    }

    /// Another descriptor of the socket, which keeps it when this value is gone.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.socket.try_clone()?.into())
    }

    fn bind_beside(address: Ipv4Addr, port: u16, beside: bool) -> Result<Self, BindError> {
        Self::open(address, port, beside).map_err(|source| match Errno::from_io_error(&source) {
            Some(Errno::ADDRINUSE) => BindError::InUse { address, port },
            Some(Errno::ADDRNOTAVAIL) => BindError::AddressNotAvailable { address },
            Some(Errno::ACCESS | Errno::PERM) => BindError::NotPermitted { address, port },
            _ => BindError::Io {
                address,
                port,
                source,
            },
        })
    }

    /// Joins the group of local discovery (R4380-5.2.8-01) on the interface that has `interface` for its address.
    ///
    /// The socket is bound to the group and takes nothing else, so that no unicast datagram comes near it; others may
    /// be bound to it as well.
    pub(crate) fn join_discovery(interface: Ipv4Addr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        // Otherwise datagrams to groups that others have joined on other interfaces come here, too.
        socket.set_multicast_all_v4(false)?;
        socket.bind(&SockAddr::from(DISCOVERY))?;
        socket.join_multicast_v4(DISCOVERY.ip(), &interface)?;
        Self::with(socket)
    }

    /// Makes datagrams to groups leave through the interface that has `interface` for its address. They reach nobody
    /// beyond the link, and do not come back.
    pub(crate) fn send_multicast_by(&self, interface: Ipv4Addr) -> io::Result<()> {
        let socket = socket2::SockRef::from(&self.socket);
        socket.set_multicast_ttl_v4(1)?;
        socket.set_multicast_loop_v4(false)?;
        socket.set_multicast_if_v4(&interface)
    }

    fn open(address: Ipv4Addr, port: u16, beside: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        if beside {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&SockAddr::from(SocketAddrV4::new(address, port)))?;
        Self::with(socket)
    }

    fn with(socket: Socket) -> io::Result<Self> {
        let socket = UdpSocket::from(socket);
        let SocketAddr::V4(local) = socket.local_addr()? else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let state = UdpSocketState::new((&socket).into())?;
        // `UdpSocketState` sets DF for the sake of QUIC; Teredo must not (R4380-5.1.2-03).
        sockopt::set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DONT)?;
        // Nobody reads the times that `UdpSocketState` asks for, and the kernel would take the time of every packet of the
        // host.
        if let Err(error) = setsockopt(&socket, ReceiveTimestampns, &false) {
            tracing::debug!(%error, "a kernel without SO_TIMESTAMPNS takes no times anyhow");
        }
        set_buffers(&socket)?;
        // A kernel without UDP_SEGMENT has 1 here.
        let segmentation = state.max_gso_segments() >= send::MAX_SEGMENTS;
        Ok(Self {
            socket,
            state,
            local,
            segmentation,
        })
    }

    /// From now on the kernel says of a datagram only where it comes from: neither the address that it was sent to, which
    /// is unspecified in [`Datagram::to`], nor its ECN bits.
    pub(crate) fn report_sources_only(&self) -> io::Result<()> {
        setsockopt(&self.socket, Ipv4PacketInfo, &false)?;
        Ok(sockopt::set_ip_recvtos(&self.socket, false)?)
    }

    /// From now on each datagram is sent and received by itself.
    pub(crate) fn disable_offloads(&mut self) {
        self.segmentation = false;
        if let Err(error) = setsockopt(&self.socket, UdpGroSegment, &false) {
            tracing::debug!(%error, "a kernel without UDP_GRO merges nothing anyhow");
        }
    }

    /// The address and port in use; the address is unspecified if the kernel chooses it for each datagram.
    pub(crate) fn local(&self) -> SocketAddrV4 {
        self.local
    }
}

impl AsFd for ServiceSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sets the buffers, beyond the host's limit if the privilege allows it, otherwise up to the limit.
fn set_buffers(socket: &UdpSocket) -> io::Result<()> {
    if sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER).is_err() {
        sockopt::set_socket_recv_buffer_size(socket, RECEIVE_BUFFER)?;
    }
    if sockopt::set_socket_send_buffer_size_force(socket, SEND_BUFFER).is_err() {
        sockopt::set_socket_send_buffer_size(socket, SEND_BUFFER)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
