//! The random ports: announced to the gates that follow them, and used only if every gate admits them.
//!
//! ```text
//!                    some gate cannot: it knows the service port alone, has trouble, or says so
//!  publish_random ─────────────────────────────────────────────────────────────────────────────> Refused
//!        │                                                                                          ^
//!        └──> Pending ── every gate has admitted this state or a later one ──> Admitted             │
//!                │                                                                                  │
//!                └───────────────── the caller's deadline passes: it does without ──────────────────┘
//! ```
//!
//! The deadline is where a random port differs from the service port. Without the service port there is no client, so
//! that one is used when the deadline has passed (N-16). A random port is for one peer. If a firewall has closed it,
//! the peer's answer is lost, and the connection with it.
//!
//! A part of the hub: `hub.rs` owns the lock and the state.

use super::feed::Entry;
use super::{GateRegistration, Hub, SettleError};
use crate::{RandomPorts, RandomSnapshot};

/// Why a gate of the service port alone opens no random port.
pub(super) const UNAWARE: &str = "it follows the service port alone";

/// A gate's part in admitting random ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RandomPart {
    /// It does not follow them, and opens none.
    Unaware,
    /// It has opened those of all states up to this one. At first that is the state at its registration, which does not
    /// wait for it.
    Admitted(u64),
}

impl RandomPart {
    pub(super) fn follows(self) -> bool {
        self != Self::Unaware
    }
}

/// Whether the random ports of a state may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Every gate has opened them, or there is none.
    Admitted,
    /// A gate has not answered yet.
    Pending,
    /// A gate opens no random ports.
    Refused,
}

impl Hub {
    /// Announces the random ports in use: all of them, to the gates that follow them and to nobody else. Returns the
    /// number of this state, for [`Hub::admission`]. To announce the same ports again is no change (N-13).
    ///
    /// Never waits. A state with fewer ports needs no answer.
    pub fn publish_random(&self, ports: RandomPorts) -> u64 {
        let mut state = self.lock();
        let is_new = state.log.set_random(ports);
        let sequence = state.log.random().sequence;
        if is_new {
            let feeds = state.feeds.values_mut();
            let wakers: Vec<_> = feeds
                .filter(|feed| feed.follows_random())
                .filter_map(Entry::take_waker)
                .collect();
            drop(state);
            for waker in wakers {
                waker.wake();
            }
        }
        sequence
    }

    /// The random ports that were announced last.
    #[must_use]
    pub fn random_ports(&self) -> RandomSnapshot {
        self.lock().log.random()
    }

    /// Whether the random ports of the state `sequence` may be used. Those that were announced before a gate came do not
    /// wait for it.
    #[must_use]
    pub fn admission(&self, sequence: u64) -> Admission {
        let state = self.lock();
        let mut admission = Admission::Admitted;
        for gate in state.gates.entries.values() {
            match gate.random {
                RandomPart::Admitted(admitted) if admitted >= sequence => {}
                _ if gate.random_trouble().is_some() => return Admission::Refused,
                _ => admission = Admission::Pending,
            }
        }
        admission
    }

    /// The gate `id` has opened the random ports of every state up to and including `sequence`.
    ///
    /// # Errors
    /// [`SettleError`]; nothing changes then. Also if the gate does not follow the random ports.
    pub fn admit(&self, id: u64, sequence: u64) -> Result<(), SettleError> {
        let mut state = self.lock();
        let current = state.log.random().sequence;
        let gate = state.gates.entries.get_mut(&id);
        match gate.map(|gate| &mut gate.random) {
            None | Some(RandomPart::Unaware) => return Err(SettleError::UnknownSubscription(id)),
            Some(_) if sequence > current => {
                return Err(SettleError::NotAnnounced { sequence, current });
            }
            Some(RandomPart::Admitted(admitted)) => *admitted = sequence.max(*admitted),
        }
        self.settled_further(state);
        Ok(())
    }
}

impl GateRegistration {
    /// [`Hub::admit`] for this gate.
    ///
    /// # Errors
    /// [`SettleError`]
    pub fn admit(&self, sequence: u64) -> Result<(), SettleError> {
        self.hub().admit(self.id(), sequence)
    }
}
