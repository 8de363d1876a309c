//! The way of a batch through the state machine.
//!
//! Nothing is allocated per packet, and nothing is copied here: a packet that leaves is a range of the arena where it was
//! cut, a packet that is delivered is a range of the arena where it was received. Only packets that the state machine
//! writes have a buffer of their own.

use std::io;
use std::net::SocketAddrV4;
use std::ops::Range;
use std::time::Duration;

use rustix::io::Errno;
use teredo::wire::{Ecn, MTU};
use teredo::{Client, Destination, DropReason, Instant, Node, Reception, Submission};

use super::Counters;
use super::bare::BareDatagrams;
use crate::Tun;
use crate::kernel::{Endpoint, KernelLane};
use crate::offload::{Coalescer, Gso, Pause, SuperPacket, finish};
use crate::tun::{PacketBatch, mss};
use crate::udp::{Arena, Arenas, Datagram, Entry, ReceiveBatch, SERVICE, SendBatch, ServiceSocket};

/// The most bytes of the state machine's own packets that wait while the socket is full.
const MAX_ANSWERS: usize = 256 * 1024;

/// The most packets that one receive brings: 32 trains, each as long as a train can be.
const PACKETS: usize = 32 * 64;

/// The most datagrams that wait for the secondary port. The client sends one at a time, and two at first.
const MAX_SECONDARY: usize = 16;

/// The most ICMP errors taken in one after the other.
const MAX_ERRORS: usize = 32;

/// A state machine between its two sides, and the batches in flight.
pub(crate) struct DataPath<N> {
    pub(crate) node: N,
    pub(crate) tun: Tun,
    pub(crate) counters: Counters,
    packets: PacketBatch,
    datagrams: ReceiveBatch,
    outgoing: Outgoing,
    deliveries: Deliveries,
    /// After the kernel refused a super-packet of TCP, and of UDP.
    pauses: [Pause; 2],
    /// The longest packet that the path takes, if it is not the longest of the tunnel.
    path_limit: Option<u16>,
    long_packets: LongPackets,
    /// Whether packets may go to the host.
    delivers: bool,
    /// This lane's part of the path in the kernel, if there is one.
    kernel: Option<Box<KernelLane>>,
    /// If peers are to be shown that there is a path in the kernel.
    bare: Option<BareDatagrams>,
}

/// Whether there were packets for which the path's MTU matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LongPackets {
    NotWatched,
    Watched,
    Seen,
}

/// The longest packet for an MTU of 1280, which every IPv4 path of today takes. TCP keeps to it until the path's MTU is
/// known: a flow cannot be told of it later.
const CAUTIOUS_LIMIT: u16 = 1280 - 28;

/// Datagrams that wait to be sent.
#[derive(Default)]
struct Outgoing {
    batch: SendBatch,
    answers: Vec<u8>,
    /// Whether datagrams may leave; otherwise they are dropped.
    open: bool,
    /// Dropped because the port was not open.
    not_ready: u64,
    /// Dropped because too much waited already.
    full: u64,
    /// The port whose socket was full.
    blocked: Option<u16>,
    /// For the secondary port: a solicitation now and then.
    secondary: Vec<(SocketAddrV4, Vec<u8>)>,
}

/// Packets for the host.
struct Deliveries {
    /// Within the datagrams of the last receive, with the ECN bits of the outer header.
    arrived: Vec<(Range<usize>, Ecn)>,
    /// The same, joined into super-packets.
    received: Coalescer,
    /// Packets that the state machine wrote.
    own: Vec<Range<usize>>,
}

impl Outgoing {
    /// Takes a datagram; returns whether it is to leave. `from` is [`SERVICE`] or a random port.
    fn push(
        &mut self,
        from: u16,
        to: SocketAddrV4,
        arena: Arena,
        range: Range<usize>,
        ttl: Option<u8>,
    ) -> bool {
        let taken = self.open && self.batch.push_from(from, to, arena, range, ttl);
        self.count_refused(taken);
        taken
    }

