//! `teredo status` of every role, and the list of peers.

use std::process::Command;

use serde_json::Value;
use teredo_lab::{Host, NatKind, Process};

use crate::shell::{ask, ask_as_nobody};
use crate::world::*;

/// A server answers on its socket, across a reload; it takes no orders, and names what it cannot do.
#[test]
fn a_server_has_a_status() {
    let world = World::new(NatKind::PortRestricted, NatKind::None);
    let socket = world.path("server.sock");
    let text = socket.to_str().unwrap();
    let file = world.path("server.toml");
    std::fs::write(&file, "[server]\naddress = '192.0.2.45'\nworkers = 2\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_teredo"));
    command
        .args(["server", "--socket", text, "--config"])
        .arg(&file);
    let server = Process::spawn(world.server.namespace(), "server", &mut command).unwrap();
    server.wait_for_line("serving on", SECOND * 5).unwrap();
    let alice = world.left.host("alice").unwrap();
    let client = world.client(&alice, &[]);
    client.qualified();

    let asked = || {
        let answer = run(
            &world.server,
            teredo().args(["status", "--socket", text, "--json"]),
        );
        assert_eq!(answer.status.code(), Some(0), "{answer:?}");
        serde_json::from_slice::<Value>(&answer.stdout).unwrap()
    };
    let status = asked();
    assert_eq!(
        (&status["role"], &status["state"]),
        (&"server".into(), &"qualified".into())
    );
    assert_eq!(status["pairs"][0]["secondary"], "192.0.2.46");
    assert_eq!(
        (&status["port"], &status["lanes"].as_array().unwrap().len()),
        (&0.into(), &2)
    );
    assert!(
        status["data_path"]["advertisements"].as_u64().unwrap() >= 2,
        "{status}"
    );
    assert!(
        status["reason"]
            .as_str()
            .unwrap()
            .contains("no native IPv6 host"),
        "{status}"
    );

    let block = run(&world.server, teredo().args(["--socket", text]));
    let block = String::from_utf8(block.stdout).unwrap();
    assert!(
        block.contains("server serving") && block.contains("192.0.2.45 and 192.0.2.46"),
        "{block}"
    );
    let stop = run(&world.server, teredo().args(["stop", "--socket", text]));
    assert_eq!(stop.status.code(), Some(1));

    std::fs::write(&file, "[server]\naddress = '192.0.2.45'\nworkers = 1\n").unwrap();
    server.signal(rustix::process::Signal::HUP).unwrap();
    eventually(SECOND * 5, "the server with new settings", || {
        asked()["lanes"].as_array().unwrap().len() == 1
    });
    server.terminate(SECOND * 5).unwrap();
    assert!(!socket.exists(), "the socket is left");
}

/// A server that cannot have the usual socket, because another has it, serves without.
#[test]
fn a_server_serves_without_its_socket() {
    let world = World::new(NatKind::None, NatKind::None);
    let folder = tempfile::tempdir().unwrap();
    let start = |host: &Host| {
        let mut command = teredo();
        command.args(["server", "--address", "192.0.2.45"]);
        command.env("RUNTIME_DIRECTORY", folder.path());
        Process::spawn(host.namespace(), "server", &mut command).unwrap()
    };
    let first = start(&world.server);
    first.wait_for_line("serving on", SECOND * 5).unwrap();
    let elsewhere = World::new(NatKind::None, NatKind::None);
    let second = start(&elsewhere.server);
    second
        .wait_for_line("cannot ask this server", SECOND * 5)
        .unwrap();
    second.wait_for_line("serving on", SECOND * 5).unwrap();
    assert!(folder.path().join("server.sock").exists());
}

/// Path, age and traffic of each peer; whom a host talks to is not for every user.
#[test]
fn peers_are_listed_with_their_traffic() {
    const SIZE: u64 = 40 + 8 + 12;

    let (world, _server) = World::with_server();
    let [alice_host, bob_host] = [(&world.left, "alice"), (&world.right, "bob")]
        .map(|(home, name)| home.host(name).unwrap());
    let [alice, bob] = [&alice_host, &bob_host].map(|host| world.client(host, &[]));
    let (of_alice, of_bob) = (alice.qualified(), bob.qualified());
    let replies = teredo_lab::ping(&alice_host, bob.address(), 5, SECOND * 5).unwrap();
    assert!(replies.are_all_in_order(5), "{replies:?}");

    let listed: Value = {
        let answer = ask(&alice_host, &alice, &["status", "--peers", "--json"]);
        serde_json::from_str(&answer.stdout).unwrap()
    };
    let peers = listed["peer_list"].as_array().unwrap();
    let peer = &peers[0];
    assert_eq!(peers.len(), 1, "{listed}");
    assert_eq!(peer["address"], of_bob.address.unwrap().to_string());
    assert_eq!(peer["path"], of_bob.mapped.unwrap().to_string());
    assert_eq!(
        (&peer["state"], &peer["began"]),
        (&"trusted".into(), &false.into())
    );
    let counters = &peer["counters"];
    assert_eq!(
        (&counters["rx_packets"], &counters["tx_packets"]),
        (&5.into(), &5.into()),
        "{peer}"
    );
    assert_eq!(counters["rx_bytes"], counters["tx_bytes"]);
    assert!(
        counters["rx_bytes"].as_u64().unwrap() >= 5 * SIZE / 2,
        "{peer}"
    );

    let table = ask(&bob_host, &bob, &["status", "--peers"]).stdout;
    let row = table.lines().last().unwrap();
    assert!(
        row.starts_with(&of_alice.address.unwrap().to_string()),
        "{table}"
    );
    let denied = ask_as_nobody(&bob_host, &bob, &["status", "--peers"]);
    assert_eq!(denied.code, Some(4), "{denied:?}");
}

/// Runs a program on a terminal of 120 by 30 until it shows a word, then presses q. Prints the exit code.
const ON_A_TERMINAL: &str = r#"
import fcntl, os, pty, struct, sys, termios
word, program = sys.argv[1].encode(), sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    os.execvp(program[0], program)
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
seen = b""
while word not in seen:
    seen += os.read(terminal, 65536)
os.write(terminal, b"q")
try:
    while os.read(terminal, 65536):
        pass
except OSError:
    pass
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

/// On a terminal it shows the node, and a key ends it; elsewhere it says what to use instead.
#[test]
fn top_shows_a_client() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    let shown = run(
        &host,
        Command::new("python3")
            .args([
                "-c",
                ON_A_TERMINAL,
                &format!("{port}/udp"),
                env!("CARGO_BIN_EXE_teredo"),
            ])
            .args(["top", "--every", "0.2", "--socket"])
            .arg(&alice.socket),
    );
    assert_eq!(
        String::from_utf8_lossy(&shown.stdout).trim(),
        "0",
        "{shown:?}"
    );
    let piped = ask(&host, &alice, &["top"]);
    piped.fails(1, "needs a terminal");
    assert!(piped.stderr.contains("teredo status --watch"), "{piped:?}");
}
