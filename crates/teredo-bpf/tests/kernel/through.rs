//! Whole connections through the kernel, with a user space for the rest.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use teredo_bpf::Outcome;
use tun_rs::SyncDevice;

use crate::node::{FOREVER, Node, PATIENCE, acquaint, data, pair};

const LEN: usize = 24 << 20;
/// The payload of a full segment.
const SEGMENT: usize = 1280 - 60 - 12;

/// A user space that knows one peer.
struct Pump {
    stop: Arc<AtomicBool>,
    packets: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Pump {
    fn start(node: &Node, peer: &Node) -> Self {
        let (stop, packets) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let lane = Lane {
            tun: Arc::clone(&node.tun),
            service: node.service.try_clone().unwrap(),
            peer: (peer.own, peer.local),
            stop: Arc::clone(&stop),
            packets: Arc::clone(&packets),
        };
        lane.service.set_nonblocking(true).unwrap();
        Self {
            stop,
            packets,
            thread: Some(thread::spawn(move || lane.run())),
        }
    }

    fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
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
                let _ = self.tun.send(&buffer[..len]);
            }
        }
    }
}

/// The SYNs and the samples go by user space, the rest in super-packets by the kernel, and every byte arrives.
#[test]
fn a_connection_of_tcp_passes_both_ways() {
    let (_internet, near, far) = pair(Duration::from_millis(200));
    for node in [&near, &far] {
        node.run("ip", "link set teredo0 mtu 1280");
    }
    let (left, right) = (Pump::start(&near, &far), Pump::start(&far, &near));
    let listener = far.host.namespace().run(|| TcpListener::bind((far.own, 0)));
    let listener = listener.unwrap().unwrap();
    let to = listener.local_addr().unwrap();
    let content = data(LEN);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (stream, _) = listener.accept().unwrap();
            exchange(stream, &content);
        });
        let stream = near.host.namespace().run(|| TcpStream::connect(to));
        exchange(stream.unwrap().unwrap(), &content);
    });
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

/// No packet of TCP has its checksum at the interface, so a peer that needs them gets all by user space.
#[test]
fn a_connection_to_a_peer_that_needs_checksums_goes_by_user_space() {
    let (_internet, mut near, far) = pair(FOREVER);
    let mut entry = near.entry(&far);
    entry.needs_checksums = true;
    near.path.insert(far.own, &entry).unwrap();
    acquaint(&near, &far);
    for node in [&near, &far] {
        node.run("ip", "link set teredo0 mtu 1280");
    }
    let _pumps = (Pump::start(&near, &far), Pump::start(&far, &near));
    let listener = far.host.namespace().run(|| TcpListener::bind((far.own, 0)));
    let listener = listener.unwrap().unwrap();
    let to = listener.local_addr().unwrap();
    let content = data(50_000);
    thread::scope(|scope| {
        scope.spawn(|| exchange(listener.accept().unwrap().0, &content));
        let stream = near.host.namespace().run(|| TcpStream::connect(to));
        exchange(stream.unwrap().unwrap(), &content);
    });
    assert!(near.count(Outcome::NoChecksum) > 0);
    assert_eq!(near.count(Outcome::Encapsulated), 0);
    assert!(far.count(Outcome::Encapsulated) > 0);
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
