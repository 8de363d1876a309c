use std::process::Stdio;

use rustix::process::test_kill_process;

use super::*;

/// Runs a script; returns how it ended, and its lines.
fn script(text: &str, limit: Duration) -> (Outcome, Vec<String>) {
    let _alone = crate::children::alone();
    adopt().expect("the kernel knows subreapers");
    let (stop, _running) = io::pipe().expect("a pipe");
    let (reader, writer) = io::pipe().expect("a pipe");
    let mut command = Command::new("sh");
    command.args(["-c", text]).stdin(Stdio::null());
    command
        .stdout(writer.try_clone().expect("a copy"))
        .stderr(writer);
    let mut lines = Vec::new();
    let outcome = run(&mut command, Some(reader), limit, &stop, |line| {
        lines.push(line.to_owned());
    });
    assert_eq!(children(), [], "a process or a zombie is left");
    (outcome.expect("it runs"), lines)
}

fn is_alive(pid: &str) -> bool {
    let pid = pid.parse().ok().and_then(Pid::from_raw).expect("a number");
    test_kill_process(pid).is_ok()
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_program_ends_by_itself() {
    let (outcome, lines) = script("echo one; echo two >&2; printf three; exit 3", LONG);
    assert_eq!((outcome.end, outcome.left_behind), (End::Exited(3), 0));
    assert_eq!(lines, ["one", "two", "three"]);
    let (outcome, _) = script("kill -USR1 $$", LONG);
    assert_eq!(outcome.end, End::Killed(10));
}

/// One that hangs is ended with its children, those in a session of their own included, and those that ignore SIGTERM.
#[test]
fn what_hangs_is_ended_with_all_that_it_started() {
    let hang = "trap '' TERM; sleep 1000 & echo $!; setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1000; done' &
        echo $$; while :; do sleep 1000; done";
    let started = Instant::now();
    let (outcome, lines) = script(hang, Duration::from_millis(300));
    assert_eq!(outcome.end, End::TimedOut);
    assert!(started.elapsed() < GRACE + LAST, "{:?}", started.elapsed());
    assert_eq!(lines.len(), 3, "{lines:?}");
    for pid in &lines {
        assert!(!is_alive(pid), "{pid} of {lines:?} is left");
    }
}

/// SIGTERM comes first, and a program that heeds it is not killed.
#[test]
fn a_program_that_ends_when_asked_is_not_killed() {
    let started = Instant::now();
    let (outcome, lines) = script(
        "trap 'echo asked; exit 0' TERM; while :; do sleep 0.01; done",
        Duration::from_millis(200),
    );
    assert_eq!(outcome.end, End::TimedOut);
    assert!(lines.contains(&String::from("asked")), "{lines:?}");
    assert!(started.elapsed() < GRACE, "{:?}", started.elapsed());
}

/// Processes that a program leaves in the background end with it: at most one tree of processes is there at a time.
#[test]
fn what_is_left_behind_is_ended() {
    let (outcome, lines) = script("sleep 1000 & echo $!; setsid sleep 1000 & echo $!", LONG);
    assert_eq!((outcome.end, outcome.left_behind), (End::Exited(0), 2));
    for pid in &lines {
        assert!(!is_alive(pid), "{pid} is left");
    }
}

#[test]
fn output_is_bounded_and_plain() {
    let (outcome, lines) = script(
        "printf 'a\\033[2Jb\\000c\\n'; head -c 1000000 /dev/zero | tr '\\0' x",
        LONG,
    );
    assert_eq!(outcome.end, End::Exited(0));
    assert_eq!(lines[0], "a?[2Jb?c");
    let said: usize = lines[1..].iter().map(String::len).sum();
    assert!(
        lines[1..].iter().all(|line| line.len() <= LINE),
        "a line is too long"
    );
    assert_eq!(said + outcome.unsaid, 1_000_000);
    assert!(said < OUTPUT, "{said}");
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    let _alone = crate::children::alone();
    let (stop, _running) = io::pipe().expect("a pipe");
    let outcome = run(&mut Command::new("/nowhere"), None, LONG, &stop, |_| {});
    assert_eq!(
        outcome.expect_err("an error").kind(),
        io::ErrorKind::NotFound
    );
}

#[test]
fn a_run_ends_with_its_caller() {
    let _alone = crate::children::alone();
    adopt().expect("the kernel knows subreapers");
    let (stop, running) = io::pipe().expect("a pipe");
    drop(running);
    let mut command = Command::new("sleep");
    let outcome = run(command.arg("1000"), None, LONG, &stop, |_| {});
    assert_eq!(outcome.expect("it runs").end, End::Interrupted);
}
