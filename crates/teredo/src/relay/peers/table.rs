//! The trusted peers, in many small hash tables with linear probing.

use super::{Key, Tick};
use crate::slots::SipKeys;

/// Entries of a shard in a full table: few enough that making a shard larger is not felt (20 KB are copied).
const PER_SHARD: usize = 1024;
const MAX_SHARDS: usize = 1 << 14;

/// In how many steps the whole table is looked through for what is no longer valid.
const SWEEPS: usize = 32;

/// Trusted peers in many small tables, each of which grows and is cleaned by itself, so that nothing is ever done
/// to all of them at once.
///
/// A full table first forgets what is no longer valid and then the least recently used of a random few.
#[derive(Debug)]
pub(in crate::relay) struct Table {
    shards: Vec<Shard>,
    len: usize,
    capacity: usize,
    /// The next shard to be swept.
    next: usize,
    keys: SipKeys,
}

impl Table {
    /// A table for up to `capacity` peers, at least one.
    pub(in crate::relay) fn new(capacity: usize, keys: SipKeys) -> Self {
        let capacity = capacity.max(1);
        let shards = (capacity / PER_SHARD).max(1).next_power_of_two();
        Self {
            shards: std::iter::repeat_with(Shard::default)
                .take(shards.min(MAX_SHARDS))
                .collect(),
            len: 0,
            capacity,
            next: 0,
            keys,
        }
    }

    /// Entries, those included that are no longer valid and not yet swept up.
    pub(in crate::relay) fn len(&self) -> usize {
        self.len
    }

    pub(in crate::relay) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The memory in use, in bytes.
    pub(in crate::relay) fn bytes(&self) -> usize {
        let entries: usize = self.shards.iter().map(Shard::bytes).sum();
        entries + self.shards.capacity() * size_of::<Shard>()
    }

    /// The peer, if it was heard in the last 30 s.
    pub(in crate::relay) fn find(&mut self, key: Key, now: Tick) -> Option<&mut Peer> {
        let (shard, hash) = self.place(key);
        self.shards[shard]
            .find(key, hash)
            .filter(|peer| peer.is_valid(now))
    }

    /// The peer was heard: an entry for it is made, or is good for another 30 s.
    pub(in crate::relay) fn heard(&mut self, key: Key, now: Tick) {
        let (shard, hash) = self.place(key);
        if let Some(peer) = self.shards[shard].find(key, hash) {
            peer.heard(now);
            return;
        }
        self.make_room(shard, now);
        self.shards[shard].insert(Peer::new(key, now), hash);
        self.len += 1;
    }

    /// Looks through a part of the table for what is no longer valid. Called once a second, it sees everything in
    /// about half a minute.
    pub(in crate::relay) fn sweep(&mut self, now: Tick) {
        for _ in 0..self.shards.len().div_ceil(SWEEPS) {
            let shard = self.next;
            self.next = (shard + 1) % self.shards.len();
            let keys = self.keys;
            self.len -= self.shards[shard].purge(now, |key| hash_of(keys, key));
        }
    }

    /// Forgets the peers that `keep` refuses.
    pub(in crate::relay) fn retain(&mut self, keep: impl Fn(Key) -> bool) {
        let keys = self.keys;
        for shard in &mut self.shards {
            self.len -= shard.retain(|peer| keep(peer.key()), |key| hash_of(keys, key));
        }
    }

    /// Room for one more in `shard`.
    fn make_room(&mut self, shard: usize, now: Tick) {
        let keys = self.keys;
        let hash = |key| hash_of(keys, key);
        if self.len >= self.capacity || !self.shards[shard].has_room() {
            self.len -= self.shards[shard].purge(now, hash);
        }
        if self.len >= self.capacity {
            // Shards are about equally full; in a very small table the one in question may have nobody.
            let shards = self.shards.len();
            let evicted = (0..shards).any(|step| self.shards[(shard + step) % shards].evict(hash));
            self.len -= usize::from(evicted);
        }
        if !self.shards[shard].has_room() {
            self.shards[shard].grow(hash);
        }
    }

    fn place(&self, key: Key) -> (usize, u32) {
        let hash = self.keys.hash(key);
        // The number of shards is a power of two.
        ((hash >> 32) as usize & (self.shards.len() - 1), hash as u32)
    }
}

/// The part of a key's hash that says where it is within its shard.
fn hash_of(keys: SipKeys, key: Key) -> u32 {
    keys.hash(key) as u32
}

/// How long an entry is good without a word from the peer, in seconds (RFC 4380 §5.2.4, to which §5.4 refers).
pub(super) const VALIDITY: u32 = 30;

/// Of this many neighbours, the least recently used makes room.
const CANDIDATES: usize = 8;

/// A trusted peer: 20 bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::relay) struct Peer {
    key: Key,
    /// The last packet from the peer; [`Tick::NEVER`] marks an empty place.
    heard: Tick,
    sent: Tick,
}

const EMPTY: Peer = Peer {
    key: Key::NOBODY,
    heard: Tick::NEVER,
    sent: Tick::NEVER,
};

impl Peer {
    pub(super) fn new(key: Key, now: Tick) -> Self {
        Self {
            key,
            heard: now,
            sent: now,
        }
    }

    pub(in crate::relay) fn key(&self) -> Key {
        self.key
    }

    /// A packet came from the peer.
    pub(in crate::relay) fn heard(&mut self, now: Tick) {
        self.heard = now;
    }

    /// A packet goes to the peer.
    pub(in crate::relay) fn sent(&mut self, now: Tick) {
        self.sent = now;
    }

    /// Whether nothing was heard for `seconds`.
    pub(in crate::relay) fn is_silent_for(&self, seconds: u32, now: Tick) -> bool {
        !now.is_within(seconds, self.heard)
    }

