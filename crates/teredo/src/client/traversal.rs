//! Symmetric NATs (RFC 6081 §5.2): nonces relate a direct bubble to the indirect one that it answers.
//!
//! A symmetric NAT gives each destination another mapping, so the one in the Teredo address is good for the server alone.
//! The receiver of a direct bubble from elsewhere can tell a peer from a stranger by the nonce that the peer has received
//! through its own server:
//!
//! ```text
//!  A, behind a symmetric NAT                            B, behind a restricted one (RFC 6081 §6.1)
//!     ── bubble ───────────────────────────────────────> x      B's NAT does not know A
//!     ── indirect bubble, nonce 1 ──> B's server ──────>        B remembers nonce 1
//!     x  <───────────────────────────── bubble, nonce 1 ──      to the mapping in A's address
//!     <────── A's server <──────── indirect bubble, nonce 2 ──  A remembers nonce 2
//!     ── bubble, nonce 2 ──────────────────────────────>        from a mapping that B has never seen, with its nonce
//!     <─────────────────────────────── bubble, nonce 1 ──       to that mapping: both are trusted
//! ```
//!
//! The last bubble is the answer to the one before. In the RFC's example B sends it when A has asked again, 2 s later.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddrV4};
use std::str::FromStr;
use std::time::Duration;

use rand_core::Rng as _;

use super::budget::Attempt;
use super::budget::places::{Entry, Places};
use super::contact::{HOP_LIMIT, server_of};
use super::reachability::Evidence;
use super::{Client, Nat, Phase};
use crate::slots::SipKeys;
use crate::wire::{self, TeredoAddress, Trailer, Trailers};
use crate::{DropReason, Instant};

/// How a client gets through NATs.
///
/// ```
/// use teredo::client::NatTraversal;
///
/// assert_eq!("rfc4380".parse(), Ok(NatTraversal::Rfc4380));
/// assert_eq!(NatTraversal::default().to_string(), "rfc6081");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NatTraversal {
    /// By RFC 4380 alone: a client behind a symmetric NAT has no address (R4380-5.2.1-11).
    Rfc4380,
    /// With the extensions of RFC 6081.
    #[default]
    Rfc6081,
    /// Beyond the letter of both: sooner, and through more NATs, for more datagrams.
    Eager,
}

impl NatTraversal {
    /// All ways.
    pub const ALL: [Self; 3] = [Self::Rfc4380, Self::Rfc6081, Self::Eager];

    /// The name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rfc4380 => "rfc4380",
            Self::Rfc6081 => "rfc6081",
            Self::Eager => "eager",
        }
    }

    /// Whether the extensions are on: nonces, and with them an address behind a symmetric NAT; local addresses; direct
    /// questions to idle peers.
    pub(super) const fn extends_rfc4380(self) -> bool {
        !matches!(self, Self::Rfc4380)
    }

    /// Whether the client goes beyond the letter.
    pub(super) const fn is_eager(self) -> bool {
        matches!(self, Self::Eager)
    }
}

impl fmt::Display for NatTraversal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no way through NATs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no way through NATs: expected rfc4380, rfc6081 or eager")]
pub struct ParseNatTraversalError(String);

impl FromStr for NatTraversal {
    type Err = ParseNatTraversalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|way| way.name() == text)
            .ok_or_else(|| ParseNatTraversalError(text.to_owned()))
    }
}

/// The least time between two indirect bubbles to a peer that did not begin with one of the host's packets
/// (R4380-5.2.6-04).
pub(super) const SPACING: Duration = Duration::from_secs(2);

/// The nonces of one peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Nonces {
    /// That of our last indirect bubble. It is good for one answer, within [`Self::LIFETIME`], so that an eavesdropper
    /// cannot use it later.
    sent: Option<[u8; 4]>,
    /// That of the one before, if the client is eager: that one may be under way still.
    earlier: Option<[u8; 4]>,
    /// That of the peer's last indirect bubble.
    received: Option<[u8; 4]>,
    /// When the peer's last indirect bubble came.
    heard: Option<Instant>,
    /// Whether `received` was answered.
    answered: bool,
    /// When our last indirect bubble was sent.
    asked: Option<Instant>,
    /// That of the indirect bubble before. The peer may not have had the last one when it sent its own.
    sent_before: Option<[u8; 4]>,
    /// When it was wanted: it may have waited for a random port.
    wanted: Option<Instant>,
}

impl Nonces {
    /// How long an answer may take. RFC 4380 (§5.2.6) asks again every 2 s, with another nonce.
    const LIFETIME: Duration = Duration::from_secs(10);

