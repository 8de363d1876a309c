//! The thread: waits, and moves a batch each way.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use teredo::client::{Event, LocalSubnet, State};
use teredo::policy::DestinationPolicy;
use teredo::{Client, Instant, Node, ServerAddress};

use super::handle::Command;
use super::optional::Optional;
use super::{
    EngineConfig, EngineEvent, EngineHandle, EngineStatus, Offload, Operation, PortAnnouncer,
    SpawnError,
};
use crate::clock::{self, Timer};
use crate::lane::AT_ONCE;
use crate::lane::path::Path;
use crate::lane::trouble::Troubles;
use crate::net::watch::Attached;
use crate::port::change::{PendingChange, Target, bind};
use crate::port::gate::Gate;
use crate::udp::ServiceSocket;
use crate::{Tun, Waker};

pub(super) fn spawn(
    tun: Tun,
    config: EngineConfig,
    client: Client,
    announcer: Box<dyn PortAnnouncer>,
    events: Box<dyn Fn(EngineEvent) + Send>,
) -> Result<EngineHandle, SpawnError> {
    let (sender, commands) = mpsc::channel();
    let waker = Waker::new()?;
    let bound = match config.native {
        None => Some(bind(config.bind, config.port, config.offload)?),
        Some(_) => None,
    };
    let mut worker = Worker {
        path: Path::new(client, tun),
        socket: None,
        gate: Gate::new(config.settle_deadline),
        pending: None,
        announced: 0,
        stopped: config.native.is_some(),
        native: config.native,
        dormant: config.native.is_some(),
        optional: Optional::default(),
        announcer,
        events,
        commands,
        waker: waker.clone(),
        timer: Timer::new()?,
        troubles: Troubles::default(),
        servers: config.servers,
        local_discovery: config.client.local_discovery,
        destinations: config.client.destinations,
        subnets: config.subnets,
        bind: config.bind,
        port: config.port,
        settle_deadline: config.settle_deadline,
        offload: config.offload,
    };
    let thread = thread::Builder::new().name("teredo-data".to_owned());
    let thread = thread.spawn(move || {
        match bound {
            Some((socket, fell_back)) => worker.change_to(Target::Socket(socket), fell_back, None),
            None => worker.begin_dormant(),
        }
        worker.run();
    })?;
    Ok(EngineHandle::new(sender, waker, thread))
}

/// What the thread owns; how it changes its port is in `change`.
pub(super) struct Worker {
    pub(super) path: Path<Client>,
    /// The port in use.
    pub(super) socket: Option<ServiceSocket>,
    pub(super) gate: Gate,
    pub(super) pending: Option<PendingChange>,
    /// The port that was announced last.
    pub(super) announced: u16,
    /// There is no port, nor is there to be one.
    pub(super) stopped: bool,
    /// An address of the host's native IPv6.
    pub(super) native: Option<Ipv6Addr>,
    /// Stopped because of it, and by nobody.
    pub(super) dormant: bool,
    pub(super) optional: Optional,
    pub(super) announcer: Box<dyn PortAnnouncer>,
    pub(super) events: Box<dyn Fn(EngineEvent) + Send>,
    commands: mpsc::Receiver<Command>,
    waker: Waker,
    timer: Timer,
    pub(super) troubles: Troubles,
    pub(super) servers: Vec<ServerAddress>,
    pub(super) local_discovery: bool,
    destinations: DestinationPolicy,
    pub(super) subnets: Vec<LocalSubnet>,
    pub(super) bind: Ipv4Addr,
    pub(super) port: Option<u16>,
    pub(super) settle_deadline: Duration,
    pub(super) offload: Offload,
}

