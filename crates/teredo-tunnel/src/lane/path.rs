//! A batch's way through the state machine.
//!
//! Nothing is allocated per packet, and nothing is copied here: what leaves refers to where the packets were cut, what
//! is delivered to where they were received, and only what the state machine writes by itself has a buffer of its own.

use std::io;
use std::net::SocketAddrV4;
use std::ops::Range;

use teredo::wire::Ecn;
use teredo::{Client, Destination, DropReason, Instant, Node, Reception, Submission};

use super::Counters;
use crate::Tun;
use crate::offload::Coalescer;
use crate::tun::PacketBatch;
use crate::udp::{Arena, Arenas, ReceiveBatch, SendBatch, ServiceSocket};

/// The most bytes of its own that the state machine may have waiting while the socket is full.
const MAX_ANSWERS: usize = 256 * 1024;

/// How many packets one receive is expected to bring at most: as many trains as it takes, each as long as can be.
const PACKETS: usize = 32 * 64;

/// The most datagrams that wait for the secondary port: it is asked for one at a time, and two at first.
const MAX_SECONDARY: usize = 16;

/// A state machine between its two sides, and the batches in flight.
pub(crate) struct Path<M> {
    pub(crate) machine: M,
    pub(crate) tun: Tun,
    pub(crate) counters: Counters,
    packets: PacketBatch,
    datagrams: ReceiveBatch,
    outgoing: Outgoing,
    deliveries: Deliveries,
}

/// What waits to be sent.
#[derive(Default)]
struct Outgoing {
    batch: SendBatch,
    answers: Vec<u8>,
    /// Closed: whatever the state machine wants sent is withheld.
    open: bool,
    withheld: u64,
    /// For the secondary port: now and then a solicitation.
    secondary: Vec<(SocketAddrV4, Vec<u8>)>,
}

/// Packets for the host.
struct Deliveries {
    /// Within datagrams that were received just now, with the ECN bits of the outer header.
    arrived: Vec<(Range<usize>, Ecn)>,
    /// The same, put together.
    received: Coalescer,
    /// Those that the state machine wrote.
    own: Vec<Range<usize>>,
}

impl Outgoing {
    fn push(&mut self, to: SocketAddrV4, arena: Arena, range: Range<usize>, ttl: Option<u8>) {
        let pushed = self.open
            && match ttl {
                None => self.batch.push(to, arena, range),
                Some(ttl) => self.batch.push_with_ttl(to, arena, range, ttl),
            };
        if !pushed {
            self.withheld += 1;
        }
    }

    /// Takes back what the state machine wrote from `start` on.
    fn withhold(&mut self, start: usize) {
        self.withheld += 1;
        self.answers.truncate(start);
    }
}

impl<M: Node> Path<M> {
    pub(crate) fn new(machine: M, tun: Tun) -> Self {
        let deliveries = Deliveries {
            arrived: Vec::with_capacity(PACKETS),
            received: Coalescer::new(PACKETS, tun.offloads()),
            own: Vec::new(),
        };
        Self {
            machine,
            tun,
            counters: Counters::default(),
            packets: PacketBatch::new(),
            datagrams: ReceiveBatch::new(),
            outgoing: Outgoing::default(),
            deliveries,
        }
    }

    /// Nothing leaves from here on, and what waited is gone: it was meant for a port that is on its way out.
    pub(crate) fn close(&mut self) {
        self.counters.tx_withheld += self.outgoing.batch.len() as u64;
        self.outgoing.open = false;
        self.outgoing.batch.clear();
        self.outgoing.answers.clear();
        self.outgoing.secondary.clear();
    }

    /// What the state machine wants sent may leave again.
    pub(crate) fn open(&mut self) {
        self.outgoing.open = true;
    }