    /// The same without a UDP checksum.
    fn push_bare(
        &mut self,
        from: u16,
        to: SocketAddrV4,
        arena: Arena,
        range: Range<usize>,
    ) -> bool {
        let taken = self.open && self.batch.push_bare(from, to, arena, range);
        self.count_refused(taken);
        taken
    }

    fn count_refused(&mut self, taken: bool) {
        match (taken, self.open) {
            (true, _) => {}
            (false, true) => self.full += 1,
            (false, false) => self.not_ready += 1,
        }
    }

    /// Drops the packet that the state machine wrote from `start` on.
    fn discard_answer(&mut self, start: usize) {
        if self.open {
            self.full += 1;
        } else {
            self.not_ready += 1;
        }
        self.answers.truncate(start);
    }
}

impl<N: Endpoint> DataPath<N> {
    pub(crate) fn new(node: N, tun: Tun) -> Self {
        let deliveries = Deliveries {
            arrived: Vec::with_capacity(PACKETS),
            received: Coalescer::new(PACKETS, tun.offloads()),
            own: Vec::new(),
        };
        Self {
            node,
            tun,
            counters: Counters::default(),
            packets: PacketBatch::new(),
            datagrams: ReceiveBatch::new(),
            outgoing: Outgoing::default(),
            deliveries,
            pauses: [Pause::default(); 2],
            path_limit: None,
            long_packets: LongPackets::NotWatched,
            delivers: true,
            kernel: None,
            bare: None,
        }
    }

    /// Lets packets of known peers pass in the kernel from the next port on.
    pub(crate) fn use_kernel(&mut self, kernel: KernelLane) {
        self.kernel = Some(Box::new(kernel));
    }

    /// Whether paths of peers wait until the queues are empty.
    pub(super) fn awaits_queues(&self) -> bool {
        self.kernel().is_some_and(KernelLane::awaits_queues)
    }

    /// The queues of the interface and of the sockets were found empty, or not; after that time, if they were
    /// [awaited](Self::awaits_queues).
    pub(super) fn queues_polled(&mut self, empty: bool, awaited: Option<Duration>) {
        if let Some(kernel) = &mut self.kernel {
            kernel.queues_polled(empty, awaited);
        }
    }

    pub(crate) fn kernel(&self) -> Option<&KernelLane> {
        self.kernel.as_deref()
    }

    /// Peers at a random port can have a path in the kernel, too.
    pub(crate) fn watch(&self, random: &ServiceSocket) {
        if let Some(kernel) = &self.kernel {
            kernel.watch(random);
        }
    }

    /// The network has changed: packets may take other ways.
    pub(crate) fn reroute(&mut self) {
        if let Some(kernel) = &mut self.kernel {
            kernel.reroute(&mut self.node);
        }
    }

    /// Sets whether peers are shown that this node has a path in the kernel, and takes packets without checksums: if it has,
    /// on a virtual link.
    fn show_path(&mut self, shows: bool) {
        if shows != self.bare.is_some() {
            self.bare = shows.then(BareDatagrams::new);
        }
    }

    /// Sets whether packets go to the host; otherwise they are dropped.
    pub(crate) fn set_delivers(&mut self, delivers: bool) {
        self.delivers = delivers;
        if let Some(kernel) = &self.kernel {
            kernel.set_delivers(delivers);
        }
    }

    /// The path is another one, and its MTU is not known: watches for packets for which it matters.
    pub(crate) fn watch_long_packets(&mut self) {
        self.long_packets = LongPackets::Watched;
        let limit = self.path_limit;
        self.set_path_limit(Some(
            limit.map_or(CAUTIOUS_LIMIT, |limit| limit.min(CAUTIOUS_LIMIT)),
        ));
    }

    /// Whether there were such packets; says so once.
    pub(super) fn take_long_packets(&mut self) -> bool {
        let seen = self.long_packets == LongPackets::Seen;
        if seen {
            self.long_packets = LongPackets::NotWatched;
        }
        seen
    }

    /// Limits the segments of new TCP flows, in both directions.
    pub(crate) fn set_path_limit(&mut self, limit: Option<u16>) {
        self.path_limit = limit;
        if let Some(kernel) = &mut self.kernel {
            kernel.set_longest(&mut self.node, limit);
        }
    }

