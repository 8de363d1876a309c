//! A bounded table of peers. Each peer has a key and a queue of packets; the least recently used one makes room.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::ops::{Index, IndexMut};

use siphasher::sip::SipHasher13;

/// The limits of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) peers: usize,
    /// The most bytes queued for one peer.
    pub(crate) queue_bytes: usize,
    /// The most bytes queued for all peers.
    pub(crate) total_queue_bytes: usize,
}

/// Hashes with a key from the node's seed: outsiders cannot choose keys that collide, and a replay is exact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SipKeys(pub(crate) u64, pub(crate) u64);

impl SipKeys {
    pub(crate) fn hash(self, what: impl Hash) -> u64 {
        self.hash_one(what)
    }
}

impl BuildHasher for SipKeys {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

/// Why a packet was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The packet does not fit into the peer's queue.
    Queue,
    /// All queues together are full.
    Total,
}

/// Entries in numbered slots, so that indices, lists and callers refer to them by a `u32`.
///
/// Every entry is in one of `LISTS` lists, each ordered by use. Entries of the first list make room before those of
/// the second, and so on.
#[derive(Debug)]
pub(crate) struct Slots<K, V, const LISTS: usize> {
    bounds: Bounds,
    slots: Vec<Slot<K, V>>,
    free: Vec<u32>,
    index: HashMap<K, u32, SipKeys>,
    lists: [List; LISTS],
    queued_bytes: usize,
    evicted_packets: usize,
}

#[derive(Debug)]
struct Slot<K, V> {
    key: K,
    value: V,
    queue: VecDeque<Vec<u8>>,
    queued_bytes: usize,
    /// The neighbours in the list.
    newer: u32,
    older: u32,
    list: u8,
}

/// The ends of a doubly linked list; the links are in the slots.
#[derive(Clone, Copy, Debug)]
struct List {
    newest: u32,
    oldest: u32,
    len: u32,
}

/// No slot.
const NONE: u32 = u32::MAX;

const EMPTY: List = List {
    newest: NONE,
    oldest: NONE,
    len: 0,
};

impl<K: Copy + Eq + Hash, V, const LISTS: usize> Slots<K, V, LISTS> {
    /// An empty table for at least one peer.
    pub(crate) fn new(bounds: Bounds, keys: SipKeys) -> Self {
        Self {
            bounds: Bounds {
                peers: bounds.peers.clamp(1, NONE as usize - 1),
                ..bounds
            },
            slots: Vec::new(),
            free: Vec::new(),
            index: HashMap::with_hasher(keys),
            lists: [EMPTY; LISTS],
            queued_bytes: 0,
            evicted_packets: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn find(&self, key: &K) -> Option<u32> {
        self.index.get(key).copied()
    }

    pub(crate) fn key(&self, slot: u32) -> K {
        self.slots[slot as usize].key
    }

    pub(crate) fn list(&self, slot: u32) -> usize {
        self.slots[slot as usize].list.into()
    }

    /// The entries, in an order that depends on the hash keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, K, &V)> {
        let entry = |&slot: &u32| (slot, self.key(slot), &self[slot]);
        self.index.values().map(entry)
    }

    /// The entry that makes room next.
    pub(crate) fn oldest(&self) -> Option<u32> {
        let mut oldest = self.lists.iter().map(|list| list.oldest);
        oldest.find(|&slot| slot != NONE)
    }

    /// The entry of this list that was not used for longest.
    pub(crate) fn oldest_in(&self, list: usize) -> Option<u32> {
        Some(self.lists[list].oldest).filter(|&slot| slot != NONE)
    }

    /// The entries of this list, the last used first.
    pub(crate) fn newest_of(&self, list: usize) -> impl Iterator<Item = u32> {
        let present = |slot: u32| (slot != NONE).then_some(slot);
        std::iter::successors(present(self.lists[list].newest), move |&slot| {
            present(self.slots[slot as usize].older)
        })
    }

    /// The number of entries in this list.
    pub(crate) fn len_of(&self, list: usize) -> usize {
        self.lists[list].len as usize
    }

    /// The most entries.
    pub(crate) fn capacity(&self) -> usize {
        self.bounds.peers
    }

    /// The entry that must be evicted before another one is inserted.
    pub(crate) fn surplus(&self) -> Option<u32> {
        let full = self.len() >= self.bounds.peers;
        full.then(|| self.oldest()).flatten()
    }

    /// Inserts an entry, the newest of the first list. The key is not in the table, and there is room.
    pub(crate) fn insert(&mut self, key: K, value: V) -> u32 {
        debug_assert!(self.find(&key).is_none() && self.surplus().is_none());
        let entry = Slot {
            key,
            value,
            queue: VecDeque::new(),
            queued_bytes: 0,
            newer: NONE,
            older: NONE,
            list: 0,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = entry;
                slot
            }
            None => {
                self.slots.push(entry);
                (self.slots.len() - 1) as u32
            }
        };
        self.index.insert(key, slot);
        self.link(slot, 0);
        slot
    }

