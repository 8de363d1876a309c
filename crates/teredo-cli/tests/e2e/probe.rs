//! `teredo probe` behind every kind of NAT, as an unprivileged user, against our server and Debian's.

use std::net::Ipv4Addr;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use teredo_lab::{Host, NatKind, Process};

use crate::miredo::daemon::Miredo;
use crate::scenes::side_by_side;
use crate::world::*;

/// Runs the probe as nobody, who has no capabilities.
#[track_caller]
fn probe(host: &Host, arguments: &[&str]) -> Output {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.args(["--inh-caps=-all", "--bounding-set=-all", "--"]);
    command
        .arg(env!("CARGO_BIN_EXE_teredo"))
        .arg("probe")
        .args(arguments);
    run(host, &mut command)
}

/// The JSON and the exit code; fails if it took longer than promised.
#[track_caller]
fn probed(host: &Host, arguments: &[&str]) -> (Value, i32) {
    let start = Instant::now();
    let output = probe(host, &[arguments, &["--json"]].concat());
    let took = start.elapsed();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {:?} {said}", output.stdout));
    assert_eq!(report["schema"], "teredo.probe/1");
    if !arguments.contains(&"--lifetime") {
        assert!(took < Duration::from_secs(2), "it took {took:?}");
        assert_eq!(said, "");
    }
    (report, output.status.code().expect("an exit code"))
}

fn ids(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|finding| finding["id"].as_str().unwrap())
        .collect()
}

/// The kinds that the verdict has a name for.
const KINDS: [NatKind; 6] = [
    NatKind::None,
    NatKind::Cone,
    NatKind::Restricted,
    NatKind::PortRestricted,
    NatKind::OpenInput,
    NatKind::Symmetric,
];

/// The verdict that is right behind a NAT of the lab: kind, mapping, filtering, whether the port is kept, hairpin, exit
/// code. Null is what Teredo cannot find out there.
fn truth(kind: NatKind) -> Value {
    let [independent, by_address, by_port] = [
        "endpoint-independent",
        "address-dependent",
        "address-and-port-dependent",
    ]
    .map(Value::from);
    let (mapping, filtering) = match kind {
        NatKind::None | NatKind::Cone => (independent.clone(), independent),
        NatKind::Restricted => (independent, by_address),
        NatKind::PortRestricted | NatKind::OpenInput | NatKind::Igd => (independent, by_port),
        _ => (by_port, Value::Null),
    };
    let is_open = matches!(kind, NatKind::None | NatKind::Cone);
    let hairpin = match kind {
        NatKind::None | NatKind::Symmetric => Value::Null,
        _ => Value::Bool(false),
    };
    let nat = json!({
        "kind": kind.name(),
        "mapping": mapping,
        "filtering": filtering,
        "port_preserving": kind != NatKind::Symmetric,
        "hairpin": hairpin,
        "stops_strangers": !is_open,
    });
    nat
}

#[track_caller]
fn is_judged_rightly(world: &World, host: &Host, kind: NatKind) -> Value {
    let (report, code) = probed(host, &["192.0.2.45"]);
    let expected = truth(kind);
    let mut nat = report["nat"].clone();
    let unknown = nat.as_object_mut().unwrap().remove("unknown").unwrap();
    assert_eq!(nat, expected, "{kind}: {report:#}");
    for (field, value) in nat.as_object().unwrap() {
        assert_eq!(
            value.is_null(),
            unknown[field].is_string(),
            "{kind}: {field} {unknown}"
        );
    }
    // R6081-5.2-01: behind a symmetric NAT, too.
    assert_eq!(code, 0, "{kind}: {report:#}");
    assert_eq!(report["answers"], true);
    assert_eq!(report["qualifies"], true);
    for (field, address) in [("primary", "192.0.2.45"), ("secondary", "192.0.2.46")] {
        assert_eq!(report[field]["address"], address);
        assert!(
            report[field]["rtt_us"]
                .as_u64()
                .is_some_and(|rtt| rtt < 2_000_000)
        );
    }
    let mapped: std::net::SocketAddrV4 = report["mapped"].as_str().unwrap().parse().unwrap();
    assert_eq!(*mapped.ip(), world.left.public(), "{kind}");
    report
}

