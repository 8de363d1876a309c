//! Reception (RFC 4380 §5.4.2): what a datagram means.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use super::peers::{Key, Tick};
use super::{Relay, SWEEP, contact};
use crate::server::is_global;
use crate::wire::{self, Datagram, Ipv6Packet, TeredoAddress};
use crate::{DropReason, Instant};

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
        // Authentication and origin are between a client and its server.
        if datagram.authentication.is_some() || datagram.origin.is_some() {
            return Err(DropReason::Malformed);
        }
        if local.is_multicast() {
            return Err(DropReason::WrongDestination);
        }
        let packet = datagram.packet;
        let source = vouched(&packet, from)?;
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
        let key = Key::from(source);
        let bubble_to = packet.is_bubble().then_some(packet.destination());
        let known = self.heard(now, key, bubble_to);
        if bubble_to.is_some() {
            // Never forwarded: there was nothing in it but the sign of life (R4380-5.4.2-05).
            self.counters.bubbles_received += 1;
            return if known {
                Ok(None)
            } else {
                Err(DropReason::UnverifiedSource)
            };
        }
        self.check_served(packet.destination())?;
        // R4380-5.4-04
        if !known {
            if !self.underway.contains(key) {
                self.challenge(now, key, packet.destination())?;
            }
            return Err(DropReason::UnverifiedSource);
        }
        Ok(Some(packet.as_bytes()))
    }

    /// Notes that a client was heard from its mapping, if it is one that was sent to (R4380-5.4.2-03).
    fn heard(&mut self, now: Instant, key: Key, bubble_to: Option<Ipv6Addr>) -> bool {
        let tick = Tick::at(now);
        let waiting = self.underway.answered(key, bubble_to);
        match self.trusted.find(key, tick) {
            Some(peer) => peer.heard(tick),
            None if waiting.is_some() => {
                self.trusted.heard(key, tick);
                self.sweep.get_or_insert(now + SWEEP);
            }
            None => return false,
        }
        let mapped = TeredoAddress::from(key).mapped;
        for packet in waiting.into_iter().flatten() {
            self.counters.to_clients += 1;
            self.outbox.release(mapped, packet);
        }
        true
    }

    /// Where packets of clients may go (R4380-5.4.2-04).
    fn check_served(&self, destination: Ipv6Addr) -> Result<(), DropReason> {
        if wire::is_teredo(&destination) {
            // It would come back (L-04).
            Err(DropReason::SelfLoop)
        } else if !is_global(destination) {
            Err(DropReason::NotTunnelled)
        } else if !self.config.served.takes(destination) {
            Err(DropReason::NotServed)
        } else {
            Ok(())
        }
    }
}

/// The Teredo source of a packet that came from the mapping in it. What an echo service sends back is not from
/// there, or not from Teredo (R4380-5.4.2-02, R4380-7.4.3-02).
fn vouched(packet: &Ipv6Packet<'_>, from: SocketAddrV4) -> Result<TeredoAddress, DropReason> {
    let source = TeredoAddress::from_ipv6(packet.source()).ok_or(DropReason::SpoofedSource)?;
    if source.mapped == from {
        Ok(source)
    } else {
        Err(DropReason::MappingMismatch)
    }
}
