//! The set-up of every test: an internet with a server, and nodes that run this program.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use teredo_lab::{Capture, Home, Host, Internet, NatKind, Process, until};
use teredo_notify::call::Caller;
use teredo_notify::types::{Phase, Status};

pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 45);
pub(crate) const SECONDARY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 46);
/// A round trip, and two solicitations lost.
pub(crate) const QUALIFICATION: Duration = Duration::from_secs(10);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// An internet with two homes behind NATs, and room for public hosts.
pub(crate) struct World {
    pub(crate) left: Home,
    pub(crate) right: Home,
    pub(crate) server: Host,
    pub(crate) internet: Internet,
    folder: TempDir,
}

impl World {
    /// Two homes behind NATs of these kinds; nothing runs yet.
    pub(crate) fn new(left: NatKind, right: NatKind) -> Self {
        let internet = Internet::new().expect("an internet: the end-to-end tests need root");
        let server = internet.host("server", &[SERVER, SECONDARY]).unwrap();
        Self::around(internet, server, left, right)
    }

    fn around(internet: Internet, server: Host, left: NatKind, right: NatKind) -> Self {
        // An Internet Gateway Device refuses to have an address of documentation.
        let home = |name, nat: NatKind, usual, of_device| {
            let public = if nat.gives_ports() { of_device } else { usual };
            internet.home(name, nat, public).unwrap()
        };
        let [left_usual, right_usual] = [[198, 51, 100, 1], [203, 0, 113, 1]].map(Ipv4Addr::from);
        let [left_device, right_device] = [[44, 128, 0, 1], [44, 128, 0, 2]].map(Ipv4Addr::from);
        let left = home("left", left, left_usual, left_device);
        let right = home("right", right, right_usual, right_device);
        let folder = tempfile::Builder::new()
            .prefix("teredo-e2e.")
            .tempdir()
            .unwrap();
        Self {
            left,
            right,
            server,
            internet,
            folder,
        }
    }

    /// The usual home routers, and our server running.
    pub(crate) fn with_server() -> (Self, Process) {
        let world = Self::new(NatKind::PortRestricted, NatKind::PortRestricted);
        let server = world.serve();
        (world, server)
    }

    /// Starts our server.
    pub(crate) fn serve(&self) -> Process {
        let process = start(
            &self.server,
            "server",
            &["server", "--address", &SERVER.to_string()],
        );
        process.wait_for_line("serving", SECOND * 5).unwrap();
        process
    }

    /// A path in the test's own folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a client on `host` with our server's address; `more` arguments come after it.
    pub(crate) fn client(&self, host: &Host, more: &[&str]) -> Client {
        self.client_with(host, &[&["--server", "192.0.2.45"], more].concat())
    }

    /// Starts a client on `host` with these arguments.
    pub(crate) fn client_with(&self, host: &Host, arguments: &[&str]) -> Client {
        let socket = self.path(&format!("{}.sock", host.name()));
        let process = start_client(host, &socket, arguments);
        Client { process, socket }
    }

    /// Starts a firewall agent for the client on `host`.
    pub(crate) fn agent(&self, host: &Host, arguments: &[&str]) -> Process {
        let socket = self.path(&format!("{}.sock", host.name()));
        let socket = socket.to_str().unwrap();
        start(
            host,
            "agent",
            &[&["firewall", "--socket", socket], arguments].concat(),
        )
    }
}

/// A client that runs on a host.
pub(crate) struct Client {
    pub(crate) process: Process,
    pub(crate) socket: PathBuf,
}

impl Client {
    pub(crate) fn connect(&self) -> Caller {
        Caller::open(&self.socket).unwrap()
    }

    /// The status; `None` while the service is not there.
    pub(crate) fn try_status(&self) -> Option<Status> {
        Caller::open(&self.socket).ok()?.get_status().ok()
    }

    pub(crate) fn status(&self) -> Status {
        self.connect().get_status().unwrap()
    }

    /// Waits until the status fulfils `condition`; a failure shows the last status and the log.
    #[track_caller]
    pub(crate) fn until(
        &self,
        timeout: Duration,
        what: &str,
        mut condition: impl FnMut(&Status) -> bool,
    ) -> Status {
        match until(timeout, what, || {
            self.try_status().filter(|status| condition(status))
        }) {
            Ok(status) => status,
            Err(error) => panic!(
                "{error}; status: {:#?}; log:\n{}",
                self.try_status(),
                self.process.lines().join("\n")
            ),
        }
    }

    #[track_caller]
    pub(crate) fn qualified(&self) -> Status {
        self.until(QUALIFICATION, "a qualified client", |status| {
            status.state == Phase::Qualified
        })
    }

    #[track_caller]
    pub(crate) fn address(&self) -> Ipv6Addr {
        self.qualified()
            .address
            .expect("a qualified client has an address")
    }

    /// Kills it with SIGKILL and starts it again on the same socket.
    pub(crate) fn restart(&mut self, host: &Host, arguments: &[&str]) {
        self.process.kill().unwrap();
        self.process = start_client(host, &self.socket, arguments);
    }
}

