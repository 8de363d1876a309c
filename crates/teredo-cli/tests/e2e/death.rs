//! How everybody behaves when somebody dies, is stopped, or comes back.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use teredo_lab::{Host, Process};
use teredo_notify::Kind;
use teredo_notify::mib::{MibNotificationType, PortNotifications};
use teredo_notify::types::Phase;
use teredo_notify::watcher::{WatchRegistration, Watcher};

use crate::world::*;

const SET: &str = "inet filter teredo_ports";
const OWN_SET: &str = "inet teredo port";
const SERVER_ARGUMENTS: [&str; 2] = ["--server", "192.0.2.45"];

/// A program that has registered for the port with [`Watcher::register`].
struct Subscriber {
    told: Receiver<(Kind, u16)>,
    _registration: WatchRegistration,
}

impl Subscriber {
    fn new(socket: &Path) -> Self {
        let (tell, told) = channel();
        let running = AtomicBool::new(false);
        let callback = move |notification: teredo_notify::Notification| {
            assert!(
                !running.swap(true, Ordering::SeqCst),
                "two invocations at once"
            );
            // The test may have ended.
            let _ = tell.send((notification.kind, notification.state.port));
            running.store(false, Ordering::SeqCst);
        };
        let registration = Watcher::new(socket).register(false, callback).unwrap();
        Self {
            told,
            _registration: registration,
        }
    }

    /// The next notification.
    #[track_caller]
    fn next(&self, timeout: Duration) -> (Kind, u16) {
        self.told
            .recv_timeout(timeout)
            .expect("a notification in time")
    }
}

/// A program that knows the names of Windows.
struct MibSubscriber {
    functions: PortNotifications,
    told: Receiver<(u16, MibNotificationType)>,
}

impl MibSubscriber {
    fn new(socket: &Path) -> Self {
        let (tell, told) = channel();
        let functions = PortNotifications::new(Watcher::new(socket));
        // The test may have ended.
        let callback = move |port, kind| {
            let _ = tell.send((port, kind));
        };
        functions.notify_teredo_port_change(callback, true).unwrap();
        Self { functions, told }
    }

    #[track_caller]
    fn next(&self, timeout: Duration) -> (u16, MibNotificationType) {
        self.told.recv_timeout(timeout).expect("a callback in time")
    }
}

/// A program without our library: JSON objects, each ended by a NUL.
struct Varlink(BufReader<UnixStream>);

impl Varlink {
    /// Subscribes, and waits until that is in force.
    #[track_caller]
    fn subscribe(socket: &Path) -> Self {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(SECOND)).unwrap();
        let call = r#"{"method":"io.teredo.Client.Subscribe","parameters":{"initial":true,"gate":false},"more":true}"#;
        stream.write_all(format!("{call}\0").as_bytes()).unwrap();
        let mut subscription = Self(BufReader::new(stream));
        assert_eq!(
            subscription.next().expect("a first reply")["kind"],
            "initial"
        );
        subscription
    }

    /// The parameters of the next reply; `None` at the end of the connection.
    #[track_caller]
    fn next(&mut self) -> Option<Value> {
        let mut message = Vec::new();
        self.0
            .read_until(0, &mut message)
            .expect("a reply or the end within a second");
        let message = message.strip_suffix(&[0])?;
        let reply: Value = serde_json::from_slice(message).unwrap();
        assert_eq!(reply["continues"], true, "{reply}");
        Some(reply["parameters"].clone())
    }
}

/// `teredo monitor --json --events port`, and what it prints.
struct Monitor {
    process: Process,
    read: usize,
}

impl Monitor {
    /// Returns when it has printed the current port.
    #[track_caller]
    fn start(host: &Host, client: &Client) -> Self {
        let socket = client.socket.to_str().unwrap();
        let arguments = ["monitor", "--socket", socket, "--json", "--events", "port"];
        let mut monitor = Self {
            process: start(host, "monitor", &arguments),
            read: 0,
        };
        assert_eq!(monitor.next(SECOND * 5).0, "current");
        monitor
    }

