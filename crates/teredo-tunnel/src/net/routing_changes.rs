//! Notice that the way of IPv4 datagrams may have changed, for a thread that waits with poll(2).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rtnetlink::MulticastGroup;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::route::NOTICE_BUFFER;

/// The changes that may alter the way of a datagram. The last group has the settings `rp_filter` and `forwarding`.
const GROUPS: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Nexthop,
    MulticastGroup::Ipv4Netconf,
];

/// A socket that hears of changes of links, IPv4 routes and rules, and of the reverse path filter, in the network namespace of the thread that opened it. It
/// never waits, and does not say which they are.
///
/// Its buffer is tiny on purpose: of a burst of changes the kernel drops all but the first.
pub struct RoutingChanges(Socket);

impl fmt::Debug for RoutingChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoutingChanges")
    }
}

impl RoutingChanges {
    /// Hears changes from now on.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_rx_buf_sz(NOTICE_BUFFER)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        for group in GROUPS {
            match socket.add_membership(group as u32) {
                // A kernel without rules lacks their group.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                joined => joined?,
            }
        }
        Ok(Self(socket))
    }

    /// Whether something has changed since the last call. A lost announcement counts as a change.
    ///
    /// # Errors
    /// Those of recv(2).
    pub fn changed(&mut self) -> io::Result<bool> {
        // The rest of an announcement is of no use.
        let mut start = [0; 16];
        let mut changed = false;
        loop {
            match recv(self.0.as_fd(), &mut start, RecvFlags::DONTWAIT) {
                Ok(_) | Err(Errno::NOBUFS) => changed = true,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(changed),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for RoutingChanges {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
