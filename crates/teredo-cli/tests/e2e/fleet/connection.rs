//! Why a host has no connection to the servers: each fault has words of its own.

use std::fs;
use std::process::Command;

use teredo_lab::{Host, Process};

use super::servers::{Fleet, NATS, authorize};
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
