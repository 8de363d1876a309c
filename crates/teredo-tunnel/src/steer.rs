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
pub(crate) struct Lanes {
    count: NonZeroUsize,
    multiplier: u32,
}

impl Lanes {
    /// The kernel has 256 queues for an interface.
    pub(crate) const MOST: usize = 64;

    /// One, for all.
    pub(crate) const ONE: Self = Self {
        count: NonZeroUsize::MIN,
        multiplier: 1,
    };

    /// `multiplier` should be unpredictable; it is made odd.
    pub(crate) fn new(count: NonZeroUsize, multiplier: u32) -> Self {
        Self {
            count: count.min(const { NonZeroUsize::new(Self::MOST).unwrap() }),
            multiplier: multiplier | 1,
        }
    }

    pub(crate) fn count(self) -> usize {
        self.count.get()
    }

    /// The lane of the clients that have this address on the IPv4 Internet.
    pub(crate) fn of(self, client: Ipv4Addr) -> usize {
        let upper = client.to_bits().wrapping_mul(self.multiplier) >> program::HALF;
        (upper as usize * self.count()) >> program::HALF
    }

    /// Has packets for a client come out of its lane's queue. All queues belong to one interface, in the order of the
    /// lanes.
    ///
    /// Takes CAP_BPF (before Linux 5.8 CAP_SYS_ADMIN) of the initial user namespace, unless
    /// `kernel.unprivileged_bpf_disabled` is 0; `EPERM` without, and `EINVAL` before Linux 4.16.
    pub(crate) fn steer_queues(self, first: &Tun) -> io::Result<()> {
        program::steer(first, self.count() as u32, self.multiplier)
    }

    /// Binds the port once for each lane, port 0 to one of the kernel's choice, and has datagrams of a client come to
    /// its lane's.
    pub(crate) fn bind(
        self,
        address: Ipv4Addr,
        port: u16,
    ) -> Result<Vec<ServiceSocket>, BindError> {
        let sockets = ServiceSocket::bind_shared(address, port, self.count())?;
        // A program is for a group of sockets, which one alone is not.
        if let [first, _, ..] = &sockets[..] {
            let program = program::Classic::new(self.count() as u32, self.multiplier);
            setsockopt(first, AttachReusePortCbpf, &program.as_raw()).map_err(|errno| {
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
