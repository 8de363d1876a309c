//! The changes that are told: each once, in order, and while one is being told, only the newest state waits.
//!
//! No clock and no process is in here: [`Changes::observe`] takes states, [`Changes::next`] gives the next change to tell.

use std::collections::VecDeque;
use std::net::{Ipv6Addr, SocketAddrV4};

use clap::ValueEnum;
use teredo_notify::types::{Phase, Role};

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChangeKind {
    /// The UDP port
    Port,
    /// The Teredo address
    Address,
    /// State, reason, mapping, kind of NAT or server
    State,
}

impl ChangeKind {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Port, Self::Address, Self::State];

    /// The name in `TEREDO_EVENT`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Address => "address",
            Self::State => "state",
        }
    }
}

/// The state of a node at one moment. The default is that of a service that is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// 0: none.
    pub(crate) port: u16,
    pub(crate) sequence: u64,
    pub(crate) address: Option<Ipv6Addr>,
    pub(crate) mapped: Option<SocketAddrV4>,
    pub(crate) local: Option<SocketAddrV4>,
    pub(crate) interface: Option<String>,
    pub(crate) phase: Phase,
    pub(crate) reason: Option<String>,
    pub(crate) nat: Option<String>,
    pub(crate) server: Option<String>,
    pub(crate) role: Option<Role>,
}

impl State {
    /// Whether there is a change of this kind between two states.
    fn differs(&self, other: &Self, kind: ChangeKind) -> bool {
        match kind {
            ChangeKind::Port => self.port != other.port,
            ChangeKind::Address => self.address != other.address,
            ChangeKind::State => {
                let part = |state: &Self| {
                    (
                        state.phase,
                        state.mapped,
                        state.reason.clone(),
                        state.nat.clone(),
                        state.server.clone(),
                    )
                };
                part(self) != part(other)
            }
        }
    }
}

/// One change, to be told now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) kind: ChangeKind,
    /// The state that was told last for this kind; `None` the first time.
    pub(crate) before: Option<State>,
    pub(crate) now: State,
}

/// The changes that are still to be told.
#[derive(Debug)]
pub(crate) struct Changes {
    kinds: Vec<ChangeKind>,
    /// How many states may wait. If there is one more, it takes the place of the last.
    depth: usize,
    waiting: VecDeque<State>,
    /// For each kind of `kinds`, the state that was told last.
    told: Vec<Option<State>>,
    /// Whether a change of the address stands for that of the state as well, because one event brought both.
    is_joint: bool,
    /// How many more changes to report; `None` for all.
    left: Option<u64>,
}

impl Changes {
    /// Tells changes of these kinds; `depth` states may wait.
    pub(crate) fn new(kinds: &[ChangeKind], depth: usize) -> Self {
        let mut unique = Vec::new();
        for kind in ChangeKind::ALL {
            if kinds.contains(&kind) {
                unique.push(kind);
            }
        }
        Self {
            told: vec![None; unique.len()],
            kinds: unique,
            depth: depth.max(1),
            waiting: VecDeque::new(),
            is_joint: false,
            left: None,
        }
    }

    /// The same, but with at most two changes for one state, as a monitor has events: port, and the rest. At most
    /// `count` are reported.
    pub(crate) fn as_events(kinds: &[ChangeKind], depth: usize, count: Option<u64>) -> Self {
        Self {
            is_joint: true,
            left: count,
            ..Self::new(kinds, depth)
        }
    }

    /// The newest state.
    pub(crate) fn observe(&mut self, state: State) {
        if self.waiting.back() == Some(&state) {
            return;
        }
        if self.waiting.len() >= self.depth {
            self.waiting.pop_back();
        }
        self.waiting.push_back(state);
    }

    /// The next change, which counts as told from now on; `None` if all is told. Ask again when it has been told.
    ///
    /// A kind that is still to be told for an older state is told with the newer one.
    pub(crate) fn next(&mut self) -> Option<Change> {
        if self.left == Some(0) {
            self.waiting.clear();
        }
        while let Some(state) = self.waiting.front() {
            let is_new = |before: &Option<State>, kind| {
                before
                    .as_ref()
                    .is_none_or(|before| state.differs(before, kind))
            };
            let mut kinds = self.told.iter().zip(&self.kinds);
            if let Some(index) = kinds.position(|(told, &kind)| is_new(told, kind)) {
                let (kind, now) = (self.kinds[index], state.clone());
                let before = self.told[index].replace(now.clone());
                if self.is_joint && kind == ChangeKind::Address {
                    self.told[index..].fill(Some(now.clone()));
                }
                self.left = self.left.map(|left| left - 1);
                return Some(Change { kind, before, now });
            }
            self.waiting.pop_front();
        }
        None
    }

    /// Tells nothing more.
    pub(crate) fn forget(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests;
