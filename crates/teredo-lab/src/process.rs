//! A child process in a namespace: its output is kept, and it ends with its handle.

use std::collections::VecDeque;
use std::env;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::namespace::Namespace;
use crate::wait::until;

/// Starts a process that dies with the thread that starts it, and whose signals have their default actions.
///
/// `setpriv` asks the kernel for the death (`PR_SET_PDEATHSIG` in prctl(2), which execve(2) keeps). `env` resets the
/// signals that the lab's caller ignores, as under nohup(1), or blocks. The shell gives up if the parent, `$0`, died
/// before the kernel was asked.
const LAUNCHER: [&str; 8] = [
    "setpriv",
    "--pdeathsig",
    "KILL",
    "env",
    "--default-signal",
    "sh",
    "-c",
    r#"[ "$PPID" = "$0" ] && exec "$@""#,
];

/// The most lines that are kept of a process; older ones are forgotten first.
const KEPT_LINES: usize = 10_000;
/// The longest line that is kept in one piece, in bytes.
const LONGEST_LINE: u64 = 64 * 1024;
/// How many of the last lines an error quotes.
const QUOTED_LINES: usize = 20;
/// How long the output of a process that has ended may take to arrive. A grandchild that holds on to
/// the pipe can make it endless.
const DRAIN: Duration = Duration::from_secs(1);

/// A running process in a [`Namespace`]; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    id: u32,
    child: Mutex<Child>,
    output: Arc<Output>,
    /// The child dies with the thread of the namespace.
    _namespace: Namespace,
}

