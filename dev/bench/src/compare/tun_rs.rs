//! tun-rs' offload, as its example uses it, with UDP between two ends: a tunnel with one peer and without a protocol.
//!
//! Each direction has a thread. What the crate has cut of a super-packet leaves with one send (`UDP_SEGMENT`), and what
//! came with one receive (`UDP_GRO`, many at once) the crate puts together for the interface: all that offloads can do
//! for a tunnel in user space, and nothing that Teredo needs besides.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;

use anyhow::{Context as _, Result};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmsg,
    setsockopt, sockopt,
};
use tun_rs::{DeviceBuilder, GROTable, IDEAL_BATCH_SIZE, SyncDevice, VIRTIO_NET_HDR_LEN};

const MTU: usize = 1280;
/// The most packets of that size in a datagram of IPv4 before it is cut.
const SEGMENTS: usize = 51;
const SUPER_PACKET: usize = 65_535;
/// Received with one system call, each a packet or many.
const MESSAGES: usize = 32;
/// The size that programs like this give their sockets.
const SOCKET_BUFFER: usize = 7 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The name of the interface.
    #[arg(long)]
    interface: String,
    /// The address that it listens on.
    #[arg(long)]
    bind: SocketAddrV4,
    /// The other end; without this, the last sender.
    #[arg(long)]
    peer: Option<SocketAddrV4>,
}

/// Shared by both threads.
struct Tunnel {
    device: SyncDevice,
    socket: UdpSocket,
    peer: Peer,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let device = DeviceBuilder::new()
        .name(&options.interface)
        .mtu(MTU as u16)
        .offload(true)
        .build_sync()
        .context("no interface")?;
    let socket = UdpSocket::bind(options.bind).context("cannot bind")?;
    setsockopt(&socket, sockopt::RcvBufForce, &SOCKET_BUFFER)?;
    setsockopt(&socket, sockopt::SndBufForce, &SOCKET_BUFFER)?;
    setsockopt(&socket, sockopt::UdpGroSegment, &true).context("no UDP_GRO")?;
    let tunnel = Tunnel {
        device,
        socket,
        peer: Peer::new(options.peer),
    };
    println!("tunnelling");
    let (ended, end) = mpsc::channel();
    std::thread::scope(|scope| {
        let (tunnel, also_ended) = (&tunnel, ended.clone());
        scope.spawn(move || also_ended.send(tunnel.send_what_is_read()));
        scope.spawn(move || ended.send(tunnel.write_what_is_received()));
        // Neither does without the other, which cannot be told to stop.
        let error = match end.recv() {
            Ok(Err(error)) => format!("{error:#}"),
            _ => "a thread panicked".to_owned(),
        };
        eprintln!("tun-rs: {error}");
        std::process::exit(1)
    })
}

impl Tunnel {
    fn send_what_is_read(&self) -> Result<()> {
        let mut whole = vec![0; VIRTIO_NET_HDR_LEN + SUPER_PACKET];
        let mut packets = vec![0; IDEAL_BATCH_SIZE * MTU];
        let mut sizes = vec![0; IDEAL_BATCH_SIZE];
        loop {
            // One behind the other, as a send of many wants them.
            let mut rooms: Vec<&mut [u8]> = packets.chunks_exact_mut(MTU).collect();
            let read = self
                .device
                .recv_multiple(&mut whole, &mut rooms, &mut sizes, 0);
            let count = read.context("cannot read the interface")?;
            let Some(peer) = self.peer.get() else {
                continue;
            };
            let sizes = &sizes[..count];
            let (last, full) = sizes.split_last().context("a read brought nothing")?;
            if full.iter().all(|size| *size == MTU) {
                let len = full.len() * MTU + last;
                for part in packets[..len].chunks(SEGMENTS * MTU) {
                    self.send(part, peer)?;
                }
            } else {
                for (packet, size) in packets.chunks_exact(MTU).zip(sizes) {
                    self.send(&packet[..*size], peer)?;
                }
            }
        }
    }

