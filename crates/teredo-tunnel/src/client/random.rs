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
//! A block of the birthday method goes the same way as a whole: one announcement, and one answer. At its end one of its ports
//! may stay open by itself.
//!
//! The lane does not stand still while one waits. Subscribers of the service port hear nothing of them.

mod block;

use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;

use teredo::client::{RANDOM_PORTS, RandomPortAnswer};
use teredo::{Client, Instant};

use crate::BindError;
use crate::lane::{Lane, MAX_RANDOM, Operation, Role};
use crate::offload::Offload;
use crate::port::{Admission, open};
use crate::udp::ServiceSocket;
use block::Block;

const _: () = assert!(RANDOM_PORTS <= MAX_RANDOM);

/// The sockets of random ports.
#[derive(Debug, Default)]
pub(super) struct RandomPorts {
    sockets: Vec<ServiceSocket>,
    waiting: Vec<Waiting>,
    block: Option<Block>,
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

    /// The sockets of the block.
    pub(super) fn block_sockets(&self) -> &[ServiceSocket] {
        self.block.as_ref().map_or(&[], Block::sockets)
    }

    /// Is readable if one of the block's sockets is.
    pub(super) fn block_descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.block.as_ref().map(Block::descriptor)
    }

    /// The ports of the block that have something to read.
    pub(super) fn ready_of_block(&self) -> Vec<u16> {
        self.block.as_ref().map(Block::ready).unwrap_or_default()
    }

    pub(super) fn receive_of_block<R: Role<Node = Client>>(
        &self,
        lane: &mut Lane<R>,
        now: Instant,
        port: u16,
    ) {
        // Closed meanwhile, if it is not there.
        let mut sockets = self.block_sockets().iter().chain(&self.sockets);
        if let Some(socket) = sockets.find(|socket| socket.local().port() == port) {
            let received = lane.path.receive_random(now, socket);
            lane.note_batch(Operation::Receive, received);
        }
    }

    /// When a firewall is late.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let block = self.block.as_ref().and_then(|block| block.waiting);
        let ports = self.waiting.iter().filter_map(|wait| wait.deadline);
        ports.chain(block.and_then(|(_, deadline)| deadline)).min()
    }

    /// Binds a block of ports and announces it, as the state machine wants. The answer may come later.
    pub(super) fn open_block<R: Role<Node = Client>>(
        &mut self,
        lane: &mut Lane<R>,
        now: Instant,
        bind: Ipv4Addr,
        offload: Offload,
    ) {
        match Block::bind(bind, offload) {
            Ok(block) => self.block = Some(block),
            Err(error) => {
                tracing::debug!(%error, "no block of random ports");
                return answer_block(lane, now, &[]);
            }
        }
        let sequence = self.announce(lane);
        let deadline = lane.port.patience_from(now);
        if let Some(block) = &mut self.block {
            block.waiting = Some((sequence, deadline));
        }
        self.poll_block(lane, now);
    }

    /// Answers for the block if the firewalls have decided.
    fn poll_block<R: Role<Node = Client>>(&mut self, lane: &mut Lane<R>, now: Instant) {
        let Some(block) = &mut self.block else {
            return;
        };
        let Some((sequence, deadline)) = block.waiting else {
            return;
        };
        let late = deadline.is_some_and(|deadline| now >= deadline);
        match lane.port.admission(sequence) {
            Admission::Pending if !late => {}
            Admission::Admitted => {
                block.waiting = None;
                let sockets = block.sockets().iter();
                let ports: Vec<u16> = sockets.map(|socket| socket.local().port()).collect();
                answer_block(lane, now, &ports);
            }
            Admission::Pending | Admission::Refused => {
                tracing::debug!(late, "a firewall does not admit the block of random ports");
                self.close_block(None);
                answer_block(lane, now, &[]);
            }
        }
    }

    /// Closes the block, and keeps one of its ports. The next [`flush`](Self::flush) announces that.
    pub(super) fn close_block(&mut self, keep: Option<u16>) {
        if let Some(block) = self.block.take() {
            self.sockets.extend(block.close(keep));
            self.closed = true;
        }
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
            Ok(socket) => {
                lane.path.watch(&socket);
                self.sockets.push(socket);
            }
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
        self.poll_block(lane, now);
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
        self.close_block(None);
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
        let sockets = self.sockets.iter().chain(self.block_sockets());
        let mut ports: Vec<u16> = sockets.map(|socket| socket.local().port()).collect();
        ports.sort_unstable();
        lane.port.announce_random(&ports)
    }
}

fn answer_block<R: Role<Node = Client>>(lane: &mut Lane<R>, now: Instant, open: &[u16]) {
    lane.path.node.port_block(now, open);
    // What that makes the client send is never for the host.
    lane.path.collect();
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
