//! The engine on the real kernel: a TUN interface, a server on the loopback interface, and an announcer that
//! settles when the test says so.

mod native;
mod optional;
mod peer;
mod port;
mod traffic;

use std::net::SocketAddrV4;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Barrier, Mutex};

use std::num::NonZeroUsize;

use teredo::ServerConfig;
use teredo::client::{Event, State};
use teredo_lab::Receive;

use super::*;
use crate::Waker;
use crate::net::watch::Attached;
use crate::netns::{PATIENCE, add_address, block_on, netlink};
use crate::server::ServerHandle;

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

fn config() -> EngineConfig {
    EngineConfig {
        bind: CLIENT,
        servers: vec![server_address()],
        // Longer than any test: what is not settled by the test does not go on.
        settle_deadline: PATIENCE * 10,
        ..EngineConfig::default()
    }
}

/// What was announced, and up to which announcement it is settled.
#[derive(Clone, Debug, Default)]
struct Announcements(Arc<Mutex<Log>>);

#[derive(Debug, Default)]
struct Log {
    ports: Vec<u16>,
    settled: u64,
    at_once: bool,
    /// The next announcement stops here twice.
    stop: Option<Arc<Barrier>>,
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

    /// Has the engine stand still in its next announcement, from the barrier's first opening to its second.
    fn stop_next(&self) -> Arc<Barrier> {
        let barrier = Arc::new(Barrier::new(2));
        self.0.lock().unwrap().stop = Some(barrier.clone());
        barrier
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

/// An engine, what it announces and what it tells.
struct Bench {
    engine: EngineHandle,
    announcements: Announcements,
    events: Receiver<EngineEvent>,
}

impl Bench {
    fn new(config: EngineConfig, announcements: Announcements) -> Self {
        let (sender, events) = mpsc::channel();
        let tun = Tun::open(Some("teredo")).unwrap();
        let announcer = Box::new(announcements.clone());
        let tell = move |event| drop(sender.send(event));
        let engine = Engine::spawn(tun, config, announcer, tell).unwrap();
        Self {
            engine,
            announcements,
            events,
        }
    }

    /// Waits for the event that `wanted` recognises; what comes before it is of no interest.
    fn expect<T>(&self, what: &str, wanted: impl Fn(&EngineEvent) -> Option<T>) -> T {
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
            EngineEvent::Client(Event::AddressUp { address, .. }) => Some(*address),
            _ => None,
        })
    }

    fn expect_port(&self) -> (u16, Option<PortFallback>) {
        self.expect("port bound", |event| match event {
            EngineEvent::PortBound { port, fell_back } => Some((*port, fell_back.clone())),
            _ => None,
        })
    }

    fn status(&self) -> EngineStatus {
        block_on(self.engine.status()).unwrap()
    }

    /// Lets the engine go round twice, so that whatever it would do by itself it has done.
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
    ServerHandle::spawn(vec![ServerConfig::new(server_address())], NonZeroUsize::MIN).unwrap()
}
