//! The path of a datagram: host, link, network, NAT, link, network, until it arrives or is lost.

use std::net::{Ipv4Addr, Ipv6Addr};

use teredo::Instant;
use teredo::wire::{PORT, is_teredo};

use super::{Event, NatId, Network, Owner, Parcel, World};
use crate::capture::{Fate, RecordNumber};
use crate::datagram::Datagram;
use crate::host::{HostId, Outbox, RelayId};
use crate::icmp::IcmpKind;
use crate::link::{Direction, Passage};
use crate::nat::Refusal;

/// The router of the Internet on the side of a sender.
const NEAR_ROUTER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The router of the Internet on the side of a receiver.
const FAR_ROUTER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

impl World {
    /// Advances to the next event if it is due by `end`.
    pub(super) fn step_before(&mut self, end: Instant) -> bool {
        let Some((at, event)) = self.schedule.pop_due(end) else {
            return false;
        };
        self.now = at;
        match event {
            Event::Alarm(host, number) => self.wake(host, number),
            Event::Emit(host, datagram) => self.emit(host, *datagram),
            Event::Route(network, parcel) => self.route(network, parcel),
            Event::Inbound(nat, parcel) => self.inbound(nat, parcel),
            Event::Arrive(host, parcel) => self.arrive(host, *parcel),
            Event::Error(network, error) => self.route_error(network, error),
            Event::ErrorInbound(nat, error) => self.error_inbound(nat, error),
            Event::ErrorArrives(host, error) => self.error_arrives(host, *error),
            Event::Native(packet) => self.deliver_native(packet),
        }
        true
    }

    /// The router that reports datagrams that are too long to the senders of a network.
    fn router_of(&self, network: Network) -> Ipv4Addr {
        match network {
            Network::Internet => FAR_ROUTER,
            Network::Behind(nat) => self.gateway(nat),
        }
    }

    fn wake(&mut self, host: HostId, number: u64) {
        let now = self.now;
        let actions = match host {
            HostId::Client(id) => self.clients[id.0].wake(now, number),
            HostId::Relay(id) => self.relays[id.0].wake(now, number),
            HostId::Server(_) | HostId::Raw(_) => None,
        };
        if let Some(actions) = actions {
            self.act(host, actions);
        }
    }

    /// Sends a datagram over its host's link.
    pub(super) fn emit(&mut self, host: HostId, datagram: Datagram) {
        let record = self.capture.sent(self.now, host, &datagram);
        if let Some(observer) = &mut self.observer {
            observer.sent(self.now, host, &datagram);
        }
        if (self.rule)(&datagram) {
            return self.set_fate(record, Fate::Eaten);
        }
        let Some(attachment) = self.attachments.get_mut(host) else {
            return;
        };
        let network = attachment.network;
        let passage = attachment
            .link
            .carry(self.now, Direction::Up, datagram.size());
        let parcel = Box::new(Parcel { record, datagram });
        self.travel(passage, network, parcel, |parcel| {
            Event::Route(network, parcel)
        });
    }

    /// Lets a datagram take a link of `network`, which is that of its source on the way to the link.
    fn travel(
        &mut self,
        passage: Passage,
        network: Network,
        parcel: Box<Parcel>,
        next: impl Fn(Box<Parcel>) -> Event,
    ) {
        match passage {
            Passage::Down => self.set_fate(parcel.record, Fate::LinkDown),
            Passage::Lost => self.set_fate(parcel.record, Fate::Lost),
            Passage::Overflow => self.set_fate(parcel.record, Fate::Overflow),
            Passage::TooLong(told) => {
                self.set_fate(parcel.record, Fate::TooLong);
                if let Some(mtu) = told {
                    let reporter = self.router_of(network);
                    let kind = IcmpKind::FragmentationNeeded { mtu };
                    self.report(network, reporter, kind, &parcel.datagram);
                }
            }
            Passage::Arrives { at, copy } => {
                if let Some(at) = copy {
                    let record = self.capture.push_duplicate(parcel.record);
                    let copy = Parcel {
                        record,
                        datagram: parcel.datagram.clone(),
                    };
                    self.schedule.push(at, next(Box::new(copy)));
                }
                self.schedule.push(at, next(parcel));
            }
        }
    }

