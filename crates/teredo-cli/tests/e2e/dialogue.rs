//! Another program on a host: the test reads its output line by line, and writes lines to it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use teredo_lab::Host;

use crate::c::prefix;
use crate::world::*;

/// A running program; killed when dropped.
pub(crate) struct Dialogue {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Dialogue {
    /// Starts a program that finds the client at `socket`, the C libraries, and `teredo` itself.
    #[track_caller]
    pub(crate) fn start(host: &Host, socket: &Path, command: &mut Command) -> Self {
        let teredo = Path::new(env!("CARGO_BIN_EXE_teredo")).parent().unwrap();
        let mut path = teredo.as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        command
            .env("TEREDO_SOCKET", socket)
            .env("LD_LIBRARY_PATH", prefix().join("lib"))
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let name = format!("{command:?}");
        let mut child = host.namespace().spawn(command).unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = channel();
        // It ends with the program, or when nobody listens.
        thread::spawn(move || {
            stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| tell.send(line))
        });
        Self {
            name,
            input: child.stdin.take(),
            child,
            lines,
        }
    }

    /// The next line that it prints.
    #[track_caller]
    pub(crate) fn next(&self) -> String {
        match self.lines.recv_timeout(QUALIFICATION) {
            Ok(line) => line,
            Err(error) => panic!("{} prints nothing: {error}", self.name),
        }
    }

    /// Its next line is this one.
    #[track_caller]
    pub(crate) fn says(&self, line: &str) {
        assert_eq!(self.next(), line, "{}", self.name);
    }

    /// Whether it prints nothing for this long.
    pub(crate) fn is_silent(&self, time: Duration) -> bool {
        self.lines.recv_timeout(time).is_err()
    }

    /// Writes a line to it.
    #[track_caller]
    pub(crate) fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().expect("it listens still");
        writeln!(input, "{line}").unwrap();
    }

    /// Writes a line to it, and returns its answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.next()
    }

    /// Closes its input, and waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> ExitStatus {
        drop(self.input.take());
        let mut ended = None;
        eventually(QUALIFICATION, "the end of the program", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.expect("it was waited for")
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