pub(crate) fn start_client(host: &Host, socket: &Path, arguments: &[&str]) -> Process {
    let socket = socket.to_str().unwrap();
    start(
        host,
        "client",
        &[&["client", "--socket", socket], arguments].concat(),
    )
}

/// Starts this program on `host`.
pub(crate) fn start(host: &Host, name: &str, arguments: &[&str]) -> Process {
    Process::spawn(host.namespace(), name, teredo().args(arguments)).unwrap()
}

/// This program, without the machine's configuration.
pub(crate) fn teredo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_teredo"));
    command
        .args(["--config", "/dev/null"])
        .env_remove("TEREDO_SOCKET")
        // A server's socket, if the test chooses none.
        .env("RUNTIME_DIRECTORY", env!("CARGO_TARGET_TMPDIR"))
        .env_remove("RUST_LOG");
    command
}

/// Runs a program on `host` to its end.
#[track_caller]
pub(crate) fn run(host: &Host, command: &mut Command) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = host.namespace().spawn(command);
    child
        .unwrap_or_else(|error| panic!("{program}: {error} (package {})", package(&program)))
        .wait_with_output()
        .unwrap()
}

/// The Debian package of a tool.
fn package(program: &str) -> &str {
    match program {
        "nft" => "nftables",
        "ip" => "iproute2",
        "firewall-cmd" => "firewalld",
        "unshare" => "util-linux",
        other => other,
    }
}

