use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, test_kill_process};

use super::{KEPT_LINES, OutputState, Process, ProcessError, launched};
use crate::namespace::Namespace;

const SECOND: Duration = Duration::from_secs(1);

fn shell(script: &str) -> Process {
    let namespace = Namespace::new().unwrap();
    Process::spawn(&namespace, "shell", Command::new("sh").args(["-c", script])).unwrap()
}

#[test]
fn lines_of_both_streams_are_kept() {
    let process = shell("echo out; echo err >&2; printf unfinished; cat");
    assert!(
        process.wait(5 * SECOND).unwrap().success(),
        "nothing is on its standard input"
    );
    let mut lines = process.lines();
    lines.sort();
    assert_eq!(lines, ["err", "out", "unfinished"]);
}

#[test]
fn waits_for_a_line_and_for_one_after_a_mark() {
    let process = shell("echo one; exec sleep 600");
    assert_eq!(process.wait_for_line("on", 5 * SECOND).unwrap(), "one");
    assert_eq!(process.wait_for_line("on", Duration::ZERO).unwrap(), "one");
    let mark = process.mark();
    let error = process
        .wait_for_line_after(mark, "on", Duration::from_millis(20))
        .unwrap_err();
    assert!(matches!(error, ProcessError::TimedOut { .. }), "{error}");
    assert!(
        error.to_string().contains("did not write \"on\""),
        "{error}"
    );
    assert!(error.to_string().contains("  one\n"), "{error}");
}

#[test]
fn an_end_before_the_line_is_told_at_once() {
    for (script, status) in [
        ("echo no; exit 3", "exit status: 3"),
        ("kill -9 $$", "signal: 9"),
    ] {
        let process = shell(script);
        let start = Instant::now();
        let error = process.wait_for_line("yes", 60 * SECOND).unwrap_err();
        assert!(matches!(error, ProcessError::Ended { .. }), "{error}");
        assert!(error.to_string().contains(status), "{error}");
        assert!(start.elapsed() < 10 * SECOND);
        assert!(
            !process.wait(SECOND).unwrap().success(),
            "its end can still be waited for"
        );
    }
}

#[test]
fn terminates_and_kills() {
    let process = shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done");
    process.wait_for_line("up", 5 * SECOND).unwrap();
    assert!(process.terminate(5 * SECOND).unwrap().success());
    assert_eq!(process.lines(), ["up", "bye"]);

    let process = shell("trap '' TERM; echo up; while :; do sleep 0.01; done");
    process.wait_for_line("up", 5 * SECOND).unwrap();
    let error = process.terminate(Duration::from_millis(20)).unwrap_err();
    assert!(
        error.to_string().contains("shell did not end within"),
        "{error}"
    );
    assert!(!process.kill().unwrap().success());
    assert!(process.try_wait().unwrap().is_some());
}

#[test]
fn is_killed_on_drop() {
    let process = shell("echo up; exec sleep 600");
    process.wait_for_line("up", 5 * SECOND).unwrap();
    let pid = Pid::from_child(&process.child());
    test_kill_process(pid).unwrap();
    drop(process);
    assert_eq!(test_kill_process(pid), Err(rustix::io::Errno::SRCH));
}

#[test]
fn nothing_is_started_for_a_parent_that_is_gone() {
    let echo = |parent| {
        let mut command = Command::new("echo");
        launched(command.arg("started"), parent).output().unwrap()
    };
    assert_eq!(echo(std::process::id()).stdout, b"started\n");
    let orphan = echo(1);
    assert!(orphan.stdout.is_empty() && !orphan.status.success());
}

#[test]
fn the_environment_and_the_folder_are_those_of_the_command() {
    let namespace = Namespace::new().unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo $GIVEN ${CARGO_MANIFEST_DIR-removed} $PWD"])
        .env("GIVEN", "given")
        .env_remove("CARGO_MANIFEST_DIR")
        .current_dir("/proc");
    let process = Process::spawn(&namespace, "shell", &mut command).unwrap();
    process
        .wait_for_line("given removed /proc", 5 * SECOND)
        .unwrap();
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let namespace = Namespace::new().unwrap();
    for program in ["/nonexistent", "nonexistent"] {
        let error = Process::spawn(&namespace, "ghost", &mut Command::new(program)).unwrap_err();
        assert!(
            error.to_string().starts_with("could not start ghost: "),
            "{error}"
        );
    }
}

#[test]
fn old_lines_are_forgotten_and_marks_stay_right() {
    let mut state = OutputState::default();
    for n in 0..KEPT_LINES + 5 {
        state.push(&n.to_string());
    }
    assert_eq!(state.lines.len(), KEPT_LINES);
    assert_eq!(state.lines[0], "5");
    assert_eq!(state.end(), KEPT_LINES + 5);
}