    fn send(&self, packets: &[u8], peer: SockaddrIn) -> Result<()> {
        let segment = MTU as u16;
        let cut = [ControlMessage::UdpGsoSegments(&segment)];
        let cut = if packets.len() > MTU { &cut[..] } else { &[] };
        let packets = [IoSlice::new(packets)];
        let socket = self.socket.as_raw_fd();
        match sendmsg(socket, &packets, cut, MsgFlags::empty(), Some(&peer)) {
            // TCP repairs losses in the network.
            Ok(_) | Err(Errno::ENOBUFS | Errno::ECONNREFUSED | Errno::EINTR) => Ok(()),
            Err(error) => Err(error).context("cannot send"),
        }
    }

    fn write_what_is_received(&self) -> Result<()> {
        let mut buffers = vec![vec![0; SUPER_PACKET]; MESSAGES];
        let room = || Vec::with_capacity(SUPER_PACKET);
        let mut packets: Vec<_> = std::iter::repeat_with(room)
            .take(IDEAL_BATCH_SIZE)
            .collect();
        let mut table = GROTable::default();
        let mut received = Vec::with_capacity(MESSAGES);
        loop {
            received.clear();
            let buffer_list = buffers.iter_mut();
            let mut slices: Vec<_> = buffer_list
                .map(|buffer| [IoSliceMut::new(buffer)])
                .collect();
            // Made anew: room for control messages that the kernel did not use is gone at the next call.
            let mut headers = MultiHeaders::preallocate(MESSAGES, Some(cmsg_space!(i32)));
            let socket = self.socket.as_raw_fd();
            let flags = MsgFlags::MSG_WAITFORONE;
            match recvmmsg(socket, &mut headers, slices.iter_mut(), flags, None) {
                Ok(messages) => {
                    for message in messages {
                        let from: Option<SockaddrIn> = message.address;
                        if let Some(from) = from {
                            self.peer.set(SocketAddrV4::new(from.ip(), from.port()));
                        }
                        let segment = message.cmsgs()?.find_map(|message| match message {
                            ControlMessageOwned::UdpGroSegments(size) => usize::try_from(size).ok(),
                            _ => None,
                        });
                        received.push((message.bytes, segment.unwrap_or(SUPER_PACKET).max(1)));
                    }
                }
                Err(Errno::ECONNREFUSED | Errno::EINTR) => continue,
                Err(error) => return Err(error).context("cannot receive"),
            }
            let messages = buffers.iter().zip(&received);
            let mut all =
                messages.flat_map(|(buffer, (len, segment))| buffer[..*len].chunks(*segment));
            loop {
                let mut count = 0;
                for (packet, bytes) in packets.iter_mut().zip(all.by_ref()) {
                    packet.clear();
                    packet.resize(VIRTIO_NET_HDR_LEN, 0);
                    packet.extend_from_slice(bytes);
                    count += 1;
                }
                if count == 0 {
                    break;
                }
                let packets = &mut packets[..count];
                // An interface may refuse a packet; the next one is another matter.
                let _ = self
                    .device
                    .send_multiple(&mut table, packets, VIRTIO_NET_HDR_LEN);
            }
        }
    }
}

/// The other end: given at the start, or the last sender.
struct Peer(AtomicU64);

impl Peer {
    fn new(peer: Option<SocketAddrV4>) -> Self {
        let this = Self(AtomicU64::new(0));
        peer.into_iter().for_each(|peer| this.set(peer));
        this
    }

    fn set(&self, peer: SocketAddrV4) {
        let bits = u64::from(peer.ip().to_bits()) << 16 | u64::from(peer.port());
        self.0.store(bits, Relaxed);
    }

    fn get(&self) -> Option<SockaddrIn> {
        match self.0.load(Relaxed) {
            0 => None,
            bits => Some(SocketAddrV4::new(
                Ipv4Addr::from_bits((bits >> 16) as u32),
                bits as u16,
            )),
        }
        .map(SockaddrIn::from)
    }
}
