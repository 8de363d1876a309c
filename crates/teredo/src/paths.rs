//! The changes of peers' paths that wait for `poll_path`.

use std::collections::VecDeque;
use std::net::Ipv6Addr;

use crate::{PathChange, PeerPath};

/// The most changes that wait, with some 60 bytes each; the next one takes all paths back. A relay for a million clients
/// searches 32,768 of them in one step.
const MOST: usize = 1 << 16;
/// The room that an empty queue keeps.
const KEPT: usize = 1 << 10;

/// The queue of a node. The node marks the peers whose paths it has offered, and clears the marks when
/// [`take_all`](Self::take_all) says so.
#[derive(Debug, Default)]
pub(crate) struct PathChanges {
    reported: bool,
    /// Whether all paths are to be taken back, before everything else in the queue.
    all: bool,
    queue: VecDeque<PathChange>,
}

impl PathChanges {
    /// Whether changes are reported. Nothing waits otherwise.
    #[inline]
    pub(crate) fn are_reported(&self) -> bool {
        self.reported
    }

    /// Sets whether changes are reported. If they are already, all paths are taken back.
    pub(crate) fn report(&mut self, wanted: bool) {
        if wanted && self.reported {
            self.withdraw_all();
        } else {
            self.queue = VecDeque::new();
            self.all = false;
            self.reported = wanted;
        }
    }

    pub(crate) fn offer(&mut self, path: PeerPath) {
        self.push(PathChange::Offered(path));
    }

    pub(crate) fn withdraw(&mut self, peer: Ipv6Addr) {
        self.push(PathChange::Withdrawn(peer));
    }

    pub(crate) fn withdraw_all(&mut self) {
        self.queue.clear();
        self.all = self.reported;
    }

    /// Whether all paths are to be taken back. If so, the caller clears its marks, and reports it.
    pub(crate) fn take_all(&mut self) -> bool {
        std::mem::take(&mut self.all)
    }

    pub(crate) fn pop(&mut self) -> Option<PathChange> {
        let change = self.queue.pop_front();
        if change.is_none() && self.queue.capacity() > KEPT {
            self.queue = VecDeque::new();
        }
        change
    }

    /// A change before the marks are cleared is in vain: `AllWithdrawn` takes it back.
    fn push(&mut self, change: PathChange) {
        if !self.reported || self.all {
            return;
        }
        if self.queue.len() < MOST {
            self.queue.push_back(change);
        } else {
            self.withdraw_all();
        }
    }
}

#[cfg(test)]
mod tests;
