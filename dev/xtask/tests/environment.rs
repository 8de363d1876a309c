//! The test run does not depend on its caller.

use std::process::Command;

/// A caller that ignores signals, keeps new files to itself, has closed its standard input, and has set much that changes
/// what programs do and print.
#[test]
fn the_test_run_does_not_inherit_its_callers_habits() {
    let script = r#"
        trap '' HUP INT PIPE QUIT TERM CHLD
        umask 077
        exec "$0" test --unprivileged --only environment <&-
    "#;
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_xtask")])
        // Set if this test is part of a test run.
        .env_remove("XTASK_ENVIRONMENT")
        .env("RUSTFLAGS", "--cfg nonsense")
        .env("CARGO_TARGET_DIR", "elsewhere")
        .env("RUST_LOG", "trace")
        .env("NO_COLOR", "1")
        .env("CLICOLOR_FORCE", "1")
        .env("LC_ALL", "de_DE")
        .env("TEREDO_SOCKET", "/nowhere")
        .env("XDG_RUNTIME_DIR", "/nowhere")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(errors, "");
    let output = String::from_utf8_lossy(&output.stdout);
    assert!(output.starts_with("==> environment\n"), "{output}");
}
