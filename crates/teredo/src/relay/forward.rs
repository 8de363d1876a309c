//! Both directions through the relay: what a datagram means (RFC 4380 §5.4.2), and where a packet from the IPv6
//! Internet goes (§5.4.1).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use super::admission::networks_of;
use super::peers::{Key, Tick};
use super::{Relay, RelayConfig, SWEEP, contact};
use crate::wire::{self, Datagram, Ipv6Packet, MTU, TeredoAddress};
use crate::{DropReason, Instant, Submission};

/// A trusted client was heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Whether its path is offered.
    is_offered: bool,
}

impl Relay {
    pub(super) fn receive<'a>(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        local: Ipv4Addr,
        bytes: &'a [u8],
    ) -> Result<Option<&'a [u8]>, DropReason> {
        // R4380-5.4.2-01
        let datagram = Datagram::parse(bytes).map_err(|_| DropReason::Malformed)?;
        // Authentication and origin are used between a client and its server only.
        if datagram.authentication.is_some() || datagram.origin.is_some() {
            return Err(DropReason::Malformed);
        }
        if local.is_multicast() {
            return Err(DropReason::WrongDestination);
        }
        let packet = datagram.packet;
        // R4380-5.4.2-02, R4380-7.4.3-02: the replies of an echo service have no Teredo source, or come from elsewhere.
        let source = TeredoAddress::from_ipv6(packet.source()).ok_or(DropReason::SpoofedSource)?;
        let key = Key::from(source);
        let is_there = source.mapped == from;
        // A client that has proven another mapping, and was heard there, is not at the one in its address until it proves
        // that in the same way: a forged source must not cut it off.
        let elsewhere = self.elsewhere.find(key);
        let is_known = match elsewhere {
            Some(mapping) if self.trusted.find(key, Tick::at(now)).is_some() => from == mapping,
            Some(mapping) => from == mapping || is_there,
            None => is_there,
        };
        if !is_known && !packet.is_bubble() {
            return Err(DropReason::MappingMismatch);
        }
        contact::check(&self.config, source).map_err(|reason| match reason {
            DropReason::RefusedDestination => DropReason::RefusedSource,
            other => other,
        })?;
        let layer = packet.upper_layer().map_err(|_| DropReason::Malformed)?;
        // W-01
        if layer.routing.is_some() {
            return Err(DropReason::RoutingHeader);
        }
        datagram
            .trailers
            .check()
            .map_err(|_| DropReason::UnknownTrailer)?;
        let bubble_to = packet.is_bubble().then_some(packet.destination());
        if !is_known {
            return self.met_elsewhere(now, key, from, bubble_to).map(|()| None);
        }
        let known = self.heard(now, key, bubble_to, from);
        if known.is_some() && elsewhere == Some(from) {
            self.elsewhere.heard(key);
        }
        if bubble_to.is_some() {
            // Never forwarded: a bubble is a sign of life and nothing else (R4380-5.4.2-05).
            self.counters.bubbles_received += 1;
            return match known {
                Some(_) => Ok(None),
                None => Err(DropReason::UnverifiedSource),
            };
        }
        self.check_served(packet.destination())?;
        // R4380-5.4-04. Its packets wait: a client that comes from another relay of the same address loses none.
        let Some(Known { is_offered }) = known else {
            if !self.underway.contains(key) {
                self.challenge(now, key, packet.destination())?;
                self.count_evictions();
            }
            return match self.underway.hold(key, packet.as_bytes()) {
                true => Ok(None),
                false => Err(DropReason::UnverifiedSource),
            };
        };
        if self.trusted.lacks_offer(is_offered) {
            self.offer_path(now, key);
        }
        Ok(Some(packet.as_bytes()))
    }

    /// Records that a client was heard from its mapping, if it was sent to (R4380-5.4.2-03).
    pub(super) fn heard(
        &mut self,
        now: Instant,
        key: Key,
        bubble_to: Option<Ipv6Addr>,
        from: SocketAddrV4,
    ) -> Option<Known> {
        let tick = Tick::at(now);
        let answered = self.underway.answered(key, bubble_to);
        let known = match self.trusted.find(key, tick) {
            Some(peer) => {
                peer.heard(tick);
                let is_offered = peer.is_offered();
                Known { is_offered }
            }
            None if answered.is_some() => {
                self.trusted.heard(key, tick);
                self.sweep.get_or_insert(now + SWEEP);
                Known { is_offered: false }
            }
            None => return None,
        };
        let Some(answered) = answered else {
            return Some(known);
        };
        if answered.proves_path {
            self.give_back(key, &answered);
            if from == TeredoAddress::from(key).mapped {
                let trusted = &mut self.trusted;
                self.elsewhere
                    .forget(key, &mut |moved| trusted.withdraw(moved));
            }
        }
        for packet in answered.waiting {
            self.counters.to_clients += 1;
            self.outbox.release(from, packet);
        }
        for packet in answered.held {
            self.counters.to_native += 1;
            self.outbox.release_to_host(packet);
        }
        Some(known)
    }

    /// Offers the path of a trusted client that a packet has just taken, unless the client is being asked.
    #[cold]
    #[inline(never)]
    fn offer_path(&mut self, now: Instant, key: Key) {
        if !self.underway.contains(key) {
            let mapping = self.elsewhere.find(key);
            let remote = mapping.unwrap_or_else(|| TeredoAddress::from(key).mapped);
            self.trusted.offer(key, Tick::at(now), remote);
        }
    }

    /// Checks the destination of a client's packet (R4380-5.4.2-04).
    fn check_served(&self, destination: Ipv6Addr) -> Result<(), DropReason> {
        if wire::is_teredo(&destination) {
            // It would come back (L-04).
            Err(DropReason::SelfLoop)
        } else if !wire::is_global(destination) {
            Err(DropReason::NotTunnelled)
        } else if !self
            .config
            .served
            .takes(&self.config.destinations, destination)
        {
            Err(DropReason::NotServed)
        } else {
            Ok(())
        }
    }
}