    /// The entry, if there ever was one of this number; another one may have its place by now.
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut V> {
        self.slots
            .get_mut(slot as usize)
            .map(|slot| &mut slot.value)
    }

    /// Makes the entry the newest of its list.
    pub(crate) fn touch(&mut self, slot: u32) {
        self.move_to(slot, self.list(slot));
    }

    /// Makes the entry the newest of this list.
    pub(crate) fn move_to(&mut self, slot: u32, list: usize) {
        if self.lists[list].newest != slot {
            self.unlink(slot);
            self.link(slot, list);
        }
    }

    /// Removes an entry, and returns its queue.
    pub(crate) fn remove(&mut self, slot: u32) -> VecDeque<Vec<u8>> {
        self.unlink(slot);
        self.index.remove(&self.slots[slot as usize].key);
        self.free.push(slot);
        self.take_queue(slot)
    }

    /// Removes an entry, and counts its queue as lost.
    pub(crate) fn evict(&mut self, slot: u32) {
        self.evicted_packets += self.remove(slot).len();
    }

    /// The number of packets lost by evictions since the last call.
    pub(crate) fn take_evicted_packets(&mut self) -> usize {
        std::mem::take(&mut self.evicted_packets)
    }

    /// Removes all entries, and returns the number of packets that waited for them.
    pub(crate) fn clear(&mut self) -> usize {
        let waiting = self.slots.iter().map(|slot| slot.queue.len()).sum();
        self.slots.clear();
        self.free.clear();
        self.index.clear();
        self.lists = [EMPTY; LISTS];
        self.queued_bytes = 0;
        waiting
    }

    pub(crate) fn has_waiting(&self, slot: u32) -> bool {
        !self.slots[slot as usize].queue.is_empty()
    }

    /// The packets that wait for an entry, in order.
    pub(crate) fn waiting(&self, slot: u32) -> impl Iterator<Item = &Vec<u8>> {
        self.slots[slot as usize].queue.iter()
    }

    /// The packet that has waited longest.
    pub(crate) fn first_waiting(&self, slot: u32) -> Option<&[u8]> {
        let first = self.slots[slot as usize].queue.front();
        first.map(Vec::as_slice)
    }

    /// Removes that packet.
    pub(crate) fn drop_first_waiting(&mut self, slot: u32) {
        let entry = &mut self.slots[slot as usize];
        if let Some(packet) = entry.queue.pop_front() {
            entry.queued_bytes -= packet.len();
            self.queued_bytes -= packet.len();
        }
    }

    /// The bytes of all packets that wait.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// The bytes of the packets that wait for an entry.
    pub(crate) fn queued_bytes_of(&self, slot: u32) -> usize {
        self.slots[slot as usize].queued_bytes
    }

    /// Appends a packet to the queue of an entry.
    pub(crate) fn enqueue(&mut self, slot: u32, packet: &[u8]) -> Result<(), Full> {
        let entry = &mut self.slots[slot as usize];
        let queued = entry.queued_bytes + packet.len();
        let total = self.queued_bytes + packet.len();
        if queued > self.bounds.queue_bytes || queued > self.bounds.total_queue_bytes {
            return Err(Full::Queue);
        }
        if total > self.bounds.total_queue_bytes {
            return Err(Full::Total);
        }
        entry.queued_bytes = queued;
        entry.queue.push_back(packet.to_vec());
        self.queued_bytes = total;
        Ok(())
    }

    /// Empties the queue of an entry, and returns it in order.
    pub(crate) fn take_queue(&mut self, slot: u32) -> VecDeque<Vec<u8>> {
        let entry = &mut self.slots[slot as usize];
        self.queued_bytes -= std::mem::take(&mut entry.queued_bytes);
        std::mem::take(&mut entry.queue)
    }

    fn link(&mut self, slot: u32, list: usize) {
        let ends = &mut self.lists[list];
        ends.len += 1;
        let older = std::mem::replace(&mut ends.newest, slot);
        if older == NONE {
            ends.oldest = slot;
        } else {
            self.slots[older as usize].newer = slot;
        }
        let entry = &mut self.slots[slot as usize];
        (entry.newer, entry.older) = (NONE, older);
        // There are few lists.
        entry.list = list as u8;
    }

    fn unlink(&mut self, slot: u32) {
        let &Slot {
            newer, older, list, ..
        } = &self.slots[slot as usize];
        let ends = &mut self.lists[usize::from(list)];
        ends.len -= 1;
        if newer == NONE {
            ends.newest = older;
        } else {
            self.slots[newer as usize].older = older;
        }
        if older == NONE {
            ends.oldest = newer;
        } else {
            self.slots[older as usize].newer = newer;
        }
    }
}

impl<K, V, const LISTS: usize> Index<u32> for Slots<K, V, LISTS> {
    type Output = V;

    fn index(&self, slot: u32) -> &V {
        &self.slots[slot as usize].value
    }
}

impl<K, V, const LISTS: usize> IndexMut<u32> for Slots<K, V, LISTS> {
    fn index_mut(&mut self, slot: u32) -> &mut V {
        &mut self.slots[slot as usize].value
    }
}
