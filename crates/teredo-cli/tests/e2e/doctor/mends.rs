//! Firewalls of Debian: iptables, iptables-legacy, ufw and firewalld. Each is named, and its mend works.

use super::*;
use crate::firewalld::Firewalld;
use crate::ufw::Ufw;

/// Rules of `program` that drop what nobody asked for.
fn iptables(patient: &Patient, program: &str) {
    patient.type_each(
        program,
        &[
            "-A INPUT -i lo -j ACCEPT",
            "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment answers -j ACCEPT",
            "-A INPUT -p tcp -m multiport --dports 22,80 -j ACCEPT",
            "-P INPUT DROP",
        ],
    );
}

#[track_caller]
fn mended(patient: &Patient, words: &[&str]) {
    let findings = patient.ask();
    let mend = findings.names("firewall.port", "fail", words).to_owned();
    findings.names("server.blocked", "ok", &[]);
    patient.type_in(&mend);
    let findings = patient.ask();
    findings.names("firewall.port", "ok", &[]);
    findings.names("firewall.way", "ok", &[]);
}

#[test]
fn iptables_is_named_and_mended() {
    let (_world, _server, patient) = with_server();
    let _agent = patient.agent(&[]);
    let client = patient.client(&[]);
    client.qualified();
    iptables(&patient, "iptables");
    mended(
        &patient,
        &[
            "iptables, chain 'ip filter INPUT': its policy is drop",
            "iptables -I INPUT -p udp --dport",
        ],
    );
}

#[test]
fn iptables_legacy_is_named_and_mended() {
    let (_world, _server, patient) = with_server();
    let _agent = patient.agent(&[]);
    let client = patient.client(&[]);
    client.qualified();
    iptables(&patient, "iptables-legacy");
    mended(
        &patient,
        &[
            "iptables-legacy",
            "filter INPUT",
            "iptables-legacy -I INPUT",
        ],
    );
    patient
        .ask()
        .names("firewall.legacy", "ok", &["iptables-legacy-save"]);
}

/// Debian's ufw, with files of its own.
#[test]
fn ufw_is_named_and_mended() {
    let (world, _server, patient) = with_server();
    let _agent = patient.agent(&[]);
    let client = patient.client(&[]);
    client.qualified();
    let ufw = Ufw::enable(&world, &patient.host);
    let findings = patient.ask();
    let mend = findings
        .names(
            "firewall.port",
            "fail",
            &["ufw", "ufw-after-input -m mark", "ufw reload"],
        )
        .to_owned();
    findings.names("firewall.way", "fail", &["(ufw)"]);
    findings.names("server.blocked", "ok", &[]);
    ufw.type_in(&mend);
    patient.ask_until("firewall.port", "ok").are_well();
}

/// Debian's firewalld, on a bus and with a folder of its own.
#[test]
fn firewalld_is_named_and_mended() {
    let (world, _server, patient) = with_server();
    let firewalld = Firewalld::start(&world, &patient.host);
    let address = firewalld.address();
    let client = patient.client(&["--protect"]);
    client.qualified();
    // Without an agent that speaks with it.
    let findings = patient.ask();
    let dropped = "firewalld, chain 'inet firewalld filter_IN_public': rule 'reject'";
    let mend = findings.names("firewall.port", "warn", &[dropped]);
    assert!(mend.ends_with(" firewall &"), "{mend}");
    findings.names("server.blocked", "ok", &[]);
    {
        let mut command = patient.command(&["firewall"]);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", &address);
        let _agent = Process::spawn(patient.host.namespace(), "agent", &mut command).unwrap();
        patient.ask_until("firewall.port", "ok").are_well();
    }
    drop(client);
    // A port that does not change needs no agent.
    let text = fs::read_to_string(&patient.settings).unwrap();
    fs::write(&patient.settings, format!("{text}port = 45678\n")).unwrap();
    let client = patient.client(&["--protect"]);
    client.qualified();
    let findings = patient.ask();
    let mend = findings.names("firewall.port", "warn", &[dropped, "--add-port=45678/udp"]);
    patient.type_in(&format!("export DBUS_SYSTEM_BUS_ADDRESS={address}\n{mend}"));
    patient.ask_until("firewall.port", "ok").are_well();
}

/// A drop in another table or chain of iptables than the usual one: the mend goes where the drop is.
#[test]
fn raw_rules_of_iptables_are_named_and_mended() {
    let (_world, _server, patient) = with_server();
    let _agent = patient.agent(&[]);
    let client = patient.client(&[]);
    client.qualified();
    let rule = "-t raw -A PREROUTING -p udp ! --sport 3544 -j DROP";
    patient.type_each("iptables", &[rule]);
    mended(
        &patient,
        &[
            "chain 'ip raw PREROUTING'",
            "iptables -t raw -I PREROUTING -p udp",
        ],
    );
}

