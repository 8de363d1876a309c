//! The sockets of a probe: connected to the node, so that only its datagrams are read, and its refusals.

use std::ffi::OsString;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::task::Poll;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::BindToDevice;
use rustix::io::Errno;
use rustix::net::SendFlags;
use teredo::ServerAddress;
use teredo_tunnel::net::local_address;
use tokio::io::ReadBuf;

use super::probe::{Datagram, Prober};
use super::relay::{self, RelayProbe};
use super::server::{self, ServerProbe};
use super::target::Target;
use crate::announce::random;
use crate::settings::refused_address;

/// Any address that the default route leads to, to find out the address of this host.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// Longer than any answer.
const BUFFER: usize = 2048;

/// A probe, and its sockets.
pub(super) struct Probe {
    pub(super) prober: Box<dyn Prober>,
    sockets: Vec<tokio::net::UdpSocket>,
}

/// Why there is no probe.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// The node's interface is not there.
    #[error("there is no interface {0}: the relay does not run")]
    NoInterface(String),
    /// Another program has the port.
    #[error(
        "UDP port 3544 of {0} is taken, probably by a Teredo server; give the relay an address of its own, or the probe with --from"
    )]
    PortTaken(Ipv4Addr),
    /// A server does not answer this address.
    #[error(
        "a server refuses {0}, its own address or a private one; name another one of this host with --from"
    )]
    Refused(Ipv4Addr),
    /// The address is not this host's.
    #[error("{0} is no address of this host")]
    NoAddress(Ipv4Addr),
    /// Anything else.
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
}

impl OpenError {
    /// Whether it may pass by itself: the node is not there yet.
    pub(super) fn is_of_the_node(&self) -> bool {
        match self {
            Self::NoInterface(_) | Self::NoAddress(_) => true,
            Self::PortTaken(_) | Self::Refused(_) => false,
            Self::Io { source, .. } => matches!(
                Errno::from_io_error(source),
                Some(Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::NETDOWN | Errno::ADDRNOTAVAIL)
            ),
        }
    }
}

impl Probe {
    /// Opens the sockets. Must be called within a runtime.
    pub(super) fn open(target: &Target) -> Result<Self, OpenError> {
        match target {
            Target::Server {
                pair,
                from,
                allow_private,
                credentials,
            } => {
                let sockets = Self::of_a_server(*pair, *from, *allow_private)?;
                let locals = [local(&sockets[0])?, local(&sockets[1])?];
                let prober = ServerProbe::new(*pair, credentials.clone(), locals);
                Self::new(Box::new(prober), sockets.into())
            }
            Target::Relay {
                service,
                from,
                interface,
            } => Self::of_a_relay(*service, *from, interface),
        }
    }

    fn new(prober: Box<dyn Prober>, sockets: Vec<UdpSocket>) -> Result<Self, OpenError> {
        let register = |socket: UdpSocket| {
            socket.set_nonblocking(true)?;
            tokio::net::UdpSocket::from_std(socket)
        };
        let sockets: io::Result<_> = sockets.into_iter().map(register).collect();
        Ok(Self {
            prober,
            sockets: sockets.map_err(failed("cannot use a socket"))?,
        })
    }

    /// To its own address, the kernel sends from that address, which the server refuses.
    fn of_a_server(
        pair: ServerAddress,
        from: Option<Ipv4Addr>,
        allow_private: bool,
    ) -> Result<[UdpSocket; 2], OpenError> {
        let from = match from {
            Some(from) => from,
            None => local_address(ELSEWHERE).map_err(failed("this host has no route for IPv4"))?,
        };
        let is_own = [pair.primary, pair.secondary].contains(&from);
        if is_own || refused_address(from, Some(allow_private)).is_some() {
            return Err(OpenError::Refused(from));
        }
        let [first, second] = server::ends(pair);
        Ok([connected(from, 0, first)?, connected(from, 0, second)?])
    }