    /// Whether the socket was full, so that packets of the host must wait.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.outgoing.batch.is_empty()
    }

    /// Whether packets of the host that were taken from the interface did not fit into the last batch.
    pub(crate) fn has_more(&self) -> bool {
        self.packets.has_rest()
    }

    /// Receives one batch and hands what is meant for the host to it.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        socket: &ServiceSocket,
    ) -> io::Result<Option<io::Error>> {
        socket.receive(&mut self.datagrams)?;
        self.counters.rx_calls += 1;
        for datagram in self.datagrams.datagrams() {
            self.counters.rx_datagrams += 1;
            self.counters.rx_bytes += datagram.payload.len() as u64;
            let payload = &self.datagrams.arena()[datagram.payload.clone()];
            match self
                .machine
                .handle_udp(now, datagram.from, datagram.to, payload)
            {
                Reception::Deliver(packet) => {
                    let start = datagram.payload.start + offset_within(payload, packet);
                    let range = start..start + packet.len();
                    self.deliveries.arrived.push((range, datagram.ecn));
                }
                Reception::Consumed | Reception::Drop(_) => {}
            }
            drain(&mut self.machine, &mut self.outgoing, &mut self.deliveries);
        }
        Ok(self.deliver())
    }

    /// Takes one batch of packets from the host.
    pub(crate) fn submit(&mut self, now: Instant) -> io::Result<Option<io::Error>> {
        debug_assert!(
            !self.is_blocked(),
            "the batch in flight refers to the arena that is about to be refilled"
        );
        self.tun.read_batch(&mut self.packets)?;
        self.counters.tun_rx_calls += self.packets.runs().count() as u64;
        self.counters.tun_rx_malformed += self.packets.uncut();
        for run in self.packets.runs() {
            let mut packets = run.iter();
            while let Some(packet) = packets.next() {
                self.counters.tun_rx_packets += 1;
                let bytes = &self.packets.arena()[packet.clone()];
                match self.machine.handle_tun(now, bytes) {
                    Submission::Send(to) => {
                        // The rest of the run goes the same way: addresses and all else that this depends on are the
                        // same, and no packet is longer than the first.
                        self.outgoing.push(to, Arena::Packets, packet.clone(), None);
                        for packet in packets.by_ref() {
                            self.counters.tun_rx_packets += 1;
                            self.outgoing.push(to, Arena::Packets, packet.clone(), None);
                        }
                    }
                    Submission::Queued | Submission::Drop(_) => {}
                }
                // After each, so that what was queued before it leaves before it.
                drain(&mut self.machine, &mut self.outgoing, &mut self.deliveries);
            }
        }
        Ok(self.deliver())
    }

    /// Collects what the state machine has to say after any other call; packets for the host are handed to it.
    pub(crate) fn collect(&mut self) -> Option<io::Error> {
        drain(&mut self.machine, &mut self.outgoing, &mut self.deliveries);
        self.deliver()
    }

    /// Sends what waits, as far as the socket takes it.
    pub(crate) fn flush(&mut self, socket: &ServiceSocket) -> Option<io::Error> {
        self.counters.tx_withheld += std::mem::take(&mut self.outgoing.withheld);
        let Outgoing { batch, answers, .. } = &mut self.outgoing;
        let sent = socket.send(
            batch,
            Arenas {
                packets: self.packets.arena(),
                answers,
            },
        );
        self.counters.tx_datagrams += sent.datagrams;
        self.counters.tx_bytes += sent.bytes;
        self.counters.tx_calls += sent.calls;
        self.counters.tx_refused += sent.refused;
        if !sent.blocked {
            answers.clear();
        }
        sent.error
    }

    /// Without a socket, nothing of what the state machine wrote is of use.
    pub(crate) fn discard(&mut self) {
        self.counters.tx_withheld += std::mem::take(&mut self.outgoing.withheld);
        self.outgoing.answers.clear();
    }

    fn deliver(&mut self) -> Option<io::Error> {
        let mut failure = None;
        let Deliveries {
            arrived,
            received,
            own,
        } = &mut self.deliveries;
        for (range, ecn) in arrived.drain(..) {
            if ecn != Ecn::NotEct
                && !Ecn::decapsulate(ecn, &mut self.datagrams.arena_mut()[range.clone()])
            {
                self.machine.count_drop(DropReason::Congestion, 1);
                continue;
            }
            received.push(self.datagrams.arena(), range);
        }
        for packet in received.iter(self.datagrams.arena()) {
            let count = packet.count() as u64;
            self.counters.tun_tx_calls += 1;
            match self.tun.write_super(&packet) {
                Ok(()) => self.counters.tun_tx_packets += count,
                Err(error) => {
                    self.counters.tun_tx_refused += count;
                    failure = Some(error);
                }
            }
        }
        received.clear();
        for range in own.drain(..) {
            self.counters.tun_tx_calls += 1;
            match self.tun.write(&self.outgoing.answers[range]) {
                Ok(()) => self.counters.tun_tx_packets += 1,
                Err(error) => {
                    self.counters.tun_tx_refused += 1;
                    failure = Some(error);
                }
            }
        }
        failure
    }
}

