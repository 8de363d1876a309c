//! A record of both perimeters' sets: which endpoints were open when.

use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use teredo_lab::Namespace;
use teredo_nft::Netlink;

use super::plan::{SIDES, Side};
use super::ruleset;

/// The time between two looks at a set.
const PACE: Duration = Duration::from_millis(4);

/// The endpoints that are open.
pub(super) type Open = BTreeSet<SocketAddrV4>;

/// The contents of one set, from when on.
#[derive(Debug, Default)]
struct History {
    changes: Vec<(Instant, Open)>,
    /// The last look.
    looked: Option<Instant>,
}

impl History {
    fn note(&mut self, at: Instant, open: Open) {
        self.looked = Some(at);
        if self.changes.last().is_none_or(|(_, last)| *last != open) {
            self.changes.push((at, open));
        }
    }

    fn now(&self) -> Open {
        self.changes
            .last()
            .map(|(_, open)| open.clone())
            .unwrap_or_default()
    }

    /// When an endpoint was first seen open at or after a moment.
    fn opened(&self, endpoint: SocketAddrV4, since: Instant) -> Option<Instant> {
        let mut spans = self.spans(since, None);
        spans.find_map(|(from, _, open)| open.contains(&endpoint).then_some(from))
    }

    /// Since when, after this moment, all of these have been closed.
    fn closed(&self, endpoints: &Open, since: Instant) -> Option<Instant> {
        let mut closed = None;
        for (from, _, open) in self.spans(since, None) {
            match open.is_disjoint(endpoints) {
                true => closed = closed.or(Some(from)),
                false => closed = None,
            }
        }
        closed
    }

    /// The longest time without an interruption for which an endpoint was closed.
    fn gap(&self, endpoint: SocketAddrV4, since: Instant, until: Instant) -> Duration {
        let (mut longest, mut current) = (Duration::ZERO, Duration::ZERO);
        for (from, to, open) in self.spans(since, Some(until)) {
            match open.contains(&endpoint) {
                true => current = Duration::ZERO,
                false => current += to.saturating_duration_since(from),
            }
            longest = longest.max(current);
        }
        longest
    }

    /// The times between changes, from one moment to another.
    fn spans(
        &self,
        since: Instant,
        until: Option<Instant>,
    ) -> impl Iterator<Item = (Instant, Instant, &Open)> {
        // The last content lasts until now, and has come before.
        let last = self.changes.last().map(|(at, _)| *at);
        let end = until.unwrap_or_else(|| last.into_iter().fold(Instant::now(), Instant::max));
        let next = self.changes.iter().skip(1).map(|(at, _)| *at);
        let ends = next.chain([end]);
        let spans = self.changes.iter().zip(ends);
        spans
            .map(move |((from, open), to)| ((*from).max(since), to.min(end), open))
            .filter(|(from, to, _)| from <= to)
    }
}

/// Looks at both sets all the time.
#[derive(Debug)]
pub(super) struct Record {
    histories: Arc<[Mutex<History>; 2]>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Record {
    pub(super) fn start(perimeters: [&Namespace; 2]) -> anyhow::Result<Self> {
        let histories: Arc<[Mutex<History>; 2]> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let [west, east] = perimeters;
        let mut sockets = [west.run(Netlink::open)??, east.run(Netlink::open)??];
        let thread = {
            let (histories, stop) = (Arc::clone(&histories), Arc::clone(&stop));
            thread::Builder::new()
                .name("lab-record".into())
                .spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        for (netlink, history) in sockets.iter_mut().zip(histories.iter()) {
                            look(netlink, history);
                        }
                        thread::sleep(PACE);
                    }
                })
                .context("cannot start a thread")?
        };
        Ok(Self {
            histories,
            stop,
            thread: Some(thread),
        })
    }

    fn with<T>(&self, side: Side, read: impl FnOnce(&History) -> T) -> T {
        read(&lock(&self.histories[side as usize]))
    }

    /// The open endpoints at the perimeter of a side.
    pub(super) fn now(&self, side: Side) -> Open {
        self.with(side, History::now)
    }

    /// The same with the moment of the look; none before the first one.
    pub(super) fn latest(&self, side: Side) -> Option<(Instant, Open)> {
        self.with(side, |history| Some((history.looked?, history.now())))
    }

    /// When both perimeters had opened an endpoint, at or after this moment.
    pub(super) fn opened(&self, endpoint: SocketAddrV4, since: Instant) -> Option<Instant> {
        let [west, east] =
            SIDES.map(|side| self.with(side, |history| history.opened(endpoint, since)));
        Some(west?.max(east?))
    }

    /// Since when one perimeter has had none of these.
    pub(super) fn closed(&self, side: Side, endpoints: &Open, since: Instant) -> Option<Instant> {
        self.with(side, |history| history.closed(endpoints, since))
    }

    /// The longest time for which one of these was closed at a perimeter.
    pub(super) fn longest_gap(&self, side: Side, endpoints: &Open, since: Instant) -> Duration {
        let until = Instant::now();
        let gaps = endpoints
            .iter()
            .map(|endpoint| self.with(side, |history| history.gap(*endpoint, since, until)));
        gaps.max().unwrap_or_default()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the thread of the record had panicked");
        }
    }
}

/// Notes a change that two looks agree on: a listing during a change of the table may lack an element.
fn look(netlink: &mut Netlink, history: &Mutex<History>) {
    let at = Instant::now();
    let Ok(open) = ruleset::open(netlink) else {
        return;
    };
    let known = lock(history).now();
    let is_sure = known.is_subset(&open)
        || ruleset::open(netlink)
            .is_ok_and(|again| known.difference(&open).all(|end| !again.contains(end)));
    if is_sure {
        lock(history).note(at, open);
    }
}

fn lock(history: &Mutex<History>) -> std::sync::MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
