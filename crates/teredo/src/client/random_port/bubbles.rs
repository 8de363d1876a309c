//! Direct bubbles to and from random ports (RFC 6081 §5.4.4.3, §5.4.4.4).

use std::net::SocketAddrV4;

use super::Stage;
use crate::Instant;
use crate::client::Client;
use crate::client::contact::HOP_LIMIT;
use crate::wire::{self, TeredoAddress, Trailer};

impl Client {
    /// Takes in the port that a peer has announced (R6081-5.4.4.4-01).
    ///
    /// DEVIATION(rfc6081 §5.4.4.4): another port counts at once while there is no path (R6081-5.4.4.4-03); on a path, it
    /// never does (R6081-5.4.4.4-02). The RFC waits for 30 s from the last bubble, so a peer whose port was taken or whose
    /// echo test failed could not try a second one. A random port of ours that has sent to the earlier port is of no more
    /// use.
    pub(in crate::client) fn learn_peer_port(
        &mut self,
        now: Instant,
        slot: u32,
        announced: Option<u16>,
    ) {
        let Some(announced) = announced.filter(|_| self.config.nat_traversal.extends_rfc4380())
        else {
            return;
        };
        let peer = self.peers.peer_mut(slot);
        if peer.random_port == Some(announced) || peer.path(now).is_some() {
            return;
        }
        let earlier = peer.random_port.replace(announced);
        if earlier.is_some()
            && let Some(port) = self.random_ports.of(self.peers.address(slot))
            && port.first.is_some()
        {
            self.close_random_port(port.number);
        }
    }

    /// Sends a direct bubble from our random port to a peer without a path, if that has asked through its server and the
    /// port was announced (R6081-5.4.4.3-01).
    pub(in crate::client) fn answer_from_random_port(
        &mut self,
        now: Instant,
        slot: u32,
        teredo: TeredoAddress,
    ) {
        let Some(port) = self.random_ports.of(self.peers.address(slot)) else {
            return;
        };
        let (number, peer) = (port.number, self.peers.peer(slot));
        if matches!(port.stage, Stage::Announced { .. })
            && peer.is_unmet(now)
            && peer.nonces.has_received(now)
            && (self.answers_from_random_port(now, slot)
                || self.allows_second_bubble(now, slot, teredo))
        {
            self.bubble_from_random_port(now, slot, number);
        }
    }

    /// Whether [`Self::answer_from_random_port`] sends a bubble that arrives.
    pub(in crate::client) fn answers_from_random_port(&self, now: Instant, slot: u32) -> bool {
        let port = self.random_ports.of(self.peers.address(slot));
        let peer = self.peers.peer(slot);
        peer.is_unmet(now)
            && port.is_some_and(|port| port.external().is_some() && port.is_awaited(now, peer))
    }

    /// Whether a bubble may follow the one from the service port. A peer that began chose the address that gets both, so
    /// each counts for that address (R4380-7.4-01).
    fn allows_second_bubble(&mut self, now: Instant, slot: u32, teredo: TeredoAddress) -> bool {
        let begun = self.peers.peer(slot).came_from().is_none();
        begun || self.budget.allow_answer(now, *teredo.mapped.ip())
    }

    /// The same from the service port, without a random port of our own.
    ///
    /// DEVIATION(rfc6081 §5.4.4.3): such a bubble comes from any client. By the letter, only one behind a
    /// port-preserving symmetric NAT sends it, and nobody would use the port of §6.4.
    pub(in crate::client) fn bubble_to_random_port(
        &mut self,
        now: Instant,
        slot: u32,
        teredo: TeredoAddress,
    ) {
        let Some(own) = self.own_address() else {
            return;
        };
        let peer = self.peers.peer(slot);
        if self.random_ports.of(self.peers.address(slot)).is_none()
            && let Some(port) = peer.random_port
            && peer.is_unmet(now)
            && port != teredo.mapped.port()
            && self.allows_second_bubble(now, slot, teredo)
        {
            let to = SocketAddrV4::new(*teredo.mapped.ip(), port);
            self.push_direct_bubble(now, slot, to, None, own);
        }
    }

    /// Appends a direct bubble from a random port to the peer's, or to the mapping in the peer's address. If the peer answers
    /// our question, or has a symmetric NAT as well, it has opened its NAT; otherwise the bubble only opens our own, and is
    /// cut short.
    pub(in crate::client) fn bubble_from_random_port(
        &mut self,
        now: Instant,
        slot: u32,
        number: u16,
    ) {
        let target = self.peers.address(slot);
        let (Some(own), Some(teredo), Some(port)) = (
            self.own_address(),
            TeredoAddress::from_ipv6(target),
            self.random_ports.get_mut(number),
        ) else {
            return;
        };
        let external = port.external();
        let peer = self.peers.peer_mut(slot);
        let ttl = match port.is_awaited(now, peer) {
            true => None,
            false => self.opening.ttl(port.announced.saturating_sub(1)),
        };
        let nonce = peer.nonces.repeat(ttl.is_none());
        let mapped = teredo.mapped;
        let to = peer
            .random_port
            .map_or(mapped, |port| SocketAddrV4::new(*mapped.ip(), port));
        port.first.get_or_insert(to);
        self.outbox.udp_via(Some(number), to, ttl, |out| {
            wire::emit_bubble(own, target, HOP_LIMIT, out);
            if let Some(nonce) = nonce {
                Trailer::Nonce(nonce).emit(out);
            }
            if let Some(external) = external {
                Trailer::RandomPort(external).emit(out);
            }
        });
    }
}
