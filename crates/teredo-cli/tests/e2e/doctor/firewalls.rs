//! The firewall: the agent, the set and the table.

use super::*;

/// The usual rules of a host that answers, and lets nobody in.
const STATEFUL: &str = "table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;
        iifname { lo, teredo } accept
        ct state established,related accept
        tcp dport 22 accept
    }
}";

/// The same with a set.
const WITH_SET: &str = "table inet filter {
    set teredo_ports { type inet_service; flags timeout; }
    chain input {
        type filter hook input priority filter; policy drop;
        iifname { lo, teredo } accept
        ct state vmap { established : accept, related : accept, invalid : drop }
        udp dport @teredo_ports accept
    }
}";

/// Another table drops: the set of the mend, as it is typed, opens the port.
#[test]
fn a_table_that_drops_is_named_and_the_second_way_mends_it() {
    let (_world, _server, patient) = with_server();
    nft(&patient.host, STATEFUL);
    let agent = patient.agent(&[]);
    let client = patient.client(&[]);
    client.qualified();
    let findings = patient.ask();
    let mend = findings.names(
        "firewall.way",
        "fail",
        &[
            "a set that the agent fills",
            "nft add set inet filter teredo_ports",
            "udp dport @teredo_ports accept",
        ],
    );
    findings.names(
        "firewall.port",
        "fail",
        &["inet filter input", "its policy is drop"],
    );
    // All but the last line, which starts an agent in the background.
    let lines: Vec<_> = mend.lines().collect();
    let (start, others) = lines.split_last().unwrap();
    assert!(
        start.ends_with("firewall --set 'inet filter teredo_ports' &"),
        "{mend}"
    );
    patient.type_in(&others.join("\n"));
    drop(agent);
    let _agent = patient.agent(&[]);
    patient.ask_until("firewall.agent", "ok").are_well();
    let folder = format!("{}.d", patient.settings.display());
    let written = fs::read_to_string(Path::new(&folder).join("zz-doctor-set.toml")).unwrap();
    assert_eq!(written, "[firewall]\nset = \"inet filter teredo_ports\"\n");
}

/// Without an agent, a firewall that tracks connections lets the client qualify, and peers in late.
#[test]
fn a_host_firewall_without_an_agent_is_a_warning() {
    let (_world, _server, patient) = with_server();
    nft(&patient.host, STATEFUL);
    let client = patient.client(&["--protect"]);
    client.qualified();
    let findings = patient.ask();
    findings.names("firewall.port", "warn", &["inet filter input"]);
    assert_eq!(findings.code, Some(0), "{}", findings.summary());
}

#[test]
fn a_set_of_a_wrong_type_or_none_is_named_and_mended() {
    let (_world, _server, patient) = with_server();
    fs::write(
        &patient.settings,
        format!("{SETTINGS}protect = true\n[firewall]\nset = \"{SET}\"\n"),
    )
    .unwrap();
    let client = patient.client(&[]);
    client.qualified();
    // The agent does not even start.
    nft(
        &patient.host,
        &WITH_SET
            .replace(
                "type inet_service; flags timeout;",
                "type inet_proto . inet_service; flags timeout;",
            )
            .replace("udp dport @", "meta l4proto . udp dport @"),
    );
    let findings = patient.ask();
    let mend = findings.names(
        "firewall.set",
        "fail",
        &[
            "is not of type inet_service",
            "nft delete set inet filter teredo_ports",
        ],
    );
    findings.names("firewall.agent", "fail", &["no firewall agent runs"]);
    let typed: Vec<_> = mend
        .lines()
        .filter(|line| line.starts_with("nft "))
        .collect();
    patient.type_in(&typed.join("\n"));
    let agent = patient.agent(&[]);
    patient.ask_until("firewall.agent", "ok").are_well();

    // The set is gone, with the agent still there.
    nft(&patient.host, "flush ruleset");
    nft(&patient.host, STATEFUL);
    let findings = patient.ask_until("firewall.set", "fail");
    let mend = findings.names(
        "firewall.set",
        "fail",
        &["does not exist", "nft add set inet filter teredo_ports"],
    );
    patient.type_in(mend);
    patient.ask_until("firewall.port", "ok").are_well();
    drop(agent);

    // The rule that looks in it is gone.
    nft(&patient.host, "flush ruleset");
    nft(
        &patient.host,
        &WITH_SET.replace("udp dport @teredo_ports accept", ""),
    );
    let _agent = patient.agent(&[]);
    let findings = patient.ask_until("firewall.set", "fail");
    let mend = findings.names("firewall.set", "fail", &["no rule looks in the set"]);
    patient.type_in(mend);
    patient.ask_until("firewall.port", "ok");
}

/// The agent was given a name that is almost right.
#[test]
fn a_set_of_another_name_is_named() {
    let (_world, _server, patient) = with_server();
    nft(&patient.host, WITH_SET);
    let _agent = patient.agent(&["--set", "inet filter teredo_port"]);
    let client = patient.client(&[]);
    client.qualified();
    let findings = patient.ask();
    let mend = findings.names(
        "firewall.set",
        "fail",
        &[
            "'inet filter teredo_port' does not exist",
            "the rules look in 'teredo_ports'",
        ],
    );
    assert!(
        mend.contains("--set 'inet filter teredo_ports' &"),
        "{mend}"
    );
    findings.names("firewall.port", "skip", &["firewall.set"]);
}

