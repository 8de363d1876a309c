//! The birthday method (eager): symmetric NATs whose ports nobody can foresee, and peers that filter by port.
//!
//! Such a pair has no path by RFC 6081. The port in which the peer's answers would have to come in is one of 64,512. So one
//! end opens many ports, and the other one tries many, as with the birthdays of a class: 256 ports of 64,512 that 1,024
//! bubbles look for are met with a probability of 98 %.
//!
//! ```text
//!  A, symmetric with random ports                        B, from port b; filters by port
//!     ── indirect bubble, nonce 1 ─────────────────────>    the ordinary contact, in vain:
//!     x  <───────────────────────────── bubble, nonce 1 ─   neither NAT knows the other's port
//!     <──────────────────────── indirect bubble, nonce 2 ─
//!     ── bubble, nonce 2 ─────────────────────────────> x
//!
//!     ── 256 bubbles from 256 ports, to B:b ──> x           A's NAT opens 256 ports for B:b. The bubbles expire on the way
//!     ── indirect bubble, nonces 2 and 3 ──────────────>    "ready": A has read B's nonce, and its ports are open
//!     <═══════════ 1,024 bubbles, nonce 3, b to A:random ═   one of them meets a port
//!     ── bubble, nonce 2, from that port to B:b ───────>    both trust this path; A closes the other 255 ports
//! ```
//!
//! Nothing new is on the wire. A question that is ready has two nonces: that of the peer's last indirect bubble, and a fresh
//! one. Of several nonces the last one counts (R6081-5.1.2-01), so others answer it as any question. B believes it if the first
//! nonce is its own, so that the sender has received B's question, and if B's own server has seen it come from the IPv4
//! address that it asks the bubbles for.
//!
//! ```text
//!  A:         500 ms after both        ports open     all have sent       a nonce came in
//!   (none) ──────────────────> Opening ──────> Sending ───────> Ready ────────────────> random port of the peer
//!             have asked: no path  │ refused      │  another path,  │
//!                                  └──────────────┴─ given up, 8 s ─┴──> closed
//!
//!  B:         a question is ready                 sent 1,024, or there is a path
//!   (none) ──────────────────────> Burst, 64 each 16 ms ────────────────────────> (none)
//! ```
//!
//! Towards a peer that is not eager nothing is lost: it answers the question, hits none of the ports, and the contact ends as
//! without them. B may also be the end that began.
//!
//! # What a stranger can provoke
//!
//! The owner of a server can name another host's address as the one to send 1,024 bubbles of 46 bytes to, if it can also forge
//! that address as the source of a datagram. So there is one burst at a time, an IPv4 address gets one in 300 s, and all
//! strangers together two at first and one a minute: a peer whose NAT rebinds comes again. An address from which a path is
//! proven after the burst may have the next one within these; a forger can do that, too. Peers that the host itself has
//! asked have a share of their own, and addresses that have answered one of the host's contacts, too (see
//! [`budget`](super::budget)). The same limits hold for the ports of A.

mod burst;

use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use super::contact::HOP_LIMIT;
use super::peers::{CONTACT_TIMEOUT, Contact, Path};
use super::{Client, Event};
use crate::wire::{self, Datagram, TeredoAddress, Trailer};
use crate::{DropReason, Instant};
use burst::Burst;

/// How many ports the birthday method opens.
pub const PORT_BLOCK: usize = 256;
/// So many bubbles leave at once: fewer than a socket or a link holds.
const BATCH: usize = 64;
/// The time between two batches: 2.8 Mbit/s with all headers, which most uplinks of homes have.
const BATCH_SPACING: Duration = Duration::from_millis(16);
/// How long the caller may take to open the ports.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long no ports are asked for after a refusal.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// How long the ordinary contact has after its question: longer than the way through the server and back.
pub(super) const ORDINARY: Duration = Duration::from_millis(500);
/// How many questions are ready, unless the peer asks in between, and the time between them.
const QUESTIONS: u8 = 4;
const QUESTION_SPACING: Duration = Duration::from_secs(2);
/// The same if the peer asks: longer than a burst and its way.
const READY_SPACING: Duration = Duration::from_secs(1);

