//! The matrix as a table.

use std::fmt;
use std::time::Duration;

use crate::cell::{Cell, Home, Make, NATS};

/// The outcome of a cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) ok: bool,
    pub(crate) took: Duration,
}

/// The cells played so far, with their outcomes.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<(Cell, Outcome)>);

impl Table {
    pub(crate) fn enter(&mut self, cell: Cell, outcome: Outcome) {
        self.0.push((cell, outcome));
    }

    fn outcome(&self, cell: Cell) -> String {
        if !cell.is_possible() {
            return "no way".to_owned();
        }
        let entry = self.0.iter().find(|(other, _)| *other == cell);
        entry.map_or_else(
            || "-".to_owned(),
            |(_, outcome)| {
                let word = if outcome.ok { "ok" } else { "FAILED" };
                format!("{word} {:.1} s", outcome.took.as_secs_f64())
            },
        )
    }
}

const ROW: usize = 25;
const COLUMN: usize = 15;

impl fmt::Display for Table {
    /// A row for each pair of homes, a column for each server with each relay.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between: Vec<_> = Make::ALL
            .into_iter()
            .flat_map(|server| Make::ALL.map(move |relay| (server, relay)))
            .collect();
        write!(f, "\n{:ROW$}{:ROW$}", "server", "")?;
        for (server, _) in &between {
            write!(f, "{server:COLUMN$}")?;
        }
        write!(f, "\n{:ROW$}{:ROW$}", "relay", "")?;
        for (_, relay) in &between {
            write!(f, "{relay:COLUMN$}")?;
        }
        writeln!(f)?;
        let homes = || {
            Make::ALL
                .into_iter()
                .flat_map(|client| NATS.map(|nat| Home { client, nat }))
        };
        for left in homes() {
            for right in homes() {
                write!(f, "{left:ROW$}{right:ROW$}")?;
                for &(server, relay) in &between {
                    let cell = Cell {
                        left,
                        right,
                        server,
                        relay,
                    };
                    write!(f, "{:COLUMN$}", self.outcome(cell))?;
                }
                writeln!(f)?;
            }
        }
        let ok = self.0.iter().filter(|(_, outcome)| outcome.ok).count();
        writeln!(f, "{ok} of {} ok", self.0.len())
    }
}
