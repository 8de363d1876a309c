//! A day of bad luck: the README's set-up, and one misfortune after the other.
//!
//! Alice's host runs a client with `--protect` behind a NAT, and a firewall agent with the README's ruleset. She talks
//! to a native host by a relay. Bob, a client elsewhere, is the stranger: from morning to night he probes two of her
//! ports through the tunnel. After each misfortune, within its bound, all is right again, or the status says what is
//! wrong and what to do.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use teredo::wire::{Flags, TeredoAddress, emit_echo_request};
use teredo_lab::{Host, NatKind, Process, Receive as _, until};
use teredo_notify::call::Caller;
use teredo_notify::types::{Phase, Status};

use crate::shell::ask;
use crate::world::*;

/// The ruleset that the README gives to an administrator.
const ADMINISTRATOR: &str = include_str!("../../../teredo-firewall/administrator.nft");
/// The name of the server. Each host looks it up in a file of its own.
const NAME: &str = "teredo.example";
const MOVED: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 145), Ipv4Addr::new(192, 0, 2, 146)];
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);
/// The ports that the stranger probes. Programs listen on both.
const TCP: u16 = 22;
const UDP: u16 = 5004;

/// More echo requests than the client's table of peers has entries.
const FLOOD: u64 = 66_000;

/// The lease of the agent's exceptions. The default of 15 s would make the day longer, and nothing else.
const LEASE: Duration = Duration::from_secs(2);
/// A silent server is given up within 12 s; the reason is told at once.
const LOSS: Duration = Duration::from_secs(13);
/// The time within which a changed interface is right again.
const MEND: Duration = Duration::from_secs(2);
/// For how long a flush may open the inside. The agent needs 20 ms; a busy machine needs longer.
const FLUSHED: Duration = Duration::from_millis(200);

/// F-2, F-6, N-11, N-15, N-16, N-18, R4380-5.2.5-06, R4380-7.4-01: the whole day.
#[test]
fn a_day_of_bad_luck() {
    let mut day = Day::begin();
    for (misfortune, chapter) in [
        ("the agent is killed", the_agent_is_killed as fn(&mut Day)),
        ("the client is killed", the_client_is_killed),
        ("the relay is killed", the_relay_is_killed),
        ("the server is killed", the_server_is_killed),
        ("the ruleset is reloaded", the_ruleset_is_reloaded),
        ("the ruleset is flushed", the_ruleset_is_flushed),
        ("the interface is wiped", the_interface_is_wiped),
        ("the server moves", the_server_moves),
        ("the network moves", the_network_moves),
        (
            "another user fills the service",
            another_user_fills_the_service,
        ),
        (
            "another user floods the service",
            another_user_floods_the_service,
        ),
        ("a stranger floods the client", a_stranger_floods_the_client),
    ] {
        let start = Instant::now();
        day.misfortune = misfortune;
        chapter(&mut day);
        day.nobody_came_in();
        println!("{misfortune}: {} ms", start.elapsed().as_millis());
    }
    day.stranger.go_home();
}

/// The agent is killed. The port closes with its lease, the block stays, and the status names who is missing. A service
/// manager starts it again.
fn the_agent_is_killed(day: &mut Day) {
    day.agent.kill().unwrap();
    day.tells(
        SECOND,
        &["no firewall follows the port", "'teredo firewall'"],
    );
    eventually(LEASE + SECOND, "the end of the exception", || {
        ports(&day.host, SET).is_empty()
    });
    assert_eq!(day.alice.status().protected, Some(true));
    day.is_closed();
    day.agent = agent(&day.world, &day.host);
    day.is_right(SECOND * 2);
}

/// The client is killed. Its port closes within a second, the block stays, and `teredo status` says that there is no
/// client. The next one finds everything as it was.
fn the_client_is_killed(day: &mut Day) {
    day.alice.process.kill().unwrap();
    eventually(SECOND, "the end of the exception", || {
        ports(&day.host, SET).is_empty()
    });
    let block = dropped_inside(&day.host);
    assert!(block.is_some(), "the block stays");
    ask(&day.host, &day.alice, &["status"]).fails(5, "cannot connect to ");
    day.alice = day.world.named_client(&day.host, &["--protect"]);
    day.is_right(QUALIFICATION);
}

