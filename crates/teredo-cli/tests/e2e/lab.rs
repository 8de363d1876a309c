//! `teredo lab`: it tells its story behind every NAT, to any user, and leaves nothing behind.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use teredo_lab::NatKind;

use crate::world::*;

mod anycast;
mod fleet;

/// A lab that takes longer hangs: by itself, it takes 6 s, and 14 s if its clients have to find out that there is no path.
const IN_TIME: Duration = Duration::from_secs(60);

/// Becomes the user `nobody`, in a mount namespace where `/dev/net/tun` is a node with the mode `$0`.
const AS_NOBODY: &str = "mount -t tmpfs tmpfs /dev/net \
    && mknod -m $0 /dev/net/tun c 10 200 \
    && exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"";

#[test]
fn the_story_behind_no_nat() {
    tells_its_story(NatKind::None);
}

#[test]
fn the_story_behind_a_cone_nat() {
    tells_its_story(NatKind::Cone);
}

#[test]
fn the_story_behind_a_restricted_nat() {
    tells_its_story(NatKind::Restricted);
}

#[test]
fn the_story_behind_a_port_restricted_nat() {
    tells_its_story(NatKind::PortRestricted);
}

#[test]
fn the_story_behind_a_symmetric_nat() {
    tells_its_story(NatKind::Symmetric);
}

/// A router with miniupnpd.
#[test]
fn the_story_behind_an_internet_gateway_device() {
    tells_its_story(NatKind::Igd);
}

/// A symmetric NAT in user space, whose mapping miniupnpd opens (RFC 6081 §3.2).
#[test]
fn the_story_behind_a_symmetric_gateway_device() {
    tells_its_story(NatKind::IgdSymmetric);
}

/// Two NATs in a row.
#[test]
fn the_story_behind_a_carriers_nat() {
    tells_its_story(NatKind::Carrier);
}

#[test]
fn the_story_behind_a_nat_that_hairpins() {
    tells_its_story(NatKind::Hairpin);
}

/// Properties of RFC 4787 by their names.
#[test]
fn the_story_behind_any_properties() {
    let stage = Stage::new();
    let nat = "endpoint-independent-mapping,address-dependent-filtering,sequential-ports";
    let steps = stage.assert_told(&stage.as_root(), &["--nat", nat]);
    assert_eq!(steps[0]["facts"]["nat"], nat);
    assert_eq!(steps.len(), 13);
}

/// Each cell that connects in the matrix connects on real packets, and the lab says so if one does not.
#[test]
fn pairs_connect_as_the_matrix_says() {
    let matrix: Value =
        serde_json::from_str(include_str!("../../../../docs/nat-matrix.json")).unwrap();
    let cells = matrix["cells"].as_array().unwrap();
    for (nat, peer) in [
        ("restricted", "symmetric-sequential"),
        ("cone", "symmetric-preserving"),
        ("address-symmetric", "cone"),
        ("port-restricted", "symmetric-preserving"),
        ("symmetric-sequential", "cone"),
        ("symmetric-preserving", "restricted"),
        ("symmetric", "port-restricted"),
        ("igd-symmetric", "igd-symmetric"),
    ] {
        let cell = cells.iter().find(|cell| {
            let loss = cell["loss"].as_f64().unwrap();
            (&cell["from"], &cell["to"]) == (&nat.into(), &peer.into())
                && cell["mode"] == "rfc6081"
                && loss == 0.0
        });
        let cell = cell.unwrap_or_else(|| panic!("no cell {nat} to {peer}"));
        let stage = Stage::new();
        let nats = ["--nat", nat, "--peer-nat", peer];
        let (steps, verdict) = stage.told(&stage.as_root(), &nats);
        let ping = steps.iter().find(|step| step["title"] == "ping").unwrap();
        let connected = ping["facts"]["answered"] == 5;
        let path = match cell["connected"] == cell["seeds"] {
            true => "direct",
            false => "none",
        };
        assert_eq!(connected, path == "direct", "{nat} to {peer}: {ping}");
        assert_eq!(
            (&verdict["path"], &verdict["expected_path"]),
            (&path.into(), &path.into()),
            "{nat} to {peer}: {verdict}"
        );
    }
}

