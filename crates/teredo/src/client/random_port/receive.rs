//! Reception on a random port: its peer, and the server's answers to an echo test. Everything else is dropped.

use std::net::SocketAddrV4;

use crate::client::peers::Path;
use crate::client::receive::is_advertisement;
use crate::client::{Client, Phase};
use crate::wire::{Datagram, TeredoAddress};
use crate::{DropReason, Instant, Reception};

impl Client {
    /// Takes in a datagram that a random port received from `from`. It may be for the host.
    pub fn handle_random<'a>(
        &mut self,
        now: Instant,
        port: u16,
        from: SocketAddrV4,
        datagram: &'a [u8],
    ) -> Reception<'a> {
        match self.receive_random(now, port, from, datagram) {
            Ok(Some(packet)) => Reception::Deliver(packet),
            Ok(None) => Reception::Consumed,
            Err(reason) => Reception::Drop(self.drop(reason)),
        }
    }

    /// RFC 4380 §5.2.3 with RFC 6081 §5.4.4.5. The checks are those of the service port.
    fn receive_random<'a>(
        &mut self,
        now: Instant,
        number: u16,
        from: SocketAddrV4,
        bytes: &'a [u8],
    ) -> Result<Option<&'a [u8]>, DropReason> {
        let port = self.random_ports.get(number);
        let of_block = self.birthday.peer_of(number);
        let peer = port.filter(|port| port.is_open()).map(|port| port.peer);
        let peer = peer.or(of_block).ok_or(DropReason::RandomPortClosed)?;
        let datagram = Datagram::parse(bytes).map_err(|_| DropReason::Malformed)?;
        let packet = datagram.packet;
        if is_advertisement(&packet) {
            return self.echoed(now, number, from, &datagram).map(|()| None);
        }
        let Phase::Qualified(service) = &self.phase else {
            return Err(DropReason::NotQualified);
        };
        if packet.destination() != service.ipv6 {
            return Err(DropReason::WrongDestination);
        }
        // L-03
        if packet.source() == service.ipv6 || from == service.address.mapped {
            return Err(DropReason::OwnAddress);
        }
        let slot = self
            .peers
            .find(&peer)
            .filter(|_| packet.source() == peer)
            .ok_or(DropReason::RandomPortClosed)?;
        let layer = packet.upper_layer().map_err(|_| DropReason::Malformed)?;
        if layer.routing.is_some() {
            return Err(DropReason::RoutingHeader);
        }
        // R6081-5.1.2-02
        let trailers = &datagram.trailers;
        trailers.check().map_err(|_| DropReason::UnknownTrailer)?;
        let path = Path::new(Some(number), from);
        // R6081-5.4.4.5-05: the same mapping.
        if self.peers.peer(slot).is_at(Some(number), from) {
            if self.hears(now, slot, from, &packet) {
                return Ok(Some(packet.as_bytes()));
            }
            return Ok(self.accept_verified(now, slot, path, &datagram));
        }
        // R4380-GU-04, W-02
        if !self.config.destinations.permits(from) {
            return Err(DropReason::RefusedDestination);
        }
        if of_block.is_some() {
            return self.accept_birthday(now, slot, path, number, &datagram);
        }
        let embedded = TeredoAddress::from_ipv6(peer).is_some_and(|peer| peer.mapped == from);
        let begun = self.peers.peer(slot).came_from().is_none();
        if embedded && !begun && !self.links.admit(now, *from.ip()) {
            return Err(DropReason::UnverifiedSource);
        }
        if self.is_elsewhere(now, slot, path) {
            return match embedded && !packet.is_bubble() {
                true => Ok(Some(packet.as_bytes())),
                false => Err(DropReason::MappingMismatch),
            };
        }
        // DEVIATION(rfc6081 §5.4.4.5): after 30 s of silence, the nonce of our last indirect bubble proves another
        // mapping of the peer, and the random port stays; before, nothing does (R6081-5.4.4.5-05).
        if packet.is_bubble() && self.take_nonce(now, slot, trailers) {
            // R6081-5.4.4.5-04
            return Ok(self.accept_answer(now, slot, path, &datagram));
        }
        if embedded {
            return Ok(self.accept_verified(now, slot, path, &datagram));
        }
        self.ask_again(now, Some(slot));
        Err(DropReason::MappingMismatch)
    }
}