/// Loads a ruleset with the real `nft`.
#[track_caller]
pub(crate) fn nft(host: &Host, ruleset: &str) {
    let output = run(host, Command::new("nft").arg(ruleset));
    assert!(
        output.status.success(),
        "nft {ruleset}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The output of the real `nft -j list …`.
#[track_caller]
pub(crate) fn nft_json(host: &Host, list: &str) -> Option<Value> {
    let output = run(
        host,
        Command::new("nft")
            .args(["-j", "list"])
            .args(list.split(' ')),
    );
    output
        .status
        .success()
        .then(|| serde_json::from_slice(&output.stdout).unwrap())
}

/// The ports in the administrator's set, by the real `nft`.
pub(crate) fn open_ports(host: &Host) -> Vec<u64> {
    let Some(listing) = nft_json(host, "set inet filter teredo_ports") else {
        return Vec::new();
    };
    let elements = listing["nftables"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|item| item["set"]["elem"].as_array().cloned());
    elements
        .unwrap_or_default()
        .iter()
        .filter_map(|elem| elem.as_u64().or_else(|| elem["elem"]["val"].as_u64()))
        .collect()
}

/// The packets that a named counter of the administrator's table has counted.
#[track_caller]
pub(crate) fn counted(host: &Host, counter: &str) -> u64 {
    let listing = nft_json(host, &format!("counter inet filter {counter}"))
        .expect("the administrator's table");
    let items = listing["nftables"].as_array().unwrap();
    items
        .iter()
        .find_map(|item| item["counter"]["packets"].as_u64())
        .unwrap()
}

/// An administrator's ruleset that drops everything, in and out, except the port in `@teredo_ports` and the inside of
/// the tunnel. It counts dropped UDP datagrams: all of them in `dropped_out` and `dropped_in`, and in
/// `dropped_in_other` those that were not for a port in the set, which are the only ones that may ever be dropped.
pub(crate) const DEFAULT_DROP: &str = "\
table inet filter {
    set teredo_ports { type inet_service; flags timeout; }
    counter dropped_in { }
    counter dropped_out { }
    chain input {
        type filter hook input priority filter; policy drop;
        iifname { lo, teredo } accept
        udp dport @teredo_ports accept
        meta l4proto udp counter name dropped_in drop
    }
    chain output {
        type filter hook output priority filter; policy drop;
        oifname { lo, teredo } accept
        udp sport @teredo_ports accept
        meta l4proto udp counter name dropped_out drop
    }
}";

/// Waits for a condition, and fails with its name.
#[track_caller]
pub(crate) fn eventually(
    timeout: Duration,
    what: &str,
    mut condition: impl FnMut() -> bool,
) -> Duration {
    let start = Instant::now();
    if let Err(error) = until(timeout, what, || condition().then_some(())) {
        panic!("{error}");
    }
    start.elapsed()
}

/// Reads a capture with tshark: one line for each packet that matches `filter`, with these fields. Every UDP port in
/// `ports` is taken for Teredo's.
#[track_caller]
pub(crate) fn tshark(
    capture: &Capture,
    folder: &Path,
    ports: &[u16],
    filter: &str,
    fields: &[&str],
) -> Vec<Vec<String>> {
    let file = folder.join(format!(
        "{}.pcap",
        ports
            .iter()
            .map(u16::to_string)
            .collect::<Vec<_>>()
            .join("-")
    ));
    capture.save(&file).unwrap();
    let mut command = Command::new("tshark");
    command
        .args(["-n", "-r"])
        .arg(&file)
        .args(["-Y", filter, "-T", "fields"])
        // TCP carries arbitrary data here, with losses and repetitions; tshark need not guess its protocol.
        .args(["-o", "tcp.desegment_tcp_streams:FALSE"])
        .args(["-d", "tcp.port==1-65535,data"]);
    for port in ports {
        command.args(["-d", &format!("udp.port=={port},teredo")]);
    }
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("tshark: {error} (package tshark)"));
    assert!(
        output.status.success(),
        "tshark: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect()
}

/// Fails if tshark finds anything malformed, or a wrong checksum, among what was captured.
#[track_caller]
pub(crate) fn assert_well_formed(capture: &Capture, folder: &Path, ports: &[u16]) {
    // The probes of the path's MTU, to port 33434 of the server's host, carry DF and nothing of Teredo.
    let filter = "!(udp.dstport == 33434) && \
                  (_ws.malformed || icmpv6.checksum.status == \"Bad\" || ip.flags.df == 1 && udp)";
    let found = tshark(
        capture,
        folder,
        ports,
        filter,
        &["frame.number", "_ws.col.Info", "_ws.col.Protocol"],
    );
    assert!(found.is_empty(), "tshark objects to {found:?}");
}

/// The elements of a set, by the real `nft`: a number, or an object with the timeout. None if there is no such set.
#[track_caller]
pub(crate) fn elements(host: &Host, set: &str) -> Option<Vec<Value>> {
    let listing = nft_json(host, &format!("set {set}"))?;
    let items = listing["nftables"].as_array().unwrap();
    let set = items.iter().find_map(|item| item.get("set")).unwrap();
    Some(set["elem"].as_array().cloned().unwrap_or_default())
}

/// The ports that a set holds; none if there is no such set.
#[track_caller]
pub(crate) fn ports(host: &Host, set: &str) -> Vec<u64> {
    let elements = elements(host, set).unwrap_or_default();
    let port = |element: &Value| element.as_u64().or_else(|| element["elem"]["val"].as_u64());
    elements.iter().filter_map(port).collect()
}

/// The set of [`DEFAULT_DROP`], for `--set`.
pub(crate) const SET: &str = "inet filter teredo_ports";
/// The set in the agent's own table.
pub(crate) const OWN_SET: &str = "inet teredo port";

/// The default port of a relay.
pub(crate) const RELAY_PORT: u16 = 3545;

impl World {
    /// Starts our relay on `host`, from its first address, and waits until it relays.
    pub(crate) fn relay(&self, host: &Host, more: &[&str]) -> Client {
        let address = host.ipv4().to_string();
        self.relay_with(host, &[&["--address", &address], more].concat())
    }

    /// Starts our relay on `host` with these arguments, and waits until it relays.
    pub(crate) fn relay_with(&self, host: &Host, arguments: &[&str]) -> Client {
        let socket = self.path(&format!("{}.sock", host.name()));
        let text = socket.to_str().unwrap();
        let process = start(
            host,
            "relay",
            &[&["relay", "--socket", text], arguments].concat(),
        );
        process.wait_for_line("relaying", SECOND * 5).unwrap();
        let relay = Client { process, socket };
        relay.qualified();
        relay
    }
}

impl World {
    /// As [`World::new`], with a server that has native IPv6, so that it forwards echo requests to native hosts.
    pub(crate) fn dual_stack(left: NatKind) -> Self {
        let internet = Internet::new().expect("an internet: the end-to-end tests need root");
        let server = internet
            .native_host(
                "server",
                &[SERVER, SECONDARY],
                Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1),
            )
            .unwrap();
        Self::around(internet, server, left, NatKind::PortRestricted)
    }

    /// A host with both protocols to which the internet sends what is for Teredo clients, and which forwards it.
    pub(crate) fn relay_host(&self, address: Ipv4Addr) -> Host {
        let native = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);
        let host = self
            .internet
            .native_host("relay", &[address], native)
            .unwrap();
        self.internet
            .announce(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, &host)
            .unwrap();
        host
    }

    /// A host with native IPv6 alone.
    pub(crate) fn native(&self, address: Ipv6Addr) -> Host {
        self.internet.native_host("native", &[], address).unwrap()
    }
}

/// The new datagrams for the port before and behind all other chains, as the agent's table has counted them.
pub(crate) fn passage(host: &Host) -> (u64, u64) {
    let count = |chain: &str| {
        let listing = nft_json(host, &format!("chain inet teredo {chain}")).unwrap();
        let items = listing["nftables"].as_array().unwrap();
        let counts = items.iter().flat_map(|item| {
            let steps = item["rule"]["expr"].as_array().into_iter().flatten();
            steps.filter_map(|step| step["counter"]["packets"].as_u64())
        });
        counts.sum()
    };
    (count("arriving"), count("passed"))
}

/// Whether a firewall has confirmed the port that is in use.
pub(crate) fn in_sync(status: &Status) -> bool {
    status.firewall.iter().any(|gate| gate.in_sync)
}
