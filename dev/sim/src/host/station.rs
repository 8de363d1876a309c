//! A client or a relay with its service port: every call changes the state machine and then drains it.

use std::net::{Ipv4Addr, SocketAddrV4};

use teredo::client::Event;
use teredo::{Client, Destination, Instant, Node, Reception, Submission, Timer};

use super::journal::Journal;
use super::{Action, Alarm};
use crate::datagram::Datagram;

/// The common part of hosts with a [`Node`], and a record of its output.
#[derive(Debug)]
pub(super) struct Station<N: Node<Event = E>, E> {
    pub(super) node: N,
    pub(super) local: SocketAddrV4,
    /// The secondary port, while it is open (RFC 4380 §5.2.7).
    pub(super) secondary: Option<SocketAddrV4>,
    /// Whether packets for the host are forwarded to the IPv6 Internet.
    routes: bool,
    alarm: Alarm,
    /// When the host itself has something to do.
    pub(super) errand: Option<Instant>,
    pub(super) delivered: Journal<Vec<u8>>,
    pub(super) errors: Journal<Vec<u8>>,
    pub(super) events: Journal<E>,
    /// The events that the host has not handled yet.
    pub(super) new_events: Vec<E>,
}

impl<N: Node<Event = E>, E: Copy> Station<N, E> {
    /// A host that keeps its packets.
    pub(super) fn endpoint(node: N, local: SocketAddrV4, kept: u32) -> Self {
        Self {
            node,
            local,
            secondary: None,
            routes: false,
            alarm: Alarm::default(),
            errand: None,
            delivered: Journal::new(kept),
            errors: Journal::new(kept),
            events: Journal::new(kept),
            new_events: Vec::new(),
        }
    }

    /// A host that forwards packets to the IPv6 Internet.
    pub(super) fn router(node: N, local: SocketAddrV4, kept: u32) -> Self {
        Self {
            routes: true,
            ..Self::endpoint(node, local, kept)
        }
    }

    pub(super) fn submit(&mut self, now: Instant, packet: &[u8]) -> (Submission, Vec<Action>) {
        let submission = self.node.handle_tun(now, packet);
        let mut actions = Vec::new();
        if let Submission::Send(to) = submission {
            actions.push(send(self.local, to, None, packet.to_vec()));
        }
        if let Submission::SendFrom { port, to } = submission {
            actions.push(send(self.port(port), to, None, packet.to_vec()));
        }
        self.drain(now, &mut actions);
        (submission, actions)
    }

    pub(super) fn receive(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        to: Ipv4Addr,
        payload: &[u8],
    ) -> Vec<Action> {
        let reception = self.node.handle_udp(now, from, to, payload);
        let mut actions =
            Vec::from_iter(packet_of(reception).map(|packet| self.deliver(now, packet)));
        self.drain(now, &mut actions);
        actions
    }

    fn deliver(&mut self, now: Instant, packet: Vec<u8>) -> Action {
        self.delivered.note(now, || packet.clone());
        match self.routes {
            true => Action::Native(packet),
            false => Action::Deliver(packet),
        }
    }

    /// Calls the node if the alarm of this number is current.
    pub(super) fn wake(&mut self, now: Instant, number: u64) -> Option<Vec<Action>> {
        let rings = self.alarm.rings(now, number);
        rings.then(|| self.call(now, |node| node.handle_timeout(now)))
    }

    /// When to wake the host, and the alarm's number, if the deadline has changed.
    pub(super) fn next_alarm(&mut self) -> Option<(Instant, u64)> {
        let errand = self.errand.map(|at| (at, Timer::RandomPort));
        self.alarm
            .set(self.node.poll_timeout().into_iter().chain(errand).min())
    }

    /// Changes the node.
    pub(super) fn call(&mut self, now: Instant, change: impl FnOnce(&mut N)) -> Vec<Action> {
        change(&mut self.node);
        let mut actions = Vec::new();
        self.drain(now, &mut actions);
        actions
    }

    /// Keeps this many values of each kind from now on.
    pub(super) fn keep(&mut self, limit: u32) {
        self.delivered.set_limit(limit);
        self.errors.set_limit(limit);
        self.events.set_limit(limit);
    }

    fn port(&self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(*self.local.ip(), port)
    }

    fn drain(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut bytes = Vec::new();
        while let Some(transmit) = self.node.poll_transmit(&mut bytes) {
            let packet = std::mem::take(&mut bytes);
            assert_eq!(
                packet.len(),
                transmit.len,
                "poll_transmit appends as many bytes as it says"
            );
            match transmit.destination {
                Destination::Udp(to) => actions.push(send(self.local, to, transmit.ttl, packet)),
                Destination::Secondary(to) => {
                    let source = self.secondary.expect("the node asks for the port first");
                    actions.push(send(source, to, transmit.ttl, packet));
                }
                Destination::Random { port, to } => {
                    actions.push(send(self.port(port), to, transmit.ttl, packet));
                }
                Destination::Host => {
                    if self.routes {
                        actions.push(Action::Native(packet.clone()));
                    }
                    self.errors.note(now, || packet);
                }
            }
        }
        while let Some(event) = self.node.poll_event() {
            self.events.note(now, || event);
            self.new_events.push(event);
        }
    }
}

impl Station<Client, Event> {
    pub(super) fn receive_random(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        port: u16,
        payload: &[u8],
    ) -> Vec<Action> {
        let reception = self.node.handle_random(now, port, from, payload);
        let mut actions =
            Vec::from_iter(packet_of(reception).map(|packet| self.deliver(now, packet)));
        self.drain(now, &mut actions);
        actions
    }
}

fn packet_of(reception: Reception<'_>) -> Option<Vec<u8>> {
    match reception {
        Reception::Deliver(packet) => Some(packet.to_vec()),
        Reception::Consumed | Reception::Drop(_) => None,
    }
}

fn send(
    source: SocketAddrV4,
    destination: SocketAddrV4,
    ttl: Option<u8>,
    payload: Vec<u8>,
) -> Action {
    Action::Send(datagram(source, destination, ttl, payload))
}

/// A datagram with the default time to live unless `ttl` is another.
pub(super) fn datagram(
    source: SocketAddrV4,
    destination: SocketAddrV4,
    ttl: Option<u8>,
    payload: Vec<u8>,
) -> Datagram {
    Datagram {
        ttl: ttl.unwrap_or(Datagram::TTL),
        ..Datagram::new(source, destination, payload)
    }
}
