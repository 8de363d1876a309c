//! Early data: an eager client sends the first packet for a peer again, directly, when the peer's NAT should have opened.
//!
//! RFC 4380 keeps packets until the peer's bubble is back (§5.2.4). The peer's NAT is open a whole way earlier:
//!
//! ```text
//!  A                         server                        B
//!    ── indirect bubble ───────>│── bubble ────────────────>   B's bubble opens its own NAT
//!    │ half a round trip later  │                           │
//!    ── the first packet ──────────────────────────────────>   and this one comes just after it
//!    <──────────────────────────────────────────── bubble ──
//!    ── all that waits ────────────────────────────────────>   the first packet for the second time
//!    <──────────────────────── the answer to the early one ──
//! ```
//!
//! It must not leave A before AS + SB − AB, if these are the delays between A, the server and B. That is half a round trip
//! to the server if B is as far from A as from the server. An early packet that comes too early is lost at most routers.
//! A Linux router with open input takes it for its own, and then maps B's bubbles to another port, which A's NAT refuses
//! (see [`opening`](super::opening)). So the last pair of a contact with early data has a random port
//! (RFC 6081 §5.4), to which such a router has no conflict.
//!
//! | early data goes | because |
//! |---|---|
//! | to peers that the host contacts, never to those that came to us | a stranger must not choose where data goes |
//! | to peers of our own server | the way through another one was not measured |
//! | from behind a NAT with one mapping | the peer believes no other source |
//! | once after the first pair, and once after the second | the first pair, or the copy, may be lost |
//! | for at most [`MOST`] contacts at a time | the memory is bounded |

use std::net::Ipv6Addr;

use super::peers::{Contact, Probe};
use super::{Client, Nat, Phase};
use crate::wire::{self, Ipv6Packet, TeredoAddress, protocol};
use crate::{IcmpError, Instant};

/// The most contacts with early data.
const MOST: usize = 64;
/// The most copies of a packet.
const COPIES: u8 = 2;

/// The contacts with early data.
#[derive(Debug, Default)]
pub(super) struct EarlyData(Vec<Early>);

/// The first packet for one peer.
#[derive(Debug)]
struct Early {
    peer: Ipv6Addr,
    /// When the next copy leaves.
    due: Option<Instant>,
    /// The copies so far.
    copies: u8,
    /// Whether the peer's router has taken one for its own.
    refused: bool,
}

