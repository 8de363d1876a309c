use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::doctor::check::Verdict;
use crate::doctor::seen::Settings;
use crate::doctor::tests::{check, healthy};

#[test]
fn a_clock_that_cannot_be_right_is_a_warning() {
    for (seconds, result) in [
        (0, Verdict::Warn),
        (1_800_000_000, Verdict::Ok),
        (5_000_000_000, Verdict::Warn),
    ] {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(clock(now).result, result, "{seconds}");
    }
}

/// A file of settings may be root's alone.
#[test]
fn settings_that_this_user_may_not_read_are_no_mistake() {
    let mut seen = healthy();
    let refused = "cannot read /etc/teredo/teredo.toml: Permission denied (os error 13)";
    seen.settings.mistakes = vec![(refused.into(), None)];
    assert_eq!(check(&seen, id::SETTINGS_VALID).result, Verdict::Fail);
    seen.root = false;
    assert_eq!(check(&seen, id::SETTINGS_VALID).result, Verdict::Skip);
}

#[test]
fn a_file_that_prefers_teredo_is_mentioned() {
    let mut seen = healthy();
    assert!(
        check(&seen, id::HOST_PREFIX_POLICY)
            .what
            .contains("prefer IPv4")
    );
    seen.host.gai = Some("precedence ::/0 40\nprecedence ::ffff:0:0/96 10 # IPv4 last\n".into());
    assert!(
        check(&seen, id::HOST_PREFIX_POLICY)
            .what
            .contains("prefers Teredo")
    );
    seen.host.gai = Some("#precedence ::ffff:0:0/96 10\nprecedence ::ffff:0:0/96 100\n".into());
    assert!(
        check(&seen, id::HOST_PREFIX_POLICY)
            .what
            .contains("prefer IPv4")
    );
}

#[test]
fn ipv6_that_is_off_names_each_setting() {
    let mut seen = healthy();
    seen.status_mut().state = Phase::Offline;
    seen.host.ipv6 = Ipv6::Disabled(vec!["net.ipv6.conf.default.disable_ipv6".into()]);
    let found = check(&seen, id::HOST_IPV6);
    assert_eq!(found.result, Verdict::Fail);
    assert_eq!(found.fix, "sysctl -w net.ipv6.conf.default.disable_ipv6=0");
    seen.host.ipv6 = Ipv6::Absent;
    assert!(check(&seen, id::HOST_IPV6).what.contains("ipv6.disable=1"));
}

#[test]
fn a_full_table_of_connections_is_named() {
    let mut seen = healthy();
    for (count, result) in [(10, Verdict::Ok), (97, Verdict::Warn), (100, Verdict::Fail)] {
        seen.host.connections = Some([count, 100]);
        assert_eq!(check(&seen, id::HOST_CONNTRACK).result, result);
    }
}

#[test]
fn a_sandbox_without_the_capability_is_named() {
    let mut seen = healthy();
    seen.host.net_admin = false;
    let found = check(&seen, id::HOST_CAPABILITIES);
    assert_eq!(found.result, Verdict::Fail);
    assert!(found.fix.contains("--cap-add NET_ADMIN"), "{found:?}");
}

/// A rule about the client's user, or a route of a program against intruders, swallows the client's datagrams.
#[test]
fn a_rule_or_a_route_that_leads_nowhere_is_named() {
    let mut seen = healthy();
    seen.status_mut().state = Phase::Offline;
    seen.server.way = Some(Decision {
        rule: Some(50),
        selector: "uidrange 994-994 ipproto 17 prohibit".into(),
        kind: "prohibit",
        ..Decision::default()
    });
    let found = check(&seen, id::HOST_ROUTE);
    assert_eq!(found.result, Verdict::Fail, "{found:?}");
    assert!(found.what.contains("priority 50"), "{found:?}");
    assert_eq!(
        found.fix,
        "ip rule del priority 50 uidrange 994-994 ipproto 17 prohibit"
    );
    let blackhole = Decision {
        rule: Some(32_766),
        table: 254,
        destination: Some((Ipv4Addr::new(192, 0, 2, 0).into(), 24)),
        kind: "blackhole",
        ..Decision::default()
    };
    seen.server.local = Some(Err("Invalid argument (os error 22)".into()));
    seen.server.way = Some(blackhole.clone());
    let found = check(&seen, id::HOST_ROUTE);
    assert!(found.what.contains("'blackhole 192.0.2.0/24'"), "{found:?}");
    assert_eq!(found.fix, "ip route del blackhole 192.0.2.0/24");
    // The second address alone.
    let mut seen = healthy();
    seen.server.second_way = Some(blackhole);
    let found = check(&seen, id::HOST_ROUTE);
    assert_eq!(found.result, Verdict::Warn, "{found:?}");
    assert!(found.what.contains("192.0.2.46"), "{found:?}");
    // There is no route at all.
    seen.server.second_way = Some(Decision {
        table: 254,
        kind: "unreachable",
        ..Decision::default()
    });
    assert_eq!(check(&seen, id::HOST_ROUTE).result, Verdict::Ok);
}

/// 'teredo config check' makes no secret.
#[test]
fn a_file_of_secrets_that_was_cut_off_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let [file, secrets] = ["teredo.toml", "secrets"].map(|name| folder.path().join(name));
    fs::write(&secrets, "").unwrap();
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
    let secrets = secrets.display();
    for (daemon, key, command) in [
        (
            "server",
            "address = \"192.0.2.45\"",
            format!("teredo secret new NAME >> {secrets}"),
        ),
        (
            "client",
            "servers = [\"192.0.2.45\"]",
            format!("echo NAME:SECRET >> {secrets}"),
        ),
    ] {
        let text = format!("[{daemon}]\n{key}\nsecret_file = \"{secrets}\"\n");
        fs::write(&file, text).unwrap();
        let mut seen = healthy();
        seen.settings = Settings::read(Some(&file), &seen.service.socket);
        assert_eq!(seen.settings.mistakes.len(), 1, "{:?}", seen.settings);
        let found = check(&seen, id::SETTINGS_VALID);
        assert_eq!(found.result, Verdict::Fail, "{found:?}");
        let what = format!("the file of secrets {secrets} of the {daemon} is empty");
        assert_eq!(found.what, what);
        assert!(found.fix.contains(&format!("\n{command}\n")), "{found:?}");
        let start = format!(" {daemon} &");
        assert!(found.fix.ends_with(&start), "{found:?}");
    }
}