/// Why a process failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// It could not be started.
    #[error("could not start {name}: {source}")]
    Spawn {
        /// The name given to it.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// It ended before it wrote the expected line.
    #[error("{name} ended ({status}) before it wrote {pattern:?}; its last lines:\n{tail}")]
    Ended {
        /// The name given to it.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// The expected part of a line.
        pattern: String,
        /// Its last lines.
        tail: String,
    },
    /// It was too late.
    #[error("{name} did not {what} within {} ms; its last lines:\n{tail}", waited.as_millis())]
    TimedOut {
        /// The name given to it.
        name: String,
        /// The expected action.
        what: String,
        /// How long the caller waited.
        waited: Duration,
        /// Its last lines.
        tail: String,
    },
    /// It could not be signalled or waited for.
    #[error("could not {what} {name}: {source}")]
    Kernel {
        /// The name given to it.
        name: String,
        /// The failed action.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

#[derive(Debug, Default)]
struct Output {
    state: Mutex<OutputState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct OutputState {
    lines: VecDeque<String>,
    /// How many lines were forgotten before the first of `lines`.
    forgotten: usize,
    /// How many of stdout and stderr are still open.
    open: usize,
    /// The name to echo lines under.
    echo: Option<String>,
}

impl Process {
    /// Starts a program in `namespace`, with its output captured and nothing on its standard input. `name` is for
    /// messages.
    ///
    /// The program, arguments, environment and folder of `command` count, and nothing else: not `env_clear`, for
    /// example.
    ///
    /// The process dies with this one, even if this one is killed with SIGKILL. It inherits neither the signals that
    /// this one ignores nor those that it blocks. That takes setpriv(1) of util-linux 2.33 and env(1) of GNU coreutils
    /// 8.31.
    ///
    /// # Errors
    ///
    /// [`ProcessError::Spawn`].
    pub fn spawn(
        namespace: &Namespace,
        name: &str,
        command: &mut Command,
    ) -> Result<Self, ProcessError> {
        let failed = |source| ProcessError::Spawn {
            name: name.to_owned(),
            source,
        };
        find_program(command).map_err(failed)?;
        let mut launched = launched(command, std::process::id());
        let mut child = namespace.spawn(&mut launched).map_err(failed)?;
        let pipes: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|pipe| Box::new(pipe) as _),
            child.stderr.take().map(|pipe| Box::new(pipe) as _),
        ];
        let process = Self {
            name: name.to_owned(),
            id: child.id(),
            child: Mutex::new(child),
            output: Arc::default(),
            _namespace: namespace.clone(),
        };
        process.output.lock().open = pipes.len();
        for pipe in pipes.into_iter().flatten() {
            let output = Arc::clone(&process.output);
            thread::Builder::new()
                .name("lab-output".into())
                .spawn(move || output.read(pipe))
                .map_err(failed)?;
        }
        Ok(process)
    }

    /// The name given to it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Switches the echo of its lines to this process's stderr, each after its name.
    pub fn set_echo(&self, echo: bool) {
        self.output.lock().echo = echo.then(|| self.name.clone());
    }

    /// The lines that it has written so far, stdout and stderr in the order of their arrival. No more
    /// than the last ten thousand are kept.
    pub fn lines(&self) -> Vec<String> {
        self.output.lock().lines.iter().cloned().collect()
    }

    /// A mark after the last line so far, for [`wait_for_line_after`](Self::wait_for_line_after).
    pub fn mark(&self) -> usize {
        self.output.lock().end()
    }

    /// Waits for a line that contains `pattern` and returns it. A line that was written before counts.
    ///
    /// # Errors
    ///
    /// [`ProcessError::TimedOut`], or [`ProcessError::Ended`] as soon as the process has ended without
    /// the line; both quote the last lines.
    pub fn wait_for_line(&self, pattern: &str, timeout: Duration) -> Result<String, ProcessError> {
        self.wait_for_line_after(0, pattern, timeout)
    }

    /// Like [`wait_for_line`](Self::wait_for_line), for lines written after a [`mark`](Self::mark).
    ///
    /// # Errors
    ///
    /// As for [`wait_for_line`](Self::wait_for_line).
    pub fn wait_for_line_after(
        &self,
        mark: usize,
        pattern: &str,
        timeout: Duration,
    ) -> Result<String, ProcessError> {
        let start = Instant::now();
        let mut position = mark;
        let mut state = self.output.lock();
        loop {
            let skip = position.saturating_sub(state.forgotten);
            if let Some(line) = state
                .lines
                .iter()
                .skip(skip)
                .find(|line| line.contains(pattern))
            {
                return Ok(line.clone());
            }
            position = state.end();
            let left = timeout.saturating_sub(start.elapsed());
            if state.open == 0 || left.is_zero() {
                break;
            }
            state = self
                .output
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let closed = state.open == 0;
        drop(state);
        // Closed output mostly means that the process has ended, a moment ago or in a moment.
        if closed && let Ok(status) = self.wait(timeout.min(DRAIN)) {
            return Err(ProcessError::Ended {
                name: self.name.clone(),
                status,
                pattern: pattern.to_owned(),
                tail: self.tail(),
            });
        }
        Err(self.timed_out(format!("write {pattern:?}"), start.elapsed()))
    }

    /// Sends a signal, unless the process has ended.
    ///
    /// # Errors
    ///
    /// [`ProcessError::Kernel`].
    pub fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        let mut child = self.child();
        match child.try_wait() {
            // It has not been waited for, so its ID cannot be anyone else's.
            Ok(None) => kill_process(Pid::from_child(&child), signal)
                .map_err(|error| self.failed("signal", error.into())),
            Ok(Some(_)) => Ok(()),
            Err(error) => Err(self.failed("wait for", error)),
        }
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    ///
    /// [`ProcessError::Kernel`].
    pub fn try_wait(&self) -> Result<Option<ExitStatus>, ProcessError> {
        self.child()
            .try_wait()
            .map_err(|error| self.failed("wait for", error))
    }

    /// Waits for its end and for the rest of its output.
    ///
    /// # Errors
    ///
    /// [`ProcessError::TimedOut`], [`ProcessError::Kernel`].
    pub fn wait(&self, timeout: Duration) -> Result<ExitStatus, ProcessError> {
        let ended = until(timeout, "its end", || self.try_wait().transpose());
        let status = ended.map_err(|error| self.timed_out("end".to_owned(), error.waited))??;
        self.output.drain();
        Ok(status)
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Errors
    ///
    /// [`ProcessError::TimedOut`] if it still runs after `timeout`.
    pub fn terminate(&self, timeout: Duration) -> Result<ExitStatus, ProcessError> {
        self.signal(Signal::TERM)?;
        self.wait(timeout)
    }

    /// Kills it (SIGKILL). It dies after the return: the kernel first lets go of all that it had.
    ///
    /// # Errors
    ///
    /// [`ProcessError::Kernel`].
    pub fn strike(&self) -> Result<(), ProcessError> {
        self.child()
            .kill()
            .map_err(|error| self.failed("kill", error))
    }

    /// Kills it (SIGKILL), and waits until it is gone.
    ///
    /// # Errors
    ///
    /// [`ProcessError::Kernel`].
    pub fn kill(&self) -> Result<ExitStatus, ProcessError> {
        let mut child = self.child();
        child.kill().map_err(|error| self.failed("kill", error))?;
        let status = child
            .wait()
            .map_err(|error| self.failed("wait for", error))?;
        drop(child);
        self.output.drain();
        Ok(status)
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tail(&self) -> String {
        let state = self.output.lock();
        let skip = state.lines.len().saturating_sub(QUOTED_LINES);
        state
            .lines
            .iter()
            .skip(skip)
            .map(|line| format!("  {line}\n"))
            .collect()
    }

    fn timed_out(&self, what: String, waited: Duration) -> ProcessError {
        ProcessError::TimedOut {
            name: self.name.clone(),
            what,
            waited,
            tail: self.tail(),
        }
    }

    fn failed(&self, what: &'static str, source: io::Error) -> ProcessError {
        ProcessError::Kernel {
            name: self.name.clone(),
            what,
            source,
        }
    }
}

/// `command` as the [`LAUNCHER`] runs it for `parent`.
fn launched(command: &Command, parent: u32) -> Command {
    let mut launched = Command::new(LAUNCHER[0]);
    launched
        .args(&LAUNCHER[1..])
        .arg(parent.to_string())
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => launched.env(key, value),
            None => launched.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        launched.current_dir(folder);
    }
    launched
}

/// Looks for the program as the shell will, so that a missing program is an error of the start.
fn find_program(command: &Command) -> io::Result<()> {
    let program = Path::new(command.get_program());
    if program.components().count() > 1 {
        let folder = command.get_current_dir().unwrap_or_else(|| Path::new(""));
        return folder.join(program).metadata().map(drop);
    }
    let path = match command.get_envs().find(|(key, _)| *key == "PATH") {
        Some((_, value)) => value.map(ToOwned::to_owned),
        None => env::var_os("PATH"),
    };
    env::split_paths(&path.unwrap_or_default())
        .any(|folder| folder.join(program).is_file())
        .then_some(())
        .ok_or_else(|| Errno::NOENT.into())
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = child.kill().and_then(|()| child.wait().map(drop)) {
            tracing::warn!(name = self.name, %error, "could not kill a process");
        }
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, OutputState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the lines of one pipe until its end.
    fn read(&self, pipe: impl Read) {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut pipe).take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {
                    let text = String::from_utf8_lossy(&line);
                    self.lock().push(text.trim_end_matches(['\n', '\r']));
                    self.changed.notify_all();
                }
            }
        }
        self.lock().open -= 1;
        self.changed.notify_all();
    }

    /// Waits until both pipes are read to their ends.
    fn drain(&self) {
        let state = self.lock();
        drop(
            self.changed
                .wait_timeout_while(state, DRAIN, |state| state.open > 0),
        );
    }
}

impl OutputState {
    fn push(&mut self, line: &str) {
        if let Some(name) = &self.echo {
            eprintln!("{name}: {line}");
        }
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
            self.forgotten += 1;
        }
        self.lines.push_back(line.to_owned());
    }

    fn end(&self) -> usize {
        self.forgotten + self.lines.len()
    }
}

#[cfg(test)]
mod tests;
