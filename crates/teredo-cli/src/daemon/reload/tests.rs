use super::*;

/// The settings that were tried, one after the other.
fn tried(outcomes: Vec<Result<Next<u32>, Failure>>) -> (Vec<u32>, Result<Exit, Failure>) {
    let mut tried = Vec::new();
    let mut outcomes = outcomes.into_iter();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let outcome = runtime.unwrap().block_on(run(1, async |settings: &u32| {
        tried.push(*settings);
        outcomes.next().unwrap()
    }));
    (tried, outcome)
}

fn failure() -> Failure {
    Failure::new(Exit::Failed, "it does not start")
}

#[test]
fn new_settings_replace_the_old_ones() {
    let outcomes = vec![
        Ok(Next::Reload(2)),
        Ok(Next::Reload(3)),
        Ok(Next::End(Ok(Exit::Done))),
    ];
    let (tried, outcome) = tried(outcomes);
    assert_eq!(tried, [1, 2, 3]);
    assert_eq!(outcome.unwrap(), Exit::Done);
}

/// Settings that a daemon cannot start with leave the old ones in force, more than once.
#[test]
fn settings_that_fail_are_given_up() {
    let outcomes = vec![
        Ok(Next::Reload(2)),
        Err(failure()),
        Ok(Next::Reload(3)),
        Err(failure()),
        Ok(Next::End(Ok(Exit::Done))),
    ];
    let (tried, outcome) = tried(outcomes);
    assert_eq!(tried, [1, 2, 1, 3, 1]);
    assert!(outcome.is_ok());
}

#[test]
fn a_daemon_that_never_started_ends() {
    let (tried, outcome) = tried(vec![Err(failure())]);
    assert_eq!(tried, [1]);
    assert!(outcome.is_err());
}

/// Not even the old settings work any more.
#[test]
fn a_daemon_that_cannot_go_back_ends() {
    let (tried, outcome) = tried(vec![Ok(Next::Reload(2)), Err(failure()), Err(failure())]);
    assert_eq!(tried, [1, 2, 1]);
    assert!(outcome.is_err());
}