/// What can be done without waiting.
#[derive(Clone, Copy, Debug)]
struct Ready {
    waker: bool,
    timer: bool,
    tun: bool,
    tun_lost: bool,
    receive: bool,
    discovery: bool,
    secondary: bool,
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
            let now = clock::now();
            self.advance(now);
            self.expire(now);
            if ready.receive {
                self.receive(now);
            }
            if ready.discovery {
                self.receive_local_bubbles(now);
            }
            if ready.secondary {
                self.receive_secondary(now);
            }
            self.flush();
            if ready.tun && !self.path.is_blocked() {
                self.submit(now);
                self.flush();
            }
        }
        self.end();
    }

    fn wait(&mut self) -> io::Result<Ready> {
        let timeout = self.path.machine.poll_timeout().map(|(at, _)| at);
        let timeout = timeout.filter(|_| self.is_serving());
        self.timer.arm(self.gate.deadline().or(timeout))?;
        // Packets of the host wait in the interface's queue while they could not be sent. Without a port they
        // are taken and refused, so that none of them leaves, stale, when there is one again.
        let blocked = self.path.is_blocked();
        let takes_packets = self.stopped || (self.gate.is_open() && !blocked);
        let when = |wanted: bool, flag| if wanted { flag } else { PollFlags::empty() };
        let socket_flags = PollFlags::IN | when(blocked, PollFlags::OUT);
        let mut fds = [
            PollFd::new(&self.waker, PollFlags::IN),
            PollFd::new(&self.timer, PollFlags::IN),
            PollFd::new(&self.path.tun, when(takes_packets, PollFlags::IN)),
            self.poll_fd(self.socket.as_ref(), socket_flags),
            self.poll_fd(
                self.optional.discovery.as_ref().map(|(_, socket)| socket),
                PollFlags::IN,
            ),
            self.poll_fd(self.optional.secondary.as_ref(), PollFlags::IN),
        ];
        // The rest of a super-packet is no longer in the interface's queue, and makes nothing readable.
        let more = takes_packets && self.path.has_more();
        match poll(&mut fds, more.then_some(&AT_ONCE)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let [waker, timer, tun, socket, discovery, secondary] = fds.map(|fd| fd.revents());
        let arrived = PollFlags::IN | PollFlags::ERR;
        Ok(Ready {
            waker: waker.contains(PollFlags::IN),
            timer: timer.contains(PollFlags::IN),
            tun: (more || tun.contains(PollFlags::IN)) && takes_packets,
            tun_lost: tun.intersects(PollFlags::ERR | PollFlags::HUP),
            receive: self.socket.is_some() && socket.intersects(arrived),
            discovery: self.optional.discovery.is_some() && discovery.intersects(arrived),
            secondary: self.optional.secondary.is_some() && secondary.intersects(arrived),
        })
    }

    /// Without a socket, a descriptor that is harmless to ask twice fills the place.
    fn poll_fd<'a>(&'a self, socket: Option<&'a ServiceSocket>, flags: PollFlags) -> PollFd<'a> {
        match socket {
            Some(socket) => PollFd::new(socket, flags),
            None => PollFd::new(&self.waker, PollFlags::empty()),
        }
    }

    /// Datagrams may leave.
    pub(super) fn is_serving(&self) -> bool {
        self.gate.is_open() && self.socket.is_some()
    }

    pub(super) fn port_in_use(&self) -> u16 {
        self.socket
            .as_ref()
            .map_or(0, |socket| socket.local().port())
    }

    fn expire(&mut self, now: Instant) {
        let due = self
            .path
            .machine
            .poll_timeout()
            .is_some_and(|(at, _)| at <= now);
        if due && self.is_serving() {
            self.path.machine.handle_timeout(now);
        }
        self.collect();
    }

    fn receive(&mut self, now: Instant) {
        if let Some(socket) = &self.socket {
            let received = self.path.receive(now, socket);
            self.note_batch(Operation::Receive, received);
        }
    }

    fn submit(&mut self, now: Instant) {
        let submitted = self.path.submit(now);
        self.note_batch(Operation::Submit, submitted);
    }

    /// Sends what is ready to be sent, if the port may be used (N-16).
    fn flush(&mut self) {
        match &self.socket {
            Some(socket) if self.gate.is_open() => {
                let refused = self.path.flush(socket);
                self.note(Operation::Send, refused);
            }
            _ => self.path.discard(),
        }
        self.flush_secondary();
    }

    /// Sees to what the client has to say after a call other than with a batch.
    pub(super) fn collect(&mut self) {
        let refused = self.path.collect();
        self.note(Operation::Deliver, refused);
        self.tell();
    }

    fn tell(&mut self) {
        while let Some(event) = self.path.machine.poll_event() {
            match event {
                Event::SecondaryPort { wanted } => {
                    self.set_secondary(wanted);
                    // What it makes the client send is for the host in no case.
                    self.path.collect();
                }
                event => {
                    if let Event::StateChanged {
                        state: State::Qualified,
                        ..
                    } = event
                    {
                        self.troubles.clear_all();
                    }
                    (self.events)(EngineEvent::Client(event));
                }
            }
        }
    }

    pub(super) fn note(&mut self, operation: Operation, refused: Option<io::Error>) {
        if let Some(error) = refused
            && let Some(message) = self.troubles.note(operation, &error)
        {
            (self.events)(EngineEvent::IoError { operation, message });
        }
    }

    /// `result` is an error of `operation`, or of handing the host what came of it.
    pub(super) fn note_batch(
        &mut self,
        operation: Operation,
        result: io::Result<Option<io::Error>>,
    ) {
        match result {
            Ok(refused) => self.note(Operation::Deliver, refused),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.note(operation, Some(error)),
        }
        self.tell();
    }

    fn obey(&mut self) -> ControlFlow<()> {
        loop {
            let command = match self.commands.try_recv() {
                Ok(command) => command,
                Err(mpsc::TryRecvError::Empty) => return ControlFlow::Continue(()),
                Err(mpsc::TryRecvError::Disconnected) => return ControlFlow::Break(()),
            };
            let now = clock::now();
            match command {
                Command::SetServers(servers) => self.set_servers(now, servers),
                Command::SetKeyring(keyring) => self.path.machine.set_keyring(keyring),
                Command::NetworkChanged { local, attached } => {
                    self.network_changed(now, local, attached);
                }
                Command::SetNative(native) => self.native_changed(now, native),
                Command::Rebind(port, reply) => self.rebind(now, port, reply),
                Command::Start(reply) => self.start(now, reply),
                Command::Stop(reply) => self.stop(now, reply),
                // Whoever asked may have lost interest.
                Command::Status(reply) => drop(reply.send(self.status())),
                Command::Shutdown => return ControlFlow::Break(()),
            }
            self.collect();
        }
    }

    fn set_servers(&mut self, now: Instant, servers: Vec<ServerAddress>) {
        self.servers = servers;
        // Otherwise they are used when the port is.
        if self.is_serving() {
            // The way to the new servers may begin at another address.
            let local = self.local(None);
            if self.path.machine.status().local != Some(local) {
                self.path.machine.handle_network_change(now, local);
                self.follow_link(now, local);
            }
            self.path.machine.set_servers(now, &self.servers);
        }
    }

    fn network_changed(&mut self, now: Instant, local: Ipv4Addr, attached: Attached) {
        self.troubles.clear_all();
        self.subnets = attached.subnets;
        self.destinations.set_broadcasts(attached.broadcasts);
        self.path
            .machine
            .set_destinations(self.destinations.clone());
        self.leave_link();
        if self.is_serving() {
            let local = self.local(Some(local));
            self.path.machine.handle_network_change(now, local);
            self.follow_link(now, local);
        }
        self.wake_up();
    }

    fn begin_dormant(&mut self) {
        self.native_changed(clock::now(), self.native);
        self.collect();
    }

    fn status(&self) -> EngineStatus {
        EngineStatus {
            client: self.path.machine.status(),
            drops: self.path.machine.drops().clone(),
            port: self.port_in_use(),
            counters: self.path.counters,
        }
    }
}
