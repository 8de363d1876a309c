//! The obstacles of a path, and the lines of the log about them.
//!
//! A line is for what an operator may want to change or to know: a rule, a policy, a gate that was lost. The port changes at
//! each rebind, and an examination of the rules takes a moment, so there is none for them. The log itself bounds lines that
//! repeat.

use std::collections::BTreeMap;

use super::Obstacle;

/// The target of lines about a new state of this node. The program's limit of repetitions knows it.
const STATE: &str = "teredo::state";

/// The words of an obstacle that nobody has cleared yet, of a path that was never open.
pub(super) const NO_PORT: &str = "there is no settled port";

/// Those that stand in the way of a path. Without one, it is open.
#[derive(Debug)]
pub(super) struct Obstacles {
    /// Each with its words, and whether the log has them.
    standing: BTreeMap<Obstacle, (String, bool)>,
    /// The carrier of packets as the log has it.
    told: Option<Carrier>,
}

/// The carrier of the packets of known peers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Carrier {
    Kernel,
    /// For this reason.
    User(String),
}

impl Obstacles {
    /// Of a path that nobody has opened yet.
    pub(super) fn without_a_port() -> Self {
        let mut obstacles = Self {
            standing: BTreeMap::new(),
            told: None,
        };
        obstacles.forget_all();
        obstacles
    }

    /// The programs are about to be attached.
    pub(super) fn await_hooks(&mut self) {
        let words = "the programs are being attached";
        self.suspend(Obstacle::Hooks, words.to_owned());
    }

    /// The path belongs to another node, which has no port yet.
    pub(super) fn forget_all(&mut self) {
        self.standing.clear();
        self.insert(Obstacle::Port, NO_PORT.to_owned());
    }

    /// Whether the path may be open.
    pub(super) fn is_empty(&self) -> bool {
        self.standing.is_empty()
    }

    /// The words of the first one.
    pub(super) fn first(&self) -> Option<&str> {
        let (words, _) = self.standing.values().next()?;
        Some(words)
    }

    /// Whether this one stands.
    pub(super) fn has(&self, obstacle: Obstacle) -> bool {
        self.standing.contains_key(&obstacle)
    }

    /// Adds one, or changes its words.
    pub(super) fn insert(&mut self, obstacle: Obstacle, words: String) {
        // Without the interface nobody carries anything.
        let lasts = !matches!(obstacle, Obstacle::Port | Obstacle::Interface);
        self.standing.insert(obstacle, (words, lasts));
    }

    /// The same for one that lasts a moment only.
    pub(super) fn suspend(&mut self, obstacle: Obstacle, words: String) {
        self.standing.insert(obstacle, (words, false));
    }

    /// Whether it stood there.
    pub(super) fn remove(&mut self, obstacle: Obstacle) -> bool {
        self.standing.remove(&obstacle).is_some()
    }

    /// Writes a line if another one carries the packets than the log says, or for another reason.
    pub(super) fn tell(&mut self) {
        let Some(carrier) = self.news() else {
            return;
        };
        match (&carrier, &self.told) {
            (Carrier::User(reason), _) => {
                tracing::info!(target: STATE, %reason, "user space carries the packets of known peers");
            }
            (Carrier::Kernel, Some(Carrier::User(reason))) => {
                tracing::info!(target: STATE, over = %reason, "the kernel carries the packets of known peers again");
            }
            (Carrier::Kernel, _) => {
                tracing::info!(target: STATE, "the kernel carries the packets of known peers");
            }
        }
        self.told = Some(carrier);
    }

    fn news(&self) -> Option<Carrier> {
        let lasting = self.standing.values().find(|(_, lasts)| *lasts);
        let carrier = match lasting {
            Some((words, _)) => Carrier::User(words.clone()),
            None if self.standing.is_empty() => Carrier::Kernel,
            None => return None,
        };
        (self.told.as_ref() != Some(&carrier)).then_some(carrier)
    }
}

#[cfg(test)]
mod tests;
