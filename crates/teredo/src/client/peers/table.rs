//! The table behind the list of peers: entries, deadlines, and expected answers.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use super::offers::Offers;
use super::{Contact, MEMORY, Path, Peer, VALIDITY};
use crate::Instant;
use crate::client::reachability::Forward;
use crate::slots::{Bounds, Full, SipKeys, Slots};
use crate::wire::TeredoAddress;

/// Peers that contacted the host, which has sent them nothing.
const STRANGERS: usize = 0;
/// Peers that contacted the host, and that it has sent to over their path.
const ANSWERED: usize = 1;
/// Peers that the host contacts.
const BEGUN: usize = 2;
/// Peers that the host contacted, and that it has sent to over their path.
const USED: usize = 3;
/// From a class without a path to the one with a path.
const HAS_PATH: usize = 1;
const _: () = assert!(STRANGERS | HAS_PATH == ANSWERED && BEGUN | HAS_PATH == USED);

/// The divisor for the share of one outer address in the table.
const OUTER_SHARE: usize = 64;
/// The share of one outer address in a small table.
const OUTER_LEAST: usize = 16;
/// The divisors for the shares that these classes keep of a full table.
const STRANGERS_SHARE: usize = 8;
const BEGUN_SHARE: usize = 2;
/// How many entries of an outer address are looked at for one that is not in use.
const SECOND_CHANCES: usize = 8;
/// The most aged entries that one call removes.
const SWEEP: usize = 1024;

/// The list of recent peers.
#[derive(Debug)]
pub(in crate::client) struct Peers {
    pub(super) slots: Slots<Ipv6Addr, Peer, 4>,
    /// Entries that are trusted.
    trusted: usize,
    deadlines: BTreeSet<(Instant, u32)>,
    /// Teredo peers being asked, by the mapping from which their direct answer will come.
    expected: HashMap<SocketAddrV4, u32, SipKeys>,
    outers: Outers,
    waiting: Waiting,
    lost_packets: usize,
    pub(super) offers: Offers,
}

/// The peers that contacted the host, by their outer address and the time of their use.
#[derive(Debug)]
struct Outers {
    listed: BTreeSet<(Ipv4Addr, Instant, u32)>,
    counts: HashMap<Ipv4Addr, usize, SipKeys>,
}

/// The answers of the host that wait for peers that contacted it. They have half of the space for all packets, and the
/// oldest ones make room, so the host's own contacts always have the other half.
#[derive(Debug)]
struct Waiting {
    order: BTreeSet<(Instant, u32)>,
    bytes: usize,
    most_bytes: usize,
}

impl Peers {
    pub(in crate::client) fn new(bounds: Bounds, keys: [u64; 4]) -> Self {
        let [a, b, c, d] = keys;
        Self {
            slots: Slots::new(bounds, SipKeys(a, b)),
            trusted: 0,
            deadlines: BTreeSet::new(),
            expected: HashMap::with_hasher(SipKeys(c, d)),
            outers: Outers {
                listed: BTreeSet::new(),
                counts: HashMap::with_hasher(SipKeys(c, d)),
            },
            waiting: Waiting {
                order: BTreeSet::new(),
                bytes: 0,
                most_bytes: bounds.total_queue_bytes / 2,
            },
            lost_packets: 0,
            offers: Offers::default(),
        }
    }

    pub(in crate::client) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(in crate::client) fn trusted_len(&self) -> usize {
        self.trusted
    }

    /// All entries: those with a path first, the last used of each class first.
    pub(in crate::client) fn by_use(&self) -> impl Iterator<Item = u32> {
        let classes = [USED, ANSWERED, BEGUN, STRANGERS];
        let newest = |class| self.slots.newest_of(class);
        classes.into_iter().flat_map(newest)
    }

    pub(in crate::client) fn find(&self, address: &Ipv6Addr) -> Option<u32> {
        self.slots.find(address)
    }

    /// The entry for `address`. A new one replaces another of its outer address, or of a full table (R4380-5.2-06).
    /// `outer` is the outer address that a packet of the peer came from; `None` if the host begins.
    pub(in crate::client) fn find_or_insert(
        &mut self,
        now: Instant,
        address: Ipv6Addr,
        outer: Option<Ipv4Addr>,
    ) -> u32 {
        if let Some(slot) = self.find(&address) {
            return slot;
        }
        if let Some(outer) = outer {
            self.make_room_for(outer);
        }
        self.make_room(now);
        let peer = Peer {
            created: now,
            ..Peer::default()
        };
        let slot = self.slots.insert(address, peer);
        match outer {
            Some(outer) => self.list(slot, outer, now),
            None => self.slots.move_to(slot, BEGUN),
        }
        slot
    }

