//! The log: on standard error, or in the journal of systemd; for `RUST_LOG` or `--verbose`.
//!
//! ```text
//!  event ──> record ──> limit, unless --verbose: one an hour of what repeats ──> redact: no addresses ──> journal, or a line
//! ```

mod journal;
mod limit;
mod record;
mod redact;

use std::env;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use teredo_notify::types::rfc3339;
use tracing::callsite::Identifier;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use self::journal::Journal;
use self::limit::{Limit, STATES};
use self::record::Record;
use self::redact::Redaction;
use crate::failure::{Exit, Failure};
use crate::text::plain;

/// The target of lines that are bounded already, and are never left out.
pub(crate) const BOUNDED: &str = "teredo::bounded";

/// The target of lines about a new state of a part that nothing else tells: each is written up to six times an hour when it
/// happens.
pub(crate) const STATE: &str = "teredo::state";

/// How often lines that were left out are looked at. They are due after an hour.
pub(crate) const FLUSH: Duration = Duration::from_secs(60);

/// Whether IP addresses are shown in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Addresses {
    /// As they are
    #[default]
    On,
    /// Each under a name that is the same throughout one run, and in no other
    Off,
}

/// The choices of the command line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choices {
    pub(crate) verbose: bool,
    pub(crate) addresses: Addresses,
    /// The level without `--verbose`.
    pub(crate) usual: LevelFilter,
    /// The daemon that runs, or the command.
    pub(crate) role: &'static str,
}

/// The log of this process.
static LOG: OnceLock<Arc<Log>> = OnceLock::new();

/// The level of the library for NATS.
const QUIET: LevelFilter = LevelFilter::ERROR;

/// Starts logging: by `RUST_LOG` if it is set, else debug with `--verbose`, else the usual level.
pub(crate) fn start(choices: &Choices) -> Result<(), Failure> {
    let level = if choices.verbose {
        LevelFilter::DEBUG
    } else {
        choices.usual
    };
    let filter = match env::var("RUST_LOG") {
        Ok(chosen) if !chosen.trim().is_empty() => targets(chosen.parse())?,
        Err(error @ env::VarError::NotUnicode(_)) => targets(Err(error))?,
        // The part that uses a connection logs its news.
        _ => Targets::new()
            .with_default(level)
            .with_target("async_nats", level.min(QUIET)),
    };
    let stream = env::var("JOURNAL_STREAM").ok();
    let journal = Journal::of_standard_error(
        stream.as_deref(),
        io::stderr(),
        Path::new(journal::SOCKET),
        choices.role,
    );
    let sink = journal.map_or_else(
        || {
            Sink::Lines(Lines {
                colour: anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never,
                target: choices.verbose,
                // The journal stamps every line itself.
                time: !is_journal(),
            })
        },
        Sink::Journal,
    );
    let log = Arc::new(Log {
        start: Instant::now(),
        limit: Mutex::default(),
        is_verbose: choices.verbose,
        redaction: (choices.addresses == Addresses::Off).then(Redaction::default),
        sink,
    });
    // The first stays; a second start fails below.
    let _ = LOG.set(Arc::clone(&log));
    tracing_subscriber::registry()
        .with(Shared(log))
        .with(filter)
        .try_init()
        .map_err(|error| Failure::new(Exit::Failed, "cannot start logging").because(error))
}

/// Writes the lines that were left out and are due; at the end of the program, with `all`, every one.
pub(crate) fn flush(all: bool) {
    if let Some(log) = LOG.get() {
        log.flush(all);
    }
}

/// Writes a line to the journal with the fields of this process, if the log goes there. It is told on request or once, so
/// it is not limited.
pub(crate) fn tell_journal(line: &str) -> bool {
    let Some(log) = LOG.get().filter(|log| matches!(log.sink, Sink::Journal(_))) else {
        return false;
    };
    log.write(Record {
        level: Level::INFO,
        target: "teredo",
        message: plain(line),
        fields: Vec::new(),
        left_out: 0,
        age: Duration::ZERO,
    });
    true
}

