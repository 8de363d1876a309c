//! The states of the port, and the gate between an announcement and the first datagram.

use std::time::Duration;

use teredo::Instant;

use super::{Admission, ChangeError, PortAnnouncer, PortChange, PortFallback, Reply, answer};

/// A socket that is bound to a port.
pub(crate) trait Bound {
    /// The port's number.
    fn port(&self) -> u16;
}

/// The port of a lane. Dropping it closes the port and announces its end.
pub(crate) struct Port<S: Bound> {
    state: State<S>,
    announcer: Box<dyn PortAnnouncer>,
    /// The port announced last.
    announced: u16,
    /// Whether random ports were announced, and not their end.
    random: bool,
    /// How long gating subscribers may take to settle; without it as long as they want.
    patience: Option<Duration>,
}

/// Where the port stands.
pub(crate) enum State<S> {
    /// No port, until the client is started.
    Stopped,
    /// No port while the host has native IPv6 (R4380-5.5-01).
    Dormant,
    /// Announced, and waiting to be settled. Nothing leaves.
    Changing(Change<S>),
    /// Datagrams may leave from this socket.
    Serving(S),
}

/// A change that was announced and waits to be settled.
pub(crate) struct Change<S> {
    /// The port before the change, which still receives.
    old: Option<S>,
    to: Target<S>,
    fell_back: Option<PortFallback>,
    sequence: u64,
    deadline: Option<Instant>,
    replies: Vec<Reply>,
}

/// Where a change leads.
pub(crate) enum Target<S> {
    /// To this socket.
    Socket(S),
    /// Back to the old socket: an announcement in between came to nothing.
    Old,
    /// To no port, because of a command.
    Stopped,
    /// To no port, because of native IPv6.
    Dormant,
}

/// A change that has just ended.
pub(crate) struct Ended<S> {
    /// The port now in use; 0 for none.
    pub(crate) port: u16,
    /// The number of the announcement.
    pub(crate) sequence: u64,
    /// How long the subscribers were waited for in vain; `None` if they have settled.
    pub(crate) missed: Option<Duration>,
    /// Whether the port is another socket than before.
    pub(crate) bound: bool,
    /// The socket before, to be drained and closed.
    pub(crate) old: Option<S>,
    fell_back: Option<PortFallback>,
    replies: Vec<Reply>,
}

impl<S: Bound> Port<S> {
    /// No port yet.
    pub(crate) fn new(announcer: Box<dyn PortAnnouncer>, patience: Option<Duration>) -> Self {
        Self {
            state: State::Stopped,
            announcer,
            announced: 0,
            random: false,
            patience,
        }
    }

    /// The socket that datagrams may leave from (N-16).
    pub(crate) fn serving(&self) -> Option<&S> {
        match &self.state {
            State::Serving(socket) => Some(socket),
            _ => None,
        }
    }

    /// The socket that receives: also during a change.
    pub(crate) fn receiving(&self) -> Option<&S> {
        match &self.state {
            State::Serving(socket) => Some(socket),
            State::Changing(change) => change.old.as_ref(),
            State::Stopped | State::Dormant => None,
        }
    }

    /// The port in use; 0 for none.
    pub(crate) fn number(&self) -> u16 {
        self.receiving().map_or(0, Bound::port)
    }

    /// There is no port, and a change leads to none.
    pub(crate) fn is_closed(&self) -> bool {
        match &self.state {
            State::Stopped | State::Dormant => true,
            State::Changing(change) => matches!(change.to, Target::Stopped | Target::Dormant),
            State::Serving(_) => false,
        }
    }

    /// There is no port because of native IPv6.
    pub(crate) fn is_dormant(&self) -> bool {
        match &self.state {
            State::Dormant => true,
            State::Changing(change) => matches!(change.to, Target::Dormant),
            State::Stopped | State::Serving(_) => false,
        }
    }

    /// A port that is closed stays so for another reason; nothing is announced.
    pub(crate) fn set_dormant(&mut self, dormant: bool) {
        let (state, to) = match dormant {
            true => (State::Dormant, Target::Dormant),
            false => (State::Stopped, Target::Stopped),
        };
        match &mut self.state {
            State::Stopped | State::Dormant => self.state = state,
            State::Changing(change) if matches!(change.to, Target::Stopped | Target::Dormant) => {
                change.to = to;
            }
            State::Changing(_) | State::Serving(_) => {}
        }
    }

    /// The port that a change under way leads to.
    pub(crate) fn changes_to(&self) -> Option<u16> {
        match &self.state {
            State::Changing(_) => Some(self.announced),
            _ => None,
        }
    }

