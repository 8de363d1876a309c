//! The client's data path on the real kernel: a TUN interface, a server on the loopback interface, and an announcer that
//! settles when the test says so.

mod native;
mod optional;
mod peer;
mod port;
mod random;
mod traffic;

use std::net::SocketAddrV4;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Barrier, Mutex};

use std::num::NonZeroUsize;

use teredo::client::{Event, PeerTraffic, State};
use teredo::{Client, DropReason, ServerConfig};
use teredo_lab::Receive;

use super::*;
use crate::net::Attached;
use crate::netns::{PATIENCE, add_address, block_on, netlink};
use crate::port::{ChangeError, PortAnnouncer, PortChange, PortFallback};
use crate::server::{ServerDataPath, ServerHandle};
use crate::{BindError, Tun, Waker, clock};

const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 120);
const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const PEER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 8);

fn server_address() -> ServerAddress {
    ServerAddress::adjacent(SERVER)
}

/// The addresses of everybody, all on the loopback interface.
fn addresses() {
    netlink(async |handle| {
        for address in [SERVER, server_address().secondary, CLIENT, PEER] {
            add_address(&handle, "lo", address, 32).await;
        }
    });
}

fn config() -> ClientPathConfig {
    ClientPathConfig {
        bind: CLIENT,
        servers: vec![server_address()],
        // Longer than any test: a change that the test does not settle does not go on.
        ..ClientPathConfig::new(PATIENCE * 10)
    }
}

/// The announcements, and up to which one they are settled.
#[derive(Clone, Debug, Default)]
struct Announcements(Arc<Mutex<Log>>);

#[derive(Debug, Default)]
struct Log {
    ports: Vec<u16>,
    settled: u64,
    at_once: bool,
    /// The next announcement stops here twice.
    stop: Option<Arc<Barrier>>,
    /// The next announcement panics.
    panic: bool,
}

impl Announcements {
    /// Every announcement is settled at once.
    fn at_once() -> Self {
        Self(Arc::new(Mutex::new(Log {
            at_once: true,
            ..Log::default()
        })))
    }

    fn ports(&self) -> Vec<u16> {
        self.0.lock().unwrap().ports.clone()
    }

    fn wait(&self, count: usize) -> Vec<u16> {
        crate::netns::eventually("an announcement", || {
            Some(self.ports()).filter(|ports| ports.len() >= count)
        })
    }

    /// Stops the lane in its next announcement, from the barrier's first opening to its second.
    fn stop_next(&self) -> Arc<Barrier> {
        let barrier = Arc::new(Barrier::new(2));
        self.0.lock().unwrap().stop = Some(barrier.clone());
        barrier
    }

    fn panic_next(&self) {
        self.0.lock().unwrap().panic = true;
    }

    fn hold(&self) {
        self.0.lock().unwrap().at_once = false;
    }

    /// Every gating subscriber confirms what was announced so far.
    fn settle(&self, waker: &Waker) {
        let mut log = self.0.lock().unwrap();
        log.settled = log.ports.len() as u64;
        drop(log);
        waker.wake();
    }
}

impl PortAnnouncer for Announcements {
    fn announce(&mut self, port: u16) -> u64 {
        let stop = self.0.lock().unwrap().stop.take();
        if let Some(barrier) = stop {
            barrier.wait();
            barrier.wait();
        }
        let panic = std::mem::take(&mut self.0.lock().unwrap().panic);
        assert!(!panic, "on purpose");
        let mut log = self.0.lock().unwrap();
        log.ports.push(port);
        if log.at_once {
            log.settled = log.ports.len() as u64;
        }
        log.ports.len() as u64
    }

    fn is_settled(&self, sequence: u64) -> bool {
        self.0.lock().unwrap().settled >= sequence
    }
}

/// A client, its announcements and its events.
struct Bench {
    client: ClientHandle,
    announcements: Announcements,
    events: Receiver<ClientEvent>,
}

impl Bench {
    fn new(config: ClientPathConfig, announcements: Announcements) -> Self {
        let (sender, events) = mpsc::channel();
        let tun = Tun::open(Some("teredo")).unwrap();
        let announcer = Box::new(announcements.clone());
        let tell = move |event| drop(sender.send(event));
        let client = ClientHandle::spawn(tun, config, announcer, tell).unwrap();
        Self {
            client,
            announcements,
            events,
        }
    }

    /// Waits for the event that `wanted` recognises, and skips those before it.
    fn expect<T>(&self, what: &str, wanted: impl Fn(&ClientEvent) -> Option<T>) -> T {
        loop {
            let event = self
                .events
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("no event: {what}"));
            if let Some(value) = wanted(&event) {
                return value;
            }
        }
    }

    fn expect_address(&self) -> Ipv6Addr {
        self.expect("address up", |event| match event {
            ClientEvent::Node(Event::AddressUp { address, .. }) => Some(*address),
            _ => None,
        })
    }

    fn expect_port(&self) -> (u16, Option<PortFallback>) {
        self.expect("port bound", |event| match event {
            ClientEvent::PortBound { port, fell_back } => Some((*port, fell_back.clone())),
            _ => None,
        })
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.status().drops.get(reason)
    }

    fn status(&self) -> ClientPathStatus {
        block_on(self.client.status()).unwrap()
    }

    /// The traffic of the peer that was used last.
    fn traffic(&self) -> PeerTraffic {
        block_on(self.client.peers(1))[0].traffic
    }

    /// Waits until the lane has gone round twice and done all that it does by itself.
    fn go_round(&self) {
        self.status();
        self.status();
    }
}

/// A server that only listens.
fn mute_server() -> std::net::UdpSocket {
    let socket = std::net::UdpSocket::bind((SERVER, 3544)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn has_received(socket: &std::net::UdpSocket) -> bool {
    socket.set_nonblocking(true).unwrap();
    let received = socket.peek_from(&mut [0; 2048]).is_ok();
    socket.set_nonblocking(false).unwrap();
    received
}

fn sender_of_next(socket: &std::net::UdpSocket) -> SocketAddrV4 {
    match socket.receive_from(&mut [0; 2048]).expect("a datagram").1 {
        std::net::SocketAddr::V4(from) => from,
        std::net::SocketAddr::V6(from) => panic!("{from}"),
    }
}

fn server() -> ServerHandle {
    let pairs = vec![ServerConfig::new(server_address())];
    ServerHandle::spawn(pairs, NonZeroUsize::MIN, &ServerDataPath::user(), |_| ()).unwrap()
}
