//! A small hash table with linear probing, one of many that make up a [`Table`](super::Table).

use super::{Key, Tick};

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