/// The picture has all nodes and NATs, names each datagram, and crosses out those that a NAT dropped, with the reason.
#[test]
fn the_exchange_is_drawn() {
    let stage = Stage::new();
    let path = stage.folder.path().join("exchange.svg");
    let diagram = path.to_str().unwrap();
    let nats = [
        "--nat",
        "carrier",
        "--peer-nat",
        "port-restricted",
        "--diagram",
        diagram,
    ];
    let output = stage.run(&stage.as_root(), &[&["lab", "--json"][..], &nats].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let verdict: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(verdict["diagram"], diagram);
    let picture = fs::read_to_string(&path).unwrap();
    for word in [
        "alice",
        "bob",
        "server",
        "carrier NAT",
        "port-restricted NAT",
        ">100.64.1.2<",
        "198.51.100.",
        "203.0.113.1",
        "solicitation",
        "advertisement: you are",
        "indirect bubble",
        "class=\"cross\"",
    ] {
        assert!(picture.contains(word), "{word}: {picture}");
    }
    // Although alice changes her port twice, and bob has a random one.
    for name in ["alice", "bob", "server", "carrier NAT"] {
        let heads = picture.matches(&format!(">{name}</text>")).count();
        assert_eq!(heads, 1, "{name}");
    }
}

/// R6081-5.3.3-02: with a router that gives ports, the picture shows the request. Its socket speaks first, and the head has
/// the service port.
#[test]
fn the_request_for_a_port_is_drawn() {
    let stage = Stage::new();
    let path = stage.folder.path().join("exchange.svg");
    let diagram = path.to_str().unwrap();
    let arguments = ["lab", "--json", "--nat", "igd", "--diagram", diagram];
    let output = stage.run(&stage.as_root(), &arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let picture = fs::read_to_string(&path).unwrap();
    let (_, request) = picture.split_once(">PCP: open a port for ").expect(&text);
    let (port, _) = request.split_once('<').unwrap();
    let (_, head) = picture
        .split_once(">alice</text>\n<text class=\"address\"")
        .expect("alice's head");
    let (head, _) = head.split_once("<path").unwrap();
    assert!(head.contains(&format!(">port {port}<")), "{port}: {head}");
    assert!(picture.contains(&format!(":{port} is open to all<")));
}

#[track_caller]
fn tells_its_story(nat: NatKind) {
    let stage = Stage::new();
    let steps = stage.assert_told(&stage.as_root(), &["--nat", nat.name()]);
    assert_eq!(steps[0]["facts"]["nat"], nat.name());
    assert_eq!(steps.len(), 13);
}

/// R6081-3-01: two NATs without a path between them. The lab goes on without the steps that need one.
#[test]
fn the_story_without_a_path() {
    tells_of_no_path("symmetric", "address-symmetric");
}

/// R4380-5.2.4-11: alice hears bob, and bob does not hear alice.
#[test]
fn the_story_of_a_path_in_one_direction() {
    let unfiltered = "address-dependent-mapping,endpoint-independent-filtering,random-ports";
    tells_of_no_path(unfiltered, "port-restricted");
}

/// RFC 4787 §4.2.1: a port that hosts share is not open to all, so bob's bubble does not come in, and the lab does not
/// blame the client.
#[test]
fn the_story_of_a_shared_port() {
    let shared =
        "address-and-port-dependent-mapping,endpoint-independent-filtering,port-overloading";
    tells_of_no_path(shared, "symmetric");
}

/// R4380-5.2.1-11: by RFC 4380 alone, alice has no address, and the lab goes on without one.
#[test]
fn the_story_by_rfc_4380_alone() {
    let stage = Stage::new();
    let nats = ["--nat", "symmetric", "--peer-nat", "cone"];
    let old = [&nats[..], &["--nat-traversal", "rfc4380"]].concat();
    let (steps, verdict) = stage.told(&stage.as_root(), &old);
    let none = Value::from("none");
    assert_eq!(
        [&verdict["path"], &verdict["expected_path"]],
        [&none, &none]
    );
    assert_eq!(steps.len(), 10);
}

/// The shell runs on alice's host, whose rules let `teredo probe` through. It shows that probe has seen both addresses of
/// the server, and that status says who is reached.
#[test]
fn the_shell_can_probe() {
    let text = shown_by_the_shell("rfc6081");
    for words in [
        "nat.symmetric",
        "Reached: peers without a NAT or behind cone, restricted, igd;",
        "Not reached: peers behind symmetric,",
        r#""nat_traversal":"rfc6081""#,
        r#""port-restricted":"perhaps""#,
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

/// R4380-5.2.1-11: a client without an address has seen how its NAT behaves, and says that nobody is reached.
#[test]
fn the_shell_shows_a_client_without_an_address() {
    let text = shown_by_the_shell("rfc4380");
    for words in [
        r#""mapping":"address-and-port-dependent","port_assignment":"other""#,
        "Not reached: nobody:",
        r#""cone":"no""#,
        r#""native":"no""#,
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

/// The output of a shell at the end of the lab, with a symmetric NAT in front of alice.
#[track_caller]
fn shown_by_the_shell(way: &str) -> String {
    let stage = Stage::new();
    let shell = stage.folder.path().join("shell");
    let script = "#!/bin/sh\nteredo probe 192.0.2.45\nteredo status\nteredo status --json\n";
    fs::write(&shell, script).unwrap();
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).unwrap();
    let nat = [
        "lab",
        "--nat",
        "symmetric",
        "--nat-traversal",
        way,
        "--shell",
    ];
    let mut lab = stage.command(&stage.as_root(), &nat);
    let output = lab.env("SHELL", &shell).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // The step that failed, before all others.
    let failed = text.find("FAIL").map_or("", |start| &text[start..]);
    assert_eq!(output.status.code(), Some(0), "{failed}\n{text}");
    stage.assert_swept();
    text
}

#[track_caller]
fn tells_of_no_path(nat: &str, peer: &str) {
    let stage = Stage::new();
    let nats = ["--nat", nat, "--peer-nat", peer];
    let steps = stage.assert_told(&stage.as_root(), &nats);
    let told = steps.iter().find(|step| step["title"] == "ping").unwrap();
    assert!(
        told["facts"]["told_ms"].as_f64().unwrap() < 10_000.0,
        "{told}"
    );
    assert_eq!(steps.len(), 11);
}

/// No root is needed, where user namespaces are allowed and the TUN device is open to all.
#[test]
fn an_ordinary_user_is_told_the_story() {
    let stage = Stage::new();
    let steps = stage.assert_told(&stage.as_nobody("666"), &[]);
    assert_eq!(steps.len(), 13);
}

#[test]
fn who_may_not_open_the_tun_device_is_told_what_to_do() {
    let stage = Stage::new();
    let output = stage.run(&stage.as_nobody("600"), &["lab", "--json"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{text}");
    let [line] = text.lines().collect::<Vec<_>>()[..] else {
        panic!("more than one line: {text}")
    };
    assert!(line.contains("`chmod 0666 /dev/net/tun` as root"), "{line}");
    assert!(output.stdout.is_empty());
    stage.assert_swept();
}

/// A `kill -9` in the middle, early or late, by root or not: all that the laboratory has started dies with it.
#[test]
fn a_killed_lab_leaves_no_process() {
    for last_step in ["a server", "bob", "the client again"] {
        for nobody in [false, true] {
            let stage = Stage::new();
            let wrapper = if nobody {
                stage.as_nobody("666")
            } else {
                stage.as_root()
            };
            let mut lab = Guard(stage.command(&wrapper, &["lab", "--json"]).spawn().unwrap());
            let mut steps = BufReader::new(lab.0.stdout.take().unwrap()).lines();
            let told = steps.find(|step| step.as_ref().is_ok_and(|step| step.contains(last_step)));
            assert!(told.is_some(), "the story broke off before {last_step:?}");
            assert!(stage.processes().len() > 1, "nothing runs at {last_step:?}");

            let killed = Instant::now();
            lab.0.kill().unwrap();
            lab.0.wait().unwrap();
            let left = || stage.processes().is_empty();
            eventually(SECOND, "the end of all processes", left);
            assert!(
                killed.elapsed() < SECOND,
                "{:?} after {last_step:?}",
                killed.elapsed()
            );
        }
    }
}

/// A signal that asks it to end: no folder is left either.
#[test]
fn a_lab_that_is_asked_to_end_leaves_nothing() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let stage = Stage::new();
        let mut lab = stage.command(&stage.as_root(), &["lab", "--json"]);
        let mut lab = Guard(lab.spawn().unwrap());
        let mut steps = BufReader::new(lab.0.stdout.take().unwrap()).lines();
        let told = steps.find(|step| step.as_ref().is_ok_and(|step| step.contains("bob")));
        assert!(told.is_some(), "the story broke off");
        kill_process(Pid::from_child(&lab.0), signal).unwrap();
        let status = lab.0.wait().unwrap();
        assert_eq!(status.code(), Some(1), "{signal:?}");
        let left = || stage.processes().is_empty();
        eventually(SECOND, "the end of all processes", left);
        stage.assert_swept();
    }
}

/// A folder that an ordinary user can use, with the program in it.
struct Stage {
    folder: TempDir,
    machine: Machine,
}

/// The state of the machine, which a laboratory must leave as it is.
#[derive(Debug, PartialEq)]
struct Machine {
    interfaces: Vec<String>,
    /// The network namespaces that a mount keeps.
    mounted: Vec<String>,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("teredo-e2e.")
            .tempdir()
            .unwrap();
        let stage = Self {
            folder,
            machine: Machine::now(),
        };
        // The folder that the program is in may be closed to others. Another process copies it: one that is started
        // meanwhile by another test would hold the copy open for writing, and nothing can run what is written to.
        let mut copy = Command::new("install");
        copy.arg("--mode=755")
            .arg(env!("CARGO_BIN_EXE_teredo"))
            .arg(stage.program());
        assert!(copy.status().unwrap().success());
        fs::create_dir(stage.temporary()).unwrap();
        for (path, mode) in [
            (stage.folder.path().to_owned(), 0o755),
            (stage.temporary(), 0o777),
        ] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        stage
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("teredo")
    }

    /// Where the program makes its temporary folders.
    fn temporary(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    fn as_root(&self) -> Vec<String> {
        Vec::new()
    }

    fn as_nobody(&self, mode: &str) -> Vec<String> {
        ["unshare", "--mount", "--", "sh", "-c", AS_NOBODY, mode]
            .map(str::to_owned)
            .to_vec()
    }

    fn command(&self, wrapper: &[String], arguments: &[&str]) -> Command {
        let program = self.program().to_str().unwrap().to_owned();
        let all = [wrapper, &[program]].concat();
        let mut command = Command::new(&all[0]);
        command
            .args(&all[1..])
            .args(["--config", "/dev/null"])
            .args(arguments);
        command.env("TMPDIR", self.temporary()).current_dir("/");
        command.env_remove("TEREDO_SOCKET").env_remove("RUST_LOG");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, wrapper: &[String], arguments: &[&str]) -> Output {
        self.command(wrapper, arguments).output().unwrap()
    }

    /// Every step succeeds, a line of JSON each, and nothing is left. Returns the steps.
    #[track_caller]
    fn assert_told(&self, wrapper: &[String], arguments: &[&str]) -> Vec<Value> {
        self.told(wrapper, arguments).0
    }

    /// The same, with the last line.
    #[track_caller]
    fn told(&self, wrapper: &[String], arguments: &[&str]) -> (Vec<Value>, Value) {
        self.told_within(IN_TIME, wrapper, &[&["lab", "--json"], arguments].concat())
    }

    /// The same of a whole command line.
    #[track_caller]
    fn told_within(
        &self,
        in_time: Duration,
        wrapper: &[String],
        words: &[&str],
    ) -> (Vec<Value>, Value) {
        let start = Instant::now();
        let output = self.run(wrapper, words);
        let took = start.elapsed();
        let text = String::from_utf8(output.stdout).unwrap();
        let context = format!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{context}");
        assert!(output.stderr.is_empty(), "{context}");
        assert!(took < in_time, "{took:?}: {context}");

        let mut steps: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(
            steps
                .iter()
                .all(|step| step["schema"] == "teredo.lab/1" && step["ok"] == true),
            "{context}"
        );
        let verdict = steps.pop().unwrap();
        assert_eq!(
            (&verdict["steps"], &verdict["failed"]),
            (&steps.len().into(), &0.into()),
            "{context}"
        );
        for (number, step) in (1..).zip(&steps) {
            assert_eq!(step["step"], number, "{context}");
        }
        self.assert_swept();
        (steps, verdict)
    }

    /// Checks that no process of the laboratory runs and that none of its namespaces is mounted: nothing else could
    /// keep them. No folder is left, and the machine has the interfaces that it had.
    #[track_caller]
    fn assert_swept(&self) {
        assert_eq!(self.processes(), Vec::<String>::new());
        let folders: Vec<_> = fs::read_dir(self.temporary()).unwrap().collect();
        assert!(folders.is_empty(), "{folders:?}");
        assert_eq!(Machine::now(), self.machine);
    }

    /// The processes with this stage's folder in their environment: all that the program has started.
    fn processes(&self) -> Vec<String> {
        let marker = self.temporary().into_os_string().into_encoded_bytes();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap() {
            let path = entry.unwrap().path();
            // A process may end between the one look and the other.
            let Ok(environment) = fs::read(path.join("environ")) else {
                continue;
            };
            if environment
                .windows(marker.len())
                .any(|window| window == marker)
            {
                found.push(
                    fs::read_to_string(path.join("cmdline"))
                        .unwrap_or_default()
                        .replace('\0', " "),
                );
            }
        }
        found
    }
}

impl Machine {
    fn now() -> Self {
        let lines = |path| {
            fs::read_to_string(path)
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let mut interfaces = lines("/proc/self/net/dev");
        for line in &mut interfaces {
            line.truncate(line.find(':').unwrap_or_default());
        }
        let mut mounted = lines("/proc/self/mountinfo");
        mounted.retain(|mount| mount.contains(" net:["));
        Self {
            interfaces,
            mounted,
        }
    }
}

/// Kills what it guards.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