    /// A multicast datagram reaches every other host of its network, and passes no NAT.
    fn multicast(&mut self, network: Network, parcel: &Parcel) {
        let source = *parcel.datagram.source.ip();
        let members = self.directory.neighbours(network, source);
        if members.is_empty() {
            return self.set_fate(parcel.record, Fate::NoRoute);
        }
        for (number, host) in members.into_iter().enumerate() {
            let Some(attachment) = self.attachments.get_mut(host) else {
                continue;
            };
            let size = parcel.datagram.size();
            let passage = attachment.link.carry(self.now, Direction::Down, size);
            let record = match number {
                0 => parcel.record,
                _ => self.capture.push_duplicate(parcel.record),
            };
            let copy = Box::new(Parcel {
                record,
                datagram: parcel.datagram.clone(),
            });
            self.travel(passage, network, copy, |parcel| Event::Arrive(host, parcel));
        }
    }

    fn route(&mut self, network: Network, mut parcel: Box<Parcel>) {
        let destination = parcel.datagram.destination;
        if destination.ip().is_multicast() {
            return self.multicast(network, &parcel);
        }
        // The Internet has a router at each end; a home network has none.
        if network == Network::Internet {
            for router in [NEAR_ROUTER, FAR_ROUTER] {
                if !self.passes_router(network, router, &mut parcel) {
                    return;
                }
            }
        }
        if self.silent.contains(destination.ip()) {
            return self.set_fate(parcel.record, Fate::Silenced);
        }
        match (self.owner(network, *destination.ip()), network) {
            (Some(Owner::Host(host)), _) => {
                let Some(attachment) = self.attachments.get_mut(host) else {
                    return;
                };
                let size = parcel.datagram.size();
                let passage = attachment.link.carry(self.now, Direction::Down, size);
                self.travel(passage, network, parcel, |parcel| {
                    Event::Arrive(host, parcel)
                });
            }
            (Some(Owner::Nat(nat)), _) => {
                let link = &mut self.routers[nat.0].link;
                let passage = link.carry(self.now, Direction::Down, parcel.datagram.size());
                self.travel(passage, network, parcel, |parcel| {
                    Event::Inbound(nat, parcel)
                });
            }
            (Some(Owner::Gateway), _) => {
                self.set_fate(parcel.record, Fate::NoListener);
                let kind = IcmpKind::PortUnreachable;
                self.report(network, *destination.ip(), kind, &parcel.datagram);
            }
            (None, Network::Behind(nat)) => self.outbound(nat, parcel),
            (None, Network::Internet) => {
                self.set_fate(parcel.record, Fate::NoRoute);
                let kind = IcmpKind::HostUnreachable;
                self.report(network, FAR_ROUTER, kind, &parcel.datagram);
            }
        }
    }

    /// The owner of an address as `network` sees it: on the Internet, the border has what nobody else has.
    pub(super) fn owner(&self, network: Network, address: Ipv4Addr) -> Option<Owner> {
        let border = self.default_route.filter(|_| network == Network::Internet);
        self.directory
            .get(network, address)
            .or_else(|| border.map(|border| Owner::Host(border.into())))
    }

    /// Decrements the time to live at a router that `network` sees as `router`. If the datagram has expired, its fate
    /// is recorded and its sender gets an ICMP error.
    fn passes_router(&mut self, network: Network, router: Ipv4Addr, parcel: &mut Parcel) -> bool {
        let passes = parcel.datagram.ttl > 1;
        if passes {
            parcel.datagram.ttl -= 1;
        } else {
            self.set_fate(parcel.record, Fate::Expired);
            self.report(network, router, IcmpKind::TimeExceeded, &parcel.datagram);
        }
        passes
    }

    /// A datagram from inside is at its NAT.
    fn outbound(&mut self, id: NatId, mut parcel: Box<Parcel>) {
        if !self.passes_router(id.into(), self.gateway(id), &mut parcel) {
            return;
        }
        let router = &mut self.routers[id.0];
        let outside = router.outside;
        let Datagram {
            source: inside,
            destination: to,
            ..
        } = parcel.datagram;
        if router.nat.externals().any(|address| address == *to.ip()) {
            match router.nat.hairpin(self.now, inside, to) {
                Ok((source, destination)) => {
                    self.capture.set_source(parcel.record, source);
                    self.capture.set_destination(parcel.record, destination);
                    parcel.datagram.source = source;
                    parcel.datagram.destination = destination;
                    self.route(Network::Behind(id), parcel);
                }
                Err(refusal) => self.refuse(parcel.record, refusal),
            }
            return;
        }
        match router.nat.outbound(self.now, inside, to) {
            Ok(source) => {
                let size = parcel.datagram.size();
                let passage = router.link.carry(self.now, Direction::Up, size);
                // The ICMP error to the sender contains the datagram as it was inside.
                let network = if let Passage::TooLong(_) = passage {
                    id.into()
                } else {
                    self.capture.set_source(parcel.record, source);
                    parcel.datagram.source = source;
                    outside
                };
                self.travel(passage, network, parcel, |parcel| {
                    Event::Route(outside, parcel)
                });
            }
            Err(refusal) => self.refuse(parcel.record, refusal),
        }
    }

