//! Local client discovery (RFC 4380 §5.2.8): clients on one link find each other, where the NAT before them does
//! not lead one to the other.
//!
//! ```text
//!  alice                                  224.0.0.253:3544                                   bob
//!    │ local bubble, TTL 1 ══════════════════════╪═════════════════════════════════════════> │ remembers alice
//!    │ <──────────────────────────────────── unicast bubble ──────────────────────────────── │
//!    │ <═════════════════════════════════════════╪════ bob is new to alice: a local bubble ═ │
//!    │ remembers bob                                                                         │
//!    │ ──────────────────────────────────── unicast bubble ────────────────────────────────> │ trusts alice
//! ```
//!
//! # What a hostile host on the link can do
//!
//! It can claim to be any client behind the same NAT, for a local bubble proves nothing. So:
//!
//! - The own NAT's address must be in the claimed one: who is elsewhere on the Internet cannot be claimed.
//! - What a bubble says is kept apart from the list of peers and displaces none of them. A path in use is never given
//!   up for it, and is verified where it leads already.
//! - A neighbour is asked on the link *and* by the public way, so that a false claim cuts nobody off.
//! - Answers are as long as the bubbles, and limited for each neighbour and for all together.
//!
//! What is left: a peer behind the same NAT that is not in contact may be impersonated by a host that could also
//! answer ARP requests in its place. Who does not trust the link switches discovery off.

mod neighbours;

pub use neighbours::LocalSubnet;

use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use rand_core::Rng;

use super::contact::permits;
use super::{Client, Phase};
use crate::limit::RateLimit;
use crate::wire::{self, DISCOVERY, Datagram, TeredoAddress};
use crate::{DropReason, Instant};
use neighbours::{Neighbours, Noted};

/// All nodes on the link: whom a local bubble is for (RFC 4380 §5.2.8).
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Of local bubbles (R4380-5.2.8-03).
const HOP_LIMIT: u8 = 1;
/// The time between two local bubbles is drawn from this (R4380-5.2.8-02).
const PERIOD: (Duration, Duration) = (Duration::from_secs(200), Duration::from_secs(300));
/// A local bubble out of turn comes within this time, at random, so that a whole link does not speak at once,
const HASTE: Duration = Duration::from_secs(1);
/// and not sooner than this after the one before.
const OUT_OF_TURN: Duration = Duration::from_secs(10);

/// What is known of the link and the clients on it.
#[derive(Debug)]
pub(super) struct Discovery {
    subnet: Option<LocalSubnet>,
    neighbours: Neighbours,
    /// When the next local bubble is due; of no meaning without a subnet.
    next: Instant,
    last: Option<Instant>,
    /// Answers to local bubbles, which anybody on the link can forge.
    answers: RateLimit,
}

impl Discovery {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            subnet: None,
            neighbours: Neighbours::default(),
            next: now,
            last: None,
            answers: RateLimit::new(16, Duration::from_millis(100), now),
        }
    }

    /// When the next local bubble is due, for a client in service.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.subnet.map(|_| self.next)
    }

    /// Where the client with this mapping is reached on the link.
    pub(super) fn endpoint(&self, now: Instant, mapping: SocketAddrV4) -> Option<SocketAddrV4> {
        self.subnet?;
        self.neighbours.endpoint(now, mapping)
    }

    /// Whether this can be the endpoint of a neighbour.
    pub(super) fn reaches(&self, endpoint: SocketAddrV4) -> bool {
        endpoint.port() != 0
            && self
                .subnet
                .is_some_and(|subnet| subnet.has_neighbour(*endpoint.ip()))
    }

    pub(super) fn neighbours(&self) -> usize {
        self.neighbours.len()
    }
}

impl Client {
    /// Tells of the subnet that datagrams leave through, to look for neighbours in; `None` where there is no such
    /// link or it is not to be used. The caller has joined 224.0.0.253 there, and hands what comes in on port 3544
    /// to [`handle_udp`](Self::handle_udp) with that group as its local address.
    ///
    /// Nothing happens while [`ClientConfig::local_discovery`](super::ClientConfig::local_discovery) is off.
    pub fn set_local_subnet(&mut self, now: Instant, subnet: Option<LocalSubnet>) {
        let subnet = subnet.filter(|subnet| self.config.local_discovery && subnet.prefix_len < 32);
        if self.discovery.subnet == subnet {
            return;
        }
        self.discovery.subnet = subnet;
        self.discovery.last = None;
        self.leave_the_link();
        self.meet_neighbours(now);
    }

    /// On another link other hosts have the addresses that paths led to.
    fn leave_the_link(&mut self) {
        let policy = &self.config.destinations;
        let lost = self
            .peers
            .retain(|_, path| path.is_none_or(|path| policy.permits(path)));
        for _ in 0..lost {
            self.drops.count(DropReason::RefusedDestination);
        }
    }

    /// There is a new address, or a new link: whoever is there is to hear of it, and may be somebody else.
    ///
    /// DEVIATION(rfc4380 §5.2.8): the first local bubble comes at once and not after 200 s to 300 s, in which two
    /// clients that were just started could not reach each other.
    pub(super) fn meet_neighbours(&mut self, now: Instant) {
        self.discovery.neighbours.clear();
        self.announce_out_of_turn(now);
    }

