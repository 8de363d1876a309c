//! The guide, docs/notifications.md: every example in it is run as it is printed, at a running client.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use teredo_lab::{Host, ping};

use crate::c::{FLAVOURS, cargo, prefix, run, tool, work};
use crate::dialogue::Dialogue;
use crate::shell::ask;
use crate::subscriber::Varlink;
use crate::world::*;

/// The guide's blocks of a language, in their order; the test fails where there are not as many.
fn blocks<const N: usize>(language: &str) -> [String; N] {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/notifications.md");
    let guide = fs::read_to_string(guide).unwrap();
    let blocks: Vec<String> = guide
        .split(&format!("\n```{language}\n"))
        .skip(1)
        .map(|text| text.split_once("\n```").unwrap().0.to_owned() + "\n")
        .collect();
    blocks
        .try_into()
        .unwrap_or_else(|blocks: Vec<_>| panic!("{} blocks of {language}", blocks.len()))
}

/// Builds an example, which the guide shows (`cargo xtask test` compares them). It is built with the features of the whole
/// workspace, as the tests are: with those of its crate alone, all dependencies would be built again.
fn example(name: &str) -> PathBuf {
    let mut cargo = cargo();
    cargo.args(["build", "--quiet", "--locked", "--message-format=json"]);
    let messages = run(cargo.args(["--workspace", "--example", name]));
    let built = messages.lines().find_map(|message| {
        let message: Value = serde_json::from_str(message).unwrap();
        (message["target"]["name"] == name)
            .then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    built.expect("cargo says where it has put the example")
}

/// Compiles the C example by the guide's own commands, one for each library.
fn compiled() -> Vec<Command> {
    let [text] = blocks("c");
    let [commands, ..] = blocks::<5>("sh");
    let commands: Vec<&str> = commands.lines().collect();
    assert_eq!(commands.len(), FLAVOURS.len());
    let folder = work().join("guide");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("follow.c"), text).unwrap();
    tool("pkg-config", "pkg-config");
    let compile = |(number, command): (usize, &str)| {
        let mut shell = Command::new("sh");
        shell.current_dir(&folder).args(["-e", "-c", command]);
        run(shell.env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig")));
        let program = folder.join(format!("follow-{number}"));
        fs::rename(folder.join("a.out"), &program).unwrap();
        Command::new(program)
    };
    commands.into_iter().enumerate().map(compile).collect()
}

/// N-10, N-11, N-19: C with both libraries, Rust, and Python with and without the library follow the client through
/// a rebind, a stop and a start.
#[test]
fn programs_follow_the_port() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let alice = world.client(&host, &[]);
    let first = alice.qualified().port;
    let start = |command: &mut Command| Dialogue::start(&host, &alice.socket, command);

    let mut programs: Vec<Dialogue> = compiled().iter_mut().map(start).collect();
    programs.push(start(&mut Command::new(example("follow"))));
    let [varlink, ctypes] = blocks("python").map(|text| {
        let mut python = tool("python3", "python3");
        start(python.args(["-c", &text]))
    });
    for program in programs.iter().chain([&ctypes]) {
        program.says(&format!("port {first}"));
    }
    varlink.says(&format!("initial {first}"));

    let second = ask(&host, &alice, &["rebind"]).port();
    for program in programs.iter().chain([&ctypes]) {
        program.says(&format!("port {second}"));
    }
    varlink.says(&format!("change {second}"));

    assert_eq!(ask(&host, &alice, &["stop"]).code, Some(0));
    for program in &programs {
        program.says("no port");
    }
    ctypes.says("port 0");
    varlink.says("delete 0");

    assert_eq!(ask(&host, &alice, &["start"]).code, Some(0));
    let third = ask(&host, &alice, &["port"]).port();
    for program in programs.iter().chain([&ctypes]) {
        program.says(&format!("port {third}"));
    }
    varlink.says(&format!("add {third}"));
}

/// Every line of the guide for the shell.
#[test]
fn lines_for_the_shell_do_what_they_say() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    let [_, _, _, lines, varlinkctl] = blocks::<5>("sh");
    let start = |line: &str| {
        let mut shell = Command::new("sh");
        Dialogue::start(&host, &alice.socket, shell.args(["-c", line]))
    };
    for line in lines.lines() {
        let said = start(line);
        let (command, _) = line.split_once('#').expect("each line says what it does");
        match command.trim() {
            "teredo port" | "teredo port --wait --timeout 30" => said.says(&port.to_string()),
            "teredo monitor --json --events port" => {
                let event: Value = serde_json::from_str(&said.next()).unwrap();
                assert_eq!(event["kind"], "current", "{event}");
                let second = ask(&host, &alice, &["rebind", "--port", "24545"]).port();
                let event: Value = serde_json::from_str(&said.next()).unwrap();
                assert_eq!(
                    (&event["kind"], &event["port"]),
                    (&json!("change"), &json!(second))
                );
                assert_eq!(
                    ask(&host, &alice, &["rebind", "--port", &port.to_string()]).port(),
                    port
                );
                continue;
            }
            "teredo explain 0xC00000A3" => {
                let text = said.next();
                assert!(text.contains("STATUS_DEVICE_NOT_READY"), "{text}");
            }
            other => panic!("nobody knows what `{other}` should do"),
        }
        assert!(said.end().success(), "{line}");
    }
    assert_eq!(ask(&host, &alice, &["stop"]).code, Some(0));
    assert_eq!(start("teredo port").end().code(), Some(3));
    assert_eq!(ask(&host, &alice, &["start"]).code, Some(0));

    // Debian 12 has no varlinkctl: the call is made as it makes it.
    let words: Vec<&str> = varlinkctl.split_whitespace().collect();
    let ["varlinkctl", "call", "--more", socket, method, parameters] = words[..] else {
        panic!("not such a call: {words:?}");
    };
    assert_eq!(socket, teredo_notify::DEFAULT_SOCKET);
    let parameters = parameters.trim_matches('\'');
    let mut stream = Varlink::call(
        &alice.socket,
        method,
        &serde_json::from_str(parameters).unwrap(),
    );
    assert_eq!(stream.next().unwrap()["kind"], "initial");
}