/// Both ends of the method.
#[derive(Debug, Default)]
pub(super) struct Birthday {
    block: Option<Block>,
    refused_until: Option<Instant>,
    burst: Option<Burst>,
    /// The last burst, until its peer is met.
    last: Option<Sent>,
    /// How often ports were opened, and how many bursts were sent.
    pub(super) blocks: u64,
    pub(super) bursts: u64,
}

/// A burst, which may have met a port.
#[derive(Clone, Copy, Debug)]
struct Sent {
    peer: Ipv6Addr,
    /// Whether the peer began.
    drawn: bool,
    /// How many there were.
    bursts: u8,
}

/// The open ports of the end behind a symmetric NAT.
#[derive(Debug)]
struct Block {
    peer: Ipv6Addr,
    /// Whether the peer began.
    drawn: bool,
    /// At most [`PORT_BLOCK`].
    ports: Vec<u16>,
    stage: Stage,
    /// When the next batch or question is due, or the end.
    due: Instant,
    /// When the last question that is ready was sent, and how many were.
    asked: Instant,
    questions: u8,
}

#[derive(Debug)]
enum Stage {
    /// The caller has been asked to open them.
    Opening,
    /// So many have sent a bubble.
    Sending { sent: usize },
    /// The peer was asked to look for them.
    Ready,
}

impl Birthday {
    /// The peer of the port, if it is one of the block and in use.
    pub(super) fn peer_of(&self, number: u16) -> Option<Ipv6Addr> {
        let block = self.block.as_ref()?;
        block.ports.contains(&number).then_some(block.peer)
    }

    fn is_for(&self, peer: Ipv6Addr) -> bool {
        self.block.as_ref().is_some_and(|block| block.peer == peer)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let block = self.block.as_ref().map(|block| block.due);
        let burst = self.burst.as_ref().map(|burst| burst.due);
        block.into_iter().chain(burst).min()
    }
}

/// The end that opens ports.
impl Client {
    /// Whether the method is worth a try: our NAT's ports are random, and the peer has answered a question, but there is no
    /// path. A peer that has announced a port of its own is behind a symmetric NAT as well, and cannot send from one port to
    /// many.
    fn may_begin_birthday(&self, now: Instant, slot: u32) -> bool {
        let peer = self.peers.peer(slot);
        self.config.nat_traversal.is_eager()
            && self.needs_random_ports()
            && peer.is_unmet(now)
            && peer.random_port.is_none()
            && peer.nonces.has_received(now)
            && self.has_asked_in_vain(now, slot)
            && self.birthday.refused_until.is_none_or(|at| now >= at)
    }

    /// Takes the place of a question, if the method is under way or begins: the question follows when the ports are open.
    pub(super) fn asks_with_ports(
        &mut self,
        now: Instant,
        slot: u32,
        teredo: TeredoAddress,
        own: Ipv6Addr,
    ) -> bool {
        let Some(block) = &self.birthday.block else {
            return self.begin_birthday(now, slot, teredo);
        };
        if block.peer != self.peers.address(slot) {
            return self.begin_birthday(now, slot, teredo);
        }
        if matches!(block.stage, Stage::Ready) && now - block.asked >= READY_SPACING {
            self.ask_with_ports(now, slot, teredo, own);
        }
        true
    }

    /// The ordinary contact has had its time.
    pub(super) fn begin_birthday_with(&mut self, now: Instant, peer: Ipv6Addr) {
        if let (Some(slot), Some(teredo)) = (self.peers.find(&peer), TeredoAddress::from_ipv6(peer))
        {
            self.begin_birthday(now, slot, teredo);
        }
    }

    fn begin_birthday(&mut self, now: Instant, slot: u32, teredo: TeredoAddress) -> bool {
        if !self.may_begin_birthday(now, slot) {
            return false;
        }
        let drawn = self.peers.peer(slot).came_from().is_some();
        match &self.birthday.block {
            Some(block) if drawn || !block.drawn => return false,
            Some(_) => self.close_block(None),
            None => {}
        }
        if !self.budget.allow_birthday(now, teredo, drawn) {
            self.drop(DropReason::BirthdayLimit);
            return false;
        }
        self.birthday.block = Some(Block {
            peer: self.peers.address(slot),
            drawn,
            ports: Vec::new(),
            stage: Stage::Opening,
            due: now + PATIENCE,
            asked: now,
            questions: 0,
        });
        self.events.push_back(Event::OpenPortBlock);
        true
    }

