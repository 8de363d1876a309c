//! Local client discovery (RFC 4380 §5.2.8): clients on one link find each other if their NAT does not hairpin.
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
//! It can claim to be any client behind the same NAT, because a local bubble proves nothing. So:
//!
//! - The claimed address must contain the external address of our own NAT, so nobody elsewhere on the Internet can be
//!   claimed.
//! - Neighbours have a table of their own and displace no peer. A path in use is never given up for a local bubble, and
//!   is verified where it leads already.
//! - A neighbour is asked on the link *and* by the public path, so a false claim cuts nobody off.
//! - Answers are no longer than the bubbles, and limited for each neighbour, for each address on the link and for all
//!   together.
//!
//! The remaining risk: a host on the link can impersonate a peer behind the same NAT that is not in contact yet. It
//! could do the same by answering ARP requests. Switch discovery off on links that are not trusted.

mod neighbours;

pub use neighbours::LocalSubnet;

use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use rand_core::Rng;

use super::contact::permits;
use super::{Client, Phase};
use crate::limit::RateLimit;
use crate::wire::{self, DISCOVERY, Datagram, Ipv6Packet, TeredoAddress};
use crate::{DropReason, Instant};
use neighbours::{Neighbours, Noted};

/// All nodes on the link, the destination of a local bubble (RFC 4380 §5.2.8).
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The hop limit of local bubbles (R4380-5.2.8-03).
const HOP_LIMIT: u8 = 1;
/// The range of the random time between two local bubbles (R4380-5.2.8-02).
const PERIOD: (Duration, Duration) = (Duration::from_secs(200), Duration::from_secs(300));
/// An additional local bubble comes within this time, at random, so that not all hosts of a link send at once.
const SOON: Duration = Duration::from_secs(1);
/// The least time between an additional local bubble and the bubble before it.
const SOON_SPACING: Duration = Duration::from_secs(10);

/// The state of the link and the clients on it.
#[derive(Debug)]
pub(super) struct Discovery {
    subnet: Option<LocalSubnet>,
    neighbours: Neighbours,
    /// When the next local bubble is due; meaningless without a subnet.
    next: Instant,
    last: Option<Instant>,
    /// Limits answers to local bubbles, which any host on the link can forge.
    answers: RateLimit,
}