    /// Nothing leaves from here on. What waited is dropped: it was meant for a port that is being given up.
    pub(super) fn close(&mut self) {
        if let Some(kernel) = &mut self.kernel {
            kernel.close();
        }
        self.outgoing.not_ready += self.outgoing.batch.len() as u64;
        self.outgoing.open = false;
        self.outgoing.batch.clear();
        self.outgoing.answers.clear();
        self.outgoing.secondary.clear();
    }

    /// Datagrams may leave again, from this socket.
    pub(super) fn open(&mut self, socket: &ServiceSocket) {
        self.outgoing.open = true;
        if let Some(kernel) = &mut self.kernel {
            kernel.open(&mut self.node, socket);
        }
        if let Some(bare) = &mut self.bare {
            bare.clear();
        }
    }

    /// Whether a socket was full, so that packets of the host must wait.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.outgoing.batch.is_empty()
    }

    /// Whether the socket of this port must have room again before anything leaves: [`SERVICE`], or a random port.
    pub(crate) fn waits_for(&self, port: u16) -> bool {
        self.is_blocked() && self.outgoing.blocked.unwrap_or(SERVICE) == port
    }

    /// Whether packets of the host that were taken from the interface did not fit into the last batch.
    pub(crate) fn has_more(&self) -> bool {
        self.packets.has_rest()
    }

    /// Receives one batch and delivers to the host what is meant for it.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        socket: &ServiceSocket,
    ) -> io::Result<Option<io::Error>> {
        self.receive_by(socket, |node, datagram, payload| {
            node.handle_udp(now, datagram.from, datagram.to, payload)
        })
    }

    /// Receives one batch, which the state machine takes by `handle`.
    fn receive_by(
        &mut self,
        socket: &ServiceSocket,
        handle: impl for<'a> Fn(&mut N, &Datagram, &'a [u8]) -> Reception<'a>,
    ) -> io::Result<Option<io::Error>> {
        socket.receive(&mut self.datagrams)?;
        self.counters.udp.rx_calls += 1;
        for datagram in self.datagrams.datagrams() {
            self.counters.udp.rx_datagrams += 1;
            self.counters.udp.rx_bytes += datagram.payload.len() as u64;
            let payload = &self.datagrams.arena()[datagram.payload.clone()];
            match handle(&mut self.node, &datagram, payload) {
                Reception::Deliver(packet) => {
                    let start = datagram.payload.start + offset_within(payload, packet);
                    let range = start..start + packet.len();
                    self.deliveries.arrived.push((range, datagram.ecn));
                }
                Reception::Consumed | Reception::Drop(_) => {}
            }
            drain(
                &mut self.node,
                &mut self.outgoing,
                &mut self.deliveries,
                &mut self.kernel,
                &mut self.counters,
            );
        }
        Ok(self.deliver())
    }

    /// Takes in the ICMP errors that wait, up to a bound: a flood of them must not stop the data.
    pub(crate) fn take_errors(&mut self, now: Instant, socket: &ServiceSocket) -> io::Result<()> {
        for _ in 0..MAX_ERRORS {
            match socket.next_error()? {
                Some(Entry::Icmp(received)) => {
                    self.counters.icmp_errors += 1;
                    self.node.handle_icmp_error(now, &received.error());
                    drain(
                        &mut self.node,
                        &mut self.outgoing,
                        &mut self.deliveries,
                        &mut self.kernel,
                        &mut self.counters,
                    );
                }
                Some(Entry::Other) => {}
                None => break,
            }
        }
        Ok(())
    }

    /// Takes one batch of packets from the host.
    pub(crate) fn submit(&mut self, now: Instant) -> io::Result<Option<io::Error>> {
        debug_assert!(
            !self.is_blocked(),
            "the batch in flight refers to the arena that is about to be refilled"
        );
        let kernel = self.kernel();
        let shows = kernel.is_some_and(KernelLane::is_on_virtual_link);
        self.show_path(shows);
        self.tun.read_batch(&mut self.packets)?;
        if let Some(limit) = self.path_limit {
            self.packets.clamp_segments(limit);
        }
        if self.long_packets == LongPackets::Watched {
            let mut packets = self.packets.runs().flatten();
            if packets.any(|packet| needs_mtu(&self.packets.arena()[packet.clone()])) {
                self.long_packets = LongPackets::Seen;
            }
        }
        self.counters.tun_rx_calls += self.packets.runs().count() as u64;
        self.node
            .count_drop(DropReason::MalformedSuperPacket, self.packets.uncut());
        for run in self.packets.runs() {
            let mut packets = run.iter();
            while let Some(packet) = packets.next() {
                self.counters.tun_rx_packets += 1;
                let bytes = &self.packets.arena()[packet.clone()];
                let way = match self.node.handle_tun(now, bytes) {
                    Submission::Send(to) => Some((SERVICE, to)),
                    Submission::SendFrom { port, to } => Some((port, to)),
                    Submission::Queued | Submission::Drop(_) => None,
                };
                if let Some((from, to)) = way {
                    // The rest of the run goes the same way: addresses and all else that this depends on are the same,
                    // and no packet is longer than the first.
                    let outgoing = &mut self.outgoing;
                    let is_bare = |bare: &mut BareDatagrams| bare.is_due(now, to);
                    let first = if self.bare.as_mut().is_some_and(is_bare) {
                        outgoing.push_bare(from, to, Arena::Packets, packet.clone())
                    } else {
                        outgoing.push(from, to, Arena::Packets, packet.clone(), None)
                    };
                    let mut carried = u64::from(first);
                    let (mut further, mut bytes) = (0, 0);
                    for packet in packets.by_ref() {
                        further += 1;
                        bytes += packet.len() as u64;
                        let taken = outgoing.push(from, to, Arena::Packets, packet.clone(), None);
                        carried += u64::from(taken);
                    }
                    self.counters.tun_rx_packets += further;
                    self.counters.carried_packets += carried;
                    self.node.count_sent(further, bytes);
                }
                // After each, so that what was queued before it leaves before it.
                drain(
                    &mut self.node,
                    &mut self.outgoing,
                    &mut self.deliveries,
                    &mut self.kernel,
                    &mut self.counters,
                );
            }
        }
        Ok(self.deliver())
    }

    /// Drains the state machine after any other call, and delivers its packets for the host.
    pub(crate) fn collect(&mut self) -> Option<io::Error> {
        drain(
            &mut self.node,
            &mut self.outgoing,
            &mut self.deliveries,
            &mut self.kernel,
            &mut self.counters,
        );
        self.deliver()
    }

    /// Sends what waits, as far as the sockets take it: from the service port, from the random ports, and from a block of
    /// them. Nobody waits for room in one of the block's sockets, which send one bubble each.
    pub(crate) fn flush(
        &mut self,
        service: &ServiceSocket,
        random: &[ServiceSocket],
        block: &[ServiceSocket],
    ) -> Option<io::Error> {
        self.count_unsent();
        let Outgoing {
            batch,
            answers,
            blocked,
            ..
        } = &mut self.outgoing;
        *blocked = None;
        let mut failure = None;
        while let Some(from) = batch.next_from() {
            let has_port = |socket: &&ServiceSocket| socket.local().port() == from;
            let of_block = block.iter().find(has_port);
            let socket = match from {
                SERVICE => Some(service),
                _ => random.iter().find(has_port).or(of_block),
            };
            let Some(socket) = socket else {
                let gone = batch.skip() as u64;
                self.node.count_drop(DropReason::PortNotReady, gone);
                continue;
            };
            let packets = self.packets.arena();
            let sent = socket.send(batch, Arenas { packets, answers });
            self.counters.udp.tx_datagrams += sent.datagrams;
            self.counters.udp.tx_bytes += sent.bytes;
            self.counters.udp.tx_calls += sent.calls;
            if sent.refused > 0 {
                self.node.count_drop(DropReason::SendRefused, sent.refused);
            }
            if sent.error.is_some() {
                failure = sent.error;
            }
            if sent.blocked && of_block.is_some() {
                let lost = batch.skip() as u64;
                self.node.count_drop(DropReason::SendBufferFull, lost);
            } else if sent.blocked {
                *blocked = Some(from);
                return failure;
            }
        }
        answers.clear();
        failure
    }

    /// Without a socket, the state machine's own packets are of no use.
    pub(crate) fn discard(&mut self) {
        self.count_unsent();
        self.outgoing.answers.clear();
    }

    fn count_unsent(&mut self) {
        let not_ready = std::mem::take(&mut self.outgoing.not_ready);
        let full = std::mem::take(&mut self.outgoing.full);
        if not_ready > 0 {
            self.node.count_drop(DropReason::PortNotReady, not_ready);
        }
        if full > 0 {
            self.node.count_drop(DropReason::SendBufferFull, full);
        }
    }

    fn deliver(&mut self) -> Option<io::Error> {
        let mut failure = None;
        let Deliveries {
            arrived,
            received,
            own,
        } = &mut self.deliveries;
        if !self.delivers {
            let refused = arrived.len() + own.len();
            arrived.clear();
            own.clear();
            if refused > 0 {
                self.node
                    .count_drop(DropReason::HostRefused, refused as u64);
            }
            return None;
        }
        for (range, ecn) in arrived.drain(..) {
            if ecn != Ecn::NotEct
                && !Ecn::decapsulate(ecn, &mut self.datagrams.arena_mut()[range.clone()])
            {
                self.node.count_drop(DropReason::Congestion, 1);
                continue;
            }
            if self.long_packets == LongPackets::Watched
                && needs_mtu(&self.datagrams.arena()[range.clone()])
            {
                self.long_packets = LongPackets::Seen;
            }
            if let Some(header) = finish(&mut self.datagrams.arena_mut()[range.clone()]) {
                received.push_uncut(range, header);
                continue;
            }
            if let Some(limit) = self.path_limit {
                mss::clamp(&mut self.datagrams.arena_mut()[range.clone()], limit);
            }
            received.push(self.datagrams.arena(), range);
        }
        for packet in received.iter(self.datagrams.arena()) {
            let whole = write_whole(&self.tun, &packet, &mut self.pauses, &mut self.counters);
            if whole {
                continue;
            }
            let mut write = |packet: &[u8]| {
                self.counters.tun_tx_calls += 1;
                match self.tun.write(packet) {
                    Ok(()) => {
                        self.counters.tun_tx_packets += 1;
                        self.counters.carried_packets += 1;
                    }
                    Err(error) => {
                        self.node.count_drop(DropReason::HostRefused, 1);
                        failure = Some(error);
                    }
                }
            };
            let mut cut = packet.cut();
            let mut segment = [0; MTU];
            for packet in packet.packets() {
                let Some(cut) = &mut cut else {
                    write(packet);
                    continue;
                };
                while let Some(len) = cut.emit(packet, &mut segment) {
                    write(&segment[..len]);
                }
            }
        }
        received.clear();
        for range in own.drain(..) {
            self.counters.tun_tx_calls += 1;
            let packet = &mut self.outgoing.answers[range];
            // One that waited is as its sender left it; none is longer than the tunnel takes.
            let whole = finish(packet);
            debug_assert!(whole.is_none());
            match self.tun.write(packet) {
                Ok(()) => self.counters.tun_tx_packets += 1,
                Err(error) => {
                    self.node.count_drop(DropReason::HostRefused, 1);
                    failure = Some(error);
                }
            }
        }
        failure
    }
}

