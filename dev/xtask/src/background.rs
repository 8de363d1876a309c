//! Work beside the steps.

use std::fs::{self, File};
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::command::{line, say};

/// How much of the processor the work has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// The time that nothing else wants: for work that computes, beside steps that mostly wait. It ends with this process.
    Rest,
    /// As the steps have: for work that mostly waits itself, and cleans up at its end.
    Full,
}

impl Share {
    /// The start of a command that has it.
    const fn prefix(self) -> &'static [&'static str] {
        match self {
            Self::Rest => &["chrt", "--idle", "0", "setpriv", "--pdeathsig", "KILL"],
            Self::Full => &["env"],
        }
    }
}

/// Commands that run one after another. Their output is shown when they have ended.
pub(crate) struct Work {
    title: &'static str,
    /// Its share of the processor.
    pub(crate) share: Share,
    output: tempfile::NamedTempFile,
    runs: JoinHandle<Result<f64>>,
}

impl Work {
    pub(crate) fn start(title: &'static str, share: Share, commands: Vec<Command>) -> Result<Self> {
        let output = tempfile::NamedTempFile::new().context("no place for temporary files")?;
        let log = output.reopen().context("no log of the work")?;
        say(format_args!("    begun, and told of later: {title}"))?;
        let runs = thread::spawn(move || {
            let started = Instant::now();
            for command in &commands {
                run(command, share, &log)?;
            }
            Ok(started.elapsed().as_secs_f64())
        });
        Ok(Self {
            title,
            share,
            output,
            runs,
        })
    }

    /// Waits for the end, and passes the output on.
    pub(crate) fn finish(self) -> Result<()> {
        let Self {
            title,
            output,
            runs,
            share: _,
        } = self;
        let outcome = runs.join().unwrap_or_else(|panic| resume_unwind(panic));
        let log = fs::read(output.path()).context("cannot read the log of the work")?;
        say(String::from_utf8_lossy(&log).trim_end())?;
        let seconds = outcome.context(title)?;
        say(format_args!("    {title}: {seconds:.1} s"))
    }
}

fn run(command: &Command, share: Share, log: &File) -> Result<()> {
    let output = || log.try_clone().context("no log of the work");
    let prefix = share.prefix();
    let mut beside = Command::new(prefix[0]);
    beside.args(&prefix[1..]);
    beside.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => beside.env(name, value),
            None => beside.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        beside.current_dir(folder);
    }
    beside
        .stdin(Stdio::null())
        .stdout(output()?)
        .stderr(output()?);
    let status = beside
        .status()
        .with_context(|| format!("cannot start `{}`", line(&beside)))?;
    ensure!(status.success(), "`{}`: {status}", line(command));
    Ok(())
}
