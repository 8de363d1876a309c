use teredo_nft::{Expression, Family, Field, Hook, Operator, PayloadBase, Policy, TableName};

use super::*;
use crate::doctor::check::Verdict;
use crate::doctor::rules::ruleset::{At, Called, Chain, Row};
use crate::doctor::seen::{Neighbour, Roles, Unanswered};
use crate::doctor::tests::{check, healthy};
use crate::probe::Report;
use crate::probe::finding;
use teredo_notify::types::Phase;
use teredo_tunnel::net::Decision;

/// A host whose client is not qualified, and whose probe has this finding alone.
fn with(kind: &finding::Kind, text: &str) -> Seen {
    let mut seen = healthy();
    let status = seen.status_mut();
    status.state = Phase::Offline;
    status.reason = Some("no answer from server 192.0.2.45 over UDP port 3544".into());
    seen.server.probe = Some(Report::without_server("192.0.2.45", kind.found(text)));
    seen
}

fn kind(id: &str) -> &'static finding::Kind {
    finding::ALL
        .iter()
        .find(|kind| kind.id == id)
        .expect("a kind")
}

/// One text stood for five faults; each has its own now.
#[test]
fn silences_are_told_apart() {
    let cases = [
        ("server.no-process", "no server runs on 192.0.2.45"),
        ("server.secret", "private"),
        ("server.mute", "on the way drops UDP port 3544"),
        ("server.silent", "nothing comes back from 192.0.2.45"),
        ("server.prohibited", "on the way says so"),
        ("server.unreachable", "no way to the address"),
        ("server.own-address", "on another host"),
        ("server.not-teredo", "another program has UDP port 3544"),
        (
            "server.blocked-here",
            "does not let the doctor's own datagram out",
        ),
    ];
    let mut texts = Vec::new();
    for (id, words) in cases {
        let found = check(&with(kind(id), "text"), id::SERVER_ANSWERS);
        let text = format!("{} {} {}", found.what, found.why, found.fix);
        assert_eq!(found.result, Verdict::Fail);
        assert!(text.contains(words), "{id}: {found:?}");
        assert!(!found.fix.is_empty(), "{id}");
        texts.push(text);
    }
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), cases.len());
}

#[test]
fn a_name_is_unknown_or_not_looked_up() {
    let mut seen = with(kind("name.unknown"), "no IPv4 address");
    seen.server.address = None;
    seen.server.name = Some("teredo.example".into());
    let found = check(&seen, id::SERVER_NAME);
    assert_eq!(found.result, Verdict::Fail);
    assert!(
        found.what.contains("teredo.example") && found.fix.contains("getent ahostsv4"),
        "{found:?}"
    );
    seen.server.probe = Some(Report::without_server(
        "x",
        kind("name.silent").found("temporary failure"),
    ));
    assert!(check(&seen, id::SERVER_NAME).fix.contains("resolv.conf"));
}

/// A qualified client has an answer, whatever the doctor's own port is told.
#[test]
fn a_qualified_client_proves_the_server() {
    let mut seen = with(kind("server.silent"), "text");
    seen.status_mut().state = Phase::Qualified;
    assert_eq!(check(&seen, id::SERVER_ANSWERS).result, Verdict::Ok);
}

#[test]
fn a_secret_that_differs_is_named() {
    let mut seen = healthy();
    let status = seen.status_mut();
    status.state = Phase::Offline;
    status.reason = Some(
        "server 192.0.2.45 answers without a valid authentication: it does not have our secret"
            .into(),
    );
    let found = check(&seen, id::SERVER_ANSWERS);
    assert_eq!(found.result, Verdict::Fail);
    assert!(found.fix.contains("secret_file"), "{found:?}");
}