    /// The kind and port of the next event.
    #[track_caller]
    fn next(&mut self, timeout: Duration) -> (String, u64) {
        loop {
            // Every event has the word; the narration on stderr has not.
            self.process
                .wait_for_line_after(self.read, "\"port\"", timeout)
                .unwrap();
            let line = self.process.lines()[self.read].clone();
            self.read += 1;
            let Ok(event) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            assert_eq!(
                (&event["schema"], &event["event"]),
                (&json!("teredo.event/1"), &json!("port")),
                "{event}"
            );
            return (
                event["kind"].as_str().unwrap().to_owned(),
                event["port"].as_u64().unwrap(),
            );
        }
    }
}

fn event(kind: &str, port: u16) -> (String, u64) {
    (kind.to_owned(), port.into())
}

/// A command at the shell of `host`, for the client there.
#[track_caller]
fn ask(host: &Host, client: &Client, arguments: &[&str]) -> Answer {
    Answer::new(run(
        host,
        teredo().arg("--socket").arg(&client.socket).args(arguments),
    ))
}

/// The same by somebody without any right.
#[track_caller]
fn ask_as_nobody(host: &Host, client: &Client, arguments: &[&str]) -> Answer {
    let mut command = teredo();
    command
        .arg("--socket")
        .arg(&client.socket)
        .args(arguments)
        .uid(65534)
        .gid(65534);
    Answer::new(run(host, &mut command))
}

#[derive(Debug)]
struct Answer {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Answer {
    fn new(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The port that it printed, alone on a line.
    #[track_caller]
    fn port(&self) -> u16 {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
            .strip_suffix('\n')
            .and_then(|port| port.parse().ok())
            .unwrap_or_else(|| panic!("{self:?}"))
    }

    #[track_caller]
    fn fails(&self, code: i32, stderr: &str) {
        assert_eq!(
            (self.code, self.stdout.as_str()),
            (Some(code), ""),
            "{self:?}"
        );
        assert!(
            self.stderr.contains(stderr) && self.stderr.contains("\nhint: "),
            "{self:?}"
        );
    }
}

/// The ports that a set holds; none where there is no such set.
#[track_caller]
fn ports(host: &Host, set: &str) -> Vec<u64> {
    let elements = elements(host, set).unwrap_or_default();
    elements
        .iter()
        .filter_map(|element| element.as_u64().or_else(|| element["elem"]["val"].as_u64()))
        .collect()
}

/// What the real `ip` shows of the tunnel: its link, its addresses, its routes.
#[track_caller]
fn traces(host: &Host) -> [Vec<String>; 3] {
    [
        &["-o", "link"][..],
        &["-6", "-o", "address"],
        &["-6", "-o", "route", "show", "table", "all"],
    ]
    .map(|arguments| {
        let output = run(host, Command::new("ip").args(arguments));
        assert!(
            output.status.success(),
            "ip {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .filter(|line| line.contains("teredo"))
            .map(str::to_owned)
            .collect()
    })
}

#[track_caller]
fn nothing_is_left(host: &Host) {
    assert_eq!(
        traces(host),
        [const { Vec::<String>::new() }; 3],
        "what is left of the tunnel"
    );
}

/// A firewall agent is killed: its own table goes with it, and the client goes on without it.
#[test]
fn a_killed_agent_takes_its_own_table_along() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let agent = world.agent(&host, &[]);
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    eventually(SECOND, "the port in the agent's table", || {
        ports(&host, OWN_SET) == [u64::from(port)]
    });
    assert!(nft_json(&host, "chain inet teredo inside").is_some());

    let killed = Instant::now();
    agent.kill().unwrap();
    eventually(SECOND, "the end of the table", || {
        nft_json(&host, "chain inet teredo inside").is_none()
    });
    alice.until(SECOND, "the end of the gate", |status| {
        status.firewall.is_empty()
    });
    assert!(
        killed.elapsed() < SECOND,
        "the table is gone after {:?}",
        killed.elapsed()
    );

    // Nobody is left to wait for.
    let outcome = alice.connect().rebind(None).unwrap();
    assert!(outcome.settled, "{outcome:?}");
    alice.qualified();
}

/// A firewall agent is killed: the port in the administrator's set closes when its lease ends.
#[test]
fn a_killed_agents_port_closes_with_the_lease() {
    const LEASE: Duration = Duration::from_secs(2);
    /// The kernel counts in clock ticks, and `nft` takes a moment to look.
    const ROUNDING: Duration = Duration::from_millis(100);

    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let stranger = world
        .left
        .host("anna")
        .unwrap()
        .udp_socket(("0.0.0.0".parse::<std::net::Ipv4Addr>().unwrap(), 0))
        .unwrap();
    nft(&host, DEFAULT_DROP);
    let agent = world.agent(&host, &["--set", SET, "--lease", "2"]);
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    assert_eq!(open_ports(&host), [u64::from(port)]);

    let killed = Instant::now();
    agent.kill().unwrap();
    eventually(LEASE + ROUNDING, "an empty set", || {
        open_ports(&host).is_empty()
    });
    assert!(
        killed.elapsed() <= LEASE + ROUNDING * 2,
        "the set is empty after {:?}",
        killed.elapsed()
    );

    let dropped = counted(&host, "dropped_in");
    stranger
        .send_to(b"anybody there?", (host.ipv4(), port))
        .unwrap();
    eventually(SECOND, "the stranger's datagram at the drop rule", || {
        counted(&host, "dropped_in") > dropped
    });
}

/// The lease is of 15 s unless told otherwise, and renewed in time without a moment in which the port is closed.
#[test]
fn the_lease_is_renewed_before_it_ends() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    nft(&host, DEFAULT_DROP);
    let _agent = world.agent(&host, &["--set", SET]);
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;

