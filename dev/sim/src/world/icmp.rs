//! The way of an ICMP error back to the source of a datagram.
//!
//! It takes the links and NATs of that way, but no time to live: an error is never about an error (RFC 1122 §3.2.2).

use std::net::Ipv4Addr;

use super::{Event, NatId, Network, Owner, World};
use crate::datagram::Datagram;
use crate::host::HostId;
use crate::icmp::{IcmpError, IcmpKind};
use crate::link::{Direction, Passage};

impl World {
    /// A router or host of `network` sends an ICMP error to the source of a datagram, as that network knows it.
    pub(super) fn report(
        &mut self,
        network: Network,
        reporter: Ipv4Addr,
        kind: IcmpKind,
        datagram: &Datagram,
    ) {
        // RFC 1122 §3.2.2
        if !self.mute && !datagram.destination.ip().is_multicast() {
            let error = IcmpError::about(kind, reporter, datagram);
            self.schedule
                .push(self.now, Event::Error(network, Box::new(error)));
        }
    }

    /// Sends an ICMP error from anywhere in `network`, as a forger does: NATs on its way translate the source back if
    /// they know it.
    pub fn inject_error(&mut self, network: impl Into<Network>, error: IcmpError) {
        self.schedule
            .push(self.now, Event::Error(network.into(), Box::new(error)));
    }

    pub(super) fn route_error(&mut self, network: Network, error: Box<IcmpError>) {
        let to = *error.source.ip();
        if self.silent.contains(&to) {
            return;
        }
        match (self.owner(network, to), network) {
            (Some(Owner::Host(host)), _) => {
                let Some(attachment) = self.attachments.get_mut(host) else {
                    return;
                };
                let link = &mut attachment.link;
                let passage = link.carry(self.now, Direction::Down, IcmpError::SIZE);
                self.travel_error(passage, Event::ErrorArrives(host, error));
            }
            (Some(Owner::Nat(nat)), _) => {
                let link = &mut self.routers[nat.0].link;
                let passage = link.carry(self.now, Direction::Down, IcmpError::SIZE);
                self.travel_error(passage, Event::ErrorInbound(nat, error));
            }
            (None, Network::Behind(nat)) => self.error_outbound(nat, error),
            // The source was spoofed, or a router's own address.
            (Some(Owner::Gateway), _) | (None, Network::Internet) => {}
        }
    }

    /// An error about a datagram that came from outside: its destination is inside, and its source is not.
    fn error_outbound(&mut self, id: NatId, mut error: Box<IcmpError>) {
        let router = &mut self.routers[id.0];
        let (now, outside) = (self.now, router.outside);
        let Some(external) = router
            .nat
            .error_outbound(now, error.destination, error.source)
        else {
            return;
        };
        let passage = router.link.carry(now, Direction::Up, IcmpError::SIZE);
        // The outside cannot know the addresses inside (RFC 5508 §4.2).
        error.reporter = *external.ip();
        error.destination = external;
        self.travel_error(passage, Event::Error(outside, error));
    }

    pub(super) fn error_inbound(&mut self, id: NatId, mut error: Box<IcmpError>) {
        let nat = &self.routers[id.0].nat;
        if !nat.behaviour().icmp_errors {
            return;
        }
        if let Some(inside) = nat.error_inbound(self.now, error.source, error.destination) {
            error.source = inside;
            self.route_error(id.into(), error);
        }
    }

    pub(super) fn error_arrives(&mut self, host: HostId, error: IcmpError) {
        self.capture.note_error(self.now, host, error);
        match host {
            HostId::Client(id) => {
                let actions = self.clients[id.0].receive_error(self.now, error);
                self.act(host, actions);
            }
            // Neither has a use for them.
            HostId::Server(_) | HostId::Relay(_) => {}
            HostId::Raw(id) => {
                let outbox = self.raw[id.0].receive_error(self.now, error);
                self.post(host, outbox);
            }
        }
    }

    fn travel_error(&mut self, passage: Passage, next: Event) {
        if let Passage::Arrives { at, .. } = passage {
            self.schedule.push(at, next);
        }
    }
}
