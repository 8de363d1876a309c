//! The faults of a run, from its seed alone.
//!
//! A round is a shuffled deck of every kind, so that a long run has all of them about equally often. One episode in four
//! has a second fault on top. Nothing here depends on the time or on what happened before: the same seed gives the same
//! sequence, however long a recovery takes.
//!
//! A leak shows only in a long life. So after a first round with everything, each program in turn is spared for
//! [`SPARING`] rounds, about ten minutes: no fault ends it. The cycle of [`CYCLE`] rounds takes about an hour.

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

/// The rounds in which one program is spared.
const SPARING: usize = 4;
/// The rounds until everything begins again.
const CYCLE: usize = 1 + SPARING * Role::ALL.len();

/// An endless sequence of episodes.
#[derive(Debug)]
pub(crate) struct Plan {
    random: Rng,
    deck: Vec<Kind>,
    /// The rounds that have begun.
    rounds: usize,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            deck: Vec::new(),
            rounds: 0,
        }
    }

    fn draw(&mut self) -> Kind {
        if self.deck.is_empty() {
            self.rounds += 1;
            self.deck = Kind::ALL
                .into_iter()
                .filter(|&kind| self.is_permitted(kind))
                .collect();
            self.random.shuffle(&mut self.deck);
        }
        self.deck.pop().unwrap_or(Kind::PortChanged)
    }

    /// The program that lives through this round.
    fn spared(&self) -> Option<Role> {
        let round = self.rounds.saturating_sub(1) % CYCLE;
        Role::ALL.get(round.checked_sub(1)? / SPARING).copied()
    }

    fn is_permitted(&self, kind: Kind) -> bool {
        self.spared().is_none_or(|role| !kind.may_end(role))
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
                .filter(|&other| may_coincide(first, other) && self.is_permitted(other))
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
