use super::*;

/// The exit codes that the design publishes, for every error of a call.
#[test]
fn errors_have_the_published_exit_codes() {
    let unreachable = |errno| CallError::Unreachable {
        path: "/run/x".into(),
        source: io::Error::from_raw_os_error(errno),
    };
    for (error, exit) in [
        (unreachable(2), Exit::Unreachable),
        (unreachable(111), Exit::Unreachable),
        (unreachable(11), Exit::Unreachable),
        (unreachable(13), Exit::NotPermitted),
        (CallError::Disconnected, Exit::Unreachable),
        (CallError::TimedOut, Exit::Unreachable),
        (CallError::NotReady, Exit::NotReady),
        (CallError::PermissionDenied, Exit::NotPermitted),
        (CallError::PortInUse(7), Exit::Failed),
        (CallError::Failed("x".into()), Exit::Failed),
        (CallError::Unsupported("x".into()), Exit::Failed),
        (CallError::Protocol("x".into()), Exit::Failed),
    ] {
        let shown = format!("{error:?}");
        assert_eq!(failure(error, Path::new("/run/x")).exit(), exit, "{shown}");
    }
}

/// A service that is there and busy is not started a second time.
#[test]
fn a_busy_service_is_not_started_again() {
    let busy = CallError::Unreachable {
        path: "/run/x".into(),
        source: io::Error::from_raw_os_error(11),
    };
    let mut bytes = Vec::new();
    failure(busy, Path::new("/run/x")).report(anstream::StripStream::new(&mut bytes));
    let said = String::from_utf8(bytes).expect("text");
    assert!(
        said.contains("busy") && !said.contains("teredo client"),
        "{said}"
    );
}

#[test]
fn every_error_has_a_next_step() {
    for error in [
        CallError::NotReady,
        CallError::PermissionDenied,
        CallError::Disconnected,
    ] {
        let mut bytes = Vec::new();
        failure(error, Path::new("/run/x")).report(anstream::StripStream::new(&mut bytes));
        let said = String::from_utf8(bytes).expect("text");
        assert!(
            said.lines()
                .nth(1)
                .is_some_and(|line| line.starts_with("hint: ")),
            "{said}"
        );
    }
}
