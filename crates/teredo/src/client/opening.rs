//! Bubbles that open our own NATs, and expire before they reach the peer's (RFC 4380 §5.2.4 case 5).
//!
//! A direct bubble that reaches the peer's router before the peer has sent anything is unsolicited there. Most routers
//! drop it. A Linux router with open input accepts it as its own, and then maps the peer's answers to another port,
//! which our NAT refuses: the two never meet (Debian bug #404365). So the time to live of direct bubbles ends behind our
//! outermost NAT and before the peer's.
//!
//! The distance of the outermost NAT is unknown at first. Routers report where a bubble has expired, and their addresses
//! tell on which side of the NAT they are:
//!
//! ```text
//!                          a router outside reports a bubble,
//!                          or a peer answers one that expires
//!  ──> ttl 2 to 8, unknown ──────────────────────────────────> ttl 2 to 8, known
//!       │    ^         ^                                           │
//!       │    │         └───────────────────────────────────────────┘
//!       │    │           a router inside reports a bubble: one further;
//!       │    │           or a peer has answered only the last one of a contact
//!       └────┘
//!       a router inside reports a bubble: one further;
//!       or a peer has answered only the last one of a contact: twice as far
//! ```
//!
//! The direct bubbles of a contact, which are 2 s apart, have these times to live. The last one always goes all the way,
//! as in RFC 4380, so a false report keeps no peer away:
//!
//! ```text
//!   bubble   ttl 2, unknown   ttl 2, known   ttl 3, known
//!   1        2                2              3
//!   2        4                2              3
//!   3        8                2              3
//!   4        the system's     the system's   the system's
//! ```
//!
//! The peer's answer is useless if the NAT is not open when it comes, and harmful if the router has open input. So a
//! bubble is sent again soon, up to twice, unless a router outside reports it. If a router inside reports it, the next
//! one leaves at once and goes one further:
//!
//! ```text
//!  client                 home router          carrier's NAT           peer's server and peer
//!     ── bubble, TTL 2 ────────────────────────────> x
//!     ── indirect bubble ──────────────────────────────────────────────────────────>
//!     <─────────────────── time exceeded, from 100.64.0.1
//!     ── bubble, TTL 3 ─────────────────────────────────> x  behind the outermost NAT
//!     <───────────────────────── time exceeded, from a public address: no more copies
//!     <───────────────────────────────────────────────────────────────── bubble ──
//! ```
//!
//! # What a forged report can do
//!
//! A report counts only if it is about a bubble that awaits its answer and quotes that bubble, if it quotes anything. It
//! causes no datagram that would not leave without it, and at most spends the copies of one attempt further away. If it
//! claims that the NAT is open, the peer is found by the last bubble of the contact. If it claims that the NAT is further
//! away than it is, bubbles go up to eight hops, less far than in RFC 4380; the forger needs a private source address
//! for this, which providers do not forward.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use super::Client;
use super::contact::HOP_LIMIT;
use super::peers::CONTACT_ATTEMPTS;
use crate::policy::is_shared;
use crate::wire::{self, TeredoAddress};
use crate::{DropReason, IcmpError, IcmpErrorKind, Instant};

/// The home router is the first hop, and the bubble expires at the second.
const NEAREST: u8 = 2;
/// Larger than the number of hops before the NAT of a carrier, and smaller than most paths between two homes.
const FARTHEST: u8 = 8;
/// How often a bubble is sent again within one attempt.
const COPIES: u8 = 2;
/// The time between them: longer than a round trip to the first router of most providers, and shorter than one to a
/// server and a peer.
const COPY_SPACING: Duration = Duration::from_millis(25);

/// The distance of our outermost NAT, as far as it was learned since the qualification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    ttl: u8,
    known: bool,
}

impl Default for Opening {
    fn default() -> Self {
        Self {
            ttl: NEAREST,
            known: false,
        }
    }
}

impl Opening {
    /// The time to live of direct bubble `number` of a contact, counted from 0; `None` for the system's default.
    pub(super) fn ttl(self, number: u8) -> Option<u8> {
        let limited = number + 1 < CONTACT_ATTEMPTS;
        let further = if self.known { 0 } else { number };
        limited.then(|| (self.ttl << further.min(2)).min(FARTHEST))
    }

    /// Whether a router outside has reported a bubble, or a peer has answered one that expires.
    pub(super) fn is_known(self) -> bool {
        self.known
    }

    /// A bubble with this time to live was behind our outermost NAT.
    fn passed(&mut self, ttl: u8) {
        if ttl >= self.ttl {
            *self = Self { ttl, known: true };
        }
    }

    /// A bubble with this time to live was not.
    fn ended_inside(&mut self, ttl: u8) {
        if ttl >= self.ttl {
            self.go_further(ttl + 1);
        }
    }

    /// A peer without a path has answered from its mapping, after so many bubbles. The last of them had this time to
    /// live, or the system's default.
    pub(super) fn answered(&mut self, bubbles: u8, ttl: Option<u8>) {
        match ttl {
            Some(ttl) => self.passed(ttl),
            // All earlier ones were lost, or did not get through our NAT.
            None if bubbles == CONTACT_ATTEMPTS && self.known => self.known = false,
            None if bubbles == CONTACT_ATTEMPTS => self.go_further(self.ttl * 2),
            // An answer to an indirect bubble.
            None => {}
        }
    }

