//! The peers that were asked for a bubble and have not answered yet, and the packets that wait for them.

use std::collections::VecDeque;
use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use super::Key;
use super::shares::Shares;
use crate::Instant;
use crate::slots::{Bounds, Full, SipKeys, Slots};
use crate::wire::MTU;

/// How long a bubble waits for its answer (RFC 4380 §5.4.1 case 3).
pub(in crate::relay) const TIMEOUT: Duration = Duration::from_secs(2);
/// The first bubble and three repeats (R4380-5.4.1-06).
const ATTEMPTS: u8 = 4;

/// The most packets of a stranger that wait for its answer, and of all strangers together. A second of strangers, which
/// the relay limits, fills a part of that.
const MAX_HELD: usize = 8;
const MAX_HELD_OF_ALL: usize = 2048;

/// Why a peer is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::relay) enum Cause {
    /// A packet from the IPv6 Internet waits: send all repeats.
    Native,
    /// A datagram came from a peer that nothing was sent to: send one bubble, and accept only the answer to it.
    Provoked,
}

/// The bubbles to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::relay) struct Ask {
    /// The host on the native side that caused them.
    pub(in crate::relay) sender: Ipv6Addr,
    /// Their source address, to which the answers go.
    pub(in crate::relay) token: Ipv6Addr,
}

#[derive(Debug)]
struct Peer {
    cause: Cause,
    ask: Ask,
    /// The bubbles that were due, and those of them that were sent.
    attempts: u8,
    bubbles: u8,
    due: Instant,
    /// The mapping that an answer came from, if that is not the one in the address, and the token of the bubble there.
    elsewhere: Option<(SocketAddrV4, Ipv6Addr)>,
    /// How often such a mapping was asked.
    moves: u8,
    /// The senders of the packets that wait, with their bytes.
    senders: Vec<(Ipv6Addr, usize)>,
    /// The packets of the peer for the IPv6 Internet, if it is a stranger.
    held: Vec<Vec<u8>>,
}

/// A peer that has answered.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::relay) struct Answered {
    /// The packets that waited for it, in order.
    pub(in crate::relay) waiting: VecDeque<Vec<u8>>,
    /// Its own packets, which were held until it proved its mapping, in order.
    pub(in crate::relay) held: Vec<Vec<u8>>,
    pub(in crate::relay) cause: Cause,
    pub(in crate::relay) ask: Ask,
    /// The number of bubbles sent.
    pub(in crate::relay) bubbles: u8,
    /// Whether the answer has their token, which only the receiver of one knows.
    pub(in crate::relay) proves_path: bool,
}

/// The next step for a peer whose time is up.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::relay) enum Due {
    /// Another bubble, the first repetition or a later one.
    Repeat(Key, Ask, u8),
    /// The peer does not answer. These packets waited for it, in order.
    GiveUp(VecDeque<Vec<u8>>),
}

/// The meaning of a bubble that came from elsewhere than the address of its sender says.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::relay) enum Moved {
    /// It answers nothing.
    Unknown,
    /// It answers the bubble that went through the server. Its mapping is to be asked.
    Asked,
    /// It answers the bubble that went to its mapping. [`Underway::answered`] takes this token.
    Proven(Ipv6Addr),
}

/// The peers under way (R4380-5.4.1-08). The wait is the same for all, so the order of the last bubbles is the order of
/// the deadlines. The peer that has waited longest makes room.
#[derive(Debug)]
pub(in crate::relay) struct Underway {
    slots: Slots<Key, Peer, 1>,
    shares: Shares,
    /// The packets of strangers that are held.
    held: usize,
    /// Those that were lost because their sender did not answer, since this was last asked.
    unproven: usize,
}

impl Underway {
    pub(in crate::relay) fn new(bounds: Bounds, keys: SipKeys) -> Self {
        Self {
            slots: Slots::new(bounds, keys),
            shares: Shares::new(bounds.total_queue_bytes, keys),
            held: 0,
            unproven: 0,
        }
    }