    /// The peer has sent an indirect bubble (R6081-5.2.4.3-01, R6081-5.2.4.3-02).
    pub(super) fn receive(&mut self, now: Instant, nonce: Option<[u8; 4]>) {
        self.heard = Some(now);
        if self.received != nonce {
            self.received = nonce;
            self.answered = false;
        }
    }

    /// Whether the peer's last indirect bubble had a nonce that no bubble of ours has repeated. A peer behind a symmetric
    /// NAT has a mapping only for those that do.
    pub(super) fn owes_answer(&self) -> bool {
        self.received.is_some() && !self.answered
    }

    /// Whether a bubble of ours has repeated the peer's nonce.
    pub(super) fn is_introduced(&self) -> bool {
        self.received.is_some() && self.answered
    }

    /// Whether the peer has just sent an indirect bubble with a nonce.
    pub(super) fn has_received(&self, now: Instant) -> bool {
        let is_fresh = self.heard.is_some_and(|at| now - at < Self::LIFETIME);
        is_fresh && self.received.is_some()
    }

    /// Whether the peer can have this nonce from one of our last two indirect bubbles alone.
    pub(super) fn is_own(&self, now: Instant, nonce: [u8; 4]) -> bool {
        let is_fresh = self.asked.is_some_and(|at| now - at < Self::LIFETIME);
        is_fresh && [self.sent, self.sent_before].contains(&Some(nonce))
    }

    /// The nonce for a direct bubble, which arrives unless it is cut short.
    pub(super) fn repeat(&mut self, arrives: bool) -> Option<[u8; 4]> {
        self.answered |= arrives;
        self.received
    }

    /// When our last indirect bubble was sent.
    pub(super) fn asked(&self) -> Option<Instant> {
        self.asked
    }

    /// Whether an indirect bubble may be sent back now.
    fn may_ask(&self, now: Instant, spacing: Duration) -> bool {
        self.wanted.is_none_or(|at| now - at >= spacing)
    }

    /// An indirect bubble with this nonce is sent now.
    fn asked_with(&mut self, now: Instant, nonce: Option<[u8; 4]>) {
        self.sent_before = self.sent;
        (self.sent, self.asked) = (nonce, Some(now));
    }

    /// An indirect bubble is sent now, or as soon as there is a random port for it.
    pub(super) fn want(&mut self, now: Instant) {
        self.wanted = Some(now);
    }
}

/// Relays whose indirect bubbles were answered a moment ago, from behind a symmetric NAT. Ours ask a second time, directly
/// (see `relay::elsewhere`).
///
/// One IPv4 address has one place, and the last of two that share a place has it. Nobody knows whose place an address has,
/// so a stranger has to name hundreds of addresses within a round trip to push out one relay.
#[derive(Debug)]
pub(super) struct AnsweredRelays {
    keys: SipKeys,
    places: Places<Answered, { Self::PLACES }>,
}

/// A relay that was answered, and when.
#[derive(Clone, Copy, Debug, Default)]
struct Answered(Option<(SocketAddrV4, Instant)>);

impl Entry for Answered {
    fn counts(&self, now: Instant) -> bool {
        self.0
            .is_some_and(|(_, at)| now - at < AnsweredRelays::MEMORY)
    }
}

impl AnsweredRelays {
    /// How long the second question may take.
    const MEMORY: Duration = Duration::from_secs(8);
    const PLACES: usize = 1 << 10;

    pub(super) fn new(keys: SipKeys) -> Self {
        Self {
            keys,
            places: Places::default(),
        }
    }

    pub(super) fn note(&mut self, now: Instant, relay: SocketAddrV4) {
        *self.places.get_mut(now, self.place(relay)) = Answered(Some((relay, now)));
    }

    /// Whether the relay may be answered once more.
    fn take(&mut self, now: Instant, relay: SocketAddrV4) -> bool {
        let place = self.place(relay);
        let answered = self.places.get(place);
        let may = answered.counts(now) && answered.0.is_some_and(|(at, _)| at == relay);
        if may {
            *self.places.get_mut(now, place) = Answered::default();
        }
        may
    }

    pub(super) fn clear(&mut self) {
        self.places = Places::default();
    }

    fn place(&self, relay: SocketAddrV4) -> usize {
        self.keys.hash(relay.ip()) as usize % Self::PLACES
    }
}

/// The nonce behind a bubble. Of several, the last one counts, since trailers are processed in order (R6081-5.1.2-01):
/// a datagram is one guess.
pub(super) fn nonce_of(trailers: &Trailers<'_>) -> Option<[u8; 4]> {
    let nonces = trailers.iter().filter_map(|trailer| match trailer {
        Trailer::Nonce(nonce) => Some(nonce),
        _ => None,
    });
    nonces.last()
}

