use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, SystemTime};

use teredo::ServerAddress;
use teredo_nft::{Family, TableName};
use teredo_notify::types::{FirewallStatus, Phase, Status};

use super::rules::packet::Link;
use super::rules::ruleset::{Ruleset, Table};
use super::rules::walk::Rules;
use super::seen::{
    Host, Ipv6, Roles, Server, Service, SocketFile, Tun, Unanswered, Unit, Units, Ways,
};
use super::*;
use crate::settings::{ClientSettings, FirewallSettings};

pub(super) fn link() -> Link {
    Link {
        name: "eth0".into(),
        index: 2,
        group: 0,
        kind: 1,
    }
}

/// A host with a client and an agent, on which all is well.
pub(super) fn healthy() -> Seen {
    let socket = std::path::PathBuf::from("/run/teredo/teredo.sock");
    let server = Ipv4Addr::new(192, 0, 2, 45);
    let mapped = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 1), 40_000);
    let status = Status {
        state: Phase::Qualified,
        protected: Some(true),
        port: 40_000,
        sequence: 3,
        address: Some("2001:0:c000:22d::1".parse().unwrap()),
        interface: Some("teredo".into()),
        server: Some(server.to_string()),
        server_address: Some(server),
        local: Some(SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 2), 40_000)),
        mapped: Some(mapped),
        firewall: vec![FirewallStatus {
            pid: Some(7),
            command: Some("teredo".into()),
            in_sync: true,
            sequence: Some(3),
            ..FirewallStatus::default()
        }],
        ..Status::default()
    };
    let mut client = ClientSettings::of(Default::default(), Default::default(), socket.clone());
    client.servers = vec![server.to_string()];
    Seen {
        root: true,
        settings: Settings {
            files: Default::default(),
            chosen: None,
            mistakes: Vec::new(),
            empty_secrets: Vec::new(),
            doubts: Vec::new(),
            has: Roles {
                client: true,
                ..Roles::default()
            },
            client,
            firewall: FirewallSettings::new(Default::default(), Default::default(), socket.clone()),
            servers_place: None,
            serves: Vec::new(),
            relay_serve: Vec::new(),
            server_serve: Vec::new(),
            server_secrets: None,
            host_relay: false,
        },
        host: Host {
            tun: Tun::Usable,
            ipv6: Ipv6::Usable,
            connections: Some([10, 65_536]),
            net_admin: true,
            forwards: false,
            native: None,
            addresses: Vec::new(),
            absent: Vec::new(),
            outside: None,
            doors: Vec::new(),
            teredo_links: vec![("teredo".into(), "2001:0:c000:22d::1".parse().unwrap())],
            down: Vec::new(),
            links: Vec::new(),
            tun_holders: Vec::new(),
            udp: vec![(40_000, None)],
            gai: None,
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            offload: [true; 2],
            linux: Some((6, 12)),
            jit: None,
            group_exists: true,
            gateways: Vec::new(),
            routers: Vec::new(),
            vpns: Vec::new(),
            own: Vec::new(),
            sysctl_is_fixed: false,
            stale_group: None,
            strict: Vec::new(),
            secrets: None,
            tools: vec!["traceroute".into(), "tracepath".into()],
        },
        service: Service {
            socket,
            socket_is_default: true,
            file: SocketFile::Socket {
                mode: 0o666,
                folder: 0o755,
            },
            status: Ok(Box::new(status)),
            pid: Some(6),
            uid: Some(0),
            peers: None,
            full: None,
        },
        processes: Vec::new(),
        units: Units::NoManager,
        closed: Vec::new(),
        server: Server {
            name: Some(server.to_string()),
            address: Some(ServerAddress::adjacent(server)),
            local: Some(Ok(Ipv4Addr::new(192, 168, 1, 2))),
            outside: Some(link()),
            ..Server::default()
        },
        perimeter: None,
        ways: Ways::default(),
        rules: Ok(rules()),
    }
}

/// The agent's table, as far as its name and its mark go.
fn rules() -> Rules {
    let table = Table {
        name: TableName::new(Family::Inet, "teredo"),
        owner: None,
        comment: Some("teredo: closes the inside of the tunnel".into()),
        dormant: false,
        chains: Vec::new(),
        rules: Default::default(),
        sets: Default::default(),
    };
    Rules {
        nftables: Ruleset {
            tables: vec![table],
        },
        ..Rules::default()
    }
}

impl Seen {
    /// The status, to change it.
    pub(super) fn status_mut(&mut self) -> &mut Status {
        self.service.status.as_mut().expect("a status")
    }
}

/// The check of this name.
#[track_caller]
pub(super) fn check(seen: &Seen, id: check::Id) -> Check {
    let made = judge(seen);
    for line in made.iter().flat_map(|check| check.fix.lines()) {
        let first = line.split_whitespace().next().unwrap_or_default();
        assert!(PROGRAMS.contains(&first), "no command: {line}");
    }
    let found = made.into_iter().find(|check| check.id == id.name);
    found.expect("each check is made")
}