impl DataPath<Client> {
    /// Receives one batch from the secondary port; none of it is for the host.
    pub(crate) fn receive_secondary(
        &mut self,
        now: Instant,
        socket: &ServiceSocket,
    ) -> io::Result<Option<io::Error>> {
        socket.receive(&mut self.datagrams)?;
        self.counters.udp.rx_calls += 1;
        for datagram in self.datagrams.datagrams() {
            self.counters.udp.rx_datagrams += 1;
            self.counters.udp.rx_bytes += datagram.payload.len() as u64;
            let payload = &self.datagrams.arena()[datagram.payload.clone()];
            // Consumed, or dropped and counted.
            let _ = self.node.handle_secondary(now, datagram.from, payload);
            drain(
                &mut self.node,
                &mut self.outgoing,
                &mut self.deliveries,
                &mut self.kernel,
                &mut self.counters,
            );
        }
        Ok(self.deliver())
    }

    /// Receives one batch from a random port, and delivers to the host what is meant for it.
    pub(crate) fn receive_random(
        &mut self,
        now: Instant,
        socket: &ServiceSocket,
    ) -> io::Result<Option<io::Error>> {
        let port = socket.local().port();
        self.receive_by(socket, |node, datagram, payload| {
            node.handle_random(now, port, datagram.from, payload)
        })
    }