    /// Answers [`Event::OpenPortBlock`] with the ports that are open; with none if they cannot be had now. The client then goes
    /// on without, and asks for none in the next 30 s. The ports must be bound to the local address of the service port, and
    /// the firewall must admit datagrams to them.
    ///
    /// Without an answer within a second, the client wants them closed. An answer that comes too late does no harm.
    pub fn port_block(&mut self, now: Instant, open: &[u16]) {
        let Some(block) = &mut self.birthday.block else {
            return;
        };
        if !matches!(block.stage, Stage::Opening) {
            return;
        }
        if open.is_empty() {
            return self.refuse_block(now);
        }
        block.ports = open[..open.len().min(PORT_BLOCK)].to_vec();
        (block.stage, block.due) = (Stage::Sending { sent: 0 }, now);
        self.birthday.blocks += 1;
        self.drive_block(now);
    }

    /// The ports were refused, or nobody answers: the question that waits for them leaves without.
    fn refuse_block(&mut self, now: Instant) {
        let slot = self.block_slot();
        self.birthday.refused_until = Some(now + REFUSED_FOR);
        self.close_block(None);
        if let (Some(slot), Some(own)) = (slot, self.own_address())
            && let Some(teredo) = TeredoAddress::from_ipv6(self.peers.address(slot))
        {
            self.ask_through_server(now, slot, teredo, own);
        }
    }

    fn block_slot(&self) -> Option<u32> {
        let block = self.birthday.block.as_ref()?;
        self.peers.find(&block.peer)
    }

    /// Does what is due.
    pub(super) fn drive_birthday(&mut self, now: Instant) {
        self.drive_block(now);
        self.drive_burst(now);
    }

    fn drive_block(&mut self, now: Instant) {
        let block = self.birthday.block.as_ref();
        let Some(block) = block.filter(|block| block.due <= now) else {
            return;
        };
        match block.stage {
            Stage::Opening => self.refuse_block(now),
            Stage::Ready if block.questions >= QUESTIONS => self.close_block(None),
            Stage::Ready | Stage::Sending { .. } => self.advance_block(now),
        }
    }

    /// Sends a batch of the bubbles that open our NAT, or asks the peer. The bubbles expire behind our NAT, so that a router
    /// of the peer does not take them for its own (see [`opening`](super::opening)). If nobody has reported how far that is, a
    /// contact of the host has shown nothing, and a peer that began is given another chance with ones that go further.
    fn advance_block(&mut self, now: Instant) {
        let (Some(slot), Some(own)) = (self.block_slot(), self.own_address()) else {
            return self.close_block(None);
        };
        let target = self.peers.address(slot);
        let (Some(teredo), Some(block)) =
            (TeredoAddress::from_ipv6(target), &mut self.birthday.block)
        else {
            return self.close_block(None);
        };
        let sent = match block.stage {
            Stage::Sending { sent } => sent,
            _ if block.questions == 1 && block.drawn && !self.opening.is_known() => 0,
            _ => return self.ask_with_ports(now, slot, teredo, own),
        };
        let is_first = block.drawn && block.questions == 0;
        let ttl = self.opening.ttl(if is_first { 0 } else { 2 });
        let end = block.ports.len().min(sent + BATCH);
        for port in &block.ports[sent..end] {
            self.outbox.udp_via(Some(*port), teredo.mapped, ttl, |out| {
                wire::emit_bubble(own, target, HOP_LIMIT, out);
            });
        }
        if end < block.ports.len() {
            block.stage = Stage::Sending { sent: end };
            block.due = now + BATCH_SPACING;
        } else {
            self.ask_with_ports(now, slot, teredo, own);
        }
    }