    pub(in crate::client) fn peer(&self, slot: u32) -> &Peer {
        &self.slots[slot]
    }

    /// The entry, to be changed. If its path is offered, that is compared with the entry by the next
    /// [`poll_path`](Self::poll_path).
    pub(in crate::client) fn peer_mut(&mut self, slot: u32) -> &mut Peer {
        if self.slots[slot].has_offer() {
            self.list_changed(slot);
        }
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
        self.slots.move_to(slot, self.slots.list(slot) | HAS_PATH);
    }

    /// The host contacts a peer that may have contacted it before.
    pub(in crate::client) fn begin(&mut self, slot: u32) {
        self.stop_waiting(slot);
        self.unlist(slot);
        self.slots.move_to(slot, BEGUN);
    }

    /// A peer that contacted the host counts for this outer address from now on.
    pub(in crate::client) fn attribute(&mut self, now: Instant, slot: u32, outer: Ipv4Addr) {
        let counted = self.peer(slot).outer;
        if counted.is_some_and(|counted| counted != outer) {
            self.unlist(slot);
            self.make_room_for(outer);
            self.list(slot, outer, now);
        }
    }

    /// The path to the peer is proven: trusts it, ends the contact, and returns the packets that waited, in order.
    pub(in crate::client) fn verify(
        &mut self,
        now: Instant,
        slot: u32,
        path: Path,
    ) -> impl Iterator<Item = Vec<u8>> + use<> {
        self.trust(now, slot, path);
        self.peer_mut(slot).verified(now, path);
        self.end_contact(slot);
        let was_sent = self.peer(slot).sent_ahead;
        let waiting = self.take_queue(slot).into_iter();
        waiting.filter(move |_| !was_sent)
    }

    /// The peer was heard over this path, and may not hear us: trusts it, and returns copies of the packets that waited,
    /// unless they were sent. The contact goes on.
    pub(in crate::client) fn trust_ahead(
        &mut self,
        now: Instant,
        slot: u32,
        path: Path,
    ) -> Vec<Vec<u8>> {
        self.trust(now, slot, path);
        self.peer_mut(slot).verified_ahead(now, path);
        let has_waiting = self.slots.has_waiting(slot);
        let was_sent = std::mem::replace(&mut self.peer_mut(slot).sent_ahead, has_waiting);
        let waiting = self.slots.waiting(slot).filter(|_| !was_sent);
        waiting.cloned().collect()
    }

    /// The peer does not hear us: there is no path. What was sent waits again.
    pub(in crate::client) fn refute(&mut self, now: Instant, slot: u32) {
        self.trusted -= usize::from(self.peer(slot).trusted);
        let peer = self.peer_mut(slot);
        peer.trusted = false;
        peer.sent_ahead = false;
        peer.forward = Forward::Refuted(now);
    }

    /// Our NAT treats all peers in another way from now on, so the failed attempts no longer count. Paths over which the peers
    /// hear us stay.
    pub(in crate::client) fn forget_attempts(&mut self) {
        let unconfirmed = |peer: &Peer| !(peer.trusted && peer.forward == Forward::Confirmed);
        let slots = self.slots.iter();
        let slots = slots.filter(|(.., peer)| unconfirmed(peer));
        let slots: Vec<u32> = slots.map(|(slot, ..)| slot).collect();
        for slot in slots {
            self.trusted -= usize::from(self.peer(slot).trusted);
            self.peer_mut(slot).forget_attempts();
        }
    }

    fn trust(&mut self, now: Instant, slot: u32, path: Path) {
        // A test that only a stranger's packet caused makes it no peer that the host has answered.
        if self.slots.has_waiting(slot) {
            self.touch_used(slot);
        } else {
            self.touch(slot);
        }
        // A forged packet may have brought the entry.
        self.attribute(now, slot, *path.from.ip());
        self.trusted += usize::from(!self.peer(slot).trusted);
    }

