//! The server's data path: a thread with two sockets, and a way to the IPv6 Internet where the host permits one.

mod native;

use std::io;
use std::net::Ipv4Addr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use teredo::server::ServerCounters;
use teredo::{Destination, DropCounters, Instant, Reception, Server, ServerConfig};
use tokio::sync::oneshot;

use crate::engine::seed;
use crate::udp::{Arena, Arenas, ReceiveBatch, SendBatch, ServiceSocket};
use crate::{BindError, Waker, clock};
use native::Native;

/// The port of every Teredo server (RFC 4380 §2.7).
const PORT: u16 = 3544;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Port 3544 could not be had on one of the addresses.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// An event descriptor or the thread itself was refused.
    #[error("cannot start the server: {0}")]
    Io(#[from] io::Error),
}

/// Everything that can be asked of a server, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStatus {
    /// What it did.
    pub served: ServerCounters,
    /// What it refused, and why.
    pub drops: DropCounters,
    /// Traffic and system calls.
    pub traffic: ServerTraffic,
    /// Whether there is a way to the IPv6 Internet: a raw socket, for which it takes CAP_NET_RAW.
    pub has_native_path: bool,
}

/// Traffic since the server started. Bytes are those of the UDP payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerTraffic {
    /// Datagrams received.
    pub rx_datagrams: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// System calls that received them.
    pub rx_calls: u64,
    /// Datagrams sent.
    pub tx_datagrams: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// System calls that sent them.
    pub tx_calls: u64,
    /// Datagrams that the kernel refused to send, or had no room for.
    pub tx_refused: u64,
    /// Packets that went to the IPv6 Internet.
    pub native_packets: u64,
    /// Packets for the IPv6 Internet that the kernel had no way for.
    pub no_native_path: u64,
}

enum Command {
    SetBroadcasts(Vec<Ipv4Addr>),
    Status(oneshot::Sender<ServerStatus>),
    Shutdown,
}

/// A running server. Dropping it is [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct ServerHandle {
    commands: mpsc::Sender<Command>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl ServerHandle {
    /// Binds port 3544 on the primary and the secondary address and serves (R4380-5.3-02), in the network namespace of
    /// the calling thread.
    pub fn spawn(config: ServerConfig) -> Result<Self, ServeError> {
        let address = config.address;
        let mut sockets = vec![ServiceSocket::bind(address.primary, PORT)?];
        if address.secondary != address.primary {
            sockets.push(ServiceSocket::bind(address.secondary, PORT)?);
        }
        let waker = Waker::new()?;
        let (sender, commands) = mpsc::channel();
        let worker = Worker {
            server: Server::new(config, seed()?, clock::now()),
            ports: sockets.into_iter().map(Port::new).collect(),
            native: Native::open(),
            traffic: ServerTraffic::default(),
            datagrams: ReceiveBatch::new(),
            answers: Vec::new(),
            commands,
            waker: waker.clone(),
        };
        let thread = thread::Builder::new()
            .name("teredo-server".to_owned())
            .spawn(move || worker.run())?;
        Ok(Self {
            commands: sender,
            waker,
            thread: Some(thread),
        })
    }

    /// Replaces the directed broadcast addresses of the attached subnets (see
    /// [`broadcasts`](crate::watch::broadcasts)).
    pub fn set_broadcasts(&self, broadcasts: Vec<Ipv4Addr>) {
        self.send(Command::SetBroadcasts(broadcasts));
    }

    /// Everything that can be asked; `None` once the server has ended.
    pub fn status(&self) -> impl Future<Output = Option<ServerStatus>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Status(reply));
        async { answer.await.ok() }
    }

    /// Ends the server and closes its ports. Blocks for no longer than a batch takes.
    pub fn shutdown(mut self) {
        self.end();
    }

    /// Whether the thread has ended, which it does by itself only when the kernel refuses to wait.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn send(&self, command: Command) {
        // A server that has ended drops the command, and with it the sender of the reply.
        let _ = self.commands.send(command);
        self.waker.wake();
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.send(Command::Shutdown);
            if thread.join().is_err() {
                tracing::error!("the server panicked");
            }
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.end();
    }
}

/// One of the server's addresses.
struct Port {
    socket: ServiceSocket,
    outgoing: SendBatch,
}

impl Port {
    fn new(socket: ServiceSocket) -> Self {
        Self {
            socket,
            outgoing: SendBatch::default(),
        }
    }
}

struct Worker {
    server: Server,
    /// The primary address first.
    ports: Vec<Port>,
    native: Native,
    traffic: ServerTraffic,
    datagrams: ReceiveBatch,
    answers: Vec<u8>,
    commands: mpsc::Receiver<Command>,
    waker: Waker,
}

