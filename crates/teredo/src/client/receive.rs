//! Reception (RFC 4380 §5.2.3): what a datagram means, case by case.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::discovery::ALL_NODES;
use super::hairpin::alternates_of;
use super::idle::solicits;
use super::peers::{Contact, Path, Probe};
use super::random_port::random_port_of;
use super::reachability::Evidence;
use super::send::is_carried;
use super::traversal::nonce_of;
use super::{Client, Phase};
use crate::wire::{self, Datagram, Icmpv6, Ipv6Packet, TeredoAddress, protocol};
use crate::{DropReason, Instant};

impl Client {
    /// The checks of every datagram (R4380-5.2.3-01, R4380-5.2.3-02).
    pub(super) fn receive<'a>(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        local: Ipv4Addr,
        bytes: &'a [u8],
    ) -> Result<Option<&'a [u8]>, DropReason> {
        let datagram = Datagram::parse(bytes).map_err(|_| DropReason::Malformed)?;
        let packet = datagram.packet;
        if local.is_multicast() {
            return self
                .receive_local_bubble(now, from, &datagram)
                .map(|()| None);
        }
        if is_advertisement(&packet) {
            return self
                .receive_advertisement(now, from, &datagram)
                .map(|()| None);
        }
        let Phase::Qualified(service) = &self.phase else {
            return Err(DropReason::NotQualified);
        };
        let (own, own_mapping) = (service.ipv6, service.address.mapped);
        let from_server = from == service.server_socket();
        // R4380-5.2.3-03
        if packet.destination() != own {
            // R4380-5.2.8-04: a unicast one can come from beyond the link.
            if packet.destination() == ALL_NODES && packet.is_bubble() {
                return Err(DropReason::LocalDiscovery);
            }
            return Err(DropReason::WrongDestination);
        }
        // L-03: the node's own packets come back only through a loop.
        if packet.source() == own || from == own_mapping {
            return Err(DropReason::OwnAddress);
        }
        if packet.source().is_multicast()
            || packet.source().is_loopback()
            || packet.source().is_unspecified()
        {
            return Err(DropReason::Malformed);
        }
        // R4380-7.1-01: no link-local communication, not even Neighbor Discovery. Relays and `miredo` send bubbles this
        // way.
        if !is_carried(packet.source()) && !packet.is_bubble() {
            return Err(DropReason::NotTunnelled);
        }
        let layer = packet.upper_layer().map_err(|_| DropReason::Malformed)?;
        // R6169-2.3-01, W-01
        if layer.routing.is_some() {
            return Err(DropReason::RoutingHeader);
        }
        // R6081-5.1.2-02
        datagram
            .trailers
            .check()
            .map_err(|_| DropReason::UnknownTrailer)?;
        if from_server {
            return self.receive_from_server(now, from, &datagram);
        }
        self.receive_direct(now, from, &datagram)
    }

    fn receive_advertisement(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        datagram: &Datagram<'_>,
    ) -> Result<(), DropReason> {
        match &self.phase {
            Phase::Starting { .. } => self.advertised(now, from, datagram),
            Phase::Qualified(service)
                if service.standby.is_some() && from != service.server_socket() =>
            {
                self.advertised(now, from, datagram)
            }
            _ => self.refreshed(now, from, datagram),
        }
    }

    /// Takes in what the server forwarded: bubbles of peers and relays, and ICMPv6. All of it shows that the server is
    /// alive (R4380-5.2.3-04), and an origin is the address to answer (R4380-5.2.3-05).
    fn receive_from_server<'a>(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        datagram: &Datagram<'a>,
    ) -> Result<Option<&'a [u8]>, DropReason> {
        self.heard_server(now);
        let packet = datagram.packet;
        if packet.is_bubble() {
            let nonce = nonce_of(&datagram.trailers);
            let origin = datagram.origin.map(|origin| origin.0);
            let alternates = alternates_of(&datagram.trailers);
            let random_port = random_port_of(&datagram.trailers);
            let source = packet.source();
            let wants_burst = self.is_asked_for_burst(now, source, origin, &datagram.trailers);
            self.answer_bubble(now, source, origin, nonce, alternates, random_port)?;
            if wants_burst {
                self.begin_burst(now, source);
            }
            return Ok(None);
        }
        // Not forwarded: the server is also the relay (§5.3.1).
        let Some(origin) = datagram.origin else {
            return self.receive_direct(now, from, datagram);
        };
        // Only a sign of life: a packet that the server forwards does not prove the path to its sender.
        self.meet(now, packet.source(), *origin.0.ip());
        Ok(Some(packet.as_bytes()))
    }

    /// Takes in what came over the IPv4 Internet, from a peer, a relay or a stranger.
    fn receive_direct<'a>(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        datagram: &Datagram<'a>,
    ) -> Result<Option<&'a [u8]>, DropReason> {
        let packet = datagram.packet;
        let source = packet.source();
        let entry = self.peers.find(&source);
        let known = entry.filter(|&slot| self.peers.peer(slot).is_at(None, from));
        // Case 1: the path of a trusted peer (R4380-5.2.3-06).
        if let Some(slot) = known
            && self.hears(now, slot, from, &packet)
        {
            return Ok(Some(packet.as_bytes()));
        }
        let teredo = TeredoAddress::from_ipv6(source);
        let neighbour = teredo.filter(|&teredo| self.neighbour(now, teredo) == Some(from));
        // A peer behind our own NAT, at the address that only an answer to our indirect bubble comes from
        // (R6081-5.6.4.3-01).
        let is_alternate = packet.is_bubble()
            && teredo.is_some_and(|teredo| self.shares_nat(teredo))
            && entry.is_some_and(|slot| self.has_nonce(now, slot, &datagram.trailers))
            && self.may_be_alternate(from);
        // R4380-GU-04, W-02: the host would send to this address. A known path was checked before, and the address of a
        // neighbour need not be global.
        if known.is_none()
            && neighbour.is_none()
            && !is_alternate
            && !self.config.destinations.permits(from)
        {
            return self
                .receive_discovery_answer(now, from, teredo, &packet)
                .map(|()| None);
        }
        // Case 2: the answer to a connectivity test (R4380-5.2.3-07, R4380-5.2.9-05). Other echo replies from a trusted
        // relay are for the host.
        if let Some(slot) = entry.filter(|&slot| is_echo_reply(&packet) && self.is_tested(slot)) {
            match self.check_echo_reply(slot, &packet) {
                Ok(()) => {
                    self.budget.prove(now, *from.ip());
                    self.release(now, slot, from.into(), Evidence::BothWays);
                    return Ok(None);
                }
                Err(reason) if known.is_none() => return Err(reason),
                Err(_) => {}
            }
        }
        if let Some(slot) = known {
            return Ok(self.accept_verified(now, slot, from.into(), datagram));
        }
        // A conversation that the host began has an answer wherever its peer is.
        let begun = entry.is_some_and(|slot| self.peers.peer(slot).came_from().is_none());
        let vouched = teredo.is_some_and(|teredo| teredo.mapped == from) || neighbour.is_some();
        if vouched && !begun && !self.links.admit(now, *from.ip()) {
            return Err(DropReason::UnverifiedSource);
        }
        let is_elsewhere = entry.is_some_and(|slot| self.is_elsewhere(now, slot, from.into()));
        match teredo {
            // Data is delivered, because the outer source confirms the inner one, and moves nothing.
            Some(teredo) if teredo.mapped == from && is_elsewhere => {
                Ok(Some(packet.as_bytes()).filter(|_| !packet.is_bubble()))
            }
            // Case 3: the outer source confirms the inner one (R4380-5.2.3-09, R6081-5.2.4.4-01, A-23).
            Some(teredo) if teredo.mapped == from => {
                let slot = self.peers.find_or_insert(now, source, Some(*from.ip()));
                self.count_evictions();
                if packet.is_bubble() && self.take_nonce(now, slot, &datagram.trailers) {
                    Ok(self.accept_answer(now, slot, from.into(), datagram))
                } else {
                    Ok(self.accept_verified(now, slot, from.into(), datagram))
                }
            }
            // Case 5: a local bubble announced this address (R4380-5.2.3-12).
            Some(teredo) if neighbour.is_some() && !is_alternate => {
                Ok(self.receive_from_neighbour(now, from, teredo.mapped, datagram))
            }
            // RFC 6081 §5.2.4.4: a peer behind a symmetric NAT is elsewhere, and has our nonce (R6081-5.2.4.4-02).
            Some(_) if packet.is_bubble() && !is_elsewhere => {
                let slot = entry.filter(|&slot| self.take_nonce(now, slot, &datagram.trailers));
                let Some(slot) = slot else {
                    self.ask_again(now, entry);
                    return Err(DropReason::MappingMismatch);
                };
                // R6081-5.2.4.4-04
                Ok(self.accept_answer(now, slot, from.into(), datagram))
            }
            // Case 6 for a Teredo source: no test can verify it, and an honest peer sends from its mapping
            // (R6169-2.2-01).
            Some(_) => {
                self.ask_again(now, entry);
                Err(DropReason::MappingMismatch)
            }
            None if source.is_unicast_link_local() => {
                self.receive_link_local(now, from, &packet).map(|()| None)
            }
            // Case 6: be generous in what is accepted and careful in what is sent (R4380-5.2.3-13, R4380-5.2.3-15).
            None => {
                if packet.is_bubble() {
                    return Err(DropReason::UnverifiedSource);
                }
                self.meet(now, source, *from.ip());
                Ok(Some(packet.as_bytes()))
            }
        }
    }

    /// Whether the peer was heard within the validity of its path, which is not the other one, and not over the link.
    ///
    /// DEVIATION(rfc6081 §5.2.4.4): neither the mapping in the address nor a nonce moves such a path (R6081-5.2.4.4-01,
    /// R6081-5.2.4.4-02). A peer that has moved is asked after 30 s of silence (R6081-5.4.4.5-02).
    pub(super) fn is_elsewhere(&self, now: Instant, slot: u32, other: Path) -> bool {
        let path = self.peers.peer(slot).confirmed_path(now);
        path.is_some_and(|path| {
            (path.from, path.port) != (other.from, other.port) && !self.discovery.reaches(path.to)
        })
    }

    /// Whether a packet is the host's at once, since it comes over the path of a trusted peer that is not being asked.
    pub(super) fn hears(
        &mut self,
        now: Instant,
        slot: u32,
        from: SocketAddrV4,
        packet: &Ipv6Packet<'_>,
    ) -> bool {
        let mut peer = self.peers.in_use(slot);
        if peer.contact.is_some() || packet.is_bubble() {
            return false;
        }
        let lacks_offer = peer.lacks_offer(now);
        peer.heard(now, packet.as_bytes().len());
        if peer.came_from().is_some() {
            self.links.heard(now, *from.ip());
        }
        self.peers.touch(slot);
        if lacks_offer && self.peers.reports_paths() {
            self.offer_path(now, slot);
        }
        true
    }

    /// The same as [`accept_verified`](Self::accept_verified) of a bubble with our nonce, and the peer is greeted if it waits
    /// for that.
    pub(super) fn accept_answer<'a>(
        &mut self,
        now: Instant,
        slot: u32,
        path: Path,
        datagram: &Datagram<'a>,
    ) -> Option<&'a [u8]> {
        let is_awaited = self.awaits_greeting(now, slot);
        let delivered = self.accept_verified(now, slot, path, datagram);
        if is_awaited {
            self.greet_back(now, slot);
        }
        delivered
    }

    /// The peer is proven to be at the datagram's source: release what waits, consume bubbles, deliver the rest
    /// (R4380-5.2.3-10).
    pub(super) fn accept_verified<'a>(
        &mut self,
        now: Instant,
        slot: u32,
        path: Path,
        datagram: &Datagram<'a>,
    ) -> Option<&'a [u8]> {
        let path = self.through_gateway(slot, path);
        if datagram.packet.is_bubble() && self.is_unintroduced(now, slot, path.from) {
            let is_refuted = self.is_doubtful(now, slot, path);
            let is_refuted = is_refuted && self.peers.peer(slot).is_refuted(now);
            if !is_refuted {
                self.peers.peer_mut(slot).half_path = Some(path);
            }
            return None;
        }
        self.note_early_answer(slot, &datagram.packet);
        self.release(now, slot, path, Evidence::of(datagram));
        if datagram.packet.is_bubble() {
            if solicits(&datagram.trailers) {
                self.advertise(now, slot, path.to);
            }
            return None;
        }
        let peer = self.peers.peer_mut(slot);
        peer.spoke();
        peer.traffic.received(datagram.packet.as_bytes().len());
        Some(datagram.packet.as_bytes())
    }

    /// A datagram has come in over this path: sends what waits, and ends the contact, unless the datagram leaves open if the
    /// peer hears us.
    pub(super) fn release(&mut self, now: Instant, slot: u32, path: Path, evidence: Evidence) {
        self.learn_from_answer(now, slot, path.from);
        if evidence == Evidence::Reception && self.is_doubtful(now, slot, path) {
            return self.release_ahead(now, slot, path);
        }
        self.settle_random_port(now, slot, path);
        self.end_early_data(slot);
        let waiting = self.peers.verify(now, slot, path);
        self.send_released(now, slot, path, waiting);
    }

    fn learn_from_answer(&mut self, now: Instant, slot: u32, mapping: SocketAddrV4) {
        let peer = self.peers.peer(slot);
        // An existing path, or one on the link, says nothing about our own NAT.
        if let Some(Contact {
            probe: Probe::Bubbles,
            attempts,
            ..
        }) = peer.contact
            && peer.path(now).is_none()
            && self.peers.awaited_from(&mapping) == Some(slot)
        {
            self.opening.answered(attempts, peer.last_ttl());
        }
        // A stranger can forge the answer to bubbles that its own packet provoked.
        let peer = self.peers.peer(slot);
        if peer.contact.is_some() && peer.came_from().is_none() {
            self.budget.prove(now, *mapping.ip());
        }
    }

    /// Sends packets that have waited for a path.
    pub(super) fn send_released(
        &mut self,
        now: Instant,
        slot: u32,
        path: Path,
        waiting: impl IntoIterator<Item = Vec<u8>>,
    ) {
        let (mut packets, mut bytes) = (0, 0);
        for packet in waiting {
            packets += 1;
            bytes += packet.len() as u64;
            self.outbox.release_from(path.port, path.to, packet);
        }
        if packets > 0 {
            if let Some(port) = path.port {
                self.random_ports.data_sent(now, port);
            }
            self.peers.in_use(slot).sent(now, packets, bytes);
        }
    }

    /// Checks that a reply has the nonce of the test under way (R4380-5.2.3-08, W-05).
    fn check_echo_reply(&self, slot: u32, packet: &Ipv6Packet<'_>) -> Result<(), DropReason> {
        match Icmpv6::parse(packet) {
            Ok(Icmpv6::EchoReply { data, .. }) if self.nonce_matches(slot, data) => Ok(()),
            Ok(_) => Err(DropReason::WrongNonce),
            Err(_) => Err(DropReason::InvalidIcmpv6),
        }
    }

    /// Takes in a direct bubble from a link-local address.
    ///
    /// DEVIATION(rfc4380 §5.2.3): a direct bubble from a link-local address counts as a bubble of the peer that is
    /// being asked at that mapping, and is answered. `miredo` uses such bubbles, with an identifier that only it can
    /// check, and trusts any host that returns it. As in case 3, the outer source is the proof.
    ///
    /// Such bubbles arrive if both ask at once or our NAT is open.
    fn receive_link_local(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        packet: &Ipv6Packet<'_>,
    ) -> Result<(), DropReason> {
        let own = self.own_address().ok_or(DropReason::NotQualified)?;
        let token = packet.source();
        let Some(slot) = self.peers.awaited_from(&from) else {
            return self.answer_relay(now, from, token);
        };
        self.outbox.udp(from, |out| {
            wire::emit_bubble(own, token, super::contact::HOP_LIMIT, out)
        });
        self.release(now, slot, from.into(), Evidence::Reception);
        Ok(())
    }

    pub(super) fn own_address(&self) -> Option<std::net::Ipv6Addr> {
        match &self.phase {
            Phase::Qualified(service) => Some(service.ipv6),
            _ => None,
        }
    }
}

pub(super) fn is_advertisement(packet: &Ipv6Packet<'_>) -> bool {
    packet.next_header() == protocol::ICMPV6
        && packet.payload().first() == Some(&wire::ROUTER_ADVERTISEMENT)
}

fn is_echo_reply(packet: &Ipv6Packet<'_>) -> bool {
    packet.next_header() == protocol::ICMPV6 && packet.payload().first() == Some(&wire::ECHO_REPLY)
}