    pub(in crate::relay) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The bytes of all packets that wait.
    pub(in crate::relay) fn queued_bytes(&self) -> usize {
        self.slots.queued_bytes()
    }

    pub(in crate::relay) fn contains(&self, key: Key) -> bool {
        self.slots.find(&key).is_some()
    }

    /// Records the first bubble to a peer.
    pub(in crate::relay) fn begin(&mut self, now: Instant, key: Key, ask: Ask, cause: Cause) {
        if let Some(oldest) = self.slots.surplus() {
            self.evict(oldest);
        }
        let attempts = match cause {
            Cause::Native => 1,
            Cause::Provoked => ATTEMPTS,
        };
        let peer = Peer {
            cause,
            ask,
            attempts,
            bubbles: 1,
            due: now + TIMEOUT,
            elsewhere: None,
            moves: 0,
            senders: Vec::new(),
            held: Vec::new(),
        };
        self.slots.insert(key, peer);
    }

    /// Holds a packet of a stranger that is being asked until it answers. `false` if there are too many, or if it is longer
    /// than the tunnel takes, as between virtual machines.
    pub(in crate::relay) fn hold(&mut self, key: Key, packet: &[u8]) -> bool {
        let Some(slot) = self.slots.find(&key) else {
            return false;
        };
        let held = &mut self.slots[slot].held;
        if held.len() >= MAX_HELD || self.held >= MAX_HELD_OF_ALL || packet.len() > MTU {
            return false;
        }
        held.push(packet.to_vec());
        self.held += 1;
        true
    }

    /// Queues a packet of `sender` for a peer under way (R4380-5.4.1-07). `false` if the queue or the share of the
    /// sender's networks is full.
    ///
    /// The first packet in a queue starts the repeats over. If all queues together are full, the peers that have waited
    /// longest make room.
    pub(in crate::relay) fn enqueue(&mut self, key: Key, sender: Ipv6Addr, packet: &[u8]) -> bool {
        let Some(slot) = self.slots.find(&key) else {
            return false;
        };
        if !self.shares.has_room(sender, packet.len()) {
            return false;
        }
        let is_first = !self.slots.has_waiting(slot);
        let mut queued = self.slots.enqueue(slot, packet);
        if is_first && queued != Err(Full::Queue) {
            let peer = &mut self.slots[slot];
            peer.cause = Cause::Native;
            peer.attempts = peer.attempts.min(1);
        }
        while queued == Err(Full::Total)
            && let Some(oldest) = self.slots.oldest().filter(|&oldest| oldest != slot)
        {
            self.evict(oldest);
            queued = self.slots.enqueue(slot, packet);
        }
        if queued.is_ok() {
            self.shares.add(sender, packet.len());
            self.slots[slot].senders.push((sender, packet.len()));
        }
        queued.is_ok()
    }

    /// Another bubble was sent to a peer.
    pub(in crate::relay) fn count_bubble(&mut self, key: Key) {
        if let Some(slot) = self.slots.find(&key) {
            let bubbles = &mut self.slots[slot].bubbles;
            *bubbles = bubbles.saturating_add(1);
        }
    }

    /// A packet came from the peer; if it is a bubble, `bubble_to` is its destination. Returns `None` if the peer is not
    /// under way or the packet is no answer.
    ///
    /// Any packet is an answer (RFC 4380 §5.4.1), except from strangers, whose packets may be forged. But a client behind a
    /// symmetric NAT is not where such a packet seems to come from. So the question remains until a bubble has its token:
    /// otherwise a forged packet in time would keep that client from being found.
    pub(in crate::relay) fn answered(
        &mut self,
        key: Key,
        bubble_to: Option<Ipv6Addr>,
    ) -> Option<Answered> {
        let slot = self.slots.find(&key)?;
        let &Peer {
            cause,
            ask,
            bubbles,
            ..
        } = &self.slots[slot];
        let proves_path = bubble_to == Some(ask.token);
        if cause == Cause::Provoked && !proves_path {
            return None;
        }
        let held = std::mem::take(&mut self.slots[slot].held);
        self.held -= held.len();
        let waiting = if proves_path {
            self.remove(slot)
        } else {
            self.free_shares(slot);
            self.slots.take_queue(slot)
        };
        Some(Answered {
            waiting,
            held,
            cause,
            ask,
            bubbles,
            proves_path,
        })
    }

