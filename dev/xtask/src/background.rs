//! Work beside the steps that mostly wait: it has the time of the processor that nothing else wants.

use std::fs::{self, File};
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::command::{line, say};

/// A kernel that has a process of this policy to run gives way to all others at once. The processes end with this one.
const IDLE: &[&str] = &["chrt", "--idle", "0", "setpriv", "--pdeathsig", "KILL"];

/// Commands that run one after another. Their output is shown when they have ended.
pub(crate) struct Work {
    title: &'static str,
    output: tempfile::NamedTempFile,
    runs: JoinHandle<Result<f64>>,
}

impl Work {
    pub(crate) fn start(title: &'static str, commands: Vec<Command>) -> Result<Self> {
        let output = tempfile::NamedTempFile::new().context("no place for temporary files")?;
        let log = output.reopen().context("no log of the work")?;
        say(format_args!("    begun, and told of later: {title}"))?;
        let runs = thread::spawn(move || {
            let started = Instant::now();
            for command in &commands {
                run(command, &log)?;
            }
            Ok(started.elapsed().as_secs_f64())
        });
        Ok(Self {
            title,
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
        } = self;
        let outcome = runs.join().unwrap_or_else(|panic| resume_unwind(panic));
        let log = fs::read(output.path()).context("cannot read the log of the work")?;
        say(String::from_utf8_lossy(&log).trim_end())?;
        let seconds = outcome.context(title)?;
        say(format_args!("    {title}: {seconds:.1} s"))
    }
}

/// Runs `command` behind all others.
fn run(command: &Command, log: &File) -> Result<()> {
    let output = || log.try_clone().context("no log of the work");
    let mut behind = Command::new(IDLE[0]);
    behind.args(&IDLE[1..]);
    behind.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => behind.env(name, value),
            None => behind.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        behind.current_dir(folder);
    }
    behind
        .stdin(Stdio::null())
        .stdout(output()?)
        .stderr(output()?);
    let status = behind
        .status()
        .with_context(|| format!("cannot start `{}`", line(&behind)))?;
    ensure!(status.success(), "`{}`: {status}", line(command));
    Ok(())
}