    let mut least = u64::MAX;
    eventually(SECOND * 8, "a renewal", || {
        let elements = elements(&host, SET).unwrap();
        let [element] = &elements[..] else {
            panic!("the set holds {elements:?}")
        };
        let element = &element["elem"];
        assert_eq!(
            (element["val"].as_u64(), element["timeout"].as_u64()),
            (Some(port.into()), Some(15)),
            "{element}"
        );
        let expires = element["expires"].as_u64().expect("seconds");
        least = least.min(expires);
        expires > least
    });
    assert!(
        (9..=10).contains(&least),
        "renewed when {least} s of the lease were left"
    );
}

/// N-05, N-11, N-15: the client is killed, and everybody knows within a second, however he follows the port. Nothing
/// stale is left, and what is left does not stop the next client, of which all registrations learn by themselves.
#[test]
fn a_killed_client_is_gone_for_everybody_within_a_second() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    nft(&host, DEFAULT_DROP);
    let _agent = world.agent(&host, &["--set", SET]);
    let socket = world.path("alice.sock");
    let (mib, watcher) = (MibSubscriber::new(&socket), Subscriber::new(&socket));
    let mut alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    assert_eq!(
        mib.next(SECOND),
        (0, MibNotificationType::InitialNotification)
    );
    assert_eq!(mib.next(SECOND), (port, MibNotificationType::AddInstance));
    assert_eq!(watcher.next(SECOND), (Kind::Add, port));
    let mut varlink = Varlink::subscribe(&socket);
    let mut monitor = Monitor::start(&host, &alice);
    assert_eq!(open_ports(&host), [u64::from(port)]);
    assert!(
        traces(&host).iter().all(|trace| !trace.is_empty()),
        "{:?}",
        traces(&host)
    );

    let killed = Instant::now();
    alice.process.kill().unwrap();
    assert_eq!(mib.next(SECOND), (0, MibNotificationType::DeleteInstance));
    assert_eq!(watcher.next(SECOND), (Kind::Delete, 0));
    assert_eq!(monitor.next(SECOND), event("delete", 0));
    assert_eq!(varlink.next(), None);
    eventually(SECOND, "an empty set", || open_ports(&host).is_empty());
    nothing_is_left(&host);
    assert!(
        killed.elapsed() < SECOND,
        "all know after {:?}",
        killed.elapsed()
    );
    assert!(mib.functions.get_teredo_port().is_err());
    ask(&host, &alice, &["port"]).fails(5, "cannot connect to ");

    assert!(socket.exists(), "nobody was left to remove it");
    alice.restart(&host, &SERVER_ARGUMENTS);
    let port = alice.qualified().port;
    assert_eq!(mib.next(SECOND), (port, MibNotificationType::AddInstance));
    assert_eq!(watcher.next(SECOND), (Kind::Add, port));
    assert_eq!(monitor.next(SECOND), event("add", port));
    assert_eq!(mib.functions.get_teredo_port(), Ok(port));
    assert_eq!(open_ports(&host), [u64::from(port)]);
}

