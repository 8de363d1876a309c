//! The thread: waits, and moves a batch each way.

use std::io;
use std::net::SocketAddrV4;
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use teredo::policy::DestinationPolicy;
use teredo::{Instant, Relay, RelayConfig};

use super::{Command, RelayError, RelayHandle, RelayPathConfig, RelayPathStatus};
use crate::clock::{self, Timer};
use crate::engine::path::Path;
use crate::engine::trouble::Troubles;
use crate::engine::{AT_ONCE, EngineEvent, Offload, Operation, PortAnnouncer, seed};
use crate::gate::{Gate, Outcome};
use crate::udp::ServiceSocket;
use crate::{Tun, Waker};

pub(super) fn spawn(
    mut tun: Tun,
    config: RelayPathConfig,
    announcer: Box<dyn PortAnnouncer>,
    events: Box<dyn Fn(EngineEvent) + Send>,
) -> Result<RelayHandle, RelayError> {
    let (sender, commands) = mpsc::channel();
    let waker = Waker::new()?;
    let mut socket = ServiceSocket::bind(config.bind, config.port)?;
    match config.offload {
        Offload::Auto => drop(tun.enable_offloads()),
        Offload::Off => socket.disable_offloads(),
    }
    let port = socket.local().port();
    let relay = RelayConfig {
        service: SocketAddrV4::new(config.bind, port),
        ..config.relay
    };
    let destinations = relay.destinations.clone();
    let mut worker = Worker {
        path: Path::new(Relay::new(relay, seed()?, clock::now()), tun),
        socket,
        gate: Gate::new(config.settle_deadline),
        announcer,
        events,
        commands,
        waker: waker.clone(),
        timer: Timer::new()?,
        troubles: Troubles::default(),
        destinations,
        patience: config.settle_deadline,
    };
    let thread = thread::Builder::new().name("teredo-relay".to_owned());
    let thread = thread.spawn(move || {
        let sequence = worker.announcer.announce(port);
        let now = clock::now();
        worker.gate.announced(now, sequence);
        worker.open_gate(now);
        worker.run();
    })?;
    Ok(RelayHandle {
        commands: sender,
        waker,
        thread: Some(thread),
    })
}

struct Worker {
    path: Path<Relay>,
    socket: ServiceSocket,
    gate: Gate,
    announcer: Box<dyn PortAnnouncer>,
    events: Box<dyn Fn(EngineEvent) + Send>,
    commands: mpsc::Receiver<Command>,
    waker: Waker,
    timer: Timer,
    troubles: Troubles,
    destinations: DestinationPolicy,
    patience: std::time::Duration,
}

/// What can be done without waiting.
#[derive(Clone, Copy, Debug)]
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
                    tracing::error!(%error, "the relay cannot wait for its descriptors");
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
            self.open_gate(now);
            self.expire(now);
            if ready.receive {
                let received = self.path.receive(now, &self.socket);
                self.note_batch(Operation::Receive, received);
            }
            self.flush();
            if ready.tun && !self.path.is_blocked() {
                let submitted = self.path.submit(now);
                self.note_batch(Operation::Submit, submitted);
                self.flush();
            }
        }
        self.announcer.announce(0);
    }

    fn wait(&mut self) -> io::Result<Ready> {
        let timeout = self.path.machine.poll_timeout().map(|(at, _)| at);
        self.timer.arm(self.gate.deadline().or(timeout))?;
        // Packets of the host wait in the interface's queue while they could not be sent.
        let blocked = self.path.is_blocked();
        let takes_packets = self.gate.is_open() && !blocked;
        let when = |wanted: bool, flag| if wanted { flag } else { PollFlags::empty() };
        let mut fds = [
            PollFd::new(&self.waker, PollFlags::IN),
            PollFd::new(&self.timer, PollFlags::IN),
            PollFd::new(&self.path.tun, when(takes_packets, PollFlags::IN)),
            PollFd::new(&self.socket, PollFlags::IN | when(blocked, PollFlags::OUT)),
        ];
        // The rest of a super-packet is no longer in the interface's queue, and makes nothing readable.
        let more = takes_packets && self.path.has_more();
        match poll(&mut fds, more.then_some(&AT_ONCE)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let [waker, timer, tun, socket] = fds.map(|fd| fd.revents());
        Ok(Ready {
            waker: waker.contains(PollFlags::IN),
            timer: timer.contains(PollFlags::IN),
            tun: (more || tun.contains(PollFlags::IN)) && takes_packets,
            tun_lost: tun.intersects(PollFlags::ERR | PollFlags::HUP),
            receive: socket.intersects(PollFlags::IN | PollFlags::ERR),
        })
    }

    /// Begins to serve when the port is settled, or was waited for long enough.
    fn open_gate(&mut self, now: Instant) {
        let outcome = self
            .gate
            .poll(now, |sequence| self.announcer.is_settled(sequence));
        let Some(outcome) = outcome else {
            return;
        };
        let port = self.socket.local().port();
        if outcome == Outcome::DeadlineMissed {
            let waited = self.patience;
            self.path.counters.settle_misses += 1;
            tracing::warn!(port, ?waited, "a firewall did not confirm the port in time");
            (self.events)(EngineEvent::SettleMissed { port, waited });
        }
        self.path.open();
        (self.events)(EngineEvent::PortBound {
            port,
            fell_back: None,
        });
    }

    fn expire(&mut self, now: Instant) {
        let due = self
            .path
            .machine
            .poll_timeout()
            .is_some_and(|(at, _)| at <= now);
        if due && self.gate.is_open() {
            self.path.machine.handle_timeout(now);
        }
        let refused = self.path.collect();
        self.note(Operation::Deliver, refused);
    }

    fn flush(&mut self) {
        if self.gate.is_open() {
            let refused = self.path.flush(&self.socket);
            self.note(Operation::Send, refused);
        } else {
            self.path.discard();
        }
    }

    fn note(&mut self, operation: Operation, refused: Option<io::Error>) {
        if let Some(error) = refused
            && let Some(message) = self.troubles.note(operation, &error)
        {
            (self.events)(EngineEvent::IoError { operation, message });
        }
    }

    /// `result` is an error of `operation`, or of handing the host what came of it.
    fn note_batch(&mut self, operation: Operation, result: io::Result<Option<io::Error>>) {
        match result {
            Ok(refused) => self.note(Operation::Deliver, refused),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.note(operation, Some(error)),
        }
    }

    fn obey(&mut self) -> ControlFlow<()> {
        loop {
            match self.commands.try_recv() {
                Ok(Command::SetBroadcasts(broadcasts)) => {
                    self.troubles.clear_all();
                    self.destinations.set_broadcasts(broadcasts);
                    self.path
                        .machine
                        .set_destinations(self.destinations.clone());
                }
                Ok(Command::SetNative {
                    error_source,
                    served,
                }) => {
                    self.path.machine.set_error_source(error_source);
                    if let Some(served) = served {
                        self.path.machine.set_served(served);
                    }
                }
                // Whoever asked may have lost interest.
                Ok(Command::Status(reply)) => drop(reply.send(self.status())),
                Err(mpsc::TryRecvError::Empty) => return ControlFlow::Continue(()),
                Ok(Command::Shutdown) | Err(mpsc::TryRecvError::Disconnected) => {
                    return ControlFlow::Break(());
                }
            }
        }
    }

    fn status(&self) -> RelayPathStatus {
        RelayPathStatus {
            relay: self.path.machine.status(),
            relayed: *self.path.machine.counters(),
            drops: self.path.machine.drops().clone(),
            port: self.socket.local().port(),
            counters: self.path.counters,
        }
    }
}
