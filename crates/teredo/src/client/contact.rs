//! Locating a peer: bubbles (RFC 4380 §5.2.6) and the direct IPv6 connectivity test (§5.2.9).
//!
//! Timers repeat both, rather than further packets of the application: one lost bubble must not lose a flow.

use super::budget::Attempt;
use super::peers::{BubbleCause, CONTACT_ATTEMPTS, CONTACT_TIMEOUT, Contact, Probe};
use super::{Client, Nat, Phase};
use crate::policy::DestinationPolicy;
use crate::wire::{self, AlternateAddresses, PORT, TeredoAddress};
use crate::{DropReason, Instant};
use rand_core::Rng;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

/// The hop limit of bubbles and echo requests; nothing depends on it.
pub(super) const HOP_LIMIT: u8 = 255;

impl Client {
    /// Starts to verify the path to `address`, for which the host has a packet, unless a verification is under way.
    #[inline(never)]
    pub(super) fn contact(&mut self, now: Instant, address: Ipv6Addr) -> Result<u32, DropReason> {
        if let Some(slot) = self.peers.find(&address)
            && self.peers.peer(slot).contact.is_some()
        {
            self.peers.renew_contact(slot);
            return Ok(slot);
        }
        let teredo = TeredoAddress::from_ipv6(address);
        if let Some(teredo) = teredo {
            self.check_target(teredo)?;
        }
        // R4380-5.2.6-02
        let slot = self.peers.find_or_insert(now, address, None);
        self.count_evictions();
        self.peers.touch(slot);
        if let Some(teredo) = teredo
            && self.ask_idle(now, slot, teredo)
        {
            return Ok(slot);
        }
        let probe = match teredo {
            Some(_) if !self.peers.peer(slot).within_limit(now, BubbleCause::Ask) => {
                return Err(DropReason::PeerUnreachable);
            }
            Some(_) => Probe::Bubbles,
            None => self.new_test(),
        };
        let contact = Contact {
            probe,
            attempts: 0,
            due: now,
            withheld: true,
        };
        self.peers
            .set_contact(slot, contact, teredo.map(|t| t.mapped));
        self.advance_contact(now, slot);
        Ok(slot)
    }

    /// Remembers a stranger whose packet came from this outer address, and tests it once if it is a native host and
    /// the limits permit it (W-04). The packet itself is the host's in any case: a flood of other strangers must not
    /// cost an honest one its first packet. If the host answers, its packet waits for a test.
    pub(super) fn meet(&mut self, now: Instant, source: Ipv6Addr, outer: Ipv4Addr) {
        if let Some(slot) = self.peers.find(&source) {
            self.meet_again(now, slot, outer);
            return;
        }
        let slot = self.peers.find_or_insert(now, source, Some(outer));
        self.count_evictions();
        self.peers.peer_mut(slot).spoke();
        if !wire::is_teredo(&source) && self.budget.allow_test(now, source, outer, Attempt::First) {
            let contact = Contact {
                probe: self.new_test(),
                attempts: CONTACT_ATTEMPTS,
                due: now + CONTACT_TIMEOUT,
                withheld: false,
            };
            self.peers.set_contact(slot, contact, None);
            self.test_with_echo(now, slot, contact.probe, 0);
        }
    }

    /// A forged packet may have brought the entry of a stranger, so the entry counts for the address of the last one.
    /// Only an address that has answered is not displaced by one that has not.
    fn meet_again(&mut self, now: Instant, slot: u32, outer: Ipv4Addr) {
        let peer = self.peers.peer_mut(slot);
        peer.spoke();
        let pathless = peer.path(now).is_none();
        if let Some(counted) = peer.came_from()
            && pathless
            && (self.budget.is_proven(now, outer) || !self.budget.is_proven(now, counted))
        {
            self.peers.attribute(now, slot, outer);
            self.count_evictions();
        }
    }

    /// A test with a fresh nonce (R4380-5.2.9-02, W-05).
    fn new_test(&mut self) -> Probe {
        let mut nonce = [0; 16];
        self.rng.fill_bytes(&mut nonce);
        Probe::Echo { nonce }
    }

    /// Repeats what is due, and gives up peers that were asked often enough.
    pub(super) fn drive_contacts(&mut self, now: Instant) {
        while let Some(slot) = self.peers.due(now) {
            self.advance_contact(now, slot);
        }
    }

