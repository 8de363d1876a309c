//! A capture of the traffic of an interface.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, IoSliceMut, Write};
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use nix::cmsg_space;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, RecvMsg, SockFlag, SockProtocol,
    SockType, bind, recvmsg, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;
use rustix::event::{PollFd, PollFlags, poll};

use crate::namespace::Namespace;
use crate::pcap::{self, LinkType};
use crate::wait::{TimedOut, until};

/// The most frames, and the most bytes of them, that are kept; older ones are forgotten first.
const KEPT_FRAMES: usize = 65_536;
const KEPT_BYTES: usize = 64 * 1024 * 1024;
/// Longer than any frame, see [`pcap`].
const LONGEST_FRAME: usize = 262_144;
/// The kernel's buffer for a capture that falls behind, in bytes.
const RECEIVE_BUFFER: usize = 8 * 1024 * 1024;

/// `ARPHRD_ETHER` and `ARPHRD_LOOPBACK`: hardware types with an Ethernet header.
const WITH_ETHERNET_HEADER: [u16; 2] = [1, 772];

/// A capture of everything that comes in and goes out over one interface, from its start until it is
/// dropped.
///
/// The frames are kept in memory, the last 65536 or 64 MiB of them. A checksum that the hardware would
/// have filled in may be missing, since there is none.
#[derive(Debug)]
pub struct Capture {
    shared: Arc<Shared>,
    /// Closing it ends the thread.
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    socket: OwnedFd,
    index: usize,
    link_type: LinkType,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Where the next one is received.
    buffer: Vec<u8>,
}

/// A captured frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// When the kernel saw it.
    pub time: SystemTime,
    /// How it begins.
    pub link_type: LinkType,
    /// The whole of it, with the Ethernet header if the link has one.
    pub data: Vec<u8>,
}

/// A UDP datagram over IPv4 inside a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpDatagram<'a> {
    /// Its source.
    pub from: SocketAddrV4,
    /// Its destination.
    pub to: SocketAddrV4,
    /// Its payload.
    pub payload: &'a [u8],
}

impl Capture {
    /// Starts to capture. It captures all traffic after its return.
    ///
    /// # Errors
    ///
    /// When the namespace has no such interface, or the right to capture is missing (`CAP_NET_RAW`).
    pub fn start(namespace: &Namespace, interface: &str) -> io::Result<Self> {
        let (socket, index, link_type) = namespace.run(|| open(interface))??;
        let (stopped, stop) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let shared = Arc::new(Shared {
            socket,
            index,
            link_type,
            kept: Mutex::default(),
        });
        let thread = thread::Builder::new().name("lab-capture".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.capture(&stopped)
        })?;
        Ok(Self {
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The frames so far: all that the kernel saw before the call.
    pub fn frames(&self) -> Vec<Frame> {
        self.shared.so_far().frames.iter().cloned().collect()
    }

    /// Waits for a frame for which `matches` is true, the frames so far included.
    ///
    /// # Errors
    ///
    /// [`TimedOut`] with the words of `what`.
    pub fn wait_for(
        &self,
        timeout: Duration,
        what: &str,
        mut matches: impl FnMut(&Frame) -> bool,
    ) -> Result<Frame, TimedOut> {
        until(timeout, what, || {
            self.shared
                .so_far()
                .frames
                .iter()
                .find(|frame| matches(frame))
                .cloned()
        })
    }

    /// Writes the frames so far to a file that Wireshark, tshark and tcpdump read.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        self.write(&mut file)?;
        file.flush()
    }

    /// Writes the frames so far in the same format.
    ///
    /// # Errors
    ///
    /// When `out` cannot be written to.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        pcap::write_header(&mut out, self.shared.link_type)?;
        for frame in self.frames() {
            let since_epoch = frame
                .time
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default();
            pcap::write_frame(&mut out, since_epoch, &frame.data)?;
        }
        Ok(())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the thread of a capture had panicked");
        }
    }
}