/// The relay is killed. Native hosts are out of reach until there is one again, and nothing else is; its own host says
/// that it is gone.
fn the_relay_is_killed(day: &mut Day) {
    day.relay.process.kill().unwrap();
    ask(&day.relay_host, &day.relay, &["status"]).fails(5, "cannot connect to ");
    assert_eq!(day.alice.status().state, Phase::Qualified);
    assert!(
        is_answered(&day.host, day.bob.address()),
        "bob needs no relay"
    );
    day.relay = day.world.relay(&day.relay_host, &[]);
    day.is_right(SECOND * 5);
}

/// The server is killed. The client notices within its bound, names the server, and is back by itself.
fn the_server_is_killed(day: &mut Day) {
    day.server.kill().unwrap();
    day.tells(LOSS, &[&SERVER.to_string(), "answer"]);
    day.is_closed();
    day.server = serve(&day.world.server, SERVER);
    day.is_right(QUALIFICATION);
}

/// The administrator saves the ruleset, edits it, and loads it again. It loads, since no table has an owner, and the
/// inside is not open for a moment.
fn the_ruleset_is_reloaded(day: &mut Day) {
    let file = day.world.path("saved.nft");
    let listed = run(&day.host, Command::new("nft").args(["list", "ruleset"]));
    let saved = String::from_utf8(listed.stdout).unwrap();
    let edited = format!("flush ruleset\n{saved}\ntable inet edited {{ }}\n");
    fs::write(&file, edited).unwrap();
    nft(&day.host, &format!("include \"{}\"", file.display()));
    day.is_right(SECOND * 2);
    assert!(nft_json(&day.host, "table inet edited").is_some());
}

/// The ruleset is flushed, and the file of the administrator is loaded only later. Meanwhile the status names the set
/// that is missing. Agent and client put the block back at once.
fn the_ruleset_is_flushed(day: &mut Day) {
    day.may_be_open_for_a_moment(|day| nft(&day.host, "flush ruleset"));
    day.tells(SECOND * 2, &[SET, "does not exist"]);
    assert_eq!(day.alice.status().protected, Some(true));
    day.is_closed();
    nft(&day.host, ADMINISTRATOR);
    day.is_right(SECOND * 2);
    day.may_be_open_for_a_moment(|day| nft(&day.host, &format!("flush ruleset; {ADMINISTRATOR}")));
    day.is_right(SECOND * 2);
}

/// A network manager wipes the interface: its addresses, its routes, and it sets the link down.
fn the_interface_is_wiped(day: &mut Day) {
    for command in [
        "-6 address flush dev teredo",
        "-6 route flush dev teredo",
        "link set teredo down",
    ] {
        let output = run(&day.host, Command::new("ip").args(command.split(' ')));
        assert!(output.status.success(), "ip {command}: {output:?}");
        day.is_right(MEND);
    }
}

/// The server moves: its name resolves to another address, and nothing answers at the old one.
fn the_server_moves(day: &mut Day) {
    let before = day.alice.address();
    let [primary, secondary] = MOVED;
    let native = Ipv6Addr::new(0x2001, 0xdb8, 3, 0, 0, 0, 0, 1);
    let elsewhere = day
        .world
        .internet
        .native_host("moved", &[primary, secondary], native);
    let elsewhere = elsewhere.unwrap();
    let moved = serve(&elsewhere, primary);
    day.server.kill().unwrap();
    day.server = moved;
    day.world.name_is(primary);
    for client in [&day.alice, &day.bob] {
        client.until(LOSS, "the server at its new address", |status| {
            status.state == Phase::Qualified && status.server_address == Some(primary)
        });
    }
    day.is_right(SECOND * 5);
    assert_ne!(day.alice.address(), before);
    day.elsewhere = Some(elsewhere);
}