    /// Sends the next bubble or echo request of a contact, or gives the peer up (R4380-5.2.4-03, R4380-5.2.4-06).
    fn advance_contact(&mut self, now: Instant, slot: u32) {
        if self.repeat_opening(now, slot) {
            return;
        }
        let Some(contact) = self.peers.peer(slot).contact else {
            return;
        };
        if self.ask_whether_heard(now, slot, contact) {
            return;
        }
        let Contact {
            probe,
            attempts,
            withheld,
            ..
        } = contact;
        if self.repeats_early(slot) && self.awaits_random_port(slot) {
            let due = now + self.contact_pause(slot, probe, attempts);
            self.peers.set_due(slot, due);
            return;
        }
        let exhausted = match probe {
            Probe::Bubbles => !self.peers.peer(slot).within_limit(now, BubbleCause::Ask),
            Probe::Echo { .. } => false,
        };
        if attempts >= CONTACT_ATTEMPTS || exhausted {
            // A bubble or test beyond the limits counts as lost on the way.
            let reason = match probe {
                Probe::Bubbles if withheld => DropReason::BubbleLimit,
                Probe::Echo { .. } if withheld => DropReason::TestLimit,
                _ => DropReason::PeerUnreachable,
            };
            self.give_up(now, slot, reason);
            return;
        }
        let address = self.peers.address(slot);
        let expected = TeredoAddress::from_ipv6(address).map(|teredo| teredo.mapped);
        let next = Contact {
            probe,
            attempts: attempts + 1,
            due: now + self.contact_pause(slot, probe, attempts + 1),
            withheld,
        };
        self.peers.set_contact(slot, next, expected);
        let permitted = match probe {
            Probe::Bubbles => self.ask_with_bubbles(now, slot, attempts),
            Probe::Echo { .. } => {
                let outer = self.peers.peer(slot).came_from();
                let permitted = outer.is_none_or(|outer| {
                    self.budget
                        .allow_test(now, address, outer, attempt_after(attempts))
                });
                if permitted {
                    self.test_with_echo(now, slot, probe, attempts);
                }
                permitted
            }
        };
        if permitted && let Some(contact) = &mut self.peers.peer_mut(slot).contact {
            contact.withheld = false;
        }
    }

    /// The direct bubble opens our own NAT (R4380-5.2.6-01). The indirect one goes to the peer's server, and makes the
    /// peer open its NAT (R4380-5.2.6-03, R4380-MS-01). The pair is one event. `number` counts the events of
    /// this contact, from 0. Returns whether the limits for the two addresses permit it.
    ///
    /// DEVIATION(rfc4380 §5.2.4): all direct bubbles to a silent peer but the last expire on the way, just behind our own
    /// NAT (R4380-5.2.4-06, see [`opening`](super::opening)). If one reached a Linux router with open input before the
    /// peer has sent anything, the two would stay apart.
    ///
    /// DEVIATION(rfc4380 §5.2.6): such a bubble is sent up to three times within 50 ms, unless a router behind our NAT
    /// reports it. The pair still counts as one event: only the indirect bubble gets near the peer (R4380-5.2.6-04).
    fn ask_with_bubbles(&mut self, now: Instant, slot: u32, number: u8) -> bool {
        let (Some(own), Some(teredo)) = (
            self.own_address(),
            TeredoAddress::from_ipv6(self.peers.address(slot)),
        ) else {
            return false;
        };
        let is_early = number > 0 && self.repeats_early(slot);
        if !is_early && !self.peers.peer(slot).may_bubble(now, BubbleCause::Ask) {
            return true;
        }
        // What a server forwarded proves no path, and the peer chose the address of its server.
        let drawn = self.peers.peer(slot).came_from().is_some();
        if !self
            .budget
            .allow_bubbles(now, teredo, drawn, attempt_after(number))
        {
            return false;
        }
        self.peers.peer_mut(slot).bubble_sent(now, BubbleCause::Ask);
        let on_the_link = self.on_the_link(now, slot, teredo);
        self.retire_random_port(now, slot);
        let peer = self.peers.peer(slot);
        let path = peer.path(now).map(|path| path.to);
        // Then the peer's NAT is open, and one with a symmetric NAT waits for the bubble.
        let ttl = match path {
            None if !peer.has_asked(now) => self.opening.ttl(number),
            _ => None,
        };
        if let Some(ttl) = ttl {
            self.peers.peer_mut(slot).cut_short();
            self.begin_opening(now, slot, ttl);
        }
        // A peer behind a symmetric NAT is not at the mapping in its address.
        let elsewhere = path.filter(|path| on_the_link != Some(*path));
        if let Some(to) = on_the_link {
            self.push_direct_bubble(now, slot, to, None, own);
        }
        self.push_direct_bubble(now, slot, elsewhere.unwrap_or(teredo.mapped), ttl, own);
        self.answer_from_random_port(now, slot, teredo);
        self.ask_through_server(now, slot, teredo, own);
        if self.peers.peer(slot).is_refuted(now) {
            self.push_question(now, slot);
        }
        if on_the_link.is_some() {
            self.announce_locally(now);
        }
        self.plan_early_data(now, slot, teredo);
        true
    }

