//! The peers that were asked for a bubble and have not answered yet, and what waits for them.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv6Addr;
use std::time::Duration;

use super::{Key, SipKeys};
use crate::Instant;
use crate::lru::{LinkStore, Links, Lru};

/// How long a bubble waits for its answer (RFC 4380 §5.4.1 case 3).
pub(in crate::relay) const TIMEOUT: Duration = Duration::from_secs(2);
/// The first bubble and three repeats (R4380-5.4.1-06).
const ATTEMPTS: u8 = 4;

/// Who wants the peer to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::relay) enum Cause {
    /// A packet of the IPv6 Internet: all repeats.
    Native,
    /// A datagram of a peer that nothing was sent to: one bubble, and only the answer to that very bubble counts.
    Provoked,
}

/// How much may be under way.
#[derive(Clone, Copy, Debug)]
pub(in crate::relay) struct Bounds {
    pub(in crate::relay) peers: usize,
    pub(in crate::relay) queue_bytes: usize,
    pub(in crate::relay) total_queue_bytes: usize,
}

/// How a peer is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::relay) struct Ask {
    /// Who is behind it on the native side.
    pub(in crate::relay) sender: Ipv6Addr,
    /// The address that the bubbles come from, and that answers go to.
    pub(in crate::relay) token: Ipv6Addr,
}

#[derive(Debug)]
struct Peer {
    key: Key,
    cause: Cause,
    ask: Ask,
    attempts: u8,
    due: Instant,
    queue: VecDeque<Vec<u8>>,
    queued_bytes: usize,
    links: Links,
}

#[derive(Debug, Default)]
struct Peers(Vec<Peer>);

impl LinkStore for Peers {
    fn links(&mut self, slot: u32) -> &mut Links {
        &mut self.0[slot as usize].links
    }
}

/// What is to be done about a peer whose time is up.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::relay) enum Due {
    /// Another bubble.
    Repeat(Key, Ask),
    /// It does not answer; this waited for it, in order.
    GiveUp(VecDeque<Vec<u8>>),
}

/// The peers under way (R4380-5.4.1-08). Every one waits for the same time, so that the order of the last bubbles is the order of
/// the deadlines, and whoever has waited longest makes room.
#[derive(Debug)]
pub(in crate::relay) struct Underway {
    bounds: Bounds,
    peers: Peers,
    free: Vec<u32>,
    index: HashMap<Key, u32, SipKeys>,
    order: Lru,
    queued_bytes: usize,
    evicted_packets: usize,
}

impl Underway {
    pub(in crate::relay) fn new(bounds: Bounds, keys: SipKeys) -> Self {
        let bounds = Bounds {
            peers: bounds.peers.clamp(1, u32::MAX as usize - 1),
            ..bounds
        };
        Self {
            bounds,
            peers: Peers::default(),
            free: Vec::new(),
            index: HashMap::with_hasher(keys),
            order: Lru::default(),
            queued_bytes: 0,
            evicted_packets: 0,
        }
    }

    pub(in crate::relay) fn len(&self) -> usize {
        self.order.len()
    }

    /// The bytes of all packets that wait.
    pub(in crate::relay) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    pub(in crate::relay) fn contains(&self, key: Key) -> bool {
        self.index.contains_key(&key)
    }

