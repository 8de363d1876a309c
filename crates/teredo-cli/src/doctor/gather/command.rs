//! Other programs that are asked: within a time, and for an answer of a bounded length.

use std::io::Read as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// More than any of them needs on a host that works.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than any answer that makes sense.
const LONGEST: usize = 8 << 20;

/// The output of a program, if it ends well.
pub(super) fn ask(program: &str, arguments: &[&str]) -> Result<String, String> {
    within(PATIENCE, program, arguments)
}

fn within(patience: Duration, program: &str, arguments: &[&str]) -> Result<String, String> {
    let end = Instant::now() + patience;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    let (sender, answer) = mpsc::sync_channel(1);
    if let Some(output) = child.stdout.take() {
        thread::spawn(move || {
            let mut text = Vec::new();
            let read = output.take(LONGEST as u64 + 1).read_to_end(&mut text);
            let _ = sender.send(read.map(|_| text));
        });
    }
    let answer = answer.recv_timeout(patience);
    let status = match &answer {
        Ok(Ok(text)) if text.len() <= LONGEST => ended(&mut child, end),
        _ => None,
    };
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    match (answer, status) {
        (Ok(Ok(text)), Some(status)) if status.success() => {
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
        (Ok(Ok(text)), _) if text.len() > LONGEST => {
            Err(format!("{program} answers with more than {LONGEST} bytes"))
        }
        (_, None) => Err(format!("{program} does not answer within {patience:?}")),
        _ => Err(format!("{program} does not answer")),
    }
}

/// The end of a program that has closed its output.
fn ended(child: &mut Child, end: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(2)),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manager that hangs, or never ends its answer, does not keep the doctor.
    #[test]
    fn an_answer_has_an_end() {
        let _alone = crate::children::alone();
        let short = Duration::from_millis(100);
        assert_eq!(within(PATIENCE, "echo", &["a b"]).unwrap(), "a b\n");
        for (program, arguments, words) in [
            ("sleep", &["60"][..], "within 100ms"),
            ("sh", &["-c", "exec >&-; exec sleep 60"], "within 100ms"),
            ("false", &[], "does not answer"),
            ("/nonexistent/program", &[], "cannot run"),
        ] {
            let error = within(short, program, arguments).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let error = within(PATIENCE, "yes", &[]).unwrap_err();
        assert!(error.contains("more than"), "{error}");
    }
}