    fn of_a_relay(
        service: SocketAddrV4,
        from: Option<Ipv4Addr>,
        interface: &str,
    ) -> Result<Self, OpenError> {
        let from = from.unwrap_or_else(|| *service.ip());
        let client = connected(from, 0, service)?;
        let server = connected(from, relay::server(from).port(), service)?;
        let teredo = relay::client(local(&client)?, u16::from_ne_bytes(random()));
        let native = UdpSocket::bind(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0))
            .map_err(failed("cannot open a socket for IPv6"))?;
        // Without this, a packet could leave by another route, to another relay of the same prefix.
        setsockopt(&native, BindToDevice, &OsString::from(interface)).map_err(
            |error| match error {
                nix::Error::ENODEV => OpenError::NoInterface(interface.to_owned()),
                error => OpenError::Io {
                    what: format!("cannot use the interface {interface}"),
                    source: error.into(),
                },
            },
        )?;
        native
            .connect(relay::far_end(teredo))
            .map_err(failed("this host has no way through the relay"))?;
        let own = match native.local_addr() {
            Ok(SocketAddr::V6(own)) => own,
            Ok(SocketAddr::V4(_)) => unreachable!("the socket is one of IPv6"),
            Err(source) => return Err(failed("cannot use a socket")(source)),
        };
        let prober = RelayProbe::new(teredo, own);
        let mut sockets = [
            (relay::CLIENT, client),
            (relay::SERVER, server),
            (relay::NATIVE, native),
        ];
        sockets.sort_by_key(|(at, _)| *at);
        Self::new(
            Box::new(prober),
            sockets.into_iter().map(|(_, socket)| socket).collect(),
        )
    }

    /// Sends a datagram. An error is the node's refusal of this one or of one before.
    pub(super) fn send(&self, datagram: &Datagram) -> io::Result<()> {
        let socket = &self.sockets[datagram.from];
        // Not by the runtime, which does not know yet that a new socket may be written to.
        match rustix::net::send(socket, &datagram.payload, SendFlags::DONTWAIT) {
            // No room: it is lost.
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        self.refusal()
    }

    /// Fails if the kernel has refused a datagram. On the same host, it does so before the call that sends returns; the
    /// runtime does not wake up for it.
    pub(super) fn refusal(&self) -> io::Result<()> {
        self.sockets.iter().try_for_each(|socket| {
            let error = socket.take_error()?;
            error.map_or(Ok(()), Err)
        })
    }

    /// The next datagram of the node, with the socket that it came to; an error is a refusal. Cancel safe.
    pub(super) async fn receive(&self) -> io::Result<(usize, Vec<u8>)> {
        poll_fn(|context| {
            for (at, socket) in self.sockets.iter().enumerate() {
                let mut bytes = [0; BUFFER];
                let mut buffer = ReadBuf::new(&mut bytes);
                if let Poll::Ready(received) = socket.poll_recv(context, &mut buffer) {
                    return Poll::Ready(received.map(|()| (at, buffer.filled().to_vec())));
                }
            }
            Poll::Pending
        })
        .await
    }
}

fn connected(from: Ipv4Addr, port: u16, to: SocketAddrV4) -> Result<UdpSocket, OpenError> {
    let socket = UdpSocket::bind((from, port)).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => OpenError::PortTaken(from),
        io::ErrorKind::AddrNotAvailable => OpenError::NoAddress(from),
        _ => failed("cannot open a socket")(source),
    })?;
    socket.connect(to).map_err(|source| OpenError::Io {
        what: format!("cannot reach {to}"),
        source,
    })?;
    Ok(socket)
}

fn local(socket: &UdpSocket) -> Result<SocketAddrV4, OpenError> {
    match socket.local_addr() {
        Ok(SocketAddr::V4(local)) => Ok(local),
        Ok(SocketAddr::V6(_)) => unreachable!("the socket is one of IPv4"),
        Err(source) => Err(failed("cannot use a socket")(source)),
    }
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Io {
        what: what.to_owned(),
        source,
    }
}