    pub(super) fn is_valid(&self, now: Tick) -> bool {
        !self.is_silent_for(VALIDITY, now)
    }

    fn is_empty(&self) -> bool {
        self.heard == Tick::NEVER
    }

    fn used(&self) -> Tick {
        self.heard.max(self.sent)
    }
}

/// A table for some thousand peers: never more than three quarters full, so that a look-up reads a few neighbours.
///
/// Every method that needs to find a place takes the hash of a key from its caller.
#[derive(Debug, Default)]
pub(super) struct Shard {
    places: Vec<Peer>,
    len: usize,
    /// Where the search for the least recently used goes on.
    hand: usize,
    /// When entries that are no longer valid were last looked for.
    purged: Tick,
}

impl Shard {
    pub(super) fn bytes(&self) -> usize {
        self.places.capacity() * size_of::<Peer>()
    }

    fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.places.iter().filter(|peer| !peer.is_empty())
    }

    pub(super) fn find(&mut self, key: Key, hash: u32) -> Option<&mut Peer> {
        match self.probe(key, hash) {
            Some(place) if !self.places[place].is_empty() => Some(&mut self.places[place]),
            _ => None,
        }
    }

    /// Whether one more entry fits without a larger table.
    pub(super) fn has_room(&self) -> bool {
        self.len < entries_in(self.places.len())
    }

    /// Adds a peer that is not in the table. The caller has made room.
    pub(super) fn insert(&mut self, peer: Peer, hash: u32) {
        debug_assert!(self.has_room());
        if let Some(place) = self.probe(peer.key, hash) {
            self.places[place] = peer;
            self.len += 1;
        }
    }

    /// Forgets what is no longer valid, unless that was tried within this second, and takes as much memory as the
    /// rest needs. Returns how many went.
    pub(super) fn purge(&mut self, now: Tick, hash: impl Fn(Key) -> u32) -> usize {
        if now.is_within(1, self.purged) {
            return 0;
        }
        self.purged = now;
        self.retain(|peer| peer.is_valid(now), hash)
    }

    /// Keeps the peers that `keep` says; returns how many went.
    pub(super) fn retain(
        &mut self,
        keep: impl Fn(&Peer) -> bool,
        hash: impl Fn(Key) -> u32,
    ) -> usize {
        let kept = self.peers().filter(|peer| keep(peer)).count();
        let gone = self.len - kept;
        if gone > 0 {
            // Not smaller as long as it is half used: it would only grow again.
            let places = if kept * 2 < entries_in(self.places.len()) {
                places_for(kept)
            } else {
                self.places.len()
            };
            self.rebuild(places, keep, hash);
        }
        gone
    }

    /// Makes room for three eighths more: a table is never much larger than what it was made for.
    pub(super) fn grow(&mut self, hash: impl Fn(Key) -> u32) {
        let entries = (self.len + self.len * 3 / 8).max(8);
        self.rebuild(places_for(entries), |_| true, hash);
    }

    /// Forgets the least recently used of some neighbours; `false` where there is nobody.
    pub(super) fn evict(&mut self, hash: impl Fn(Key) -> u32) -> bool {
        let places = self.places.len();
        let mut oldest: Option<usize> = None;
        let mut seen = 0;
        for _ in 0..places {
            self.hand = (self.hand + 1) % places;
            let peer = &self.places[self.hand];
            if peer.is_empty() {
                continue;
            }
            if oldest.is_none_or(|oldest| peer.used() < self.places[oldest].used()) {
                oldest = Some(self.hand);
            }
            seen += 1;
            if seen == CANDIDATES {
                break;
            }
        }
        match oldest {
            Some(place) => {
                self.remove_at(place, hash);
                true
            }
            None => false,
        }
    }

    /// The place of `key`, or the empty one where it would go; `None` without any places.
    fn probe(&self, key: Key, hash: u32) -> Option<usize> {
        let places = self.places.len();
        if places == 0 {
            return None;
        }
        let mut place = home(hash, places);
        // Ends: a quarter of the places is empty.
        while !self.places[place].is_empty() && self.places[place].key != key {
            place = (place + 1) % places;
        }
        Some(place)
    }

    /// Empties a place, and moves up whoever would not be found behind the gap.
    fn remove_at(&mut self, mut gap: usize, hash: impl Fn(Key) -> u32) {
        let places = self.places.len();
        let distance = |from: usize, to: usize| (to + places - from) % places;
        let mut place = gap;
        loop {
            place = (place + 1) % places;
            let peer = self.places[place];
            if peer.is_empty() {
                break;
            }
            let home = home(hash(peer.key), places);
            if distance(home, place) >= distance(gap, place) {
                self.places[gap] = peer;
                gap = place;
            }
        }
        self.places[gap] = EMPTY;
        self.len -= 1;
    }

    fn rebuild(&mut self, places: usize, keep: impl Fn(&Peer) -> bool, hash: impl Fn(Key) -> u32) {
        let earlier = std::mem::replace(&mut self.places, vec![EMPTY; places]);
        self.len = 0;
        self.hand = 0;
        for peer in earlier {
            if !peer.is_empty() && keep(&peer) {
                self.insert(peer, hash(peer.key));
            }
        }
    }
}

/// Where a key would like to be: the hash scaled to the number of places, which need not be a power of two.
fn home(hash: u32, places: usize) -> usize {
    ((u64::from(hash) * places as u64) >> 32) as usize
}

/// How many entries that many places take, three quarters of them.
fn entries_in(places: usize) -> usize {
    places / 4 * 3
}

/// The places for that many entries; none for none.
fn places_for(entries: usize) -> usize {
    entries.div_ceil(3) * 4
}
