//! `teredo hooks`: programs of a folder, run when the port or the address changes; and the command of `teredo monitor
//! --exec`.
//!
//! ```text
//!  service ── events ──> feed ──> follow: the whole state ──> change: what to tell next ──> runner ──> run: a program
//! ```
//!
//! The daemons start no program, and cannot: their sandbox forbids it. This is a process of its own, which follows their
//! service as any subscriber does. It gates nothing, so no program holds up a port.

mod change;
mod folder;
mod follow;
mod run;
mod runner;
mod variables;

use std::io::{self, PipeReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use teredo_notify::types::EventName;

pub(crate) use change::{ChangeKind, Changes};
pub(crate) use follow::Follower;
pub(crate) use runner::Runner;

use self::change::Change;
use self::folder::Hook;
use self::run::{End, Outcome};
use crate::args::HooksArgs;
use crate::daemon::{tell_ready, tell_state, tell_stopping};
use crate::failure::{Exit, Failure};
use crate::feed::{Input, Until, follow};
use crate::logging::{self, BOUNDED};

/// Runs the programs of the folder for each change, until a signal ends it.
pub(crate) fn run(args: &HooksArgs, socket: &Path) -> Result<Exit, Failure> {
    check(&args.dir)?;
    let mut hooks = Hooks {
        folder: args.dir.clone(),
        socket: absolute(socket)?,
        limit: args.timeout,
        runs: 0,
        failed: 0,
    };
    let runner = Runner::start(Changes::new(&args.events, 1), move |change, stop| {
        hooks.tell(change, stop);
    })?;
    let mut follower = Follower::new(socket);
    let until = Until {
        // Its output is the log.
        reader: false,
        signals: true,
    };
    let inputs = follow(socket, &EventName::ALL, until)?;
    tell_ready();
    for input in inputs {
        match input {
            Input::Event(event) => {
                if let Some(state) = follower.received(&event) {
                    runner.observe(state);
                }
            }
            Input::Gone(failure) => {
                tracing::info!("no service: {failure}");
                runner.observe(follower.gone());
            }
            Input::Refused(failure) => return Err(failure),
            Input::ReaderGone | Input::Signal => {
                tell_stopping();
                return Ok(Exit::Done);
            }
        }
    }
    Err(Failure::new(Exit::Failed, "the events have ended"))
}

/// Fails if the folder cannot be used, and says so of each program.
fn check(folder: &Path) -> Result<(), Failure> {
    let listing = folder::list(folder).map_err(|refusal| {
        Failure::new(
            Exit::Failed,
            format!("cannot run the programs of {}", folder.display()),
        )
        .because(refusal)
        .hint("make a folder that belongs to root and that nobody else can write to, or name one with --dir")
        .of_settings()
    })?;
    for (name, refusal) in listing.refused {
        tracing::warn!(name, "not run: {refusal}");
    }
    let names: Vec<_> = listing
        .hooks
        .iter()
        .map(|hook| hook.name.as_str())
        .collect();
    if names.is_empty() {
        tracing::info!(folder = %folder.display(), "no programs yet");
    } else {
        tracing::info!(folder = %folder.display(), "programs: {}", names.join(", "));
    }
    Ok(())
}

/// The programs, and the account of their runs.
struct Hooks {
    folder: PathBuf,
    socket: PathBuf,
    limit: Duration,
    runs: u64,
    failed: u64,
}

impl Hooks {
    /// Runs every program for this change.
    fn tell(&mut self, change: &Change, stop: &PipeReader) {
        // Anew each time: a program may have been added, and a folder opened to others.
        let listing = match folder::list(&self.folder) {
            Ok(listing) => listing,
            Err(refusal) => {
                tracing::error!(folder = %self.folder.display(), "no program is run: {refusal}");
                self.failed += 1;
                return self.report();
            }
        };
        for (name, refusal) in listing.refused {
            tracing::warn!(name, "not run: {refusal}");
        }
        for hook in &listing.hooks {
            self.runs += 1;
            let outcome = self.run(hook, change, stop);
            let is_interrupted = matches!(&outcome, Ok(outcome) if outcome.end == End::Interrupted);
            if !self.account(hook, outcome) {
                self.failed += 1;
            }
            if is_interrupted {
                return;
            }
        }
        self.report();
    }

    fn run(&self, hook: &Hook, change: &Change, stop: &PipeReader) -> io::Result<Outcome> {
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(&hook.path);
        variables::clean(&mut command);
        variables::tell(&mut command, change, &self.socket);
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        tracing::debug!(hook = hook.name, event = change.kind.name(), "running");
        run::run(&mut command, Some(reader), self.limit, stop, |line| {
            tracing::info!(target: BOUNDED, hook = hook.name, "{line}");
        })
    }

    /// Logs how a program ended, and returns whether that was well.
    fn account(&self, hook: &Hook, outcome: io::Result<Outcome>) -> bool {
        let hook = &hook.name;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::warn!(hook, %error, "a program cannot be run");
                return false;
            }
        };
        if outcome.unsaid > 0 {
            tracing::warn!(
                hook,
                bytes = outcome.unsaid,
                "a program says too much: the rest is left out"
            );
        }
        if outcome.left_behind > 0 {
            let count = outcome.left_behind;
            tracing::warn!(
                hook,
                count,
                "a program left processes behind, which were ended"
            );
        }
        match outcome.end {
            End::Exited(0) => tracing::debug!(hook, "done"),
            End::Exited(code) => tracing::warn!(hook, code, "a program failed"),
            End::Killed(signal) => tracing::warn!(hook, signal, "a program was killed"),
            End::TimedOut => {
                tracing::warn!(hook, limit = ?self.limit, "a program ran too long and was ended");
            }
            End::Interrupted => tracing::info!(hook, "a program was ended: this service ends"),
        }
        outcome.end == End::Exited(0)
    }

    /// For `systemctl status`.
    fn report(&self) {
        logging::flush(false);
        tell_state(&format!("{} runs, {} failed", self.runs, self.failed));
    }
}

/// The command of `teredo monitor --exec`, with the caller's environment and output.
pub(crate) fn shell(
    text: &str,
    socket: &Path,
    limit: Duration,
) -> Result<impl FnMut(&Change, &PipeReader) + Send + 'static, Failure> {
    let (text, socket) = (text.to_owned(), absolute(socket)?);
    Ok(move |change: &Change, stop: &PipeReader| {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(&text).stdin(Stdio::null());
        variables::tell(&mut command, change, &socket);
        match run::run(&mut command, None, limit, stop, |_| {}) {
            Ok(outcome) => match outcome.end {
                End::Exited(0) | End::Interrupted => {}
                End::Exited(code) => tracing::warn!(target: BOUNDED, code, "the command failed"),
                End::Killed(signal) => {
                    tracing::warn!(target: BOUNDED, signal, "the command was killed");
                }
                End::TimedOut => {
                    tracing::warn!(target: BOUNDED, ?limit, "the command ran too long and was ended");
                }
            },
            Err(error) => tracing::warn!(%error, "the command cannot be run"),
        }
    })
}

/// A program may have another working directory.
fn absolute(socket: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(socket).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("the socket '{}' has no absolute path", socket.display()),
        )
        .because(error)
    })
}
