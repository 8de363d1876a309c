//! The entries whose paths are offered.

use std::net::Ipv6Addr;
use std::ops::Deref;

use super::table::Peers;
use super::{Path, Peer};
use crate::client::reachability::Forward;
use crate::paths::PathChanges;
use crate::{Instant, PathChange, PeerPath};

/// The most entries that wait to be compared. There are more only if nobody polls; then all paths are taken back.
const MOST_CHANGED: usize = 1 << 16;

/// The offers of a list of peers.
#[derive(Debug, Default)]
pub(super) struct Offers {
    pub(super) changes: PathChanges,
    /// The entries with an offer that have changed since they were compared last.
    changed: Vec<u32>,
}

/// The offer of a peer.
#[derive(Debug, Default)]
pub(super) struct Offer {
    path: Option<Path>,
    /// Whether the entry is listed as changed.
    is_listed: bool,
}

impl Peers {
    /// See [`Node::report_paths`](crate::Node::report_paths).
    pub(in crate::client) fn report_paths(&mut self, wanted: bool) {
        if !wanted {
            self.clear_offers();
        }
        self.offers.changes.report(wanted);
    }

    /// Whether paths are reported.
    #[inline]
    pub(in crate::client) fn reports_paths(&self) -> bool {
        self.offers.changes.are_reported()
    }

    /// Offers the peer's path, unless the peer is being asked or packets wait for it.
    pub(in crate::client) fn offer(&mut self, slot: u32, path: Path, own: Ipv6Addr) {
        if !self.holds(slot, path) {
            return;
        }
        let peer = self.address(slot);
        let entry = &mut self.slots[slot];
        entry.offer.path = Some(path);
        self.offers.changes.offer(PeerPath {
            peer,
            own: Some(own),
            port: path.port,
            remote: path.to,
            heard: entry.last_reception.unwrap_or_default(),
        });
    }

    /// Takes all paths back: the client's address or its state has changed.
    pub(in crate::client) fn withdraw_all(&mut self) {
        self.offers.changed.clear();
        self.offers.changes.withdraw_all();
    }

    /// See [`Node::poll_path`](crate::Node::poll_path).
    pub(in crate::client) fn poll_path(&mut self) -> Option<PathChange> {
        if self.offers.changes.take_all() {
            self.clear_offers();
            return Some(PathChange::AllWithdrawn);
        }
        while let Some(slot) = self.offers.changed.pop() {
            self.compare(slot);
        }
        self.offers.changes.pop()
    }

    /// The entry is about to change, or to go.
    #[cold]
    #[inline(never)]
    pub(super) fn list_changed(&mut self, slot: u32) {
        let offer = &mut self.slots[slot].offer;
        if std::mem::replace(&mut offer.is_listed, true) {
            return;
        }
        if self.offers.changed.len() == MOST_CHANGED {
            self.withdraw_all();
        }
        self.offers.changed.push(slot);
    }

    /// Takes the peer's path back, if it is offered.
    pub(super) fn withdraw(&mut self, slot: u32) {
        if self.slots[slot].offer.path.take().is_some() {
            let peer = self.address(slot);
            self.offers.changes.withdraw(peer);
        }
    }

    /// Takes back what holds no longer.
    fn compare(&mut self, slot: u32) {
        // Another entry may have the place by now.
        let Some(entry) = self.slots.get_mut(slot) else {
            return;
        };
        entry.offer.is_listed = false;
        if let Some(path) = entry.offer.path
            && !self.holds(slot, path)
        {
            self.withdraw(slot);
        }
    }

    /// Whether packets of the peer take this path, and its age alone can end that.
    fn holds(&self, slot: u32, path: Path) -> bool {
        let peer = self.peer(slot);
        peer.trusted
            && peer.proven == Some(path)
            && peer.forward == Forward::Confirmed
            && peer.contact.is_none()
            && !self.slots.has_waiting(slot)
    }

    fn clear_offers(&mut self) {
        self.offers.changed.clear();
        for slot in self.by_use().collect::<Vec<_>>() {
            self.slots[slot].offer = Offer::default();
        }
    }
}

impl Peer {
    #[inline]
    pub(in crate::client) fn has_offer(&self) -> bool {
        self.offer.path.is_some()
    }

    /// Whether a packet of the peer is a reason to offer its path. If it was silent for 30 s before, the caller may have given
    /// an offered one up.
    #[inline]
    pub(in crate::client) fn lacks_offer(&self, now: Instant) -> bool {
        !self.has_offer() || self.path(now).is_none()
    }
}

/// A peer whose path packets take. They change times and counters alone, so nothing is compared.
#[derive(Debug)]
pub(in crate::client) struct InUse<'a>(&'a mut Peer);

impl Deref for InUse<'_> {
    type Target = Peer;

    #[inline]
    fn deref(&self) -> &Peer {
        self.0
    }
}

impl InUse<'_> {
    /// Packets of the host go to the peer.
    #[inline]
    pub(in crate::client) fn sent(&mut self, now: Instant, packets: u64, bytes: u64) {
        self.0.sent(now);
        self.0.traffic.sent(packets, bytes);
    }

    /// A packet of the peer is the host's: the peer is not being asked, and hears us.
    #[inline]
    pub(in crate::client) fn heard(&mut self, now: Instant, bytes: usize) {
        self.0.heard(now);
        self.0.forward = Forward::Confirmed;
        self.0.spoke();
        self.0.traffic.received(bytes);
    }
}

impl Peers {
    /// The entry, for packets that take its path.
    #[inline]
    pub(in crate::client) fn in_use(&mut self, slot: u32) -> InUse<'_> {
        InUse(&mut self.slots[slot])
    }
}
