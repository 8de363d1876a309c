//! How a command ends: the exit codes, and the message of a failure.

use std::error::Error;
use std::fmt;
use std::io;

use anstyle::{AnsiColor, Style};

/// The exit codes. Scripts depend on them: codes may be added, and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NotReady = 3,
    NotPermitted = 4,
    Unreachable = 5,
    Misconfigured = 78,
    TimedOut = 124,
}

impl Exit {
    pub(crate) const ALL: [Self; 8] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NotReady,
        Self::NotPermitted,
        Self::Unreachable,
        Self::Misconfigured,
        Self::TimedOut,
    ];

    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// The name of the code in `teredo explain`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotReady => "not_ready",
            Self::NotPermitted => "not_permitted",
            Self::Unreachable => "unreachable",
            Self::Misconfigured => "misconfigured",
            Self::TimedOut => "timed_out",
        }
    }

    pub(crate) const fn explanation(self) -> &'static str {
        match self {
            Self::Done => "the command succeeded",
            Self::Failed => {
                "the command failed; the message on standard error says what failed and why"
            }
            Self::Usage => "the command line is wrong; nothing was done",
            Self::NotReady => "there is no Teredo port, or the client is not qualified",
            Self::NotPermitted => "this user may not do that",
            Self::Unreachable => "no service answers on the socket",
            Self::Misconfigured => {
                "a service manager started it with faulty settings, and need not try again"
            }
            Self::TimedOut => "a wait ran out of time",
        }
    }

    pub(crate) const fn next_step(self) -> &'static str {
        match self {
            Self::Done => "nothing",
            Self::Failed => "read the message; 'hint:' names the next step",
            Self::Usage => "read the message; 'teredo COMMAND --help' lists the options",
            Self::NotReady => {
                "'teredo status' shows the reason; 'teredo port --wait' waits for a port"
            }
            Self::NotPermitted => "try again as root, or as a member of the service's group",
            Self::Unreachable => {
                "start a client with 'teredo client --server HOST', or name the socket with --socket"
            }
            Self::Misconfigured => {
                "correct the settings that the log names; 'teredo config check' finds every mistake"
            }
            Self::TimedOut => "'teredo status' shows the reason; allow more time with --timeout",
        }
    }
}

/// Why a command failed: one line, and one with the next step.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// `None` if standard output was closed: then nobody reads a message either.
    what: Option<String>,
    cause: Option<Box<dyn Error + Send + Sync>>,
    hint: Option<String>,
    /// Whether files of settings are to blame: nothing but a change of them helps.
    of_settings: bool,
}

impl Failure {
    /// A failure that `what` describes in full, unless [`because`](Self::because) adds a cause.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: Some(what.into()),
            cause: None,
            hint: None,
            of_settings: false,
        }
    }

    /// The reader of standard output went away, which is a normal end.
    pub(crate) const fn closed_pipe() -> Self {
        Self {
            exit: Exit::Done,
            what: None,
            cause: None,
            hint: None,
            of_settings: false,
        }
    }

    #[must_use]
    pub(crate) fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    #[must_use]
    pub(crate) fn hint(mut self, next_step: impl Into<String>) -> Self {
        self.hint = Some(next_step.into());
        self
    }

    /// Files of settings are to blame.
    #[must_use]
    pub(crate) const fn of_settings(mut self) -> Self {
        self.of_settings = true;
        self
    }

    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// The same for a service manager, which learns from the exit code whether another start may help.
    pub(crate) const fn of_service(mut self) -> Self {
        if self.of_settings {
            self.exit = Exit::Misconfigured;
        }
        self
    }

    /// Writes `teredo: WHAT: CAUSE` and `hint: NEXT STEP`. A closed standard error is ignored.
    pub(crate) fn report(&self, mut stderr: impl io::Write) {
        if self.what.is_none() {
            return;
        }
        let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
        let _ = writeln!(stderr, "{red}teredo:{red:#} {self}");
        if let Some(hint) = &self.hint {
            let cyan = Style::new().bold().fg_color(Some(AnsiColor::Cyan.into()));
            let _ = writeln!(stderr, "{cyan}hint:{cyan:#} {hint}");
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what.as_deref().unwrap_or("standard output was closed"))?;
        let mut next: Option<&(dyn Error + 'static)> =
            self.cause.as_deref().map(|cause| cause as _);
        let mut said = self.what.clone().unwrap_or_default();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Many errors end with the text of their source already.
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            next = cause.source();
        }
        Ok(())
    }
}

impl From<anyhow::Error> for Failure {
    /// The outermost context says what failed, and its chain says why.
    fn from(error: anyhow::Error) -> Self {
        let mut chain = error.chain().map(ToString::to_string);
        let mut line = chain.next().unwrap_or_else(|| String::from("failed"));
        for cause in chain {
            if !line.ends_with(&cause) {
                line = format!("{line}: {cause}");
            }
        }
        Self::new(Exit::Failed, line)
    }
}

#[cfg(test)]
mod tests;
