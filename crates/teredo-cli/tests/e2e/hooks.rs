//! `teredo hooks` and `teredo monitor --exec`: real programs, run for real changes.

use std::fs::{self, Permissions};
use std::net::Ipv6Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, test_kill_process};
use teredo_lab::{Host, Process};

use crate::shell::ask;
use crate::world::*;

/// Puts a program into the folder of hooks.
fn put(folder: &Path, name: &str, script: &str) {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
}

fn run_hooks(host: &Host, client: &Client, folder: &Path, more: &[&str]) -> Process {
    let mut command = teredo();
    // A relative path, which a program in another folder could not use.
    command
        .current_dir(client.socket.parent().unwrap())
        .args(["hooks", "--socket"])
        .arg(client.socket.file_name().unwrap())
        .arg("--dir")
        .arg(folder)
        .args(more);
    Process::spawn(host.namespace(), "hooks", &mut command).unwrap()
}

fn lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Waits until the file has this many lines.
#[track_caller]
fn wait_for(file: &Path, count: usize) -> Vec<String> {
    eventually(SECOND * 10, "a run of the hooks", || {
        lines(file).len() >= count
    });
    lines(file)
}

/// A script that writes one line with these variables.
fn writes(file: &Path, variables: &str) -> String {
    format!("echo \"{variables}\" >> {}", file.display())
}

/// N-11, N-13, N-15: each change is told once and in order, to each program in the order of their names, whether or not
/// the one before failed; a client that is killed is told as gone.
#[test]
fn each_change_is_told_once_and_in_order() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let mut alice = world.client(&host, &["--port", "40001"]);
    let address = alice.address();
    let (folder, log) = (world.path("hooks.d"), world.path("log"));
    let variables = "$TEREDO_EVENT $TEREDO_FIRST $TEREDO_OLD_PORT $TEREDO_PORT $TEREDO_STATE";
    put(
        &folder,
        "10-first",
        &writes(&log, &format!("a {variables}")),
    );
    put(&folder, "20-fails", "echo 'it goes wrong' >&2; exit 7");
    put(
        &folder,
        "30-last",
        &writes(&log, &format!("b {variables} $TEREDO_ADDRESS")),
    );
    put(
        &folder,
        "40-env",
        &"env > FILE.new; mv FILE.new FILE".replace("FILE", world.path("env").to_str().unwrap()),
    );
    let hooks = run_hooks(&host, &alice, &folder, &[]);

    let told = wait_for(&log, 4);
    assert_eq!(
        told,
        [
            String::from("a port 1 0 40001 qualified"),
            format!("b port 1 0 40001 qualified {address}"),
            String::from("a address 1 0 40001 qualified"),
            format!("b address 1 0 40001 qualified {address}"),
        ]
    );
    for line in [
        "hook=\"20-fails\"",
        "it goes wrong",
        "a program failed hook=\"20-fails\" code=7",
    ] {
        hooks.wait_for_line(line, SECOND).unwrap();
    }
    wait_for(&world.path("env"), 1);
    let environment = lines(&world.path("env"));
    let local = alice.status().local.unwrap().to_string();
    for variable in [
        "ROLE=client",
        "INTERFACE=teredo",
        "SERVER=192.0.2.45",
        &format!("LOCAL={local}"),
        &format!("SOCKET={}", alice.socket.display()),
    ] {
        let variable = format!("TEREDO_{variable}");
        assert!(
            environment.contains(&variable),
            "{variable}: {environment:?}"
        );
    }
    let is_known = |line: &&String| {
        [
            "TEREDO_",
            "PATH=",
            "HOME=",
            "LANG=",
            "TZ=",
            "PWD=",
            "_=",
            "SHLVL=",
            "OLDPWD=",
            "RUNTIME_DIRECTORY=",
        ]
        .iter()
        .any(|known| line.starts_with(known))
    };
    let unknown: Vec<_> = environment.iter().filter(|line| !is_known(line)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");

    for (before, port) in [(40001, 40002), (40002, 40003)] {
        fs::write(&log, "").unwrap();
        ask(&host, &alice, &["rebind", "--port", &port.to_string()]).port();
        let address = alice
            .until(SECOND * 5, "an address at the new port", |status| {
                status.mapped.is_some_and(|mapped| mapped.port() == port)
                    && status.address.is_some()
            })
            .address
            .unwrap();
        eventually(SECOND * 5, "the new address told", || {
            lines(&log)
                .iter()
                .any(|line| line.ends_with(&format!(" qualified {address}")))
        });
        // The programs may not have been told of the address of the step before when this one begins.
        let mut told = lines(&log);
        told.retain(|line| line.contains(&format!(" {before} {port} ")));
        let step = format!(" port 0 {before} {port} ");
        let ports = told.iter().filter(|line| line.contains(&step)).count();
        assert_eq!(ports, 2, "told once to each of two programs: {told:?}");
        assert!(
            told[0].starts_with(&format!("a port 0 {before} {port} ")),
            "{told:?}"
        );
    }

    // The end without a word.
    fs::write(&log, "").unwrap();
    alice.process.kill().unwrap();
    let told = wait_for(&log, 4);
    assert_eq!(
        told,
        [
            "a port 0 40003 0 offline",
            "b port 0 40003 0 offline ",
            "a address 0 40003 0 offline",
            "b address 0 40003 0 offline ",
        ]
    );
    fs::write(&log, "").unwrap();
    alice.restart(&host, &["--server", "192.0.2.45", "--port", "40004"]);
    alice.qualified();
    let told = wait_for(&log, 4);
    assert!(told[0].starts_with("a port 0 0 40004 "), "{told:?}");
    hooks.terminate(SECOND * 2).unwrap();
}