    /// The first bubble to a peer goes out now.
    pub(in crate::relay) fn begin(&mut self, now: Instant, key: Key, ask: Ask, cause: Cause) {
        debug_assert!(!self.contains(key));
        if self.len() >= self.bounds.peers {
            self.evict_oldest();
        }
        let peer = Peer {
            key,
            cause,
            ask,
            attempts: match cause {
                Cause::Native => 1,
                Cause::Provoked => ATTEMPTS,
            },
            due: now + TIMEOUT,
            queue: VecDeque::new(),
            queued_bytes: 0,
            links: Links::default(),
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.peers.0[slot as usize] = peer;
                slot
            }
            None => {
                self.peers.0.push(peer);
                (self.peers.0.len() - 1) as u32
            }
        };
        self.index.insert(key, slot);
        self.order.insert(&mut self.peers, slot);
    }

    /// A packet of the IPv6 Internet waits for the peer, which is under way (R4380-5.4.1-07). `false` where the queue
    /// is full.
    ///
    /// The first to wait has all repeats ahead of it, whatever the bubble under way was for. Where all queues
    /// together are full, whoever has waited longest makes room: a scan pushes out itself.
    pub(in crate::relay) fn enqueue(&mut self, key: Key, packet: &[u8]) -> bool {
        let Some(&slot) = self.index.get(&key) else {
            return false;
        };
        let peer = &mut self.peers.0[slot as usize];
        let queued = peer.queued_bytes + packet.len();
        if queued > self.bounds.queue_bytes || packet.len() > self.bounds.total_queue_bytes {
            return false;
        }
        if peer.queue.is_empty() {
            peer.cause = Cause::Native;
            peer.attempts = peer.attempts.min(1);
        }
        while self.queued_bytes + packet.len() > self.bounds.total_queue_bytes {
            // What waits for this peer is less than what all may be.
            match self.order.oldest() {
                Some(oldest) if oldest != slot => self.evict_oldest(),
                _ => return false,
            }
        }
        self.queued_bytes += packet.len();
        let peer = &mut self.peers.0[slot as usize];
        peer.queued_bytes = queued;
        peer.queue.push_back(packet.to_vec());
        true
    }

    /// A packet came from the peer; `bubble_to` is where it goes if it is a bubble. What waited for the peer, in
    /// order; `None` if the peer is not under way or the packet is no answer.
    ///
    /// Any packet is an answer (RFC 4380 §5.4.1), but for strangers, who might have forged it.
    pub(in crate::relay) fn answered(
        &mut self,
        key: Key,
        bubble_to: Option<Ipv6Addr>,
    ) -> Option<VecDeque<Vec<u8>>> {
        let &slot = self.index.get(&key)?;
        let peer = &self.peers.0[slot as usize];
        if peer.cause == Cause::Provoked && bubble_to != Some(peer.ask.token) {
            return None;
        }
        self.index.remove(&key);
        Some(self.remove(slot))
    }

    pub(in crate::relay) fn next_deadline(&self) -> Option<Instant> {
        let oldest = self.order.oldest()?;
        Some(self.peers.0[oldest as usize].due)
    }

    /// The next peer whose time is up, with a new deadline if it gets another bubble.
    pub(in crate::relay) fn due(&mut self, now: Instant) -> Option<Due> {
        let slot = self.order.oldest()?;
        let peer = &mut self.peers.0[slot as usize];
        if peer.due > now {
            return None;
        }
        if peer.attempts >= ATTEMPTS {
            let key = peer.key;
            self.index.remove(&key);
            return Some(Due::GiveUp(self.remove(slot)));
        }
        peer.attempts += 1;
        peer.due = now + TIMEOUT;
        let repeat = Due::Repeat(peer.key, peer.ask);
        self.order.touch(&mut self.peers, slot);
        Some(repeat)
    }

    /// Forgets the peers that `keep` refuses.
    pub(in crate::relay) fn retain(&mut self, keep: impl Fn(Key) -> bool) {
        let refused: Vec<_> = self
            .index
            .extract_if(|&key, _| !keep(key))
            .map(|(_, slot)| slot)
            .collect();
        for slot in refused {
            self.evicted_packets += self.remove(slot).len();
        }
    }

    /// How many packets were lost with peers that made room, since the last call.
    pub(in crate::relay) fn take_evicted_packets(&mut self) -> usize {
        std::mem::take(&mut self.evicted_packets)
    }

    fn evict_oldest(&mut self) {
        if let Some(oldest) = self.order.oldest() {
            let key = self.peers.0[oldest as usize].key;
            self.index.remove(&key);
            self.evicted_packets += self.remove(oldest).len();
        }
    }

    /// Takes out a peer that the index does not know any more.
    fn remove(&mut self, slot: u32) -> VecDeque<Vec<u8>> {
        self.order.remove(&mut self.peers, slot);
        self.free.push(slot);
        let peer = &mut self.peers.0[slot as usize];
        self.queued_bytes -= std::mem::take(&mut peer.queued_bytes);
        std::mem::take(&mut peer.queue)
    }
}
