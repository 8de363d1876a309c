//! A host without a state machine: fake servers, relays, peers, spoofers.

use std::fmt;
use std::net::SocketAddrV4;
use std::time::Duration;

use teredo::Instant;

use super::Stamped;
use super::journal::Journal;
use crate::datagram::Datagram;
use crate::icmp::IcmpError;

/// A datagram or packet that arrives at a [`RawHost`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival<'a> {
    /// A UDP datagram over IPv4, with the addresses that the host sees.
    Udp(&'a Datagram),
    /// An ICMP error about a datagram that this host sent, or that had its address as source.
    Error(&'a IcmpError),
    /// An IPv6 packet from the native IPv6 Internet; see [`World::attach_native`](crate::World::attach_native).
    Native(&'a [u8]),
}

/// The output of a [`RawHost`].
#[derive(Debug)]
pub struct Outbox {
    pub(crate) now: Instant,
    pub(crate) datagrams: Vec<(Duration, Datagram)>,
    pub(crate) packets: Vec<Vec<u8>>,
}

impl Outbox {
    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Sends a datagram, with any source.
    pub fn send(&mut self, source: SocketAddrV4, destination: SocketAddrV4, payload: Vec<u8>) {
        self.send_after(Duration::ZERO, source, destination, payload);
    }

    /// Sends a packet into the native IPv6 Internet.
    pub fn send_native(&mut self, packet: Vec<u8>) {
        self.packets.push(packet);
    }

    /// Sends a datagram after a delay.
    pub fn send_after(
        &mut self,
        delay: Duration,
        source: SocketAddrV4,
        destination: SocketAddrV4,
        payload: Vec<u8>,
    ) {
        self.send_datagram(delay, Datagram::new(source, destination, payload));
    }

    /// Sends a datagram as it is after a delay, for instance with another time to live.
    pub fn send_datagram(&mut self, delay: Duration, datagram: Datagram) {
        self.datagrams.push((delay, datagram));
    }
}

pub(crate) type Behaviour = Box<dyn FnMut(Arrival<'_>, &mut Outbox)>;

/// A host that receives on every port, keeps all that arrives, and answers with a closure.
pub struct RawHost {
    received: Journal<Datagram>,
    native: Journal<Vec<u8>>,
    errors: Journal<IcmpError>,
    behaviour: Behaviour,
}

impl fmt::Debug for RawHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawHost")
            .field("received", &self.received)
            .field("native", &self.native)
            .finish_non_exhaustive()
    }
}

impl RawHost {
    pub(crate) fn new(behaviour: Behaviour, kept: u32) -> Self {
        Self {
            received: Journal::new(kept),
            native: Journal::new(kept),
            errors: Journal::new(kept),
            behaviour,
        }
    }

    /// The datagrams that arrived, oldest first.
    pub fn received(&self) -> &[Stamped<Datagram>] {
        self.received.entries()
    }

    /// The native IPv6 packets that arrived, oldest first.
    pub fn native(&self) -> &[Stamped<Vec<u8>>] {
        self.native.entries()
    }

    /// The ICMP errors that arrived, oldest first.
    pub fn errors(&self) -> &[Stamped<IcmpError>] {
        self.errors.entries()
    }

    pub(crate) fn keep(&mut self, limit: u32) {
        self.received.set_limit(limit);
        self.native.set_limit(limit);
        self.errors.set_limit(limit);
    }

    pub(crate) fn receive(&mut self, now: Instant, datagram: Datagram) -> Outbox {
        let sent = self.answer(now, Arrival::Udp(&datagram));
        self.received.note(now, || datagram);
        sent
    }

    pub(crate) fn receive_native(&mut self, now: Instant, packet: Vec<u8>) -> Outbox {
        let sent = self.answer(now, Arrival::Native(&packet));
        self.native.note(now, || packet);
        sent
    }

    pub(crate) fn receive_error(&mut self, now: Instant, error: IcmpError) -> Outbox {
        self.errors.note(now, || error);
        self.answer(now, Arrival::Error(&error))
    }

    fn answer(&mut self, now: Instant, arrival: Arrival<'_>) -> Outbox {
        let mut outbox = Outbox {
            now,
            datagrams: Vec::new(),
            packets: Vec::new(),
        };
        (self.behaviour)(arrival, &mut outbox);
        outbox
    }
}