    /// Sends what waits for the secondary port.
    pub(crate) fn flush_secondary(&mut self, socket: Option<&ServiceSocket>) -> Option<io::Error> {
        let mut failure = None;
        for (to, bytes) in self.outgoing.secondary.drain(..) {
            let Some(socket) = socket else {
                self.node.count_drop(DropReason::PortNotReady, 1);
                continue;
            };
            self.counters.udp.tx_calls += 1;
            match socket.send_one(to, &bytes) {
                Ok(()) => {
                    self.counters.udp.tx_datagrams += 1;
                    self.counters.udp.tx_bytes += bytes.len() as u64;
                }
                // Lost like any datagram on its way; it is repeated.
                Err(error) => {
                    self.node.count_drop(DropReason::SendRefused, 1);
                    failure = Some(error);
                }
            }
        }
        failure
    }
}

/// Writes a packet, or several as one. Some kernels refuse super-packets with EINVAL, such as Linux 6.6.44: then the
/// packets are to be written one by one, now and for a while.
fn write_whole(
    tun: &Tun,
    packet: &SuperPacket<'_>,
    pauses: &mut [Pause; 2],
    counters: &mut Counters,
) -> bool {
    let is_udp = packet.header().gso == Gso::Udp;
    let pause = &mut pauses[usize::from(is_udp)];
    if !packet.is_super() || pause.holds() {
        return false;
    }
    let kind = if is_udp { "UDP" } else { "TCP" };
    counters.tun_tx_calls += 1;
    match tun.write_super(packet) {
        Ok(()) => {
            counters.tun_tx_packets += packet.count() as u64;
            counters.carried_packets += packet.count() as u64;
            if pause.end() {
                tracing::info!("the kernel takes super-packets of {kind} again");
            }
            true
        }
        Err(error) => {
            let is_refusal = Errno::from_io_error(&error) == Some(Errno::INVAL);
            if is_refusal && pause.begin() {
                tracing::warn!(%error, "the kernel refuses super-packets of {kind}: packets go one by one for a while");
            }
            false
        }
    }
}