    /// Sends the question that is ready. The contact waits for its answer.
    fn ask_with_ports(&mut self, now: Instant, slot: u32, teredo: TeredoAddress, own: Ipv6Addr) {
        if let Some(block) = &mut self.birthday.block {
            (block.stage, block.asked) = (Stage::Ready, now);
            block.questions = block.questions.saturating_add(1);
            let opens_again = block.questions == 1 && block.drawn && !self.opening.is_known();
            block.due = match opens_again {
                true => now + ORDINARY,
                false => now + QUESTION_SPACING,
            };
        }
        self.peers.peer_mut(slot).nonces.want(now);
        self.push_ready_bubble(now, slot, teredo, own);
        self.peers.peer_mut(slot).bubble_was_late(now);
        if let Some(contact) = self.peers.peer(slot).contact {
            let due = now + CONTACT_TIMEOUT;
            let later = Contact { due, ..contact };
            self.peers.set_contact(slot, later, Some(teredo.mapped));
        }
    }

    /// Takes in a datagram that has arrived at a port of the block: only a bubble with our nonce counts. The port becomes a
    /// random port of the peer, which is sent a bubble before anything else, since it does not know the port yet.
    pub(super) fn accept_birthday<'a>(
        &mut self,
        now: Instant,
        slot: u32,
        path: Path,
        number: u16,
        datagram: &Datagram<'a>,
    ) -> Result<Option<&'a [u8]>, DropReason> {
        let is_bubble = datagram.packet.is_bubble();
        if !is_bubble || !self.has_nonce(now, slot, &datagram.trailers) {
            return Err(DropReason::MappingMismatch);
        }
        if !self.adopt(now, slot, number) {
            return Err(DropReason::RandomPortLimit);
        }
        self.take_nonce(now, slot, &datagram.trailers);
        self.show_port(slot, number, path.to);
        Ok(self.accept_verified(now, slot, path, datagram))
    }

    /// One port of the block is the peer's from now on, and the others are closed.
    fn adopt(&mut self, now: Instant, slot: u32, number: u16) -> bool {
        if self.keep_random_port(now, slot, number) {
            let block = self.birthday.block.as_ref();
            let drawn = block.is_some_and(|block| block.drawn);
            if let Some(teredo) = TeredoAddress::from_ipv6(self.peers.address(slot)) {
                self.budget.birthday_met(now, teredo, drawn, 1);
            }
            self.close_block(Some(number));
            return true;
        }
        self.close_block(None);
        false
    }

    fn show_port(&mut self, slot: u32, number: u16, to: SocketAddrV4) {
        let Some(own) = self.own_address() else {
            return;
        };
        let target = self.peers.address(slot);
        let nonce = self.peers.peer_mut(slot).nonces.repeat(true);
        self.outbox.udp_via(Some(number), to, None, |out| {
            wire::emit_bubble(own, target, HOP_LIMIT, out);
            if let Some(nonce) = nonce {
                Trailer::Nonce(nonce).emit(out);
            }
        });
    }

    fn close_block(&mut self, keep: Option<u16>) {
        if self.birthday.block.take().is_some() {
            self.events.push_back(Event::ClosePortBlock { keep });
        }
    }

    /// A path to the peer is proven, so its share and its server's are as before the burst, and it may come again, for
    /// instance with another address. A host that forges the address can also forge the proof, and is then limited by the
    /// share of all strangers, which is not given back.
    pub(super) fn end_birthday_with_path(&mut self, now: Instant, peer: Ipv6Addr) {
        self.end_birthday(peer);
        if let Some(sent) = self.birthday.last.take_if(|sent| sent.peer == peer)
            && let Some(teredo) = TeredoAddress::from_ipv6(peer)
        {
            let Sent { drawn, bursts, .. } = sent;
            self.budget.birthday_met(now, teredo, drawn, bursts);
        }
    }

    /// The peer has another path, is given up or is forgotten.
    pub(super) fn end_birthday(&mut self, peer: Ipv6Addr) {
        if self.birthday.is_for(peer) {
            self.close_block(None);
        }
    }

    /// The mapping or the local address has changed, or the service ends.
    pub(super) fn end_birthdays(&mut self) {
        self.close_block(None);
        self.birthday.burst = None;
        self.birthday.last = None;
    }

    /// Closes the ports for a peer that is forgotten.
    pub(super) fn close_orphaned_block(&mut self) {
        if self.birthday.block.is_some() && self.block_slot().is_none() {
            self.close_block(None);
        }
    }
}

#[cfg(test)]
mod tests;
