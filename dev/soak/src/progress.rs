//! One line on standard error that says how it goes.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::course::Outcome;
use crate::journal::Journal;
use crate::statistics::percentile;

/// How often it changes, and how often a new line is written where no terminal is.
const PERIOD: Duration = Duration::from_millis(500);
const LINE_PERIOD: Duration = Duration::from_secs(30);
/// The widest line.
const WIDTH: usize = 118;

/// The line.
pub(crate) struct Progress {
    journal: Arc<Journal>,
    length: Duration,
    terminal: bool,
    next: Instant,
}

impl Progress {
    pub(crate) fn new(journal: Arc<Journal>, length: Duration) -> Self {
        Self {
            journal,
            length,
            terminal: std::io::stderr().is_terminal(),
            next: Instant::now(),
        }
    }

    /// Waits, and shows that.
    pub(crate) fn wait(&mut self, time: Duration, doing: &str, outcomes: &[Outcome]) {
        let end = Instant::now() + time;
        loop {
            self.show(doing, outcomes);
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(PERIOD));
        }
    }

    /// Shows what is done now, if it is time for that.
    pub(crate) fn show(&mut self, doing: &str, outcomes: &[Outcome]) {
        if Instant::now() < self.next {
            return;
        }
        let line = line(
            self.journal.now(),
            self.length,
            outcomes,
            self.journal.broken_count(),
            doing,
        );
        let mut stderr = std::io::stderr();
        // Nobody reads it any more.
        let _ = if self.terminal {
            self.next = Instant::now() + PERIOD;
            write!(stderr, "\r{line:<WIDTH$}")
        } else {
            self.next = Instant::now() + LINE_PERIOD;
            writeln!(stderr, "{}", line.trim_end())
        };
        let _ = stderr.flush();
    }

    /// Leaves the line.
    pub(crate) fn end(&self) {
        if self.terminal {
            eprintln!();
        }
    }
}

fn line(
    now: Duration,
    length: Duration,
    outcomes: &[Outcome],
    broken: usize,
    doing: &str,
) -> String {
    let clock = |time: Duration| format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60);
    let recoveries: Vec<u64> = outcomes.iter().map(Outcome::recovery_ms).collect();
    let seconds = |share| {
        percentile(&recoveries, share).map_or_else(
            || String::from("-"),
            |value| format!("{:.1} s", value as f64 / 1000.0),
        )
    };
    let text = format!(
        "{} of {}  {} episodes, {broken} broken  back after {} (p50), {} (p99)  {doing}",
        clock(now),
        clock(length),
        outcomes.len(),
        seconds(0.5),
        seconds(0.99),
    );
    text.chars().take(WIDTH).collect()
}