/// Opens a packet socket on one interface of the calling thread's namespace.
fn open(interface: &str) -> io::Result<(OwnedFd, usize, LinkType)> {
    // A packet socket is bound by a link-layer address, of which only the index counts.
    let address = getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("there is no interface {interface}"),
            )
        })?;
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::EthAll,
    )?;
    // As much as the kernel allows; less costs frames, nothing else.
    let _ = setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER);
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    bind(socket.as_raw_fd(), &address)?;
    let link_type = if WITH_ETHERNET_HEADER.contains(&address.hatype()) {
        LinkType::Ethernet
    } else {
        LinkType::RawIp
    };
    Ok((socket, address.ifindex(), link_type))
}

impl Shared {
    /// The frames so far. The thread may be late on a busy machine, so it is not waited for.
    fn so_far(&self) -> MutexGuard<'_, Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.read(&mut kept);
        kept
    }

    fn capture(&self, stopped: &OwnedFd) {
        loop {
            let mut ready = [
                PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(stopped.as_fd(), PollFlags::IN),
            ];
            match poll(&mut ready, None) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return,
                Ok(_) => {}
            }
            if !ready[1].revents().is_empty() {
                return;
            }
            drop(self.so_far());
        }
    }

    /// Reads what the kernel holds; under a load without end, as much as is kept.
    fn read(&self, kept: &mut Kept) {
        let mut control = cmsg_space!(TimeSpec);
        let mut buffer = std::mem::take(&mut kept.buffer);
        buffer.resize(LONGEST_FRAME, 0);
        for _ in 0..KEPT_FRAMES {
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let Ok(message) = recvmsg::<LinkAddr>(
                self.socket.as_raw_fd(),
                &mut slices,
                Some(&mut control),
                MsgFlags::empty(),
            ) else {
                break;
            };
            // Between its making and its binding the socket hears all interfaces.
            if message
                .address
                .is_none_or(|from| from.ifindex() != self.index)
            {
                continue;
            }
            let (time, length) = (time_of(&message), message.bytes);
            kept.push(Frame {
                time,
                link_type: self.link_type,
                data: buffer[..length].to_vec(),
            });
        }
        kept.buffer = buffer;
    }
}

/// The kernel's time: a frame may be read long after it came.
fn time_of(message: &RecvMsg<'_, '_, LinkAddr>) -> SystemTime {
    let stamp = message.cmsgs().ok().and_then(|mut messages| {
        messages.find_map(|message| match message {
            ControlMessageOwned::ScmTimestampns(time) => Some(time),
            _ => None,
        })
    });
    stamp.map_or_else(SystemTime::now, |time| {
        SystemTime::UNIX_EPOCH + Duration::from(time)
    })
}

impl Kept {
    fn push(&mut self, frame: Frame) {
        self.bytes += frame.data.len();
        self.frames.push_back(frame);
        while self.frames.len() > KEPT_FRAMES || self.bytes > KEPT_BYTES {
            let Some(forgotten) = self.frames.pop_front() else {
                break;
            };
            self.bytes -= forgotten.data.len();
        }
    }
}

impl Frame {
    /// The IP packet inside, whatever its version; `None` for ARP and the like.
    pub fn ip(&self) -> Option<&[u8]> {
        match self.link_type {
            LinkType::RawIp => Some(&self.data),
            LinkType::Ethernet => match self.data.get(12..14)? {
                [0x08, 0x00] | [0x86, 0xdd] => self.data.get(14..),
                _ => None,
            },
        }
    }

    /// The UDP datagram over IPv4 inside, if it is one and in one piece.
    pub fn udp(&self) -> Option<UdpDatagram<'_>> {
        let packet = SlicedPacket::from_ip(self.ip()?).ok()?;
        // A fragment has no transport header for the parser.
        let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) =
            (&packet.net, &packet.transport)
        else {
            return None;
        };
        let (from, to) = (ip.header().source_addr(), ip.header().destination_addr());
        Some(UdpDatagram {
            from: SocketAddrV4::new(from, udp.source_port()),
            to: SocketAddrV4::new(to, udp.destination_port()),
            payload: udp.payload(),
        })
    }
}

#[cfg(test)]
mod tests;