/// The first and the last nonce behind a bubble that has several (see [`birthday`](super::birthday)).
pub(super) fn nonces_of(trailers: &Trailers<'_>) -> Option<([u8; 4], [u8; 4])> {
    let mut nonces = trailers.iter().filter_map(|trailer| match trailer {
        Trailer::Nonce(nonce) => Some(nonce),
        _ => None,
    });
    nonces.next().zip(nonces.last())
}

impl Client {
    /// Appends a direct bubble for a peer, from the port that the path to this place has. It repeats the nonce of the
    /// peer's last indirect one (R6081-5.2.4.2-01, R6081-5.2.4.2-02).
    ///
    /// DEVIATION(rfc6081 §5.4.4.3): if a random port repeats that nonce, the service port is silent. A peer that received
    /// both would trust one mapping, and our data might come from the other.
    pub(super) fn push_direct_bubble(
        &mut self,
        now: Instant,
        slot: u32,
        to: SocketAddrV4,
        ttl: Option<u8>,
        own: Ipv6Addr,
    ) {
        let target = self.peers.address(slot);
        let port = self.peers.peer(slot).port_to(to);
        let is_silent =
            self.answers_from_random_port(now, slot) || self.expects_at_random_port(now, slot);
        if port.is_none() && is_silent {
            return;
        }
        let nonce = self.peers.peer_mut(slot).nonces.repeat(ttl.is_none());
        self.outbox.udp_via(port, to, ttl, |out| {
            wire::emit_bubble(own, target, HOP_LIMIT, out);
            if let Some(nonce) = nonce {
                Trailer::Nonce(nonce).emit(out);
            }
        });
    }

    /// Appends an indirect bubble for a Teredo peer, with a fresh nonce (R6081-5.2.4.1-01, R6081-7-01), and with the external
    /// port of our random port, if there is one (R6081-5.4.4.2-02, R6081-5.5.4.2-01).
    pub(super) fn push_indirect_bubble(
        &mut self,
        now: Instant,
        slot: u32,
        teredo: TeredoAddress,
        own: Ipv6Addr,
        port: Option<u16>,
    ) {
        let target = self.peers.address(slot);
        let nonce = self.config.nat_traversal.extends_rfc4380().then(|| {
            let mut nonce = [0; 4];
            self.rng.fill_bytes(&mut nonce);
            nonce
        });
        let is_established = self.peers.peer(slot).path(now).is_some();
        // R6081-4.3-02, R6081-5.6.4.1-02
        let alternate = self.own_alternate(teredo).filter(|_| !is_established);
        let is_eager = self.config.nat_traversal.is_eager();
        let nonces = &mut self.peers.peer_mut(slot).nonces;
        nonces.earlier = nonces.sent.filter(|_| is_eager);
        nonces.asked_with(now, nonce);
        self.outbox.udp(server_of(teredo), |out| {
            wire::emit_bubble(own, target, HOP_LIMIT, out);
            if let Some(nonce) = nonce {
                Trailer::Nonce(nonce).emit(out);
            }
            if let Some(alternate) = alternate {
                Trailer::AlternateAddresses(alternate).emit(out);
            }
            if let Some(port) = port {
                Trailer::RandomPort(port).emit(out);
            }
        });
    }

    /// Appends an indirect bubble that asks for a burst: it repeats the peer's nonce before its own.
    pub(super) fn push_ready_bubble(
        &mut self,
        now: Instant,
        slot: u32,
        teredo: TeredoAddress,
        own: Ipv6Addr,
    ) {
        let target = self.peers.address(slot);
        let mut nonce = [0; 4];
        self.rng.fill_bytes(&mut nonce);
        let nonces = &mut self.peers.peer_mut(slot).nonces;
        nonces.asked_with(now, Some(nonce));
        let received = nonces.received;
        self.outbox.udp(server_of(teredo), |out| {
            wire::emit_bubble(own, target, HOP_LIMIT, out);
            for nonce in received.into_iter().chain([nonce]) {
                Trailer::Nonce(nonce).emit(out);
            }
        });
    }

    /// Sends an indirect bubble back to a peer that is not established. If it is behind a symmetric NAT, its answer to this
    /// one shows the mapping (R6081-3.1-01).
    pub(super) fn ask_back(&mut self, now: Instant, slot: u32, teredo: TeredoAddress) {
        let Phase::Qualified(service) = &self.phase else {
            return;
        };
        let own = service.ipv6;
        let peer = self.peers.peer(slot);
        let wanted = self.config.nat_traversal.extends_rfc4380()
            && peer.confirmed_path(now).is_none()
            && peer.nonces.received.is_some()
            && peer.nonces.may_ask(now, self.ask_back_spacing(slot));
        // The peer chose the address of its server.
        let drawn = peer.came_from().is_some();
        if wanted
            && self
                .budget
                .allow_bubbles(now, teredo, drawn, Attempt::First)
        {
            // The peer's answer must not come to a closed NAT if the answer before this was lost.
            let ttl = self.opening.ttl(0);
            self.push_direct_bubble(now, slot, teredo.mapped, ttl, own);
            self.ask_through_server(now, slot, teredo, own);
        }
    }