impl Path<Client> {
    /// Receives one batch from the secondary port; nothing of it is for the host.
    pub(crate) fn receive_secondary(
        &mut self,
        now: Instant,
        socket: &ServiceSocket,
    ) -> io::Result<Option<io::Error>> {
        socket.receive(&mut self.datagrams)?;
        self.counters.rx_calls += 1;
        for datagram in self.datagrams.datagrams() {
            self.counters.rx_datagrams += 1;
            self.counters.rx_bytes += datagram.payload.len() as u64;
            let payload = &self.datagrams.arena()[datagram.payload.clone()];
            // Consumed, or dropped and counted.
            let _ = self.machine.handle_secondary(now, datagram.from, payload);
            drain(&mut self.machine, &mut self.outgoing, &mut self.deliveries);
        }
        Ok(self.deliver())
    }

    /// Sends what waits for the secondary port.
    pub(crate) fn flush_secondary(&mut self, socket: Option<&ServiceSocket>) -> Option<io::Error> {
        let mut failure = None;
        for (to, bytes) in self.outgoing.secondary.drain(..) {
            let Some(socket) = socket else {
                self.counters.tx_withheld += 1;
                continue;
            };
            self.counters.tx_calls += 1;
            match socket.send_one(to, &bytes) {
                Ok(()) => {
                    self.counters.tx_datagrams += 1;
                    self.counters.tx_bytes += bytes.len() as u64;
                }
                // Lost like any datagram on its way; it is repeated.
                Err(error) => {
                    self.counters.tx_refused += 1;
                    failure = Some(error);
                }
            }
        }
        failure
    }
}

/// Empties `poll_transmit`.
fn drain(machine: &mut impl Node, outgoing: &mut Outgoing, deliveries: &mut Deliveries) {
    loop {
        let start = outgoing.answers.len();
        let Some(transmit) = machine.poll_transmit(&mut outgoing.answers) else {
            return;
        };
        let range = start..start + transmit.len;
        match transmit.destination {
            _ if range.end > MAX_ANSWERS => outgoing.withhold(start),
            Destination::Host => deliveries.own.push(range),
            Destination::Secondary(to)
                if outgoing.open && outgoing.secondary.len() < MAX_SECONDARY =>
            {
                let bytes = outgoing.answers.split_off(start);
                outgoing.secondary.push((to, bytes));
            }
            Destination::Udp(to) if outgoing.open => {
                outgoing.push(to, Arena::Answers, range, transmit.ttl);
            }
            Destination::Udp(_) | Destination::Secondary(_) => outgoing.withhold(start),
        }
    }
}

/// Where `inner`, a part of `outer`, begins in it.
fn offset_within(outer: &[u8], inner: &[u8]) -> usize {
    let offset = inner.as_ptr().addr().wrapping_sub(outer.as_ptr().addr());
    debug_assert!(
        offset + inner.len() <= outer.len(),
        "a delivered packet is a part of its datagram"
    );
    offset
}
