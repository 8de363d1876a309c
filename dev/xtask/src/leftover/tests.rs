use std::process::{Child, Command};

use super::*;

/// A process of a test. A process that has just begun has no command line yet.
fn sleeper() -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 60; exit $?", "/tmp/teredo-e2e.test/x"]);
    let child = command.spawn().unwrap();
    while !running().unwrap().contains_key(&child.id()) {
        thread::yield_now();
    }
    child
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_a_test_leaves_is_named_and_what_was_there_before_is_not() {
    let before = sleeper();
    none_after(|| {
        end(sleeper());
        Ok(())
    })
    .unwrap();
    let mut left = None;
    let error = none_after(|| {
        left = Some(sleeper());
        Ok(())
    })
    .unwrap_err()
    .to_string();
    let left = left.unwrap();
    assert!(error.contains(&format!("{}: sh -c", left.id())), "{error}");
    assert!(!error.contains(&format!("{}: sh", before.id())), "{error}");
    end(left);
    end(before);
}