    /// The peer's address on the link, if it is a neighbour (R4380-5.2.4-04): the end of the path in use if that is on
    /// the link, else the address from its local bubble.
    ///
    /// DEVIATION(rfc4380 §5.2.4): a peer on the link is also asked by the public path, as in case 5. Otherwise a forged
    /// or outdated local bubble would cut the peer off.
    fn on_the_link(&self, now: Instant, slot: u32, target: TeredoAddress) -> Option<SocketAddrV4> {
        match self.peers.peer(slot).path(now) {
            Some(path) => self.discovery.reaches(path.to).then_some(path.to),
            None => self.neighbour(now, target),
        }
    }

    /// Sends an echo request through our own server (R4380-5.2.9-01, R4380-MS-01).
    fn test_with_echo(&mut self, now: Instant, slot: u32, probe: Probe, sequence: u8) {
        let (Phase::Qualified(service), Probe::Echo { nonce }) = (&mut self.phase, probe) else {
            return;
        };
        service.spoken = now;
        let (own, server) = (service.ipv6, service.server_socket());
        let target = self.peers.address(slot);
        let identifier = u16::from_be_bytes([nonce[0], nonce[1]]);
        self.peers.peer_mut(slot).sent(now);
        self.outbox.udp(server, |out| {
            wire::emit_echo_request(
                own,
                target,
                HOP_LIMIT,
                identifier,
                sequence.into(),
                &nonce,
                out,
            );
        });
    }

    /// Answers every packet that waited in vain with an ICMPv6 error (R4380-5.2.4-11).
    fn give_up(&mut self, now: Instant, slot: u32, reason: DropReason) {
        self.peers.end_contact(slot);
        // A peer that asks much later is somewhere else, perhaps.
        self.peers.peer_mut(slot).half_path = None;
        self.end_early_data(slot);
        self.abandon_random_port(now, slot);
        for packet in self.peers.take_queue(slot) {
            self.drop(reason);
            self.report_unreachable(now, wire::unreachable::ADDRESS, &packet);
        }
    }

    /// Sends *destination unreachable* with this code to the program that sent `packet`.
    pub(super) fn report_unreachable(&mut self, now: Instant, code: u8, packet: &[u8]) {
        let Some(own) = self.own_address() else {
            return;
        };
        if wire::may_be_answered_with_error(packet) && self.icmpv6_errors.allow(now) {
            self.outbox
                .host(|out| wire::emit_unreachable(own, own, code, packet, out));
        }
    }