/// N-11: the client is asked to end, and does so in order: everybody hears of it from the client itself, the firewall
/// closes, and nothing is left.
#[test]
fn a_terminated_client_says_goodbye() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    nft(&host, DEFAULT_DROP);
    let _agent = world.agent(&host, &["--set", SET]);
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    assert_eq!(open_ports(&host), [u64::from(port)]);
    let (mib, watcher) = (
        MibSubscriber::new(&alice.socket),
        Subscriber::new(&alice.socket),
    );
    assert_eq!(
        mib.next(SECOND),
        (0, MibNotificationType::InitialNotification)
    );
    let mut monitor = Monitor::start(&host, &alice);
    // One would get its event by luck.
    let mut many: Vec<_> = (0..100)
        .map(|_| Varlink::subscribe(&alice.socket))
        .collect();

    let asked = Instant::now();
    let status = alice.process.terminate(SECOND).unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
    for varlink in &mut many {
        let last = varlink
            .next()
            .expect("an event before the end of the connection");
        assert_eq!(
            (&last["kind"], &last["port"]),
            (&json!("delete"), &json!(0)),
            "{last}"
        );
        assert_eq!(varlink.next(), None);
    }
    assert_eq!(mib.next(SECOND), (0, MibNotificationType::DeleteInstance));
    assert_eq!(watcher.next(SECOND), (Kind::Delete, 0));
    assert_eq!(monitor.next(SECOND), event("delete", 0));
    eventually(SECOND, "an empty set", || open_ports(&host).is_empty());
    nothing_is_left(&host);
    assert!(!alice.socket.exists(), "the socket is left");
    assert!(
        asked.elapsed() < SECOND,
        "all know after {:?}",
        asked.elapsed()
    );
}

/// N-15: both are killed, and come back in either order: a second after the second one all is as before, without
/// anybody registering again.
#[test]
fn client_and_agent_find_each_other_again_in_either_order() {
    for (arguments, set) in [(&["--set", SET][..], SET), (&[], OWN_SET)] {
        let (world, _server) = World::with_server();
        let host = world.left.host("alice").unwrap();
        if set == SET {
            nft(&host, DEFAULT_DROP);
        }
        let mut agent = world.agent(&host, arguments);
        let mut alice = world.client(&host, &[]);
        let port = alice.qualified().port;
        let (watcher, mut monitor) = (
            Subscriber::new(&alice.socket),
            Monitor::start(&host, &alice),
        );
        eventually(SECOND, "the port in the set", || {
            ports(&host, set) == [u64::from(port)]
        });

        for client_first in [true, false, true] {
            agent.kill().unwrap();
            alice.process.kill().unwrap();
            assert_eq!(watcher.next(SECOND), (Kind::Delete, 0));
            assert_eq!(monitor.next(SECOND), event("delete", 0));
            let second = if client_first {
                alice.restart(&host, &SERVER_ARGUMENTS);
                alice.until(SECOND * 5, "a client with a port", |status| {
                    status.port != 0
                });
                let second = Instant::now();
                agent = world.agent(&host, arguments);
                second
            } else {
                agent = world.agent(&host, arguments);
                agent.wait_for_line("follows the port", SECOND * 5).unwrap();
                let second = Instant::now();
                alice.restart(&host, &SERVER_ARGUMENTS);
                second
            };
            let status = alice.until(
                SECOND,
                "a qualified client and a firewall in step",
                |status| {
                    status.state == Phase::Qualified
                        && status.firewall.iter().any(|gate| gate.in_sync)
                },
            );
            assert_eq!(ports(&host, set), [u64::from(status.port)]);
            assert_eq!(watcher.next(SECOND), (Kind::Add, status.port));
            assert_eq!(monitor.next(SECOND), event("add", status.port));
            let took = second.elapsed();
            assert!(
                took < SECOND,
                "{set}, client first: {client_first}: right again after {took:?}"
            );
        }
    }
}

