//! The TUN interface: IPv6 packets to and from the host's stack.
//!
//! Every packet travels behind a `virtio_net_hdr`. With offloads the host's stack hands over super-packets, which are
//! cut here into packets that lie next to each other in the batch, and takes them; without, each packet comes whole and
//! checksummed.

mod ioctl;
pub(crate) mod mss;
mod queues;

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::io::Errno;

use self::ioctl::Role;
pub use self::queues::TunQueues;
use crate::offload::{Cut, Header, MAX_PIECES, Offloads, SuperPacket};

/// The limits of one batch from the interface: calls, and packets that the super-packets are cut into.
pub(crate) const BATCH: usize = 64;
const PACKETS: usize = 256;

/// The longest packet that the kernel may hand over, super-packets included.
const LONGEST: usize = 65_535;

/// Room for a batch of packets of the tunnel's MTU; also for the longest one.
const ARENA: usize = PACKETS * 1280;

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
    /// An interface that was kept has another name.
    #[error("the interface that was kept is {found}, not {name}")]
    OtherName {
        /// The name asked for.
        name: String,
        /// Its name.
        found: String,
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

/// A TUN interface. It exists for as long as this value does or another [descriptor](Self::descriptor) of it, and no
/// process death leaves it behind.
#[derive(Debug)]
pub struct Tun {
    file: File,
    name: String,
    index: u32,
    offloads: Offloads,
}

impl Tun {
    /// Creates the interface, called `name` or, without one, `teredo0`, `teredo1` and so on.
    ///
    /// It is created in the network namespace of the calling thread, down and without addresses;
    /// [`Interface`](crate::net::Interface) does the rest.
    pub fn open(name: Option<&str>) -> Result<Self, OpenError> {
        Self::create(name, Role::Interface)
    }

    /// Takes over an interface of a process before, by a descriptor that somebody kept. What waits in its queue is still
    /// there; [`Interface::take_over`](crate::net::Interface::take_over) looks after the rest.
    ///
    /// # Errors
    /// [`OpenError`] if it is no TUN interface of a client's kind, if it is not called `name`, or if it is in another
    /// network namespace.
    pub fn take_over(descriptor: OwnedFd, name: Option<&str>) -> Result<Self, OpenError> {
        let file = File::from(descriptor);
        let found = ioctl::attached(&file, Role::Interface).map_err(io::Error::from)?;
        if let Some(name) = name.filter(|name| *name != found) {
            return Err(OpenError::OtherName {
                name: name.to_owned(),
                found,
            });
        }
        rustix::io::ioctl_fionbio(&file, true).map_err(io::Error::from)?;
        Ok(Self {
            index: index_of(&found)?,
            file,
            name: found,
            offloads: Offloads::NONE,
        })
    }

    /// Another descriptor of the interface, which keeps it when this value is gone.
    ///
    /// # Errors
    /// The process or the system has no descriptor left.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }

    fn create(name: Option<&str>, role: Role) -> Result<Self, OpenError> {
        if let Some(name) = name
            && !is_valid_name(name)
        {
            return Err(OpenError::InvalidName {
                name: name.to_owned(),
            });
        }
        let file = open_device().map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NODEV | Errno::NXIO) => OpenError::DeviceMissing,
            Some(Errno::ACCESS | Errno::PERM) => OpenError::NotPermitted,
            _ => OpenError::Io(error),
        })?;
        let name =
            ioctl::attach(&file, name.unwrap_or("teredo%d"), role).map_err(|errno| {
                match (errno, name) {
                    (Errno::PERM, _) => OpenError::NotPermitted,
                    (Errno::BUSY | Errno::EXIST, Some(name)) => OpenError::NameTaken {
                        name: name.to_owned(),
                    },
                    (errno, _) => OpenError::Io(errno.into()),
                }
            })?;
        let index = index_of(&name)?;
        Ok(Self {
            file,
            name,
            index,
            offloads: Offloads::NONE,
        })
    }

    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The interface's index.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Asks the kernel for super-packets, as far as it has them, and returns which will come and may be written.
    ///
    /// A refusal is logged. That happens once, because this is called once.
    pub(crate) fn enable_offloads(&mut self) -> Offloads {
        const TCP: libc::c_uint = libc::TUN_F_CSUM | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
        // The kernel knows both or neither, and takes them together only.
        const UDP: libc::c_uint = libc::TUN_F_USO4 | libc::TUN_F_USO6;
        let wanted = [
            (TCP | UDP, Offloads::ALL),
            (
                TCP,
                Offloads {
                    udp: false,
                    ..Offloads::ALL
                },
            ),
        ];
        self.offloads = Offloads::NONE;
        for (features, offloads) in wanted {
            match ioctl::set_offloads(&self.file, features) {
                Ok(()) => {
                    self.offloads = offloads;
                    break;
                }
                Err(error) => {
                    tracing::info!(%error, ?offloads, "the kernel refuses offloads of the TUN interface");
                }
            }
        }
        self.offloads
    }

    /// The super-packets that come from the host and may be written.
    pub(crate) fn offloads(&self) -> Offloads {
        self.offloads
    }

    /// Replaces the contents of `batch` with the packets that wait, as many as fit.
    ///
    /// Fails only if it could read nothing; with `WouldBlock` if nothing waits.
    pub(crate) fn read_batch(&self, batch: &mut PacketBatch) -> io::Result<()> {
        batch.clear();
        batch.cut();
        for _ in 0..BATCH {
            if !batch.has_room() {
                break;
            }
            match self.read_one(batch) {
                Ok(()) => batch.cut(),
                Err(Errno::INTR) => {}
                Err(_) if !batch.is_empty() => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Reads into the batch's staging area, which is empty.
    fn read_one(&self, batch: &mut PacketBatch) -> Result<(), Errno> {
        let mut header = [0; Header::LEN];
        let mut parts = [
            IoSliceMut::new(&mut header),
            IoSliceMut::new(&mut batch.staging),
        ];
        let len = rustix::io::readv(&self.file, &mut parts)?.saturating_sub(Header::LEN);
        batch.stage(&header, len);
        Ok(())
    }

    /// Hands one packet to the host's stack.
    pub(crate) fn write(&self, packet: &[u8]) -> io::Result<()> {
        self.write_parts(&[
            IoSlice::new(&Header::WHOLE.to_bytes()),
            IoSlice::new(packet),
        ])
    }

    /// Hands several packets of a flow to the host's stack as one.
    pub(crate) fn write_super(&self, packet: &SuperPacket<'_>) -> io::Result<()> {
        let header = packet.header().to_bytes();
        let mut parts = [IoSlice::new(&[]); 2 + MAX_PIECES];
        parts[0] = IoSlice::new(&header);
        parts[1] = IoSlice::new(packet.headers());
        let mut count = 2;
        for (part, piece) in parts[2..].iter_mut().zip(packet.pieces()) {
            *part = IoSlice::new(piece);
            count += 1;
        }
        self.write_parts(&parts[..count])
    }

    fn write_parts(&self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        loop {
            match rustix::io::writev(&self.file, parts) {
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

fn open_device() -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(DEVICE)
}

fn index_of(name: &str) -> io::Result<u32> {
    let any_socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0))?;
    Ok(rustix::net::netdevice::name_to_index(&any_socket, name)?)
}

/// The kernel's `dev_valid_name`, and no `%`, which would make it a template.
fn is_valid_name(name: &str) -> bool {
    let forbidden = |byte: u8| matches!(byte, b'/' | b':' | b'%' | 0) || byte.is_ascii_whitespace();
    (1..=15).contains(&name.len()) && name != "." && name != ".." && !name.bytes().any(forbidden)
}

/// Packets from the interface, end to end in one arena.
///
/// Because they touch, a run of them can leave in a single send without being copied again.
#[derive(Debug)]
pub(crate) struct PacketBatch {
    /// The bytes of the last read.
    staging: Box<[u8]>,
    staged: usize,
    /// The part of them that has not become packets yet, because there was no room.
    rest: Option<Cut>,
    arena: Box<[u8]>,
    packets: Vec<Range<usize>>,
    runs: Vec<Range<usize>>,
    end: usize,
    uncut: u64,
}

impl PacketBatch {
    pub(crate) fn new() -> Self {
        Self {
            staging: vec![0; LONGEST].into(),
            staged: 0,
            rest: None,
            arena: vec![0; ARENA].into(),
            packets: Vec::with_capacity(PACKETS),
            runs: Vec::with_capacity(BATCH + 1),
            end: 0,
            uncut: 0,
        }
    }

    /// Where the packets lie in [`Self::arena`], in the order of their arrival.
    #[cfg(test)]
    pub(crate) fn packets(&self) -> &[Range<usize>] {
        &self.packets
    }

    /// The same in runs: packets that the host handed over as one, and that differ in nothing that says where they go.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &[Range<usize>]> {
        self.runs.iter().map(|run| &self.packets[run.clone()])
    }

    pub(crate) fn arena(&self) -> &[u8] {
        &self.arena
    }

    /// Lowers the segment size in the batch's SYNs ([`mss::clamp`]). A SYN is never part of a super-packet.
    pub(crate) fn clamp_segments(&mut self, limit: u16) {
        for run in self.runs.iter().filter(|run| run.len() == 1) {
            let packet = self.packets[run.start].clone();
            mss::clamp(&mut self.arena[packet], limit);
        }
    }

    /// How many super-packets of this batch made no sense and were left out.
    pub(crate) fn uncut(&self) -> u64 {
        self.uncut
    }

    /// Whether a part of what was read is for the next batch.
    pub(crate) fn has_rest(&self) -> bool {
        self.rest.is_some()
    }

    fn clear(&mut self) {
        self.packets.clear();
        self.runs.clear();
        self.end = 0;
        self.uncut = 0;
    }

    fn is_empty(&self) -> bool {
        self.packets.is_empty() && self.uncut == 0
    }

    fn has_room(&self) -> bool {
        self.rest.is_none() && self.packets.len() < PACKETS
    }

    /// Takes note of what was read.
    fn stage(&mut self, header: &[u8; Header::LEN], len: usize) {
        self.staged = len;
        match Cut::new(&Header::parse(header), &self.staging[..len]) {
            Ok(cut) => self.rest = Some(cut),
            Err(error) => {
                tracing::debug!(%error, "a packet of the host is left out");
                self.uncut += 1;
            }
        }
    }

    /// Makes packets of what was read, as many as there is room for.
    fn cut(&mut self) {
        let Some(mut cut) = self.rest.take() else {
            return;
        };
        let first = self.packets.len();
        while self.packets.len() < PACKETS
            && let Some(len) = cut.emit(&self.staging[..self.staged], &mut self.arena[self.end..])
        {
            self.packets.push(self.end..self.end + len);
            self.end += len;
        }
        self.runs.push(first..self.packets.len());
        self.rest = (!cut.is_finished()).then_some(cut);
    }
}

#[cfg(test)]
mod tests;
