//! The server, the NAT and the path: five faults, five names.

use super::*;

#[test]
fn a_name_that_leads_nowhere_is_named() {
    let (world, patient) = without_server("[client]\nservers = [\"teredo.invalid\"]\n");
    let empty = world.path("hosts");
    fs::write(&empty, "127.0.0.1 localhost\n").unwrap();
    // Without a name server, only the file answers.
    let findings = patient.ask_after(&format!(
        "mount --bind {0} /etc/hosts; printf 'hosts: files\\n' > {0}.nss; mount --bind {0}.nss /etc/nsswitch.conf",
        empty.display()
    ));
    findings.names(
        "server.name",
        "fail",
        &["teredo.invalid", "'hosts: files'", "nsswitch.conf"],
    );
    findings.names("server.answers", "skip", &[]);
}

#[test]
fn a_host_without_a_server_is_named() {
    let (_world, patient) = without_server(SETTINGS);
    let findings = patient.ask();
    findings.names(
        "server.answers",
        "fail",
        &["no server runs on 192.0.2.45", "port unreachable"],
    );
    // The client tells the same.
    let client = patient.client(&["--protect"]);
    client.until(SECOND * 20, "the silence", |status| status.reason.is_some());
    let findings = patient.ask();
    findings.names("server.answers", "fail", &["no server runs on 192.0.2.45"]);
    findings.names(
        "service.state",
        "fail",
        &["the cause is in", "server.answers"],
    );
}

/// A router on the way drops: nobody says anything.
#[test]
fn a_router_that_drops_is_told_from_a_server_that_is_not_there() {
    let (world, _server, patient) = with_server();
    world
        .left
        .router()
        .run(|| {
            let output = Command::new("nft")
                .arg("table inet drops { chain forward { type filter hook forward priority 0; udp dport 3544 drop; }; }")
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
        })
        .unwrap();
    // The other ports of the server's host are closed, and say so.
    let findings = patient.ask();
    findings.names("server.answers", "fail", &["192.0.2.45"]);
    let (_world, patient) = without_server("[client]\nservers = [\"192.0.2.200\"]\n");
    let findings = patient.ask();
    findings.names(
        "server.answers",
        "fail",
        &["192.0.2.200", "on the way drops UDP"],
    );
    findings.names("server.blocked", "ok", &[]);
}

/// A private server answers nobody else, and its bubbles give it away.
#[test]
fn a_private_server_is_named() {
    let (world, patient) = without_server(SETTINGS);
    let secrets = world.path("secrets");
    let line = teredo()
        .args(["secret", "new", "bob"])
        .output()
        .unwrap()
        .stdout;
    fs::write(&secrets, line).unwrap();
    let file = secrets.to_str().unwrap();
    let mut command = Command::new("chmod");
    run(&patient.host, command.args(["600", file]));
    let server = start(
        &world.server,
        "server",
        &["server", "--address", "192.0.2.45", "--secret-file", file],
    );
    server.wait_for_line("serving", SECOND * 5).unwrap();
    let findings = patient.ask();
    findings.names("server.answers", "fail", &["secret"]);
}

/// F-1: rules of this host drop what goes out, or what comes back.
#[test]
fn rules_of_this_host_that_block_the_server_are_named_and_mended() {
    let (_world, _server, patient) = with_server();
    let rules = [
        "table inet strict { chain output { type filter hook output priority 0; udp dport 3544 drop; }; }",
        "table inet strict { chain input { type filter hook input priority 0; udp sport 3544 counter drop; }; }",
        "table ip mangled { chain pre { type filter hook prerouting priority -150; ip saddr 192.0.2.0/24 drop; }; }",
        "table netdev early { chain in { type filter hook ingress device eth0 priority 0; udp sport 3544 drop; }; }",
    ];
    for rules in rules {
        nft(&patient.host, "flush ruleset");
        nft(&patient.host, rules);
        let findings = patient.ask();
        let table = rules.split_whitespace().nth(2).unwrap();
        let mend = findings.names("server.blocked", "fail", &[table, "drop' (handle"]);
        findings.names("server.answers", "skip", &["server.blocked"]);
        assert!(mend.starts_with("nft "), "{mend}");
        let rule = mend
            .lines()
            .find(|line| line.starts_with("nft insert"))
            .unwrap();
        assert!(rule.contains(table), "{mend}");
        // As it is typed; a rule in another hook of another table needs its address.
        if !rules.contains("saddr") {
            patient.type_in(rule);
            let findings = patient.ask();
            findings.names("server.blocked", "ok", &[]);
            findings.names("server.answers", "ok", &[]);
        }
    }
}