/// A program that is slow holds up neither the port nor the data path, and learns the newest state next.
#[test]
fn a_slow_program_holds_nothing_up() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let alice = world.client(&host, &["--port", "40001"]);
    alice.qualified();
    let (folder, log, go) = (world.path("hooks.d"), world.path("log"), world.path("go"));
    let script = format!(
        "{}; until [ -e {} ]; do sleep 0.01; done",
        writes(&log, "$TEREDO_OLD_PORT $TEREDO_PORT"),
        go.display()
    );
    put(&folder, "slow", &script);
    let _hooks = run_hooks(&host, &alice, &folder, &["--events", "port"]);
    assert_eq!(wait_for(&log, 1), ["0 40001"]);
    for port in 40002..40012_u16 {
        assert_eq!(
            ask(&host, &alice, &["rebind", "--port", &port.to_string()]).port(),
            port
        );
    }
    alice.until(SECOND * 5, "a client that works meanwhile", |status| {
        status.address.is_some() && status.port == 40011
    });
    assert_eq!(lines(&log).len(), 1, "two runs at once");
    fs::write(&go, "").unwrap();
    assert_eq!(wait_for(&log, 2), ["0 40001", "40001 40011"]);
    // The next event shows that there was no other run.
    ask(&host, &alice, &["rebind", "--port", "40012"]).port();
    assert_eq!(wait_for(&log, 3)[2], "40011 40012");
}

fn is_alive(pid: &str) -> bool {
    let pid = pid.parse().ok().and_then(Pid::from_raw).unwrap();
    test_kill_process(pid).is_ok()
}

/// A program that hangs is ended with its children, and the next one runs.
#[test]
fn a_program_that_hangs_is_ended() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let alice = world.client(&host, &[]);
    alice.qualified();
    let (folder, pids, log) = (world.path("hooks.d"), world.path("pids"), world.path("log"));
    let hang = "trap '' TERM; echo $$ >> PIDS; setsid sh -c 'trap \"\" TERM; echo $$ >> PIDS; \
        while :; do sleep 1000; done' & while :; do sleep 1000; done";
    put(
        &folder,
        "10-hang",
        &hang.replace("PIDS", pids.to_str().unwrap()),
    );
    put(&folder, "20-next", &writes(&log, "$TEREDO_PORT"));
    let hooks = run_hooks(
        &host,
        &alice,
        &folder,
        &["--events", "port", "--timeout", "0.5"],
    );
    wait_for(&log, 1);
    hooks
        .wait_for_line("a program ran too long", SECOND)
        .unwrap();
    let ended = lines(&pids);
    assert_eq!(ended.len(), 2, "{ended:?}");
    for pid in &ended {
        assert!(!is_alive(pid), "{pid} is left");
    }
    // Asked to end in the midst of a run, it ends that, too; a terminal that is closed asks by SIGHUP.
    fs::write(&pids, "").unwrap();
    ask(&host, &alice, &["rebind"]).port();
    wait_for(&pids, 2);
    hooks.signal(Signal::HUP).unwrap();
    assert!(hooks.wait(SECOND * 5).unwrap().success());
    for pid in &lines(&pids) {
        assert!(!is_alive(pid), "{pid} is left");
    }
}

