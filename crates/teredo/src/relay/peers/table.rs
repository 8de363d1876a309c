//! The trusted peers.

use super::shard::{Peer, Shard};
use super::{Key, SipKeys, Tick};

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
