//! Make before break: from one port to the next, to none, and back.
//!
//! ```text
//!  1 stop sending ──> 2 bind the new port ──> 3 announce it ──> 4 wait: settled, or out of time
//!                                                                     │
//!  6 qualify from the new port <── 5 drain the old port and close it <┘
//! ```
//!
//! The thread does not stand still meanwhile: what arrives at the old port is still delivered.

use std::net::{Ipv4Addr, SocketAddrV4};

use teredo::Instant;
use teredo::wire::DISCOVERY;

use super::worker::Worker;
use super::{ChangeError, EngineEvent, Operation};
use crate::clock;
use crate::net::watch::local_address;
use crate::port::change::{
    PendingChange, PortChange, PortFallback, Reply, Target, answer, bind, open,
};
use crate::port::gate::Outcome;
use crate::udp::ServiceSocket;

/// The most batches taken from a socket that is about to be closed: its buffer, not what a flood adds to it.
const MAX_FAREWELL_BATCHES: usize = 64;

impl Worker {
    pub(super) fn rebind(&mut self, now: Instant, port: Option<u16>, reply: Reply) {
        if self.stopped {
            return answer(reply, Err(self.without_port()));
        }
        let port = port.filter(|&port| port != 0);
        if let Some(pending) = &mut self.pending
            && port == Some(self.announced)
        {
            return pending.replies.push(reply);
        }
        if port == Some(self.port_in_use()) {
            if self.is_serving() {
                // The port is announced and settled; only the mapping is to be found out anew.
                self.qualify(now);
                return answer(reply, Ok(self.at_rest()));
            }
            self.supersede();
            return self.change_to(Target::Keep, None, Some(reply));
        }
        if port == Some(DISCOVERY.port()) {
            // The socket of local discovery would be in its way; it gives way, here as at the start.
            self.leave_link();
        }
        // Who asks for a port has one already, or is about to, and can be told that this one is not to be had.
        match open(self.bind, port.unwrap_or(0), self.offload) {
            Ok(next) => {
                // Nothing leaves from here on, not even from the old port.
                self.supersede();
                self.change_to(Target::Socket(next), None, Some(reply));
            }
            Err(error) => {
                if self.is_serving() {
                    self.follow_link(now, self.local(None));
                }
                answer(reply, Err(error.into()));
            }
        }
    }

    pub(super) fn start(&mut self, now: Instant, reply: Reply) {
        if let Some(error) = self.start_dormant(now) {
            return answer(reply, Err(error));
        }
        if !self.stopped {
            return match &mut self.pending {
                Some(pending) => pending.replies.push(reply),
                None => answer(reply, Ok(self.at_rest())),
            };
        }
        match bind(self.bind, self.port, self.offload) {
            Ok((next, fell_back)) => {
                self.stopped = false;
                self.dormant = false;
                self.supersede();
                self.change_to(Target::Socket(next), fell_back, Some(reply));
            }
            Err(error) => answer(reply, Err(error.into())),
        }
    }

    pub(super) fn stop(&mut self, now: Instant, reply: Reply) {
        self.stop_dormant(now);
        if self.stopped {
            return match &mut self.pending {
                Some(pending) => pending.replies.push(reply),
                None => answer(reply, Ok(self.at_rest())),
            };
        }
        self.supersede();
        self.stopped = true;
        self.path.machine.stop(now);
        self.forget_link(now);
        self.socket = None;
        self.change_to(Target::Keep, None, Some(reply));
    }

    /// Announces where the change leads, and begins to wait.
    pub(super) fn change_to(
        &mut self,
        target: Target,
        fell_back: Option<PortFallback>,
        reply: Option<Reply>,
    ) {
        self.gate.close();
        self.path.close();
        self.announced = match &target {
            Target::Socket(next) => next.local().port(),
            Target::Keep => self.port_in_use(),
        };
        self.pending = Some(PendingChange {
            target,
            fell_back,
            replies: reply.into_iter().collect(),
        });
        let sequence = self.announcer.announce(self.announced);
        let now = clock::now();
        self.gate.announced(now, sequence);
        self.advance(now);
    }

    /// Takes the announced port into use if it is time.
    pub(super) fn advance(&mut self, now: Instant) {
        let Some(outcome) = self
            .gate
            .poll(now, |sequence| self.announcer.is_settled(sequence))
        else {
            return;
        };
        let Some(PendingChange {
            target,
            fell_back,
            replies,
        }) = self.pending.take()
        else {
            return;
        };
        let port = self.announced;
        let settled = outcome == Outcome::Settled;
        if !settled {
            let waited = self.settle_deadline;
            self.path.counters.settle_misses += 1;
            tracing::warn!(port, ?waited, "a firewall did not confirm the port in time");
            (self.events)(EngineEvent::SettleMissed { port, waited });
        }
        if let Target::Socket(next) = target {
            if let Some(old) = self.socket.replace(next) {
                self.take_leave(now, &old);
            }
            (self.events)(EngineEvent::PortBound {
                port,
                fell_back: fell_back.clone(),
            });
        }
        if port == 0 {
            self.stopped = true;
        } else {
            self.path.open();
            self.qualify(now);
        }
        let change = PortChange {
            port,
            settled,
            fell_back,
        };
        for reply in replies {
            answer(reply, Ok(change.clone()));
        }
    }

    /// Stop sending, close, announce the end.
    pub(super) fn end(&mut self) {
        self.supersede();
        self.path.machine.stop(clock::now());
        self.socket = None;
        if self.announced != 0 {
            self.announcer.announce(0);
        }
        self.collect();
    }

    /// Stops sending, and gives up a change that is not settled yet: the socket that it was to lead to is
    /// closed unused.
    pub(super) fn supersede(&mut self) {
        self.gate.close();
        self.path.close();
        let replies = self.pending.take().map(|change| change.replies);
        for reply in replies.into_iter().flatten() {
            answer(reply, Err(ChangeError::Superseded));
        }
    }

    pub(super) fn at_rest(&self) -> PortChange {
        PortChange {
            port: self.port_in_use(),
            settled: true,
            fell_back: None,
        }
    }

    /// Hands over what the old port has received before it is closed.
    fn take_leave(&mut self, now: Instant, old: &ServiceSocket) {
        for _ in 0..MAX_FAREWELL_BATCHES {
            let received = self.path.receive(now, old);
            let more = received.is_ok();
            self.note_batch(Operation::Receive, received);
            if !more {
                break;
            }
        }
        self.path.discard();
    }

    fn qualify(&mut self, now: Instant) {
        let local = self.local(None);
        self.path.machine.start(now, local, &self.servers);
        self.follow_link(now, local);
        self.collect();
    }

    /// The service port's address on this host; unspecified where there is no way to a server.
    pub(super) fn local(&self, known: Option<Ipv4Addr>) -> SocketAddrV4 {
        let address = if self.bind.is_unspecified() {
            let by_route = || {
                self.servers
                    .iter()
                    .find_map(|server| local_address(server.primary).ok())
            };
            known
                .filter(|address| !address.is_unspecified())
                .or_else(by_route)
                .unwrap_or(Ipv4Addr::UNSPECIFIED)
        } else {
            self.bind
        };
        SocketAddrV4::new(address, self.port_in_use())
    }
}
