//! The path in the kernel as an operator sees it: asked for, refused, in use, and why not.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use serde_json::Value;
use teredo_lab::{Host, NatKind, Process};
use teredo_notify::types::{Carrier, Status};

use crate::world::*;

/// The reason of a daemon that is not to have the kernel.
const BY_SETTING: &str = "data_path is user";

/// The program as root with CAP_NET_ADMIN alone: the privilege counts, not the user.
fn without_cap_bpf() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all,+net_admin", "--inh-caps=-all", "--"]);
    command.args([env!("CARGO_BIN_EXE_teredo"), "--config", "/dev/null"]);
    command.env_remove("TEREDO_DATA_PATH");
    command
}

/// Runs a program on `host` to its end. The kernel answers its calls of bpf(2) with EPERM.
fn run_without_bpf(host: &Host, command: &mut Command) -> Output {
    let filter = SeccompFilter::new(
        BTreeMap::from([(libc::SYS_bpf, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let filter: BpfProgram = filter.unwrap().try_into().unwrap();
    command.stdin(Stdio::null());
    // The filter is that of the thread in the namespace, and of its children.
    let ended = host.namespace().run(|| {
        seccompiler::apply_filter(&filter).unwrap();
        command.output().unwrap()
    });
    ended.unwrap()
}

#[track_caller]
fn assert_refused(ended: &Output) {
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    for words in [
        "teredo: cannot have the path in the kernel: ",
        "\nhint: with --data-path auto, user space ",
    ] {
        assert!(said.contains(words), "{said}");
    }
    // Once is enough.
    assert_eq!(said.matches("CAP_BPF").count(), 1, "{said}");
}

/// Arguments of a client or relay that is to have the path in the kernel.
fn wants_kernel<'a>(role: &'a str, socket: &'a Path) -> [&'a str; 7] {
    let (option, value) = match role {
        "client" => ("--server", "192.0.2.45"),
        "server" => ("--address", "192.0.2.45"),
        _ => ("--address", "192.0.2.99"),
    };
    let socket = socket.to_str().unwrap();
    [
        role,
        option,
        value,
        "--socket",
        socket,
        "--data-path",
        "kernel",
    ]
}

/// `--data-path kernel` without CAP_BPF, and in a sandbox that permits no BPF: the node ends with 1 and the reason.
#[test]
fn without_bpf_a_node_that_must_have_the_kernel_ends() {
    let world = World::dual_stack(NatKind::None);
    let relay = world.relay_host([192, 0, 2, 99].into());
    let alice = world.left.host("alice").unwrap();
    for (role, host) in [
        ("client", &alice),
        ("relay", &relay),
        ("server", &world.server),
    ] {
        let socket = world.path(&format!("{role}.sock"));
        let arguments = wants_kernel(role, &socket);
        assert_refused(&run(host, without_cap_bpf().args(arguments)));
        assert_refused(&run_without_bpf(host, teredo().args(arguments)));
    }
}

/// CAP_BPF and CAP_NET_ADMIN suffice to load the programs, as the units have them: no CAP_PERFMON and no root.
#[test]
fn the_capabilities_of_the_units_suffice() {
    let world = World::dual_stack(NatKind::None);
    let relay = world.relay_host([192, 0, 2, 99].into());
    let alice = world.left.host("alice").unwrap();
    for (role, host, words) in [
        ("server", &world.server, "serving on"),
        ("relay", &relay, "relaying"),
        ("client", &alice, "state=probe"),
    ] {
        let socket = world.path(&format!("{role}.sock"));
        let mut command = Command::new("setpriv");
        command.args([
            "--bounding-set=-all,+net_admin,+bpf,+net_raw",
            "--inh-caps=-all",
        ]);
        command.args(["--", env!("CARGO_BIN_EXE_teredo"), "--config", "/dev/null"]);
        command.args(wants_kernel(role, &socket));
        let process = Process::spawn(host.namespace(), role, &mut command).unwrap();
        process.wait_for_line(words, SECOND * 5).unwrap();
    }
}

/// With `auto`, the same client works in user space, and its status says why.
#[test]
fn without_bpf_user_space_does_the_work() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let socket = world.path("alice.sock");
    let mut command = without_cap_bpf();
    command.args(["client", "--server", "192.0.2.45", "--socket"]);
    command.arg(&socket);
    let process = Process::spawn(host.namespace(), "client", &mut command).unwrap();
    let client = Client { process, socket };
    let path = client.qualified().data_path;
    assert_eq!(path.in_use, Carrier::User);
    let reason = path.reason.unwrap();
    assert!(reason.contains("CAP_BPF"), "{reason}");
    assert!(path.since.is_some());
    let text = run(
        &host,
        teredo().args(["status", "--socket"]).arg(&client.socket),
    );
    let text = String::from_utf8(text.stdout).unwrap();
    let line = format!("   Data path: user space: {reason}\n");
    assert!(text.contains(&line), "{text}");
}

/// The other end of a server's virtual link is an ordinary router, so the requests have half checksums. All are answered, and the
/// status says by whom and why.
#[test]
fn a_server_on_a_virtual_link_says_why_user_space_answers() {
    let world = World::dual_stack(NatKind::None);
    let socket = world.path("server.sock");
    let mut command = teredo();
    command.args(["server", "--data-path", "auto", "--address", "192.0.2.45"]);
    command.arg("--socket").arg(&socket);
    let server = Process::spawn(world.server.namespace(), "server", &mut command).unwrap();
    server.wait_for_line("serving on", SECOND * 5).unwrap();
    let hosts = ["alice", "amy"].map(|name| world.left.host(name).unwrap());
    let _clients = hosts.each_ref().map(|host| {
        let client = world.client(host, &[]);
        client.qualified();
        client
    });
    let printed = |arguments: &[&str]| {
        let mut teredo = teredo();
        teredo.arg("status").args(arguments);
        teredo.arg("--socket").arg(&socket);
        String::from_utf8(run(&world.server, &mut teredo).stdout).unwrap()
    };
    let words =
        "solicitations arrive with unfinished checksums, as a virtual link (veth) hands them on";
    let text = printed(&[]);
    let line = format!("Data path: user space: {words}");
    assert!(text.contains(&line), "{text}");
    let status: Value = serde_json::from_str(&printed(&["--json"])).unwrap();
    let path = &status["data_path"];
    assert_eq!(path["in_use"], "user", "{path}");
    assert!(
        path["reason"].as_str().unwrap().starts_with(words),
        "{path}"
    );
    assert_eq!(path["packets"]["kernel"], 0, "{path}");
    assert!(path["packets"]["user"].as_u64().unwrap() >= 4, "{path}");
}

/// The option, the environment and the file each choose user space.
#[test]
fn user_space_is_chosen_in_three_ways() {
    let (world, _server) = World::with_server();
    let hosts = ["alice", "amy", "anna"].map(|name| world.left.host(name).unwrap());
    let file = world.path("client.toml");
    std::fs::write(&file, "[client]\ndata_path = \"user\"\n").unwrap();
    let mut commands = [
        teredo(),
        teredo(),
        Command::new(env!("CARGO_BIN_EXE_teredo")),
    ];
    commands[0].args(["client", "--data-path", "user"]);
    commands[1].arg("client").env("TEREDO_DATA_PATH", "user");
    commands[2].args(["client", "--config"]).arg(&file);
    commands[2].env_remove("TEREDO_DATA_PATH");
    for (host, command) in hosts.iter().zip(&mut commands) {
        let socket = world.path(&format!("{}.sock", host.name()));
        command.args(["--server", "192.0.2.45", "--socket"]);
        command.arg(&socket);
        let process = Process::spawn(host.namespace(), "client", command).unwrap();
        let client = Client { process, socket };
        let path = client.qualified().data_path;
        assert_eq!(path.in_use, Carrier::User);
        assert_eq!(path.reason.as_deref(), Some(BY_SETTING));
        assert_eq!(path.packets.kernel, 0);
    }
}

/// The path is loaded before the privileges are given up, so a reload turns it off, and only a restart turns it on.
#[test]
fn a_reload_turns_the_kernel_off_and_only_a_restart_on() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let (file, socket) = (world.path("client.toml"), world.path("alice.sock"));
    let choose = |choice: &str| {
        let settings = format!("[client]\nservers = [\"192.0.2.45\"]\ndata_path = \"{choice}\"\n");
        std::fs::write(&file, settings).unwrap();
    };
    choose("kernel");
    let mut command = Command::new(env!("CARGO_BIN_EXE_teredo"));
    command.arg("--config").arg(&file).arg("--socket");
    command.arg(&socket).arg("client");
    command.env_remove("TEREDO_DATA_PATH");
    let process = Process::spawn(host.namespace(), "client", &mut command).unwrap();
    let client = Client { process, socket };
    let before = client.qualified();
    let reason = |status: &Status| status.data_path.reason.clone();
    assert_ne!(reason(&before).as_deref(), Some(BY_SETTING));
    for (choice, words) in [
        ("user", "settings reloaded"),
        ("auto", "'data_path' takes effect at a restart"),
        ("kernel", "'data_path' takes effect at a restart"),
    ] {
        let mark = client.process.mark();
        choose(choice);
        client.process.signal(Signal::HUP).unwrap();
        let said = client.process.wait_for_line_after(mark, words, SECOND * 5);
        said.unwrap();
        client.until(SECOND * 5, "user space", |status| {
            status.address == before.address && reason(status).as_deref() == Some(BY_SETTING)
        });
    }
}

/// Sends pings until the kernel carries packets of both ends, and says so.
#[track_caller]
fn assert_the_kernel_carries(from: &Host, to: Ipv6Addr, ends: &[&Client]) {
    let carried = |client: &Client| {
        let path = client.status().data_path;
        path.in_use == Carrier::Kernel && path.reason.is_none() && path.packets.kernel > 0
    };
    eventually(SECOND * 10, "packets in the kernel", || {
        let replies = teredo_lab::ping(from, to, 20, SECOND * 5).unwrap();
        assert!(replies.are_all_in_order(20), "{replies:?}");
        ends.iter().all(|client| carried(client))
    });
}

/// Two clients that know each other: the kernel carries their packets, and status, doctor and metrics say so.
#[test]
fn two_clients_meet_in_the_kernel() {
    let (world, _server) = World::with_server();
    let hosts = [(&world.left, "alice"), (&world.right, "bob")];
    let [alice_host, bob_host] = hosts.map(|(home, name)| home.host(name).unwrap());
    let kernel = ["--data-path", "kernel"];
    let [alice, bob] = [&alice_host, &bob_host].map(|host| world.client(host, &kernel));
    let to = bob.address();
    alice.qualified();
    assert_the_kernel_carries(&alice_host, to, &[&alice, &bob]);
    assert_eq!(alice.status().peers.trusted, 1);

    let printed = |command: &[&str]| {
        let mut teredo = teredo();
        teredo.arg("--socket").arg(&alice.socket).args(command);
        String::from_utf8(run(&alice_host, &mut teredo).stdout).unwrap()
    };
    let text = printed(&["status"]);
    assert!(text.contains("\n   Data path: kernel for "), "{text}");
    let metrics = printed(&["metrics"]);
    let sample = "\nteredo_data_path_in_use{path=\"kernel\"} 1\n";
    assert!(metrics.contains(sample), "{metrics}");
    let checks: Value = serde_json::from_str(&printed(&["doctor", "--json"])).unwrap();
    let checks = checks["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["id"] == "path.kernel");
    let check = check.unwrap();
    assert_eq!(check["result"], "ok", "{check}");
    let what = check["what"].as_str().unwrap();
    assert!(what.starts_with("the kernel carries"), "{check}");
}

/// A change of the path leaves one line in the log, and a change of the port none.
#[test]
fn the_log_says_who_carries_the_packets() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &["--data-path", "kernel"]);
    client.qualified();
    let log = &client.process;
    let line = "the kernel carries the packets of known peers";
    log.wait_for_line(line, SECOND * 5).unwrap();
    let mut rebind = teredo();
    rebind.arg("rebind").arg("--socket").arg(&client.socket);
    assert!(run(&host, &mut rebind).status.success());
    client.until(SECOND * 5, "the kernel", |status| {
        status.data_path.in_use == Carrier::Kernel
    });
    let nft = |line: &str| {
        let ended = run(&host, Command::new("nft").arg(line));
        assert!(ended.status.success(), "{line}: {ended:?}");
    };
    let of_carriers = || {
        let mut lines = log.lines();
        lines.retain(|line| line.contains("the packets of known peers"));
        lines
    };
    assert_eq!(of_carriers().len(), 1, "{:?}", of_carriers());
    nft("add table inet t ; add chain inet t way { type filter hook input priority 0 ; }");
    nft("add rule inet t way meta length 9 drop");
    let line = "user space carries the packets of known peers";
    let said = log.wait_for_line(line, SECOND * 5).unwrap();
    let reason =
        "the rule with handle 2 in the chain 'inet t way' judges single packets (meta length)";
    assert!(said.contains(reason), "{said}");
    nft("delete table inet t");
    let line = "the kernel carries the packets of known peers again";
    let said = log.wait_for_line(line, SECOND * 5).unwrap();
    assert!(said.contains(reason), "{said}");
    assert_eq!(of_carriers().len(), 3, "{:?}", of_carriers());
}

/// A client and a native host, through a relay: the kernel carries at both.
#[test]
fn a_client_and_a_relay_carry_in_the_kernel() {
    let world = World::dual_stack(NatKind::PortRestricted);
    let _server = world.serve();
    let native_address: Ipv6Addr = "2001:db8:6::1".parse().unwrap();
    let _native = world.native(native_address);
    let relay_host = world.relay_host([192, 0, 2, 99].into());
    let kernel = ["--data-path", "kernel"];
    let relay = world.relay(&relay_host, &kernel);
    let alice_host = world.left.host("alice").unwrap();
    let alice = world.client(&alice_host, &kernel);
    alice.qualified();
    assert_the_kernel_carries(&alice_host, native_address, &[&alice, &relay]);
}
