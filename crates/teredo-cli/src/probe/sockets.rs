//! The sockets around a state machine: UDP without privilege, with the network's errors.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use nix::libc;
use nix::sys::socket::sockopt::Ipv4RecvErr;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use teredo::Instant;
use teredo::wire::PORT;
use teredo_tunnel::clock;

use super::core::{Core, Refusal, Refused, Transmit};
use crate::output::narrate;

/// Longer than everything that is expected; the rest of a datagram is cut off.
const BUFFER: usize = 2048;
/// The most datagrams that are read of one socket before the others have their turn.
const BURST: usize = 64;
const ICMP_UNREACHABLE: u8 = 3;

/// A state machine that the sockets serve.
pub(super) trait Machine {
    fn poll_transmit(&mut self) -> Option<Transmit>;
    fn handle(&mut self, now: Instant, at: usize, from: SocketAddrV4, bytes: &[u8]);
    fn refused(&mut self, now: Instant, from: usize, to: SocketAddrV4, refused: Refused);
    fn tick(&mut self, now: Instant);
    fn deadline(&self) -> Option<Instant>;

    /// News for a person who waits.
    fn poll_news(&mut self) -> Option<String> {
        None
    }
}

impl Machine for Core {
    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.poll_transmit()
    }

    fn handle(&mut self, now: Instant, at: usize, from: SocketAddrV4, bytes: &[u8]) {
        self.handle(now, at, from, bytes);
    }

    fn refused(&mut self, now: Instant, from: usize, to: SocketAddrV4, refused: Refused) {
        self.refused(now, from, to, refused);
    }

    fn tick(&mut self, now: Instant) {
        self.tick(now);
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline()
    }
}

/// UDP sockets, each on a port of the kernel's choice.
#[derive(Debug)]
pub(super) struct Sockets(Vec<UdpSocket>);

/// The address from which this host sends to `server`.
pub(super) fn local_address(server: Ipv4Addr) -> io::Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // Connecting sends nothing.
    socket.connect((server, PORT))?;
    match socket.local_addr()? {
        SocketAddr::V4(local) => Ok(*local.ip()),
        SocketAddr::V6(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

impl Sockets {
    /// Opens so many sockets.
    pub(super) fn open(count: usize) -> io::Result<Self> {
        let sockets = (0..count).map(|_| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.set_nonblocking(true)?;
            // Errors of the network, which a socket that is not connected is not told otherwise.
            setsockopt(&socket, Ipv4RecvErr, &true)?;
            Ok(socket)
        });
        sockets.collect::<io::Result<_>>().map(Self)
    }

    /// The sockets with this address, which is the host's.
    pub(super) fn locals(&self, address: Ipv4Addr) -> io::Result<Vec<SocketAddrV4>> {
        let port = |socket: &UdpSocket| socket.local_addr().map(|local| local.port());
        let sockets = self.0.iter();
        sockets
            .map(|socket| Ok(SocketAddrV4::new(address, port(socket)?)))
            .collect()
    }

    /// Runs the machine to its end.
    pub(super) fn run(&self, machine: &mut impl Machine) -> io::Result<()> {
        loop {
            while let Some(transmit) = machine.poll_transmit() {
                self.send(machine, &transmit);
            }
            while let Some(news) = machine.poll_news() {
                narrate(news);
            }
            let Some(deadline) = machine.deadline() else {
                return Ok(());
            };
            for index in self.wait(deadline - clock::now())? {
                self.read_errors(index, machine);
                self.read(index, machine);
            }
            machine.tick(clock::now());
        }
    }

    fn wait(&self, time: Duration) -> io::Result<Vec<usize>> {
        let time = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        let mut fds: Vec<_> = self
            .0
            .iter()
            .map(|socket| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN))
            .collect();
        match poll(&mut fds, Some(&time)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = fds.iter().enumerate();
        Ok(ready
            .filter(|(_, fd)| !fd.revents().is_empty())
            .map(|(index, _)| index)
            .collect())
    }

    fn send(&self, machine: &mut impl Machine, transmit: &Transmit) {
        let Some(socket) = self.0.get(transmit.from) else {
            return;
        };
        let mut outcome = socket.send_to(&transmit.payload, transmit.to);
        if outcome.is_err() {
            // The error may be that of an earlier datagram, which the socket is told of here.
            self.read_errors(transmit.from, machine);
            outcome = socket.send_to(&transmit.payload, transmit.to);
        }
        let Err(error) = outcome else {
            return;
        };
        let refusal = match Errno::from_io_error(&error) {
            Some(Errno::PERM | Errno::ACCESS) => Refusal::Blocked,
            Some(Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::NETDOWN) => Refusal::NoRoute,
            _ => Refusal::Other(error.to_string()),
        };
        let refused = Refused { refusal, by: None };
        machine.refused(clock::now(), transmit.from, transmit.to, refused);
    }

    fn read(&self, index: usize, machine: &mut impl Machine) {
        let mut buffer = [0; BUFFER];
        for _ in 0..BURST {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let received =
                recvmsg::<SockaddrIn>(self.0[index].as_raw_fd(), &mut parts, None, flags);
            let (from, len) = match received {
                Ok(message) => (message.address, message.bytes),
                Err(nix::Error::EAGAIN) => return,
                // An error of the network, or an interruption.
                Err(_) => continue,
            };
            if let Some(from) = from {
                let from = SocketAddrV4::new(from.ip(), from.port());
                machine.handle(clock::now(), index, from, &buffer[..len.min(BUFFER)]);
            }
        }
    }

    /// Reads the socket's queue of ICMP errors (ip(7), `IP_RECVERR`).
    fn read_errors(&self, index: usize, machine: &mut impl Machine) {
        for _ in 0..BURST {
            let mut buffer = [0; BUFFER];
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let mut control = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in);
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let fd = self.0[index].as_raw_fd();
            let Ok(message) = recvmsg::<SockaddrIn>(fd, &mut parts, Some(&mut control), flags)
            else {
                return;
            };
            let to = message
                .address
                .map(|to| SocketAddrV4::new(to.ip(), to.port()));
            let Ok(controls) = message.cmsgs() else {
                continue;
            };
            for control in controls {
                if let (ControlMessageOwned::Ipv4RecvErr(error, by), Some(to)) = (control, to)
                    && let Some(refused) = icmp(&error, by)
                {
                    machine.refused(clock::now(), index, to, refused);
                }
            }
        }
    }
}

/// An ICMP error (RFC 792, RFC 1812 §5.2.7.1) in the kernel's form.
fn icmp(error: &libc::sock_extended_err, by: Option<libc::sockaddr_in>) -> Option<Refused> {
    if error.ee_origin != libc::SO_EE_ORIGIN_ICMP || error.ee_type != ICMP_UNREACHABLE {
        return None;
    }
    let refusal = match error.ee_code {
        3 => Refusal::NoPort,
        9 | 10 | 13 => Refusal::Prohibited,
        _ => Refusal::Unreachable,
    };
    let by = by.map(|by| Ipv4Addr::from_bits(u32::from_be(by.sin_addr.s_addr)));
    Some(Refused { refusal, by })
}
