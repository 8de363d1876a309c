//! The report: a block of text per step for people, a line of JSON for programs.

use std::path::Path as FilePath;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Nats, Path, topology};
use crate::failure::Failure;
use crate::output::Output;

const SCHEMA: &str = "teredo.lab/1";
const OK: Style = Style::new()
    .bold()
    .fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
const FAIL: Style = Style::new()
    .bold()
    .fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
const WARN: Style = Style::new()
    .bold()
    .fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));
const DIM: Style = Style::new().dimmed();
/// The width of a step's title.
const TITLE: usize = 23;
/// The column of a step's findings: after the time, the mark and the title.
const INDENT: usize = 7 + 2 + 4 + 2 + TITLE + 1;
/// The narrowest and the widest line.
const WIDTHS: std::ops::RangeInclusive<usize> = 70..=100;

/// Why the report ended early.
pub(super) enum StepError {
    /// A step failed, and was reported.
    Failed,
    /// The output failed.
    Output(Failure),
}

impl From<Failure> for StepError {
    fn from(failure: Failure) -> Self {
        Self::Output(failure)
    }
}

/// The results of a step.
#[derive(Debug, Default)]
pub(super) struct Findings {
    lines: Vec<String>,
    facts: Map<String, Value>,
}

impl Findings {
    pub(super) fn new(line: impl Into<String>) -> Self {
        Self {
            lines: vec![line.into()],
            facts: Map::new(),
        }
    }

    /// Another line for a person.
    pub(super) fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// A fact for a program.
    pub(super) fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }
}

#[derive(Serialize)]
struct Step<'a> {
    schema: &'static str,
    step: u32,
    title: &'a str,
    ok: bool,
    at_ms: f64,
    took_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    facts: Map<String, Value>,
}

/// Reports the steps.
pub(super) struct Reporter {
    output: Output,
    json: bool,
    began: Instant,
    steps: u32,
    failed: u32,
    /// The path that was found, and the one that was expected.
    path: Option<(Path, Option<Path>)>,
    width: usize,
}

impl Reporter {
    pub(super) fn new(output: Output, json: bool) -> Self {
        Self {
            output,
            json,
            began: Instant::now(),
            steps: 0,
            failed: 0,
            path: None,
            width: width(),
        }
    }