/// The network moves: the host has a new lease at home, then the NAT gives it other ports.
fn the_network_moves(day: &mut Day) {
    let lease = Ipv4Addr::new(192, 168, 1, 77);
    day.host.readdress(lease).unwrap();
    day.alice.until(QUALIFICATION, "the new lease", |status| {
        status.local.is_some_and(|local| *local.ip() == lease)
    });
    day.is_right(QUALIFICATION);
    let before = day.alice.status().mapped;
    day.world.left.change_mappings().unwrap();
    // Nobody reports this: the next refresh notices it.
    day.alice.until(LOSS, "the new mapping", |status| {
        status.mapped.is_some() && status.mapped != before
    });
    day.is_right(SECOND * 5);
}

/// Another user opens more connections to the service than it has descriptors, and keeps them.
fn another_user_fills_the_service(day: &mut Day) {
    let greedy = nobody(day, FILL);
    greedy.wait_for_line("taken", SECOND * 10).unwrap();
    day.serves_root();
}

/// Another user calls the service as often as it can.
fn another_user_floods_the_service(day: &mut Day) {
    let greedy = nobody(day, CALL);
    greedy.wait_for_line("calling", SECOND * 10).unwrap();
    day.serves_root();
}

/// A stranger floods the client: echo requests that Alice's host answers, from one mapping, with another source each
/// time. Alice reaches native hosts that she has never talked to, and a newcomer reaches her.
fn a_stranger_floods_the_client(day: &mut Day) {
    let mallory = Ipv4Addr::new(203, 0, 113, 66);
    let mallory = day.world.internet.host("mallory", &[mallory]).unwrap();
    let carol = day.world.right.host("carol").unwrap();
    let status = day.alice.qualified();
    let (target, own) = (status.mapped.unwrap(), status.address.unwrap());
    let received = || day.alice.status().counters.rx_packets;
    let before = received();
    let (calm, over) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| flood(&mallory, target, own, &calm, &over));
        // Whatever fails below, the flood ends.
        let _over = Over(&over);
        eventually(SECOND * 20, "the flood at the client", || {
            received() - before >= FLOOD
        });
        calm.store(true, Ordering::Release);
        let answered = (1..=20)
            .map(|number| Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, number))
            .filter(|&unknown| is_answered(&day.host, unknown))
            .count();
        assert!(answered >= 19, "{answered} of 20 new native hosts answer");
        let newcomer = day.world.named_client(&carol, &[]);
        newcomer.qualified();
        eventually(SECOND * 5, "an answer to the newcomer", || {
            is_answered(&carol, own)
        });
        day.is_closed();
    });
    day.is_right(SECOND * 5);
}

/// The set-up, and those who are in it.
struct Day {
    misfortune: &'static str,
    stranger: Stranger,
    /// The programs on Alice's host that nobody may reach.
    ssh: TcpListener,
    media: UdpSocket,
    agent: Process,
    alice: Client,
    bob: Client,
    relay: Client,
    server: Process,
    host: Host,
    bob_host: Host,
    relay_host: Host,
    _native: Host,
    /// Where the server has moved.
    elsewhere: Option<Host>,
    world: World,
}