fn needs_mtu(packet: &[u8]) -> bool {
    packet.len() > CAUTIOUS_LIMIT.into() || mss::is_syn(packet)
}

/// Empties `poll_path` and `poll_transmit`.
fn drain(
    node: &mut impl Endpoint,
    outgoing: &mut Outgoing,
    deliveries: &mut Deliveries,
    kernel: &mut Option<Box<KernelLane>>,
    counters: &mut Counters,
) {
    if let Some(kernel) = kernel {
        kernel.drain(node);
    }
    loop {
        let start = outgoing.answers.len();
        let Some(transmit) = node.poll_transmit(&mut outgoing.answers) else {
            return;
        };
        let range = start..start + transmit.len;
        let mut taken = false;
        match transmit.destination {
            _ if range.end > MAX_ANSWERS => outgoing.discard_answer(start),
            Destination::Host => deliveries.own.push(range),
            Destination::Secondary(to)
                if outgoing.open && outgoing.secondary.len() < MAX_SECONDARY =>
            {
                let bytes = outgoing.answers.split_off(start);
                outgoing.secondary.push((to, bytes));
            }
            Destination::Udp(to) if outgoing.open => {
                taken = outgoing.push(SERVICE, to, Arena::Answers, range, transmit.ttl);
            }
            Destination::Random { port, to } if outgoing.open => {
                taken = outgoing.push(port, to, Arena::Answers, range, transmit.ttl);
            }
            Destination::Udp(_) | Destination::Secondary(_) | Destination::Random { .. } => {
                outgoing.discard_answer(start);
            }
        }
        counters.carried_packets += u64::from(taken && transmit.waited);
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
