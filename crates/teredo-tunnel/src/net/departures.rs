//! Notice that a TUN interface has left the network namespace, for a thread that waits with poll(2).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::NlasIterator;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::net::if_::if_indextoname;
use rtnetlink::MulticastGroup;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

// linux/rtnetlink.h, linux/if_link.h
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_NEW_NETNSID: u16 = 45;

/// The length of netlink's header and that of `struct ifinfomsg`.
const HEADERS: usize = 32;

/// A message of one interface without the list of a card's virtual functions.
const BUFFER: usize = 16 << 10;

/// A socket that hears of links in the network namespace of the thread that opened it. It never waits.
///
/// The kernel sends the notice of a departure when the interface is down, and before it is in the other namespace.
pub struct Departures {
    socket: Socket,
    buffer: Box<[u8]>,
}

impl fmt::Debug for Departures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Departures")
    }
}

impl Departures {
    /// Hears of departures from now on.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.add_membership(MulticastGroup::Link as u32)?;
        Ok(Self {
            socket,
            buffer: vec![0; BUFFER].into_boxed_slice(),
        })
    }

    /// Whether the TUN interface with this index is in another namespace; none if there is no news of it.
    ///
    /// # Errors
    /// Those of recv(2).
    pub fn has_left(&mut self, index: u32) -> io::Result<Option<bool>> {
        let mut last = None;
        loop {
            match recv(
                self.socket.as_fd(),
                &mut self.buffer[..],
                RecvFlags::DONTWAIT,
            ) {
                Ok((length, _)) => last = news(&self.buffer[..length], index).or(last),
                Err(Errno::NOBUFS) => last = Some(if_indextoname(index).is_err()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(last),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Departures {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The news of a message, of which the kernel sends one at a time. Another interface may get the index of one that has left.
fn news(message: &[u8], index: u32) -> Option<bool> {
    let short = |at: usize| {
        Some(u16::from_ne_bytes(
            message.get(at..at + 2)?.try_into().ok()?,
        ))
    };
    let (kind, family) = (short(4)?, *message.get(16)?);
    let of = u32::from_ne_bytes(message.get(20..24)?.try_into().ok()?);
    // Ports of a bridge have messages of their own.
    if of != index || family != 0 {
        return None;
    }
    let attributes = message.get(HEADERS..)?;
    match kind {
        RTM_DELLINK => find(attributes, IFLA_NEW_NETNSID).map(|_| true),
        RTM_NEWLINK => {
            let info = find(attributes, IFLA_LINKINFO)?;
            let is_tun = find(&info, IFLA_INFO_KIND)?.starts_with(b"tun\0");
            is_tun.then_some(false)
        }
        _ => None,
    }
}

fn find(attributes: &[u8], kind: u16) -> Option<Vec<u8>> {
    let mut attributes = NlasIterator::new(attributes).flatten();
    let found = attributes.find(|attribute| attribute.kind() == kind)?;
    Some(found.value().to_vec())
}