impl Day {
    /// The morning: everything is right.
    fn begin() -> Self {
        let world = World::dual_stack(NatKind::Cone);
        // The test's own folder is closed to others, unlike /run.
        fs::set_permissions(world.path(""), Permissions::from_mode(0o755)).unwrap();
        world.name_is(SERVER);
        let relay_host = world.relay_host(Ipv4Addr::new(192, 0, 2, 99));
        let native = world.native(NATIVE);
        // All of 2001:db8:7::/64 is this host.
        let everything = "-6 route add local 2001:db8:7::/64 dev lo";
        let output = run(&native, Command::new("ip").args(everything.split(' ')));
        assert!(output.status.success(), "{output:?}");
        let prefix = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0);
        world.internet.announce(prefix, 64, &native).unwrap();
        let server = serve(&world.server, SERVER);
        let relay = world.relay(&relay_host, &[]);
        let host = world.left.host("alice").unwrap();
        let bob_host = world.right.host("bob").unwrap();
        nft(&host, ADMINISTRATOR);
        let listen = || -> io::Result<_> {
            let ssh = TcpListener::bind((Ipv6Addr::UNSPECIFIED, TCP))?;
            let media = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, UDP))?;
            ssh.set_nonblocking(true)?;
            media.set_nonblocking(true)?;
            Ok((ssh, media))
        };
        let (ssh, media) = host.namespace().run(listen).unwrap().unwrap();
        let agent = agent(&world, &host);
        let alice = world.named_client(&host, &["--protect"]);
        let bob = world.named_client(&bob_host, &[]);
        let day = Self {
            misfortune: "the morning",
            stranger: Stranger::start(&bob_host, alice.socket.clone()),
            ssh,
            media,
            agent,
            alice,
            bob,
            relay,
            server,
            host,
            bob_host,
            relay_host,
            _native: native,
            elsewhere: None,
            world,
        };
        day.is_right(QUALIFICATION);
        day
    }

    /// Waits until everything is right, and fails with what is not.
    #[track_caller]
    fn is_right(&self, bound: Duration) {
        let mut fault = None;
        let right = until(bound, "everything to be right", || {
            fault = self.fault();
            fault.is_none().then_some(())
        });
        if let Err(error) = right {
            self.fails(&format!("{error}: {}", fault.unwrap_or_default()));
        }
        let before = dropped_inside(&self.host);
        let own = self.alice.address();
        let refused = knock(&self.bob_host, own, Duration::from_millis(200)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TimedOut, "{refused}");
        if dropped_inside(&self.host) <= before {
            self.fails("the stranger's SYN did not come to the block");
        }
        self.nobody_came_in();
    }

    /// The first thing that is not right.
    fn fault(&self) -> Option<String> {
        let Some(status) = self.alice.try_status() else {
            return Some("no status".to_owned());
        };
        if let Some(problem) = status.problems.first() {
            return Some(problem.clone());
        }
        if status.state != Phase::Qualified || status.reason.is_some() {
            return Some(format!("{}: {:?}", status.state.name(), status.reason));
        }
        if status.protected != Some(true) {
            return Some(format!("protected: {:?}", status.protected));
        }
        if !matches!(&status.firewall[..], [gate] if gate.in_sync) {
            return Some(format!("the firewall: {:?}", status.firewall));
        }
        let open = ports(&self.host, SET);
        if open != [u64::from(status.port)] {
            return Some(format!(
                "the set holds {open:?}, the port is {}",
                status.port
            ));
        }
        let bob = self.bob.try_status().and_then(|status| status.address);
        let (Some(own), Some(bob)) = (status.address, bob) else {
            return Some("no address".to_owned());
        };
        for (from, to) in [
            (&self.host, NATIVE),
            (&self.host, bob),
            (&self.bob_host, own),
        ] {
            if !is_answered(from, to) {
                return Some(format!("{to} does not answer {}", from.name()));
            }
        }
        None
    }

    /// Waits until the status describes the trouble, with all of these words.
    #[track_caller]
    fn tells(&self, bound: Duration, words: &[&str]) {
        let mut said = String::new();
        let told = until(bound, "the words of the status", || {
            let answer = ask(&self.host, &self.alice, &["status", "--json"]);
            let status: Value = serde_json::from_str(&answer.stdout).ok()?;
            said = format!("{} {}", status["problems"], status["reason"]);
            words.iter().all(|word| said.contains(word)).then_some(())
        });
        if let Err(error) = told {
            self.fails(&format!("{error} {words:?}: it says {said}"));
        }
    }

    /// The block is there, and the stranger's SYN is not answered.
    #[track_caller]
    fn is_closed(&self) {
        if dropped_inside(&self.host).is_none() {
            self.fails("there is no block");
        }
        if let Some(own) = self.alice.try_status().and_then(|status| status.address) {
            // Without an address of his own he cannot send.
            let answer = knock(&self.bob_host, own, Duration::from_millis(200));
            let answered = answer.map_or_else(
                |error| error.kind() == ErrorKind::ConnectionRefused,
                |_| true,
            );
            if answered {
                self.fails("the stranger's SYN was answered");
            }
        }
        self.nobody_came_in();
    }

    /// Neither program has been reached since the last look.
    #[track_caller]
    fn nobody_came_in(&self) {
        let visits = self.visits();
        if visits > 0 {
            self.fails(&format!("the inside was open: {visits} visits"));
        }
    }

    fn visits(&self) -> usize {
        let connections = std::iter::from_fn(|| self.ssh.accept().ok()).count();
        let datagrams = std::iter::from_fn(|| self.media.receive(&mut [0; 64]).ok()).count();
        connections + datagrams
    }

    /// Runs `flush`, after which the block may be missing for a moment, but for no longer than [`FLUSHED`].
    #[track_caller]
    fn may_be_open_for_a_moment(&self, flush: impl FnOnce(&Self)) {
        self.nobody_came_in();
        let start = Instant::now();
        flush(self);
        eventually(FLUSHED, "the block", || {
            dropped_inside(&self.host).is_some()
        });
        let took = start.elapsed();
        let visits = self.visits();
        println!(
            "the block is back after {} ms, {visits} visits",
            took.as_millis()
        );
    }

    /// Root's commands are served as ever, and everything is right.
    #[track_caller]
    fn serves_root(&self) {
        let start = Instant::now();
        for command in ["status", "rebind"] {
            let answer = ask(&self.host, &self.alice, &[command]);
            assert_eq!(answer.code, Some(0), "{command}: {answer:?}");
        }
        let took = start.elapsed();
        assert!(took < SECOND * 2, "root waits {took:?}");
        self.is_right(SECOND * 5);
    }

    #[track_caller]
    fn fails(&self, message: &str) -> ! {
        panic!(
            "{}: {message}; status: {:#?}; client:\n{}\nagent:\n{}",
            self.misfortune,
            self.alice.try_status(),
            self.alice.process.lines().join("\n"),
            self.agent.lines().join("\n")
        );
    }
}

