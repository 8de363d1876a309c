//! One run: its output, its number of pairs, and its progress line.

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use serde::Serialize;
use tempfile::TempDir;

use super::row::{Row, Table, Target};
use crate::machine::Machine;

/// The name and version of the JSON.
const SCHEMA: &str = "teredo.bench.compare/4";
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
    table: Table,
    /// The part that is being measured.
    part: String,
    started: Instant,
    /// The seconds that each part has taken.
    seconds: Vec<(String, f64)>,
    /// The line that was shown last.
    shown: String,
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
    date: &'a str,
    pairs: usize,
    machine: &'a Machine,
    seconds: &'a [(String, f64)],
    #[serde(flatten)]
    table: &'a Table,
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
            table: Table::default(),
            part: String::new(),
            started: Instant::now(),
            seconds: Vec::new(),
            shown: String::new(),
        })
    }

    /// How many pairs make a figure.
    pub(crate) fn pairs(&self) -> usize {
        if self.quick { QUICK_PAIRS } else { PAIRS }
    }

    /// Begins a part. Whether the machine is still idle is seen before each.
    pub(crate) fn begin(&mut self, part: &str) -> Result<()> {
        self.machine.look_again()?;
        self.started = Instant::now();
        part.clone_into(&mut self.part);
        self.table.begin(part);
        self.show(&format!("{part} ..."));
        Ok(())
    }

    /// Ends the part, and prints its time.
    pub(crate) fn end(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.show("");
        eprintln!("{:<12}{seconds:>5.0} s", self.part);
        self.shown.clear();
        self.seconds.push((self.part.clone(), seconds));
    }

    /// Shows the measure, and the pair or contestant, in one line if standard error is a terminal.
    pub(crate) fn progress(&mut self, measure: &str, number: usize) {
        let text = format!("{:<12}{measure}: {}", self.part, number + 1);
        self.show(&text);
    }

    fn show(&mut self, text: &str) {
        let stderr = std::io::stderr();
        if stderr.is_terminal() && self.shown != text {
            // To the beginning of the line, and clear it.
            let _ = write!(stderr.lock(), "\r\x1b[K{text}");
            text.clone_into(&mut self.shown);
        }
    }

    /// A path for a socket or a configuration.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// The folder that keeps the data.
    pub(crate) fn out(&self) -> &Path {
        &self.out
    }

    /// Keeps the run of one contestant in one pair.
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
            Some(row) => self.table.push(row),
            None => self.missing(format!("{measure} / {rival}"), "no pair was complete"),
        }
    }

    /// Adds a line to the table; with a reason to refuse a verdict, the verdict is unsure.
    pub(crate) fn row_unless(
        &mut self,
        refusal: Option<&str>,
        measure: &str,
        unit: &'static str,
        rival: &str,
        figures: [&[f64]; 2],
        target: Target,
    ) {
        match refusal {
            Some(reason) if target != Target::None => {
                self.unsure_row(measure, unit, rival, figures, target, reason);
            }
            _ => self.row(measure, unit, rival, figures, target),
        }
    }

    /// Adds a row with the verdict unsure, and the reason.
    pub(crate) fn unsure_row(
        &mut self,
        measure: &str,
        unit: &'static str,
        rival: &str,
        [ours, theirs]: [&[f64]; 2],
        target: Target,
        reason: &str,
    ) {
        if let Some(row) = Row::of_pairs(measure, unit, rival, ours, theirs, target) {
            self.table.push(row.unsure());
        }
        self.table
            .unsure(format!("{measure} / {rival}"), reason.to_owned());
    }

    /// Notes a measure that failed, and why.
    pub(crate) fn missing(&mut self, measure: impl Into<String>, reason: impl Into<String>) {
        self.table.missing(measure.into(), reason.into());
    }

    /// Adds a remark to the table.
    pub(crate) fn note(&mut self, note: String) {
        self.table.note(note);
    }

    /// Prints the table, and keeps it with its JSON and for documents.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.raw.flush()?;
        let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let report = Report {
            schema: SCHEMA,
            quick: self.quick,
            date: &date,
            pairs: self.pairs(),
            machine: &self.machine,
            seconds: &self.seconds,
            table: &self.table,
        };
        let mut json = serde_json::to_string_pretty(&report)?;
        json.push('\n');
        let whole: f64 = self.seconds.iter().map(|(_, seconds)| seconds).sum();
        let origin = format!(
            "{}, {}; {}medians of {} pairs; {} s",
            self.machine.text(),
            date.get(..10).unwrap_or(&date),
            if self.quick { "--quick, " } else { "" },
            self.pairs(),
            Duration::from_secs_f64(whole).as_secs(),
        );
        let text = format!("{origin}\n\n{}", self.table.text());
        let markdown = format!("{origin}\n\n{}", self.table.markdown());
        for (name, content) in [
            ("report.json", &json),
            ("table.txt", &text),
            ("table.md", &markdown),
        ] {
            let path = self.out.join(name);
            std::fs::write(&path, content)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "\n{text}")?;
        writeln!(
            stdout,
            "{}: table.md for documents, report.json for programs, raw.jsonl with every run, plots (*.svg)",
            self.out.display()
        )?;
        Ok(())
    }
}
