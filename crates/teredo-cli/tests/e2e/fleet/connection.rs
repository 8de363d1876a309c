//! Why a host has no connection to the servers: each fault has words of its own.

use std::fs;
use std::process::Command;

use rustix::process::Signal;
use teredo_lab::{Host, Process};

use super::servers::{Fleet, NATS, SET, authorize, endpoints};
use crate::world::*;

/// Starts a publisher with these credentials and this authority, and waits until it says what is wrong.
#[track_caller]
fn says(fleet: &Fleet, host: &Host, url: &str, files: [&str; 2], words: &str) {
    let socket = fleet.world.path("none.sock").display().to_string();
    let [creds, ca] = files.map(|name| fleet.file(name));
    let publisher = start(
        host,
        "publisher",
        &[
            "publish", "--nats", url, "--host", "alice", "--socket", &socket, "--creds", &creds,
            "--ca", &ca,
        ],
    );
    told(&publisher, words);
}

#[track_caller]
fn told(publisher: &Process, words: &str) {
    let told = publisher.wait_for_line(words, SECOND * 10);
    assert!(told.is_ok(), "{words}: {}", publisher.lines().join("\n"));
    publisher.terminate(SECOND * 2).unwrap();
}

#[test]
fn each_fault_is_named() {
    let fleet = Fleet::start(&["alice"]);
    let folder = fleet.world.path("nats");
    authorize(&fleet.nats, &folder, "other");
    let mut account = teredo();
    account.args([
        "publish",
        "nats-config",
        "--host",
        "alice",
        "--perimeter",
        "fw",
    ]);
    let output = run(
        &fleet.nats,
        account.arg("--dir").arg(folder.join("another")),
    );
    assert!(output.status.success(), "{output:?}");
    let mut plain = Command::new("nats-server");
    plain.args(["--addr", &NATS.to_string(), "--port", "4223"]);
    let plain = Process::spawn(fleet.nats.namespace(), "plain", &mut plain).unwrap();
    plain.wait_for_line("Server is ready", SECOND * 10).unwrap();

    let right = ["alice.nk", "ca.pem"];
    let url = |port: u16| format!("tls://{NATS}:{port}");
    let says = |host, url: &str, files, words| says(&fleet, host, url, files, words);
    let alice = &fleet.alice;
    says(
        alice,
        &url(4222),
        ["alice.nk", "other.pem"],
        "an authority that is not in --ca",
    );
    says(&fleet.nats, "tls://localhost", right, "not valid for name");
    says(
        alice,
        &url(4222),
        ["another/alice.nk", "ca.pem"],
        "it refuses the credentials",
    );
    says(alice, &url(4223), right, "it does not offer TLS");
    says(
        alice,
        &url(4224),
        right,
        "192.0.2.50:4224: Connection refused",
    );
    says(alice, "tls://192.0.2.99", right, "192.0.2.99:4222: ");
}

/// The leader that tells of the bucket may be away while that of the bucket is there: a host goes on to write.
#[test]
fn a_bucket_that_is_known_is_written_to() {
    let mut fleet = Fleet::start(&["alice"]);
    let _firewall = fleet.firewall(&[]);
    let _publisher = fleet.publish(&fleet.alice, "alice", &["--perimeter", "fw"]);
    let client = fleet.world.client(&fleet.alice, &["--allow-private"]);
    let is_open = |fleet: &Fleet, port: u16| {
        endpoints(&fleet.perimeter) == [format!("{}:{port}", fleet.alice.ipv4())]
    };
    let port = client.qualified().port;
    eventually(SECOND * 5, "alice's port", || is_open(&fleet, port));
    fleet.change_account(
        "{ service: { account: TEREDO, subject: \"$JS.API.STREAM.INFO.KV_teredo_ports\" }, to: \"teredo.api.STREAM.INFO.KV_teredo_ports\" }",
        "",
    );
    // It is settled once the perimeter confirms it, after the connection.
    let next = client.connect().rebind(None).unwrap().port;
    eventually(SECOND * 10, "alice's next port", || is_open(&fleet, next));
    client.until(SECOND * 5, "a gate in step", |status| {
        status.firewall.iter().all(|gate| gate.in_sync)
    });
}