impl World {
    /// The file in which the hosts look names up.
    fn names(&self) -> PathBuf {
        self.path("hosts")
    }

    /// The server's name resolves to this from now on.
    fn name_is(&self, address: Ipv4Addr) {
        fs::write(self.names(), format!("{address} {NAME}\n")).unwrap();
    }

    /// Starts a client that knows its server by name.
    fn named_client(&self, host: &Host, more: &[&str]) -> Client {
        let socket = self.path(&format!("{}.sock", host.name()));
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c"])
            .arg("mount --bind \"$0\" /etc/hosts && exec \"$@\"")
            .arg(self.names())
            .arg(env!("CARGO_BIN_EXE_teredo"))
            .args(["--config", "/dev/null", "client", "--server", NAME])
            .arg("--socket")
            .arg(&socket)
            .args(more)
            .env_remove("RUST_LOG");
        let process = Process::spawn(host.namespace(), "client", &mut command).unwrap();
        Client { process, socket }
    }
}

fn serve(host: &Host, address: Ipv4Addr) -> Process {
    let address = address.to_string();
    let process = start(host, "server", &["server", "--address", &address]);
    process.wait_for_line("serving", SECOND * 5).unwrap();
    process
}

fn agent(world: &World, host: &Host) -> Process {
    world.agent(host, &["--set", SET, "--lease", "2"])
}

fn is_answered(from: &Host, to: Ipv6Addr) -> bool {
    let replies = teredo_lab::ping(from, to, 1, Duration::from_millis(500));
    replies.is_ok_and(|replies| replies.are_all_in_order(1))
}

fn knock(from: &Host, to: Ipv6Addr, timeout: Duration) -> io::Result<TcpStream> {
    let to = SocketAddr::from((to, TCP));
    from.namespace()
        .run(|| TcpStream::connect_timeout(&to, timeout))
        .unwrap()
}

/// The packets that the block has dropped; none: there is no block.
fn dropped_inside(host: &Host) -> Option<u64> {
    let listing = nft_json(host, "chain inet teredo inside")?;
    let rules = listing["nftables"].as_array()?.iter();
    rules
        .filter_map(|item| item["rule"]["expr"].as_array())
        .filter(|rule| rule.iter().any(|part| part.get("drop").is_some()))
        .find_map(|rule| {
            rule.iter()
                .find_map(|part| part["counter"]["packets"].as_u64())
        })
}