/// R4380-5.2.1-11: the NAT is right behind every kind that the lab has, and our server has no fault.
#[test]
fn every_kind_of_nat_is_known_with_our_server() {
    for kind in KINDS {
        let world = World::new(kind, NatKind::None);
        let _server = world.serve();
        let alice = world.left.host("alice").unwrap();
        let report = is_judged_rightly(&world, &alice, kind);
        let expected: &[&str] = match kind {
            NatKind::Symmetric => &["nat.symmetric", "nat.port-dependence"],
            NatKind::OpenInput => &["nat.open-input"],
            _ => &[],
        };
        assert_eq!(ids(&report), expected, "{kind}: {report:#}");
    }
}

/// RFC 4787 §6: a NAT that hairpins.
#[test]
fn hairpinning_is_known() {
    let world = World::new(NatKind::Hairpin, NatKind::None);
    let _server = world.serve();
    let alice = world.left.host("alice").unwrap();
    let (report, code) = probed(&alice, &["192.0.2.45"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["nat"]["kind"], "port-restricted", "{report:#}");
    assert_eq!(report["nat"]["hairpin"], true, "{report:#}");
}

/// The same with Debian's server, whose known faults are found.
#[test]
fn every_kind_of_nat_is_known_with_miredo() {
    for kind in KINDS {
        let world = World::new(kind, NatKind::None);
        let _server = Miredo::server(&world, &world.server);
        let alice = world.left.host("alice").unwrap();
        let report = is_judged_rightly(&world, &alice, kind);
        let ids = ids(&report);
        for fault in [
            "server.leaks-nonces",
            "server.open-relay",
            "server.unchecked",
        ] {
            assert!(
                ids.contains(&fault),
                "{kind}: {fault} is missing: {report:#}"
            );
        }
        assert!(!ids.contains(&"bubble.not-forwarded"), "{kind}: {report:#}");
    }
}

/// Ports that are not kept are reported, and the other verdicts do not change.
#[test]
fn a_nat_that_gives_other_ports_is_known() {
    for kind in [NatKind::Cone, NatKind::Restricted, NatKind::PortRestricted] {
        let world = World::new(kind, NatKind::None);
        let _server = world.serve();
        let alice = world.left.host("alice").unwrap();
        world.left.change_mappings().unwrap();
        let (report, code) = probed(&alice, &["192.0.2.45"]);
        assert_eq!(code, 0, "{report:#}");
        assert_eq!(report["nat"]["kind"], kind.name(), "{report:#}");
        assert_eq!(report["nat"]["port_preserving"], false, "{report:#}");
    }
}

fn secured(world: &World) -> Process {
    use std::os::unix::fs::PermissionsExt as _;
    let output = run(&world.server, teredo().args(["secret", "new", "alice"]));
    let file = world.path("secrets");
    std::fs::write(&file, output.stdout).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let arguments = [
        "server",
        "--address",
        "192.0.2.45",
        "--secret-file",
        file.to_str().unwrap(),
    ];
    let server = start(&world.server, "server", &arguments);
    server
        .wait_for_line("clients with a secret", SECOND * 5)
        .unwrap();
    server
}

/// R4380-5.3.1-05: a server that requires secrets is named: for sure without a NAT, as a guess behind one.
#[test]
fn a_server_that_requires_secrets_is_named() {
    for (kind, id) in [
        (NatKind::None, "server.secret"),
        (NatKind::PortRestricted, "server.mute"),
    ] {
        let world = World::new(kind, NatKind::None);
        let _server = secured(&world);
        let alice = world.left.host("alice").unwrap();
        let (report, code) = probed(&alice, &["192.0.2.45"]);
        assert_eq!((ids(&report), code), (vec![id], 1), "{report:#}");
        assert_eq!(report["answers"], false);
        let text = report["findings"][0]["text"].as_str().unwrap();
        assert!(text.contains("secret"), "{text}");
    }
}

/// No process, no host, no route, no name, and a firewall of this host: each has its own reason, and exit code 1.
#[test]
fn silence_has_a_reason() {
    let world = World::new(NatKind::PortRestricted, NatKind::None);
    let alice = world.left.host("alice").unwrap();
    let found = |server: &str, id: &str| {
        let (report, code) = probed(&alice, &[server]);
        assert_eq!((ids(&report), code), (vec![id], 1), "{server}: {report:#}");
        assert_eq!(report["answers"], false);
        assert!(report["nat"]["mapping"].is_null() && report["mapped"].is_null());
    };
    found("192.0.2.45", "server.no-process");
    found("192.0.2.77", "server.silent");
    found("0.0.0.0", "server.impossible-address");
    let (report, code) = probed(&alice, &["teredo.invalid"]);
    assert_eq!(code, 1);
    assert!(ids(&report)[0].starts_with("name."), "{report:#}");

    let server = world.serve();
    let (report, code) = probed(&world.server, &["192.0.2.45"]);
    assert_eq!(
        (ids(&report), code),
        (vec!["server.own-address"], 1),
        "{report:#}"
    );
    nft(
        &alice,
        "table inet wall { chain output { type filter hook output priority 0; udp dport 3544 drop; }; }",
    );
    found("192.0.2.45", "server.blocked-here");
    nft(
        &alice,
        "flush ruleset; table inet wall { chain output { type filter hook output priority 0; udp dport 3544 reject; }; }",
    );
    found("192.0.2.45", "server.blocked-here");
    nft(&alice, "flush ruleset");
    nft(
        &world.server,
        "table inet wall { chain input { type filter hook input priority 0; udp dport 3544 reject with icmp type admin-prohibited; }; }",
    );
    found("192.0.2.45", "server.prohibited");
    drop(server);
    run(&alice, Command::new("ip").args(["route", "del", "default"]));
    found("192.0.2.45", "server.unreachable");
}

/// R4380-5.2.1-12: with one silent address, no client qualifies, and the NAT's mapping is not known.
#[test]
fn half_a_server_is_named() {
    let world = World::new(NatKind::PortRestricted, NatKind::None);
    let _server = world.serve();
    let alice = world.left.host("alice").unwrap();
    nft(
        &world.server,
        "table inet wall { chain input { type filter hook input priority 0; ip daddr 192.0.2.46 udp dport 3544 drop; }; }",
    );
    let (report, code) = probed(&alice, &["192.0.2.45"]);
    assert_eq!(code, 3, "{report:#}");
    assert!(ids(&report).contains(&"secondary.silent"), "{report:#}");
    for field in ["mapping", "filtering", "kind"] {
        assert!(report["nat"][field].is_null(), "{field}: {report:#}");
    }
    assert_eq!(report["nat"]["port_preserving"], true);
    assert!(report["secondary"]["rtt_us"].is_null() && report["mapped"].is_string());

    nft(
        &world.server,
        "flush ruleset; table inet wall { chain input { type filter hook input priority 0; ip daddr 192.0.2.45 udp dport 3544 drop; }; }",
    );
    let (report, code) = probed(&alice, &["192.0.2.45"]);
    assert_eq!(code, 3, "{report:#}");
    assert!(ids(&report).contains(&"primary.silent"), "{report:#}");
}

/// A server whose other address is not the next one: its answer to the cone bit shows it where the NAT lets it in, and
/// both can be named.
#[test]
fn the_other_address_is_found() {
    let world = World::new(NatKind::Cone, NatKind::None);
    let far = Ipv4Addr::new(203, 0, 113, 99);
    let host = world
        .internet
        .host("far", &[Ipv4Addr::new(203, 0, 113, 98), far])
        .unwrap();
    let arguments = [
        "server",
        "--address",
        "203.0.113.98",
        "--secondary",
        "203.0.113.99",
    ];
    let server = start(&host, "server", &arguments);
    server.wait_for_line("serving", SECOND * 5).unwrap();
    let alice = world.left.host("alice").unwrap();
    let (report, code) = probed(&alice, &["203.0.113.98,203.0.113.99"]);
    assert_eq!(
        (report["nat"]["kind"].as_str(), code),
        (Some("cone"), 0),
        "{report:#}"
    );

    // The other way round: the first one is the secondary address.
    let (report, code) = probed(&alice, &["203.0.113.99,203.0.113.98"]);
    assert_eq!(code, 3, "{report:#}");
    assert!(ids(&report).contains(&"primary.is-secondary"), "{report:#}");

    let odd = world
        .internet
        .host(
            "odd",
            &[
                Ipv4Addr::new(203, 0, 113, 70),
                Ipv4Addr::new(203, 0, 113, 90),
            ],
        )
        .unwrap();
    let arguments = [
        "server",
        "--address",
        "203.0.113.70",
        "--secondary",
        "203.0.113.90",
    ];
    let server = start(&odd, "server", &arguments);
    server.wait_for_line("serving", SECOND * 5).unwrap();
    let (report, code) = probed(&alice, &["203.0.113.70"]);
    assert_eq!(code, 3, "{report:#}");
    assert!(ids(&report).contains(&"secondary.elsewhere"), "{report:#}");
    assert_eq!(report["secondary"]["address"], "203.0.113.90");
    assert_eq!(report["nat"]["mapping"], "endpoint-independent");
}

/// A firewall of this host that lets only answers in is told from a NAT.
#[test]
fn a_firewall_without_a_nat_is_named() {
    let world = World::new(NatKind::None, NatKind::None);
    let _server = world.serve();
    let alice = world.left.host("alice").unwrap();
    nft(
        &alice,
        "table inet wall { chain input { type filter hook input priority 0; policy drop; iifname lo accept; ct state established,related accept; }; }",
    );
    let (report, code) = probed(&alice, &["192.0.2.45"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["nat"]["kind"], "none");
    assert_eq!(
        report["nat"]["filtering"], "address-and-port-dependent",
        "{report:#}"
    );
    assert!(ids(&report).contains(&"nat.firewall"), "{report:#}");
}

/// The bounds of the mapping's lifetime, with progress on standard error.
#[test]
fn the_lifetime_is_measured() {
    let kinds = [NatKind::PortRestricted, NatKind::Cone, NatKind::Symmetric];
    side_by_side(kinds, |kind| {
        let world = World::new(kind, NatKind::None);
        let _server = world.serve();
        let alice = world.left.host("alice").unwrap();
        world.left.set_mapping_lifetime(SECOND * 8).unwrap();
        let (report, _) = probed(&alice, &["192.0.2.45", "--lifetime"]);
        assert_eq!(
            report["lifetime_s"],
            json!({"lower": 5, "upper": 10}),
            "{kind}: {report:#}"
        );
        assert_eq!(report["nat"]["kind"], kind.name());
    });
}

/// The text ends with a clear sentence, and has no control characters.
#[test]
fn the_text_is_for_people() {
    let world = World::new(NatKind::PortRestricted, NatKind::None);
    let _server = world.serve();
    let alice = world.left.host("alice").unwrap();
    let output = probe(&alice, &["192.0.2.45"]);
    let text = String::from_utf8(output.stdout).unwrap();
    println!("{text}");
    assert!(
        text.trim_end()
            .ends_with("A client would qualify here with this server."),
        "{text}"
    );
    assert!(text.contains("NAT: port-restricted"), "{text}");
    let stranger = text.lines().find(|line| line.contains("a stranger "));
    assert!(
        stranger.is_some_and(|line| line.ends_with("stopped")),
        "{text}"
    );
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );
}