/// The age in seconds at which an entry in use is verified again, while packets still flow. One-way traffic would
/// otherwise stop every 30 s.
const STALE: u32 = 20;

impl Relay {
    pub(super) fn submit(&mut self, now: Instant, bytes: &[u8]) -> Result<Submission, DropReason> {
        let packet = Ipv6Packet::parse(bytes).map_err(|_| DropReason::Malformed)?;
        // R4380-5.4.1-01
        let target =
            TeredoAddress::from_ipv6(packet.destination()).ok_or(DropReason::NotTunnelled)?;
        self.check_source(packet.source())?;
        if bytes.len() > MTU {
            self.report(now, bytes, |from, to, out| {
                wire::emit_packet_too_big(from, to, MTU as u32, bytes, out)
            });
            return Err(DropReason::TooBig);
        }
        let (key, tick) = (Key::from(target), Tick::at(now));
        // Case 1 (R4380-5.4.1-03).
        if let Some(peer) = self.trusted.find(key, tick) {
            peer.sent(tick);
            let is_offered = peer.is_offered();
            if peer.is_silent_for(STALE, tick) {
                if !self.underway.contains(key) {
                    // If this fails, the entry expires as usual.
                    let _ = self.contact(now, key, packet.source());
                }
            } else if self.trusted.lacks_offer(is_offered) {
                self.offer_path(now, key);
            }
            self.counters.to_clients += 1;
            let mapping = self.elsewhere.find(key);
            return Ok(Submission::Send(mapping.unwrap_or(target.mapped)));
        }
        // Case 3, even if the cone bit calls for case 2 (R4380-5.4.1-10, R5991-3.2-02).
        contact::check(&self.config, target)?;
        if !self.underway.contains(key) {
            self.contact(now, key, packet.source())?;
        }
        let fits = self.underway.enqueue(key, packet.source(), bytes);
        self.count_evictions();
        if fits {
            Ok(Submission::Queued)
        } else {
            Err(DropReason::QueueFull)
        }
    }

    /// Checks that the source of a packet from the IPv6 Internet is native and can be answered (L-04).
    fn check_source(&self, source: Ipv6Addr) -> Result<(), DropReason> {
        if wire::is_teredo(&source) {
            Err(DropReason::SpoofedSource)
        } else if !wire::is_global(source) {
            Err(DropReason::NotTunnelled)
        } else {
            let RelayConfig {
                served,
                destinations,
                ..
            } = &self.config;
            served.gives(destinations, source)
        }
    }

    /// Sends an ICMPv6 error about a packet to its sender, as far as RFC 4443 §2.4 permits.
    pub(super) fn report(
        &mut self,
        now: Instant,
        packet: &[u8],
        emit: impl FnOnce(Ipv6Addr, Ipv6Addr, &mut Vec<u8>) -> bool,
    ) {
        let Some(own) = self.config.error_source else {
            return;
        };
        let Ok(about) = Ipv6Packet::parse(packet) else {
            return;
        };
        if !wire::may_be_answered_with_error(packet) {
            return;
        }
        let claim = self.icmpv6_errors.claim((), networks_of(about.source()));
        if self.icmpv6_errors.allow(now, claim) {
            self.outbox.host(|out| emit(own, about.source(), out));
        }
    }
}