/// Bob, who probes both ports of Alice's address all day long.
struct Stranger {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<u32>>,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

impl Stranger {
    const PACE: Duration = Duration::from_millis(25);

    /// `socket` is that of Alice's service, which tells her address.
    fn start(host: &Host, socket: PathBuf) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let prober = host.udp_socket((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        prober.set_read_timeout(Some(Self::PACE)).unwrap();
        let (namespace, until) = (host.namespace().clone(), Arc::clone(&over));
        let thread = thread::spawn(move || {
            namespace.enter().unwrap();
            let mut target = None;
            let mut probes = 0;
            while !until.load(Ordering::Acquire) {
                let status = || -> Option<Status> { Caller::open(&socket).ok()?.get_status().ok() };
                target = status().and_then(|status| status.address).or(target);
                // Without an address of his own he cannot send.
                if let Some(target) = target
                    && prober.send_to(b"open?", (target, UDP)).is_ok()
                {
                    probes += 1;
                    let ssh = SocketAddr::from((target, TCP));
                    let _ = TcpStream::connect_timeout(&ssh, Self::PACE);
                }
                // No answer ever comes.
                let _ = prober.receive(&mut [0; 64]);
            }
            probes
        });
        let thread = Some(thread);
        Self { over, thread }
    }

    /// The day is over.
    fn go_home(&mut self) {
        self.over.store(true, Ordering::Release);
        let probes = self.thread.take().unwrap().join().unwrap();
        println!("the stranger probed {probes} times");
        assert!(probes > 100, "the stranger probed {probes} times");
    }
}

/// Takes more connections than the service has descriptors, and holds them.
const FILL: &str = "
for _ in range(1100):
    held.append(open_one())
print('taken', flush=True)
signal.pause()
";
/// Calls on many connections, as often as the service takes it.
const CALL: &str = "
call = b'{\"method\":\"io.teredo.Client.GetStatus\"}\\0' * 50
def talk():
    while True:
        try:
            one = open_one()
            while one.send(call):
                one.recv(1 << 16)
        except OSError:
            pass
for _ in range(8):
    threading.Thread(target=talk, daemon=True).start()
print('calling', flush=True)
signal.pause()
";

/// A program of an ordinary user at Alice's service.
fn nobody(day: &Day, program: &str) -> Process {
    let socket = day.alice.socket.to_str().unwrap();
    let program = format!(
        "
import resource, signal, socket, sys, threading
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
held = []
def open_one():
    one = socket.socket(socket.AF_UNIX)
    one.connect(sys.argv[1])
    return one
{program}"
    );
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .args(["/usr/bin/python3", "-c", &program, socket]);
    Process::spawn(day.host.namespace(), "nobody", &mut command).unwrap()
}

/// Ends the flood when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Sends echo requests from one mapping, each with another inner source: twenty in a millisecond, one when it is calm,
/// until it is over.
fn flood(
    host: &Host,
    target: SocketAddrV4,
    destination: Ipv6Addr,
    calm: &AtomicBool,
    over: &AtomicBool,
) {
    let own = SocketAddrV4::new(host.ipv4(), 6_666);
    let socket = host.udp_socket(own).unwrap();
    let (mut number, mut packet, mut last) = (0_u32, Vec::new(), Instant::now());
    while !over.load(Ordering::Acquire) {
        if last.elapsed() < Duration::from_millis(1) {
            thread::yield_now();
            continue;
        }
        last = Instant::now();
        for _ in 0..if calm.load(Ordering::Acquire) { 1 } else { 20 } {
            let source = TeredoAddress {
                server: Ipv4Addr::from_bits(0x5000_0000 + number),
                flags: Flags::from_random(number as u16),
                mapped: own,
            };
            packet.clear();
            emit_echo_request(source.to_ipv6(), destination, 64, 1, 1, &[], &mut packet);
            // Without room in the host's own queue it is not sent.
            let _ = socket.send_to(&packet, target);
            number += 1;
        }
    }
}
