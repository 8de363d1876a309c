//! The path of a datagram: host, link, network, NAT, link, network, until it arrives or is lost.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use teredo::Instant;
use teredo::wire::{PORT, is_teredo};

use super::{Event, NatId, Network, Owner, Parcel, World};
use crate::capture::{Fate, Record, RecordNumber};
use crate::datagram::Datagram;
use crate::host::{HostId, Outbox, RelayId};
use crate::link::{Direction, Passage};
use crate::nat::Refusal;

impl World {
    /// Advances to the next event if it is due by `end`.
    pub(super) fn step_before(&mut self, end: Instant) -> bool {
        let Some((at, event)) = self.schedule.pop_due(end) else {
            return false;
        };
        self.now = at;
        match event {
            Event::Alarm(host, number) => self.wake(host, number),
            Event::Emit(host, datagram) => self.emit(host, datagram),
            Event::Route(network, parcel) => self.route(network, parcel),
            Event::Inbound(nat, parcel) => self.inbound(nat, parcel),
            Event::Arrive(host, parcel) => self.arrive(host, parcel),
            Event::Native(packet) => self.deliver_native(packet),
        }
        true
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
        let record = self.capture.push(Record {
            at: self.now,
            sender: host,
            public_source: datagram.source,
            inner_destination: datagram.destination,
            datagram: datagram.clone(),
            duplicate: false,
            fate: Fate::InFlight,
        });
        if (self.rule)(&datagram) {
            return self.capture.set_fate(record, Fate::Eaten);
        }
        let Some(attachment) = self.attachments.get_mut(&host) else {
            return;
        };
        let network = attachment.network;
        let passage = attachment.link.carry(self.now, Direction::Up);
        self.travel(passage, Parcel { record, datagram }, |parcel| {
            Event::Route(network, parcel)
        });
    }

    fn travel(&mut self, passage: Passage, parcel: Parcel, next: impl Fn(Parcel) -> Event) {
        match passage {
            Passage::Down => self.capture.set_fate(parcel.record, Fate::LinkDown),
            Passage::Lost => self.capture.set_fate(parcel.record, Fate::Lost),
            Passage::Arrives { at, copy } => {
                if let Some(at) = copy {
                    let record = self.capture.push_duplicate(parcel.record);
                    self.schedule.push(
                        at,
                        next(Parcel {
                            record,
                            ..parcel.clone()
                        }),
                    );
                }
                self.schedule.push(at, next(parcel));
            }
        }
    }

    /// A multicast datagram reaches every other host of its network, and passes no NAT.
    fn multicast(&mut self, network: Network, parcel: Parcel) {
        let source = *parcel.datagram.source.ip();
        let owners = self.directory.range((network, Ipv4Addr::UNSPECIFIED)..);
        let members: BTreeSet<HostId> = owners
            .take_while(|((there, _), _)| *there == network)
            .filter(|((_, address), _)| *address != source)
            .filter_map(|(_, owner)| match owner {
                Owner::Host(host) => Some(*host),
                Owner::Nat(_) => None,
            })
            .collect();
        if members.is_empty() {
            return self.capture.set_fate(parcel.record, Fate::NoRoute);
        }
        for (number, host) in members.into_iter().enumerate() {
            let Some(attachment) = self.attachments.get_mut(&host) else {
                continue;
            };
            let passage = attachment.link.carry(self.now, Direction::Down);
            let record = match number {
                0 => parcel.record,
                _ => self.capture.push_duplicate(parcel.record),
            };
            let copy = Parcel {
                record,
                ..parcel.clone()
            };
            self.travel(passage, copy, |parcel| Event::Arrive(host, parcel));
        }
    }

    fn route(&mut self, network: Network, mut parcel: Parcel) {
        let destination = parcel.datagram.destination;
        if destination.ip().is_multicast() {
            return self.multicast(network, parcel);
        }
        // The Internet has a router at each end; a home network has none.
        if network == Network::Internet {
            for _ in 0..2 {
                if !self.passes_router(&mut parcel) {
                    return;
                }
            }
        }
        if self.silent.contains(destination.ip()) {
            return self.capture.set_fate(parcel.record, Fate::Silenced);
        }
        match (self.directory.get(&(network, *destination.ip())), network) {
            (Some(&Owner::Host(host)), _) => {
                let Some(attachment) = self.attachments.get_mut(&host) else {
                    return;
                };
                let passage = attachment.link.carry(self.now, Direction::Down);
                self.travel(passage, parcel, |parcel| Event::Arrive(host, parcel));
            }
            (Some(&Owner::Nat(nat)), _) => {
                let passage = self.routers[nat.0].link.carry(self.now, Direction::Down);
                self.travel(passage, parcel, |parcel| Event::Inbound(nat, parcel));
            }
            (None, Network::Behind(nat)) => self.outbound(nat, parcel),
            (None, Network::Internet) => self.capture.set_fate(parcel.record, Fate::NoRoute),
        }
    }