#[test]
fn an_address_that_clients_refuse_is_named() {
    let mut seen = healthy();
    let status = seen.status_mut();
    status.state = Phase::Offline;
    status.reason = Some("10.0.0.1 cannot be a server: it is a private address".into());
    seen.server.address = Some(ServerAddress::adjacent(Ipv4Addr::new(10, 0, 0, 1)));
    let found = check(&seen, id::SERVER_ADDRESS);
    assert_eq!(found.result, Verdict::Fail);
    assert!(found.fix.contains("allow_private"), "{found:?}");
}

/// Faults of this host come before guesses about others.
#[test]
fn a_silence_that_begins_here_is_named_here() {
    let way = Decision {
        link: Some(2),
        gateway: Some(Ipv4Addr::new(192, 168, 1, 254).into()),
        rule: Some(32_764),
        selector: "from 192.168.1.2/32 table 51820".into(),
        table: 51_820,
        kind: "unicast",
        ..Decision::default()
    };
    let mut seen = with(kind("server.silent"), "text");
    seen.server.way = Some(way.clone());
    let found = check(&seen, id::SERVER_ANSWERS);
    for part in ["priority 32764", "table 51820", "eth0"] {
        assert!(found.what.contains(part), "{found:?}");
    }
    // A VPN that works is not taken apart.
    assert!(!found.fix.contains(" del "), "{found:?}");
    // A host that refuses is reached.
    let mut seen = with(kind("server.no-process"), "text");
    seen.server.way = Some(way);
    let found = check(&seen, id::SERVER_ANSWERS);
    assert!(!found.what.contains("rule"), "{found:?}");
    // The kernel's own "host unreachable" is no rule of a firewall.
    let mut seen = with(kind("server.blocked-here"), "text");
    seen.server.neighbour = Some((Ipv4Addr::new(192, 168, 1, 254), Neighbour::Deaf));
    let found = check(&seen, id::SERVER_ANSWERS);
    assert!(
        found
            .what
            .contains("gateway 192.168.1.254 does not answer on eth0"),
        "{found:?}"
    );
    // Nor is a full table of connections.
    let mut seen = with(kind("server.blocked-here"), "text");
    seen.host.connections = Some([65_400, 65_536]);
    assert_eq!(check(&seen, id::SERVER_ANSWERS).result, Verdict::Skip);
    let found = check(&seen, id::HOST_CONNTRACK);
    assert_eq!(found.result, Verdict::Fail, "{found:?}");
    seen.host.connections = None;
    // Root gets no advice to become root.
    let found = check(&seen, id::SERVER_ANSWERS);
    assert!(!found.fix.contains("sudo"), "{found:?}");
}

#[test]
fn the_source_of_the_servers_address_is_told() {
    let mut seen = with(kind("server.silent"), "text");
    seen.settings.servers_place = Some("/etc/teredo/teredo.toml.d/50-site.toml:2".into());
    let found = check(&seen, id::SERVER_ANSWERS);
    assert!(found.why.contains("50-site.toml:2"), "{found:?}");
    seen.server.in_hosts = true;
    let found = check(&seen, id::SERVER_ANSWERS);
    assert!(found.why.contains("/etc/hosts"), "{found:?}");
    // Without the DNS, and with an error that getaddrinfo left by chance.
    let text = "'a.example' has no IPv4 address: Device or resource busy (os error 16)";
    let mut seen = with(kind("name.unknown"), text);
    seen.server.address = None;
    seen.server.name = Some("a.example".into());
    let found = check(&seen, id::SERVER_NAME);
    assert!(!found.what.contains("busy"), "{found:?}");
    assert!(!found.fix.contains("a.example\"]"), "{found:?}");
    seen.server.without_dns = Some("hosts: files".into());
    let found = check(&seen, id::SERVER_NAME);
    assert!(found.fix.contains("/etc/nsswitch.conf"), "{found:?}");
}

