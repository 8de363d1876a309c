//! Who may steer the client, and what that does.

use std::fs::{Permissions, set_permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::shell::{ask, ask_as_nobody, traces};
use crate::subscriber::{Monitor, event};
use crate::world::*;

/// N-11, N-13, N-16: `teredo rebind`, `stop` and `start` return when it is done, and say what they did.
#[test]
fn rebind_stop_and_start_do_what_they_say() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    nft(&host, DEFAULT_DROP);
    let _agent = world.agent(&host, &["--set", SET]);
    let alice = world.client(&host, &[]);
    let first = alice.qualified().port;
    let mut monitor = Monitor::start(&host, &alice);
    assert_eq!(ask(&host, &alice, &["port"]).port(), first);

    let second = ask(&host, &alice, &["rebind"]).port();
    assert_ne!(second, first);
    assert_eq!(
        open_ports(&host),
        [u64::from(second)],
        "open when the command returns"
    );
    assert_eq!(ask(&host, &alice, &["port"]).port(), second);
    assert_eq!(monitor.next(SECOND), event("change", second));
    assert_eq!(alice.qualified().local.unwrap().port(), second);

    let third = ask(&host, &alice, &["rebind", "--port", "24545"]).port();
    assert_eq!((third, &open_ports(&host)[..]), (24545, &[24545][..]));
    assert_eq!(monitor.next(SECOND), event("change", 24545));
    // No change, so nobody is told.
    assert_eq!(
        ask(&host, &alice, &["rebind", "--port", "24545"]).port(),
        24545
    );
    assert_eq!(alice.qualified().local.unwrap().port(), 24545);

    let before = traces(&host);
    let stopped = ask(&host, &alice, &["stop"]);
    assert_eq!(
        (stopped.code, stopped.stdout.as_str()),
        (Some(0), ""),
        "{stopped:?}"
    );
    assert!(
        open_ports(&host).is_empty(),
        "closed when the command returns"
    );
    assert_eq!(monitor.next(SECOND), event("delete", 0));
    ask(&host, &alice, &["port"]).fails(3, "there is no Teredo port");
    ask(&host, &alice, &["rebind"]).fails(3, "there is no Teredo port");
    alice.until(SECOND, "an address taken off", |status| {
        status.address.is_none()
    });
    let status = ask(&host, &alice, &["status"]);
    assert_eq!(status.code, Some(3), "{status:?}");
    assert!(
        status.stdout.contains("teredo  offline") && status.stdout.contains("Local port: none"),
        "{status:?}"
    );
    assert!(status.stdout.contains("Reason: "), "{status:?}");
    assert!(
        traces(&host)[1].len() < before[1].len(),
        "{:?}",
        traces(&host)
    );
    assert_eq!(ask(&host, &alice, &["stop"]).code, Some(0));

    let fourth = ask(&host, &alice, &["start"]).port();
    assert_eq!(
        open_ports(&host),
        [u64::from(fourth)],
        "open when the command returns"
    );
    assert_eq!(monitor.next(SECOND), event("add", fourth));
    let status = alice.qualified();
    assert_eq!(status.port, fourth);
    assert_eq!(ask(&host, &alice, &["start"]).port(), fourth);
    let status = ask(&host, &alice, &["status"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(status.stdout.contains("teredo  qualified"), "{status:?}");

    // The next event is of this, so the commands that changed nothing had none.
    let fifth = ask(&host, &alice, &["rebind"]).port();
    assert_eq!(monitor.next(SECOND), event("change", fifth));
}

/// A port that another program has is refused by its number, and the client stays where it is.
#[test]
fn a_port_of_another_program_is_refused() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    let other = host.udp_socket((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let taken = other.local_addr().unwrap().port();
    let refused = ask(&host, &alice, &["rebind", "--port", &taken.to_string()]);
    refused.fails(1, &format!("port {taken} is in use by another program"));
    assert_eq!(alice.qualified().port, port);
}

/// N-18: who has no right may read and be told, and is told what he lacks for the rest.
#[test]
fn anybody_may_read_and_only_some_may_steer() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    // The test's own folder is closed to others, unlike /run.
    let folder = alice.socket.parent().unwrap();
    set_permissions(folder, Permissions::from_mode(0o755)).unwrap();

    let sequence = alice.status().sequence;
    for command in ["rebind", "stop", "start"] {
        ask_as_nobody(&host, &alice, &[command])
            .fails(4, "root or membership of the service's group");
    }
    assert_eq!(alice.status().sequence, sequence, "the port has moved");
    ask_as_nobody(&host, &alice, &["firewall"]).fails(4, "not permitted to change nftables");

    assert_eq!(ask_as_nobody(&host, &alice, &["port"]).port(), port);
    let status = ask_as_nobody(&host, &alice, &["status"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(
        status.stdout.contains(&format!("Local port: {port}/udp")),
        "{status:?}"
    );
    let monitor = ask_as_nobody(
        &host,
        &alice,
        &["monitor", "--json", "--events", "port", "--count", "1"],
    );
    assert_eq!(monitor.code, Some(0), "{monitor:?}");
    assert!(
        monitor.stdout.contains(&format!("\"port\":{port}")),
        "{monitor:?}"
    );
}

/// A program in a container with its own process numbers, to which the client has none, reads the port all the same.
#[test]
fn the_port_is_read_from_another_pid_namespace() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &[]);
    let port = client.qualified().port;
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", env!("CARGO_BIN_EXE_teredo"), "--socket"]);
    let output = run(&host, command.arg(&client.socket).arg("port"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        port.to_string()
    );
}