    /// Decrements the time to live; records the fate of the datagram if it has expired.
    fn passes_router(&mut self, parcel: &mut Parcel) -> bool {
        let passes = parcel.datagram.ttl > 1;
        if passes {
            parcel.datagram.ttl -= 1;
        } else {
            self.capture.set_fate(parcel.record, Fate::Expired);
        }
        passes
    }

    /// A datagram from inside is at its NAT.
    fn outbound(&mut self, id: NatId, mut parcel: Parcel) {
        if !self.passes_router(&mut parcel) {
            return;
        }
        let Parcel { record, datagram } = parcel;
        let router = &mut self.routers[id.0];
        let outside = router.outside;
        let destination = *datagram.destination.ip();
        if router.nat.externals().any(|address| address == destination) {
            match router
                .nat
                .hairpin(self.now, datagram.source, datagram.destination)
            {
                Ok((source, destination)) => {
                    self.note_source(record, source);
                    self.note_destination(record, destination);
                    let datagram = Datagram {
                        source,
                        destination,
                        ..datagram
                    };
                    self.route(Network::Behind(id), Parcel { record, datagram });
                }
                Err(refusal) => self.refuse(record, refusal),
            }
            return;
        }
        match router
            .nat
            .outbound(self.now, datagram.source, datagram.destination)
        {
            Ok(source) => {
                let passage = router.link.carry(self.now, Direction::Up);
                self.note_source(record, source);
                let parcel = Parcel {
                    record,
                    datagram: Datagram { source, ..datagram },
                };
                self.travel(passage, parcel, |parcel| Event::Route(outside, parcel));
            }
            Err(refusal) => self.refuse(record, refusal),
        }
    }

    fn inbound(&mut self, id: NatId, parcel: Parcel) {
        let Parcel { record, datagram } = parcel;
        match self.routers[id.0]
            .nat
            .inbound_to(self.now, datagram.source, datagram.destination)
        {
            Ok(destination) => {
                self.note_destination(record, destination);
                let mut parcel = Parcel {
                    record,
                    datagram: Datagram {
                        destination,
                        ..datagram
                    },
                };
                if self.passes_router(&mut parcel) {
                    self.route(Network::Behind(id), parcel);
                }
            }
            Err(refusal) => self.refuse(record, refusal),
        }
    }

    fn arrive(&mut self, host: HostId, parcel: Parcel) {
        let Parcel { record, datagram } = parcel;
        let (from, to) = (datagram.source, datagram.destination);
        let listens = match host {
            HostId::Client(id) => self.clients[id.0].listens_on(to),
            HostId::Server(_) => to.port() == PORT,
            HostId::Relay(id) => self.relays[id.0].local() == to,
            HostId::Raw(_) => true,
        };
        if !listens {
            return self.capture.set_fate(record, Fate::NoListener);
        }
        self.capture
            .set_fate(record, Fate::Delivered { at: self.now, host });
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
        let Some(destination) = packet
            .get(24..40)
            .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
        else {
            return;
        };
        let destination = Ipv6Addr::from(destination);
        if is_teredo(&destination) {
            if let Some(last) = self.relays.len().checked_sub(1) {
                let _ = self.submit_to_relay(RelayId(last), &packet);
            }
        } else if let Some(&id) = self.native.get(&destination) {
            let outbox = self.raw[id.0].receive_native(self.now, packet);
            self.post(id.into(), outbox);
        }
    }

    fn post(&mut self, host: HostId, outbox: Outbox) {
        for packet in outbox.packets {
            self.send_native(&packet);
        }
        for (delay, datagram) in outbox.datagrams {
            self.schedule
                .push(self.now + delay, Event::Emit(host, datagram));
        }
    }

    fn refuse(&mut self, record: RecordNumber, refusal: Refusal) {
        self.capture.set_fate(record, Fate::Refused(refusal));
    }

    fn note_source(&mut self, record: RecordNumber, source: SocketAddrV4) {
        if let Some(record) = self.capture.get_mut(record) {
            record.public_source = source;
        }
    }

    fn note_destination(&mut self, record: RecordNumber, destination: SocketAddrV4) {
        if let Some(record) = self.capture.get_mut(record) {
            record.inner_destination = destination;
        }
    }
}
