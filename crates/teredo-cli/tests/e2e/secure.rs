//! Secure qualification (RFC 4380 §5.2.2) with the real program: secrets in files, a server that wants them, clients
//! that have them and clients that do not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rustix::process::Signal;
use teredo::wire::Datagram;
use teredo_lab::{Capture, NatKind, Process};
use teredo_notify::types::{Detail, EventName, Phase};

use crate::miredo::daemon::Miredo;
use crate::world::*;

/// A line with a new secret, by the program itself.
fn new_secret(world: &World, name: &str) -> String {
    let output = run(&world.server, teredo().args(["secret", "new", name]));
    assert!(output.status.success());
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(
        line.starts_with(&format!("{name}:")) && line.ends_with("=\n"),
        "{line}"
    );
    line.trim_end().to_owned()
}

/// Writes a file of secrets that nobody else may read.
fn write(world: &World, name: &str, lines: &[&str]) -> PathBuf {
    let path = world.path(name);
    fs::write(&path, lines.join("\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn serve(world: &World, arguments: &[&str]) -> Process {
    let address = SERVER.to_string();
    let server = start(
        &world.server,
        "server",
        &[&["server", "--address", &address], arguments].concat(),
    );
    server
        .wait_for_line("clients with a secret", SECOND * 5)
        .unwrap();
    server
}

/// Has the server say what it did, until it says `part`.
#[track_caller]
fn says(server: &Process, part: &str) {
    eventually(SECOND * 10, part, || {
        let mark = server.mark();
        server.signal(Signal::USR1).unwrap();
        let line = server.wait_for_line_after(mark, "teredo: served", SECOND * 5);
        line.unwrap().contains(part)
    });
}

/// R4380-5.2-02, R4380-5.2.2-01, R4380-5.2.2-07, R4380-5.3.1-05, R4380-5.3.2-08: who has the secret is qualified
/// behind a NAT; who has none is not answered. The secret is in no packet, no status and no log.
#[test]
fn who_has_the_secret_is_served() {
    let world = World::new(NatKind::PortRestricted, NatKind::PortRestricted);
    let line = new_secret(&world, "alice");
    let file = write(&world, "secrets", &["# the clients", &line]);
    let file = file.to_str().unwrap();
    let server = serve(&world, &["--secret-file", file]);
    let outside = Capture::start(world.server.namespace(), world.server.interface()).unwrap();

    let [alice, bob] = [(&world.left, "alice"), (&world.right, "bob")]
        .map(|(home, name)| home.host(name).unwrap());
    let client = world.client(&alice, &["--secret-file", file]);
    let status = client.qualified();
    assert_eq!(status.reason, None);
    let secret = line.split_once(':').unwrap().1;
    let told = [
        format!("{status:?}"),
        client.process.lines().join("\n"),
        server.lines().join("\n"),
    ];
    assert!(!told.iter().any(|text| text.contains(secret)));

    let elements: Vec<(bool, usize)> = outside
        .frames()
        .iter()
        .filter_map(|frame| {
            let datagram = frame.udp()?;
            let inner = Datagram::parse(datagram.payload).ok()?;
            let element = inner.authentication?;
            Some((element.identifier == b"alice", element.value.len()))
        })
        .collect();
    assert!(
        elements.len() >= 4,
        "two solicitations and two advertisements: {elements:?}"
    );
    assert!(
        elements.iter().all(|element| *element == (true, 20)),
        "{elements:?}"
    );
    assert_well_formed(&outside, &world.path("."), &[3544]);

    // Both addresses were asked, and neither answered.
    let stranger = world.client_with(&bob, &["--server", "192.0.2.45", "--interface", "stranger"]);
    says(&server, "unauthenticated 2");
    assert_eq!(stranger.status().state, Phase::Probe);
}

/// R4380-5.3.1-05, R4380-5.2.2-07: with another secret the client is not qualified, and says that it may be the secret;
/// SIGHUP has the server read the file again, and a file with a fault changes nothing.
#[test]
fn a_wrong_secret_is_named_and_mended() {
    let world = World::new(NatKind::PortRestricted, NatKind::None);
    let line = new_secret(&world, "alice");
    let own = write(&world, "own", &[&line]);
    let secrets = write(&world, "secrets", &[&new_secret(&world, "alice")]);
    let server = serve(&world, &["--secret-file", secrets.to_str().unwrap()]);
    let alice = world.left.host("alice").unwrap();
    let client = world.client(&alice, &["--secret-file", own.to_str().unwrap()]);
    let status = client.until(SECOND * 20, "a reason", |status| {
        status.state == Phase::Offline
            && status
                .reason
                .as_deref()
                .is_some_and(|reason| reason.contains("secret"))
    });
    assert_eq!(status.address, None);
    let reason = status.reason.unwrap();
    assert!(
        reason.contains("does not know our identifier with our secret"),
        "{reason}"
    );

    let mark = server.mark();
    write(&world, "secrets", &["alice"]);
    server.signal(Signal::HUP).unwrap();
    let fault = server.wait_for_line_after(mark, "not reloaded", SECOND * 5);
    assert!(fault.unwrap().contains("secrets:1: "));
    write(&world, "secrets", &[&line, &new_secret(&world, "bob")]);
    server.signal(Signal::HUP).unwrap();
    server
        .wait_for_line_after(mark, "clients with a secret: 2", SECOND * 5)
        .unwrap();
    client.qualified();
}

/// A file that others can read is refused by both, with the way to mend it, and so is a fault in it.
#[test]
fn files_that_others_can_read_are_refused() {
    let world = World::new(NatKind::None, NatKind::None);
    let secrets = write(&world, "secrets", &[&new_secret(&world, "alice")]);
    let path = secrets.to_str().unwrap();
    let refused = |arguments: &[&str], code: i32, parts: [&str; 2]| {
        let output = run(
            &world.server,
            teredo().args(arguments).args(["--secret-file", path]),
        );
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    };
    let server: &[&str] = &["server", "--address", "192.0.2.45"];
    let socket = world.path("socket");
    let client: &[&str] = &[
        "client",
        "--server",
        "192.0.2.45",
        "--socket",
        socket.to_str().unwrap(),
    ];
    for arguments in [server, client] {
        fs::set_permissions(&secrets, fs::Permissions::from_mode(0o644)).unwrap();
        refused(arguments, 4, ["by other users (mode 0644)", "chmod 600"]);
        write(&world, "secrets", &["alice:c2hvcnQ="]);
        refused(
            arguments,
            1,
            ["secrets:1: the secret has 5 bytes", "teredo secret new"],
        );
        write(&world, "secrets", &[]);
        refused(arguments, 1, ["there is no secret in", "teredo secret new"]);
    }
    fs::remove_file(&secrets).unwrap();
    refused(server, 1, ["No such file", "umask 077"]);
}

/// R4380-5.2.2-06, R4380-5.3.2-08: a client whose secret is being retired is qualified, and its status says that it
/// needs a new one, until it does not.
#[test]
fn a_retired_secret_is_told() {
    let world = World::new(NatKind::PortRestricted, NatKind::None);
    let line = new_secret(&world, "alice");
    let own = write(&world, "own", &[&format!("{line} 192.0.2.45")]);
    let secrets = write(&world, "secrets", &[&format!("{line} retired")]);
    let server = serve(&world, &["--secret-file", secrets.to_str().unwrap()]);
    let alice = world.left.host("alice").unwrap();
    let client = world.client(&alice, &["--secret-file", own.to_str().unwrap()]);
    client.until(QUALIFICATION, "a warning", |status| {
        status.state == Phase::Qualified
            && status
                .reason
                .as_deref()
                .is_some_and(|reason| reason.contains("no longer valid"))
    });
    let shown = run(
        &alice,
        teredo().args(["status", "--socket"]).arg(&client.socket),
    );
    assert_eq!(shown.status.code(), Some(0));
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("the key is no longer valid, says server 192.0.2.45"),
        "{shown}"
    );

    // It is no reason for not being qualified.
    let mut events = client.connect().monitor(&[EventName::State]).unwrap();
    client.connect().stop().unwrap();
    client.connect().start().unwrap();
    let reason = events.find_map(|event| match event.unwrap().detail {
        Detail::State {
            state: Phase::Probe,
            reason,
            ..
        } => Some(reason),
        _ => None,
    });
    assert_eq!(reason, Some(None));

    let mark = server.mark();
    write(&world, "secrets", &[&line]);
    server.signal(Signal::HUP).unwrap();
    server
        .wait_for_line_after(mark, "clients with a secret: 1", SECOND * 5)
        .unwrap();
    client.connect().rebind(None).unwrap();
    client.until(QUALIFICATION, "no warning", |status| {
        status.state == Phase::Qualified && status.reason.is_none()
    });
}

/// R4380-5.3.2-10: `miredo`, which has no secrets, is served beside a client that has one.
#[test]
fn miredo_is_served_where_plain_clients_are() {
    let world = World::new(NatKind::PortRestricted, NatKind::PortRestricted);
    let line = new_secret(&world, "alice");
    let file = write(&world, "secrets", &[&line]);
    let file = file.to_str().unwrap();
    let _server = serve(&world, &["--secret-file", file, "--allow-plain"]);
    let [alice, bob] = [(&world.left, "alice"), (&world.right, "bob")]
        .map(|(home, name)| home.host(name).unwrap());
    let client = world.client(&alice, &["--secret-file", file]);
    let _miredo = Miredo::client(&world, &bob);
    client.qualified();
    eventually(QUALIFICATION, "miredo's address", || {
        let table = bob
            .namespace()
            .run(|| fs::read_to_string("/proc/thread-self/net/if_inet6"));
        table
            .unwrap()
            .unwrap()
            .lines()
            .any(|line| line.starts_with("20010000c000022d"))
    });
}