    /// A random port was closed: what goes through it is no path any more.
    pub(in crate::client) fn lose_port(&mut self, slot: u32, number: u16) {
        let peer = self.peer_mut(slot);
        let through = |path: &Path| path.port == Some(number);
        peer.half_path = peer.half_path.filter(|path| !through(path));
        if peer.proven.as_ref().is_some_and(through) {
            peer.proven = None;
            let was_trusted = std::mem::take(&mut peer.trusted);
            self.trusted -= usize::from(was_trusted);
        }
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
        self.peer_mut(slot).opening = None;
        if let Some(contact) = self.peer_mut(slot).contact.take() {
            self.deadlines.remove(&(contact.due, slot));
            if let Some(teredo) = TeredoAddress::from_ipv6(self.address(slot))
                && self.awaited_from(&teredo.mapped) == Some(slot)
            {
                self.expected.remove(&teredo.mapped);
            }
        }
    }

    /// Changes when the next transmission of a verification is due.
    pub(in crate::client) fn set_due(&mut self, slot: u32, due: Instant) {
        if let Some(contact) = &mut self.slots[slot].contact {
            self.deadlines.remove(&(contact.due, slot));
            self.deadlines.insert((due, slot));
            contact.due = due;
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
    pub(in crate::client) fn enqueue(&mut self, now: Instant, slot: u32, packet: &[u8]) -> bool {
        // There is no path, or not any more.
        self.peer_mut(slot).sent_ahead = false;
        if self.slots[slot].outer.is_none() {
            return self.slots.enqueue(slot, packet).is_ok();
        }
        loop {
            let within_share = self.waiting.bytes + packet.len() <= self.waiting.most_bytes;
            if within_share {
                match self.slots.enqueue(slot, packet) {
                    Ok(()) => break,
                    Err(Full::Queue) => return false,
                    Err(Full::Total) => {}
                }
            }
            match self.waiting.order.first() {
                Some(&(_, oldest)) if oldest != slot => {
                    self.lost_packets += self.take_queue(oldest).len();
                }
                _ => return false,
            }
        }
        self.waiting.bytes += packet.len();
        let since = *self.slots[slot].waiting_since.get_or_insert(now);
        self.waiting.order.insert((since, slot));
        true
    }

    /// The packet for the peer that has waited longest.
    pub(in crate::client) fn first_waiting(&self, slot: u32) -> Option<&[u8]> {
        self.slots.first_waiting(slot)
    }

    /// Removes that packet. The host began, so it counts for nobody else.
    pub(in crate::client) fn drop_first_waiting(&mut self, slot: u32) {
        if self.slots[slot].outer.is_none() {
            self.slots.drop_first_waiting(slot);
        }
    }

    /// Empties the peer's queue, and returns it in order.
    pub(in crate::client) fn take_queue(&mut self, slot: u32) -> VecDeque<Vec<u8>> {
        self.stop_waiting(slot);
        self.peer_mut(slot).sent_ahead = false;
        self.slots.take_queue(slot)
    }

    /// The number of packets since the last call that were lost because others needed their room.
    pub(in crate::client) fn take_evicted_packets(&mut self) -> usize {
        std::mem::take(&mut self.lost_packets) + self.slots.take_evicted_packets()
    }

    /// Removes the peers that were not used for long, a limited number in a call.
    pub(in crate::client) fn age(&mut self, now: Instant) {
        for list in [STRANGERS, ANSWERED, BEGUN, USED] {
            for _ in 0..SWEEP {
                let Some(aged) = self.idle_in(list, now, MEMORY) else {
                    break;
                };
                self.evict(aged);
            }
        }
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
            .filter(|&(_, address, peer)| !keep(address, peer.proven.map(|path| path.to)))
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
        self.outers.listed.clear();
        self.outers.counts.clear();
        self.waiting.order.clear();
        self.waiting.bytes = 0;
        self.withdraw_all();
        self.slots.clear()
    }

    /// Makes room in a full table. Aged entries go first, then strangers beyond their share, then the least recently
    /// used of the next class.
    fn make_room(&mut self, now: Instant) {
        let Some(surplus) = self.slots.surplus() else {
            return;
        };
        let aged = (self.idle_in(USED, now, MEMORY))
            .or_else(|| self.idle_in(BEGUN, now, MEMORY))
            .or_else(|| self.idle_in(ANSWERED, now, VALIDITY));
        let exceeds = |list, share| self.slots.len_of(list) > self.slots.capacity() / share;
        let next = if exceeds(STRANGERS, STRANGERS_SHARE) {
            STRANGERS
        } else if exceeds(BEGUN, BEGUN_SHARE) {
            BEGUN
        } else {
            ANSWERED
        };
        let next = aged.or_else(|| self.slots.oldest_in(next));
        self.evict(next.unwrap_or(surplus));
    }

    /// Makes room within the share of an outer address: its least recently used entry, or nearly so, goes.
    fn make_room_for(&mut self, outer: Ipv4Addr) {
        let share = (self.slots.capacity() / OUTER_SHARE).max(OUTER_LEAST);
        if self.outers.counts.get(&outer).copied().unwrap_or(0) < share {
            return;
        }
        for chances in (0..SECOND_CHANCES).rev() {
            let first = (outer, Instant::default(), 0);
            let Some(&(_, listed, slot)) = self.outers.listed.range(first..).next() else {
                return;
            };
            let used = self.peer(slot).last_active();
            if used <= listed || chances == 0 {
                self.evict(slot);
                return;
            }
            self.unlist(slot);
            self.list(slot, outer, used);
        }
    }

    fn list(&mut self, slot: u32, outer: Ipv4Addr, at: Instant) {
        let peer = &mut self.slots[slot];
        peer.outer = Some(outer);
        peer.listed = at;
        self.outers.listed.insert((outer, at, slot));
        *self.outers.counts.entry(outer).or_default() += 1;
    }

    fn unlist(&mut self, slot: u32) {
        let peer = &mut self.slots[slot];
        let Some(outer) = peer.outer.take() else {
            return;
        };
        self.outers.listed.remove(&(outer, peer.listed, slot));
        if let Some(count) = self.outers.counts.get_mut(&outer) {
            *count -= 1;
            if *count == 0 {
                self.outers.counts.remove(&outer);
            }
        }
    }

    /// Stops counting the packets that wait for the peer as answers to a stranger.
    fn stop_waiting(&mut self, slot: u32) {
        if let Some(since) = self.slots[slot].waiting_since.take() {
            self.waiting.bytes -= self.slots.queued_bytes_of(slot);
            self.waiting.order.remove(&(since, slot));
        }
    }

    /// Compares each count and each list with the entries.
    #[cfg(test)]
    pub(in crate::client) fn assert_consistent(&self) {
        let entries: Vec<_> = self.slots.iter().collect();
        let of = |counted: &dyn Fn(u32, &Peer) -> bool| {
            let slots = entries
                .iter()
                .filter(|(slot, _, peer)| counted(*slot, peer));
            slots.map(|&(slot, ..)| slot).collect::<BTreeSet<u32>>()
        };
        assert_eq!(self.trusted, of(&|_, peer| peer.trusted).len());
        let due: BTreeSet<_> = self.deadlines.iter().map(|&(_, slot)| slot).collect();
        assert_eq!(due, of(&|_, peer| peer.contact.is_some()));
        assert_eq!(due.len(), self.deadlines.len());
        let listed: BTreeSet<_> = self.outers.listed.iter().map(|&(.., slot)| slot).collect();
        assert_eq!(listed, of(&|_, peer| peer.outer.is_some()));
        assert_eq!(listed.len(), self.outers.listed.len());
        assert_eq!(listed.len(), self.outers.counts.values().sum::<usize>());
        let waiting: BTreeSet<_> = self.waiting.order.iter().map(|&(_, slot)| slot).collect();
        let waits = |slot, peer: &Peer| peer.outer.is_some() && self.slots.has_waiting(slot);
        assert_eq!(waiting, of(&waits));
        let bytes = waiting.iter().map(|&slot| self.slots.queued_bytes_of(slot));
        assert_eq!(bytes.sum::<usize>(), self.waiting.bytes);
        let bytes = entries
            .iter()
            .map(|&(slot, ..)| self.slots.queued_bytes_of(slot));
        assert_eq!(bytes.sum::<usize>(), self.slots.queued_bytes());
        assert!(self.waiting.bytes <= self.waiting.most_bytes);
        assert!(entries.iter().all(|&(slot, _, peer)| {
            let begun = [BEGUN, USED].contains(&self.slots.list(slot));
            begun == peer.outer.is_none()
        }));
    }

    /// The least recently used entry of a class, if it was not used for so long.
    fn idle_in(&self, list: usize, now: Instant, long: Duration) -> Option<u32> {
        let oldest = self.slots.oldest_in(list)?;
        let peer = self.peer(oldest);
        (peer.contact.is_none() && peer.idle(now) >= long).then_some(oldest)
    }

    fn evict(&mut self, slot: u32) {
        self.stop_waiting(slot);
        self.unlist(slot);
        self.end_contact(slot);
        self.trusted -= usize::from(self.peer(slot).trusted);
        self.withdraw(slot);
        self.slots.evict(slot);
    }
}
