//! Native IPv6 comes and goes (RFC 4380 §5.5).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Command;

use teredo_lab::{Capture, Host};
use teredo_notify::types::Phase;

use crate::world::*;

const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 5);

fn ip(host: &Host, arguments: &str) {
    let output = run(
        host,
        Command::new("ip").arg("-6").args(arguments.split(' ')),
    );
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip -6 {arguments}: {complaint}");
}

/// Gives a host at home a native address and a default route, as a router's advertisement would.
fn get_native_ipv6(host: &Host) {
    let sysctl = "net/ipv6/conf/eth0/disable_ipv6";
    host.namespace().set_sysctl(sysctl, "0").unwrap();
    ip(host, &format!("address replace {NATIVE}/64 dev eth0 nodad"));
    ip(
        host,
        "route replace default via fe80::1 dev eth0 metric 1024",
    );
}

/// R4380-5.5-01, R4380-3.2.1-01, R6169-2.1-01: with native IPv6 the client has no address, no port and no exception in
/// the firewall, sends nothing, and says why; without, it is there again.
#[test]
fn a_client_is_dormant_beside_native_ipv6() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let _agent = world.agent(&host, &[]);
    let client = world.client(&host, &[]);
    client.qualified();
    eventually(SECOND * 5, "the port in the set", || {
        ports(&host, OWN_SET).len() == 1
    });

    get_native_ipv6(&host);
    let status = client.until(SECOND * 5, "a dormant client", |status| {
        status.state == Phase::Dormant && status.port == 0
    });
    let reason = status.reason.unwrap();
    assert_eq!(reason, "the host has native IPv6: 2001:db8:77::5");
    assert_eq!(status.address, None);
    eventually(SECOND * 5, "an empty set", || {
        ports(&host, OWN_SET).is_empty()
    });
    let shown = run(
        &host,
        teredo().args(["status", "--socket"]).arg(&client.socket),
    );
    assert_eq!(shown.status.code(), Some(3));
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("dormant") && shown.contains(&reason),
        "{shown}"
    );
    for (command, code, words) in [
        (
            "start",
            1,
            "teredo: the client is dormant, because the host has native IPv6: 2001:db8:77::5",
        ),
        (
            "rebind",
            1,
            "teredo: the client is dormant, because the host has native IPv6: 2001:db8:77::5",
        ),
        ("port", 3, "dormant"),
    ] {
        let refused = run(
            &host,
            teredo().args([command, "--socket"]).arg(&client.socket),
        );
        let complaint = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(code), "{command}: {complaint}");
        assert!(complaint.contains(words), "{command}: {complaint}");
    }

    // Nothing of Teredo leaves, whatever else changes in the network.
    let capture = Capture::start(host.namespace(), host.interface()).unwrap();
    host.readdress(Ipv4Addr::new(192, 168, 1, 77)).unwrap();
    client
        .process
        .wait_for_line("192.168.1.77/24 added", SECOND * 5)
        .unwrap();
    assert_eq!(client.status().state, Phase::Dormant);
    let sent = capture
        .frames()
        .iter()
        .filter(|frame| frame.udp().is_some())
        .count();
    assert_eq!(sent, 0);

    ip(&host, "route delete default via fe80::1 dev eth0");
    client.until(SECOND * 5, "a qualified client", |status| {
        status.state == Phase::Qualified
    });
    eventually(SECOND * 5, "the port in the set", || {
        ports(&host, OWN_SET).len() == 1
    });
}

/// R4380-5.5-01: a client on a host that has native IPv6 when it starts; R6169-2.1-01: unless it is told otherwise.
#[test]
fn a_client_may_start_dormant_or_be_told_to_go_on() {
    let (world, _server) = World::with_server();
    let address = "2001:db8:9::1".parse().unwrap();
    let host = world
        .internet
        .native_host("dual", &[Ipv4Addr::new(198, 51, 100, 77)], address)
        .unwrap();
    let capture = Capture::start(host.namespace(), host.interface()).unwrap();
    let mut client = world.client(&host, &[]);
    let status = client.until(SECOND * 5, "a dormant client", |status| {
        status.state == Phase::Dormant
    });
    assert_eq!(status.port, 0);
    assert!(status.reason.unwrap().contains("2001:db8:9::1"));
    let sent = capture
        .frames()
        .iter()
        .filter(|frame| frame.udp().is_some())
        .count();
    assert_eq!(sent, 0);
    let lines = client.process.lines();
    let used = lines.iter().any(|line| line.contains("port in use"));
    assert!(!used, "{lines:?}");
    client.restart(
        &host,
        &["--server", "192.0.2.45", "--native-ipv6", "ignore"],
    );
    client.qualified();
}
