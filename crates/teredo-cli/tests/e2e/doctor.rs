//! `teredo doctor` on hosts that are well, and on hosts with each kind of trouble: it names the culprit, and its mend works
//! as it is typed.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use teredo_lab::{Host, NatKind, Process};
use teredo_notify::types::Phase;

use crate::shell::{Answer, finish};
use crate::world::*;

mod firewalls;
mod mends;
mod server;
mod service;
mod tunnel;
mod well;

/// The findings of a doctor.
#[derive(Debug)]
struct Findings {
    code: Option<i32>,
    checks: Vec<Value>,
}

impl Findings {
    fn new(answer: &Answer) -> Self {
        let json: Value = serde_json::from_str(&answer.stdout)
            .unwrap_or_else(|error| panic!("{error}: {answer:?}"));
        assert_eq!(json["schema"], "teredo.doctor/1");
        let checks = json["checks"].as_array().expect("checks").clone();
        for check in &checks {
            let keys: Vec<_> = check.as_object().expect("an object").keys().collect();
            assert_eq!(keys.len(), 5, "{check}");
            for key in ["id", "result", "what", "why", "fix"] {
                assert!(check[key].is_string(), "{check}");
            }
        }
        let troubles = checks
            .iter()
            .filter(|check| check["result"] == "fail" || check["result"] == "warn");
        let names: Vec<_> = troubles.map(|check| check["id"].clone()).collect();
        let first = &json["begin_with"];
        assert!(names.contains(first) || first.is_null() && names.is_empty());
        let findings = Self {
            code: answer.code,
            checks,
        };
        let failed = findings.with("fail").next().is_some();
        assert_eq!(findings.code, Some(i32::from(failed)), "{findings:?}");
        findings
    }

    fn with<'a>(&'a self, result: &'a str) -> impl Iterator<Item = &'a Value> {
        self.checks
            .iter()
            .filter(move |check| check["result"] == result)
    }

    #[track_caller]
    fn check(&self, id: &str) -> &Value {
        let found = self.checks.iter().find(|check| check["id"] == id);
        found.unwrap_or_else(|| panic!("no check {id}"))
    }

    /// Checks that this check has this result, and that its words name all of these. Returns the mend.
    #[track_caller]
    fn names(&self, id: &str, result: &str, words: &[&str]) -> &str {
        let check = self.check(id);
        assert_eq!(check["result"], result, "{check:#}\n{}", self.summary());
        let text = ["what", "why", "fix"].map(|key| check[key].as_str().unwrap());
        let text = text.join("\n");
        for word in words {
            assert!(text.contains(word), "no '{word}' in {check:#}");
        }
        check["fix"].as_str().unwrap()
    }

    /// Checks that nothing is wrong.
    #[track_caller]
    fn are_well(&self) {
        assert!(
            self.with("fail").chain(self.with("warn")).next().is_none(),
            "{}",
            self.summary()
        );
    }