    pub(super) fn open(&mut self, nats: Nats) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        self.output.line(format_args!(
            "Teredo on a private internet. Alice's NAT: {}, Bob's: {}\n",
            nats.alice, nats.bob
        ))?;
        for line in topology::lines(nats) {
            self.output.line(line)?;
        }
        self.output.line("")
    }

    /// Runs a step and reports its outcome.
    pub(super) fn step<T>(
        &mut self,
        title: &str,
        step: impl FnOnce() -> anyhow::Result<(T, Findings)>,
    ) -> Result<T, StepError> {
        self.steps += 1;
        let start = Instant::now();
        let outcome = step();
        let took = start.elapsed();
        match outcome {
            Ok((value, findings)) => {
                self.report(title, took, Ok(findings))?;
                Ok(value)
            }
            Err(error) => {
                self.failed += 1;
                self.report(title, took, Err(format!("{error:#}")))?;
                Err(StepError::Failed)
            }
        }
    }

    fn report(
        &mut self,
        title: &str,
        took: Duration,
        outcome: Result<Findings, String>,
    ) -> Result<(), Failure> {
        let at = self.began.elapsed();
        if self.json {
            let ok = outcome.is_ok();
            let (facts, error) = match outcome {
                Ok(findings) => (findings.facts, None),
                Err(error) => (Map::new(), Some(error)),
            };
            let (at_ms, took_ms) = (milliseconds(at), milliseconds(took));
            return self.output.json(&Step {
                schema: SCHEMA,
                step: self.steps,
                title,
                ok,
                at_ms,
                took_ms,
                error,
                facts,
            });
        }
        let (mark, style, lines) = match outcome {
            Ok(findings) => ("ok", OK, findings.lines),
            Err(error) => ("FAIL", FAIL, error.lines().map(str::to_owned).collect()),
        };
        let wrapped = lines
            .iter()
            .flat_map(|line| textwrap::wrap(line, self.width - INDENT));
        let mut wrapped = wrapped.map(|line| line.into_owned());
        let first = wrapped.next().unwrap_or_default();
        self.output.line(format_args!(
            "{DIM}{:5.2} s{DIM:#}  {style}{mark:<4}{style:#}  {title:<TITLE$} {first}",
            at.as_secs_f64()
        ))?;
        for line in wrapped {
            self.output.line(format_args!("{:INDENT$}{line}", ""))?;
        }
        Ok(())
    }

    /// The clients have this path, or none; the matrix has that.
    pub(super) fn found(&mut self, path: Path, expected: Option<Path>) {
        self.path = Some((path, expected));
    }

    /// The last lines.
    pub(super) fn close(&mut self, diagram: Option<&FilePath>) -> Result<(), Failure> {
        let took = self.began.elapsed();
        if self.json {
            let mut verdict = json!({
                "schema": SCHEMA, "steps": self.steps, "failed": self.failed, "ok": self.failed == 0,
                "took_ms": milliseconds(took),
                "path": self.path.map(|(path, _)| path.name()),
                "expected_path": self.path.and_then(|(_, expected)| expected).map(Path::name),
            });
            if let Some(path) = diagram {
                verdict["diagram"] = path.to_string_lossy().into();
            }
            return self.output.json(&verdict);
        }
        self.output.line("")?;
        if let Some(path) = diagram {
            self.output
                .line(format_args!("the exchange is drawn in {}", path.display()))?;
        }
        if let Some((path, expected)) = self.path {
            self.output.line(verdict(path, expected))?;
        }
        let verdict = if self.failed == 0 {
            let left_out = match self.path {
                Some((Path::None, _)) => "; those that need a path were left out",
                _ => "",
            };
            format!(
                "{OK}all {} steps passed{OK:#} in {:.1} s{left_out}",
                self.steps,
                took.as_secs_f64()
            )
        } else {
            format!(
                "{FAIL}step {} failed{FAIL:#} after {:.1} s",
                self.steps,
                took.as_secs_f64()
            )
        };
        self.output.line(verdict)
    }
}

/// Whether the two clients talk, and whether that is as it should be.
fn verdict(path: Path, expected: Option<Path>) -> String {
    const MATRIX: &str = "the matrix of NATs (docs/nat-matrix.md)";
    match (path, expected) {
        (Path::Direct, Some(Path::Direct)) => {
            format!("{OK}alice and bob talk directly{OK:#}, as {MATRIX} has it")
        }
        (Path::Direct, Some(Path::None)) => {
            format!("{OK}alice and bob talk directly{OK:#}, although {MATRIX} has no path")
        }
        (Path::Direct, None) => {
            format!("{OK}alice and bob talk directly{OK:#}; {MATRIX} does not have these two")
        }
        (Path::None, Some(Path::None)) => {
            format!("{WARN}alice and bob have no path{WARN:#}, as {MATRIX} has it")
        }
        (Path::None, Some(Path::Direct)) => {
            format!("{FAIL}alice and bob have no path{FAIL:#}, although {MATRIX} has one")
        }
        (Path::None, None) => {
            format!("{WARN}alice and bob have no path{WARN:#}; {MATRIX} does not have these two")
        }
    }
}

/// The terminal's width, or the widest line if there is no terminal.
fn width() -> usize {
    let columns =
        rustix::termios::tcgetwinsize(rustix::stdio::stdout()).map(|size| size.ws_col.into());
    columns
        .unwrap_or(*WIDTHS.end())
        .clamp(*WIDTHS.start(), *WIDTHS.end())
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
