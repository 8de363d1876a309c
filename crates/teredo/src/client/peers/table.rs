//! The table behind the list of peers: entries, deadlines, and expected answers.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{Ipv6Addr, SocketAddrV4};

use super::{Contact, Peer};
use crate::Instant;
use crate::slots::{Bounds, SipKeys, Slots};
use crate::wire::TeredoAddress;

/// The list of peers with a path that the host has sent to. It makes room last; all others are in the first list.
const USED: usize = 1;

/// The list of recent peers.
#[derive(Debug)]
pub(in crate::client) struct Peers {
    slots: Slots<Ipv6Addr, Peer, 2>,
    /// Entries that are trusted.
    trusted: usize,
    deadlines: BTreeSet<(Instant, u32)>,
    /// Teredo peers being asked, by the mapping from which their direct answer will come.
    expected: HashMap<SocketAddrV4, u32, SipKeys>,
}

impl Peers {
    pub(in crate::client) fn new(bounds: Bounds, keys: [u64; 4]) -> Self {
        let [a, b, c, d] = keys;
        Self {
            slots: Slots::new(bounds, SipKeys(a, b)),
            trusted: 0,
            deadlines: BTreeSet::new(),
            expected: HashMap::with_hasher(SipKeys(c, d)),
        }
    }

    pub(in crate::client) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(in crate::client) fn trusted_len(&self) -> usize {
        self.trusted
    }

    pub(in crate::client) fn find(&self, address: &Ipv6Addr) -> Option<u32> {
        self.slots.find(address)
    }

    /// The entry for `address`; a new one replaces the oldest entry of a full table (R4380-5.2-06).
    pub(in crate::client) fn find_or_insert(&mut self, address: Ipv6Addr) -> u32 {
        if let Some(slot) = self.find(&address) {
            return slot;
        }
        if let Some(oldest) = self.slots.surplus() {
            self.evict(oldest);
        }
        self.slots.insert(address, Peer::default())
    }

    pub(in crate::client) fn peer(&self, slot: u32) -> &Peer {
        &self.slots[slot]
    }

    pub(in crate::client) fn peer_mut(&mut self, slot: u32) -> &mut Peer {
        &mut self.slots[slot]
    }

    pub(in crate::client) fn address(&self, slot: u32) -> Ipv6Addr {
        self.slots.key(slot)
    }

    /// The peer was heard.
    pub(in crate::client) fn touch(&mut self, slot: u32) {
        self.slots.touch(slot);
    }

    /// The host sends to the peer, and there is a path.
    pub(in crate::client) fn touch_used(&mut self, slot: u32) {
        self.slots.move_to(slot, USED);
    }

    /// The path to the peer is proven: trust it, end the contact, and return what waited, in order.
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

    /// Starts or continues a verification; a Teredo peer's answer will come from `expected`.
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
            if let Some(teredo) = TeredoAddress::from_ipv6(self.address(slot))
                && self.awaited_from(&teredo.mapped) == Some(slot)
            {
                self.expected.remove(&teredo.mapped);
            }
        }
    }

    /// The peer whose direct answer is expected from `mapping`.
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

    /// The host has a packet for the peer. If it is the first in the queue, the contact starts over, because a contact
    /// that a stranger provoked sends only one test.
    pub(in crate::client) fn renew_contact(&mut self, slot: u32) {
        if !self.slots.has_waiting(slot)
            && let Some(contact) = &mut self.slots[slot].contact
        {
            contact.attempts = contact.attempts.min(1);
        }
    }

    /// Appends a packet to the peer's queue, unless that or all queues together are full (R4380-5.2.4-11).
    pub(in crate::client) fn enqueue(&mut self, slot: u32, packet: &[u8]) -> bool {
        self.slots.enqueue(slot, packet).is_ok()
    }

    /// Empties the peer's queue, and returns it in order.
    pub(in crate::client) fn take_queue(&mut self, slot: u32) -> VecDeque<Vec<u8>> {
        self.slots.take_queue(slot)
    }

    /// The number of packets lost with evicted entries since the last call.
    pub(in crate::client) fn take_evicted_packets(&mut self) -> usize {
        self.slots.take_evicted_packets()
    }

    /// Removes the peers that `keep` rejects, by address and mapping, and returns the number of packets that waited for
    /// them.
    pub(in crate::client) fn retain(
        &mut self,
        keep: impl Fn(Ipv6Addr, Option<SocketAddrV4>) -> bool,
    ) -> usize {
        let refused: Vec<u32> = self
            .slots
            .iter()
            .filter(|&(_, address, peer)| !keep(address, peer.mapping))
            .map(|(slot, ..)| slot)
            .collect();
        for slot in refused {
            self.evict(slot);
        }
        self.take_evicted_packets()
    }

    /// Removes every peer, and returns the number of packets that waited for them.
    pub(in crate::client) fn clear(&mut self) -> usize {
        self.trusted = 0;
        self.deadlines.clear();
        self.expected.clear();
        self.slots.clear()
    }

    fn evict(&mut self, slot: u32) {
        self.end_contact(slot);
        self.trusted -= usize::from(self.peer(slot).trusted);
        self.slots.evict(slot);
    }
}
