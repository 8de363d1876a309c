//! The host, its settings, and the service.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::miredo::daemon::{Miredo, appears};

/// No device node, in a mount namespace of the doctor's own.
#[test]
fn a_missing_tun_device_is_named() {
    let (_world, patient) = without_server(SETTINGS);
    let findings = patient.ask_after("mkdir -p /tmp/none && mount -t tmpfs none /dev/net");
    findings.names(
        "host.tun",
        "fail",
        &["/dev/net/tun is missing", "modprobe tun", "mknod"],
    );
    let findings = patient.ask_after("mount -t tmpfs none /dev/net && touch /dev/net/tun");
    findings.names(
        "host.tun",
        "fail",
        &["cannot be used", "not the TUN device"],
    );
}

#[test]
fn disabled_ipv6_is_named_and_mended() {
    let (_world, patient) = without_server(SETTINGS);
    for name in ["all", "default"] {
        let path = format!("net/ipv6/conf/{name}/disable_ipv6");
        patient.host.namespace().set_sysctl(&path, "1").unwrap();
    }
    let findings = patient.ask();
    let mend = findings.names("host.ipv6", "fail", &["net.ipv6.conf.all.disable_ipv6"]);
    patient.type_in(mend);
    patient.ask().names("host.ipv6", "ok", &[]);
}

#[test]
fn a_service_that_is_not_there_is_named() {
    let (_world, _server, patient) = with_server();
    patient.ask().names(
        "service.socket",
        "fail",
        &["no client runs", "there is no socket", "teredo --config"],
    );
    // A socket that is left over.
    let client = patient.client(&[]);
    client.qualified();
    client.process.kill().unwrap();
    patient
        .ask()
        .names("service.socket", "fail", &["left over, and nobody listens"]);
    fs::remove_file(&patient.socket).unwrap();
    fs::write(&patient.socket, "").unwrap();
    patient.ask().names(
        "service.socket",
        "fail",
        &["is a file, and not a socket", "rm "],
    );
}

/// A client that is stopped by a signal holds its socket and does not answer.
#[test]
fn a_service_that_hangs_is_named_and_mended() {
    let (_world, _server, patient) = with_server();
    let client = patient.client(&["--protect"]);
    client.qualified();
    client.process.signal(Signal::STOP).unwrap();
    let findings = patient.ask();
    let mend = findings.names(
        "service.socket",
        "fail",
        &["does not answer", "SIGSTOP", "kill -CONT"],
    );
    patient.type_in(mend);
    patient.ask_until("service.state", "ok");
}

#[test]
fn a_client_that_was_stopped_is_named_and_mended() {
    let (_world, _server, patient) = with_server();
    let client = patient.client(&["--protect"]);
    client.qualified();
    finish(&patient.host, &mut patient.command(&["stop"]));
    let findings = patient.ask();
    let mend = findings.names("service.state", "fail", &["teredo stop"]);
    assert!(mend.ends_with(" start"), "{mend}");
    patient.type_in(mend);
    patient.ask_until("service.state", "ok").are_well();
}

#[test]
fn faulty_settings_are_named() {
    let (_world, patient) =
        without_server("[client]\nservers = [\"192.0.2.45\"]\nprotekt = true\n");
    let findings = patient.ask();
    findings.names(
        "settings.valid",
        "fail",
        &[
            "alice.toml:3",
            "protekt",
            "did you mean 'protect'?",
            "config check",
        ],
    );
    let (_world, patient) = without_server("[client]\nprotect = true\n");
    patient
        .ask()
        .names("settings.complete", "warn", &["alice.toml:2", "'servers'"]);
}

/// The interface or the port is another program's.
#[test]
fn who_has_the_interface_or_the_port_is_named() {
    let (_world, _server, patient) = with_server();
    let mut command = Command::new("ip");
    run(
        &patient.host,
        command.args(["tuntap", "add", "dev", "teredo", "mode", "tun"]),
    );
    let findings = patient.ask();
    let mend = findings.names(
        "client.interface",
        "fail",
        &["teredo exists already", "ip link delete teredo"],
    );
    patient.type_in(mend.lines().next().unwrap());
    patient.ask().names("client.interface", "ok", &[]);

    fs::write(&patient.settings, format!("{SETTINGS}port = 45678\n")).unwrap();
    let program = "import socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
                   s.bind(('0.0.0.0', 45678))\nprint('bound', flush=True)\ntime.sleep(60)";
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", program]);
    let holder = Process::spawn(patient.host.namespace(), "holder", &mut command).unwrap();
    holder.wait_for_line("bound", SECOND * 5).unwrap();
    let findings = patient.ask();
    findings.names(
        "client.port",
        "fail",
        &["45678 is in use by python3", "kill "],
    );
}