#[test]
fn a_path_that_loses_packets_is_no_silent_server() {
    let mut seen = with(kind("secondary.silent"), "text");
    for ([sent, lost], is_lossy) in [
        ([4, 0], false),
        ([5, 1], false),
        ([10, 6], true),
        ([20, 3], false),
    ] {
        seen.server.probe.as_mut().unwrap().lost = [sent, lost];
        let found = check(&seen, id::SERVER_ANSWERS);
        assert_eq!(
            found.what.contains("6 of 10 datagrams"),
            is_lossy,
            "{found:?}"
        );
    }
}

/// A router that answers every name with itself is no server of this network.
#[test]
fn a_captive_portal_is_no_private_server() {
    let mut seen = healthy();
    let status = seen.status_mut();
    status.state = Phase::Offline;
    status.reason = Some("192.168.1.1 cannot be a server".into());
    let router = Ipv4Addr::new(192, 168, 1, 1);
    seen.server.name = Some("teredo.example.net".into());
    seen.server.address = Some(ServerAddress::adjacent(router));
    seen.host.gateways = vec![router];
    let found = check(&seen, id::SERVER_ADDRESS);
    assert!(found.why.contains("captive portal"), "{found:?}");
    assert!(!found.fix.contains("allow_private"), "{found:?}");
    seen.server.name = Some(router.to_string());
    let found = check(&seen, id::SERVER_ADDRESS);
    assert!(found.fix.contains("allow_private"), "{found:?}");
}

#[test]
fn what_keeps_clients_from_this_hosts_server_is_named() {
    let mut seen = healthy();
    seen.settings.has = Roles {
        server: true,
        ..Default::default()
    };
    let status = seen.status_mut();
    status.role = teredo_notify::types::Role::Server;
    status.known_clients = Some(1);
    seen.host.secrets = Some(1);
    assert_eq!(check(&seen, id::SERVER_SECRETS).result, Verdict::Ok);
    seen.host.secrets = Some(2);
    let found = check(&seen, id::SERVER_SECRETS);
    assert_eq!(
        (found.result, &*found.fix),
        (Verdict::Warn, "systemctl reload teredo-server")
    );
    let second = Ipv4Addr::new(192, 0, 2, 46);
    seen.host.strict = vec![(second, "eth1".into(), "eth0".into())];
    let found = check(&seen, id::SERVER_BLOCKED);
    assert_eq!(found.result, Verdict::Fail, "{found:?}");
    assert_eq!(found.fix, "sysctl -w net.ipv4.conf.eth1.rp_filter=2");
    seen.host.sysctl_is_fixed = true;
    let found = check(&seen, id::SERVER_BLOCKED);
    assert_eq!(
        found.fix,
        "# start the container with --sysctl net.ipv4.conf.eth1.rp_filter=2"
    );
}

/// An interface may have a dot in its name, and a file its lines in any form.
#[test]
fn mends_fit_the_names_and_files_of_a_host() {
    let _alone = crate::children::alone();
    let mut seen = healthy();
    seen.settings.has = Roles {
        server: true,
        ..Default::default()
    };
    let status = seen.status_mut();
    status.role = teredo_notify::types::Role::Server;
    let second = Ipv4Addr::new(192, 0, 2, 46);
    seen.host.strict = vec![(second, "eth1.100".into(), "eth0".into())];
    let found = check(&seen, id::SERVER_BLOCKED);
    assert_eq!(found.fix, "sysctl -w net.ipv4.conf.eth1/100.rp_filter=2");
    for (before, after) in [
        ("hosts: files\n", "hosts: files dns\n"),
        (
            "passwd: files\nhosts:\t\tfiles myhostname # dns left out\n",
            "passwd: files\nhosts:\t\tfiles myhostname dns # dns left out\n",
        ),
        (" hosts:files#x\n", " hosts:files dns#x\n"),
        ("hosts: \n", "hosts: dns \n"),
        ("#hosts: files\n", "#hosts: files\n"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let [file, link] = ["nsswitch.conf", "link"].map(|name| folder.path().join(name));
        std::fs::write(&file, before).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut command = std::process::Command::new("sh");
        let status = command
            .args(["-c", &format!("{ADD_DNS} {}", link.display())])
            .status();
        assert!(status.unwrap().success());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), after);
        assert!(link.is_symlink());
    }
}

