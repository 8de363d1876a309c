//! The trusted peers, in many small hash tables with linear probing.

use std::net::{Ipv6Addr, SocketAddrV4};

use super::{Key, Tick};
use crate::paths::PathChanges;
use crate::slots::SipKeys;
use crate::wire::TeredoAddress;
use crate::{PathChange, PeerPath};

/// The entries of a shard in a full table: so few that it takes little time to enlarge one (20 KB are copied).
const PER_SHARD: usize = 1024;
const MAX_SHARDS: usize = 1 << 14;

/// The number of steps in which the whole table is searched for expired entries.
const SWEEPS: usize = 32;

/// Trusted peers in many small tables. Each grows and is swept separately, so no operation ever touches all peers.
///
/// A full table first drops expired entries, and then the least recently used of a random few.
#[derive(Debug)]
pub(in crate::relay) struct Table {
    shards: Vec<Shard>,
    len: usize,
    capacity: usize,
    /// The next shard to be swept.
    next: usize,
    keys: SipKeys,
    /// Of the paths of its peers.
    changes: PathChanges,
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
            changes: PathChanges::default(),
        }
    }

    /// The number of entries, including expired ones that are not swept yet.
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

    /// The peer was heard: creates its entry, or renews it for 30 s.
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

    /// Sweeps expired entries from a part of the table. If this is called once a second, a round takes about half a
    /// minute.
    pub(in crate::relay) fn sweep(&mut self, now: Tick) {
        for _ in 0..self.shards.len().div_ceil(SWEEPS) {
            let shard = self.next;
            self.next = (shard + 1) % self.shards.len();
            let keys = self.keys;
            let hash = |key| hash_of(keys, key);
            self.len -= self.shards[shard].purge(now, hash, &mut self.changes);
        }
    }

    /// Removes the peers that `keep` rejects.
    pub(in crate::relay) fn retain(&mut self, keep: impl Fn(Key) -> bool) {
        let keys = self.keys;
        for shard in &mut self.shards {
            let keep = |peer: &Peer| keep(peer.key());
            self.len -= shard.retain(keep, |key| hash_of(keys, key), &mut self.changes);
        }
    }

    /// Makes room for one more entry in `shard`.
    fn make_room(&mut self, shard: usize, now: Tick) {
        let keys = self.keys;
        let hash = |key| hash_of(keys, key);
        if self.len >= self.capacity || !self.shards[shard].has_room() {
            self.len -= self.shards[shard].purge(now, hash, &mut self.changes);
        }
        if self.len >= self.capacity {
            // Shards are about equally full, but in a very small table this one may be empty.
            let shards = self.shards.len();
            let evicted = (0..shards)
                .any(|step| self.shards[(shard + step) % shards].evict(hash, &mut self.changes));
            self.len -= usize::from(evicted);
        }
        if !self.shards[shard].has_room() {
            self.shards[shard].grow(hash, &mut self.changes);
        }
    }

    /// See [`Node::report_paths`](crate::Node::report_paths).
    pub(in crate::relay) fn report_paths(&mut self, wanted: bool) {
        if !wanted {
            self.clear_offers();
        }
        self.changes.report(wanted);
    }

    /// Whether a packet of a peer with this offer, or without one, is a reason to offer its path.
    #[inline]
    pub(in crate::relay) fn lacks_offer(&self, is_offered: bool) -> bool {
        !is_offered && self.changes.are_reported()
    }

    /// Offers the path of a valid peer, which leads to this mapping.
    pub(in crate::relay) fn offer(&mut self, key: Key, now: Tick, remote: SocketAddrV4) {
        if let Some(peer) = self.find(key, now) {
            peer.set_offered(true);
            let path = PeerPath {
                peer: peer.address(),
                own: None,
                port: None,
                remote,
                heard: peer.heard.start(),
            };
            self.changes.offer(path);
        }
    }

    /// Takes the path of a peer back, if it is offered.
    pub(in crate::relay) fn withdraw(&mut self, key: Key) {
        if !self.changes.are_reported() {
            return;
        }
        let (shard, hash) = self.place(key);
        if let Some(peer) = self.shards[shard].find(key, hash)
            && peer.is_offered()
        {
            peer.set_offered(false);
            self.changes.withdraw(peer.address());
        }
    }

    /// Takes all paths back.
    pub(in crate::relay) fn withdraw_all(&mut self) {
        self.changes.withdraw_all();
    }

    /// See [`Node::poll_path`](crate::Node::poll_path).
    pub(in crate::relay) fn poll_path(&mut self) -> Option<PathChange> {
        if self.changes.take_all() {
            self.clear_offers();
            return Some(PathChange::AllWithdrawn);
        }
        self.changes.pop()
    }

    /// Visits all peers: 20 MB of a million.
    fn clear_offers(&mut self) {
        for shard in &mut self.shards {
            for peer in &mut shard.places {
                peer.set_offered(false);
            }
        }
    }

    fn place(&self, key: Key) -> (usize, u32) {
        let hash = self.keys.hash(key);
        // The number of shards is a power of two.
        ((hash >> 32) as usize & (self.shards.len() - 1), hash as u32)
    }
}

/// The part of a key's hash that determines its place in a shard.
fn hash_of(keys: SipKeys, key: Key) -> u32 {
    keys.hash(key) as u32
}

/// How long an entry is valid after the last packet from the peer, in seconds (RFC 4380 §5.2.4, to which §5.4 refers).
pub(super) const VALIDITY: u32 = 30;

