//! The run as it happens: faults, breaches, and the evidence of a breach.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// An invariant, which holds throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Invariant {
    /// The set holds only ports that are in use, except within the lease.
    StaleException,
    /// Nothing unsolicited comes in by the tunnel while the block is promised.
    Inside,
    /// Subscribers hear of each state in order, of none twice, and of the last one.
    Notifications,
    /// Memory, threads and descriptors do not grow.
    Growth,
    /// Service is back within the bound of the fault.
    Recovery,
    /// No program ends by itself.
    Life,
    /// The observers see enough to say anything.
    Observers,
}

/// A broken invariant.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Breach {
    pub(crate) invariant: Invariant,
    /// Since the start, in milliseconds.
    pub(crate) at_ms: u64,
    /// The number of the episode, from 1.
    pub(crate) episode: usize,
    pub(crate) text: String,
    /// The last faults before it.
    pub(crate) history: Vec<String>,
    /// The file with logs and status of that moment.
    pub(crate) evidence: String,
}

/// How many faults a breach names.
const HISTORY: usize = 12;
/// After so many breaches only their number is kept.
const MOST: usize = 50;

type Evidence = Box<dyn Fn() -> String + Send + Sync>;

/// The faults and breaches so far.
pub(crate) struct Journal {
    start: Instant,
    out: PathBuf,
    episode: AtomicUsize,
    state: Mutex<State>,
    broken: AtomicUsize,
    evidence: OnceLock<Evidence>,
}

#[derive(Default)]
struct State {
    history: Vec<String>,
    breaches: Vec<Breach>,
}

impl Journal {
    /// Begins now. Evidence goes to the folder `out`.
    pub(crate) fn new(out: PathBuf) -> Self {
        Self {
            start: Instant::now(),
            out,
            episode: AtomicUsize::new(0),
            state: Mutex::default(),
            broken: AtomicUsize::new(0),
            evidence: OnceLock::new(),
        }
    }

    /// Says how to gather the logs and the status of the moment.
    pub(crate) fn set_evidence(&self, evidence: Evidence) {
        // Only the first counts.
        let _ = self.evidence.set(evidence);
    }

    /// The time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn begin_episode(&self) -> usize {
        self.episode.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Notes what was done.
    pub(crate) fn note(&self, text: &str) {
        let line = format!("{:9.3} s  {text}", self.now().as_secs_f64());
        self.state().history.push(line);
    }

    /// Reports a broken invariant: once per episode, the rest is counted.
    pub(crate) fn broken(&self, invariant: Invariant, text: &str) {
        let at = self.now();
        let episode = self.episode.load(Ordering::Acquire);
        let mut state = self.state();
        let is_known = state
            .breaches
            .iter()
            .any(|breach| (breach.invariant, breach.episode) == (invariant, episode));
        if is_known {
            return;
        }
        let number = self.broken.fetch_add(1, Ordering::AcqRel) + 1;
        if state.breaches.len() >= MOST {
            return;
        }
        let history = &state.history[state.history.len().saturating_sub(HISTORY)..];
        let history = history.to_vec();
        let evidence = format!("broken-{number}.txt");
        state.breaches.push(Breach {
            invariant,
            at_ms: at.as_millis() as u64,
            episode,
            text: text.to_owned(),
            history: history.clone(),
            evidence: evidence.clone(),
        });
        drop(state);
        let gathered = self.evidence.get().map(|gather| gather());
        let report = format!(
            "{invariant:?} is broken at {:.3} s, in episode {episode}: {text}\n\nthe faults before:\n{}\n\n{}",
            at.as_secs_f64(),
            history.join("\n"),
            gathered.unwrap_or_default()
        );
        eprintln!(
            "\nbroken: {invariant:?} at {:.1} s: {text}",
            at.as_secs_f64()
        );
        if let Err(error) = fs::write(self.out.join(&evidence), report) {
            eprintln!("cannot write {evidence}: {error}");
        }
    }

    /// How many invariants were broken.
    pub(crate) fn broken_count(&self) -> usize {
        self.broken.load(Ordering::Acquire)
    }

    pub(crate) fn breaches(&self) -> Vec<Breach> {
        self.state().breaches.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
