//! The thread: waits, moves a batch each way, and sees to it that no port is used before it is announced.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use teredo::{Client, Instant, ServerAddress};

use super::handle::Command;
use super::path::Path;
use super::port::{PendingChange, Reply, Target, answer, bind};
use super::{
    ChangeError, EngineConfig, EngineEvent, EngineHandle, EngineStatus, Operation, PortAnnouncer,
    PortChange, PortFallback, SpawnError,
};
use crate::clock::{self, Timer};
use crate::gate::{Gate, Outcome};
use crate::udp::ServiceSocket;
use crate::watch::local_address;
use crate::{Tun, Waker};

/// The most batches taken from a socket that is about to be closed: its buffer, not what a flood adds to it.
const MAX_FAREWELL_BATCHES: usize = 64;

pub(super) fn spawn(
    tun: Tun,
    config: EngineConfig,
    client: Client,
    announcer: Box<dyn PortAnnouncer>,
    events: Box<dyn Fn(EngineEvent) + Send>,
) -> Result<EngineHandle, SpawnError> {
    let (sender, commands) = mpsc::channel();
    let waker = Waker::new()?;
    let (socket, fell_back) = bind(config.bind, config.port)?;
    let mut worker = Worker {
        path: Path::new(client, tun),
        socket: None,
        gate: Gate::new(config.settle_deadline),
        pending: None,
        stopped: false,
        announcer,
        events,
        commands,
        waker: waker.clone(),
        timer: Timer::new()?,
        troubles: Troubles::default(),
        servers: config.servers,
        bind: config.bind,
        port: config.port,
        settle_deadline: config.settle_deadline,
    };
    let thread = thread::Builder::new()
        .name("teredo-data".to_owned())
        .spawn(move || {
            worker.change_to(Target::Socket(socket), fell_back, None);
            worker.run();
        })?;
    Ok(EngineHandle::new(sender, waker, thread))
}

struct Worker {
    path: Path,
    /// The port in use.
    socket: Option<ServiceSocket>,
    gate: Gate,
    pending: Option<PendingChange>,
    /// There is no port, nor is there to be one.
    stopped: bool,
    announcer: Box<dyn PortAnnouncer>,
    events: Box<dyn Fn(EngineEvent) + Send>,
    commands: mpsc::Receiver<Command>,
    waker: Waker,
    timer: Timer,
    troubles: Troubles,
    servers: Vec<ServerAddress>,
    bind: Ipv4Addr,
    port: Option<u16>,
    settle_deadline: Duration,
}

/// What became readable.
#[derive(Clone, Copy, Debug, Default)]
struct Ready {
    waker: bool,
    timer: bool,
    tun: bool,
    tun_lost: bool,
    receive: bool,
}

impl Worker {
    fn run(mut self) {
        loop {
            let ready = match self.wait() {
                Ok(ready) => ready,
                Err(error) => {
                    tracing::error!(%error, "the data path cannot wait for its descriptors");
                    break;
                }
            };
            if ready.timer {
                self.timer.acknowledge();
            }
            if ready.waker {
                self.waker.acknowledge();
                if self.obey().is_break() {
                    break;
                }
            }
            if ready.tun_lost {
                (self.events)(EngineEvent::InterfaceLost);
                break;
            }
            self.advance(clock::now());
            self.move_batches(ready);
        }
        self.end();
    }

