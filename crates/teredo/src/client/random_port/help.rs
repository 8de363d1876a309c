//! Random ports whose external port is a mere guess: a block of ports helps them (see
//! [`birthday`](crate::client::birthday)).

use std::net::Ipv6Addr;
use std::time::Duration;

use super::{LIFETIME, RandomPort, Stage};
use crate::Instant;
use crate::client::Client;
use crate::client::birthday::ORDINARY;
use crate::wire::TeredoAddress;

impl Client {
    /// How long the ordinary contact has: through the server to the peer, and through the peer's question to the answer with
    /// its nonce (RFC 6081 §6.1), and a round trip for their differences.
    pub(super) fn ordinary_time(&self) -> Duration {
        let measured = self.round_trip.smoothed().unwrap_or_default();
        ORDINARY.max(measured * 4)
    }

    /// Whether the peer was asked while a random port waited for it whose external port is a mere guess.
    pub(in crate::client) fn has_asked_in_vain(&self, now: Instant, slot: u32) -> bool {
        let port = self.random_ports.of(self.peers.address(slot));
        port.is_some_and(|port| {
            let is_random = matches!(port.stage, Stage::Announced { random: true, .. });
            is_random
                && port
                    .asked
                    .is_some_and(|at| now - at >= self.ordinary_time())
        })
    }

    /// A block of ports helps a random port that meets nobody, once the peer has answered.
    pub(super) fn help(&mut self, now: Instant, number: u16, peer: Ipv6Addr) {
        let slot = self.peers.find(&peer);
        let peer_state = slot.map(|slot| self.peers.peer(slot));
        let is_answered = peer_state.is_none_or(|peer| peer.nonces.has_received(now));
        if is_answered {
            return self.begin_birthday_with(now, peer);
        }
        let ordinary = self.ordinary_time();
        if let Some(port) = self.random_ports.get_mut(number) {
            port.helped = Some(now + ordinary).filter(|at| *at < port.expires);
        }
    }

    /// A port that is open already becomes the random port of a peer, in place of an earlier one. Returns whether there is
    /// room for it.
    pub(in crate::client) fn keep_random_port(
        &mut self,
        now: Instant,
        slot: u32,
        number: u16,
    ) -> bool {
        let address = self.peers.address(slot);
        let Some(teredo) = TeredoAddress::from_ipv6(address) else {
            return false;
        };
        if let Some(earlier) = self.random_ports.of(address) {
            self.close_random_port(earlier.number);
        }
        let drawn = self.peers.peer(slot).came_from().is_some();
        if !self.make_room_for_port(now, teredo, drawn) {
            return false;
        }
        self.random_ports.ports.push(RandomPort {
            number,
            peer: address,
            stage: Stage::Announced {
                external: None,
                random: true,
                doubtful: false,
            },
            owes: false,
            announced: 0,
            first: Some(teredo.mapped),
            met: false,
            expires: now + LIFETIME,
            asked: None,
            helped: None,
            data_sent: None,
            refreshes: 0,
        });
        true
    }
}