/// A folder that others can write to is refused with the reason, at the start and later.
#[test]
fn a_folder_of_others_is_refused() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let alice = world.client(&host, &[]);
    alice.qualified();
    let (folder, log) = (world.path("hooks.d"), world.path("log"));
    put(&folder, "10-log", &writes(&log, "$TEREDO_PORT"));
    put(&folder, "20-open", &writes(&log, "never"));
    fs::set_permissions(folder.join("20-open"), Permissions::from_mode(0o777)).unwrap();
    let open = |mode| fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();

    open(0o777);
    let socket = alice.socket.to_str().unwrap();
    let refused = run(
        &host,
        teredo()
            .args(["--socket", socket, "hooks", "--dir"])
            .arg(&folder),
    );
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("others than its owner can write to")
            && said.contains("chmod go-w")
            && said.contains("hint: "),
        "{said}"
    );

    open(0o755);
    let hooks = run_hooks(&host, &alice, &folder, &["--events", "port"]);
    hooks.wait_for_line("name=\"20-open\"", SECOND).unwrap();
    wait_for(&log, 1);
    open(0o757);
    ask(&host, &alice, &["rebind"]).port();
    hooks
        .wait_for_line("no program is run", SECOND * 5)
        .unwrap();
    open(0o755);
    let port = ask(&host, &alice, &["rebind"]).port();
    assert_eq!(wait_for(&log, 2)[1], port.to_string());
}

/// `teredo monitor --exec`: one run for each event, in the caller's environment, while it keeps printing.
#[test]
fn a_monitor_runs_a_command_for_each_event() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let alice = world.client(&host, &["--port", "40001"]);
    alice.qualified();
    let (log, go) = (world.path("log"), world.path("go"));
    let command = format!(
        "{}; until [ -e {} ]; do sleep 0.01; done",
        writes(&log, "$TEREDO_EVENT $TEREDO_OLD_PORT $TEREDO_PORT $MINE"),
        go.display()
    );
    let socket = alice.socket.to_str().unwrap();
    let arguments = [
        "monitor", "--socket", socket, "--events", "port", "--count", "4", "--exec",
    ];
    let mut program = teredo();
    program.args(arguments).arg(&command).env("MINE", "here");
    let monitor = Process::spawn(host.namespace(), "monitor", &mut program).unwrap();
    assert_eq!(wait_for(&log, 1), ["port 0 40001 here"]);
    for port in ["40002", "40003"] {
        ask(&host, &alice, &["rebind", "--port", port]).port();
        // It prints while the command runs.
        monitor
            .wait_for_line(&format!("change port={port}"), SECOND)
            .unwrap();
    }
    assert_eq!(lines(&log).len(), 1);
    fs::write(&go, "").unwrap();
    assert_eq!(
        wait_for(&log, 3)[1..],
        ["port 40001 40002 here", "port 40002 40003 here"]
    );
    assert_eq!(ask(&host, &alice, &["stop"]).code, Some(0));
    assert!(monitor.wait(SECOND * 5).unwrap().success());
    assert_eq!(lines(&log).last().unwrap(), "port 40003 0 here");
}

/// The example of the documentation keeps a name in a real name server: by nsupdate, with a key.
#[test]
fn the_example_keeps_a_name_in_the_dns() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let alice = world.client(&host, &[]);
    let address = alice.address();
    let dns = Named::start(&world, &host);

    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../site/examples/dynamic-dns.sh");
    let script = fs::read_to_string(example).unwrap();
    let (folder, keys) = (world.path("hooks.d"), world.path("credentials"));
    fs::create_dir_all(&keys).unwrap();
    fs::copy(dns.folder.join("key"), keys.join("dynamic-dns.key")).unwrap();
    put(
        &folder,
        "dynamic-dns",
        script.trim_start_matches("#!/bin/sh\n"),
    );
    let mut program = teredo();
    let (socket, hooks_d) = (alice.socket.to_str().unwrap(), folder.to_str().unwrap());
    program
        .args(["hooks", "--socket", socket, "--dir", hooks_d])
        .env("CREDENTIALS_DIRECTORY", &keys);
    let hooks = Process::spawn(host.namespace(), "hooks", &mut program).unwrap();
    let holds = |wanted: Option<Ipv6Addr>| {
        eventually(SECOND * 10, "the address in the DNS", || {
            dns.address(&host) == wanted
        });
    };
    holds(Some(address));
    ask(&host, &alice, &["rebind"]).port();
    let moved = alice.until(SECOND * 5, "another address", |status| {
        status.address.is_some_and(|now| now != address)
    });
    holds(moved.address);
    assert_eq!(ask(&host, &alice, &["stop"]).code, Some(0));
    holds(None);
    let faults: Vec<_> = hooks
        .lines()
        .into_iter()
        .filter(|line| line.contains("WARN"))
        .collect();
    assert!(faults.is_empty(), "{faults:?}");
    let check = run(
        &host,
        std::process::Command::new("shellcheck").arg(folder.join("dynamic-dns")),
    );
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stdout)
    );
}