/// Facts of this host about the way to a server that keeps silent.
#[test]
fn the_way_to_a_silent_server_is_looked_at() {
    let silent = || with(kind("server.silent"), "text");
    let server = Ipv4Addr::new(192, 0, 2, 45);
    let router = Ipv4Addr::new(192, 168, 1, 1);
    // A hardware address that was set by hand.
    let mut seen = silent();
    let fixed = Neighbour::Fixed("02:00:00:00:00:99".into());
    seen.server.neighbour = Some((router, fixed));
    let found = check(&seen, id::SERVER_ANSWERS);
    assert_eq!(found.fix, "ip neigh del 192.168.1.1 dev eth0", "{found:?}");
    // A network of containers that has the server's address.
    let mut seen = silent();
    seen.server.neighbour = Some((server, Neighbour::Deaf));
    seen.server.way = Some(Decision {
        link: Some(2),
        destination: Some((Ipv4Addr::new(192, 0, 0, 0).into(), 20)),
        table: 254,
        kind: "unicast",
        ..Decision::default()
    });
    // Without a router, no route can be named.
    let found = check(&seen, id::SERVER_ANSWERS);
    assert!(found.what.contains("does not answer on eth0"), "{found:?}");
    seen.host.routers = vec![(router, "eth1".into())];
    let found = check(&seen, id::SERVER_ANSWERS);
    assert!(found.what.contains("192.0.0.0/20"), "{found:?}");
    assert_eq!(
        found.fix,
        "ip route replace 192.0.2.45/32 via 192.168.1.1 dev eth1\n\
         ip route replace 192.0.2.46/32 via 192.168.1.1 dev eth1"
    );
    // A VPN on the way, of which the host itself answers on other ports.
    for finding in ["server.silent", "server.mute", "server.prohibited"] {
        let mut seen = with(kind(finding), "text");
        seen.host.vpns = vec!["eth0".into()];
        seen.host.routers = vec![
            (Ipv4Addr::new(10, 8, 0, 1), "eth0".into()),
            (router, "wlan0".into()),
        ];
        let found = check(&seen, id::SERVER_ANSWERS);
        assert!(found.what.contains("the VPN eth0"), "{found:?}");
        assert!(
            found
                .fix
                .starts_with("ip route replace 192.0.2.45/32 via 192.168.1.1 dev wlan0"),
            "{found:?}"
        );
    }
    // No process: the way is open.
    let mut seen = with(kind("server.no-process"), "text");
    seen.host.vpns = vec!["eth0".into()];
    let found = check(&seen, id::SERVER_ANSWERS);
    assert!(!found.what.contains("VPN"), "{found:?}");
}

/// A host in a cloud has one private address for each public one: to add the public one here helps nobody.
#[test]
fn a_server_behind_a_nat_is_not_given_the_address() {
    let public = Ipv4Addr::new(203, 0, 113, 1);
    let private = Ipv4Addr::new(10, 0, 0, 5);
    let mut seen = healthy();
    seen.settings.has = Roles {
        server: true,
        ..Roles::default()
    };
    seen.service.status = Err(Unanswered::Missing);
    seen.host.absent = vec![public];
    for (own, advice) in [
        (vec![(Ipv4Addr::LOCALHOST, 8), (private, 24)], true),
        // It has one of its own, or no network is known.
        (
            vec![(private, 24), (Ipv4Addr::new(198, 51, 100, 3), 32)],
            false,
        ),
        (vec![(Ipv4Addr::LOCALHOST, 8)], false),
    ] {
        seen.host.own = own;
        let found = check(&seen, id::SERVER_ADDRESS);
        assert_eq!(found.result, Verdict::Fail, "{found:?}");
        assert_eq!(found.fix.starts_with("# "), advice, "{found:?}");
        assert_eq!(found.fix.contains("ip address add"), !advice, "{found:?}");
    }
    // A laboratory has private addresses for servers, too.
    seen.host.own = vec![(private, 24)];
    seen.host.absent = vec![Ipv4Addr::new(10, 0, 0, 6)];
    let found = check(&seen, id::SERVER_ADDRESS);
    assert!(found.fix.starts_with("ip address add"), "{found:?}");
}