    /// Answers a bubble that the server forwarded. The answer opens our own NAT for the sender, even a cone NAT
    /// (R4380-5.2.3-05, R4380-5.2.3-14, R5991-3.2-05).
    pub(super) fn answer_bubble(
        &mut self,
        now: Instant,
        source: Ipv6Addr,
        origin: Option<SocketAddrV4>,
        nonce: Option<[u8; 4]>,
        alternates: Option<AlternateAddresses>,
        random_port: Option<u16>,
    ) -> Result<(), DropReason> {
        let Phase::Qualified(service) = &self.phase else {
            return Err(DropReason::NotQualified);
        };
        let (own, own_mapping) = (service.ipv6, service.address.mapped);
        // A Teredo peer is at the mapping in its address; a peer of the same server can forge the origin as easily as
        // the address. Relays and `miredo` are known by the origin alone.
        let teredo = TeredoAddress::from_ipv6(source);
        let to = match teredo {
            Some(teredo) => {
                self.check_target(teredo)?;
                teredo.mapped
            }
            None => origin.ok_or(DropReason::UnverifiedSource)?,
        };
        // L-03: a forged origin could make the answer come back through a hairpin.
        if to == own_mapping {
            return Err(DropReason::OwnAddress);
        }
        // R4380-GU-04
        if !self.config.destinations.permits(to) {
            return Err(DropReason::RefusedDestination);
        }
        let known = self.peers.find(&source);
        if let Some(slot) = known {
            self.peers.peer_mut(slot).nonces.receive(now, nonce);
        }
        let known = known.map(|slot| self.peers.peer(slot));
        let path = known.and_then(|peer| peer.path(now).or(peer.half_path));
        let to = path.map_or(to, |path| path.to);
        // R4380-7.4-01, W-03
        if known.is_some_and(|peer| !peer.may_answer(now, *to.ip())) {
            return Err(DropReason::BubbleLimit);
        }
        // The host's own contacts are few. The others can be invented, and so can their origins.
        let begun = known.is_some_and(|peer| peer.came_from().is_none());
        if !begun && !self.budget.allow_answer(now, *to.ip()) {
            return Err(DropReason::BubbleLimit);
        }
        let slot = self.peers.find_or_insert(now, source, Some(*to.ip()));
        self.count_evictions();
        let peer = self.peers.peer_mut(slot);
        peer.answer_sent(now, *to.ip());
        peer.nonces.receive(now, nonce);
        self.peers.touch(slot);
        self.learn_peer_port(now, slot, random_port);
        self.push_direct_bubble(now, slot, to, None, own);
        match teredo {
            Some(teredo) => {
                if let Some(alternates) = alternates {
                    self.try_alternates(now, slot, teredo, alternates);
                }
                self.answer_from_random_port(now, slot, teredo);
                // A random port of our own is opened by the question, and announced with it. Without one, our router is
                // open before the answer to the question comes (RFC 6081 §6.4 has the other order).
                let has_own = self.needs_random_ports();
                if !has_own {
                    self.bubble_to_random_port(now, slot, teredo);
                }
                self.ask_back(now, slot, teredo);
                if has_own {
                    self.bubble_to_random_port(now, slot, teredo);
                }
                self.hurry_missed(now, slot);
                self.introduced(now, slot);
            }
            None if self.nat == Nat::Symmetric => self.answered_relays.note(now, to),
            None => {}
        }
        Ok(())
    }

    /// Neither the mapping nor the server in a Teredo address may be a refused destination (R4380-5.2.4-07,
    /// R4380-5.2.4-08, R4380-5.2.4-09, R4380-7.4.3-01), or this client itself (L-03).
    pub(super) fn check_target(&self, target: TeredoAddress) -> Result<(), DropReason> {
        let Phase::Qualified(service) = &self.phase else {
            return Err(DropReason::NotQualified);
        };
        if [target.mapped, server_of(target)].contains(&service.address.mapped) {
            return Err(DropReason::OwnAddress);
        }
        if permits(&self.config.destinations, target) {
            Ok(())
        } else {
            Err(DropReason::RefusedDestination)
        }
    }

    /// Whether an echo request to the peer awaits its reply.
    pub(super) fn is_tested(&self, slot: u32) -> bool {
        matches!(
            self.peers.peer(slot).contact,
            Some(Contact {
                probe: Probe::Echo { .. },
                ..
            })
        )
    }

    pub(super) fn nonce_matches(&self, slot: u32, data: &[u8]) -> bool {
        matches!(self.peers.peer(slot).contact, Some(Contact { probe: Probe::Echo { nonce }, .. }) if data == nonce)
    }

    pub(super) fn count_evictions(&mut self) {
        for _ in 0..self.peers.take_evicted_packets() {
            self.drop(DropReason::QueueFull);
        }
    }
}

/// Whether bubbles for this peer may go to both its mapping and its server (RFC 4380 §5.2.4).
pub(super) fn permits(policy: &DestinationPolicy, target: TeredoAddress) -> bool {
    policy.permits(target.mapped) && policy.permits(server_of(target))
}

fn attempt_after(attempts: u8) -> Attempt {
    match attempts {
        0 => Attempt::First,
        _ => Attempt::Repetition,
    }
}

pub(super) fn server_of(target: TeredoAddress) -> SocketAddrV4 {
    SocketAddrV4::new(target.server, PORT)
}