    fn announce_out_of_turn(&mut self, now: Instant) {
        let earliest = self.discovery.last.map(|last| last + OUT_OF_TURN);
        let soon = now + self.random_part(HASTE);
        let soon = earliest.map_or(soon, |earliest| earliest.max(soon));
        // What was due before the service began has no meaning any more.
        if self.discovery.next <= now || soon < self.discovery.next {
            self.discovery.next = soon;
        }
    }

    pub(super) fn drive_discovery(&mut self, now: Instant) {
        if self.discovery.next_deadline().is_some_and(|at| at <= now) {
            self.announce_locally(now);
        }
    }

    /// Sends a local bubble (R4380-5.2.8-03).
    pub(super) fn announce_locally(&mut self, now: Instant) {
        let Some(own) = self.own_address() else {
            return;
        };
        let period = PERIOD.0 + self.random_part(PERIOD.1 - PERIOD.0);
        self.discovery.last = Some(now);
        self.discovery.next = now + period;
        self.outbox.udp(DISCOVERY, |out| {
            wire::emit_bubble(own, ALL_NODES, HOP_LIMIT, out)
        });
    }

    /// Case 4 of RFC 4380 §5.2.3: what came in for the discovery address (R4380-5.2.3-11, R4380-5.2.8-05 to
    /// R4380-5.2.8-09).
    pub(super) fn receive_local_bubble(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        datagram: &Datagram<'_>,
    ) -> Result<(), DropReason> {
        // R4380-5.2.8-09
        if self.discovery.subnet.is_none() {
            return Err(DropReason::LocalDiscovery);
        }
        let Phase::Qualified(service) = &self.phase else {
            return Err(DropReason::NotQualified);
        };
        let (own, own_mapping) = (service.ipv6, service.address.mapped);
        let packet = datagram.packet;
        let plain = datagram.authentication.is_none() && datagram.origin.is_none();
        if !plain || !packet.is_bubble() || packet.destination() != ALL_NODES {
            return Err(DropReason::Malformed);
        }
        let refused = DropReason::LocalBubbleRefused;
        let neighbour = TeredoAddress::from_ipv6(packet.source()).ok_or(refused)?;
        if packet.source() == own || neighbour.mapped == own_mapping {
            return Err(DropReason::OwnAddress);
        }
        // R4380-5.2.8-05. The last condition is R4380-5.2.8-06: who is not behind the same NAT is reached without help.
        if !permits(&self.config.destinations, neighbour)
            || !self.may_be_neighbour(from)
            || neighbour.mapped.ip() != own_mapping.ip()
        {
            return Err(refused);
        }
        match self.discovery.neighbours.note(now, neighbour.mapped, from) {
            Noted::Full => return Err(DropReason::LocalBubbleLimit),
            // DEVIATION(rfc4380 §5.2.8): a client that is new on the link learns of the others at once, and not
            // when the next of their local bubbles comes.
            Noted::New => self.announce_out_of_turn(now),
            Noted::Known => {}
        }
        let answers = &mut self.discovery.answers;
        if !self.discovery.neighbours.may_answer(now, neighbour.mapped) || !answers.allow(now) {
            return Err(DropReason::LocalBubbleLimit);
        }
        // R4380-5.2.8-08
        let target = packet.source();
        self.outbox.udp(from, |out| {
            wire::emit_bubble(own, target, super::contact::HOP_LIMIT, out)
        });
        Ok(())
    }

    /// Whether `from` is an address of another host on the link that datagrams may be sent to.
    pub(super) fn may_be_neighbour(&self, from: SocketAddrV4) -> bool {
        // L-03: the outside of the NAT may be on the link, too.
        let itself =
            matches!(&self.phase, Phase::Qualified(service) if service.address.mapped == from);
        !itself
            && self.discovery.reaches(from)
            && self.config.destinations.permits_neighbour(*from.ip())
    }

    /// Where the neighbour with this Teredo address is reached on the link, if it is one.
    pub(super) fn neighbour(&self, now: Instant, address: TeredoAddress) -> Option<SocketAddrV4> {
        let endpoint = self.discovery.endpoint(now, address.mapped)?;
        self.may_be_neighbour(endpoint).then_some(endpoint)
    }

    /// Case 5 of RFC 4380 §5.2.3: a packet from where a local bubble has told that the peer is.
    ///
    /// DEVIATION(rfc4380 §5.2.3): a packet from where a local bubble has told that a peer is does not redirect a
    /// path in use. A local bubble is easily forged.
    pub(super) fn receive_from_neighbour<'a>(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        mapping: SocketAddrV4,
        datagram: &Datagram<'a>,
    ) -> Option<&'a [u8]> {
        self.discovery.neighbours.heard(mapping);
        let slot = self.peers.find_or_insert(datagram.packet.source());
        self.count_evictions();
        let peer = self.peers.peer_mut(slot);
        if peer.path(now).is_none_or(|path| path == from) {
            return self.accept_verified(now, slot, from, datagram);
        }
        peer.responded();
        (!datagram.packet.is_bubble()).then_some(datagram.packet.as_bytes())
    }

    /// A random time below `longest`.
    fn random_part(&mut self, longest: Duration) -> Duration {
        let nanos = (u128::from(self.rng.next_u32()) * longest.as_nanos()) >> 32;
        Duration::from_nanos(nanos as u64)
    }
}

#[cfg(test)]
mod tests;
