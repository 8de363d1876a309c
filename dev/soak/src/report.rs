//! `report.json`: `teredo.soak/1`. Fields are added, never changed.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::course::{Outcome, PAIR, longest_bound};
use crate::fault::Kind;
use crate::journal::Breach;
use crate::observers::growth::Line;
use crate::statistics::percentile;

const SCHEMA: &str = "teredo.soak/1";

/// The report of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) schema: &'static str,
    pub(crate) seed: u64,
    /// The length that was asked for.
    pub(crate) seconds: u64,
    /// How long it ran.
    pub(crate) ran_ms: u64,
    /// When it ended: RFC 3339, UTC.
    pub(crate) date: String,
    pub(crate) machine: Machine,
    /// Each kind that occurred.
    pub(crate) faults: Vec<FaultKind>,
    /// How many invariants were broken.
    pub(crate) broken: usize,
    pub(crate) breaches: Vec<Breach>,
    pub(crate) observed: Observed,
    pub(crate) growth: Vec<Line>,
    pub(crate) episodes: Vec<Outcome>,
}

/// The machine, in a few words.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    #[serde(rename = "virtual")]
    pub(crate) is_virtual: bool,
    pub(crate) kernel: String,
    pub(crate) program: String,
}

/// A kind of fault, and the way back after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FaultKind {
    pub(crate) kind: &'static str,
    pub(crate) count: usize,
    pub(crate) recovery_ms: Recovery,
    /// The longest bound of the kind, and its reason; a pair has the sum of two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bound_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Recovery {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

/// The work of the observers: without it, nothing broken means nothing.
#[derive(Debug, Serialize)]
pub(crate) struct Observed {
    /// The stranger's datagrams, and what the block dropped of all that he sent.
    pub(crate) probes: u64,
    pub(crate) dropped_by_the_block: u64,
    /// Who came in: while the block was promised, and while a foreign flush had removed it.
    pub(crate) visits: u64,
    pub(crate) visits_after_a_flush: u64,
    /// How long a foreign flush opened the inside.
    pub(crate) flushes_ms: Recovery,
    pub(crate) flushes: usize,
    /// Looks at set and sockets, and the longest time for which a port was in the set and not in use.
    pub(crate) looks: u64,
    pub(crate) longest_stale_ms: u64,
    pub(crate) subscribers: usize,
    pub(crate) notifications: u64,
    pub(crate) to_peer: Datagrams,
    pub(crate) to_native: Datagrams,
    /// How often each program was started.
    pub(crate) lives: BTreeMap<&'static str, u32>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Datagrams {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
}

impl From<(u64, u64)> for Datagrams {
    fn from((sent, answered): (u64, u64)) -> Self {
        Self { sent, answered }
    }
}

impl Report {
    pub(crate) const fn schema() -> &'static str {
        SCHEMA
    }
}

/// The percentiles of these times.
pub(crate) fn recovery(times: &[u64]) -> Recovery {
    let of = |share| percentile(times, share).unwrap_or_default();
    Recovery {
        p50: of(0.5),
        p99: of(0.99),
        max: of(1.0),
    }
}

/// The kinds that occurred, by name.
pub(crate) fn kinds(outcomes: &[Outcome]) -> Vec<FaultKind> {
    let mut times: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
    for outcome in outcomes {
        let recovery = outcome.recovery_ms();
        times.entry(outcome.kind).or_default().push(recovery);
    }
    times
        .into_iter()
        .map(|(name, times)| {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            let bound = kind.filter(|_| name != PAIR).map(longest_bound);
            FaultKind {
                kind: name,
                count: times.len(),
                recovery_ms: recovery(&times),
                bound_ms: bound.map(|(bound, _)| bound.as_millis() as u64),
                reason: bound.map(|(_, reason)| reason),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