    /// Everything that is not in order.
    fn summary(&self) -> String {
        let troubles = self.with("fail").chain(self.with("warn"));
        troubles
            .map(|check| format!("{check:#}"))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// A host with a file of settings, on which the doctor is asked.
struct Patient {
    host: Host,
    socket: PathBuf,
    settings: PathBuf,
}

impl Patient {
    fn new(world: &World, host: Host, settings: &str) -> Self {
        let file = world.path(&format!("{}.toml", host.name()));
        fs::write(&file, settings).unwrap();
        let socket = world.path(&format!("{}.sock", host.name()));
        Self {
            host,
            socket,
            settings: file,
        }
    }

    /// A host of the Internet with two addresses and native IPv6, for a server by these settings.
    fn server_host(world: &World, settings: &str) -> Self {
        let addresses = [80, 81].map(|last| Ipv4Addr::new(192, 0, 2, last));
        let native = Ipv6Addr::new(0x2001, 0xdb8, 8, 0, 0, 0, 0, 1);
        let host = world.internet.native_host("second", &addresses, native);
        Self::new(world, host.unwrap(), settings)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_teredo"));
        command
            .arg("--config")
            .arg(&self.settings)
            .arg("--socket")
            .arg(&self.socket)
            .args(arguments)
            .env_remove("TEREDO_SOCKET")
            .env_remove("RUST_LOG");
        command
    }

    #[track_caller]
    fn ask(&self) -> Findings {
        Findings::new(&finish(
            &self.host,
            &mut self.command(&["doctor", "--json"]),
        ))
    }

    /// Asks as often as it takes: some findings need a moment.
    #[track_caller]
    fn ask_until(&self, id: &str, result: &str) -> Findings {
        let mut last = None;
        for _ in 0..8 {
            let findings = self.ask();
            if findings.check(id)["result"] == result {
                return findings;
            }
            last = Some(findings);
        }
        panic!("{id} is not {result}: {:#?}", last.unwrap().check(id));
    }

    /// The doctor in a shell that has prepared something.
    #[track_caller]
    fn ask_after(&self, script: &str) -> Findings {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c"])
            .arg(format!("{script}\nexec \"$0\" \"$@\""))
            .arg(env!("CARGO_BIN_EXE_teredo"))
            .arg("--config")
            .arg(&self.settings)
            .arg("--socket")
            .arg(&self.socket)
            .args(["doctor", "--json"])
            .env_remove("RUST_LOG");
        Findings::new(&finish(&self.host, &mut command))
    }

    /// The doctor without a named socket, with this folder as that of the sockets.
    #[track_caller]
    fn ask_usual(&self, folder: &Path) -> Findings {
        let script = format!(
            "mount -t tmpfs none /run && mkdir /run/teredo && mount --bind {} /run/teredo",
            folder.display()
        );
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-e", "-c"])
            .arg(format!("{script}\nexec \"$0\" \"$@\""))
            .arg(env!("CARGO_BIN_EXE_teredo"))
            .arg("--config")
            .arg(&self.settings)
            .args(["doctor", "--json"])
            .env_remove("TEREDO_SOCKET")
            .env_remove("RUST_LOG");
        Findings::new(&finish(&self.host, &mut command))
    }

    fn start(&self, name: &str, arguments: &[&str]) -> Process {
        Process::spawn(self.host.namespace(), name, &mut self.command(arguments)).unwrap()
    }

    /// A client by the settings, and the process behind it.
    fn client(&self, more: &[&str]) -> Client {
        let process = self.start("client", &[&["client"], more].concat());
        let socket = self.socket.clone();
        Client { process, socket }
    }

    fn agent(&self, more: &[&str]) -> Process {
        let agent = self.start("agent", &[&["firewall"], more].concat());
        agent.wait_for_line("follows the port", SECOND * 5).unwrap();
        agent
    }

    /// A server by the settings, as soon as it serves.
    fn server(&self) -> Process {
        let server = self.start("server", &["server"]);
        server.wait_for_line("serving", SECOND * 5).unwrap();
        server
    }

    /// A relay by the settings, as soon as it relays.
    fn relay(&self) -> Process {
        let relay = self.start("relay", &["relay"]);
        relay.wait_for_line("relaying", SECOND * 5).unwrap();
        relay
    }

    /// Runs `program` with the words of each line.
    #[track_caller]
    fn type_each(&self, program: &str, lines: &[&str]) {
        for line in lines {
            let mut command = Command::new(program);
            let answer = finish(&self.host, command.args(line.split(' ')));
            assert_eq!(answer.code, Some(0), "{program} {line}\n{answer:?}");
        }
    }

    /// Types a mend, in a shell that finds this program.
    #[track_caller]
    fn type_in(&self, mend: &str) {
        let folder = Path::new(env!("CARGO_BIN_EXE_teredo")).parent().unwrap();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-e", "-c", mend]).env("PATH", path);
        let answer = finish(&self.host, &mut command);
        assert_eq!(answer.code, Some(0), "{mend}\n{answer:?}");
    }
}

const SETTINGS: &str = "[client]\nservers = [\"192.0.2.45\"]\n";
const SERVER: &str = "[server]\naddress = \"192.0.2.80\"\n";

/// A host behind the usual router, with a server that runs.
fn with_server() -> (World, Process, Patient) {
    let (world, server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let patient = Patient::new(&world, host, SETTINGS);
    (world, server, patient)
}

fn without_server(settings: &str) -> (World, Patient) {
    let world = World::new(NatKind::PortRestricted, NatKind::PortRestricted);
    let host = world.left.host("alice").unwrap();
    let patient = Patient::new(&world, host, settings);
    (world, patient)
}

/// Hosts that are well: nothing fails, and nothing is warned of.
#[test]
fn the_well_are_left_alone() {
    let (world, _server, patient) = with_server();
    {
        let _agent = patient.agent(&[]);
        let client = patient.client(&[]);
        client.qualified();
        patient.ask().are_well();
    }
    nft(&patient.host, "flush ruleset");
    {
        nft(
            &patient.host,
            include_str!("../../../teredo-firewall/administrator.nft"),
        );
        let _agent = patient.agent(&["--set", SET]);
        let client = patient.client(&[]);
        client.qualified();
        patient.ask().are_well();
    }
    nft(&patient.host, "flush ruleset");
    {
        // Without an agent, behind a host firewall that drops nothing.
        let client = patient.client(&["--protect"]);
        client.qualified();
        patient.ask().are_well();
    }
    // A server with native IPv6.
    let server = Patient::server_host(&world, SERVER);
    let _process = server.server();
    server.ask().are_well();
    // A relay for one host, and its agent.
    let host = world
        .internet
        .native_host(
            "relay",
            &[Ipv4Addr::new(192, 0, 2, 99)],
            Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 1),
        )
        .unwrap();
    let relay = Patient::new(&world, host, "[relay]\nhost = true\n");
    let _process = relay.relay();
    let _agent = relay.agent(&[]);
    relay.ask_until("firewall.inside", "ok").are_well();
    // A public host without a NAT.
    let host = world
        .internet
        .host("public", &[Ipv4Addr::new(192, 0, 2, 70)])
        .unwrap();
    let public = Patient::new(&world, host, SETTINGS);
    let _agent = public.agent(&[]);
    let client = public.client(&[]);
    client.qualified();
    public.ask().are_well();
}

/// The text is aligned, ends with a sum, and has no colours where no terminal is.
#[test]
fn the_text_says_what_to_begin_with() {
    let (_world, patient) = without_server("");
    let answer = finish(&patient.host, &mut patient.command(&["doctor"]));
    assert_eq!(answer.code, Some(1));
    assert!(!answer.stdout.contains('\x1b'), "{}", answer.stdout);
    let first = answer.stdout.lines().next().unwrap();
    assert_eq!(
        first,
        "  1 ok    settings.valid      the settings have no mistake"
    );
    let last = answer.stdout.lines().last().unwrap();
    assert!(last.contains("Begin with 20, server.name."), "{last}");
    assert!(
        answer
            .stdout
            .lines()
            .all(|line| line.chars().count() <= 140)
    );
}