/// N-01, N-13, N-15: a subscriber learns of every end and every start of the client, in order, of none twice.
#[test]
fn ten_restarts_are_ten_deletes_and_ten_adds() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let mut alice = world.client(&host, &[]);
    let first = alice.qualified().port;
    let (watcher, mut monitor) = (
        Subscriber::new(&alice.socket),
        Monitor::start(&host, &alice),
    );
    let mut ports = vec![first];
    for round in 0..10 {
        if round % 2 == 0 {
            alice.process.kill().unwrap();
        } else {
            alice.process.terminate(SECOND).unwrap();
        }
        assert_eq!(watcher.next(SECOND), (Kind::Delete, 0), "round {round}");
        alice.restart(&host, &SERVER_ARGUMENTS);
        let (kind, port) = watcher.next(SECOND * 5);
        assert_eq!(
            (kind, port),
            (Kind::Add, alice.status().port),
            "round {round}"
        );
        ports.push(port);
    }
    alice.process.terminate(SECOND).unwrap();
    assert_eq!(watcher.next(SECOND), (Kind::Delete, 0));
    assert!(
        watcher.told.try_recv().is_err(),
        "the last one was the last"
    );

    for port in &ports[1..] {
        assert_eq!(monitor.next(SECOND), event("delete", 0));
        assert_eq!(monitor.next(SECOND), event("add", *port));
    }
    assert_eq!(monitor.next(SECOND), event("delete", 0));
}

/// N-11, N-13, N-16: `teredo rebind`, `stop` and `start` return when it is done, and say what they did.
#[test]
fn rebind_stop_and_start_do_what_they_say() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    nft(&host, DEFAULT_DROP);
    let _agent = world.agent(&host, &["--set", SET]);
    let alice = world.client(&host, &[]);
    let first = alice.qualified().port;
    let mut monitor = Monitor::start(&host, &alice);
    assert_eq!(ask(&host, &alice, &["port"]).port(), first);

    let second = ask(&host, &alice, &["rebind"]).port();
    assert_ne!(second, first);
    assert_eq!(
        open_ports(&host),
        [u64::from(second)],
        "open when the command returns"
    );
    assert_eq!(ask(&host, &alice, &["port"]).port(), second);
    assert_eq!(monitor.next(SECOND), event("change", second));
    assert_eq!(alice.qualified().local.unwrap().port(), second);

    let third = ask(&host, &alice, &["rebind", "--port", "24545"]).port();
    assert_eq!((third, &open_ports(&host)[..]), (24545, &[24545][..]));
    assert_eq!(monitor.next(SECOND), event("change", 24545));
    // No change, so nobody is told.
    assert_eq!(
        ask(&host, &alice, &["rebind", "--port", "24545"]).port(),
        24545
    );
    assert_eq!(alice.qualified().local.unwrap().port(), 24545);

    let before = traces(&host);
    let stopped = ask(&host, &alice, &["stop"]);
    assert_eq!(
        (stopped.code, stopped.stdout.as_str()),
        (Some(0), ""),
        "{stopped:?}"
    );
    assert!(
        open_ports(&host).is_empty(),
        "closed when the command returns"
    );
    assert_eq!(monitor.next(SECOND), event("delete", 0));
    ask(&host, &alice, &["port"]).fails(3, "there is no Teredo port");
    ask(&host, &alice, &["rebind"]).fails(3, "there is no Teredo port");
    alice.until(SECOND, "an address taken off", |status| {
        status.address.is_none()
    });
    let status = ask(&host, &alice, &["status"]);
    assert_eq!(status.code, Some(3), "{status:?}");
    assert!(
        status.stdout.contains("teredo  offline") && status.stdout.contains("Local port: none"),
        "{status:?}"
    );
    assert!(status.stdout.contains("Reason: "), "{status:?}");
    assert!(
        traces(&host)[1].len() < before[1].len(),
        "{:?}",
        traces(&host)
    );
    assert_eq!(ask(&host, &alice, &["stop"]).code, Some(0));

    let fourth = ask(&host, &alice, &["start"]).port();
    assert_eq!(
        open_ports(&host),
        [u64::from(fourth)],
        "open when the command returns"
    );
    assert_eq!(monitor.next(SECOND), event("add", fourth));
    let status = alice.qualified();
    assert_eq!(status.port, fourth);
    assert_eq!(ask(&host, &alice, &["start"]).port(), fourth);
    let status = ask(&host, &alice, &["status"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(status.stdout.contains("teredo  qualified"), "{status:?}");

    // The next event is of this, so the commands that changed nothing had none.
    let fifth = ask(&host, &alice, &["rebind"]).port();
    assert_eq!(monitor.next(SECOND), event("change", fifth));
}

/// A port that another program has is refused by its number, and the client stays where it is.
#[test]
fn a_port_of_another_program_is_refused() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    let other = host
        .udp_socket(("0.0.0.0".parse::<std::net::Ipv4Addr>().unwrap(), 0))
        .unwrap();
    let taken = other.local_addr().unwrap().port();
    let refused = ask(&host, &alice, &["rebind", "--port", &taken.to_string()]);
    refused.fails(1, &format!("port {taken} is in use by another program"));
    assert_eq!(alice.qualified().port, port);
}

