//! RFC 6081: random ports, and bubbles that depend on nonces.

use std::net::{Ipv6Addr, SocketAddrV4};

use teredo::client::State;
use teredo::wire::{Datagram, PORT, TeredoAddress};

use super::{BUBBLE_LIMIT, BUBBLE_WINDOW, Model, Sent, nonce_of, parse};

impl Model {
    /// A datagram for a random port is about to be passed to the client.
    pub fn hears_random(&mut self, port: u16, from: SocketAddrV4, bytes: &[u8]) {
        self.random.hears(port, from);
        self.hears(from, bytes);
        self.asks = None;
    }

    /// The nonce of the last indirect bubble to this peer.
    pub fn nonce_to(&self, peer: Ipv6Addr) -> Option<[u8; 4]> {
        self.peers.get(&peer)?.sent
    }

    /// A packet of the host leaves unchanged from a random port.
    pub fn submitted_from(&mut self, port: u16, to: SocketAddrV4, packet: &[u8]) {
        self.submitted(to, packet);
        let entry = self.random.sends(port, parse(packet).destination());
        assert!(entry.heard.contains(&to), "nothing came in there");
    }

    /// From a random port: solicitations of an echo test, bubbles to the peer's port, and what waited for the path.
    pub(super) fn sent_from(&mut self, port: u16, to: SocketAddrV4, bytes: &[u8], sent: &mut Sent) {
        assert_eq!(self.state(), State::Qualified, "R4380-5.2-04");
        self.check_destination(to);
        let datagram = Datagram::parse(bytes).expect("what is sent is a datagram");
        let packet = datagram.packet;
        if datagram.authentication.is_some() {
            let server = self.server.expect("it came with the address");
            assert!([server.primary, server.secondary].contains(to.ip()));
            let asked = self.check_solicitation(to, &datagram);
            return self.random.asks(port, asked);
        }
        assert_eq!(packet.source(), self.own_address());
        let target = packet.destination();
        let teredo = TeredoAddress::from_ipv6(target).expect("a Teredo peer");
        let entry = self.random.sends(port, target);
        let was_heard = entry.heard.contains(&to);
        if packet.is_bubble() {
            let peer = self.peers.entry(target).or_default();
            let is_named = to.ip() == teredo.mapped.ip() && peer.ports.contains(&to.port());
            assert!(was_heard || is_named || to == teredo.mapped);
            let nonce = nonce_of(&datagram.trailers);
            assert!(
                nonce.is_none() || nonce == peer.received,
                "R6081-5.2.4.2-02"
            );
            return;
        }
        assert!(was_heard, "nothing came in there");
        self.check_data(to, &packet);
        self.released(&packet, sent);
    }

    /// Once all bubbles of a call are known. Under RFC 6081, direct bubbles come with and
    /// without indirect ones, which may follow later.
    pub(super) fn check_extended(&mut self, sent: &Sent) {
        for (address, to) in &sent.bubbles {
            let Some(teredo) = TeredoAddress::from_ipv6(*address) else {
                assert_eq!(to.len(), 1);
                continue;
            };
            let server = SocketAddrV4::new(teredo.server, PORT);
            // A peer may claim its server's port as its mapping.
            if teredo.mapped == server {
                assert!(to.len() <= 10);
                continue;
            }
            let indirect = to.iter().filter(|to| **to == server).count();
            assert!(indirect <= 2 && to.len() - indirect <= 8);
            for to in to.iter().filter(|to| **to != server) {
                let peer = self.peers.get(address);
                let is_port = to.ip() == teredo.mapped.ip()
                    && peer.is_some_and(|peer| peer.ports.contains(&to.port()));
                if !is_port && !self.alternates.contains(to) {
                    self.check_path(*address, teredo.mapped, *to);
                }
            }
            let peer = self.peers.entry(*address).or_default();
            peer.asked.retain(|at| self.now - *at < BUBBLE_WINDOW);
            peer.asked.extend((0..indirect).map(|_| self.now));
            // The questions of the host, and those back to a peer that asks.
            assert!(peer.asked.len() <= 2 * BUBBLE_LIMIT, "R4380-5.2.6-05");
        }
    }
}