    fn inbound(&mut self, id: NatId, mut parcel: Box<Parcel>) {
        let Datagram {
            source,
            destination: external,
            ..
        } = parcel.datagram;
        let router = &mut self.routers[id.0];
        let outside = router.outside;
        match router.nat.inbound_to(self.now, source, external) {
            Ok(destination) => {
                self.capture.set_destination(parcel.record, destination);
                // An ICMP error contains the datagram as it was outside.
                if self.passes_router(outside, *external.ip(), &mut parcel) {
                    parcel.datagram.destination = destination;
                    self.route(Network::Behind(id), parcel);
                }
            }
            Err(refusal) => {
                let rejects = router.nat.behaviour().rejects;
                self.refuse(parcel.record, refusal);
                if rejects {
                    let kind = IcmpKind::PortUnreachable;
                    self.report(outside, *external.ip(), kind, &parcel.datagram);
                }
            }
        }
    }

    fn arrive(&mut self, host: HostId, Parcel { record, datagram }: Parcel) {
        let (from, to) = (datagram.source, datagram.destination);
        let listens = match host {
            HostId::Client(id) => self.clients[id.0].listens_on(to),
            HostId::Server(_) => to.port() == PORT,
            HostId::Relay(id) => self.relays[id.0].local() == to,
            HostId::Raw(_) => true,
        };
        if !listens {
            self.set_fate(record, Fate::NoListener);
            let network = self.network_of(host);
            return self.report(network, *to.ip(), IcmpKind::PortUnreachable, &datagram);
        }
        self.set_fate(record, Fate::Delivered { at: self.now, host });
        match host {
            HostId::Client(id) => {
                let actions = self.clients[id.0].receive(self.now, from, to, &datagram.payload);
                self.act(host, actions);
            }
            HostId::Server(id) => {
                let actions =
                    self.servers[id.0].receive(self.now, from, *to.ip(), &datagram.payload);
                self.act(host, actions);
            }
            HostId::Relay(id) => {
                let actions =
                    self.relays[id.0].receive(self.now, from, *to.ip(), &datagram.payload);
                self.act(host, actions);
            }
            HostId::Raw(id) => {
                let outbox = self.raw[id.0].receive(self.now, datagram);
                self.post(host, outbox);
            }
        }
    }

    fn deliver_native(&mut self, packet: Vec<u8>) {
        let address = |at: usize| {
            let bytes = packet.get(at..at + 16)?;
            <[u8; 16]>::try_from(bytes).ok().map(Ipv6Addr::from)
        };
        let (Some(source), Some(destination)) = (address(8), address(24)) else {
            return;
        };
        if is_teredo(&destination) {
            let last = self.relays.len().checked_sub(1).map(RelayId);
            if let Some(relay) = self.relay_of.get(&source).copied().or(last) {
                let _ = self.submit_to_relay(relay, &packet);
            }
        } else if let Some(id) = self
            .native
            .get(&destination)
            .copied()
            .or(self.default_route)
        {
            let outbox = self.raw[id.0].receive_native(self.now, packet);
            self.post(id.into(), outbox);
        }
    }

    pub(super) fn post(&mut self, host: HostId, outbox: Outbox) {
        for packet in outbox.packets {
            self.send_native(&packet);
        }
        for (delay, datagram) in outbox.datagrams {
            self.schedule
                .push(self.now + delay, Event::Emit(host, Box::new(datagram)));
        }
    }

    fn refuse(&mut self, record: RecordNumber, refusal: Refusal) {
        self.set_fate(record, Fate::Refused(refusal));
    }

    fn set_fate(&mut self, record: RecordNumber, fate: Fate) {
        self.capture.set_fate(self.now, record, fate);
    }
}