    /// A packet of a peer that has just asked came from elsewhere, without a nonce: the bubble with the nonce was lost, and
    /// the peer has a path already. Another indirect bubble brings another one.
    pub(super) fn ask_again(&mut self, now: Instant, slot: Option<u32>) {
        if let Some(slot) = slot
            && self.peers.peer(slot).nonces.has_received(now)
            && let Some(teredo) = TeredoAddress::from_ipv6(self.peers.address(slot))
        {
            self.ask_back(now, slot, teredo);
        }
    }

    /// Answers the second bubble of a relay: it came through the mapping that our first answer has opened.
    pub(super) fn answer_relay(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        token: Ipv6Addr,
    ) -> Result<(), DropReason> {
        let own = self.own_address().ok_or(DropReason::NotQualified)?;
        if !self.answered_relays.take(now, from) {
            return Err(DropReason::UnverifiedSource);
        }
        self.outbox
            .udp(from, |out| wire::emit_bubble(own, token, HOP_LIMIT, out));
        Ok(())
    }

    /// Whether a direct bubble has the nonce of our last indirect one (R6081-5.2.4.4-02, R6081-5.2.4.4-03).
    pub(super) fn has_nonce(&self, now: Instant, slot: u32, trailers: &Trailers<'_>) -> bool {
        let nonces = self.peers.peer(slot).nonces;
        let is_fresh = nonces.asked.is_some_and(|at| now - at < Nonces::LIFETIME);
        let received = nonce_of(trailers);
        is_fresh && received.is_some() && [nonces.sent, nonces.earlier].contains(&received)
    }

    /// The same, and the nonce is used up.
    pub(super) fn take_nonce(&mut self, now: Instant, slot: u32, trailers: &Trailers<'_>) -> bool {
        let is_ours = self.has_nonce(now, slot, trailers);
        if is_ours {
            let nonces = &mut self.peers.peer_mut(slot).nonces;
            (nonces.sent, nonces.earlier) = (None, None);
        }
        is_ours
    }

    /// Whether the peer would not believe what comes from us: it comes from elsewhere than our address says, because our NAT
    /// is symmetric or the peer is behind the same one, and no bubble of ours has repeated its nonce. Data waits for its
    /// indirect bubble then.
    pub(super) fn is_unintroduced(&self, now: Instant, slot: u32, from: SocketAddrV4) -> bool {
        let Some(teredo) = TeredoAddress::from_ipv6(self.peers.address(slot)) else {
            return false;
        };
        // Neighbours have announced themselves on the link.
        let is_alternate = from != teredo.mapped
            && self.shares_nat(teredo)
            && self.neighbour(now, teredo) != Some(from);
        let peer = self.peers.peer(slot);
        (self.nat == Nat::Symmetric || is_alternate || self.has_random_port(slot))
            && peer.contact.is_some()
            && peer.path(now).is_none()
            && !peer.nonces.is_introduced()
    }

    /// The peer's indirect bubble was answered, so that it knows where we are.
    pub(super) fn introduced(&mut self, now: Instant, slot: u32) {
        let peer = self.peers.peer(slot);
        if peer.nonces.is_introduced()
            && let Some(path) = peer.half_path
        {
            let is_doubtful = self.is_doubtful(now, slot, path);
            self.release(now, slot, path, Evidence::Reception);
            // The bubble came before ours could have told the peer where to send it, so our NAT lets everything in.
            if is_doubtful && !self.has_open_mapping() {
                self.push_question(now, slot);
            }
        }
    }

    /// Whether the peer waits for a bubble of ours: it began, and there is no path yet. If the host began, too, its packets
    /// are the answer.
    pub(super) fn awaits_greeting(&self, now: Instant, slot: u32) -> bool {
        let peer = self.peers.peer(slot);
        peer.contact.is_none() && peer.path(now).is_none()
    }

    /// Answers a direct bubble that has our nonce and made the path: the peer waits for one that comes back over it.
    /// A peer with the nonce has received our indirect bubble, so no limit counts this one.
    pub(super) fn greet_back(&mut self, now: Instant, slot: u32) {
        let Phase::Qualified(service) = &self.phase else {
            return;
        };
        let own = service.ipv6;
        let peer = self.peers.peer(slot);
        if let Some(path) = peer.path(now)
            && peer.nonces.received.is_some()
        {
            self.push_direct_bubble(now, slot, path.to, None, own);
        }
    }
}

#[cfg(test)]
mod tests;
