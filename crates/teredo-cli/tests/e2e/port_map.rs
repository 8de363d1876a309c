//! An eBPF firewall that follows the port by the pinned map: the example of `teredo-bpf`, loaded and attached with bpftool.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use teredo_lab::{Host, Process, until};

use crate::world::*;

/// The object of the example.
const ADMIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../teredo-bpf/object/admit.o");
const PIN: &str = "/sys/fs/bpf/teredo/port";
const LEASE: Duration = Duration::from_secs(15);

/// Counts the stranger's datagrams that the firewall admits.
const COUNT: &str = "\
table inet filter {
    counter admitted { }
    chain input {
        type filter hook input priority filter; policy accept;
        udp sport 4444 counter name admitted
    }
}";
const STRANGER: u16 = 4444;

/// A host with a BPF file system and a `/run` of its own, as long as its process lives.
struct Machine<'a> {
    host: &'a Host,
    resident: Process,
}

impl<'a> Machine<'a> {
    fn new(host: &'a Host) -> Self {
        let script = "mount -t bpf bpf /sys/fs/bpf && mount -t tmpfs tmpfs /run && mkdir /run/teredo && \
                      echo mounted && exec tail -f /dev/null";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]);
        let resident = Process::spawn(host.namespace(), "mounts", &mut command).unwrap();
        resident.wait_for_line("mounted", SECOND * 5).unwrap();
        Self { host, resident }
    }

    /// A program with the machine's mounts.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--mount=/proc/{}/ns/mnt", self.resident.id()))
            .arg("--")
            .arg(program);
        command
    }

    /// A client with the default socket.
    fn client(&self) -> Client {
        let mut command = self.command(env!("CARGO_BIN_EXE_teredo"));
        command
            .args(["--config", "/dev/null", "client", "--server", "192.0.2.45"])
            .env_remove("TEREDO_SOCKET")
            .env_remove("TEREDO_BPF_FOLDER")
            .env_remove("RUST_LOG");
        Client {
            process: Process::spawn(self.host.namespace(), "client", &mut command).unwrap(),
            socket: PathBuf::from(format!(
                "/proc/{}/root/run/teredo/teredo.sock",
                self.resident.id()
            )),
        }
    }

    #[track_caller]
    fn bpftool(&self, arguments: &str) -> Vec<u8> {
        let mut command = self.command("bpftool");
        command.args(arguments.split_whitespace());
        let output = run(self.host, &mut command);
        assert!(
            output.status.success(),
            "bpftool {arguments} (package bpftool): {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// The bytes of the map's only value.
    fn value(&self) -> Option<Vec<u8>> {
        let dump = self.bpftool(&format!("-j map dump pinned {PIN}"));
        let dump: Value = serde_json::from_slice(&dump).unwrap();
        let value = dump[0]["value"].as_array()?;
        let byte = |text: &Value| u8::from_str_radix(&text.as_str().unwrap()[2..], 16).unwrap();
        Some(value.iter().map(byte).collect())
    }
}

/// Another host of the network, from which nobody has asked for anything.
struct Stranger<'a> {
    socket: UdpSocket,
    victim: &'a Host,
}

impl Stranger<'_> {
    fn send(&self, port: u16) {
        let to = (self.victim.ipv4(), port);
        self.socket.send_to(b"anybody there?", to).unwrap();
    }

    /// Whether a datagram to this port is admitted. None that was sent before is under way: the link keeps their order.
    fn is_admitted(&self, port: u16) -> bool {
        let before = counted(self.victim, "admitted");
        self.send(port);
        let arrived = || (counted(self.victim, "admitted") > before).then_some(());
        until(SECOND / 2, "the datagram", arrived).is_ok()
    }

    /// Fails unless datagrams to `open` are admitted, and none to the others.
    #[track_caller]
    fn assert_admitted(&self, open: u16, closed: &[u16]) {
        let before = counted(self.victim, "admitted");
        closed.iter().for_each(|&port| self.send(port));
        self.send(open);
        eventually(SECOND, "the datagram to the port", || {
            counted(self.victim, "admitted") > before
        });
        assert_eq!(counted(self.victim, "admitted"), before + 1, "{closed:?}");
    }
}

/// F-2, N-16: the firewall admits the port alone, through rebinds, a kill -9 and the next client, and nothing runs for it. A
/// killed client's port closes with its lease.
#[test]
fn a_firewall_in_the_kernel_follows_the_port() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let neighbour = world.left.host("anna").unwrap();
    let socket = neighbour
        .udp_socket((Ipv4Addr::UNSPECIFIED, STRANGER))
        .unwrap();
    let stranger = Stranger {
        socket,
        victim: &host,
    };
    nft(&host, COUNT);
    let machine = Machine::new(&host);
    let mut alice = machine.client();
    let first = alice.qualified().port;
    machine.bpftool(&format!(
        "prog load {ADMIT} /sys/fs/bpf/admit map name teredo_port pinned {PIN}"
    ));
    machine.bpftool("net attach xdpgeneric pinned /sys/fs/bpf/admit dev eth0");
    stranger.assert_admitted(first, &[first ^ 1, 53]);
    let value = machine.value().unwrap();
    assert_eq!(value[20..22], first.to_ne_bytes(), "{value:?}");

    // The server's answer to the new port must pass, too.
    alice.connect().rebind(None).unwrap();
    let second = alice.qualified().port;
    assert_ne!(second, first);
    stranger.assert_admitted(second, &[first]);

    let killed = Instant::now();
    alice.process.kill().unwrap();
    eventually(LEASE + SECOND, "a closed port", || {
        !stranger.is_admitted(second)
    });
    assert!(killed.elapsed() <= LEASE + SECOND * 2);

    // The next client takes the map over, and with it the firewall, which nobody has loaded again.
    alice = machine.client();
    let third = alice.qualified().port;
    stranger.assert_admitted(third, &[second]);
    alice.connect().stop().unwrap();
    assert_eq!(machine.value(), None, "it is stopped");
    alice.connect().start().unwrap();
    let fourth = alice.qualified().port;
    stranger.assert_admitted(fourth, &[]);

    alice.process.terminate(SECOND * 5).unwrap();
    assert_eq!(machine.value(), None, "it has ended");
    assert!(!stranger.is_admitted(fourth));
}

/// F-2: a client that is killed and comes back at once leaves no old port behind, and a state is renewed in time.
#[test]
fn the_port_of_a_killed_client_goes_with_the_next() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let machine = Machine::new(&host);
    let mut alice = machine.client();
    let first = alice.qualified().port;
    let value = machine.value().unwrap();
    eventually(SECOND * 8, "a renewal", || {
        let now = machine.value().expect("the port is there all the time");
        assert_eq!(now[8..], value[8..]);
        now[..8] != value[..8]
    });
    alice.process.kill().unwrap();
    let left = machine.value().unwrap();
    assert_eq!(left[20..22], first.to_ne_bytes());
    alice = machine.client();
    let second = alice.qualified().port;
    let value = machine.value().unwrap();
    assert_eq!(value[20..22], second.to_ne_bytes());
}

/// Without a BPF file system, the client says so once and serves.
#[test]
fn a_client_without_a_map_serves() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let machine = Machine::new(&host);
    let unmounted = run(&host, machine.command("umount").arg("/sys/fs/bpf"));
    assert!(unmounted.status.success(), "{unmounted:?}");
    let alice = machine.client();
    alice.qualified();
    let said = alice.process.lines();
    let said = said.iter().filter(|line| line.contains("mount -t bpf"));
    assert_eq!(said.count(), 1, "{:?}", alice.process.lines());
}
