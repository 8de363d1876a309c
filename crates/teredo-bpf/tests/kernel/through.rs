//! Whole connections through the kernel, with a user space for the rest.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use teredo::wire::{Ipv6Packet, checksum, protocol};
use teredo_bpf::Outcome;
use tun_rs::SyncDevice;

use crate::node::{FOREVER, Node, PATIENCE, acquaint, data, pair, strangers};
use crate::packet::packet;

const LEN: usize = 24 << 20;
/// The payload of a full segment.
const SEGMENT: usize = 1280 - 60 - 12;

/// A user space that knows one peer.
struct Pump {
    stop: Arc<AtomicBool>,
    packets: Arc<AtomicU64>,
    damaged: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Pump {
    fn start(node: &Node, peer: &Node) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let [packets, damaged] = std::array::from_fn(|_| Arc::new(AtomicU64::new(0)));
        let lane = Lane {
            tun: Arc::clone(&node.tun),
            service: node.service.try_clone().unwrap(),
            peer: (peer.own, peer.local),
            stop: Arc::clone(&stop),
            packets: Arc::clone(&packets),
            damaged: Arc::clone(&damaged),
        };
        lane.service.set_nonblocking(true).unwrap();
        Self {
            stop,
            packets,
            damaged,
            thread: Some(thread::spawn(move || lane.run())),
        }
    }

    fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// Received packets of TCP that were too long, or whose checksum was wrong.
    fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

struct Lane {
    tun: Arc<SyncDevice>,
    service: UdpSocket,
    peer: (Ipv6Addr, SocketAddrV4),
    stop: Arc<AtomicBool>,
    packets: Arc<AtomicU64>,
    damaged: Arc<AtomicU64>,
}

impl Lane {
    fn run(&self) {
        let mut buffer = vec![0; 65536];
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
        };
        while !self.stop.load(Ordering::Relaxed) {
            let mut ready = [
                PollFd::from_borrowed_fd(self.tun.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.service.as_fd(), PollFlags::IN),
            ];
            let _ = poll(&mut ready, Some(&timeout));
            while let Ok(len) = self.tun.recv(&mut buffer) {
                if buffer[..len].get(24..40) == Some(&self.peer.0.octets()) {
                    self.packets.fetch_add(1, Ordering::Relaxed);
                    let _ = self.service.send_to(&buffer[..len], self.peer.1);
                }
            }
            while let Ok(len) = teredo_lab::Receive::receive(&self.service, &mut buffer) {
                self.packets.fetch_add(1, Ordering::Relaxed);
                if is_damaged(&buffer[..len]) {
                    self.damaged.fetch_add(1, Ordering::Relaxed);
                }
                let _ = self.tun.send(&buffer[..len]);
            }
        }
    }
}

fn is_damaged(packet: &[u8]) -> bool {
    let packet = Ipv6Packet::parse(packet).unwrap();
    let (from, to, layer) = (packet.source(), packet.destination(), packet.payload());
    packet.next_header() == protocol::TCP
        && (packet.as_bytes().len() > 1280 || checksum(from, to, protocol::TCP, layer) != 0)
}

/// The SYNs and the samples go by user space, the rest in super-packets by the kernel, and every byte arrives.
#[test]
fn a_connection_of_tcp_passes_both_ways() {
    let (_internet, near, far) = pair(Duration::from_millis(200));
    let (left, right) = (Pump::start(&near, &far), Pump::start(&far, &near));
    connect(&near, &far, &data(LEN));
    let segments = (LEN / SEGMENT) as u64;
    let by_user_space = left.packets() + right.packets();
    assert!(
        by_user_space < segments / 10,
        "{by_user_space} of {segments}"
    );
    for node in [&near, &far] {
        let outcomes = node.path.outcomes().unwrap();
        let in_kernel = outcomes.get(Outcome::Encapsulated);
        assert!(in_kernel > segments * 9 / 10, "of {segments}: {outcomes:?}");
        assert!(outcomes.get(Outcome::TcpSyn) >= 1, "{outcomes:?}");
        assert_eq!(outcomes.get(Outcome::Lost), 0, "{outcomes:?}");
        // A super-packet counts as the packets that it stands for, each with its headers.
        for (packets, bytes) in [
            (Outcome::Encapsulated, Outcome::EncapsulatedBytes),
            (Outcome::Decapsulated, Outcome::DecapsulatedBytes),
        ] {
            let (packets, bytes) = (outcomes.get(packets), outcomes.get(bytes));
            assert!(
                bytes + by_user_space * 1280 >= LEN as u64 + packets * 60,
                "{outcomes:?}"
            );
        }
    }
}

