//! The program under test, and what it said.

use std::process::{Command, Output};

/// `teredo` with these arguments, without anything of this environment that it listens to.
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

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("ended by itself"),
            stdout: String::from_utf8(output.stdout).expect("text on standard output"),
            stderr: String::from_utf8(output.stderr).expect("text on standard error"),
        }
    }
}

/// Runs `teredo` with these arguments to its end.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    teredo(arguments)
        .output()
        .expect("the program starts")
        .into()
}
