//! Data on standard output, narration on standard error.

use std::fmt::Display;
use std::io::{self, Write as _};

use anstream::AutoStream;
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::logging;

/// Standard output: coloured on a terminal only, flushed after every line, and never a panic.
pub(crate) struct Output {
    stdout: AutoStream<io::StdoutLock<'static>>,
}

impl Output {
    pub(crate) fn stdout() -> Self {
        Self {
            stdout: AutoStream::auto(io::stdout().lock()),
        }
    }

    /// Writes `line` and a newline, and flushes.
    pub(crate) fn line(&mut self, line: impl Display) -> Result<(), Failure> {
        writeln!(self.stdout, "{line}")
            .and_then(|()| self.stdout.flush())
            .map_err(lost)
    }

    /// Writes `value` as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let line = serde_json::to_string(value)
            .map_err(|error| Failure::new(Exit::Failed, "cannot write JSON").because(error))?;
        self.line(line)
    }

    /// Writes `bytes` as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stdout
            .write_all(bytes)
            .and_then(|()| self.stdout.flush())
            .map_err(lost)
    }
}

fn lost(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::closed_pipe()
    } else {
        Failure::new(Exit::Failed, "cannot write to standard output").because(error)
    }
}

/// Tells a person, on standard error. Whether somebody listens is not the command's business.
pub(crate) fn narrate(line: impl Display) {
    let line = line.to_string();
    if !logging::tell_journal(&line) {
        let _ = writeln!(anstream::stderr().lock(), "teredo: {line}");
    }
}
