use super::*;

/// An error of the kernel while the client was qualified is not blamed on the server afterwards.
#[test]
fn an_error_ends_with_the_state_that_it_was_about() {
    let mut account = Account::new(
        "teredo".to_owned(),
        Resolution::default(),
        Vec::new(),
        None,
        false,
        false,
    );
    account.enter_state(State::Probe, None);
    account.trouble = Some("send: No route to host".to_owned());
    assert_eq!(
        account.explanation().unwrap(),
        "the kernel refuses: send: No route to host"
    );
    account.enter_state(State::Qualified, None);
    assert_eq!(account.explanation(), None);

    account.trouble = Some("send: No route to host".to_owned());
    let server = Ipv4Addr::new(192, 0, 2, 45);
    account.enter_state(State::Probe, Some(Reason::ServerLost(server)));
    let explanation = account.explanation().unwrap();
    assert!(!explanation.contains("No route"), "{explanation}");
}