#[test]
fn native_ipv6_and_a_second_client_are_named() {
    let (_world, _server, patient) = with_server();
    let _agent = patient.agent(&[]);
    let client = patient.client(&[]);
    client.qualified();
    let socket = patient.socket.with_extension("second");
    let mut command = Command::new(env!("CARGO_BIN_EXE_teredo"));
    command
        .arg("--config")
        .arg(&patient.settings)
        .arg("--socket")
        .arg(&socket)
        .args(["client", "--interface", "second"]);
    let second = Process::spawn(patient.host.namespace(), "second", &mut command).unwrap();
    second.wait_for_line("qualified", QUALIFICATION).unwrap();
    // Each has what it needs.
    let findings = patient.ask();
    findings.names("client.rival", "ok", &["a further client", "teredo (pid "]);
    findings.are_well();
    drop(second);

    patient
        .host
        .namespace()
        .set_sysctl("net/ipv6/conf/eth0/disable_ipv6", "0")
        .unwrap();
    for arguments in [
        &[
            "-6",
            "address",
            "add",
            "2001:db8:7::2/64",
            "dev",
            "eth0",
            "nodad",
        ][..],
        &[
            "-6",
            "route",
            "add",
            "default",
            "via",
            "2001:db8:7::1",
            "dev",
            "eth0",
        ],
    ] {
        let output = run(&patient.host, Command::new("ip").args(arguments));
        assert!(output.status.success(), "{output:?}");
    }
    client.until(SECOND * 5, "dormant", |status| {
        status.state == Phase::Dormant
    });
    let findings = patient.ask();
    findings.names(
        "host.native_ipv6",
        "warn",
        &["2001:db8:7::2", "eth0", "native_ipv6 = \"ignore\""],
    );
    assert_eq!(findings.code, Some(0), "{}", findings.summary());
}

/// Without rights, the state is judged, and the rest is left out with the reason.
#[test]
fn nobody_is_told_what_nobody_may_see() {
    use std::os::unix::process::CommandExt as _;
    let (_world, _server, patient) = with_server();
    let _agent = patient.agent(&[]);
    let client = patient.client(&[]);
    client.qualified();
    let folder = patient.socket.parent().unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = patient.command(&["doctor", "--json"]);
    let findings = Findings::new(&finish(&patient.host, command.uid(65534).gid(65534)));
    findings.are_well();
    findings.names("service.state", "ok", &["qualified"]);
    findings.names("firewall.inside", "ok", &[]);
    findings.names("firewall.shadowed", "skip", &["run it as root to see"]);
}

/// miredo holds the interface.
#[test]
fn miredo_is_named() {
    let (world, _server, patient) = with_server();
    let miredo = Miredo::client(&world, &patient.host);
    appears(&patient.host);
    let findings = patient.ask();
    findings.names("client.rival", "warn", &["miredo", "pid"]);
    findings.names(
        "client.interface",
        "fail",
        &["teredo exists already", "miredo (pid", "kill "],
    );
    drop(miredo);
}

/// IPv6 is taken from the tunnel's interface alone.
#[test]
fn ipv6_that_is_off_on_the_tunnel_is_named_and_mended() {
    let (_world, _server, patient) = with_server();
    let client = patient.client(&["--protect"]);
    client.qualified();
    let path = "net/ipv6/conf/teredo/disable_ipv6";
    patient.host.namespace().set_sysctl(path, "1").unwrap();
    client.until(SECOND * 5, "offline", |status| {
        status.state == Phase::Offline
    });
    let findings = patient.ask();
    let mend = findings.names("host.ipv6", "fail", &["net.ipv6.conf.teredo.disable_ipv6"]);
    patient.type_in(mend);
    patient.ask_until("service.state", "ok").are_well();
}

/// Settings that contradict the host or each other: an address that is not there, and a list that refuses the server.
#[test]
fn settings_that_lead_nowhere_are_named_and_mended() {
    let (_world, _server, patient) = with_server();
    let begins =
        |lines: &str| fs::write(&patient.settings, format!("{SETTINGS}{lines}\n")).unwrap();
    // All but the start of a client, which is the test's to end.
    let type_in = |mend: &str| {
        let lines: Vec<_> = mend.lines().take(2).collect();
        patient.type_in(&lines.join("\n"));
    };
    begins("bind = \"192.168.1.77\"");
    let findings = patient.ask();
    type_in(findings.names(
        "host.route",
        "fail",
        &["192.168.1.77", "no address of this host"],
    ));
    patient.ask().names("host.route", "ok", &[]);

    begins("deny = [\"203.0.113.0/24\", \"192.0.0.0/8\"]");
    {
        let client = patient.client(&[]);
        client.until(SECOND * 5, "the reason", |status| {
            let reason = status.reason.as_deref().unwrap_or_default();
            reason.contains("192.0.2.45 is in a network that 'deny' refuses")
        });
        let findings = patient.ask();
        let mend = findings.names("server.address", "fail", &["192.0.0.0/8", "deny"]);
        assert!(mend.contains("deny = [\"203.0.113.0/24\"]"), "{mend}");
        type_in(mend);
    }
    let client = patient.client(&[]);
    client.qualified();
    patient.ask().names("server.address", "ok", &[]);
}

/// A server that does not start, because another program has its port.
#[test]
fn who_has_the_servers_port_is_named() {
    let world = World::new(NatKind::None, NatKind::None);
    let addresses = [80, 81].map(|last| Ipv4Addr::new(192, 0, 2, last));
    let host = world.internet.host("second", &addresses).unwrap();
    let patient = Patient::new(&world, host, SERVER);
    let program = "import socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
                   s.bind(('0.0.0.0', 3544))\nprint('bound', flush=True)\ntime.sleep(60)";
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", program]);
    let holder = Process::spawn(patient.host.namespace(), "holder", &mut command).unwrap();
    holder.wait_for_line("bound", SECOND * 5).unwrap();
    let findings = patient.ask();
    let mend = findings.names(
        "service.socket",
        "fail",
        &["no server runs: python3 (pid ", "has UDP port 3544"],
    );
    patient.type_in(mend.lines().next().unwrap());
    holder.wait(SECOND * 5).unwrap();
    let _server = patient.server();
    patient.ask().names("service.socket", "ok", &[]);
}