/// A translation takes the port's datagrams away.
#[test]
fn a_port_that_is_forwarded_elsewhere_is_named_and_mended() {
    let (_world, _server, patient) = with_server();
    let _agent = patient.agent(&[]);
    let client = patient.client(&[]);
    client.qualified();
    nft(
        &patient.host,
        "table ip nat { chain pre { type nat hook prerouting priority -100; \
         iifname eth0 udp dport 1024-65535 dnat to 192.168.1.77; }; }",
    );
    let findings = patient.ask();
    let mend = findings.names(
        "firewall.port",
        "fail",
        &["ip nat pre", "sends them elsewhere"],
    );
    findings.names("server.blocked", "ok", &[]);
    assert!(
        mend.starts_with("nft delete rule ip nat pre handle "),
        "{mend}"
    );
    patient.type_in(mend);
    patient.ask().are_well();
}

/// A rule before the exception, in each of several forms.
#[test]
fn a_rule_before_the_exception_is_named_and_mended() {
    let (_world, _server, patient) = with_server();
    let rules = [
        "udp dport 1024-65535 drop",
        "meta l4proto udp ct state new counter drop",
        "udp dport != { 53, 123 } reject",
        "iifname \"eth*\" ip protocol udp log prefix \"no \" drop",
    ];
    for rule in rules {
        nft(&patient.host, "flush ruleset");
        nft(
            &patient.host,
            &WITH_SET.replace("udp dport @", &format!("{rule}\n        udp dport @")),
        );
        let _agent = patient.agent(&["--set", SET]);
        let client = patient.client(&[]);
        client.qualified();
        let findings = patient.ask();
        let mend = findings.names(
            "firewall.shadowed",
            "fail",
            &["inet filter input", "(handle "],
        );
        assert_eq!(
            mend,
            "nft insert rule inet filter input udp dport @teredo_ports accept"
        );
        patient.type_in(mend);
        patient
            .ask_until("firewall.shadowed", "ok")
            .names("firewall.port", "ok", &[]);
    }
}

#[test]
fn a_foreign_table_is_named_and_mended() {
    let (_world, _server, patient) = with_server();
    nft(
        &patient.host,
        "table inet teredo { chain input { type filter hook input priority 0; }; }",
    );
    let client = patient.client(&[]);
    client.qualified();
    let findings = patient.ask();
    let mend = findings.names(
        "firewall.table",
        "fail",
        &["something else made it", "nft delete table inet teredo"],
    );
    findings.names("firewall.inside", "fail", &["anybody on the IPv6 Internet"]);
    let typed: Vec<_> = mend
        .lines()
        .filter(|line| line.starts_with("nft "))
        .collect();
    patient.type_in(&typed.join("\n"));
    let _agent = patient.agent(&[]);
    patient.ask_until("firewall.agent", "ok").are_well();
}

#[test]
fn an_agent_that_died_or_hangs_is_named_and_mended() {
    let (_world, _server, patient) = with_server();
    let agent = patient.agent(&["--lease", "2"]);
    let client = patient.client(&[]);
    client.qualified();
    patient.ask_until("firewall.agent", "ok").are_well();
    agent.signal(Signal::STOP).unwrap();
    let findings = patient.ask();
    let mend = findings.names("firewall.agent", "fail", &["SIGSTOP", "kill -CONT"]);
    patient.type_in(mend);
    patient.ask_until("firewall.agent", "ok").are_well();
    agent.kill().unwrap();
    let findings = patient.ask_until("firewall.agent", "fail");
    findings.names("firewall.agent", "fail", &["has ended", "firewall"]);
}

/// F-6
#[test]
fn an_open_inside_is_named() {
    let (_world, _server, patient) = with_server();
    let client = patient.client(&[]);
    client.qualified();
    let findings = patient.ask();
    findings.names(
        "firewall.inside",
        "fail",
        &["anybody on the IPv6 Internet", "firewall"],
    );
    // The administrator's own rules close it.
    nft(
        &patient.host,
        "table ip6 own { chain input { type filter hook input priority 0; ct state established,related accept; \
         iifname teredo meta l4proto ipv6-icmp accept; iifname teredo drop; }; }",
    );
    patient
        .ask()
        .names("firewall.inside", "ok", &["ip6 own input"]);
}

/// The set is there, in another table than the agent's; and it holds a port that no program uses.
#[test]
fn a_set_of_another_table_and_a_forgotten_port_are_named_and_mended() {
    let (_world, _server, patient) = with_server();
    nft(&patient.host, WITH_SET);
    let client = patient.client(&["--protect"]);
    client.qualified();
    {
        let _agent = patient.agent(&["--set", "ip filter teredo_ports"]);
        let findings = patient.ask();
        let mend = findings.names(
            "firewall.set",
            "fail",
            &[
                "one of this name in the table 'inet filter'",
                "firewall --set 'inet filter teredo_ports'",
            ],
        );
        // The agent of the test is ended by the test.
        let lines: Vec<_> = mend.lines().filter(|line| !line.ends_with('&')).collect();
        patient.type_in(&lines.join("\n"));
    }
    let _agent = patient.agent(&[]);
    patient.ask_until("firewall.set", "ok").are_well();

    nft(
        &patient.host,
        "add element inet filter teredo_ports { 45678 }",
    );
    let findings = patient.ask();
    let mend = findings.names("firewall.stale", "warn", &["45678", "not the agent's"]);
    patient.type_in(mend);
    patient.ask().are_well();
}

/// A rule that looks in the set, and not at UDP.
#[test]
fn a_rule_about_something_else_is_named_and_mended() {
    let (_world, _server, patient) = with_server();
    nft(&patient.host, &WITH_SET.replace("udp dport", "tcp dport"));
    let _agent = patient.agent(&["--set", SET]);
    let client = patient.client(&[]);
    client.qualified();
    let findings = patient.ask();
    let mend = findings.names(
        "firewall.shadowed",
        "fail",
        &["does not take the port's datagrams", "such as TCP"],
    );
    patient.type_in(mend);
    patient.ask_until("firewall.shadowed", "ok").are_well();
}
