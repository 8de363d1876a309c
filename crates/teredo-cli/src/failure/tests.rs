use super::*;

#[derive(Debug, thiserror::Error)]
#[error("cannot bind: {0}")]
struct Bind(#[source] io::Error);

fn reported(failure: &Failure) -> String {
    let mut bytes = Vec::new();
    failure.report(anstream::StripStream::new(&mut bytes));
    String::from_utf8(bytes).expect("messages are text")
}

#[test]
fn one_line_for_the_failure_and_one_for_the_next_step() {
    let failure = Failure::new(Exit::Unreachable, "cannot connect to /run/x")
        .because(io::Error::from_raw_os_error(2))
        .hint("start it");
    assert_eq!(
        reported(&failure),
        "teredo: cannot connect to /run/x: No such file or directory (os error 2)\nhint: start it\n"
    );
}

#[test]
fn a_cause_that_is_already_said_is_not_said_again() {
    let failure =
        Failure::new(Exit::Failed, "server").because(Bind(io::Error::from_raw_os_error(98)));
    assert_eq!(
        reported(&failure),
        "teredo: server: cannot bind: Address already in use (os error 98)\n"
    );
}

#[test]
fn a_closed_pipe_is_a_quiet_success() {
    let failure = Failure::closed_pipe();
    assert_eq!(failure.exit(), Exit::Done);
    assert_eq!(reported(&failure), "");
}

#[test]
fn a_chain_of_contexts_becomes_one_line() {
    let error =
        anyhow::Error::from(io::Error::from_raw_os_error(1)).context("cannot make the interface");
    assert_eq!(
        Failure::from(error).to_string(),
        "cannot make the interface: Operation not permitted (os error 1)"
    );
}

#[test]
fn exit_codes_are_the_published_ones() {
    let published = [
        (0, "done"),
        (1, "failed"),
        (2, "usage"),
        (3, "not_ready"),
        (4, "not_permitted"),
        (5, "unreachable"),
        (78, "misconfigured"),
        (124, "timed_out"),
    ];
    assert_eq!(Exit::ALL.map(|exit| (exit.code(), exit.name())), published);
}
