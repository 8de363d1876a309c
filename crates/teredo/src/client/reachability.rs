//! Whether a peer hears us. RFC 4861 §7.3 calls this the reachability of the forward path.
//!
//! Behind most NATs, a datagram that comes in proves both directions: the peer has sent to the mapping that our own
//! datagrams leave from, and so has opened its NAT for them. A NAT that maps by destination has another mapping for each
//! peer. If it lets everything in at the advertised one, the peer's bubbles arrive there, and ours are dropped by the peer's
//! NAT:
//!
//! ```text
//!  A, mapped by destination, unfiltered                     B, behind a port-restricted NAT
//!     <───────────────────── bubble, to A's advertised mapping ──
//!     ── data, bubbles, from the mapping towards B ────────> x   B has never sent there
//! ```
//!
//! So a bubble is only half of a proof there. The data leaves at once, a copy waits, and the contact goes on until the peer
//! has shown that it hears us. Data shows it, since a peer sends none before, and so does the answer to a neighbor
//! solicitation (RFC 6081 §5.7):
//!
//! ```text
//!          a bubble                2 s: a question           2 s: no path
//!  (none) ──────────> Unconfirmed ────────────────> Asked ────────────────> Refuted ── 300 s ──> (none)
//!                          │                          │                        │
//!                          └──────────────────────────┴────────────────────────┴──> Confirmed
//!                                                         data, or an answer
//! ```
//!
//! If the bubble comes before the peer can know where to send it, our NAT is certain to let everything in, and the question
//! leaves with the data. A refuted path is none: the contact goes on with a random port (RFC 6081 §5.4) and with the question
//! again, and ends with ICMPv6 errors.
//!
//! DEVIATION(rfc6081 §5.2.4.4): behind a NAT that maps by destination, a direct bubble from a peer that has left our
//! questions unanswered makes no path for 300 s, although it comes from the mapping in the peer's address
//! (R6081-5.2.4.4-01). Otherwise a program would send for ever to a peer that hears nothing.

use super::budget::Attempt;
use super::contact::HOP_LIMIT;
use super::peers::{BUBBLE_WINDOW, BubbleCause, CONTACT_TIMEOUT, Contact, Path, Probe};
use super::{Client, Nat};
use crate::Instant;
use crate::wire::{self, Datagram, TeredoAddress, Trailer};

/// Whether a peer hears us over its path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Forward {
    /// It was heard. No question has left.
    #[default]
    Unconfirmed,
    /// A question is on its way.
    Asked,
    /// It has answered one, or sent data; or our NAT gives no reason for doubt.
    Confirmed,
    /// It has answered none since.
    Refuted(Instant),
}

/// The directions that a datagram from a peer proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// The peer sends to us.
    Reception,
    /// The same, and the peer hears us.
    BothWays,
}

impl Evidence {
    /// A peer sends data only over a path that it has heard us on, and an advertisement only as an answer.
    pub(super) fn of(datagram: &Datagram<'_>) -> Self {
        let advertises = |trailer| {
            trailer
                == Trailer::NeighborDiscovery {
                    advertisement: true,
                }
        };
        match datagram.packet.is_bubble() && !datagram.trailers.iter().any(advertises) {
            true => Self::Reception,
            false => Self::BothWays,
        }
    }
}

impl Client {
    /// Whether a bubble that came in over this path leaves open if the peer hears us.
    pub(super) fn is_doubtful(&self, now: Instant, slot: u32, path: Path) -> bool {
        let peer = self.peers.peer(slot);
        let is_known = peer.forward == Forward::Confirmed && peer.path(now) == Some(path);
        // A random port usually has one destination, and so one mapping. There is no NAT between neighbours.
        let port = path.port.map(|number| self.random_ports.get(number));
        let has_other_mapping =
            port.is_none_or(|port| port.is_some_and(|port| port.has_other_mapping(path.to)));
        self.nat == Nat::Symmetric
            && has_other_mapping
            && wire::is_teredo(&self.peers.address(slot))
            && !self.discovery.reaches(path.to)
            && !is_known
    }

    /// The peer was heard over a path that may lead one way only: sends what waits, keeps copies, and lets the contact go
    /// on.
    pub(super) fn release_ahead(&mut self, now: Instant, slot: u32, path: Path) {
        let peer = self.peers.peer(slot);
        if peer.is_refuted(now) {
            return;
        }
        let is_new = peer.path(now) != Some(path);
        let packets = self.peers.trust_ahead(now, slot, path);
        if is_new {
            self.peers.peer_mut(slot).forward = Forward::Unconfirmed;
            self.wait_for_sign(now, slot);
        }
        self.send_released(now, slot, path, packets);
    }

