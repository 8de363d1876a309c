//! The path in the kernel as an operator sees it: asked for, refused, in use, and why not.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use teredo_lab::{Host, NatKind, Process};
use teredo_notify::types::Carrier;

use crate::world::*;

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
        "CAP_BPF",
        "hint: it takes Linux 6.6, CAP_BPF and CAP_NET_ADMIN; with --data-path auto",
    ] {
        assert!(said.contains(words), "{said}");
    }
}

/// Arguments of a client or relay that is to have the path in the kernel.
fn wants_kernel<'a>(role: &'a str, socket: &'a Path) -> [&'a str; 7] {
    let (option, value) = match role {
        "client" => ("--server", "192.0.2.45"),
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
    for (role, host) in [("client", &alice), ("relay", &relay)] {
        let socket = world.path(&format!("{role}.sock"));
        let arguments = wants_kernel(role, &socket);
        assert_refused(&run(host, without_cap_bpf().args(arguments)));
        assert_refused(&run_without_bpf(host, teredo().args(arguments)));
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
        assert_eq!(path.reason.as_deref(), Some("data_path is user"));
        assert_eq!(path.packets.kernel, 0);
    }
}
