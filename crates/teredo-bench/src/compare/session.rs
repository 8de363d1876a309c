//! What the measurements of one run share: where they write, and how often they are repeated.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use tempfile::TempDir;

use super::row::{Row, Target, table};
use crate::machine::Machine;

/// The name and version of the JSON.
const SCHEMA: &str = "teredo.bench.compare/1";
const PAIRS: usize = 10;
const QUICK_PAIRS: usize = 3;

/// One run of the benchmark.
pub(crate) struct Session {
    pub(crate) quick: bool,
    /// The program `teredo`.
    pub(crate) teredo: PathBuf,
    machine: Machine,
    /// For sockets and configurations.
    scratch: TempDir,
    out: PathBuf,
    raw: BufWriter<File>,
    rows: Vec<Row>,
    missing: Vec<(String, String)>,
}

/// A line of the raw data.
#[derive(Serialize)]
struct Raw<'a, T> {
    measure: &'a str,
    contestant: &'a str,
    pair: usize,
    #[serde(flatten)]
    value: &'a T,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    quick: bool,
    machine: &'a Machine,
    rows: &'a [Row],
    missing: &'a [(String, String)],
}

impl Session {
    pub(crate) fn new(
        quick: bool,
        machine: Machine,
        teredo: PathBuf,
        out: PathBuf,
    ) -> Result<Self> {
        std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
        let path = out.join("raw.jsonl");
        let raw =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let scratch = tempfile::Builder::new().prefix("teredo-bench.").tempdir();
        Ok(Self {
            quick,
            teredo,
            machine,
            scratch: scratch.context("no folder for sockets")?,
            out,
            raw: BufWriter::new(raw),
            rows: Vec::new(),
            missing: Vec::new(),
        })
    }

    /// How many pairs make a figure.
    pub(crate) fn pairs(&self) -> usize {
        if self.quick { QUICK_PAIRS } else { PAIRS }
    }

    pub(crate) fn progress(&mut self, _measure: &str, _pair: usize) {}

    /// A path for a socket or a configuration.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// The folder that keeps the data.
    pub(crate) fn out(&self) -> &Path {
        &self.out
    }

    /// Keeps what one contestant did in one pair.
    pub(crate) fn keep<T: Serialize>(
        &mut self,
        measure: &str,
        contestant: &str,
        pair: usize,
        value: &T,
    ) -> Result<()> {
        let raw = Raw {
            measure,
            contestant,
            pair,
            value,
        };
        serde_json::to_writer(&mut self.raw, &raw)?;
        self.raw.write_all(b"\n")?;
        Ok(self.raw.flush()?)
    }

    /// Adds a line to the table.
    pub(crate) fn row(
        &mut self,
        measure: &str,
        unit: &'static str,
        rival: &str,
        [ours, theirs]: [&[f64]; 2],
        target: Target,
    ) {
        match Row::of_pairs(measure, unit, rival, ours, theirs, target) {
            Some(row) => self.rows.push(row),
            None => self.missing(format!("{measure} / {rival}"), "no pair was complete"),
        }
    }

    /// Notes what could not be measured, and why.
    pub(crate) fn missing(&mut self, measure: impl Into<String>, reason: impl Into<String>) {
        self.missing.push((measure.into(), reason.into()));
    }

    /// Prints the table, and keeps it with its JSON.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.raw.flush()?;
        let table = table(&self.rows, &self.missing);
        let report = Report {
            schema: SCHEMA,
            quick: self.quick,
            machine: &self.machine,
            rows: &self.rows,
            missing: &self.missing,
        };
        let json = serde_json::to_string(&report)?;
        std::fs::write(self.out.join("report.json"), &json)?;
        std::fs::write(self.out.join("table.txt"), &table)?;
        let machine = &self.machine;
        let mut stdout = std::io::stdout().lock();
        writeln!(
            stdout,
            "Linux {}, {} cores, load {} before the measurement{}{}\n",
            machine.kernel,
            machine.cores,
            machine.load,
            if machine.loaded {
                ": THE MACHINE WAS IN USE, the numbers say little"
            } else {
                ""
            },
            if self.quick { "; --quick" } else { "" },
        )?;
        writeln!(stdout, "{table}\n{json}")?;
        writeln!(stdout, "\nraw data and plots: {}", self.out.display())?;
        Ok(())
    }
}
