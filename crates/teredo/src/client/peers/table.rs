//! The table behind the list of peers: slots, an index by address, deadlines, and the queues' budget.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::net::{Ipv6Addr, SocketAddrV4};

use siphasher::sip::SipHasher13;

use super::{Contact, Peer};
use crate::Instant;
use crate::lru::{LinkStore, Links, Lru};

/// Hashes with a key from the client's seed: nobody outside can aim at a bucket, and a replay is exact.
#[derive(Clone, Debug)]
struct Keyed(u64, u64);

impl BuildHasher for Keyed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

#[derive(Debug)]
struct Slot {
    address: Ipv6Addr,
    peer: Peer,
    links: Links,
}

#[derive(Debug, Default)]
struct Slots(Vec<Slot>);

impl LinkStore for Slots {
    fn links(&mut self, slot: u32) -> &mut Links {
        &mut self.0[slot as usize].links
    }
}

/// The limits of the table.
#[derive(Clone, Copy, Debug)]
pub(in crate::client) struct Bounds {
    pub(in crate::client) peers: usize,
    pub(in crate::client) queue_bytes: usize,
    pub(in crate::client) total_queue_bytes: usize,
}

/// The list of recent peers.
#[derive(Debug)]
pub(in crate::client) struct Peers {
    bounds: Bounds,
    slots: Slots,
    free: Vec<u32>,
    index: HashMap<Ipv6Addr, u32, Keyed>,
    /// Peers that the host has had something for, and whose path was found.
    used: Lru,
    /// Everybody else.
    strangers: Lru,
    /// Entries of either kind that are trusted.
    trusted: usize,
    deadlines: BTreeSet<(Instant, u32)>,
    /// Teredo peers being asked, by the mapping that their direct answer will come from.
    expected: HashMap<SocketAddrV4, u32, Keyed>,
    total_queued_bytes: usize,
    evicted_packets: usize,
}

impl Peers {
    pub(in crate::client) fn new(bounds: Bounds, keys: [u64; 4]) -> Self {
        let bounds = Bounds {
            peers: bounds.peers.clamp(1, u32::MAX as usize - 1),
            ..bounds
        };
        Self {
            bounds,
            slots: Slots::default(),
            free: Vec::new(),
            index: HashMap::with_hasher(Keyed(keys[0], keys[1])),
            used: Lru::default(),
            strangers: Lru::default(),
            trusted: 0,
            deadlines: BTreeSet::new(),
            expected: HashMap::with_hasher(Keyed(keys[2], keys[3])),
            total_queued_bytes: 0,
            evicted_packets: 0,
        }
    }

    pub(in crate::client) fn len(&self) -> usize {
        self.used.len() + self.strangers.len()
    }

    pub(in crate::client) fn trusted_len(&self) -> usize {
        self.trusted
    }

    pub(in crate::client) fn find(&self, address: &Ipv6Addr) -> Option<u32> {
        self.index.get(address).copied()
    }

