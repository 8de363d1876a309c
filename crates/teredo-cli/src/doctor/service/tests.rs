use super::*;
use crate::doctor::check::Verdict;
use crate::doctor::rules::packet::Link;
use crate::doctor::seen::{Process, Roles, Unit, Units};
use crate::doctor::tests::{check, healthy, link};

fn unit(name: &str, active: &str, file: &str, code: &str) -> Unit {
    Unit {
        name: name.into(),
        loaded: "loaded".into(),
        active: active.into(),
        file: file.into(),
        result: if active == "failed" {
            "exit-code"
        } else {
            "success"
        }
        .into(),
        code: code.into(),
        restarts: String::new(),
    }
}

/// With a short pause between starts, such a unit never counts as failed.
#[test]
fn a_unit_that_is_started_again_and_again_is_named() {
    let mut seen = healthy();
    for (restarts, result) in [("0", Verdict::Ok), ("1", Verdict::Ok), ("6", Verdict::Fail)] {
        let unit = Unit {
            restarts: restarts.into(),
            ..unit("teredo-server.service", "activating", "enabled", "1")
        };
        seen.units = Units::Known(vec![unit]);
        let found = check(&seen, id::SERVICE_UNIT);
        assert_eq!(found.result, result, "{found:?}");
    }
    let found = check(&seen, id::SERVICE_UNIT);
    assert!(
        found.fix.starts_with("journalctl -u teredo-server"),
        "{found:?}"
    );
}

/// A user who may not ask the service is told of no interface to delete, and of no agent to start.
#[test]
fn a_closed_folder_is_no_sign_of_trouble() {
    let mut seen = healthy();
    seen.root = false;
    seen.service.status = Err(Unanswered::NotPermitted);
    seen.service.file = SocketFile::Hidden;
    seen.settings.has.firewall = true;
    seen.host.links = vec![Link {
        name: "teredo".into(),
        ..link()
    }];
    for id in [id::CLIENT_INTERFACE, id::FIREWALL_AGENT] {
        let found = check(&seen, id);
        assert_eq!(
            (found.result, found.fix.as_str()),
            (Verdict::Skip, ""),
            "{found:?}"
        );
    }
    // Nobody listens, and the interface is there.
    seen.service.status = Err(Unanswered::Missing);
    seen.service.file = SocketFile::Missing;
    assert_eq!(check(&seen, id::CLIENT_INTERFACE).result, Verdict::Fail);
}

#[test]
fn a_server_that_does_not_run_is_named() {
    let mut seen = healthy();
    seen.settings.has = Roles {
        server: true,
        ..Roles::default()
    };
    seen.service.status = Err(Unanswered::Missing);
    seen.service.file = SocketFile::Missing;
    let found = check(&seen, id::SERVICE_SOCKET);
    assert_eq!(found.result, Verdict::Fail, "{found:?}");
    assert!(found.fix.contains("server"), "{found:?}");
    seen.processes = vec![Process {
        name: "teredo".into(),
        arguments: ["teredo", "server"].map(String::from).to_vec(),
        here: Some(true),
        ..Process::default()
    }];
    assert_eq!(check(&seen, id::SERVICE_SOCKET).result, Verdict::Ok);
}

#[test]
fn units_are_judged_by_state_and_by_what_they_will_be() {
    let cases = [
        ("active", "enabled", "0", Verdict::Ok, ""),
        (
            "active",
            "disabled",
            "0",
            Verdict::Warn,
            "systemctl enable teredo-client",
        ),
        (
            "failed",
            "enabled",
            "78",
            Verdict::Fail,
            "teredo config check",
        ),
        (
            "failed",
            "enabled",
            "1",
            Verdict::Fail,
            "journalctl -u teredo-client",
        ),
        (
            "inactive",
            "enabled",
            "0",
            Verdict::Fail,
            "systemctl start teredo-client",
        ),
        ("inactive", "disabled", "0", Verdict::Ok, ""),
        (
            "inactive",
            "masked",
            "0",
            Verdict::Fail,
            "systemctl unmask teredo-client",
        ),
        ("activating", "enabled", "0", Verdict::Ok, ""),
    ];
    for (active, file, code, result, mend) in cases {
        let mut seen = healthy();
        seen.units = Units::Known(vec![unit("teredo-client.service", active, file, code)]);
        let found = check(&seen, id::SERVICE_UNIT);
        assert_eq!(found.result, result, "{found:?}");
        assert!(found.fix.contains(mend), "{found:?}");
    }
}

#[test]
fn a_service_of_another_version_is_named() {
    let mut seen = healthy();
    seen.status_mut().version = "0.1.0".into();
    let found = check(&seen, id::SERVICE_VERSION);
    assert_eq!(found.result, Verdict::Warn);
    assert!(found.what.contains("0.1.0"), "{found:?}");
    let mut seen = healthy();
    seen.processes = vec![Process {
        pid: 6,
        name: "teredo".into(),
        arguments: ["teredo", "client"].map(String::from).to_vec(),
        replaced: true,
        here: Some(true),
        unit: Some("teredo-client.service".into()),
        ..Process::default()
    }];
    let found = check(&seen, id::SERVICE_VERSION);
    assert_eq!(
        (found.result, found.fix.as_str()),
        (Verdict::Warn, "systemctl restart teredo-client")
    );
}

#[test]
fn a_process_of_another_namespace_is_none_of_this_host() {
    let mut seen = healthy();
    let process = Process {
        pid: 9,
        name: "miredo".into(),
        here: Some(false),
        ..Process::default()
    };
    seen.processes = vec![process.clone()];
    assert_eq!(check(&seen, id::CLIENT_RIVAL).result, Verdict::Ok);
    seen.processes = vec![Process {
        here: Some(true),
        ..process
    }];
    assert_eq!(check(&seen, id::CLIENT_RIVAL).result, Verdict::Warn);
}

/// A socket that others cannot use is a matter of a folder of the system alone.
#[test]
fn a_socket_that_is_closed_to_others_is_named() {
    let mut seen = healthy();
    seen.service.file = SocketFile::Socket {
        mode: 0o600,
        folder: 0o755,
    };
    let found = check(&seen, id::SERVICE_SOCKET);
    assert_eq!(found.result, Verdict::Warn);
    assert!(
        found.fix.contains("chmod 666 /run/teredo/teredo.sock"),
        "{found:?}"
    );
}

#[test]
fn commands_name_the_socket_that_is_in_use() {
    let mut seen = healthy();
    assert_eq!(seen.teredo("start"), "teredo start");
    seen.service.socket_is_default = false;
    seen.service.socket = "/tmp/a b.sock".into();
    seen.settings.chosen = Some("/etc/other.toml".into());
    assert_eq!(
        seen.teredo("start"),
        "teredo --config /etc/other.toml --socket '/tmp/a b.sock' start"
    );
}

/// A relay that forwards nothing is a failure, unless it serves its own host.
#[test]
fn a_relay_forwards() {
    let mut seen = healthy();
    seen.settings.has.relay = true;
    assert_eq!(check(&seen, id::RELAY_FORWARDING).result, Verdict::Fail);
    seen.settings.host_relay = true;
    assert_eq!(check(&seen, id::RELAY_FORWARDING).result, Verdict::Ok);
}
