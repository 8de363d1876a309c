//! The peers that were asked for a bubble and have not answered yet, and the packets that wait for them.

use std::collections::VecDeque;
use std::net::Ipv6Addr;
use std::time::Duration;

use super::Key;
use crate::Instant;
use crate::slots::{Bounds, Full, SipKeys, Slots};

/// How long a bubble waits for its answer (RFC 4380 §5.4.1 case 3).
pub(in crate::relay) const TIMEOUT: Duration = Duration::from_secs(2);
/// The first bubble and three repeats (R4380-5.4.1-06).
const ATTEMPTS: u8 = 4;

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
}

/// A peer that has answered.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::relay) struct Answered {
    /// What waited for it, in order.
    pub(in crate::relay) waiting: VecDeque<Vec<u8>>,
    pub(in crate::relay) cause: Cause,
    pub(in crate::relay) ask: Ask,
    /// The number of bubbles sent.
    pub(in crate::relay) bubbles: u8,
    /// Whether the answer has their token, which only the receiver of one knows.
    pub(in crate::relay) proves_path: bool,
}

/// What to do about a peer whose time is up.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::relay) enum Due {
    /// Another bubble, the first repetition or a later one.
    Repeat(Key, Ask, u8),
    /// The peer does not answer. These packets waited for it, in order.
    GiveUp(VecDeque<Vec<u8>>),
}

/// The peers under way (R4380-5.4.1-08). The wait is the same for all, so the order of the last bubbles is the order of
/// the deadlines. The peer that has waited longest makes room.
#[derive(Debug)]
pub(in crate::relay) struct Underway(Slots<Key, Peer, 1>);

impl Underway {
    pub(in crate::relay) fn new(bounds: Bounds, keys: SipKeys) -> Self {
        Self(Slots::new(bounds, keys))
    }

    pub(in crate::relay) fn len(&self) -> usize {
        self.0.len()
    }

    /// The bytes of all packets that wait.
    pub(in crate::relay) fn queued_bytes(&self) -> usize {
        self.0.queued_bytes()
    }

    pub(in crate::relay) fn contains(&self, key: Key) -> bool {
        self.0.find(&key).is_some()
    }

    /// Records the first bubble to a peer.
    pub(in crate::relay) fn begin(&mut self, now: Instant, key: Key, ask: Ask, cause: Cause) {
        if let Some(oldest) = self.0.surplus() {
            self.0.evict(oldest);
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
        };
        self.0.insert(key, peer);
    }

    /// Queues a packet from the IPv6 Internet for a peer under way (R4380-5.4.1-07). `false` if the queue is full.
    ///
    /// The first packet in a queue starts the repeats over. If all queues together are full, the peers that have waited
    /// longest make room: a scan evicts only its own entries.
    pub(in crate::relay) fn enqueue(&mut self, key: Key, packet: &[u8]) -> bool {
        let Some(slot) = self.0.find(&key) else {
            return false;
        };
        let is_first = !self.0.has_waiting(slot);
        let mut queued = self.0.enqueue(slot, packet);
        if is_first && queued != Err(Full::Queue) {
            let peer = &mut self.0[slot];
            peer.cause = Cause::Native;
            peer.attempts = peer.attempts.min(1);
        }
        while queued == Err(Full::Total)
            && let Some(oldest) = self.0.oldest().filter(|&oldest| oldest != slot)
        {
            self.0.evict(oldest);
            queued = self.0.enqueue(slot, packet);
        }
        queued.is_ok()
    }

    /// Another bubble was sent to a peer.
    pub(in crate::relay) fn count_bubble(&mut self, key: Key) {
        if let Some(slot) = self.0.find(&key) {
            let bubbles = &mut self.0[slot].bubbles;
            *bubbles = bubbles.saturating_add(1);
        }
    }

    /// A packet came from the peer; if it is a bubble, `bubble_to` is its destination. Returns `None` if the peer is not
    /// under way or the packet is no answer.
    ///
    /// Any packet is an answer (RFC 4380 §5.4.1), except from strangers, whose packets may be forged.
    pub(in crate::relay) fn answered(
        &mut self,
        key: Key,
        bubble_to: Option<Ipv6Addr>,
    ) -> Option<Answered> {
        let slot = self.0.find(&key)?;
        let &Peer {
            cause,
            ask,
            bubbles,
            ..
        } = &self.0[slot];
        let proves_path = bubble_to == Some(ask.token);
        if cause == Cause::Provoked && !proves_path {
            return None;
        }
        Some(Answered {
            waiting: self.0.remove(slot),
            cause,
            ask,
            bubbles,
            proves_path,
        })
    }

    pub(in crate::relay) fn next_deadline(&self) -> Option<Instant> {
        let oldest = self.0.oldest()?;
        Some(self.0[oldest].due)
    }

    /// The next peer whose time is up, with a new deadline if another bubble follows.
    pub(in crate::relay) fn due(&mut self, now: Instant) -> Option<Due> {
        let slot = self.0.oldest()?;
        let peer = &mut self.0[slot];
        if peer.due > now {
            return None;
        }
        if peer.attempts >= ATTEMPTS {
            return Some(Due::GiveUp(self.0.remove(slot)));
        }
        let repetition = peer.attempts;
        peer.attempts += 1;
        peer.due = now + TIMEOUT;
        let ask = peer.ask;
        self.0.touch(slot);
        Some(Due::Repeat(self.0.key(slot), ask, repetition))
    }

    /// Removes the peers that `keep` rejects.
    pub(in crate::relay) fn retain(&mut self, keep: impl Fn(Key) -> bool) {
        let refused: Vec<u32> = self
            .0
            .iter()
            .filter(|&(_, key, _)| !keep(key))
            .map(|(slot, ..)| slot)
            .collect();
        for slot in refused {
            self.0.evict(slot);
        }
    }

    /// The number of packets lost with evicted peers since the last call.
    pub(in crate::relay) fn take_evicted_packets(&mut self) -> usize {
        self.0.take_evicted_packets()
    }
}
