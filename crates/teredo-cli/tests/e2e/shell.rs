//! Commands at the shell of a host, and their output.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use teredo_lab::Host;

use crate::world::*;

/// Runs a command on `host` to its end, which must be near.
#[track_caller]
pub(crate) fn finish(host: &Host, command: &mut Command) -> Answer {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = host.namespace().spawn(command).unwrap();
    let id = Pid::from_child(&child);
    let (end, ended) = channel();
    thread::spawn(move || end.send(child.wait_with_output()));
    match ended.recv_timeout(SECOND * 10) {
        Ok(output) => Answer::new(output.unwrap()),
        Err(_) => {
            // It may have ended just now.
            let _ = kill_process(id, Signal::KILL);
            panic!("{command:?} does not end");
        }
    }
}

/// A command at the shell of `host`, for the client there.
#[track_caller]
pub(crate) fn ask(host: &Host, client: &Client, arguments: &[&str]) -> Answer {
    finish(
        host,
        teredo().arg("--socket").arg(&client.socket).args(arguments),
    )
}

/// The same for a user without any rights.
#[track_caller]
pub(crate) fn ask_as_nobody(host: &Host, client: &Client, arguments: &[&str]) -> Answer {
    let mut command = teredo();
    command.arg("--socket").arg(&client.socket).args(arguments);
    finish(host, command.uid(65534).gid(65534))
}

/// The output of a command, and its exit code.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    fn new(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The port that it printed, alone on a line.
    #[track_caller]
    pub(crate) fn port(&self) -> u16 {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
            .strip_suffix('\n')
            .and_then(|port| port.parse().ok())
            .unwrap_or_else(|| panic!("{self:?}"))
    }

    /// Checks that it failed with this code and this message, and gave a hint.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, stderr: &str) {
        assert_eq!(
            (self.code, self.stdout.as_str()),
            (Some(code), ""),
            "{self:?}"
        );
        assert!(
            self.stderr.contains(stderr) && self.stderr.contains("\nhint: "),
            "{self:?}"
        );
    }
}

/// The traces of the tunnel in the output of the real `ip`: its link, its addresses, its routes.
#[track_caller]
pub(crate) fn traces(host: &Host) -> [Vec<String>; 3] {
    [
        &["-o", "link"][..],
        &["-6", "-o", "address"],
        &["-6", "-o", "route", "show", "table", "all"],
    ]
    .map(|arguments| {
        let output = run(host, Command::new("ip").args(arguments));
        assert!(
            output.status.success(),
            "ip {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .filter(|line| line.contains("teredo"))
            .map(str::to_owned)
            .collect()
    })
}