impl Discovery {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            subnet: None,
            neighbours: Neighbours::default(),
            next: now,
            last: None,
            answers: RateLimit::new(16, Duration::from_millis(100)),
        }
    }

    /// When the next local bubble is due, while the client is in service.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.subnet.map(|_| self.next)
    }

    /// The address on the link of the client with this mapping.
    pub(super) fn endpoint(&self, now: Instant, mapping: SocketAddrV4) -> Option<SocketAddrV4> {
        self.subnet?;
        self.neighbours.endpoint(now, mapping)
    }

    /// Whether a neighbour can have this address.
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
    /// Sets the subnet in which to look for neighbours: the one that datagrams leave through. `None` if there is no
    /// such link, or if it must not be used. The caller has joined 224.0.0.253 there, and passes datagrams for that
    /// group and port 3544 to [`handle_udp`](crate::Node::handle_udp) with the group as the local address.
    ///
    /// Nothing happens while [`ClientConfig::local_discovery`](super::ClientConfig::local_discovery) is off.
    pub fn set_local_subnet(&mut self, now: Instant, subnet: Option<LocalSubnet>) {
        let subnet = subnet.filter(|subnet| self.config.local_discovery && subnet.prefix_len < 32);
        if self.discovery.subnet == subnet {
            return;
        }
        self.discovery.subnet = subnet;
        self.discovery.last = None;
        self.forget_link_paths();
        self.restart_discovery(now);
    }

    /// Forgets paths on the link: on another link, other hosts have these addresses.
    fn forget_link_paths(&mut self) {
        let policy = &self.config.destinations;
        let lost = self
            .peers
            .retain(|_, path| path.is_none_or(|path| policy.permits(path)));
        for _ in 0..lost {
            self.drops.count(DropReason::RefusedDestination);
        }
    }

    /// Starts over with a new address or on a new link: the hosts there do not know this client, and may be different
    /// ones.
    ///
    /// DEVIATION(rfc4380 §5.2.8): the first local bubble is sent at once and not after 200 s to 300 s. Two clients that
    /// have just started could not reach each other until then.
    pub(super) fn restart_discovery(&mut self, now: Instant) {
        self.discovery.neighbours.clear();
        self.announce_soon(now);
    }

    fn announce_soon(&mut self, now: Instant) {
        let earliest = self.discovery.last.map(|last| last + SOON_SPACING);
        let soon = now + self.random_part(SOON);
        let soon = earliest.map_or(soon, |earliest| earliest.max(soon));
        // A deadline from before the service began is void.
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

    /// Case 4 of RFC 4380 §5.2.3: a datagram for the discovery address (R4380-5.2.3-11, R4380-5.2.8-05 to
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
        // R4380-5.2.8-05. The last condition is R4380-5.2.8-06: a client behind another NAT is reachable without help.
        if !permits(&self.config.destinations, neighbour)
            || !self.may_be_neighbour(from)
            || neighbour.mapped.ip() != own_mapping.ip()
        {
            return Err(refused);
        }
        match self.discovery.neighbours.note(now, neighbour.mapped, from) {
            Noted::Full => return Err(DropReason::LocalBubbleLimit),
            // DEVIATION(rfc4380 §5.2.8): a client that is new on the link learns of the others at once, rather than at
            // their next local bubble.
            Noted::New => self.announce_soon(now),
            Noted::Known => {}
        }
        let Discovery {
            neighbours,
            answers,
            ..
        } = &mut self.discovery;
        if !neighbours.may_answer(now, neighbour.mapped)
            || !self.budget.allow_local_answer(now, *from.ip())
            || !answers.allow(now)
        {
            return Err(DropReason::LocalBubbleLimit);
        }
        // R4380-5.2.8-08
        let target = packet.source();
        self.outbox.udp(from, |out| {
            wire::emit_bubble(own, target, super::contact::HOP_LIMIT, out)
        });
        Ok(())
    }

    /// Takes in a datagram from an address that is not global and not a known neighbour's.
    ///
    /// The answer to a local bubble comes from such an address (R4380-5.2.8-08), since the neighbour's own local bubble
    /// follows it. It proves nothing that this bubble will not say, and is forged from beyond the link more easily, so it
    /// is expected but not used.
    pub(super) fn receive_discovery_answer(
        &self,
        now: Instant,
        from: SocketAddrV4,
        source: Option<TeredoAddress>,
        packet: &Ipv6Packet<'_>,
    ) -> Result<(), DropReason> {
        let Phase::Qualified(service) = &self.phase else {
            return Err(DropReason::NotQualified);
        };
        let behind_same_nat =
            source.is_some_and(|source| source.mapped.ip() == service.address.mapped.ip());
        if !packet.is_bubble() || !behind_same_nat || !self.may_be_neighbour(from) {
            return Err(DropReason::RefusedSource);
        }
        let asked = self.discovery.last;
        if asked.is_some_and(|at| now < at + SOON_SPACING) {
            Ok(())
        } else {
            Err(DropReason::LocalDiscovery)
        }
    }

    /// Whether `from` is another host on the link that may be sent to.
    pub(super) fn may_be_neighbour(&self, from: SocketAddrV4) -> bool {
        // L-03: the outside of the NAT may be on the link, too.
        let itself =
            matches!(&self.phase, Phase::Qualified(service) if service.address.mapped == from);
        !itself
            && self.discovery.reaches(from)
            && self.config.destinations.permits_neighbour(*from.ip())
    }

    /// The address on the link of the neighbour with this Teredo address.
    pub(super) fn neighbour(&self, now: Instant, address: TeredoAddress) -> Option<SocketAddrV4> {
        let endpoint = self.discovery.endpoint(now, address.mapped)?;
        self.may_be_neighbour(endpoint).then_some(endpoint)
    }

    /// Case 5 of RFC 4380 §5.2.3: a packet from the address that a local bubble announced.
    ///
    /// DEVIATION(rfc4380 §5.2.3): a packet from the address that a local bubble announced does not redirect a path in
    /// use. A local bubble is easily forged.
    pub(super) fn receive_from_neighbour<'a>(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        mapping: SocketAddrV4,
        datagram: &Datagram<'a>,
    ) -> Option<&'a [u8]> {
        self.discovery.neighbours.heard(mapping);
        let source = datagram.packet.source();
        let slot = self.peers.find_or_insert(now, source, Some(*from.ip()));
        self.count_evictions();
        let peer = self.peers.peer_mut(slot);
        if peer.path(now).is_none_or(|path| path == from.into()) {
            return self.accept_verified(now, slot, from.into(), datagram);
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