/// A public name with a private address is a matter of the name service, and not of the policy.
#[test]
fn a_private_address_of_a_public_name_is_not_allowed_at_once() {
    let mut seen = with(kind("server.silent"), "text");
    let private = Ipv4Addr::new(10, 20, 0, 5);
    seen.status_mut().reason = Some(format!("{private} cannot be a server: private"));
    seen.server.address = Some(ServerAddress::adjacent(private));
    seen.server.name = Some("teredo.example.net".into());
    let found = check(&seen, id::SERVER_ADDRESS);
    assert!(found.what.contains("the name service gives"), "{found:?}");
    assert!(!found.fix.contains("allow_private"), "{found:?}");
    // In /etc/hosts it is meant.
    seen.server.in_hosts = true;
    let found = check(&seen, id::SERVER_ADDRESS);
    assert!(found.fix.contains("allow_private = true"), "{found:?}");
}

#[test]
fn a_resolver_without_its_file_is_named() {
    let mut seen = with(kind("name.silent"), "text");
    seen.server.name = Some("teredo.example.net".into());
    seen.server.address = None;
    let link =
        "/etc/resolv.conf is a link to /run/systemd/resolve/stub-resolv.conf, which does not exist";
    seen.server.resolver = Some(link.into());
    seen.host.gateways = vec![Ipv4Addr::new(192, 168, 1, 1)];
    let found = check(&seen, id::SERVER_NAME);
    assert!(found.what.contains("which does not exist"), "{found:?}");
    assert!(
        found
            .fix
            .contains("'nameserver 192.168.1.1' > /etc/resolv.conf")
    );
    seen.host.tools.push("resolvectl".into());
    let found = check(&seen, id::SERVER_NAME);
    assert!(
        found
            .fix
            .starts_with("systemctl enable --now systemd-resolved")
    );
}

/// A set of banned addresses may have clients: their host says that there is no such port.
#[test]
fn sources_that_the_rules_refuse_are_a_note() {
    let mut seen = healthy();
    seen.settings.has = Roles {
        server: true,
        ..Roles::default()
    };
    seen.service.status = Err(Unanswered::Missing);
    seen.settings.serves = vec![Ipv4Addr::new(192, 0, 2, 1)];
    let banned = Ipv4Addr::new(198, 51, 100, 0);
    let load = Expression::Load {
        field: Field::Payload {
            base: PayloadBase::Network,
            offset: 12,
            length: 4,
        },
        register: 0,
    };
    let look = Expression::Compare {
        operator: Operator::Equal,
        register: 0,
        value: banned.octets().to_vec(),
    };
    let drop = Expression::Verdict(teredo_nft::Verdict::Drop);
    let rules = seen.rules.as_mut().unwrap();
    let table = &mut rules.nftables.tables[0];
    table.name = TableName::new(Family::Ip, "f2b");
    table.chains = vec![Chain {
        name: "input".into(),
        place: Some(Called {
            at: At::Hook(Hook::Input),
            priority: -1,
            policy: Policy::Accept,
        }),
    }];
    table.rules = [(
        "input".to_owned(),
        vec![Row {
            handle: 3,
            expressions: vec![load, look, drop],
        }],
    )]
    .into();
    let found = check(&seen, id::SERVER_BLOCKED);
    assert_eq!(found.result, Verdict::Ok, "{found:?}");
    assert!(found.why.contains(&banned.to_string()), "{found:?}");
    assert_eq!(found.fix, "nft -a list chain ip f2b input");
}
