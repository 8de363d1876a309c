//! Several threads for one relay: lanes, each with a queue of the interface, a socket on the service port and peers of
//! its own.
//!
//! ```text
//!                 ┌─ queue 0 ─> lane 0: its peers ─> socket 0 ─┐
//!  host ═ TUN  ═══╡                                            ╞═══ service port ═ clients
//!                 └─ queue 1 ─> lane 1: its peers ─> socket 1 ─┘
//! ```
//!
//! Which lane a client belongs to follows from its IPv4 address, which is in its Teredo address as well as in front of
//! its datagrams. The kernel reckons the same on both sides: for the queues with a program of eBPF
//! (`TUNSETSTEERINGEBPF`), for the sockets with one of classic BPF (`SO_ATTACH_REUSEPORT_CBPF`). So the packets of a
//! flow all take one lane, both ways, in their order, and no lane ever asks for a peer of another: there is no lock,
//! and nothing that two threads write.

mod program;

use std::io;
use std::net::Ipv4Addr;
use std::num::NonZeroUsize;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::AttachReusePortCbpf;

use crate::udp::ServiceSocket;
use crate::{BindError, Tun};

/// How many lanes there are, and whose is which.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lanes(NonZeroUsize);

impl Lanes {
    /// Few enough for the kernel, which has 256 queues for an interface.
    pub(crate) const MOST: usize = 64;

    pub(crate) fn new(count: NonZeroUsize) -> Self {
        Self(count.min(const { NonZeroUsize::new(Self::MOST).unwrap() }))
    }

    pub(crate) fn count(self) -> usize {
        self.0.get()
    }

    /// The lane of the clients that have this address on the IPv4 Internet.
    #[cfg(test)]
    fn of(self, client: Ipv4Addr) -> usize {
        let mixed = client.to_bits().wrapping_mul(program::MULTIPLIER) >> program::SHIFT;
        mixed as usize % self.count()
    }

    /// Has packets for a client come out of its lane's queue. All queues belong to one interface, in the order of the
    /// lanes.
    ///
    /// Takes CAP_BPF; refused with `EPERM` without, and with `EINVAL` by a kernel before 4.16.
    pub(crate) fn steer_queues(self, first: &Tun) -> io::Result<()> {
        program::steer(first, self.count() as u32)
    }

    /// Binds the port once for each lane, and has datagrams of a client come to its lane's.
    pub(crate) fn bind(
        self,
        address: Ipv4Addr,
        port: u16,
    ) -> Result<Vec<ServiceSocket>, BindError> {
        let sockets = ServiceSocket::bind_shared(address, port, self.count())?;
        if self.count() > 1 {
            let program = program::Classic::new(self.count() as u32);
            setsockopt(&sockets[0], AttachReusePortCbpf, &program.as_raw()).map_err(|errno| {
                BindError::Io {
                    address,
                    port,
                    source: errno.into(),
                }
            })?;
        }
        Ok(sockets)
    }
}

#[cfg(test)]
mod tests;