/// Whether standard error is the journal's, which reads a priority in angle brackets before a line (sd-daemon(3)).
pub(crate) fn is_journal() -> bool {
    let stream = env::var("JOURNAL_STREAM");
    stream.is_ok_and(|stream| journal::is_stream(&stream, io::stderr()))
}

/// Targets and levels are all that can be chosen: there are no spans here, and `EnvFilter`, which chooses by them, compiles
/// an engine for regular expressions.
fn targets<E: Error + Send + Sync + 'static>(
    chosen: Result<Targets, E>,
) -> Result<Targets, Failure> {
    chosen.map_err(|error| {
        Failure::new(Exit::Usage, "cannot use RUST_LOG")
            .because(error)
            .hint("for example RUST_LOG=teredo=debug,info")
    })
}

struct Log {
    start: Instant,
    limit: Mutex<Limit<Identifier, Record>>,
    /// Nothing is left out.
    is_verbose: bool,
    /// `None`: addresses are shown.
    redaction: Option<Redaction>,
    sink: Sink,
}

enum Sink {
    Journal(Journal),
    Lines(Lines),
}

impl Log {
    /// The record of an event, if it is to be written now.
    fn admit(&self, event: &Event<'_>) -> Option<Record> {
        let mut record = Record::of(event);
        let is_usual = record.level <= Level::INFO && record.target != BOUNDED;
        if is_usual && !self.is_verbose {
            let likeness = record.likeness();
            let place = event.metadata().callsite();
            let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
            let most = if record.target == STATE { STATES } else { 1 };
            let (admitted, left_out) =
                limit.admit(place, likeness, record, most, self.start.elapsed())?;
            record = admitted;
            record.left_out = left_out;
        }
        Some(record)
    }

    fn flush(&self, all: bool) {
        let now = self.start.elapsed();
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        let due = limit.due(now, all);
        drop(limit);
        for late in due {
            self.write(Record {
                left_out: late.left_out,
                age: late.age,
                ..late.line
            });
        }
    }

    fn write(&self, mut record: Record) {
        if let Some(redaction) = &self.redaction {
            record.redact(redaction);
        }
        match &self.sink {
            Sink::Journal(journal) => journal.write(&record),
            Sink::Lines(lines) => {
                let mut line = String::new();
                // A String takes everything, and a closed standard error must not become a panic.
                let _ = lines.format(&record, &mut line);
                let _ = io::stderr().lock().write_all(line.as_bytes());
            }
        }
    }
}

/// The log as a layer of `tracing`.
struct Shared(Arc<Log>);

impl<S: Subscriber> Layer<S> for Shared {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if let Some(record) = self.0.admit(event) {
            self.0.write(record);
        }
    }
}

/// Lines for people: `2026-11-22T13:05:07.123456Z  INFO port in use port=40001`.
struct Lines {
    colour: bool,
    /// Whether the module is named.
    target: bool,
    time: bool,
}

impl Lines {
    fn format(&self, record: &Record, line: &mut String) -> fmt::Result {
        let style = |style: Style| if self.colour { style } else { Style::new() };
        let dim = style(Style::new().dimmed());
        let italic = style(Style::new().italic());
        if self.time {
            write!(line, "{dim}{}{dim:#} ", rfc3339(SystemTime::now()))?;
        }
        let level = style(Style::new().fg_color(Some(colour(record.level).into())));
        write!(line, "{level}{:>5}{level:#} ", record.level.as_str())?;
        if self.target {
            write!(line, "{dim}{}:{dim:#} ", record.target)?;
        }
        line.push_str(&record.message);
        for (name, value) in &record.fields {
            write!(line, " {italic}{name}{italic:#}{dim}={dim:#}{value}")?;
        }
        record.write_left_out(line)?;
        line.push('\n');
        Ok(())
    }
}

const fn colour(level: Level) -> AnsiColor {
    match level {
        Level::ERROR => AnsiColor::Red,
        Level::WARN => AnsiColor::Yellow,
        Level::INFO => AnsiColor::Green,
        Level::DEBUG => AnsiColor::Blue,
        Level::TRACE => AnsiColor::Magenta,
    }
}

#[cfg(test)]
mod tests;
