//! Firewalls of Debian: iptables, iptables-legacy, ufw and firewalld. Each is named, and its mend works.

use super::*;

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
    mended(&patient, &["iptables, chain 'ip filter INPUT': its policy is drop", "iptables -I INPUT -p udp --dport"]);
}

#[test]
fn iptables_legacy_is_named_and_mended() {
    let (_world, _server, patient) = with_server();
    let _agent = patient.agent(&[]);
    let client = patient.client(&[]);
    client.qualified();
    iptables(&patient, "iptables-legacy");
    mended(&patient, &["iptables-legacy", "filter INPUT", "iptables-legacy -I INPUT"]);
    patient.ask().names("firewall.legacy", "ok", &["iptables-legacy-save"]);
}

/// Debian's ufw, with its rules and its files in a mount namespace of its own.
#[test]
fn ufw_is_named_and_mended() {
    let (world, _server, patient) = with_server();
    let _agent = patient.agent(&[]);
    let client = patient.client(&[]);
    client.qualified();
    let copy = world.path("ufw");
    let script = format!(
        "cp -a /etc/ufw {0} && mkdir -p {0}.run && touch {0}.default && cp -a /etc/default/ufw {0}.default && \
         mount --bind {0} /etc/ufw && mount --bind {0}.default /etc/default/ufw && mount -t tmpfs none /run && \
         exec sh -e -c \"$1\" ",
        copy.display()
    );
    let ufw = |command: &str| {
        let mut shell = Command::new("unshare");
        shell.args(["--mount", "sh", "-e", "-c"]);
        shell.arg(script.replace("cp -a /etc/ufw", "[ -e \"$0\" ] || cp -a /etc/ufw"));
        shell.arg(&copy).arg(command);
        let output = run(&patient.host, &mut shell);
        assert!(output.status.success(), "ufw: {output:?} (package ufw)");
    };
    ufw("ufw --force enable");
    let findings = patient.ask();
    let mend = findings.names("firewall.port", "fail", &["ufw", "/udp"]).to_owned();
    findings.names("firewall.way", "fail", &["(ufw)"]);
    findings.names("server.blocked", "ok", &[]);
    let allow = mend.lines().find(|line| line.starts_with("ufw allow ")).unwrap();
    ufw(allow);
    patient.ask().names("firewall.port", "ok", &[]);
}
