use super::*;

#[test]
fn a_failure_names_the_command_as_one_would_type_it() {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "exit 7"])
        .env("FLAGS", "-D warnings")
        .env("PATH", "/bin");
    let error = run(&mut command).unwrap_err().to_string();
    assert_eq!(
        error,
        "`FLAGS='-D warnings' sh -c 'exit 7'`: exit status: 7"
    );
}

#[test]
fn a_failed_capture_shows_standard_error() {
    let error = capture(Command::new("sh").args(["-c", "echo out; echo why >&2; exit 1"]))
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("\nwhy"), "{error}");
}

#[test]
fn a_quote_survives_the_shell() {
    let word = "it's";
    let echoed =
        capture(Command::new("sh").args(["-c", &format!("printf %s {}", quoted(word))])).unwrap();
    assert_eq!(echoed, word);
}