    /// A bubble with this destination came from another mapping than that in the peer's address. It is asked there with
    /// the token `fresh`, as often as bubbles went through its server at most: a datagram of 40 bytes for one.
    pub(in crate::relay) fn moved(
        &mut self,
        key: Key,
        bubble_to: Ipv6Addr,
        from: SocketAddrV4,
        fresh: Ipv6Addr,
    ) -> Moved {
        let Some(slot) = self.slots.find(&key) else {
            return Moved::Unknown;
        };
        let peer = &mut self.slots[slot];
        if peer.elsewhere == Some((from, bubble_to)) {
            Moved::Proven(peer.ask.token)
        } else if bubble_to == peer.ask.token && peer.moves < peer.bubbles {
            peer.moves += 1;
            peer.elsewhere = Some((from, fresh));
            Moved::Asked
        } else {
            Moved::Unknown
        }
    }

    pub(in crate::relay) fn next_deadline(&self) -> Option<Instant> {
        let oldest = self.slots.oldest()?;
        Some(self.slots[oldest].due)
    }

    /// The next peer whose time is up, with a new deadline if another bubble follows.
    pub(in crate::relay) fn due(&mut self, now: Instant) -> Option<Due> {
        let slot = self.slots.oldest()?;
        let peer = &mut self.slots[slot];
        if peer.due > now {
            return None;
        }
        if peer.attempts >= ATTEMPTS {
            return Some(Due::GiveUp(self.remove(slot)));
        }
        let repetition = peer.attempts;
        peer.attempts += 1;
        peer.due = now + TIMEOUT;
        let ask = peer.ask;
        self.slots.touch(slot);
        Some(Due::Repeat(self.slots.key(slot), ask, repetition))
    }

    /// Removes the peers that `keep` rejects.
    pub(in crate::relay) fn retain(&mut self, keep: impl Fn(Key) -> bool) {
        let refused: Vec<u32> = self
            .slots
            .iter()
            .filter(|&(_, key, _)| !keep(key))
            .map(|(slot, ..)| slot)
            .collect();
        for slot in refused {
            self.evict(slot);
        }
    }

    /// The number of packets lost with evicted peers since the last call.
    pub(in crate::relay) fn take_evicted_packets(&mut self) -> usize {
        self.slots.take_evicted_packets()
    }

    /// The number of packets of strangers that did not answer, since the last call.
    pub(in crate::relay) fn take_unproven_packets(&mut self) -> usize {
        std::mem::take(&mut self.unproven)
    }

    #[cfg(test)]
    pub(super) fn shares_are_empty(&self) -> bool {
        self.shares.is_empty()
    }

    fn remove(&mut self, slot: u32) -> VecDeque<Vec<u8>> {
        self.free_shares(slot);
        self.let_go(slot);
        self.slots.remove(slot)
    }

    fn evict(&mut self, slot: u32) {
        self.free_shares(slot);
        self.let_go(slot);
        self.slots.evict(slot);
    }

    /// Gives up the packets that are held of a peer.
    fn let_go(&mut self, slot: u32) {
        let held = std::mem::take(&mut self.slots[slot].held).len();
        self.held -= held;
        self.unproven += held;
    }

    fn free_shares(&mut self, slot: u32) {
        for (sender, bytes) in std::mem::take(&mut self.slots[slot].senders) {
            self.shares.remove(sender, bytes);
        }
    }
}