    /// The next question of a contact is due when the limits permit it.
    fn wait_for_sign(&mut self, now: Instant, slot: u32) {
        let peer = self.peers.peer_mut(slot);
        peer.opening = None;
        let due = peer.next_bubble(now);
        if peer.contact.is_some_and(|contact| contact.due < due) {
            self.peers.set_due(slot, due);
        }
    }

    /// The host sends over a path that the peer does not hear us on, as far as is known, and no contact is under way: begins
    /// one. A copy of the packet waits for its end.
    pub(super) fn doubt(&mut self, now: Instant, slot: u32, packet: &[u8]) {
        let peer = self.peers.peer(slot);
        if !peer.within_limit(now, BubbleCause::Ask) {
            return;
        }
        let due = peer.next_bubble(now);
        let contact = Contact {
            probe: Probe::Bubbles,
            attempts: 0,
            due,
            withheld: false,
        };
        let teredo = TeredoAddress::from_ipv6(self.peers.address(slot));
        self.peers
            .set_contact(slot, contact, teredo.map(|teredo| teredo.mapped));
        if self.peers.enqueue(now, slot, packet) {
            self.peers.peer_mut(slot).sent_ahead = true;
        }
        self.count_evictions();
        self.drive_contacts(now);
    }

    /// The next step of a contact with a path that the peer does not hear us on, as far as is known. Returns whether that was
    /// a question; if not, the contact goes on without the path.
    pub(super) fn ask_whether_heard(&mut self, now: Instant, slot: u32, contact: Contact) -> bool {
        let peer = self.peers.peer_mut(slot);
        if peer.path(now).is_none() || contact.probe != Probe::Bubbles {
            return false;
        }
        match peer.forward {
            // The peer's bubble was the direct response that RFC 4380 §5.2.6 counts, so only the spacing limits this one.
            Forward::Unconfirmed if peer.next_bubble(now) > now => {
                let due = peer.next_bubble(now);
                self.peers.set_due(slot, due);
                true
            }
            Forward::Unconfirmed => {
                let next = Contact {
                    attempts: contact.attempts + 1,
                    due: now + CONTACT_TIMEOUT,
                    ..contact
                };
                peer.bubble_sent(now, BubbleCause::Ask);
                let teredo = TeredoAddress::from_ipv6(self.peers.address(slot));
                self.peers
                    .set_contact(slot, next, teredo.map(|teredo| teredo.mapped));
                self.push_question(now, slot);
                true
            }
            Forward::Asked => {
                self.peers.refute(now, slot);
                false
            }
            Forward::Confirmed | Forward::Refuted(_) => false,
        }
    }

    /// Sends a neighbor solicitation to where the peer was heard last, as long as it has shown no sign that it hears us. The
    /// nonce makes it believe the mapping that this comes from.
    pub(super) fn push_question(&mut self, now: Instant, slot: u32) {
        let (Some(own), Some(teredo)) = (
            self.own_address(),
            TeredoAddress::from_ipv6(self.peers.address(slot)),
        ) else {
            return;
        };
        let peer = self.peers.peer_mut(slot);
        if peer.forward == Forward::Unconfirmed {
            peer.forward = Forward::Asked;
        }
        let drawn = peer.came_from().is_some();
        let (to, port) = peer
            .proven
            .map_or((teredo.mapped, None), |path| (path.to, path.port));
        if !self
            .budget
            .allow_bubbles(now, teredo, drawn, Attempt::Repetition)
        {
            return;
        }
        // See `push_direct_bubble`.
        let nonce = match self.answers_from_random_port(now, slot) {
            true => None,
            false => self.peers.peer_mut(slot).nonces.repeat(true),
        };
        let target = self.peers.address(slot);
        self.outbox.udp_via(port, to, None, |out| {
            wire::emit_bubble(own, target, HOP_LIMIT, out);
            if let Some(nonce) = nonce {
                Trailer::Nonce(nonce).emit(out);
            }
            Trailer::NeighborDiscovery {
                advertisement: false,
            }
            .emit(out);
        });
    }
}

impl super::peers::Peer {
    /// Whether the peer has left the questions unanswered that followed its bubbles.
    pub(super) fn is_refuted(&self, now: Instant) -> bool {
        matches!(self.forward, Forward::Refuted(at) if now - at < BUBBLE_WINDOW)
    }
}
