//! ICMP errors about our datagrams, from the socket's error queue (`IP_RECVERR`, ip(7)).
//!
//! The kernel also lets the next call fail with the error, whatever that call is about, and does not send or receive
//! anything then. [`past_errors`](ServiceSocket::past_errors) calls again.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;

use nix::errno::Errno as NixErrno;
use nix::sys::socket::sockopt::Ipv4RecvErr;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use teredo::{IcmpError, IcmpErrorKind};

use super::ServiceSocket;

/// Enough of a datagram to recognise a bubble.
const QUOTED: usize = 64;
/// Room for the error, the router's address, and what the socket reports of each datagram.
const CONTROL: usize = 256;
/// How often a call is made again because of errors that are not its own.
const MAX_TRIES: usize = 8;

const TIME_EXCEEDED: (u8, u8) = (11, 0);

/// An error that came in about a datagram of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    kind: IcmpErrorKind,
    reporter: Ipv4Addr,
    destination: SocketAddrV4,
    quoted: [u8; QUOTED],
    len: usize,
}

impl Received {
    pub(crate) fn error(&self) -> IcmpError<'_> {
        IcmpError {
            kind: self.kind,
            reporter: self.reporter,
            destination: self.destination,
            quoted: &self.quoted[..self.len],
        }
    }
}

/// An entry of the error queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Icmp(Received),
    /// The kernel's own, or incomplete.
    Other,
}

impl ServiceSocket {
    /// From now on, ICMP errors about its datagrams wait in the error queue. They share the receive buffer.
    pub(crate) fn report_errors(&self) -> io::Result<()> {
        Ok(setsockopt(&self.socket, Ipv4RecvErr, &true)?)
    }

    /// Takes the next entry off the error queue; `None` if there is none.
    pub(crate) fn next_error(&self) -> io::Result<Option<Entry>> {
        let mut quoted = [0; QUOTED];
        let mut control = [0; CONTROL];
        let mut parts = [IoSliceMut::new(&mut quoted)];
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let fd = self.socket.as_raw_fd();
        let (len, to, error) =
            match recvmsg::<SockaddrIn>(fd, &mut parts, Some(&mut control), flags) {
                Err(NixErrno::EAGAIN | NixErrno::EINTR) => return Ok(None),
                Err(errno) => return Err(errno.into()),
                Ok(message) => {
                    let errors = message.cmsgs().ok().and_then(|mut all| {
                        all.find_map(|control| match control {
                            ControlMessageOwned::Ipv4RecvErr(error, reporter) => {
                                Some((error, reporter))
                            }
                            _ => None,
                        })
                    });
                    (message.bytes, message.address, errors)
                }
            };
        let (Some(to), Some((error, Some(reporter)))) = (to, error) else {
            return Ok(Some(Entry::Other));
        };
        if error.ee_origin != libc::SO_EE_ORIGIN_ICMP {
            return Ok(Some(Entry::Other));
        }
        let kind = match (error.ee_type, error.ee_code) {
            TIME_EXCEEDED => IcmpErrorKind::TimeExceeded,
            _ => IcmpErrorKind::Other,
        };
        Ok(Some(Entry::Icmp(Received {
            kind,
            reporter: Ipv4Addr::from(u32::from_be(reporter.sin_addr.s_addr)),
            destination: SocketAddrV4::new(to.ip(), to.port()),
            quoted,
            len: len.min(QUOTED),
        })))
    }

    /// Makes a call, and makes it again if it may have failed because of ICMP errors about earlier datagrams.
    pub(super) fn past_errors<T>(&self, mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let mut tries = 1;
        loop {
            match call() {
                // The call has cleared the error. If it was of ICMP, the queue usually still has it.
                Err(error)
                    if may_be_earlier(&error)
                        && tries < MAX_TRIES
                        && (tries == 1 || self.has_errors()) =>
                {
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    fn has_errors(&self) -> bool {
        const AT_ONCE: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut fds = [PollFd::new(&self.socket, PollFlags::empty())];
        poll(&mut fds, Some(&AT_ONCE)).is_ok() && fds[0].revents().contains(PollFlags::ERR)
    }
}

/// Whether the kernel reports ICMP errors like this (`icmp_err_convert`).
fn may_be_earlier(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNREFUSED
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NETUNREACH
                | Errno::NONET
                | Errno::NOPROTOOPT
                | Errno::OPNOTSUPP
                | Errno::PROTO
        )
    )
}

#[cfg(test)]
mod tests;
