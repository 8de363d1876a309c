//! Firewalls of Debian: iptables, iptables-legacy, ufw and firewalld. Each is named, and its mend works.

use super::*;
use crate::firewalld::Firewalld;
use crate::ufw::Ufw;

/// Rules of `program` that drop what nobody asked for.
fn iptables(patient: &Patient, program: &str) {
    for rule in [
        "-A INPUT -i lo -j ACCEPT",
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment answers -j ACCEPT",
        "-A INPUT -p tcp -m multiport --dports 22,80 -j ACCEPT",
        "-P INPUT DROP",
    ] {
        let mut command = Command::new(program);
        let output = run(&patient.host, command.args(rule.split(' ')));
        assert!(output.status.success(), "{program} {rule}: {output:?}");
    }
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