/// BIND, with a zone that a key may change, on the loopback of a host.
struct Named {
    folder: PathBuf,
    _process: Process,
}

impl Named {
    fn start(world: &World, host: &Host) -> Self {
        let folder = world.path("named");
        fs::create_dir_all(&folder).unwrap();
        let key = run(
            host,
            std::process::Command::new("tsig-keygen").arg("teredo"),
        );
        assert!(key.status.success(), "{key:?}");
        fs::write(folder.join("key"), &key.stdout).unwrap();
        let zone = "$TTL 60\n@ SOA ns.example.net. root.example.net. 1 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n";
        fs::write(folder.join("zone"), zone).unwrap();
        let place = folder.display();
        let settings = format!(
            "include \"{place}/key\";
            options {{ directory \"{place}\"; listen-on port 53 {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
                pid-file none; session-keyfile none; recursion no; dnssec-validation no; }};
            controls {{ }};
            zone \"example.net\" {{ type primary; file \"{place}/zone\";
                update-policy {{ grant teredo name alice.example.net AAAA; }}; }};"
        );
        let file = folder.join("named.conf");
        fs::write(&file, settings).unwrap();
        let mut named = std::process::Command::new("named");
        named.args(["-g", "-4", "-n", "1", "-c"]).arg(&file);
        let process = Process::spawn(host.namespace(), "named", &mut named);
        let process = process.unwrap_or_else(|error| panic!("{error} (package bind9)"));
        process.wait_for_line("running", SECOND * 10).unwrap();
        Self {
            folder,
            _process: process,
        }
    }

    /// The address of the name, by dig.
    fn address(&self, host: &Host) -> Option<Ipv6Addr> {
        let mut dig = std::process::Command::new("dig");
        dig.args([
            "+short",
            "+time=1",
            "@127.0.0.1",
            "alice.example.net",
            "AAAA",
        ]);
        let output = run(host, &mut dig);
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    }
}

/// A log with `--log-addresses off` has no address of anybody, and tells them apart. Of what repeats, there is one line.
#[test]
fn a_log_hides_addresses_and_does_not_repeat_itself() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let alice = world.client(&host, &["--log-addresses", "off"]);
    let status = alice.qualified();
    let line = alice
        .process
        .wait_for_line("Teredo address up", SECOND)
        .unwrap();
    assert_eq!(line.matches("addr-").count(), 3, "{line}");
    let name = line.split("server=").nth(1).unwrap().to_owned();
    for _ in 0..3 {
        ask(&host, &alice, &["stop"]);
        ask(&host, &alice, &["start"]);
        alice.qualified();
    }
    let log = alice.process.lines();
    for hidden in [
        status.address.unwrap().to_string(),
        status.mapped.unwrap().ip().to_string(),
        String::from("192.0.2.45"),
    ] {
        assert!(
            !log.iter().any(|line| line.contains(&hidden)),
            "{hidden}: {log:#?}"
        );
    }
    assert!(
        status.server.unwrap().contains("192.0.2.45"),
        "the status shows it"
    );
    let up = log.iter().filter(|line| line.contains("Teredo address up"));
    assert!(up.clone().all(|line| line.contains(&name)), "{log:#?}");
    let stopped = log
        .iter()
        .filter(|line| line.contains(" state ") && line.contains("stopped"));
    assert_eq!(stopped.count(), 1, "{log:#?}");
    alice.process.signal(Signal::TERM).unwrap();
    let last = alice
        .process
        .wait_for_line("left out: ", SECOND * 5)
        .unwrap();
    assert!(last.contains("more like this"), "{last}");
}
