use super::*;
use crate::doctor::check::Verdict;
use crate::doctor::rules::packet::Link;
use crate::doctor::seen::{Process, Program, Roles, Unit, Units};
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
        ..Unit::default()
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

/// Without permission to ask the service, the doctor proposes neither to delete an interface nor to start an agent.
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
        ("inactive", "masked", "0", Verdict::Ok, ""),
        (
            "active",
            "masked",
            "0",
            Verdict::Warn,
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

fn client(pid: u32, arguments: &[&str]) -> Process {
    Process {
        pid,
        name: "teredo".into(),
        arguments: arguments.iter().map(|&word| word.into()).collect(),
        here: Some(true),
        ..Process::default()
    }
}

fn tun(name: &str) -> Link {
    Link {
        name: name.into(),
        ..link()
    }
}

/// No mend ends the manager of this host, or goes past the unit of a process.
#[test]
fn what_belongs_to_a_unit_is_mended_by_the_unit() {
    let mut seen = healthy();
    seen.service.status = Err(Unanswered::Missing);
    seen.service.file = SocketFile::Missing;
    seen.host.links = vec![tun("teredo")];
    seen.settings.client.port = std::num::NonZeroU16::new(40_000);
    let program = |name: &str, pid, unit: Option<&str>| Program {
        name: name.into(),
        pid,
        unit: unit.map(str::to_owned),
    };
    let client = unit("teredo-client.service", "activating", "enabled", "1");
    let units = Units::Known(vec![client]);
    // Its store of descriptors has the interface while the daemon is started again.
    let manager = program("systemd", 1, None);
    let cases = [
        (manager.clone(), units.clone(), Verdict::Ok, ""),
        (
            manager,
            Units::NoManager,
            Verdict::Fail,
            "systemctl stop teredo-client",
        ),
        (
            program("openvpn", 99, Some("openvpn@home.service")),
            units.clone(),
            Verdict::Fail,
            "systemctl stop openvpn@home\nsystemctl enable --now teredo-client",
        ),
        (program("tool", 99, None), units, Verdict::Fail, "kill 99\n"),
    ];
    for (holder, units, result, mend) in cases {
        seen.host.tun_holders = vec![("teredo".into(), holder.clone())];
        seen.host.udp = vec![(40_000, Some(holder))];
        seen.units = units;
        let found = check(&seen, id::CLIENT_INTERFACE);
        assert_eq!(found.result, result, "{found:?}");
        assert!(found.fix.contains(mend), "{found:?}");
        for check in super::super::judge(&seen) {
            assert!(!check.fix.lines().any(|line| line == "kill 1"), "{check:?}");
        }
    }
}

/// `teredo --socket /run/teredo/b.sock doctor` is about `teredo-client@b`; the first client does its work.
#[test]
fn an_instance_is_asked_about_by_its_socket() {
    let mut seen = healthy();
    seen.service.socket = "/run/teredo/b.sock".into();
    seen.service.socket_is_default = false;
    seen.service.status = Err(Unanswered::Missing);
    seen.service.file = SocketFile::Missing;
    seen.service.pid = None;
    seen.settings.client.interface = "teredo-b".into();
    seen.host.links = vec![tun("teredo")];
    let first = Process {
        unit: Some("teredo-client.service".into()),
        ..client(7, &["/usr/bin/teredo", "client"])
    };
    seen.host.tun_holders = vec![("teredo".into(), first.program())];
    seen.processes = vec![first];
    seen.units = Units::Known(vec![
        unit("teredo-client.service", "active", "enabled", "0"),
        unit("teredo-client@b.service", "inactive", "disabled", "0"),
    ]);
    let found = check(&seen, id::SERVICE_SOCKET);
    assert_eq!(
        found.fix, "systemctl enable --now teredo-client@b",
        "{found:?}"
    );
    assert_eq!(check(&seen, id::CLIENT_INTERFACE).result, Verdict::Ok);
    assert_eq!(seen.restart("client"), "systemctl restart teredo-client@b");
    // Without a name of its own, it gets one; nobody ends the first client.
    seen.settings.client.interface = "teredo".into();
    let found = check(&seen, id::CLIENT_INTERFACE);
    assert!(found.what.contains("another client"), "{found:?}");
    assert!(
        !found.fix.contains("kill") && !found.fix.contains("stop"),
        "{found:?}"
    );
}

#[test]
fn two_clients_with_a_tunnel_each_are_no_trouble() {
    let mut seen = healthy();
    let second = Process {
        unit: Some("teredo-client@b.service".into()),
        ..client(9, &["teredo", "client", "--socket", "/run/teredo/b.sock"])
    };
    seen.host
        .teredo_links
        .push(("teredo-b".into(), "2001:0:c000:22d::2".parse().unwrap()));
    // A unit's interface is the manager's, too.
    let manager = Program {
        name: "systemd".into(),
        pid: 1,
        unit: None,
    };
    seen.host.tun_holders = vec![
        ("teredo-b".into(), second.program()),
        ("teredo-b".into(), manager),
    ];
    seen.processes = vec![client(6, &["teredo", "client"]), second];
    let found = check(&seen, id::CLIENT_RIVAL);
    assert_eq!(found.result, Verdict::Ok, "{found:?}");
    assert!(found.why.contains("came first"), "{found:?}");
    // Both want one port: the second got another.
    let status = seen.status_mut();
    status.configured_port = Some(40_001);
    status.reason = Some("port 40001 could not be had, using another one".into());
    seen.host.udp = vec![(40_001, Some(seen.processes[1].program()))];
    let found = check(&seen, id::CLIENT_PORT);
    assert_eq!(found.result, Verdict::Warn, "{found:?}");
    assert!(found.fix.contains("port = 40002"), "{found:?}");
}

/// An agent of the host cannot help a client that has a network of its own.
#[test]
fn a_client_in_another_network_is_named_with_what_put_it_there() {
    let mut seen = healthy();
    seen.status_mut().firewall.clear();
    seen.status_mut().protected = Some(false);
    seen.processes = vec![Process {
        here: Some(false),
        namespace: Some("net:[4026532000]".into()),
        unit: Some("teredo-client.service".into()),
        ..client(6, &["teredo", "client"])
    }];
    let file = "/etc/systemd/system/teredo-client.service.d/hardening.conf";
    let private = Unit {
        private_network: true,
        drop_ins: vec![(file.into(), "[Service]\nPrivateNetwork=yes\n".into())],
        ..unit("teredo-client.service", "active", "enabled", "0")
    };
    seen.units = Units::Known(vec![private]);
    for id in [id::SERVICE_UNIT, id::CLIENT_INTERFACE] {
        let found = check(&seen, id);
        assert_eq!(found.result, Verdict::Fail, "{found:?}");
        assert!(found.fix.starts_with(&format!("mv {file}")), "{found:?}");
    }
    let found = check(&seen, id::CLIENT_INTERFACE);
    assert!(found.what.contains("net:[4026532000]"), "{found:?}");
    for id in [id::FIREWALL_AGENT, id::FIREWALL_INSIDE] {
        assert_eq!(check(&seen, id).result, Verdict::Skip);
    }
    // By hand, in `ip netns exec`.
    seen.units = Units::NoManager;
    seen.processes[0].unit = None;
    let found = check(&seen, id::CLIENT_INTERFACE);
    assert_eq!(found.fix, "nsenter -t 6 -n teredo doctor");
}

#[test]
fn a_drop_in_that_keeps_a_unit_from_its_work_is_named() {
    let text = "Id=teredo-client.service\nLoadState=loaded\nActiveState=activating\nUnitFileState=enabled\n\
                ExecMainStatus=203\nNRestarts=6\nConditionResult=no\nConditionTimestampMonotonic=7\nPrivateNetwork=no\n\
                ExecStart={ path=/opt/teredo ; argv[]=/opt/teredo client ; ignore_errors=no }\n\
                DropInPaths=/etc/systemd/system/teredo-client.service.d/old.conf\nRequires=vpn.service\n\n\
                Id=teredo-client.service\nLoadState=loaded\n";
    let parsed = crate::doctor::gather::parse_units(text);
    let [parsed] = parsed.as_slice() else {
        panic!("{parsed:?}");
    };
    assert_eq!(parsed.program, "/opt/teredo");
    let file = parsed.drop_ins[0].0.clone();
    let cases = [
        (
            "ExecStart=\nExecStart=/opt/teredo client",
            "activating",
            "203",
            "/opt/teredo",
        ),
        (
            "ExecStart=/gone/teredo client",
            "activating",
            "0",
            "cannot start its program",
        ),
        ("ConditionVirtualization=no", "inactive", "0", "a condition"),
        ("Requires=vpn.service", "inactive", "0", "vpn.service"),
    ];
    let mut seen = healthy();
    for (line, active, code, named) in cases {
        let missing = if line.contains("Requires") {
            parsed.missing.clone()
        } else {
            Vec::new()
        };
        seen.units = Units::Known(vec![Unit {
            active: active.into(),
            code: code.into(),
            drop_ins: vec![(file.clone(), line.into())],
            missing,
            // Between two starts, no exit status is to be had.
            lacks_program: line.contains("ExecStart=/gone"),
            ..parsed.clone()
        }]);
        let found = check(&seen, id::SERVICE_UNIT);
        assert_eq!(found.result, Verdict::Fail, "{found:?}");
        assert!(found.what.contains(named), "{found:?}");
        assert!(found.why.contains(&file), "{found:?}");
        assert!(
            found.fix.starts_with(&format!("mv {file} {file}.off")),
            "{found:?}"
        );
    }
}

/// systemd adds up the lines of all files, so that only the sum tells (`systemctl show`).
#[test]
fn rights_are_judged_by_their_sum() {
    const ALL: &str = "af_inet af_inet6 af_netlink af_unix";
    let file = "/etc/systemd/system/teredo-client.service.d/hardening.conf";
    let mut seen = healthy();
    let mut judge = |families: &str, capabilities: &str, lines: &str| {
        seen.units = Units::Known(vec![Unit {
            families: Some(families.into()),
            capabilities: Some(capabilities.into()),
            drop_ins: vec![(file.into(), format!("[Service]\n{lines}\n"))],
            ..unit("teredo-client.service", "failed", "enabled", "1")
        }]);
        check(&seen, id::SERVICE_UNIT)
    };
    for (families, capabilities, lines, line) in [
        (
            "~af_netlink",
            "cap_net_admin",
            "RestrictAddressFamilies=~AF_NETLINK\nRestrictAddressFamilies=AF_INET",
            "RestrictAddressFamilies=~AF_NETLINK",
        ),
        (
            "af_inet af_unix",
            "cap_net_admin",
            "RestrictAddressFamilies=\nRestrictAddressFamilies=AF_INET AF_UNIX",
            "RestrictAddressFamilies=",
        ),
        (
            "",
            "cap_net_admin",
            "RestrictAddressFamilies=none",
            "RestrictAddressFamilies=none",
        ),
        (
            ALL,
            "cap_net_raw",
            "CapabilityBoundingSet=CAP_NET_RAW",
            "CapabilityBoundingSet=CAP_NET_RAW",
        ),
        ("~", "", "CapabilityBoundingSet=", "CapabilityBoundingSet="),
    ] {
        let found = judge(families, capabilities, lines);
        assert!(found.what.contains("takes a right away"), "{found:?}");
        assert!(found.why.contains(&format!("says '{line}'")), "{found:?}");
        assert!(found.fix.starts_with(&format!("mv {file}")), "{found:?}");
    }
    // A list that adds to that of the unit's own file takes nothing away.
    for (families, capabilities, lines) in [
        (
            ALL,
            "cap_net_admin cap_net_bind_service",
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nRestrictAddressFamilies=AF_PACKET",
        ),
        (
            "~af_bluetooth",
            "cap_net_admin",
            "RestrictAddressFamilies=~AF_BLUETOOTH",
        ),
    ] {
        let found = judge(families, capabilities, lines);
        assert!(found.what.contains("has failed"), "{found:?}");
    }
}

/// 'no' is also the answer about a unit that was never started.
#[test]
fn a_unit_that_was_never_started_has_no_condition() {
    let text = |when: &str| {
        format!(
            "Id=teredo-server.service\nLoadState=loaded\nActiveState=inactive\nUnitFileState=enabled\n\
             ConditionResult=no\nConditionTimestampMonotonic={when}\n"
        )
    };
    let mut seen = healthy();
    for (when, words) in [
        ("0", "does not run"),
        ("81234", "a condition does not hold"),
    ] {
        seen.units = Units::Known(crate::doctor::gather::parse_units(&text(when)));
        let found = check(&seen, id::SERVICE_UNIT);
        assert!(found.what.contains(words), "{found:?}");
    }
}

/// Units that systemd does not load are judged, too; and one that nobody needs may be masked.
#[test]
fn units_that_cannot_be_started_are_named_if_they_are_missed() {
    let text = "Id=teredo-client.service\nLoadState=masked\nActiveState=inactive\nUnitFileState=masked\n\n\
                Id=teredo-relay.service\nLoadState=masked\nActiveState=inactive\nUnitFileState=masked\n\n\
                Id=teredo-server.service\nLoadState=bad-setting\nActiveState=inactive\nUnitFileState=disabled\n\
                LoadError=org.freedesktop.systemd1.BadUnitSetting \"Unit teredo-server.service has a bad unit file setting.\"\n\n\
                Id=teredo-hooks.service\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\n";
    let units = crate::doctor::gather::parse_units(text);
    assert_eq!(units.len(), 3, "{units:?}");
    let mut seen = healthy();
    seen.units = Units::Known(units);
    assert_eq!(check(&seen, id::SERVICE_UNIT).result, Verdict::Ok);
    seen.settings.has.server = true;
    let found = check(&seen, id::SERVICE_UNIT);
    assert!(
        found.what.contains("has a bad unit file setting"),
        "{found:?}"
    );
    assert!(
        found
            .fix
            .starts_with("systemd-analyze verify teredo-server.service"),
        "{found:?}"
    );
    seen.settings.has.server = false;
    seen.service.status = Err(Unanswered::Missing);
    seen.service.file = SocketFile::Missing;
    let found = check(&seen, id::SERVICE_UNIT);
    assert!(
        found.fix.starts_with("systemctl unmask teredo-client\n"),
        "{found:?}"
    );
    let found = check(&seen, id::SERVICE_SOCKET);
    assert!(
        found.fix.starts_with("systemctl unmask teredo-client\n"),
        "{found:?}"
    );
}

/// Only the client has a socket that starts it.
#[test]
fn the_socket_of_the_client_starts_no_other_unit() {
    let mut seen = healthy();
    let socket = unit("teredo-client.socket", "active", "enabled", "0");
    for (name, result) in [
        ("teredo-client.service", Verdict::Ok),
        ("teredo-hooks.service", Verdict::Fail),
    ] {
        let service = unit(name, "inactive", "enabled", "0");
        seen.units = Units::Known(vec![socket.clone(), service]);
        let found = check(&seen, id::SERVICE_UNIT);
        assert_eq!(found.result, result, "{found:?}");
    }
}

/// A key that only begins alike sets something else, and what a package brought is not moved away.
#[test]
fn the_drop_in_that_is_to_blame_is_named() {
    let mut seen = healthy();
    let own = "/etc/systemd/system/teredo-client.service.d/own.conf";
    let mut judge = |file: &str, text: &str| {
        seen.units = Units::Known(vec![Unit {
            missing: vec!["vpn.service".into()],
            drop_ins: vec![
                (file.into(), text.into()),
                (
                    own.into(),
                    "RequiresMountsFor=/srv\nRequires=db.service\n".into(),
                ),
            ],
            ..unit("teredo-client.service", "inactive", "enabled", "0")
        }]);
        check(&seen, id::SERVICE_UNIT)
    };
    let other = "/etc/systemd/system/teredo-client.service.d/a.conf";
    let found = judge(other, "Requires=a.service vpn.service\n");
    assert!(found.fix.starts_with(&format!("mv {other} ")), "{found:?}");
    let vendor = "/usr/lib/systemd/system/teredo-client.service.d/a.conf";
    let found = judge(vendor, "BindsTo=vpn.service\n");
    assert!(found.why.contains(vendor), "{found:?}");
    assert!(
        found.fix.starts_with("systemctl cat teredo-client"),
        "{found:?}"
    );
    let found = judge(other, "#Requires=vpn.service\n");
    assert!(!found.fix.contains("mv "), "{found:?}");
}

#[test]
fn a_full_file_system_and_an_old_session_are_named() {
    let mut seen = healthy();
    seen.host.stale_group = Some("teredo".into());
    let found = check(&seen, id::SERVICE_GROUP);
    assert_eq!(
        (found.result, &*found.fix),
        (Verdict::Warn, "newgrp teredo")
    );
    assert!(found.why.contains("log in again"), "{found:?}");
    seen.service.status = Err(Unanswered::Missing);
    seen.service.file = SocketFile::Missing;
    for (full, named, shown) in [
        (Full::Inodes, "no inodes left", "df --inodes /run\n"),
        (Full::Space, "no space left", "df /run\n"),
    ] {
        seen.service.full = Some(full);
        let found = check(&seen, id::SERVICE_SOCKET);
        assert!(found.what.contains(named), "{found:?}");
        assert!(found.fix.starts_with(shown), "{found:?}");
    }
}

/// systemd-analyze names the mistake, and the key in it names the drop-in.
#[test]
fn the_drop_in_of_a_bad_unit_is_named() {
    let folder = "/etc/systemd/system/teredo-client.service.d";
    let (good, bad) = (
        format!("{folder}/a.conf"),
        format!("{folder}/override.conf"),
    );
    let line = "teredo-client.service: Service has more than one ExecStart= setting, which is only allowed for \
                Type=oneshot services. Refusing.";
    let bad_unit = |complaint: &str| Unit {
        loaded: "bad-setting".into(),
        complaint: Some(complaint.into()),
        drop_ins: vec![
            (
                bad.clone(),
                "[Service]\nExecStart=/usr/bin/teredo client\n".into(),
            ),
            (good.clone(), "[Service]\nNice=5\n".into()),
        ],
        ..unit("teredo-client.service", "active", "enabled", "0")
    };
    let mut seen = healthy();
    for complaint in [line.to_owned(), format!("{bad}:2: Unknown key name")] {
        seen.units = Units::Known(vec![bad_unit(&complaint)]);
        let found = check(&seen, id::SERVICE_UNIT);
        assert!(found.what.contains(&complaint), "{found:?}");
        let mv = format!("mv {bad} {bad}.off\n");
        assert!(found.fix.starts_with(&mv), "{found:?}");
    }
    // Nothing tells which.
    seen.units = Units::Known(vec![bad_unit("teredo-client.service: refused")]);
    let found = check(&seen, id::SERVICE_UNIT);
    assert!(found.fix.starts_with("systemd-analyze verify"), "{found:?}");
}

/// The kernel has one error for a route that exists and for one that a rule refuses.
#[test]
fn a_rule_is_no_other_client() {
    let mut seen = healthy();
    let reason = "cannot add a route to ::/0 through teredo: another Teredo may be running";
    seen.status_mut().reason = Some(reason.into());
    assert_eq!(check(&seen, id::CLIENT_INTERFACE).result, Verdict::Warn);
    seen.ways.native = Some(teredo_tunnel::net::Decision {
        rule: Some(100),
        kind: "prohibit",
        ..Default::default()
    });
    assert_eq!(check(&seen, id::CLIENT_INTERFACE).result, Verdict::Ok);
}

/// It will be qualified in a moment, or have a reason.
#[test]
fn a_client_that_asks_again_has_not_failed() {
    let mut seen = healthy();
    let status = seen.status_mut();
    status.state = Phase::Probe;
    status.reason = Some("the local address or port changed".into());
    let found = check(&seen, id::SERVICE_STATE);
    assert_eq!(found.result, Verdict::Warn, "{found:?}");
    seen.status_mut().reason = Some("no answer from server 192.0.2.45".into());
    assert_eq!(check(&seen, id::SERVICE_STATE).result, Verdict::Fail);
}
