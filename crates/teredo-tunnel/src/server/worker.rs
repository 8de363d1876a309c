//! A worker: one thread with a socket on each of the server's addresses.

use std::io;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::sync::mpsc;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use teredo::server::{Answer, Security};
use teredo::{DropCounters, DropReason, Instant, Server};
use tokio::sync::oneshot;

use super::native::Native;
use super::status::{PairStatus, ServerTraffic, WorkerStatus};
use crate::udp::{Arena, Arenas, ReceiveBatch, SendBatch, ServiceSocket};
use crate::{Waker, clock};

/// The waker's number among the descriptors; the sockets' are their places.
const WAKER: u64 = u64::MAX;
const EVENTS: usize = 32;
/// The most batches that a socket is emptied of in turn, before the others and the owner are heard.
const BATCHES: usize = 8;

/// A request of the owner to a worker.
pub(super) enum Command {
    SetBroadcasts(Vec<Ipv4Addr>),
    SetSecurity(Security),
    Status(oneshot::Sender<WorkerStatus>),
}

/// One of the server's addresses.
struct Port {
    socket: ServiceSocket,
    outgoing: SendBatch,
    /// The server that it belongs to.
    server: usize,
}

pub(super) struct Worker {
    /// One for each pair of addresses.
    servers: Vec<Server>,
    ports: Vec<Port>,
    epoll: OwnedFd,
    native: Native,
    traffic: ServerTraffic,
    drops: DropCounters,
    datagrams: ReceiveBatch,
    answers: Vec<u8>,
    commands: mpsc::Receiver<Command>,
    waker: Waker,
}

impl Worker {
    /// `sockets` come with the place of the server that each belongs to.
    pub(super) fn new(
        servers: Vec<Server>,
        sockets: Vec<(ServiceSocket, usize)>,
        commands: mpsc::Receiver<Command>,
        waker: Waker,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let readable = epoll::EventFlags::IN;
        epoll::add(&epoll, &waker, epoll::EventData::new_u64(WAKER), readable)?;
        for (index, (socket, _)) in (0..).zip(&sockets) {
            // A socket for each address says which one it is, and a server merges no ECN bits.
            socket.report_sources_only()?;
            epoll::add(&epoll, socket, epoll::EventData::new_u64(index), readable)?;
        }
        let port = |(socket, server)| Port {
            socket,
            outgoing: SendBatch::default(),
            server,
        };
        Ok(Self {
            servers,
            ports: sockets.into_iter().map(port).collect(),
            epoll,
            native: Native::open(),
            traffic: ServerTraffic::default(),
            drops: DropCounters::default(),
            datagrams: ReceiveBatch::new(),
            answers: Vec::new(),
            commands,
            waker,
        })
    }

    pub(super) fn has_native_path(&self) -> bool {
        self.native.is_open()
    }

    /// Runs until the owner is gone; false if the kernel refuses to wait.
    pub(super) fn run(mut self) -> bool {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "the server cannot wait for its descriptors");
                    return false;
                }
            }
            let now = clock::now();
            for event in &events {
                let event: &epoll::Event = event;
                match event.data.u64() {
                    WAKER => {
                        self.waker.acknowledge();
                        if self.handle_commands().is_break() {
                            return true;
                        }
                    }
                    index => {
                        let mut now = now;
                        for _ in 0..BATCHES {
                            // The number that it was added with.
                            self.receive(now, index as usize);
                            self.flush();
                            // Otherwise the kernel would be asked what a full batch tells.
                            if !self.datagrams.is_full() {
                                break;
                            }
                            now = clock::now();
                        }
                    }
                }
            }
        }
    }

    fn handle_commands(&mut self) -> ControlFlow<()> {
        loop {
            match self.commands.try_recv() {
                Ok(Command::SetBroadcasts(broadcasts)) => {
                    for server in &mut self.servers {
                        server.set_broadcasts(broadcasts.clone());
                    }
                }
                Ok(Command::SetSecurity(security)) => {
                    for server in &mut self.servers {
                        server.set_security(security.clone());
                    }
                }
                // The caller may have lost interest.
                Ok(Command::Status(reply)) => drop(reply.send(self.status())),
                Err(mpsc::TryRecvError::Empty) => return ControlFlow::Continue(()),
                Err(mpsc::TryRecvError::Disconnected) => return ControlFlow::Break(()),
            }
        }
    }

    fn status(&self) -> WorkerStatus {
        let pairs = self.servers.iter().map(|server| PairStatus {
            address: server.config().address,
            served: *server.counters(),
            drops: server.drops().clone(),
        });
        WorkerStatus {
            pairs: pairs.collect(),
            traffic: self.traffic,
            drops: self.drops.clone(),
            has_native_path: self.has_native_path(),
        }
    }

    /// Answers one batch of one address.
    fn receive(&mut self, now: Instant, index: usize) {
        let Some(port) = self.ports.get(index) else {
            return;
        };
        let local = *port.socket.local().ip();
        match port.socket.receive(&mut self.datagrams) {
            Ok(()) => self.traffic.udp.rx_calls += 1,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    tracing::warn!(%error, %local, "the kernel refuses to receive");
                }
                return;
            }
        }
        let server = &mut self.servers[port.server];
        let room = server.buffer_len();
        for datagram in self.datagrams.datagrams() {
            self.traffic.udp.rx_datagrams += 1;
            self.traffic.udp.rx_bytes += datagram.payload.len() as u64;
            let payload = &self.datagrams.arena()[datagram.payload];
            // Where it is answered, behind the answers so far: a train that arrived lies end to end.
            let start = self.answers.len();
            self.answers.extend_from_slice(payload);
            self.answers.resize(start + room.max(payload.len()), 0);
            let buffer = &mut self.answers[start..];
            let answer = server.answer_in_place(now, datagram.from, local, buffer, payload.len());
            let end = match answer {
                Ok(Answer::Udp { to, source, len }) => {
                    // The server names one of its two.
                    let mut ports = self.ports.iter_mut();
                    let port = ports.find(|port| *port.socket.local().ip() == source);
                    let range = start..start + len;
                    let queued = port
                        .is_some_and(|port| port.outgoing.push(to, Arena::Answers, range.clone()));
                    if !queued {
                        self.drops.count(DropReason::SendRefused);
                    }
                    range.end
                }
                Ok(Answer::Native { len }) => {
                    match self.native.send(&buffer[..len]) {
                        Ok(()) => self.traffic.native_packets += 1,
                        Err(error) => {
                            tracing::debug!(%error, "no way to the IPv6 Internet");
                            self.drops.count(DropReason::NoNativePath);
                        }
                    }
                    start
                }
                Err(_) => start,
            };
            self.answers.truncate(end);
        }
    }

    /// Sends the answers. Answers that a socket has no room for are lost: the clients will ask again.
    fn flush(&mut self) {
        let arenas = Arenas {
            packets: &[],
            answers: &self.answers,
        };
        for port in &mut self.ports {
            if port.outgoing.is_empty() {
                continue;
            }
            let sent = port.socket.send(&mut port.outgoing, arenas);
            self.traffic.udp.tx_datagrams += sent.datagrams;
            self.traffic.udp.tx_bytes += sent.bytes;
            self.traffic.udp.tx_calls += sent.calls;
            self.drops.add(DropReason::SendRefused, sent.refused);
            let unsent = port.outgoing.len() as u64;
            self.drops.add(DropReason::SendBufferFull, unsent);
            if let Some(error) = sent.error {
                tracing::debug!(%error, "the kernel refuses to send");
            }
            port.outgoing.clear();
        }
        self.answers.clear();
    }
}
