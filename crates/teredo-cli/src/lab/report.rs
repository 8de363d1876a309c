//! The report: a block of text per step for people, a line of JSON for programs.

use std::io::IsTerminal as _;
use std::path::Path as FilePath;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Expectation, Nats, Path, topology};
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

/// Erases the line that the cursor is on.
const ERASE: &str = "\x1b[2K\r";
/// A step that takes no longer tells no progress.
const QUIET: Duration = Duration::from_secs(1);

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

    /// A line before the others.
    pub(super) fn first_line(mut self, line: impl Into<String>) -> Self {
        self.lines.insert(0, line.into());
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

/// The path that the clients have.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) path: Path,
    pub(super) expected: Expectation,
    /// Whether the matrix has a cell for the two NATs.
    pub(super) is_listed: bool,
    /// Whether there was a path before the rebind.
    pub(super) is_lost: bool,
}

/// Reports the steps.
pub(super) struct Reporter {
    output: Output,
    json: bool,
    began: Instant,
    steps: u32,
    failed: u32,
    /// The path that was found, and what was expected.
    path: Option<Found>,
    width: usize,
    is_terminal: bool,
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
            is_terminal: std::io::stdout().is_terminal(),
        }
    }

    pub(super) fn open(&mut self, nats: Nats) -> Result<(), Failure> {
        let title = format!(
            "Teredo on a private internet. Alice's NAT: {}, Bob's: {}",
            nats.alice, nats.bob
        );
        self.introduce(&title, &topology::lines(nats))
    }

    /// The first lines: a title, and a drawing of the network.
    pub(super) fn introduce(
        &mut self,
        title: &str,
        drawing: &[impl AsRef<str>],
    ) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        self.output.line(format_args!("{title}\n"))?;
        for line in drawing {
            self.output.line(line.as_ref())?;
        }
        self.output.line("")
    }

    /// Runs a step and reports its outcome.
    pub(super) fn step<T>(
        &mut self,
        title: &str,
        step: impl FnOnce() -> anyhow::Result<(T, Findings)>,
    ) -> Result<T, StepError> {
        self.long_step(title, |_| step())
    }

    /// Runs a step that tells how far it is.
    pub(super) fn long_step<T>(
        &mut self,
        title: &str,
        step: impl FnOnce(&mut Progress<'_>) -> anyhow::Result<(T, Findings)>,
    ) -> Result<T, StepError> {
        self.steps += 1;
        self.begin(title)?;
        let start = Instant::now();
        let outcome = step(&mut Progress {
            title,
            began: self.began,
            start,
            output: (!self.json && self.is_terminal).then_some(&mut self.output),
        });
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

    /// On a terminal, names the step that is under way; its result takes the place of the line.
    fn begin(&mut self, title: &str) -> Result<(), Failure> {
        if self.json || !self.is_terminal {
            return Ok(());
        }
        let at = self.began.elapsed().as_secs_f64();
        let line = format!("{DIM}{at:5.2} s  ...   {title}{DIM:#}\r");
        self.output.bytes(line.as_bytes())
    }

    /// On a terminal, removes what tells the progress.
    fn clear(&mut self) -> Result<(), Failure> {
        match self.is_terminal {
            true => self.output.bytes(ERASE.as_bytes()),
            false => Ok(()),
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
        self.clear()?;
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

    /// The clients have this path, or none.
    pub(super) fn found(&mut self, found: Found) {
        self.path = Some(found);
    }

    /// The clients have lost the path that they had.
    pub(super) fn lost(&mut self) {
        if let Some(found) = &mut self.path {
            found.path = Path::None;
            found.is_lost = true;
        }
    }

    /// The last lines.
    pub(super) fn close(&mut self, diagram: Option<&FilePath>) -> Result<(), Failure> {
        let took = self.began.elapsed();
        if self.json {
            let mut verdict = json!({
                "schema": SCHEMA, "steps": self.steps, "failed": self.failed, "ok": self.failed == 0,
                "took_ms": milliseconds(took),
                "path": self.path.map(|found| found.path.name()),
                "expected_path": self.path.and_then(|found| found.expected.path()).map(Path::name),
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
        if let Some(found) = self.path {
            self.output.line(verdict(found))?;
        }
        let verdict = if self.failed == 0 {
            let left_out = match self.path {
                Some(found) if found.path == Path::None => "; those that need a path were left out",
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

/// A line that tells how far a step is, on a terminal.
pub(super) struct Progress<'a> {
    title: &'a str,
    began: Instant,
    start: Instant,
    output: Option<&'a mut Output>,
}

impl Progress<'_> {
    /// The step is as far as these words say.
    pub(super) fn tell(&mut self, words: impl std::fmt::Display) {
        let Some(output) = &mut self.output else {
            return;
        };
        if self.start.elapsed() < QUIET {
            return;
        }
        let at = self.began.elapsed().as_secs_f64();
        let title = self.title;
        let line = format!("{ERASE}{DIM}{at:5.2} s  ...   {title:<TITLE$} {words}{DIM:#}\r");
        // The result of the step meets the same error.
        let _ = output.bytes(line.as_bytes());
    }
}

/// Whether the two clients talk, and whether that is as it should be.
fn verdict(found: Found) -> String {
    let source = match found.is_listed {
        true => "the matrix of NATs (docs/nat-matrix.md)",
        // The page has no row for one of the two.
        false => "the rule behind the matrix of NATs",
    };
    if found.is_lost {
        return format!(
            "{FAIL}alice and bob talked directly{FAIL:#}, and have no path since the rebind"
        );
    }
    let (style, what) = match (found.path, found.expected) {
        (Path::Direct, _) => (OK, "alice and bob talk directly"),
        (Path::None, Expectation::Sure(Path::Direct)) => (FAIL, "alice and bob have no path"),
        (Path::None, _) => (WARN, "alice and bob have no path"),
    };
    let matches = match (found.path, found.expected) {
        (path, Expectation::Sure(expected)) if path == expected => format!(", as {source} has it"),
        (_, Expectation::Sure(Path::Direct)) => format!(", although {source} has one"),
        (_, Expectation::Sure(Path::None)) => format!(", although {source} has no path"),
        (_, Expectation::Guess) => {
            format!("; by {source}, most eager pairs meet here, by guessed ports")
        }
        (_, Expectation::Unknown) => format!("; {source} says nothing about these two"),
    };
    format!("{style}{what}{style:#}{matches}")
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

#[cfg(test)]
mod tests;