impl EarlyData {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.0.iter().filter_map(|early| early.due).min()
    }

    fn of(&mut self, peer: Ipv6Addr) -> Option<&mut Early> {
        self.0.iter_mut().find(|early| early.peer == peer)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Client {
    /// A pair of bubbles of a contact has left: the first packet that waits is sent after the detour's delay.
    ///
    /// DEVIATION(rfc4380 §5.2.4): an eager client sends one packet to a peer before the peer's bubble is back, at most twice
    /// (R4380-5.2.4-06). If the packet comes in time, the program's answer takes three delays instead of five.
    pub(super) fn plan_early_data(&mut self, now: Instant, slot: u32, teredo: TeredoAddress) {
        let Some(delay) = self.detour(now, slot, teredo) else {
            return;
        };
        let (peer, due) = (self.peers.address(slot), Some(now + delay));
        if let Some(early) = self.early_data.of(peer) {
            early.due = due.filter(|_| early.copies < COPIES && !early.refused);
            return;
        }
        if self.early_data.0.len() >= MOST {
            let peers = &self.peers;
            let is_asked = |early: &Early| {
                let slot = peers.find(&early.peer);
                slot.is_some_and(|slot| peers.peer(slot).contact.is_some())
            };
            self.early_data.0.retain(is_asked);
        }
        if self.early_data.0.len() < MOST {
            self.early_data.0.push(Early {
                peer,
                due,
                copies: 0,
                refused: false,
            });
        }
    }

    /// The delay from the pair of bubbles to the early packet, if there is to be one: half a round trip, and an eighth of
    /// that for what a server and two hosts take.
    fn detour(
        &self,
        now: Instant,
        slot: u32,
        teredo: TeredoAddress,
    ) -> Option<std::time::Duration> {
        let Phase::Qualified(service) = &self.phase else {
            return None;
        };
        let peer = self.peers.peer(slot);
        let is_wanted = self.config.nat_traversal.is_eager()
            && peer.came_from().is_none()
            && peer.is_unmet(now)
            && self.nat != Nat::Symmetric
            && teredo.server == service.address.server
            && !self.shares_nat(teredo)
            && self.neighbour(now, teredo).is_none();
        let round_trip = self.round_trip.smoothed().filter(|_| is_wanted)?;
        Some(round_trip * 9 / 16)
    }

    /// Sends the copies that are due.
    pub(super) fn drive_early_data(&mut self, now: Instant) {
        while let Some(early) =
            (self.early_data.0.iter_mut()).find(|early| early.due.is_some_and(|due| due <= now))
        {
            early.due = None;
            let Some(slot) = self.peers.find(&early.peer) else {
                continue;
            };
            let peer = self.peers.peer(slot);
            let is_asked = matches!(
                peer.contact,
                Some(Contact {
                    probe: Probe::Bubbles,
                    ..
                })
            );
            if let Some(teredo) = TeredoAddress::from_ipv6(early.peer)
                && is_asked
                && peer.is_unmet(now)
                && let Some(packet) = self.peers.first_waiting(slot)
            {
                early.copies += 1;
                self.outbox
                    .udp(teredo.mapped, |out| out.extend_from_slice(packet));
            }
        }
    }

    /// Whether an early packet has come too early at a router with open input. The peer's next answer is to go to a random
    /// port.
    pub(super) fn was_too_early(&self, now: Instant, slot: u32) -> bool {
        let address = self.peers.address(slot);
        let mut all = self.early_data.0.iter();
        let is_refused = all.any(|early| early.peer == address && early.refused);
        let peer = self.peers.peer(slot);
        is_refused && peer.contact.is_some() && peer.is_unmet(now)
    }

    /// The peer's address reports that no port is open there for what we sent: that is its router, with open input. A forger
    /// gains a random port for a contact that the host began, which another forged silence would gain as well.
    pub(super) fn note_early_refusal(&mut self, now: Instant, slot: u32, error: &IcmpError<'_>) {
        let question = self.peers.first_waiting(slot).unwrap_or_default();
        let is_quoted = question.iter().zip(error.quoted).all(|(a, b)| a == b);
        let peer = self.peers.address(slot);
        let is_peer = error.reporter == *error.destination.ip();
        if let Some(early) = self.early_data.of(peer)
            && early.copies > 0
            && !early.refused
            && is_quoted
            && is_peer
        {
            early.refused = true;
            early.due = None;
            self.hurry_missed(now, slot);
        }
    }

    /// The next pair of the contact leaves now, if an early packet has done harm.
    pub(super) fn hurry_missed(&mut self, now: Instant, slot: u32) {
        if self.was_too_early(now, slot) && !self.has_random_port(slot) {
            self.peers.set_due(slot, now);
        }
    }

    /// Whether a packet for this peer has left early.
    fn has_early_data(&self, slot: u32) -> bool {
        let peer = self.peers.address(slot);
        let mut all = self.early_data.0.iter();
        all.any(|early| early.peer == peer && early.copies > 0)
    }

    /// A packet of the peer is for the host. If it answers the early one, that need not be sent again.
    pub(super) fn note_early_answer(&mut self, slot: u32, answer: &Ipv6Packet<'_>) {
        if self.has_early_data(slot)
            && let Some(question) = self.peers.first_waiting(slot)
            && Ipv6Packet::parse(question).is_ok_and(|question| is_answer(&question, answer))
        {
            self.peers.drop_first_waiting(slot);
        }
    }

    /// The contact is over.
    pub(super) fn end_early_data(&mut self, slot: u32) {
        if !self.early_data.0.is_empty() {
            let peer = self.peers.address(slot);
            self.early_data.0.retain(|early| early.peer != peer);
        }
    }
}

/// Whether one packet looks like the answer to another: the same protocol with ports exchanged, or the echo reply with the
/// request's identifier and sequence number.
fn is_answer(question: &Ipv6Packet<'_>, answer: &Ipv6Packet<'_>) -> bool {
    if question.next_header() != answer.next_header() {
        return false;
    }
    let (asked, answered) = (question.payload(), answer.payload());
    match question.next_header() {
        protocol::ICMPV6 => {
            asked.first() == Some(&wire::ECHO_REQUEST)
                && answered.first() == Some(&wire::ECHO_REPLY)
                && asked
                    .get(4..8)
                    .is_some_and(|of| answered.get(4..8) == Some(of))
        }
        protocol::TCP | protocol::UDP => {
            let ports = |payload: &[u8]| Some([payload.get(0..2)?, payload.get(2..4)?].concat());
            let exchanged =
                |payload: &[u8]| Some([payload.get(2..4)?, payload.get(0..2)?].concat());
            ports(asked).is_some() && ports(asked) == exchanged(answered)
        }
        _ => false,
    }
}
