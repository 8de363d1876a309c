//! The random ports of a client (RFC 6081 §5.4): a socket each, like the service port's.
//!
//! ```text
//!                      bind          announce            every firewall admits it
//!  wanted: true ──────────> bound ──────────> waiting ─────────────────────────> open
//!                  │                             │ a firewall refuses, or the time is up  │ wanted: false
//!                  │ in use: Taken               v                                        v
//!                  └──────────────────────> closed: Refused                            closed
//! ```
//!
//! The lane does not stand still while one waits. Subscribers of the service port hear nothing of them.

use std::net::Ipv4Addr;

use teredo::client::{RANDOM_PORTS, RandomPortAnswer};
use teredo::{Client, Instant};

use crate::BindError;
use crate::lane::{Lane, MAX_RANDOM, Operation, Role};
use crate::offload::Offload;
use crate::port::{Admission, open};
use crate::udp::ServiceSocket;

const _: () = assert!(RANDOM_PORTS <= MAX_RANDOM);

/// The sockets of random ports.
#[derive(Debug, Default)]
pub(super) struct RandomPorts {
    sockets: Vec<ServiceSocket>,
    waiting: Vec<Waiting>,
    /// Whether ports were closed since the last announcement.
    closed: bool,
}

/// A port that firewalls do not admit yet.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    port: u16,
    /// The announcement's number.
    sequence: u64,
    deadline: Option<Instant>,
}

impl RandomPorts {
    pub(super) fn sockets(&self) -> &[ServiceSocket] {
        &self.sockets
    }

    pub(super) fn receive<R: Role<Node = Client>>(
        &self,
        lane: &mut Lane<R>,
        now: Instant,
        index: usize,
    ) {
        // Closed meanwhile, if it is not there.
        if let Some(socket) = self.sockets.get(index) {
            let received = lane.path.receive_random(now, socket);
            lane.note_batch(Operation::Receive, received);
        }
    }

    /// When a firewall is late.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.iter().filter_map(|wait| wait.deadline).min()
    }

    /// Binds a port and announces it, as the state machine wants. The answer may come later.
    pub(super) fn open<R: Role<Node = Client>>(
        &mut self,
        lane: &mut Lane<R>,
        now: Instant,
        port: u16,
        bind: Ipv4Addr,
        offload: Offload,
    ) {
        if self.sockets.len() >= RANDOM_PORTS {
            return answer(lane, now, port, RandomPortAnswer::Refused);
        }
        match open(bind, port, offload) {
            Ok(socket) => self.sockets.push(socket),
            Err(error) => {
                let taken = matches!(error, BindError::InUse { .. });
                tracing::debug!(%error, "no random port");
                let refusal = match taken {
                    true => RandomPortAnswer::Taken,
                    false => RandomPortAnswer::Refused,
                };
                return answer(lane, now, port, refusal);
            }
        }
        let sequence = self.announce(lane);
        self.waiting.push(Waiting {
            port,
            sequence,
            deadline: lane.port.patience_from(now),
        });
        self.poll(lane, now);
    }

    /// Answers for the ports about which the firewalls have decided. One that is late has not admitted the port: a peer
    /// that answers to it would be lost, while without the port the client goes on as it was.
    pub(super) fn poll<R: Role<Node = Client>>(&mut self, lane: &mut Lane<R>, now: Instant) {
        let mut index = 0;
        while let Some(&Waiting {
            port,
            sequence,
            deadline,
        }) = self.waiting.get(index)
        {
            let late = deadline.is_some_and(|deadline| now >= deadline);
            let result = match lane.port.admission(sequence) {
                Admission::Admitted => RandomPortAnswer::Open,
                Admission::Pending if !late => {
                    index += 1;
                    continue;
                }
                Admission::Pending | Admission::Refused => RandomPortAnswer::Refused,
            };
            self.waiting.remove(index);
            if result == RandomPortAnswer::Refused {
                tracing::debug!(port, late, "a firewall does not admit the random port");
                self.close(port);
            }
            answer(lane, now, port, result);
        }
    }

    /// Closes a port. The next [`flush`](Self::flush) announces that.
    pub(super) fn close(&mut self, port: u16) {
        let before = self.sockets.len();
        self.sockets.retain(|socket| socket.local().port() != port);
        self.waiting.retain(|wait| wait.port != port);
        self.closed |= self.sockets.len() != before;
    }

    /// Closes all ports, and announces that at once: the service port is about to go.
    pub(super) fn close_all<R: Role<Node = Client>>(&mut self, lane: &mut Lane<R>) {
        self.closed |= !self.sockets.is_empty();
        self.sockets.clear();
        self.waiting.clear();
        self.flush(lane);
    }

    /// Announces the ports that were closed, once however many they are.
    pub(super) fn flush<R: Role<Node = Client>>(&mut self, lane: &mut Lane<R>) {
        if self.closed {
            self.announce(lane);
        }
    }

    fn announce<R: Role<Node = Client>>(&mut self, lane: &mut Lane<R>) -> u64 {
        self.closed = false;
        let mut ports = [0; RANDOM_PORTS];
        let mut count = 0;
        for (slot, socket) in ports.iter_mut().zip(&self.sockets) {
            *slot = socket.local().port();
            count += 1;
        }
        let ports = &mut ports[..count];
        ports.sort_unstable();
        lane.port.announce_random(ports)
    }
}

fn answer<R: Role<Node = Client>>(
    lane: &mut Lane<R>,
    now: Instant,
    port: u16,
    answer: RandomPortAnswer,
) {
    lane.path.node.random_port(now, port, answer);
    // What that makes the client send is never for the host.
    lane.path.collect();
}
