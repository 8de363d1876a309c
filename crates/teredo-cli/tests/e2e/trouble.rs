//! Trouble in practice: the client goes on and says why, or ends with one clear line.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::Signal;
use teredo_lab::{NatKind, Process};
use teredo_notify::types::{Phase, Status};

use crate::world::*;

/// Three solicitations, 4 s apart, and a margin.
const GIVEN_UP: Duration = Duration::from_secs(14);

fn reason(status: &Status) -> &str {
    status.reason.as_deref().unwrap_or_default()
}

fn homes() -> World {
    World::new(NatKind::PortRestricted, NatKind::PortRestricted)
}

/// R4380-5.2.1-05: an unreachable server is named as the stage that fails, and its return is noticed.
#[test]
fn an_unreachable_server_is_named_and_tried_again() {
    let world = homes();
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &[]);
    let status = client.until(GIVEN_UP, "the verdict on the server", |status| {
        status.state == Phase::Offline
            && reason(status).contains("no answer from server 192.0.2.45")
    });
    assert_ne!(
        status.port, 0,
        "the port is kept: the client goes on trying"
    );
    assert_eq!(status.address, None);
    let _server = world.serve();
    client.qualified();
}

/// A name that no name service knows, and a name service that does not answer.
#[test]
fn a_name_that_cannot_be_resolved_is_named_and_tried_again() {
    let world = homes();
    let host = world.left.host("alice").unwrap();
    let client = world.client_with(&host, &["--server", "teredo.example.invalid"]);
    // glibc asks each name server twice and waits 5 s each time.
    client.until(
        Duration::from_secs(40),
        "the verdict on the name",
        |status| reason(status).contains("cannot resolve the server name 'teredo.example.invalid'"),
    );
    assert!(client.try_status().is_some(), "the client goes on");
}

/// R4380-MS-05: no network at the start, and then there is one.
#[test]
fn a_network_that_comes_later_is_used_at_once() {
    let world = homes();
    let _server = world.serve();
    let host = world.left.host("alice").unwrap();
    host.set_link_down().unwrap();
    let client = world.client(&host, &[]);
    client.until(SECOND * 5, "a client without a network", |status| {
        status.state == Phase::Probe && status.port != 0 && reason(status).contains("unreachable")
    });
    host.set_link_up().unwrap();
    client.until(SECOND * 3, "a qualified client", |status| {
        status.state == Phase::Qualified
    });
}

/// R4380-MS-05: a changed IPv4 address leads to requalification, and the interface has the current address alone.
#[test]
fn a_changed_address_is_followed() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &[]);
    client.qualified();
    let new = Ipv4Addr::new(192, 168, 1, 77);
    host.readdress(new).unwrap();
    let after = client.until(SECOND * 5, "qualification from the new address", |status| {
        status.state == Phase::Qualified && status.local.is_some_and(|local| *local.ip() == new)
    });
    let listing = run(
        &host,
        Command::new("ip").args(["-6", "-o", "address", "show", "dev", "teredo"]),
    );
    let listing = String::from_utf8(listing.stdout).unwrap();
    assert!(
        listing.contains(&after.address.unwrap().to_string()),
        "{listing}"
    );
    assert_eq!(listing.lines().count(), 1, "{listing}");
}

/// R4380-MS-02: the next server is tried, the one that works is kept, and its loss leads back.
#[test]
fn of_several_servers_one_that_works_is_used() {
    let world = homes();
    let server = world.serve();
    let other_host = world
        .internet
        .host(
            "other",
            &[Ipv4Addr::new(192, 0, 2, 77), Ipv4Addr::new(192, 0, 2, 78)],
        )
        .unwrap();
    let other = start(
        &other_host,
        "other server",
        &["server", "--address", "192.0.2.77"],
    );
    other.wait_for_line("serving", SECOND * 5).unwrap();
    let host = world.left.host("alice").unwrap();
    let client = world.client_with(
        &host,
        &[
            "--server",
            "203.0.113.99",
            "--server",
            "192.0.2.45",
            "--server",
            "192.0.2.77",
        ],
    );
    let status = client.qualified();
    assert_eq!(
        status.server.as_deref(),
        Some("192.0.2.45"),
        "the first one is dead, the second one is next"
    );
    drop(server);
    // The refresh is due after at most 30 s; a rebind asks at once.
    client.connect().rebind(None).unwrap();
    let status = client.until(QUALIFICATION, "the other server", |status| {
        status.state == Phase::Qualified
    });
    assert_eq!(status.server.as_deref(), Some("192.0.2.77"));
}

