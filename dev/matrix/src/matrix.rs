//! All pairs, and their JSON.

use serde::{Deserialize, Serialize};
use teredo::client::NatTraversal;
use teredo_sim::path;

use crate::document::lines;
use crate::figure::{Promise, promise};
use crate::kind::{KINDS, Kind};
use crate::meeting::{Meeting, meet};
use crate::parallel::side_by_side;

/// The settings of both clients.
pub const MODES: [NatTraversal; 3] = [
    NatTraversal::Rfc4380,
    NatTraversal::Rfc6081,
    NatTraversal::Eager,
];
/// The probability that a client's link loses a datagram, in each direction.
pub const LOSSES: [f64; 4] = [0.0, 0.01, 0.05, 0.1];
/// The seeds of a cell in the document, from 1.
pub const SEEDS: u64 = 1_000;
/// Of these, the ones that the tests run again.
pub const SHORT: u64 = 10;

/// The guesses that an oracle allows where a path needs luck: the sockets of the birthday method.
const GUESSES: u32 = 256;

/// The matrix, schema `teredo.matrix/1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// `teredo.matrix/1`.
    pub schema: String,
    /// Every pair with every setting and loss.
    pub cells: Vec<Cell>,
}

/// A pair of NATs, a setting and a loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The NAT of the client that speaks first.
    pub from: String,
    /// The NAT of the other client.
    pub to: String,
    /// The setting `nat_traversal` of both.
    pub mode: String,
    /// The share of datagrams that each client's link loses in each direction, from 0 to 1.
    pub loss: f64,
    /// The number of runs.
    pub seeds: u64,
    /// How many of the runs connected.
    pub connected: u64,
    /// How many of the first [`SHORT`] runs did.
    pub connected_short: u64,
    /// Whether figure 1 of RFC 6081 promises a connection with this setting.
    pub promised: bool,
    /// The extensions that the figure asks for.
    pub promise: Promise,
    /// The probability that some sequence of datagrams connects them, without losses, from 0 to 1. If ports must be
    /// guessed, 256 guesses of each side.
    pub possible: f64,
    /// The median time to the first answer, in round trips between the clients; `None` if no run connected.
    pub round_trips: Option<f64>,
    /// The median number of datagrams that all machines sent until then.
    pub datagrams: Option<u64>,
}

impl Matrix {
    /// Runs this many seeds of each cell, on all cores. `done` gets the number of finished cells and that of all.
    pub fn run(seeds: u64, done: impl Fn(usize, usize) + Sync) -> Self {
        let cells = side_by_side(&plans(), |plan| plan.run(seeds), done);
        Self {
            schema: String::from("teredo.matrix/1"),
            cells,
        }
    }

    /// As text, a cell a line.
    ///
    /// # Errors
    ///
    /// None are known: all numbers are finite.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let (schema, cells) = (serde_json::to_string(&self.schema)?, lines(&self.cells)?);
        Ok(format!("{{\"schema\":{schema},\"cells\":{cells}}}\n"))
    }

    /// The cell of a pair.
    pub fn cell(&self, from: &Kind, to: &Kind, mode: NatTraversal, loss: f64) -> Option<&Cell> {
        self.cells.iter().find(|cell| {
            (&*cell.from, &*cell.to) == (from.name, to.name)
                && cell.mode == mode.name()
                && cell.loss == loss
        })
    }
}

/// The conditions of a cell.
struct Plan {
    from: Kind,
    to: Kind,
    mode: NatTraversal,
    loss: f64,
}

fn plans() -> Vec<Plan> {
    let mut plans = Vec::new();
    for mode in MODES {
        for loss in LOSSES {
            for from in KINDS {
                plans.extend(KINDS.iter().map(|to| Plan {
                    from: *from,
                    to: *to,
                    mode,
                    loss,
                }));
            }
        }
    }
    plans
}

impl Plan {
    fn run(&self, seeds: u64) -> Cell {
        let (from, to) = (self.from.behaviour, self.to.behaviour);
        let runs: Vec<Option<Meeting>> = (1..=seeds)
            .map(|seed| meet(from, to, self.mode, self.loss, seed))
            .collect();
        let met: Vec<Meeting> = runs.iter().flatten().copied().collect();
        let short = runs.iter().take(SHORT as usize).flatten().count();
        let promise = promise(&self.from, &self.to);
        Cell {
            from: self.from.name.into(),
            to: self.to.name.into(),
            mode: self.mode.name().into(),
            loss: self.loss,
            seeds,
            connected: met.len() as u64,
            connected_short: short as u64,
            promised: promise.binds(self.mode),
            promise,
            possible: rounded(path(&from, &to).probability(GUESSES), 1e3),
            round_trips: median(met.iter().map(|meeting| meeting.round_trips))
                .map(|trips| rounded(trips, 1e2)),
            datagrams: median(met.iter().map(|meeting| meeting.datagrams as f64))
                .map(|count| count as u64),
        }
    }
}

/// The lower of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len().checked_sub(1)? / 2;
    values.get(middle).copied()
}

fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}