impl Worker {
    fn run(mut self) {
        loop {
            let (woken, readable) = match self.wait() {
                Ok(ready) => ready,
                Err(error) => {
                    tracing::error!(%error, "the server cannot wait for its descriptors");
                    return;
                }
            };
            if woken {
                self.waker.acknowledge();
                if self.obey().is_break() {
                    return;
                }
            }
            let now = clock::now();
            for (index, readable) in readable.into_iter().enumerate() {
                if readable {
                    self.receive(now, index);
                    self.flush();
                }
            }
        }
    }

    fn wait(&self) -> io::Result<(bool, [bool; 2])> {
        let [primary, .., secondary] = &self.ports[..] else {
            return self.wait_for_one();
        };
        let mut fds = [
            PollFd::new(&self.waker, PollFlags::IN),
            PollFd::new(&primary.socket, PollFlags::IN),
            PollFd::new(&secondary.socket, PollFlags::IN),
        ];
        wait_for(&mut fds)?;
        let [woken, primary, secondary] = fds.map(|fd| !fd.revents().is_empty());
        Ok((woken, [primary, secondary]))
    }

    fn wait_for_one(&self) -> io::Result<(bool, [bool; 2])> {
        let mut fds = [
            PollFd::new(&self.waker, PollFlags::IN),
            PollFd::new(&self.ports[0].socket, PollFlags::IN),
        ];
        wait_for(&mut fds)?;
        let [woken, primary] = fds.map(|fd| !fd.revents().is_empty());
        Ok((woken, [primary, false]))
    }

    fn obey(&mut self) -> std::ops::ControlFlow<()> {
        loop {
            match self.commands.try_recv() {
                Ok(Command::SetBroadcasts(broadcasts)) => self.server.set_broadcasts(broadcasts),
                // Whoever asked may have lost interest.
                Ok(Command::Status(reply)) => drop(reply.send(self.status())),
                Err(mpsc::TryRecvError::Empty) => return std::ops::ControlFlow::Continue(()),
                Ok(Command::Shutdown) | Err(mpsc::TryRecvError::Disconnected) => {
                    return std::ops::ControlFlow::Break(());
                }
            }
        }
    }

    fn status(&self) -> ServerStatus {
        ServerStatus {
            served: *self.server.counters(),
            drops: self.server.drops().clone(),
            traffic: self.traffic,
            has_native_path: self.native.is_open(),
        }
    }

    /// Answers one batch of one address.
    fn receive(&mut self, now: Instant, index: usize) {
        let socket = &self.ports[index].socket;
        let local = *socket.local().ip();
        match socket.receive(&mut self.datagrams) {
            Ok(()) => self.traffic.rx_calls += 1,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    tracing::warn!(%error, %local, "the kernel refuses to receive");
                }
                return;
            }
        }
        for datagram in self.datagrams.datagrams() {
            self.traffic.rx_datagrams += 1;
            self.traffic.rx_bytes += datagram.payload.len() as u64;
            let payload = &self.datagrams.arena()[datagram.payload];
            match self.server.handle_udp(now, datagram.from, local, payload) {
                Reception::Deliver(packet) => match self.native.send(packet) {
                    Ok(()) => self.traffic.native_packets += 1,
                    Err(error) => {
                        tracing::debug!(%error, "no way to the IPv6 Internet");
                        self.traffic.no_native_path += 1;
                    }
                },
                Reception::Consumed | Reception::Drop(_) => {}
            }
            let start = self.answers.len();
            while let Some(transmit) = self.server.poll_transmit(&mut self.answers) {
                let port = match transmit.source {
                    // The state machine names one of the two.
                    Some(source) => self
                        .ports
                        .iter_mut()
                        .find(|port| *port.socket.local().ip() == source),
                    None => self.ports.first_mut(),
                };
                let range = start..start + transmit.len;
                let queued = match (transmit.destination, port) {
                    (Destination::Udp(to), Some(port)) => {
                        port.outgoing.push(to, Arena::Answers, range)
                    }
                    (Destination::Udp(_), None) | (Destination::Host, _) => false,
                };
                self.traffic.tx_refused += u64::from(!queued);
            }
        }
    }

    /// Sends the answers. What the sockets have no room for is lost: whoever asked will ask again.
    fn flush(&mut self) {
        let arenas = Arenas {
            packets: &[],
            answers: &self.answers,
        };
        for port in &mut self.ports {
            let sent = port.socket.send(&mut port.outgoing, arenas);
            self.traffic.tx_datagrams += sent.datagrams;
            self.traffic.tx_bytes += sent.bytes;
            self.traffic.tx_calls += sent.calls;
            self.traffic.tx_refused += sent.refused + port.outgoing.len() as u64;
            if let Some(error) = sent.error {
                tracing::debug!(%error, "the kernel refuses to send");
            }
            port.outgoing.clear();
        }
        self.answers.clear();
    }
}

fn wait_for(fds: &mut [PollFd<'_>]) -> io::Result<()> {
    match poll(fds, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests;