/// A fixed port that another program has: another one, with the reason, announced like any other.
#[test]
fn a_port_in_use_is_no_reason_to_die() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let _taken = host.udp_socket((Ipv4Addr::UNSPECIFIED, 40_000)).unwrap();
    let client = world.client(&host, &["--port", "40000"]);
    let status = client.qualified();
    assert_eq!(status.configured_port, Some(40_000));
    assert_ne!(status.port, 40_000);
    assert_eq!(client.connect().get_port().unwrap(), status.port);
    client
        .process
        .wait_for_line("port 40000 could not be had", SECOND)
        .unwrap();
    let shown = run(
        &host,
        teredo().args(["status", "--socket"]).arg(&client.socket),
    );
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("40000"),
        "the status does not say which port was asked for:\n{shown}"
    );
}

/// R4380-5.2-03: with a port set, exactly that port; without, one that differs.
#[test]
fn a_port_that_is_asked_for_is_used() {
    let (world, _server) = World::with_server();
    let (alice, anna) = (
        world.left.host("alice").unwrap(),
        world.left.host("anna").unwrap(),
    );
    let fixed = world.client(&alice, &["--port", "40001"]).qualified();
    assert_eq!((fixed.port, fixed.local.unwrap().port()), (40_001, 40_001));
    let chosen = world.client(&anna, &[]).qualified();
    assert_ne!(chosen.port, 40_001);
    assert_ne!(chosen.port, 0);
}

#[track_caller]
fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "'{word}' is missing in: {stderr}");
    }
    let complaints = stderr
        .lines()
        .filter(|line| line.starts_with("teredo:"))
        .count();
    assert_eq!(complaints, 1, "not one clear line: {stderr}");
}

#[test]
fn a_missing_privilege_is_named() {
    let world = homes();
    let host = world.left.host("alice").unwrap();
    let folder = world.path("public");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    // Root without the capability: the privilege counts, not the user.
    let mut command = Command::new("setpriv");
    command.args([
        "--bounding-set",
        "-net_admin",
        "--inh-caps",
        "-all",
        "--",
        env!("CARGO_BIN_EXE_teredo"),
    ]);
    command
        .args([
            "client",
            "--server",
            "192.0.2.45",
            "--config",
            "/dev/null",
            "--socket",
        ])
        .arg(folder.join("t.sock"));
    assert_fails(
        &run(&host, &mut command),
        4,
        &["CAP_NET_ADMIN", "hint: run it as root"],
    );
}

#[test]
fn a_missing_tun_device_is_named() {
    let world = homes();
    let host = world.left.host("alice").unwrap();
    let script = "mount -t tmpfs tmpfs /dev/net && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        env!("CARGO_BIN_EXE_teredo"),
        "client",
    ]);
    command
        .args([
            "--server",
            "192.0.2.45",
            "--config",
            "/dev/null",
            "--socket",
        ])
        .arg(world.path("t.sock"));
    assert_fails(
        &run(&host, &mut command),
        1,
        &["/dev/net/tun", "modprobe tun"],
    );
}

#[test]
fn a_second_instance_is_refused_and_the_first_goes_on() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &[]);
    client.qualified();
    let mut command = teredo();
    command
        .args([
            "client",
            "--server",
            "192.0.2.45",
            "--interface",
            "teredo1",
            "--socket",
        ])
        .arg(&client.socket);
    assert_fails(
        &run(&host, &mut command),
        1,
        &["already running", "--socket"],
    );
    let mut command = teredo();
    command
        .args(["client", "--server", "192.0.2.45", "--socket"])
        .arg(world.path("another.sock"));
    assert_fails(
        &run(&host, &mut command),
        1,
        &["interface teredo", "--interface"],
    );
    assert_eq!(client.status().state, Phase::Qualified);
}

