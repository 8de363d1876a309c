//! Runs the program under test, and captures its output.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Longer than any step here takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// `teredo` with these arguments, without the environment variables that it reads.
pub(crate) fn teredo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_teredo"));
    for name in [
        "TEREDO_SOCKET",
        "RUST_LOG",
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "JOURNAL_STREAM",
        "NOTIFY_SOCKET",
    ] {
        command.env_remove(name);
    }
    // A server's socket, if the test chooses none.
    command.env("RUNTIME_DIRECTORY", env!("CARGO_TARGET_TMPDIR"));
    command.args(arguments);
    command
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `teredo` with these arguments to its end.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    finish(&mut teredo(arguments))
}

/// Runs `command` to its end.
pub(crate) fn finish(command: &mut Command) -> Ended {
    finish_into(command, Stdio::piped())
}

/// Runs `command` to its end, with `stdout` as its standard output.
pub(crate) fn finish_into(command: &mut Command, stdout: impl Into<Stdio>) -> Ended {
    command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped());
    end(command.spawn().expect("the program starts"))
}

/// Waits for the end of `child`. If it does not come, kills the child and fails.
pub(crate) fn end(child: Child) -> Ended {
    let id = Pid::from_child(&child);
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let output = receiver.recv_timeout(DEADLINE).unwrap_or_else(|_| {
        // The child was not waited for, so its process ID is still its own.
        let _ = kill_process(id, Signal::KILL);
        panic!("the program did not end within {DEADLINE:?}");
    });
    let output = output.expect("the program can be waited for");
    Ended {
        code: output.status.code().expect("ended by itself"),
        stdout: String::from_utf8(output.stdout).expect("text on standard output"),
        stderr: String::from_utf8(output.stderr).expect("text on standard error"),
    }
}
