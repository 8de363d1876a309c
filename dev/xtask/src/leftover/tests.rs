use std::process::{Child, Command};

use super::*;

fn sleeper() -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 60; exit $?", "/tmp/teredo-e2e.test/x"]);
    command.spawn().unwrap()
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