#[test]
fn an_unwritable_runtime_folder_is_named() {
    let world = homes();
    let host = world.left.host("alice").unwrap();
    let mut command = teredo();
    command.args([
        "client",
        "--server",
        "192.0.2.45",
        "--socket",
        "/proc/teredo/teredo.sock",
    ]);
    assert_fails(&run(&host, &mut command), 1, &["/proc/teredo", "--socket"]);
    let precious = world.path("precious");
    std::fs::write(&precious, "not a socket").unwrap();
    let mut command = teredo();
    command
        .args(["client", "--server", "192.0.2.45", "--socket"])
        .arg(&precious);
    assert_fails(&run(&host, &mut command), 1, &["precious", "not a socket"]);
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "not a socket");
}

#[test]
fn bad_flags_are_a_matter_of_usage() {
    let world = homes();
    let host = world.left.host("alice").unwrap();
    for (arguments, words) in [
        (&["client"][..], &["server"][..]),
        (
            &["client", "--server", "192.0.2.45", "--port", "70000"],
            &["70000", "--port"],
        ),
        (
            &["client", "--server", "192.0.2.45", "--no-such-flag"],
            &["--no-such-flag"],
        ),
        (&["client", "--server", "not a host"], &["not a host"]),
        (&["server", "--address", "192.0.2.300"], &["192.0.2.300"]),
        (
            &["firewall", "--set", "filter"],
            &["inet filter teredo_ports"],
        ),
    ] {
        assert_fails(&run(&host, teredo().args(arguments)), 2, words);
    }
}

/// The server's own troubles.
#[test]
fn a_server_says_what_it_lacks() {
    let world = homes();
    let _first = world.serve();
    let second = |arguments: &[&str]| -> Output {
        run(&world.server, teredo().arg("server").args(arguments))
    };
    assert_fails(
        &second(&["--address", "192.0.2.45"]),
        1,
        &["3544", "in use"],
    );
    assert_fails(
        &second(&["--address", "192.0.2.200"]),
        1,
        &["192.0.2.200", "not an address of this host"],
    );
    assert_fails(
        &second(&["--address", "192.0.2.45", "--secondary", "192.0.2.45"]),
        2,
        &["two addresses"],
    );
}

/// Nothing is left of a client that was killed, and its socket file is in nobody's way.
#[test]
fn a_stale_socket_is_replaced() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let mut client = world.client(&host, &[]);
    client.qualified();
    let old: Process = std::mem::replace(
        &mut client.process,
        start(&host, "idle", &["monitor", "--socket", "/nonexistent"]),
    );
    old.kill().unwrap();
    assert!(client.socket.exists());
    let gone = run(
        &host,
        teredo().args(["port", "--socket"]).arg(&client.socket),
    );
    assert_fails(&gone, 5, &["hint:"]);
    client.restart(&host, &["--server", "192.0.2.45"]);
    client.qualified();
}

/// A client and an agent that are killed start again at once. Neither fails because the previous one still runs.
#[test]
fn a_dying_predecessor_is_waited_for() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    for _ in 0..5 {
        let mut client = world.client(&host, &[]);
        let agent = world.agent(&host, &[]);
        client.qualified();
        client.until(SECOND, "a firewall in step", |status| {
            status.firewall.iter().any(|gate| gate.in_sync)
        });
        client.process.signal(Signal::KILL).unwrap();
        agent.signal(Signal::KILL).unwrap();
        client.restart(&host, &["--server", "192.0.2.45"]);
        let _agent = world.agent(&host, &[]);
        client.qualified();
        client.until(SECOND, "the next firewall in step", |status| {
            status.firewall.iter().any(|gate| gate.in_sync)
        });
    }
}
