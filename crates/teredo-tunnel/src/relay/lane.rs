//! A thread of the relay: waits, and moves a batch each way.

use std::io;
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use teredo::policy::DestinationPolicy;
use teredo::{Instant, Node, Relay};

use super::{Command, Events, RelayPathStatus};
use crate::Waker;
use crate::client::{EngineEvent, PortAnnouncer};
use crate::clock::{self, Timer};
use crate::lane::path::Path;
use crate::lane::trouble::Troubles;
use crate::lane::{AT_ONCE, Operation};
use crate::port::gate::{Gate, Outcome};
use crate::udp::ServiceSocket;

/// One thread's share of the relay.
pub(super) struct Lane {
    pub(super) path: Path<Relay>,
    pub(super) socket: ServiceSocket,
    pub(super) destinations: DestinationPolicy,
    pub(super) events: Events,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) waker: Waker,
    pub(super) timer: Timer,
    pub(super) troubles: Troubles,
    /// Datagrams may leave.
    pub(super) open: bool,
    /// The first lane sees to the port, for all.
    pub(super) port: Option<Port>,
}

/// The port's announcement, and who waits for it.
pub(super) struct Port {
    pub(super) gate: Gate,
    pub(super) announcer: Box<dyn PortAnnouncer>,
    pub(super) patience: Duration,
    pub(super) others: Vec<(mpsc::Sender<Command>, Waker)>,
}

/// Tells of an end that nobody has asked for, a panic's included.
pub(super) struct Farewell {
    events: Events,
    pub(super) said: bool,
}

impl Farewell {
    pub(super) fn of(events: &Events) -> Self {
        Self {
            events: events.clone(),
            said: false,
        }
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if !self.said {
            (self.events)(EngineEvent::Ended);
        }
    }
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

impl Lane {
    pub(super) fn run(mut self) {
        let mut farewell = Farewell::of(&self.events);
        self.announce();
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
                    farewell.said = true;
                    break;
                }
            }
            if ready.tun_lost {
                farewell.said = true;
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
        let port = self.port.take();
        // With it the socket.
        drop(self);
        if let Some(mut port) = port {
            port.announcer.announce(0);
        }
    }

    fn wait(&mut self) -> io::Result<Ready> {
        let timeout = self.path.machine.poll_timeout().map(|(at, _)| at);
        let timeout = timeout.filter(|_| self.open);
        let settled = self.port.as_ref().and_then(|port| port.gate.deadline());
        self.timer.arm(settled.or(timeout))?;
        // Packets of the host wait in the interface's queue while they could not be sent.
        let blocked = self.path.is_blocked();
        let takes_packets = self.open && !blocked;
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

    fn announce(&mut self) {
        let number = self.socket.local().port();
        let now = clock::now();
        if let Some(port) = &mut self.port {
            let sequence = port.announcer.announce(number);
            port.gate.announced(now, sequence);
        }
        self.open_gate(now);
    }

    /// Begins to serve when the port is settled, or was waited for long enough.
    fn open_gate(&mut self, now: Instant) {
        let Some(gate) = &mut self.port else {
            return;
        };
        let announcer = &gate.announcer;
        let outcome = gate
            .gate
            .poll(now, |sequence| announcer.is_settled(sequence));
        let Some(outcome) = outcome else {
            return;
        };
        let port = self.socket.local().port();
        if outcome == Outcome::DeadlineMissed {
            let waited = gate.patience;
            self.path.counters.settle_misses += 1;
            tracing::warn!(port, ?waited, "a firewall did not confirm the port in time");
            (self.events)(EngineEvent::SettleMissed { port, waited });
        }
        for (commands, waker) in gate.others.drain(..) {
            // One that has ended has told of it.
            let _ = commands.send(Command::Open);
            waker.wake();
        }
        self.open();
        (self.events)(EngineEvent::PortBound {
            port,
            fell_back: None,
        });
    }

    fn open(&mut self) {
        self.open = true;
        self.path.open();
    }

    fn expire(&mut self, now: Instant) {
        let due = self
            .path
            .machine
            .poll_timeout()
            .is_some_and(|(at, _)| at <= now);
        if due && self.open {
            self.path.machine.handle_timeout(now);
        }
        let refused = self.path.collect();
        self.note(Operation::Deliver, refused);
    }

    fn flush(&mut self) {
        if self.open {
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
                Ok(Command::Open) => self.open(),
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