/// N-11: the whole client inside another program, between a NAT and a server: its callback hears the port, a
/// change, and the address works; at its end nothing is left.
#[test]
fn a_program_is_the_client_itself() {
    let (world, _server) = World::with_server();
    let here = world.left.host("embedded").unwrap();
    let bob_host = world.right.host("bob").unwrap();
    let bob = world.client(&bob_host, &[]);
    let bob_address = bob.address();
    let mut command = Command::new(example("embedded"));
    let mut program = Dialogue::start(&here, Path::new("/nonexistent"), command.arg("192.0.2.45"));

    // The callback has a thread of its own, so that either line may be the first.
    let mut lines = [program.next(), program.next()];
    lines.sort_unstable();
    let [address, port] = lines;
    let first = port_of(&port);
    let address = address.strip_prefix("address ").unwrap().parse().unwrap();
    let answers = ping(&here, bob_address, 3, SECOND * 5).unwrap();
    assert!(answers.are_all_in_order(3), "{answers:?}");
    let answers = ping(&bob_host, address, 3, SECOND * 5).unwrap();
    assert!(answers.are_all_in_order(3), "{answers:?}");
    assert!(is_bound(&here, first));

    let second = port_of(&program.ask("rebind"));
    assert_ne!(first, second);
    eventually(SECOND, "the new port in use and the old one free", || {
        is_bound(&here, second) && !is_bound(&here, first)
    });

    assert!(program.end().success());
    assert!(!is_bound(&here, second));
    assert_eq!(
        crate::shell::traces(&here),
        [const { Vec::<String>::new() }; 3]
    );
}

#[track_caller]
fn port_of(line: &str) -> u16 {
    let port = line
        .strip_prefix("port ")
        .and_then(|port| port.parse().ok());
    port.unwrap_or_else(|| panic!("not a port: {line}"))
}

/// Whether somebody on the host has the UDP port.
fn is_bound(host: &Host, port: u16) -> bool {
    host.udp_socket((std::net::Ipv4Addr::UNSPECIFIED, port))
        .is_err()
}
