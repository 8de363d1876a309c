//! The TUN interface: IPv6 packets to and from the host's stack.
//!
//! Every packet travels behind a `virtio_net_hdr`. No offload is asked for yet, so each packet comes whole and
//! checksummed and its header is zero; with offloads, a super-packet will be cut here, into packets that lie
//! next to each other in the batch as they do today.

mod ioctl;

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Packets taken from the interface in one batch.
pub(crate) const BATCH: usize = 64;

/// The longest packet that the kernel may hand over, super-packets included.
const LONGEST: usize = 65_535;

/// Room for a batch of packets of the tunnel's MTU, and behind the last one still for the longest packet.
const ARENA: usize = BATCH * 1280 + LONGEST;

/// `struct virtio_net_hdr`, as `IFF_VNET_HDR` puts it before every packet.
const HEADER: usize = 10;

const DEVICE: &str = "/dev/net/tun";

/// Why there is no TUN interface.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The driver is not there.
    #[error(
        "{DEVICE} is missing; load the driver with `modprobe tun`, or let the container have the device"
    )]
    DeviceMissing,
    /// The process lacks the privilege.
    #[error(
        "not permitted to create a TUN interface; it takes CAP_NET_ADMIN and access to {DEVICE}"
    )]
    NotPermitted,
    /// An interface of this name exists.
    #[error(
        "interface {name} exists already; another instance may be running, or choose another name"
    )]
    NameTaken {
        /// The name asked for.
        name: String,
    },
    /// The kernel cannot have an interface of this name.
    #[error("`{name}` is no interface name: 1 to 15 bytes without `/`, `:`, `%` or white space")]
    InvalidName {
        /// The name asked for.
        name: String,
    },
    /// Anything else.
    #[error("cannot create a TUN interface: {0}")]
    Io(#[from] io::Error),
}

/// A TUN interface. It exists for as long as this value does, and no process death leaves it behind.
#[derive(Debug)]
pub struct Tun {
    file: File,
    name: String,
    index: u32,
}

impl Tun {
    /// Creates the interface, called `name` or, without one, `teredo0`, `teredo1` and so on.
    ///
    /// It is created in the network namespace of the calling thread, down and without addresses;
    /// [`Interface`](crate::interface::Interface) does the rest.
    pub fn open(name: Option<&str>) -> Result<Self, OpenError> {
        if let Some(name) = name
            && !is_valid_name(name)
        {
            return Err(OpenError::InvalidName {
                name: name.to_owned(),
            });
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(DEVICE)
            .map_err(|error| match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::NODEV | Errno::NXIO) => OpenError::DeviceMissing,
                Some(Errno::ACCESS | Errno::PERM) => OpenError::NotPermitted,
                _ => OpenError::Io(error),
            })?;
        let name = ioctl::attach(&file, name.unwrap_or("teredo%d")).map_err(|errno| {
            match (errno, name) {
                (Errno::PERM, _) => OpenError::NotPermitted,
                (Errno::BUSY | Errno::EXIST, Some(name)) => OpenError::NameTaken {
                    name: name.to_owned(),
                },
                (errno, _) => OpenError::Io(errno.into()),
            }
        })?;
        let any_socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0))?;
        let index =
            rustix::net::netdevice::name_to_index(&any_socket, &name).map_err(io::Error::from)?;
        Ok(Self { file, name, index })
    }

    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The interface's index.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Replaces the contents of `batch` with the packets that wait, as many as fit.
    ///
    /// Fails only where it could read nothing; `WouldBlock` where nothing waits.
    pub(crate) fn read_batch(&self, batch: &mut PacketBatch) -> io::Result<()> {
        batch.clear();
        while batch.has_room() {
            match self.read_one(batch) {
                Ok(()) => {}
                Err(Errno::INTR) => {}
                Err(_) if !batch.packets.is_empty() => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn read_one(&self, batch: &mut PacketBatch) -> Result<(), Errno> {
        let mut header = [0; HEADER];
        let start = batch.end;
        let mut parts = [
            IoSliceMut::new(&mut header),
            IoSliceMut::new(&mut batch.arena[start..]),
        ];
        let len = rustix::io::readv(&self.file, &mut parts)?.saturating_sub(HEADER);
        // The header says nothing to act upon: without TUNSETOFFLOAD the kernel cuts and checksums by itself.
        batch.end = start + len;
        batch.packets.push(start..batch.end);
        Ok(())
    }

    /// Hands one packet to the host's stack.
    pub(crate) fn write(&self, packet: &[u8]) -> io::Result<()> {
        let parts = [IoSlice::new(&[0; HEADER]), IoSlice::new(packet)];
        loop {
            match rustix::io::writev(&self.file, &parts) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The kernel's `dev_valid_name`, and no `%`, which would make it a template.
fn is_valid_name(name: &str) -> bool {
    let forbidden = |byte: u8| matches!(byte, b'/' | b':' | b'%' | 0) || byte.is_ascii_whitespace();
    (1..=15).contains(&name.len()) && name != "." && name != ".." && !name.bytes().any(forbidden)
}

/// Packets from the interface, end to end in one arena.
///
/// That they touch is what lets a run of them leave in a single send without being copied.
#[derive(Debug)]
pub(crate) struct PacketBatch {
    arena: Box<[u8]>,
    packets: Vec<Range<usize>>,
    end: usize,
}

impl PacketBatch {
    pub(crate) fn new() -> Self {
        Self {
            arena: vec![0; ARENA].into(),
            packets: Vec::with_capacity(BATCH),
            end: 0,
        }
    }

    /// Where the packets lie in [`Self::arena`], in the order of their arrival.
    pub(crate) fn packets(&self) -> &[Range<usize>] {
        &self.packets
    }

    pub(crate) fn arena(&self) -> &[u8] {
        &self.arena
    }

    fn clear(&mut self) {
        self.packets.clear();
        self.end = 0;
    }

    fn has_room(&self) -> bool {
        self.packets.len() < BATCH && self.arena.len() - self.end >= LONGEST
    }
}

#[cfg(test)]
mod tests;