/// A client that is qualified does not need the second address until it starts again.
#[test]
fn half_a_server_is_named_before_the_next_start() {
    let (world, _server, patient) = with_server();
    let client = patient.client(&["--protect"]);
    client.qualified();
    nft(
        &world.server,
        "table inet wall { chain input { type filter hook input priority 0; ip daddr 192.0.2.46 udp dport 3544 drop; }; }",
    );
    patient.ask().names(
        "server.answers",
        "warn",
        &["192.0.2.46 does not answer", "the next start will fail"],
    );
}

/// The doctor of a server's host asks the server at its own socket, and misses an address that is gone.
#[test]
fn a_servers_host_is_judged_by_its_server() {
    let world = World::new(NatKind::None, NatKind::None);
    let mut patient = Patient::server_host(&world, SERVER);
    let folder = world.path("run");
    fs::create_dir(&folder).unwrap();
    patient.socket = folder.join("server.sock");
    let _server = patient.server();
    let ask = || patient.ask_usual(&folder);

    let findings = ask();
    findings.names("service.state", "ok", &["the server serves"]);
    findings.are_well();

    patient.type_each("ip", &["address flush to 192.0.2.81"]);
    ask().names(
        "server.address",
        "fail",
        &[
            "192.0.2.81 is no address of this host",
            "ip address add 192.0.2.81/32",
        ],
    );
    let status = run(&patient.host, &mut patient.command(&["status", "--json"]));
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let problem = status["problems"][0].as_str().unwrap();
    assert!(
        problem.contains("192.0.2.81 is no address of this host any more"),
        "{status}"
    );
}