    /// Answers when the change under way ends, or at once if there is none.
    pub(crate) fn join(&mut self, reply: Reply) {
        match &mut self.state {
            State::Changing(change) => change.replies.push(reply),
            _ => answer(reply, Ok(self.at_rest())),
        }
    }

    /// The outcome of a change that changed nothing.
    pub(crate) fn at_rest(&self) -> PortChange {
        PortChange {
            port: self.number(),
            settled: true,
            fell_back: None,
        }
    }

    /// Announces where the change leads, and begins to wait. A change that is not settled yet is given up: the socket
    /// that it was to lead to is closed unused. A change to no port closes the port before it is announced.
    pub(crate) fn change(
        &mut self,
        now: Instant,
        to: Target<S>,
        fell_back: Option<PortFallback>,
        reply: Option<Reply>,
    ) {
        let old = match std::mem::replace(&mut self.state, State::Stopped) {
            State::Serving(socket) => Some(socket),
            State::Changing(change) => {
                for reply in change.replies {
                    answer(reply, Err(ChangeError::Superseded));
                }
                change.old
            }
            State::Stopped | State::Dormant => None,
        };
        let old = old.filter(|_| matches!(to, Target::Socket(_) | Target::Old));
        self.announced = match &to {
            Target::Socket(next) => next.port(),
            Target::Old => old.as_ref().map_or(0, Bound::port),
            Target::Stopped | Target::Dormant => 0,
        };
        self.state = State::Changing(Change {
            old,
            to,
            fell_back,
            sequence: self.announcer.announce(self.announced),
            deadline: self.patience_from(now),
            replies: reply.into_iter().collect(),
        });
    }

    /// Ends the change under way if it is settled, or if its time is up (N-16).
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Ended<S>> {
        let State::Changing(change) = &self.state else {
            return None;
        };
        let missed = if self.announcer.is_settled(change.sequence) {
            None
        } else if change.deadline.is_some_and(|deadline| now >= deadline) {
            self.patience
        } else {
            return None;
        };
        let State::Changing(change) = std::mem::replace(&mut self.state, State::Stopped) else {
            return None;
        };
        let mut old = change.old;
        let bound = matches!(change.to, Target::Socket(_));
        self.state = match change.to {
            Target::Socket(next) => State::Serving(next),
            Target::Old => old.take().map_or(State::Stopped, State::Serving),
            Target::Stopped => State::Stopped,
            Target::Dormant => State::Dormant,
        };
        Some(Ended {
            port: self.announced,
            sequence: change.sequence,
            missed,
            bound,
            old,
            fell_back: change.fell_back,
            replies: change.replies,
        })
    }

    /// Announces the random ports, which are not a part of the port's state; see [`PortAnnouncer::announce_random`].
    pub(crate) fn announce_random(&mut self, ports: &[u16]) -> u64 {
        self.random = !ports.is_empty();
        self.announcer.announce_random(ports)
    }

    /// See [`PortAnnouncer::admission`].
    pub(crate) fn admission(&self, sequence: u64) -> Admission {
        self.announcer.admission(sequence)
    }

    /// When gating subscribers that hear of something now are late.
    pub(crate) fn patience_from(&self, now: Instant) -> Option<Instant> {
        self.patience.map(|patience| now + patience)
    }

    /// Announces no end: another process, or another lane, goes on with the port.
    pub(crate) fn leave(&mut self) {
        self.announced = 0;
    }

    /// When to poll at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Changing(change) => change.deadline,
            _ => None,
        }
    }
}

impl<S: Bound> Drop for Port<S> {
    fn drop(&mut self) {
        // The sockets first: a port whose end is announced is closed.
        if let State::Changing(change) = std::mem::replace(&mut self.state, State::Stopped) {
            for reply in change.replies {
                answer(reply, Err(ChangeError::Superseded));
            }
        }
        if self.random {
            self.announcer.announce_random(&[]);
        }
        if self.announced != 0 {
            self.announcer.announce(0);
        }
    }
}

impl<S> Ended<S> {
    /// Why the port is not the one asked for.
    pub(crate) fn fell_back(&self) -> Option<PortFallback> {
        self.fell_back.clone()
    }

    /// Answers those who wait for the change.
    pub(crate) fn answer(self) {
        let change = PortChange {
            port: self.port,
            settled: self.missed.is_none(),
            fell_back: self.fell_back,
        };
        for reply in self.replies {
            answer(reply, Ok(change.clone()));
        }
    }
}
