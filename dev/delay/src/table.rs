//! Everything, and its JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use teredo::client::NatTraversal;
use teredo_matrix::document::lines;
use teredo_matrix::side_by_side;

use crate::event::Event;
use crate::model::Model;
use crate::recovery::{Keepalive, Recovery};
use crate::timing::{LIMIT, time};

/// Between every two sites, one way, in milliseconds.
pub const DELAYS_MS: [u64; 6] = [1, 3, 10, 30, 100, 300];
/// The share of datagrams that a NAT's link loses, in each direction.
pub const LOSSES: [f64; 4] = [0.0, 0.01, 0.05, 0.1];
/// The seeds of a cell in the document, from 1.
pub const SEEDS: u64 = 2_000;
/// Of these, the ones that the tests run again.
pub const SHORT: u64 = 20;

/// The outcome, schema `teredo.delay/1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// `teredo.delay/1`.
    pub schema: String,
    /// Every event with every delay and loss.
    pub cells: Vec<Cell>,
    /// After a rebinding or a dead server.
    pub recovery: Vec<Recovery>,
    /// The bytes of an idle client.
    pub keepalive: Vec<Keepalive>,
}

/// An event, a delay and a loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The event.
    pub event: Event,
    /// Between every two sites, one way, in milliseconds.
    pub delay_ms: u64,
    /// The share of lost datagrams.
    pub loss: f64,
    /// The number of runs.
    pub seeds: u64,
    /// The least time that the way of the datagrams permits, in milliseconds.
    pub bound_ms: f64,
    /// The program.
    pub teredo: Quantiles,
    /// The sum of the first [`SHORT`] runs, in microseconds; a run without success counts as a minute.
    pub short_us: u64,
    /// The program with `nat_traversal = "eager"`.
    pub eager: Quantiles,
    /// As `short_us`, if it is eager.
    pub eager_short_us: u64,
    /// The model of RFC 4380's timers.
    pub rfc4380: Quantiles,
    /// The model of miredo.
    pub miredo: Quantiles,
}

/// The distribution of times, in milliseconds. `None` if so many do not succeed in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half take at most this.
    pub p50_ms: Option<f64>,
    /// 99 of 100 do.
    pub p99_ms: Option<f64>,
}

impl Quantiles {
    fn of(mut times: Vec<Option<Duration>>) -> Self {
        times.sort_by_key(|time| time.unwrap_or(Duration::MAX));
        let at = |hundredths: usize| {
            let index = (times.len() * hundredths).div_ceil(100).max(1) - 1;
            let time = times.get(index).copied().flatten()?;
            Some(milliseconds(time))
        };
        Self {
            p50_ms: at(50),
            p99_ms: at(99),
        }
    }
}

/// With two decimals.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

impl Table {
    /// Runs this many seeds of each cell, on all cores. `done` gets the number of finished cells and that of all.
    pub fn run(seeds: u64, done: impl Fn(usize, usize) + Sync) -> Self {
        let mut plans = Vec::new();
        for event in Event::ALL {
            for delay_ms in DELAYS_MS {
                plans.extend(LOSSES.map(|loss| (event, delay_ms, loss)));
            }
        }
        let cells = side_by_side(
            &plans,
            |&(event, delay_ms, loss)| Cell::run(event, delay_ms, loss, seeds),
            done,
        );
        let rebinding = DELAYS_MS.into_iter().map(Recovery::from_rebinding);
        let dead_server = DELAYS_MS.into_iter().map(Recovery::from_dead_server);
        Self {
            schema: String::from("teredo.delay/1"),
            cells,
            recovery: rebinding.chain(dead_server).collect(),
            keepalive: Keepalive::all(),
        }
    }

    /// As text, an entry a line.
    ///
    /// # Errors
    ///
    /// None are known: all numbers are finite.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let schema = serde_json::to_string(&self.schema)?;
        let (cells, recovery) = (lines(&self.cells)?, lines(&self.recovery)?);
        let keepalive = lines(&self.keepalive)?;
        Ok(format!(
            "{{\"schema\":{schema},\"cells\":{cells},\"recovery\":{recovery},\"keepalive\":{keepalive}}}\n"
        ))
    }

    /// The cell of an event.
    pub fn cell(&self, event: Event, delay_ms: u64, loss: f64) -> Option<&Cell> {
        self.cells
            .iter()
            .find(|cell| (cell.event, cell.delay_ms, cell.loss) == (event, delay_ms, loss))
    }
}

impl Cell {
    fn run(event: Event, delay_ms: u64, loss: f64, seeds: u64) -> Self {
        let delay = Duration::from_millis(delay_ms);
        let program = |mode: NatTraversal| {
            let times: Vec<Option<Duration>> = (1..=seeds)
                .map(|seed| time(mode, event, delay, loss, seed))
                .collect();
            let first = times.iter().take(SHORT as usize);
            let short = first.map(|time| time.unwrap_or(LIMIT)).sum::<Duration>();
            (Quantiles::of(times), short.as_micros() as u64)
        };
        let (teredo, short_us) = program(NatTraversal::Rfc6081);
        let (eager, eager_short_us) = program(NatTraversal::Eager);
        // A model costs little, so its quantiles are always those of many runs.
        let model = |model: Model| {
            let times = (1..=MODEL_SEEDS).map(|seed| model.time(event, delay, loss, seed));
            Quantiles::of(times.collect())
        };
        Self {
            event,
            delay_ms,
            loss,
            seeds,
            bound_ms: milliseconds(event.bound(delay)),
            teredo,
            short_us,
            eager,
            eager_short_us,
            rfc4380: model(Model::Rfc4380),
            miredo: model(Model::Miredo),
        }
    }
}

const MODEL_SEEDS: u64 = 2_000;