/// The least recently used of this many entries makes room.
const CANDIDATES: usize = 8;

/// A trusted peer: 20 bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::relay) struct Peer {
    key: Key,
    /// The last packet from the peer; [`Tick::NEVER`] marks an empty place.
    heard: Tick,
    /// The tick of the last packet to the peer, and [`OFFERED`] if its path is offered.
    sent: u32,
}

const _: () = assert!(size_of::<Peer>() == 20);

/// The bit that no tick has.
const OFFERED: u32 = 1 << 31;
const _: () = assert!(Tick::LATEST < OFFERED);

const EMPTY: Peer = Peer {
    key: Key::NOBODY,
    heard: Tick::NEVER,
    sent: 0,
};

impl Peer {
    pub(super) fn new(key: Key, now: Tick) -> Self {
        Self {
            key,
            heard: now,
            sent: now.0,
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
        self.sent = self.sent & OFFERED | now.0;
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
        self.heard.max(Tick(self.sent & !OFFERED))
    }

    pub(in crate::relay) fn is_offered(&self) -> bool {
        self.sent & OFFERED != 0
    }

    fn set_offered(&mut self, offered: bool) {
        self.sent = self.sent & !OFFERED | if offered { OFFERED } else { 0 };
    }

    fn address(&self) -> Ipv6Addr {
        TeredoAddress::from(self.key).to_ipv6()
    }

    /// The entry goes.
    fn leaves(&self, changes: &mut PathChanges) {
        if self.is_offered() {
            changes.withdraw(self.address());
        }
    }
}

/// A table for about a thousand peers. It is at most three quarters full, so a look-up reads a few adjacent places.
///
/// Methods that look for a place take the hash of the key from the caller.
#[derive(Debug, Default)]
pub(super) struct Shard {
    places: Vec<Peer>,
    len: usize,
    /// Where the next search for a least recently used entry starts.
    hand: usize,
    /// When expired entries were last swept.
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

    /// Adds a peer that is not in the table. There is room.
    pub(super) fn insert(&mut self, peer: Peer, hash: u32) {
        debug_assert!(self.has_room());
        if let Some(place) = self.probe(peer.key, hash) {
            self.places[place] = peer;
            self.len += 1;
        }
    }

    /// Removes expired entries, at most once a second, and shrinks the table to the rest. Returns the number removed.
    pub(super) fn purge(
        &mut self,
        now: Tick,
        hash: impl Fn(Key) -> u32,
        changes: &mut PathChanges,
    ) -> usize {
        if now.is_within(1, self.purged) {
            return 0;
        }
        self.purged = now;
        self.retain(|peer| peer.is_valid(now), hash, changes)
    }

    /// Removes the peers that `keep` rejects, and returns their number.
    pub(super) fn retain(
        &mut self,
        keep: impl Fn(&Peer) -> bool,
        hash: impl Fn(Key) -> u32,
        changes: &mut PathChanges,
    ) -> usize {
        let kept = self.peers().filter(|peer| keep(peer)).count();
        let gone = self.len - kept;
        if gone > 0 {
            // A table that is half used stays, because it would soon grow again.
            let places = if kept * 2 < entries_in(self.places.len()) {
                places_for(kept)
            } else {
                self.places.len()
            };
            self.rebuild(places, keep, hash, changes);
        }
        gone
    }

    /// Adds room for three eighths more, so a table is never much larger than necessary.
    pub(super) fn grow(&mut self, hash: impl Fn(Key) -> u32, changes: &mut PathChanges) {
        let entries = (self.len + self.len * 3 / 8).max(8);
        self.rebuild(places_for(entries), |_| true, hash, changes);
    }

    /// Removes the least recently used of some entries; `false` if there are none.
    pub(super) fn evict(&mut self, hash: impl Fn(Key) -> u32, changes: &mut PathChanges) -> bool {
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
                self.places[place].leaves(changes);
                self.remove_at(place, hash);
                true
            }
            None => false,
        }
    }

    /// The place of `key`, or the empty place where it would go; `None` if there are no places.
    fn probe(&self, key: Key, hash: u32) -> Option<usize> {
        let places = self.places.len();
        if places == 0 {
            return None;
        }
        let mut place = home(hash, places);
        // This ends, because a quarter of the places are empty.
        while !self.places[place].is_empty() && self.places[place].key != key {
            place = (place + 1) % places;
        }
        Some(place)
    }

    /// Empties a place, and moves up entries that a search would no longer find behind the gap.
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

    fn rebuild(
        &mut self,
        places: usize,
        keep: impl Fn(&Peer) -> bool,
        hash: impl Fn(Key) -> u32,
        changes: &mut PathChanges,
    ) {
        let earlier = std::mem::replace(&mut self.places, vec![EMPTY; places]);
        self.len = 0;
        self.hand = 0;
        for peer in earlier {
            if peer.is_empty() {
                continue;
            }
            if keep(&peer) {
                self.insert(peer, hash(peer.key));
            } else {
                peer.leaves(changes);
            }
        }
    }
}

/// The preferred place of a key: its hash scaled to the number of places, which need not be a power of two.
fn home(hash: u32, places: usize) -> usize {
    ((u64::from(hash) * places as u64) >> 32) as usize
}

/// How many entries fit into so many places: three quarters.
fn entries_in(places: usize) -> usize {
    places / 4 * 3
}

/// How many places so many entries need.
fn places_for(entries: usize) -> usize {
    entries.div_ceil(3) * 4
}
