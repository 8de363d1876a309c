//! Peers that were silent for a while (RFC 6081 §5.7): a direct question comes before one through the server.
//!
//! ```text
//!  A                                                            B, silent for 30 s
//!    ── bubble, neighbor solicitation ────────────────────────>
//!    <──────────────────────── bubble, neighbor advertisement ──
//!    ── what waited ──────────────────────────────────────────>
//! ```
//!
//! Both NATs usually keep a mapping for longer than 30 s. Then no server has work.
//!
//! DEVIATION(rfc6081 §5.7.2): the question is asked once, and after half a second the usual bubbles follow
//! (R6081-5.7.2-01). By the letter, three questions 2 s apart would delay a program by 6 s if a NAT has forgotten.

use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use super::Client;
use super::budget::Attempt;
use super::contact::HOP_LIMIT;
use super::peers::{Contact, Probe};
use crate::Instant;
use crate::wire::{self, TeredoAddress, Trailer, Trailers};

/// How long the direct question waits for its answer: more than a round trip around the world.
const PATIENCE: Duration = Duration::from_millis(500);

/// Whether a bubble asks for an advertisement.
pub(super) fn solicits(trailers: &Trailers<'_>) -> bool {
    let asks = |trailer| {
        trailer
            == Trailer::NeighborDiscovery {
                advertisement: false,
            }
    };
    trailers.iter().any(asks)
}

impl Client {
    /// Asks a Teredo peer whose path has expired, but may still be open, over that path (R6081-5.7.4.1-01). The packet waits
    /// for the answer (R6081-5.7-03). Returns whether it was asked.
    pub(super) fn ask_idle(&mut self, now: Instant, slot: u32, teredo: TeredoAddress) -> bool {
        let Some(own) = self.own_address() else {
            return false;
        };
        let peer = self.peers.peer(slot);
        let Some(to) = peer.expired_path(now).map(|path| path.to) else {
            return false;
        };
        let drawn = peer.came_from().is_some();
        // Neighbours on the link are asked by discovery, too.
        let is_allowed = self.config.nat_traversal.extends_rfc4380()
            && !self.discovery.reaches(to)
            && self
                .budget
                .allow_bubbles(now, teredo, drawn, Attempt::First);
        if !is_allowed {
            return false;
        }
        let contact = Contact {
            probe: Probe::Bubbles,
            attempts: 0,
            due: now + PATIENCE,
            withheld: false,
        };
        self.peers.set_contact(slot, contact, Some(teredo.mapped));
        self.emit_discovery(slot, to, false, own);
        true
    }

    /// Answers the question of a peer, to where it came from (R6081-5.7.4.2-01). Advertisements are not answered
    /// (R6081-5.7-02).
    pub(super) fn advertise(&mut self, now: Instant, slot: u32, to: SocketAddrV4) {
        if let Some(own) = self.own_address()
            && self.budget.allow_answer(now, *to.ip())
        {
            self.emit_discovery(slot, to, true, own);
        }
    }

    fn emit_discovery(&mut self, slot: u32, to: SocketAddrV4, advertisement: bool, own: Ipv6Addr) {
        let (target, port) = (self.peers.address(slot), self.peers.peer(slot).port_to(to));
        self.outbox.udp_via(port, to, None, |out| {
            wire::emit_bubble(own, target, HOP_LIMIT, out);
            Trailer::NeighborDiscovery { advertisement }.emit(out);
        });
    }
}