/// A mend can be pasted: each line is a command, or a comment of the shell.
const PROGRAMS: [&str; 47] = [
    "#",
    "[",
    "cat",
    "chmod",
    "chown",
    "conntrack",
    "df",
    "du",
    "echo",
    "firewall-cmd",
    "getent",
    "grep",
    "groupadd",
    "install",
    "ip",
    "ip6tables",
    "ip6tables-legacy",
    "iptables",
    "iptables-legacy",
    "journalctl",
    "kill",
    "mknod",
    "modprobe",
    "mv",
    "newgrp",
    "nft",
    "nmcli",
    "nsenter",
    "ping",
    "printf",
    "reboot",
    "rm",
    "sed",
    "sudo",
    "sysctl",
    "systemctl",
    "systemd-analyze",
    "systemd-sysusers",
    "teredo",
    "timedatectl",
    "tracepath",
    "traceroute",
    "ufw",
    "uname",
    "update-grub",
    "iptables-legacy-save",
    "iptables-save",
];

#[test]
fn each_check_is_made_once_and_in_order() {
    let seen = healthy();
    for rules in [Ok(rules()), Err("not permitted".to_owned())] {
        let seen = Seen { rules, ..healthy() };
        let made: Vec<_> = judge(&seen).iter().map(|check| check.id).collect();
        let all: Vec<_> = id::ALL.iter().map(|id| id.name).collect();
        assert_eq!(made, all);
    }
    let troubles: Vec<_> = judge(&seen).into_iter().filter(Check::is_trouble).collect();
    assert_eq!(troubles, []);
}

/// The names are a contract: they may be added, and never taken away.
#[test]
fn the_names_are_unique_words_and_stay() {
    let names: BTreeSet<_> = id::ALL.iter().map(|id| id.name).collect();
    assert_eq!(names.len(), id::ALL.len());
    for id in id::ALL {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
        assert!(
            id.name.chars().all(good) && id.name.contains('.'),
            "{}",
            id.name
        );
        assert!(
            id.about.starts_with("whether ") || id.about.starts_with("which "),
            "{}",
            id.name
        );
    }
    let published = "settings.valid settings.complete host.ipv6 host.tun host.capabilities host.route \
        host.native_ipv6 host.prefix_policy host.clock host.conntrack service.unit service.socket service.group service.version \
        service.state client.interface client.port client.rival relay.forwarding server.name server.address \
        server.blocked server.answers server.conforms nat.mapping nat.filtering nat.port nat.hairpin nat.lifetime \
        nat.carrier path.mtu path.offload path.kernel firewall.agent firewall.way firewall.set firewall.table firewall.port \
        firewall.shadowed firewall.stale firewall.discovery firewall.upnp firewall.icmpv6 firewall.inside \
        firewall.legacy firewall.tunnel host.route6 relay.route relay.serve server.secrets";
    for name in published.split_whitespace() {
        assert!(names.contains(name), "{name} is gone");
    }
}

#[test]
fn the_manual_page_lists_each_name() {
    let text = checks_help();
    for id in id::ALL {
        assert!(text.contains(id.name), "{}", id.name);
    }
}

/// To start a unit once more that cannot start is no mend.
#[test]
fn a_daemon_is_mended_by_the_mend_of_its_unit() {
    let mut seen = healthy();
    seen.service.status = Err(Unanswered::Missing);
    seen.service.file = SocketFile::Missing;
    let failed = Unit {
        name: "teredo-client.service".into(),
        loaded: "loaded".into(),
        active: "failed".into(),
        file: "enabled".into(),
        code: "203".into(),
        program: "/gone".into(),
        ..Unit::default()
    };
    seen.units = Units::Known(vec![failed.clone()]);
    let [unit, socket] = [id::SERVICE_UNIT, id::SERVICE_SOCKET].map(|id| check(&seen, id));
    assert_eq!(socket.fix, unit.fix, "{socket:?}");
    assert!(socket.why.contains("service.unit"), "{socket:?}");
    // That of another daemon is none of its causes.
    seen.units = Units::Known(vec![
        Unit {
            name: "teredo-relay.service".into(),
            ..failed.clone()
        },
        Unit {
            active: "inactive".into(),
            file: "disabled".into(),
            ..failed
        },
    ]);
    let socket = check(&seen, id::SERVICE_SOCKET);
    assert_eq!(
        socket.fix, "systemctl enable --now teredo-client",
        "{socket:?}"
    );
}

/// The last line of the report, for programs.
#[test]
fn the_check_to_begin_with_is_the_worst_and_nearest_to_a_cause() {
    assert_eq!(report::first(&judge(&healthy())), None);
    let mut seen = healthy();
    seen.status_mut().state = Phase::Offline;
    seen.status_mut().reason = Some("no answer".into());
    seen.host.tun = Tun::Missing;
    seen.status_mut().interface = None;
    let checks = judge(&seen);
    let first = report::first(&checks).map(|index| checks[index].id);
    assert_eq!(first, Some(id::HOST_TUN.name));
}

/// The cause of a client that is not qualified is named in its own check, and referred to from the state.
#[test]
fn the_state_refers_to_its_cause() {
    let mut seen = healthy();
    let status = seen.status_mut();
    status.state = Phase::Offline;
    status.reason = Some("symmetric NAT: mapped to 198.51.100.1:1 and 198.51.100.1:2".into());
    let state = check(&seen, id::SERVICE_STATE);
    let mapping = check(&seen, id::NAT_MAPPING);
    assert_eq!(
        (state.result, mapping.result),
        (Verdict::Fail, Verdict::Fail)
    );
    assert!(state.why.contains("nat.mapping"), "{state:?}");
    assert_eq!(state.fix, mapping.fix);
}