/// A perimeter that may not hear the questions says so as long as it is so, although its set is in step.
#[test]
fn questions_that_are_not_heard_are_told() {
    let mut fleet = Fleet::start(&["alice"]);
    let (right, wrong) = ("\"_INBOX_fw.>\", \"teredo.ask.*\"", "\"_INBOX_fw.>\"");
    fleet.change_account(right, wrong);
    let _firewall = fleet.firewall(&[]);
    let is_told = |fleet: &Fleet, told: bool| {
        let status = fleet.perimeter_status();
        let trouble = status["trouble"].as_str().unwrap_or_default();
        status["following"] == true
            && status["in_step"] == true
            && trouble.contains("questions of the hosts are not heard") == told
            && trouble.contains("Permissions Violation") == told
    };
    eventually(SECOND * 5, "a refused subscription", || {
        is_told(&fleet, true)
    });
    fleet.change_account(wrong, right);
    eventually(SECOND * 20, "no trouble", || is_told(&fleet, false));
}

/// A name service that is silent keeps the publisher neither from saying so nor from ending.
#[test]
fn a_silent_name_service_is_named() {
    let fleet = Fleet::start(&["alice"]);
    let silent = fleet.world.path("resolv.conf");
    // Nobody is at that address.
    let settings = "nameserver 192.0.2.200\noptions timeout:30 attempts:2\n";
    fs::write(&silent, settings).unwrap();
    let mut command = Command::new("unshare");
    let script = format!(
        "mount --bind '{}' /etc/resolv.conf && exec \"$@\"",
        silent.display()
    );
    command.args(["--mount", "--", "sh", "-c", &script, "sh"]);
    command.arg(env!("CARGO_BIN_EXE_teredo"));
    command.args(["--config", "/dev/null", "publish", "--host", "alice"]);
    command.args(["--nats", "tls://nats.example", "--socket", "/nonexistent"]);
    let publisher = Process::spawn(fleet.alice.namespace(), "publisher", &mut command).unwrap();
    told(
        &publisher,
        "the name service has not answered for nats.example",
    );
}

/// A perimeter with the key of another one hears nothing from the servers: its status names the reason, and opens nothing.
#[test]
fn a_perimeter_by_another_name_is_told() {
    let fleet = Fleet::start(&["alice"]);
    let _firewall = fleet.firewall_named("fw2", &[]);
    let _publisher = fleet.publish(&fleet.alice, "alice", &[]);
    let client = fleet.world.client(&fleet.alice, &["--allow-private"]);
    client.qualified();
    eventually(SECOND * 10, "the refusal in the status", || {
        let status = fleet.perimeter_status();
        let trouble = status["trouble"].as_str().unwrap_or_default();
        trouble.contains("the perimeter 'fw2' (--name)")
    });
    assert_eq!(fleet.perimeter_status()["following"], false);
    assert!(endpoints(&fleet.perimeter).is_empty());
}

/// While the servers are silent and the perimeter tries to follow them again, it keeps its set as ever: it puts right what
/// others change, and what is not renewed ends with its lease.
#[test]
fn silent_servers_stop_no_repair() {
    let fleet = Fleet::start(&["alice"]);
    let _firewall = fleet.firewall(&[]);
    let _publisher = fleet.publish(&fleet.alice, "alice", &[]);
    let client = fleet.world.client(&fleet.alice, &["--allow-private"]);
    client.qualified();
    let followed = || fleet.perimeter_status()["following"] == true;
    eventually(SECOND * 5, "the port", || {
        followed() && endpoints(&fleet.perimeter).len() == 1
    });
    let open = endpoints(&fleet.perimeter);
    fleet.server.signal(Signal::STOP).unwrap();
    eventually(SECOND * 10, "servers that are missed", || !followed());
    for _ in 0..10 {
        nft(&fleet.perimeter, &format!("flush set {SET}"));
        eventually(SECOND, "the port put back", || {
            endpoints(&fleet.perimeter) == open
        });
    }
    eventually(SECOND * 20, "the end of its lease", || {
        endpoints(&fleet.perimeter).is_empty()
    });
    fleet.server.signal(Signal::CONT).unwrap();
    eventually(SECOND * 20, "all in step again", || {
        followed() && endpoints(&fleet.perimeter) == open && in_sync(&client.status())
    });
}
