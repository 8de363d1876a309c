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
    let mend = findings
        .names(
            "firewall.port",
            "fail",
            &["ufw", "ufw-after-input -m mark", "ufw reload"],
        )
        .to_owned();
    findings.names("firewall.way", "fail", &["(ufw)"]);
    findings.names("server.blocked", "ok", &[]);
    ufw(&mend);
    patient.ask_until("firewall.port", "ok").are_well();
}

/// A bus with Debian's policies, on which nothing is started by itself.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=SOCKET</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
  </policy>
  <includedir>/usr/share/dbus-1/system.d</includedir>
</busconfig>
"#;

/// Debian's firewalld, on a bus and with a folder of its own.
#[test]
fn firewalld_is_named_and_mended() {
    let (world, _server, patient) = with_server();
    let (bus, folder) = (world.path("bus"), world.path("firewalld"));
    let conf = world.path("bus.conf");
    fs::write(&conf, BUS.replace("SOCKET", bus.to_str().unwrap())).unwrap();
    fs::create_dir(&folder).unwrap();
    let mut command = Command::new("dbus-daemon");
    command.arg("--nofork").arg("--config-file").arg(&conf);
    let _bus = Process::spawn(patient.host.namespace(), "bus", &mut command)
        .unwrap_or_else(|error| panic!("dbus-daemon: {error} (package dbus)"));
    eventually(SECOND * 10, "a bus", || bus.exists());
    let address = format!("unix:path={}", bus.display());
    let mut command = Command::new("firewalld");
    command
        .args(["--nofork", "--nopid", "--system-config"])
        .arg(&folder)
        .arg("--log-file")
        .arg(world.path("firewalld.log"))
        .env("DBUS_SYSTEM_BUS_ADDRESS", &address);
    let _firewalld = Process::spawn(patient.host.namespace(), "firewalld", &mut command)
        .unwrap_or_else(|error| panic!("firewalld: {error} (package firewalld)"));
    let mut firewall_cmd = Command::new("firewall-cmd");
    firewall_cmd
        .arg("--state")
        .env("DBUS_SYSTEM_BUS_ADDRESS", &address);
    eventually(SECOND * 30, "firewalld", || {
        run(&patient.host, &mut firewall_cmd).stdout == b"running\n"
    });
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