    fn wait(&mut self) -> io::Result<Ready> {
        let deadline = match self.gate.deadline() {
            Some(deadline) => Some(deadline),
            None if self.is_serving() => self.path.client.poll_timeout().map(|(at, _)| at),
            None => None,
        };
        self.timer.arm(deadline)?;
        // Packets of the host wait in the interface's queue while they could not be sent. Without a port they
        // are taken and refused, so that none of them leaves, stale, when there is one again.
        let takes_packets = self.stopped || (self.gate.is_open() && !self.path.is_blocked());
        let tun_flags = if takes_packets {
            PollFlags::IN
        } else {
            PollFlags::empty()
        };
        let socket_flags = if self.path.is_blocked() {
            PollFlags::IN | PollFlags::OUT
        } else {
            PollFlags::IN
        };
        let mut fds = [
            PollFd::new(&self.waker, PollFlags::IN),
            PollFd::new(&self.timer, PollFlags::IN),
            PollFd::new(&self.path.tun, tun_flags),
            // Without a socket, a descriptor that is harmless to ask twice fills the place.
            match &self.socket {
                Some(socket) => PollFd::new(socket, socket_flags),
                None => PollFd::new(&self.waker, PollFlags::empty()),
            },
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let [waker, timer, tun, socket] = fds.map(|fd| fd.revents());
        let received = PollFlags::IN | PollFlags::ERR;
        Ok(Ready {
            waker: waker.contains(PollFlags::IN),
            timer: timer.contains(PollFlags::IN),
            tun: tun.contains(PollFlags::IN) && takes_packets,
            tun_lost: tun.intersects(PollFlags::ERR | PollFlags::HUP),
            receive: self.socket.is_some() && socket.intersects(received),
        })
    }

    /// Datagrams may leave.
    fn is_serving(&self) -> bool {
        self.gate.is_open() && self.socket.is_some()
    }

    fn move_batches(&mut self, ready: Ready) {
        let now = clock::now();
        if self.is_serving()
            && self
                .path
                .client
                .poll_timeout()
                .is_some_and(|(at, _)| at <= now)
        {
            self.path.client.handle_timeout(now);
        }
        let delivered = self.path.collect();
        self.troubles
            .note(Operation::Deliver, delivered, &self.events);
        self.tell();
        if ready.receive
            && let Some(socket) = &self.socket
        {
            let received = self.path.receive(now, socket);
            self.troubles.note_batch(
                Operation::Receive,
                Operation::Deliver,
                received,
                &self.events,
            );
            self.tell();
        }
        self.flush();
        if ready.tun && !self.path.is_blocked() {
            let submitted = self.path.submit(now);
            self.troubles.note_batch(
                Operation::Submit,
                Operation::Deliver,
                submitted,
                &self.events,
            );
            self.tell();
            self.flush();
        }
    }

    fn flush(&mut self) {
        match &self.socket {
            Some(socket) if self.gate.is_open() => {
                let refused = self.path.flush(socket);
                self.troubles.note(Operation::Send, refused, &self.events);
            }
            _ => self.path.discard(),
        }
    }

    fn tell(&mut self) {
        while let Some(event) = self.path.client.poll_event() {
            (self.events)(EngineEvent::Client(event));
        }
    }

    fn obey(&mut self) -> std::ops::ControlFlow<()> {
        loop {
            let command = match self.commands.try_recv() {
                Ok(command) => command,
                Err(mpsc::TryRecvError::Empty) => return std::ops::ControlFlow::Continue(()),
                Err(mpsc::TryRecvError::Disconnected) => return std::ops::ControlFlow::Break(()),
            };
            let now = clock::now();
            match command {
                Command::SetServers(servers) => self.set_servers(now, servers),
                Command::NetworkChanged {
                    local,
                    destinations,
                } => {
                    self.path.client.set_destinations(destinations);
                    if self.is_serving() {
                        let local = self.local(Some(local));
                        self.path.client.handle_network_change(now, local);
                    }
                }
                Command::Rebind(port, reply) => self.rebind(now, port, reply),
                Command::Start(reply) => self.start(reply),
                Command::Stop(reply) => self.stop(now, reply),
                // Whoever asked may have lost interest.
                Command::Status(reply) => drop(reply.send(self.status())),
                Command::Shutdown => return std::ops::ControlFlow::Break(()),
            }
            let delivered = self.path.collect();
            self.troubles
                .note(Operation::Deliver, delivered, &self.events);
            self.tell();
        }
    }

    fn set_servers(&mut self, now: Instant, servers: Vec<ServerAddress>) {
        self.servers = servers;
        if self.is_serving() {
            // The way to the new servers may begin at another address.
            let local = self.local(None);
            if self
                .path
                .client
                .status()
                .local
                .is_some_and(|before| before != local)
            {
                self.path.client.handle_network_change(now, local);
            }
            self.path.client.set_servers(now, &self.servers);
        }
    }

    fn status(&self) -> EngineStatus {
        EngineStatus {
            client: self.path.client.status(),
            drops: self.path.client.drops().clone(),
            port: self.port_in_use(),
            counters: self.path.counters,
        }
    }

    fn port_in_use(&self) -> u16 {
        self.socket
            .as_ref()
            .map_or(0, |socket| socket.local().port())
    }

    fn rebind(&mut self, now: Instant, port: Option<u16>, reply: Reply) {
        if self.stopped {
            return answer(reply, Err(ChangeError::Stopped));
        }
        let current = self.port_in_use();
        if port == Some(current) && self.is_serving() {
            // The port is announced and settled; only the mapping is to be found out anew.
            self.qualify(now);
            return answer(
                reply,
                Ok(PortChange {
                    port: current,
                    settled: true,
                    fell_back: None,
                }),
            );
        }
        // Stop sending first: from here on nothing leaves until the new port is settled.
        self.supersede();
        self.gate.close();
        self.path.close();
        if port == Some(current) {
            return self.change_to(Target::Keep, None, Some(reply));
        }
        match bind(self.bind, port) {
            Ok((socket, fell_back)) => {
                self.change_to(Target::Socket(socket), fell_back, Some(reply))
            }
            Err(error) => {
                answer(reply, Err(error.into()));
                self.change_to(Target::Keep, None, None);
            }
        }
    }

    fn start(&mut self, reply: Reply) {
        if self.is_serving() {
            let port = self.port_in_use();
            return answer(
                reply,
                Ok(PortChange {
                    port,
                    settled: true,
                    fell_back: None,
                }),
            );
        }
        self.supersede();
        if self.socket.is_some() {
            return self.change_to(Target::Keep, None, Some(reply));
        }
        match bind(self.bind, self.port) {
            Ok((socket, fell_back)) => {
                self.stopped = false;
                self.change_to(Target::Socket(socket), fell_back, Some(reply));
            }
            Err(error) => answer(reply, Err(error.into())),
        }
    }

    fn stop(&mut self, now: Instant, reply: Reply) {
        if self.stopped && self.pending.is_none() {
            return answer(
                reply,
                Ok(PortChange {
                    port: 0,
                    settled: true,
                    fell_back: None,
                }),
            );
        }
        self.supersede();
        self.stopped = true;
        self.gate.close();
        self.path.close();
        self.path.client.stop(now);
        self.socket = None;
        self.change_to(Target::None, None, Some(reply));
    }

    /// Gives up a change that is not settled yet; the socket that it was to lead to is closed unused.
    fn supersede(&mut self) {
        if let Some(change) = self.pending.take() {
            self.gate.close();
            if let Some(reply) = change.reply {
                answer(reply, Err(ChangeError::Superseded));
            }
        }
    }

    /// Announces where the change leads and begins to wait.
    fn change_to(&mut self, target: Target, fell_back: Option<PortFallback>, reply: Option<Reply>) {
        self.gate.close();
        self.path.close();
        let port = match &target {
            Target::Socket(socket) => socket.local().port(),
            Target::Keep => self.port_in_use(),
            Target::None => 0,
        };
        self.pending = Some(PendingChange {
            target,
            fell_back,
            reply,
        });
        let sequence = self.announcer.announce(port);
        let now = clock::now();
        self.gate.announced(now, sequence);
        self.advance(now);
    }

    /// Takes the announced port into use if it is time.
    fn advance(&mut self, now: Instant) {
        let Some(outcome) = self
            .gate
            .poll(now, |sequence| self.announcer.is_settled(sequence))
        else {
            return;
        };
        let Some(mut change) = self.pending.take() else {
            return;
        };
        let fell_back = change.fell_back.take();
        let target = std::mem::replace(&mut change.target, Target::Keep);
        let stays = matches!(target, Target::Keep);
        match target {
            Target::Socket(next) => {
                if let Some(old) = self.socket.replace(next) {
                    self.take_leave(now, &old);
                }
            }
            // Without a socket to keep, another start is needed.
            Target::Keep => self.stopped = self.socket.is_none(),
            Target::None => {}
        }
        let port = self.port_in_use();
        if outcome == Outcome::DeadlineMissed {
            self.path.counters.settle_misses += 1;
            tracing::warn!(port, waited = ?self.settle_deadline, "a firewall did not confirm the port in time");
            (self.events)(EngineEvent::SettleMissed {
                port,
                waited: self.settle_deadline,
            });
        }
        if port != 0 {
            self.path.open();
            self.qualify(now);
            if !stays {
                (self.events)(EngineEvent::PortBound {
                    port,
                    fell_back: fell_back.clone(),
                });
            }
        }
        let settled = outcome == Outcome::Settled;
        if let Some(reply) = change.reply {
            answer(
                reply,
                Ok(PortChange {
                    port,
                    settled,
                    fell_back,
                }),
            );
        }
    }

    /// Hands over what the old port has received before it is closed.
    fn take_leave(&mut self, now: Instant, old: &ServiceSocket) {
        for _ in 0..MAX_FAREWELL_BATCHES {
            match self.path.receive(now, old) {
                Ok(refused) => self
                    .troubles
                    .note(Operation::Deliver, refused, &self.events),
                Err(_) => break,
            }
        }
        self.path.discard();
    }

    fn qualify(&mut self, now: Instant) {
        let local = self.local(None);
        self.path.client.start(now, local, &self.servers);
        let delivered = self.path.collect();
        self.troubles
            .note(Operation::Deliver, delivered, &self.events);
        self.tell();
    }

    /// The service port's address on this host; unspecified where there is no way to a server.
    fn local(&self, known: Option<Ipv4Addr>) -> SocketAddrV4 {
        let address = if self.bind.is_unspecified() {
            let by_route = || {
                self.servers
                    .iter()
                    .find_map(|server| local_address(server.primary).ok())
            };
            known.or_else(by_route).unwrap_or(Ipv4Addr::UNSPECIFIED)
        } else {
            self.bind
        };
        SocketAddrV4::new(address, self.port_in_use())
    }

    /// Stop sending, close, announce the end.
    fn end(&mut self) {
        self.supersede();
        self.gate.close();
        self.path.close();
        self.path.client.stop(clock::now());
        let had_port = self.socket.take().is_some();
        if had_port {
            self.announcer.announce(0);
        }
        self.path.collect();
        self.tell();
    }
}

/// What the kernel refuses at present, so that it is told once and not for every packet.
#[derive(Default)]
struct Troubles([Option<Errno>; 4]);

impl Troubles {
    fn note(
        &mut self,
        operation: Operation,
        error: Option<io::Error>,
        events: &dyn Fn(EngineEvent),
    ) {
        let Some(error) = error else {
            return;
        };
        let errno = Errno::from_io_error(&error);
        let known = &mut self.0[operation as usize];
        if *known != errno {
            *known = errno;
            tracing::warn!(operation = operation.name(), %error, "the kernel refuses");
            events(EngineEvent::IoError {
                operation,
                message: error.to_string(),
            });
        }
    }

    fn note_batch(
        &mut self,
        taking: Operation,
        giving: Operation,
        result: io::Result<Option<io::Error>>,
        events: &dyn Fn(EngineEvent),
    ) {
        match result {
            Ok(refused) => self.note(giving, refused, events),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.note(taking, Some(error), events),
        }
    }
}