/// Both ends have a path, and are on a virtual link: once both have shown it, packets without checksums and super-packets pass.
#[test]
fn super_packets_pass_a_virtual_link_to_a_peer_that_takes_them() {
    let (_internet, mut near, mut far) = strangers(FOREVER);
    need_checksums(&mut near, &far);
    need_checksums(&mut far, &near);
    acquaint(&near, &far);
    for (from, to) in [(&near, &far), (&far, &near)] {
        let bubble = packet(from.own, to.own, protocol::NO_NEXT_HEADER, &[]);
        from.send_bare(&bubble, to);
        assert_eq!(to.receive().0, bubble);
    }
    let (left, right) = (Pump::start(&near, &far), Pump::start(&far, &near));
    connect(&near, &far, &data(LEN));
    let segments = (LEN / SEGMENT) as u64;
    for (node, pump) in [(&near, &left), (&far, &right)] {
        let outcomes = node.path.outcomes().unwrap();
        let in_kernel = outcomes.get(Outcome::Encapsulated);
        assert!(in_kernel > segments * 9 / 10, "of {segments}: {outcomes:?}");
        assert_eq!(outcomes.get(Outcome::NoChecksum), 0, "{outcomes:?}");
        assert!(pump.packets() < segments / 10, "by user space");
    }
}

/// A user space at the other end, such as miredo, gets whole datagrams with right checksums, and all of them.
#[test]
fn a_user_space_at_the_other_end_of_a_virtual_link_gets_whole_packets() {
    let (_internet, mut near, far) = strangers(FOREVER);
    need_checksums(&mut near, &far);
    for (from, to) in [(&near, &far), (&far, &near)] {
        let bubble = packet(from.own, to.own, protocol::NO_NEXT_HEADER, &[]);
        from.send_by_user_space(&bubble, to);
        assert_eq!(to.receive().0, bubble);
    }
    let (_left, right) = (Pump::start(&near, &far), Pump::start(&far, &near));
    connect(&near, &far, &data(400_000));
    assert!(near.count(Outcome::NoChecksum) > 0, "super-packets");
    assert!(near.count(Outcome::Encapsulated) > 0, "acknowledgements");
    assert!(near.count(Outcome::Decapsulated) > 0);
    assert_eq!(right.damaged(), 0);
}

fn need_checksums(node: &mut Node, peer: &Node) {
    let mut entry = node.entry(peer);
    entry.needs_checksums = true;
    node.path.insert(peer.own, &entry).unwrap();
}

/// Exchanges the content in a connection from `near` to `far`.
fn connect(near: &Node, far: &Node, content: &[u8]) {
    for node in [near, far] {
        node.run("ip", "link set teredo0 mtu 1280");
    }
    let listener = far.host.namespace().run(|| TcpListener::bind((far.own, 0)));
    let listener = listener.unwrap().unwrap();
    let to = listener.local_addr().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| exchange(listener.accept().unwrap().0, content));
        let stream = near.host.namespace().run(|| TcpStream::connect(to));
        exchange(stream.unwrap().unwrap(), content);
    });
}

/// Sends the content and receives the same.
fn exchange(stream: TcpStream, content: &[u8]) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| (&stream).write_all(content).unwrap());
        let mut received = vec![0; content.len()];
        (&stream).read_exact(&mut received).unwrap();
        assert!(received == content, "the bytes are others");
    });
}