#[test]
fn a_symmetric_nat_is_named() {
    let world = World::new(NatKind::Symmetric, NatKind::PortRestricted);
    let _server = world.serve();
    let host = world.left.host("alice").unwrap();
    let patient = Patient::new(&world, host, SETTINGS);
    let findings = patient.ask();
    findings.names("nat.mapping", "warn", &["symmetric", "full cone"]);
    findings.names("server.answers", "ok", &[]);
    {
        let old = patient.client(&["--protect", "--nat-traversal", "rfc4380"]);
        old.until(SECOND * 20, "the NAT", |status| status.reason.is_some());
        patient
            .ask()
            .names("nat.mapping", "fail", &["symmetric", "nat_traversal"]);
    }
    // It has an address, and not everybody is reached.
    let client = patient.client(&["--protect"]);
    client.qualified();
    let findings = patient.ask();
    findings.names(
        "nat.mapping",
        "warn",
        &["symmetric", "full cone", "port-restricted"],
    );
    assert_eq!(findings.code, Some(0), "{}", findings.summary());
    let shown = run(&patient.host, &mut patient.command(&["status"]));
    let shown = String::from_utf8(shown.stdout).unwrap();
    for part in [
        "NAT: symmetric: each destination",
        "Reached:",
        "Not reached:",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
}

#[test]
fn a_small_path_is_named() {
    let (world, _server, patient) = with_server();
    let client = patient.client(&["--protect"]);
    client.qualified();
    patient.ask().are_well();
    // Behind the first router.
    let mut command = Command::new("ip");
    let child = world
        .left
        .router()
        .spawn(command.args(["link", "set", "uplink", "mtu", "1300"]))
        .unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let findings = patient.ask_until("path.mtu", "warn");
    findings.names(
        "path.mtu",
        "warn",
        &["takes 1300 bytes", "1308", "tracepath -n 192.0.2.45"],
    );
    assert_eq!(findings.code, Some(0));
    // The first link itself.
    let child = world
        .left
        .router()
        .spawn(Command::new("ip").args(["link", "set", "uplink", "mtu", "1500"]))
        .unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let other = world.left.host("anna").unwrap();
    let other = Patient::new(&world, other, SETTINGS);
    other.type_each("ip", &["link set eth0 mtu 1296"]);
    let findings = other.ask();
    let mend = findings.names("path.mtu", "warn", &["takes 1296 bytes"]);
    assert_eq!(mend, "ip link set eth0 mtu 1500");
    other.type_in(mend);
    other.ask().names("path.mtu", "ok", &[]);
}

#[test]
fn a_host_without_a_route_is_named() {
    let (_world, _server, patient) = with_server();
    patient.type_each("ip", &["route del default"]);
    let findings = patient.ask();
    findings.names("host.route", "fail", &["192.0.2.45", "ip -4 route"]);
}

/// An interface that is down is the first thing to look for.
#[test]
fn a_link_that_is_down_is_named_and_mended() {
    let (_world, _server, patient) = with_server();
    patient.type_each("ip", &["link set eth0 down"]);
    let findings = patient.ask();
    let mend = findings.names("host.route", "fail", &["the interface eth0 is down"]);
    findings.names("server.answers", "skip", &["host.route"]);
    patient.type_in(mend);
    // The route went with the link.
    let findings = patient.ask();
    findings.names("host.route", "fail", &["default route is missing"]);
}

/// A server with two providers: the kernel is asked whether it takes the clients' packets, so that rules for each address,
/// and addresses that are on no link, are no fault.
#[test]
fn a_reverse_path_filter_is_named_and_mended() {
    let world = World::new(NatKind::None, NatKind::None);
    let settings = format!("{SERVER}secondary = \"198.51.100.81\"\n");
    let patient = Patient::server_host(&world, &settings);
    let ip = |line: &str| patient.type_each("ip", &[line]);
    patient.type_each(
        "ip",
        &[
            "link add eth1 type veth peer name far1",
            "link set far1 up",
            "link set eth1 up",
            "address add 198.51.100.81/32 dev lo",
            "route replace default dev eth0",
        ],
    );
    let path = "net/ipv4/conf/all/rp_filter";
    patient.host.namespace().set_sysctl(path, "1").unwrap();
    let _server = patient.server();
    // Anycast: the address is on 'lo'.
    patient.ask().names("server.blocked", "ok", &[]);

    ip("address del 198.51.100.81/32 dev lo");
    ip("address add 198.51.100.81/24 dev eth1");
    let findings = patient.ask();
    let mend = findings.names(
        "server.blocked",
        "fail",
        &["198.51.100.81", "rp_filter of eth1", "leave by eth0"],
    );
    // The rules of the firewall are asked about the interface of the address.
    nft(
        &patient.host,
        "table inet own { chain input { type filter hook input priority 0; policy drop; ct state established accept; \
         iifname eth1 ip daddr 198.51.100.81 udp dport 3544 accept; iifname eth0 ip daddr 192.0.2.80 udp dport 3544 accept; }; }",
    );
    // A rule for the address, as a host with two providers has it.
    ip("route add default via 198.51.100.1 dev eth1 table 100");
    ip("rule add from 198.51.100.81 table 100");
    patient.ask().names("server.blocked", "ok", &[]);
    ip("rule del from 198.51.100.81 table 100");
    patient.ask().names("server.blocked", "fail", &[]);
    patient.type_in(mend);
    patient.ask().names("server.blocked", "ok", &[]);
}

/// Leftovers of programs against intruders and leaks: each is named, and its mend works.
#[test]
fn what_swallows_the_way_to_the_server_is_named_and_mended() {
    let (_world, _server, patient) = with_server();
    let client = patient.client(&[]);
    client.qualified();
    for (fault, words) in [
        (
            "ip route add blackhole 192.0.2.0/24",
            "'blackhole 192.0.2.0/24'",
        ),
        (
            "ip rule add pref 50 uidrange 0-0 ipproto udp dport 3544 prohibit",
            "the rule of priority 50 is 'prohibit'",
        ),
    ] {
        patient.type_in(fault);
        let findings = patient.ask();
        let mend = findings.names("host.route", "warn", &[words]).to_owned();
        patient.type_in(&mend);
        patient.ask().names("host.route", "ok", &[]);
    }
}