/// A rule of the administrator that denies: it is asked before the line that accepts the agent's mark.
#[test]
fn a_deny_of_ufw_is_named_and_mended() {
    let (world, _server, patient) = with_server();
    let _agent = patient.agent(&[]);
    let client = patient.client(&[]);
    client.qualified();
    let ufw = Ufw::enable(&world, &patient.host);
    let mend = patient
        .ask()
        .names("firewall.port", "fail", &["ufw"])
        .to_owned();
    ufw.type_in(&mend);
    patient.ask_until("firewall.port", "ok").are_well();
    ufw.type_in("ufw deny proto udp from any to any port 1024:65535");
    let findings = patient.ask();
    findings.names("firewall.port", "fail", &["ufw-user-input"]);
    let mend = findings.names(
        "firewall.way",
        "fail",
        &["denies the port", "ufw status numbered", "ufw delete N"],
    );
    ufw.type_in(mend);
    patient.ask_until("firewall.port", "ok").are_well();

    ufw.type_in("ufw deny out 3544/udp");
    let findings = patient.ask_until("server.blocked", "fail");
    let mend = findings.names(
        "server.blocked",
        "fail",
        &["ufw-user-output", "ufw prepend allow out 3544/udp"],
    );
    ufw.type_in(mend);
    patient.ask_until("server.blocked", "ok");
}

/// The same of firewalld.
#[test]
fn a_rich_rule_that_denies_is_named() {
    let (world, _server, patient) = with_server();
    let firewalld = Firewalld::start(&world, &patient.host);
    let mut command = patient.command(&["firewall"]);
    command.env("DBUS_SYSTEM_BUS_ADDRESS", firewalld.address());
    let _agent = Process::spawn(patient.host.namespace(), "agent", &mut command).unwrap();
    let client = patient.client(&[]);
    client.qualified();
    patient.ask_until("firewall.port", "ok").are_well();
    let rule = "rule family=ipv4 port port=1024-65535 protocol=udp drop";
    firewalld.tell(&[&format!("--add-rich-rule={rule}")]);
    let findings = patient.ask_until("firewall.port", "fail");
    findings.names("firewall.port", "fail", &["filter_IN_public_deny"]);
    findings.names(
        "firewall.way",
        "fail",
        &[
            "a rich rule",
            "--zone=public --list-rich-rules",
            "--remove-rich-rule",
        ],
    );
    firewalld.tell(&[&format!("--remove-rich-rule={rule}")]);
    patient.ask_until("firewall.port", "ok").are_well();
}

/// Policies and zones of firewalld against the client and the inside of its tunnel: the mend of each is for good, and works.
#[test]
fn zones_and_policies_of_firewalld_are_named_and_mended() {
    let (world, _server, patient) = with_server();
    let firewalld = Firewalld::start(&world, &patient.host);
    let bus = format!("export DBUS_SYSTEM_BUS_ADDRESS={}", firewalld.address());
    let mut command = patient.command(&["firewall"]);
    command.env("DBUS_SYSTEM_BUS_ADDRESS", firewalld.address());
    let _agent = Process::spawn(patient.host.namespace(), "agent", &mut command).unwrap();
    let client = patient.client(&[]);
    client.qualified();
    patient.ask_until("firewall.port", "ok").are_well();
    // A list of bogons, as a zone.
    firewalld.tell(&["--permanent", "--zone=drop", "--add-source=2001::/32"]);
    // Nothing leaves that no rule lets out.
    firewalld.tell(&["--permanent", "--new-policy=closed"]);
    for option in [
        "--add-ingress-zone=HOST",
        "--add-egress-zone=ANY",
        "--set-target=DROP",
    ] {
        firewalld.tell(&["--permanent", "--policy=closed", option]);
    }
    firewalld.tell(&["--reload"]);
    let mended = |id: &str, result: &str, words: &[&str]| {
        let findings = patient.ask_until(id, result);
        let mend = findings.names(id, result, words);
        patient.type_in(&format!("{bus}\n{mend}"));
    };
    let words = ["filter_OUT_policy_closed", "--policy=teredo-host"];
    mended("server.blocked", "fail", &words);
    patient.ask_until("server.blocked", "ok");
    mended(
        "firewall.tunnel",
        "fail",
        &["what it sends", "--policy=teredo-host"],
    );
    mended("firewall.tunnel", "fail", &["other clients", "--zone=drop"]);
    patient.ask_until("firewall.tunnel", "ok");
    patient.ask_until("firewall.port", "ok").are_well();
    // They outlive a reload.
    firewalld.tell(&["--reload"]);
    patient.ask_until("firewall.port", "ok");
    // The agent gives its rules to firewalld again.
    patient.ask_until("firewall.agent", "ok").are_well();
}

/// firewalld forwards nothing between its zones unless a policy lets it.
#[test]
fn a_relay_behind_firewalld_is_named_and_mended() {
    let world = World::dual_stack(NatKind::PortRestricted);
    let host = world.relay_host(Ipv4Addr::new(192, 0, 2, 99));
    let _server = world.serve();
    let patient = Patient::new(&world, host, "[relay]\naddress = \"192.0.2.99\"\n");
    let firewalld = Firewalld::start(&world, &patient.host);
    let _relay = patient.relay();
    let findings = patient.ask();
    let words = ["what its relay forwards", "--new-policy=teredo-in"];
    let mend = findings.names("firewall.tunnel", "fail", &words);
    let bus = format!("export DBUS_SYSTEM_BUS_ADDRESS={}", firewalld.address());
    patient.type_in(&format!("{bus}\n{mend}"));
    patient.ask().names("firewall.tunnel", "ok", &[]);
}