/// N-18: who has no right may read and be told, and is told what he lacks for the rest.
#[test]
fn anybody_may_read_and_only_some_may_steer() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    // The test's own folder is closed to others, unlike /run.
    let folder = alice.socket.parent().unwrap();
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();

    let sequence = alice.status().sequence;
    for command in ["rebind", "stop", "start"] {
        ask_as_nobody(&host, &alice, &[command])
            .fails(4, "root or membership of the service's group");
    }
    assert_eq!(alice.status().sequence, sequence, "the port has moved");
    ask_as_nobody(&host, &alice, &["firewall"]).fails(4, "not permitted to change nftables");

    assert_eq!(ask_as_nobody(&host, &alice, &["port"]).port(), port);
    let status = ask_as_nobody(&host, &alice, &["status"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(
        status.stdout.contains(&format!("Local port: {port}/udp")),
        "{status:?}"
    );
    let monitor = ask_as_nobody(
        &host,
        &alice,
        &["monitor", "--json", "--events", "port", "--count", "1"],
    );
    assert_eq!(monitor.code, Some(0), "{monitor:?}");
    assert!(
        monitor.stdout.contains(&format!("\"port\":{port}")),
        "{monitor:?}"
    );
}

/// N-14, N-16: a firewall that hangs is waited for no longer than its deadline, named, and counted; when it is back
/// it opens the port that is in use then, and no other.
#[test]
fn a_firewall_that_hangs_is_left_behind_and_catches_up() {
    const DEADLINE: Duration = Duration::from_millis(250);

    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    nft(&host, DEFAULT_DROP);
    let agent = world.agent(&host, &["--set", SET]);
    let alice = world.client(&host, &[]);
    let first = alice.qualified().port;
    alice.until(SECOND, "a firewall in step", |status| {
        status.firewall.iter().any(|gate| gate.in_sync)
    });

    agent.signal(Signal::STOP).unwrap();
    for missed in 1..=2 {
        let asked = Instant::now();
        let outcome = alice.connect().rebind(None).unwrap();
        let took = asked.elapsed();
        assert!(!outcome.settled, "{outcome:?}");
        assert!(
            (DEADLINE..DEADLINE * 2).contains(&took),
            "the client waited for {took:?}"
        );
        let status = alice.status();
        assert_eq!(status.port, outcome.port);
        let [gate] = &status.firewall[..] else {
            panic!("{:?}", status.firewall)
        };
        assert_eq!(
            (gate.in_sync, gate.missed, gate.pid),
            (false, missed, Some(agent.id())),
            "{gate:?}"
        );
        alice
            .process
            .wait_for_line("has not confirmed the port in time", SECOND)
            .unwrap();
    }
    assert_eq!(
        open_ports(&host),
        [u64::from(first)],
        "nobody else touches the set"
    );
    let narrated = ask(&host, &alice, &["rebind"]);
    let last = narrated.port();
    assert!(
        narrated
            .stderr
            .contains("a firewall did not confirm the change in time"),
        "{narrated:?}"
    );

    let resumed = Instant::now();
    agent.signal(Signal::CONT).unwrap();
    let status = alice.until(SECOND, "a firewall in step", |status| {
        status.firewall.iter().any(|gate| gate.in_sync)
    });
    assert_eq!(open_ports(&host), [u64::from(last)]);
    assert_eq!((status.port, status.firewall[0].missed), (last, 3));
    alice.until(SECOND, "a qualified client", |status| {
        status.state == Phase::Qualified
    });
    assert!(
        resumed.elapsed() < SECOND,
        "right again after {:?}",
        resumed.elapsed()
    );
}