    /// The entry for `address`, made if there is none; a full table loses its oldest (R4380-5.2-06).
    pub(in crate::client) fn find_or_insert(&mut self, address: Ipv6Addr) -> u32 {
        if let Some(slot) = self.find(&address) {
            return slot;
        }
        if self.len() >= self.bounds.peers {
            // The bound is at least one, so a full table has an oldest entry.
            if let Some(oldest) = self.strangers.oldest().or_else(|| self.used.oldest()) {
                self.remove(oldest);
            }
        }
        let entry = Slot {
            address,
            peer: Peer::default(),
            links: Links::default(),
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots.0[slot as usize] = entry;
                slot
            }
            None => {
                self.slots.0.push(entry);
                (self.slots.0.len() - 1) as u32
            }
        };
        self.index.insert(address, slot);
        self.strangers.insert(&mut self.slots, slot);
        slot
    }

    pub(in crate::client) fn peer(&self, slot: u32) -> &Peer {
        &self.slots.0[slot as usize].peer
    }

    pub(in crate::client) fn peer_mut(&mut self, slot: u32) -> &mut Peer {
        &mut self.slots.0[slot as usize].peer
    }

    pub(in crate::client) fn address(&self, slot: u32) -> Ipv6Addr {
        self.slots.0[slot as usize].address
    }

    /// The peer was heard.
    pub(in crate::client) fn touch(&mut self, slot: u32) {
        let list = if self.peer(slot).used {
            &mut self.used
        } else {
            &mut self.strangers
        };
        list.touch(&mut self.slots, slot);
    }

    /// The host has something for the peer, and there is a path.
    pub(in crate::client) fn touch_used(&mut self, slot: u32) {
        if self.peer(slot).used {
            self.used.touch(&mut self.slots, slot);
        } else {
            self.strangers.remove(&mut self.slots, slot);
            self.used.insert(&mut self.slots, slot);
            self.peer_mut(slot).used = true;
        }
    }

    /// The path to the peer is proven: trust it, end the contact, and hand out what waited, in order.
    pub(in crate::client) fn verify(
        &mut self,
        now: Instant,
        slot: u32,
        mapping: SocketAddrV4,
    ) -> impl Iterator<Item = Vec<u8>> + use<> {
        if self.peer(slot).contact.is_some() {
            self.touch_used(slot);
        } else {
            self.touch(slot);
        }
        self.trusted += usize::from(!self.peer(slot).trusted);
        self.peer_mut(slot).verified(now, mapping);
        self.end_contact(slot);
        self.take_queue(slot).into_iter()
    }

    /// Starts or moves on a verification; `expected` is where a Teredo peer's answer will come from.
    pub(in crate::client) fn set_contact(
        &mut self,
        slot: u32,
        contact: Contact,
        expected: Option<SocketAddrV4>,
    ) {
        self.end_contact(slot);
        self.deadlines.insert((contact.due, slot));
        if let Some(mapping) = expected {
            self.expected.insert(mapping, slot);
        }
        self.peer_mut(slot).contact = Some(contact);
    }

    pub(in crate::client) fn end_contact(&mut self, slot: u32) {
        if let Some(contact) = self.peer_mut(slot).contact.take() {
            self.deadlines.remove(&(contact.due, slot));
            if let Some(mapped) =
                crate::wire::TeredoAddress::from_ipv6(self.address(slot)).map(|a| a.mapped)
                && self.expected.get(&mapped) == Some(&slot)
            {
                self.expected.remove(&mapped);
            }
        }
    }

    /// The peer whose direct answer is awaited from `mapping`.
    pub(in crate::client) fn awaited_from(&self, mapping: &SocketAddrV4) -> Option<u32> {
        self.expected.get(mapping).copied()
    }

    pub(in crate::client) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// The next entry whose contact is due.
    pub(in crate::client) fn due(&self, now: Instant) -> Option<u32> {
        self.deadlines
            .first()
            .filter(|&&(at, _)| at <= now)
            .map(|&(_, slot)| slot)
    }

    /// Appends a packet to the peer's queue, unless it or all queues together are full (R4380-5.2.4-11).
    pub(in crate::client) fn enqueue(&mut self, slot: u32, packet: &[u8]) -> bool {
        let queued = self.peer(slot).queued_bytes + packet.len();
        let total = self.total_queued_bytes + packet.len();
        if queued > self.bounds.queue_bytes || total > self.bounds.total_queue_bytes {
            return false;
        }
        self.total_queued_bytes = total;
        let peer = self.peer_mut(slot);
        peer.queued_bytes = queued;
        peer.queue.push_back(packet.to_vec());
        true
    }

    /// What waits for the peer, in order; nothing waits any more.
    pub(in crate::client) fn take_queue(
        &mut self,
        slot: u32,
    ) -> std::collections::VecDeque<Vec<u8>> {
        let peer = self.peer_mut(slot);
        let bytes = std::mem::take(&mut peer.queued_bytes);
        let queue = std::mem::take(&mut peer.queue);
        self.total_queued_bytes -= bytes;
        queue
    }

    /// How many packets were lost with their evicted entries since the last call.
    pub(in crate::client) fn take_evicted_packets(&mut self) -> usize {
        std::mem::take(&mut self.evicted_packets)
    }

    /// Forgets the peers that `keep` refuses, by address and mapping, and returns how many packets waited for them.
    pub(in crate::client) fn retain(
        &mut self,
        keep: impl Fn(Ipv6Addr, Option<SocketAddrV4>) -> bool,
    ) -> usize {
        let refused =
            |&(address, slot): &(&Ipv6Addr, &u32)| !keep(*address, self.peer(*slot).mapping);
        let refused: Vec<u32> = self
            .index
            .iter()
            .filter(refused)
            .map(|(_, slot)| *slot)
            .collect();
        for slot in refused {
            self.remove(slot);
        }
        self.take_evicted_packets()
    }

    /// Forgets every peer and returns how many packets waited for them.
    pub(in crate::client) fn clear(&mut self) -> usize {
        let waiting = self.slots.0.iter().map(|slot| slot.peer.queue.len()).sum();
        self.slots.0.clear();
        self.free.clear();
        self.index.clear();
        self.used = Lru::default();
        self.strangers = Lru::default();
        self.trusted = 0;
        self.deadlines.clear();
        self.expected.clear();
        self.total_queued_bytes = 0;
        waiting
    }

    fn remove(&mut self, slot: u32) {
        self.end_contact(slot);
        self.evicted_packets += self.take_queue(slot).len();
        let list = if self.peer(slot).used {
            &mut self.used
        } else {
            &mut self.strangers
        };
        list.remove(&mut self.slots, slot);
        self.trusted -= usize::from(self.peer(slot).trusted);
        self.index.remove(&self.slots.0[slot as usize].address);
        self.free.push(slot);
    }
}