    fn go_further(&mut self, ttl: u8) {
        *self = Self {
            ttl: ttl.min(FARTHEST),
            known: false,
        };
    }
}

/// The direct bubbles of one attempt to reach a peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpeningBubbles {
    /// The time to live of the last one.
    pub(super) ttl: u8,
    /// When it was sent.
    sent: Instant,
    /// How many more may be sent.
    left: u8,
    /// When the attempt is over.
    end: Instant,
    /// The router inside that reported the last one but one. It reports copies of that one, too.
    reporter: Option<Ipv4Addr>,
}

impl Client {
    /// An attempt to reach a peer has begun with a direct bubble of this time to live. The bubbles that a stranger
    /// provokes have no copies.
    pub(super) fn begin_opening(&mut self, now: Instant, slot: u32, ttl: u8) {
        let Some(end) = self.peers.peer(slot).contact.map(|contact| contact.due) else {
            return;
        };
        let provoked = self.peers.peer(slot).came_from().is_some();
        let opening = OpeningBubbles {
            ttl,
            sent: now,
            left: if provoked { 0 } else { COPIES },
            end,
            reporter: None,
        };
        self.set_opening(slot, opening, COPY_SPACING);
    }

    /// Sends a direct bubble again if it is time for that, and not for the next attempt.
    pub(super) fn repeat_opening(&mut self, now: Instant, slot: u32) -> bool {
        match self.peers.peer(slot).opening {
            Some(opening) if opening.left > 0 && now < opening.end => {
                self.open_again(now, slot, opening, COPY_SPACING)
            }
            _ => false,
        }
    }

    /// Sends a direct bubble, and another one after `spacing`.
    fn open_again(
        &mut self,
        now: Instant,
        slot: u32,
        mut opening: OpeningBubbles,
        spacing: Duration,
    ) -> bool {
        let Some((own, to)) = self.own_address().zip(self.mapping_of(slot)) else {
            return false;
        };
        opening.left -= 1;
        opening.sent = now;
        self.set_opening(slot, opening, spacing);
        self.push_direct_bubble(now, slot, to, Some(opening.ttl), own);
        true
    }

    fn set_opening(&mut self, slot: u32, opening: OpeningBubbles, spacing: Duration) {
        let due = match opening.left {
            0 => opening.end,
            _ => opening.end.min(opening.sent + spacing),
        };
        self.peers.set_due(slot, due);
        self.peers.peer_mut(slot).opening = Some(opening);
    }

    /// Takes in an ICMP error. Only reports of where a bubble has expired matter: other errors say nothing that the
    /// peer's silence does not say, and would let a forger end a contact.
    pub(super) fn take_icmp_error(
        &mut self,
        now: Instant,
        error: &IcmpError<'_>,
    ) -> Result<(), DropReason> {
        let Some(slot) = self.peers.awaited_from(&error.destination) else {
            return Ok(());
        };
        if error.kind == IcmpErrorKind::Other {
            self.note_early_refusal(now, slot, error);
            return Ok(());
        }
        let Some(mut opening) = self.peers.peer(slot).opening else {
            return Ok(());
        };
        // If the timer is late, so may a report be. The next attempt has bubbles of its own.
        if error.kind != IcmpErrorKind::TimeExceeded || now >= opening.end {
            return Ok(());
        }
        if !self.quotes_bubble(slot, error.quoted) {
            return Err(DropReason::IcmpMismatch);
        }
        if !is_inside(error.reporter) {
            self.opening.passed(opening.ttl);
            opening.left = 0;
            self.set_opening(slot, opening, COPY_SPACING);
        } else if opening.reporter != Some(error.reporter) {
            self.opening.ended_inside(opening.ttl);
            opening.reporter = Some(error.reporter);
            opening.ttl = (opening.ttl + 1).min(FARTHEST);
            // The next report comes from further away.
            let spacing = COPY_SPACING.max(2 * (now - opening.sent));
            if opening.left == 0 || !self.open_again(now, slot, opening, spacing) {
                self.peers.peer_mut(slot).opening = Some(opening);
            }
        }
        Ok(())
    }

    /// Whether the bytes are the first ones of a bubble to this peer. A router may quote none, and may append zeros
    /// (RFC 792, RFC 4884 §5.1).
    fn quotes_bubble(&self, slot: u32, quoted: &[u8]) -> bool {
        let Some(own) = self.own_address() else {
            return false;
        };
        let mut bubble = Vec::with_capacity(quoted.len().min(40));
        wire::emit_bubble(own, self.peers.address(slot), HOP_LIMIT, &mut bubble);
        bubble.iter().zip(quoted).all(|(a, b)| a == b)
    }

    fn mapping_of(&self, slot: u32) -> Option<SocketAddrV4> {
        TeredoAddress::from_ipv6(self.peers.address(slot)).map(|teredo| teredo.mapped)
    }
}

/// Whether a router with this address is in front of the outermost NAT: private addresses are those of homes and
/// carriers (RFC 1918, RFC 6598, RFC 3927).
fn is_inside(reporter: Ipv4Addr) -> bool {
    reporter.is_private() || is_shared(reporter) || reporter.is_link_local()
}

#[cfg(test)]
mod tests;
