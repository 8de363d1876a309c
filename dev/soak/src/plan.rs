//! The faults of a run, from its seed alone.
//!
//! A round is a shuffled deck of every kind, so that a long run has all of them about equally often. One episode in four
//! has a second fault on top. Nothing here depends on the time or on what happened before: the same seed gives the same
//! sequence, however long a recovery takes.

use std::time::Duration;

use fastrand::Rng;

use crate::fault::{Fault, Kind, Part, Role};

/// One or two faults at once, after some calm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Episode {
    /// The calm before it.
    pub(crate) calm: Duration,
    pub(crate) faults: Vec<Fault>,
}

/// The calm between two episodes, in milliseconds.
const CALM: std::ops::Range<u64> = 400..2_500;
/// One episode in so many has two faults.
const PAIRS: u32 = 4;
/// The share of lost datagrams, in percent.
const LOSS: std::ops::RangeInclusive<u8> = 1..=20;

/// An endless sequence of episodes.
#[derive(Debug)]
pub(crate) struct Plan {
    random: Rng,
    deck: Vec<Kind>,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            deck: Vec::new(),
        }
    }

    fn draw(&mut self) -> Kind {
        if self.deck.is_empty() {
            self.deck = Kind::ALL.to_vec();
            self.random.shuffle(&mut self.deck);
        }
        self.deck.pop().unwrap_or(Kind::PortChanged)
    }

    fn fault(&mut self, kind: Kind) -> Fault {
        let (shortest, longest) = kind.lasts();
        let tenths = self.random.u32(shortest..=longest);
        let loss = self.random.u8(LOSS);
        let form = self.random.u8(..);
        let rebind = self.random.bool() && kind.may_rebind();
        Fault {
            kind,
            length: Duration::from_millis(u64::from(tenths) * 100),
            loss: if kind == Kind::Loss { loss } else { 0 },
            form,
            rebind,
        }
    }
}

impl Iterator for Plan {
    type Item = Episode;

    fn next(&mut self) -> Option<Episode> {
        let calm = Duration::from_millis(self.random.u64(CALM));
        let first = self.draw();
        let mut faults = vec![self.fault(first)];
        if self.random.u32(..PAIRS) == 0 {
            let others: Vec<Kind> = Kind::ALL
                .into_iter()
                .filter(|&other| may_coincide(first, other))
                .collect();
            if let Some(&second) = self.random.choice(&others) {
                let second = self.fault(second);
                faults.push(second);
            }
        }
        Some(Episode { calm, faults })
    }
}

/// Whether two faults may fall together. Not those that touch the same part; and not a flushed ruleset with a client or
/// an agent that is away, because only these two can put the block back.
pub(crate) fn may_coincide(first: Kind, second: Kind) -> bool {
    let parts = [first.touches(), second.touches()];
    let guards = [Part::Program(Role::Client), Part::Program(Role::Agent)];
    let name_service = [first, second].contains(&Kind::NameService);
    first.touches() != second.touches()
        && !(parts.contains(&Part::Ruleset)
            && (guards.iter().any(|guard| parts.contains(guard)) || name_service))
        // It kills the client itself.
        && !(name_service && parts.contains(&Part::Program(Role::Client)))
}

#[cfg(test)]
mod tests;
