//! Debian's real firewalld on the client's host: it passes the port, follows it, and keeps nothing.

mod daemon;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use teredo_lab::{Host, Process, Receive as _};

use crate::random_ports;
use crate::visitor::{ALLOWED, CLOSED, Visitor};
use crate::world::*;
pub(crate) use daemon::Firewalld;

/// A host with D-Bus and firewalld.
struct Walled<'a> {
    world: &'a World,
    host: &'a Host,
    /// Another host of the same network.
    neighbour: Host,
    firewalld: Firewalld<'a>,
}

impl<'a> Walled<'a> {
    fn new(world: &'a World, host: &'a Host) -> Self {
        let neighbour = world.left.host("neighbour").unwrap();
        // Each refusal is answered.
        for sysctl in ["net/ipv4/icmp_ratelimit", "net/ipv4/icmp_msgs_per_sec"] {
            let value = if sysctl.ends_with("ratelimit") {
                "0"
            } else {
                "100000"
            };
            // The second one is the machine's in some kernels, and generous enough.
            let _ = host.namespace().set_sysctl(sysctl, value);
        }
        Self {
            world,
            host,
            neighbour,
            firewalld: Firewalld::start(world, host),
        }
    }

    fn agent(&self, arguments: &[&str]) -> Process {
        let socket = self.world.path(&format!("{}.sock", self.host.name()));
        let mut command = teredo();
        command
            .arg("firewall")
            .arg("--socket")
            .arg(socket)
            .args(arguments)
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.firewalld.address());
        Process::spawn(self.host.namespace(), "agent", &mut command).unwrap()
    }

    /// The ports of the agent's rules in a zone, as the kernel has them.
    fn ports(&self, zone: &str) -> Vec<u16> {
        let chain = format!("filter_IN_{zone}_post");
        let output = run(
            self.host,
            Command::new("nft").args(["list", "chain", "inet", "firewalld", &chain]),
        );
        let text = String::from_utf8(output.stdout).unwrap();
        let port = |line: &str| {
            let rest = line.trim().strip_prefix("meta nfproto ipv4 udp dport ")?;
            rest.strip_suffix(" accept")?.parse().ok()
        };
        let mut ports: Vec<u16> = text.lines().filter_map(port).collect();
        ports.dedup();
        ports
    }

    /// Sends a datagram of a new flow from the neighbour. Whether the firewall refused it.
    fn is_refused(&self, port: u16) -> bool {
        let socket = self
            .neighbour
            .udp_socket((self.neighbour.ipv4(), 0))
            .unwrap();
        let to = SocketAddr::from((self.host.ipv4(), port));
        socket.connect(to).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        socket.send(b"?").unwrap();
        match socket.receive(&mut [0; 16]) {
            // The answer of `reject with icmpx admin-prohibited`.
            Err(error) => matches!(
                error.kind(),
                ErrorKind::HostUnreachable | ErrorKind::PermissionDenied
            ),
            Ok(_) => false,
        }
    }

    /// The permanent configuration, byte for byte.
    fn permanent(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        read_all(&self.world.path("firewalld"), &mut files);
        files
    }
}

fn read_all(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, files);
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}

/// N-16, F-2: firewalld admits random ports like the port, and closes them with it.
#[test]
fn firewalld_admits_random_ports() {
    let (world, _server) = random_ports::world();
    let [host, far] = [(&world.left, "alice"), (&world.right, "bob")]
        .map(|(home, name)| home.host(name).unwrap());
    let walled = Walled::new(&world, &host);
    let _agent = walled.agent(&[]);
    let [alice, bob] =
        [&host, &far].map(|host| world.client(host, &["--port", random_ports::PORT]));
    let to = bob.address();
    // Without its address there is no route.
    alice.qualified();
    alice.until(SECOND * 5, "a firewall in step", in_sync);
    // A firewalld that takes longer than the deadline costs this attempt, and the next one comes after 30 s.
    eventually(SECOND * 60, "a path through random ports", || {
        let there = teredo_lab::ping(&host, to, 1, SECOND * 5).unwrap();
        there.are_all_in_order(1)
    });
    let status = alice.status();
    assert_eq!((status.port, status.random_ports), (4000, 1));
    assert_eq!(status.firewall[0].random_trouble, None);
    assert!(status.problems.is_empty(), "{:?}", status.problems);
    let open = walled.ports("public");
    let random = open.iter().find(|port| **port >= 49_152);
    let random = *random.unwrap_or_else(|| panic!("no random port in {open:?}"));
    assert!(!walled.is_refused(random) && open.contains(&4000));
    alice.connect().stop().unwrap();
    eventually(SECOND * 5, "the end of the rules", || {
        walled.ports("public").is_empty()
    });
}

/// N-16, F-1, F-2: firewalld's rules let the port through before it is used, the old one closes, and both the client's end
/// and the agent's close it. Rules of others and the permanent configuration stay as they were.
#[test]
fn firewalld_follows_the_port() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let walled = Walled::new(&world, &host);
    walled.firewalld.tell(&["--add-port=9/udp"]);
    walled.firewalld.tell(&["--add-rich-rule=rule priority=\"7\" family=\"ipv4\" port port=\"40404\" protocol=\"udp\" accept"]);
    let foreign = walled.firewalld.tell(&["--list-all"]);
    let permanent = walled.permanent();

    let mut agent = walled.agent(&[]);
    let alice = world.client(&host, &[]);
    let first = alice.qualified().port;
    let status = alice.until(SECOND * 5, "a firewall in step", in_sync);
    let gate = &status.firewall[0];
    assert_eq!(gate.backend.as_deref(), Some("firewalld (zone public)"));
    assert!(status.problems.is_empty(), "{:?}", status.problems);
    assert!(walled.ports("public").contains(&first));
    assert!(!walled.is_refused(first));
    // None of its rules judges single packets, which would keep the path in the kernel closed.
    let examine = || {
        let datagrams = teredo_nft::Datagrams::of(1..=u16::MAX);
        teredo_nft::Netlink::open()?.examine(&datagrams)
    };
    let examination = host.namespace().run(examine).unwrap().unwrap();
    assert_eq!(examination.found, None);
    // A refusal can be seen at all.
    assert!(walled.is_refused(first ^ 1));

    let mut slowest = 0;
    let mut old = first;
    for _ in 0..20 {
        let next = alice.connect().rebind(None).unwrap();
        assert!(next.settled, "firewalld was too slow");
        assert!(
            walled.ports("public").contains(&next.port),
            "confirmed before it was open"
        );
        let gate = &alice.status().firewall[0];
        assert_eq!(gate.missed, 0);
        slowest = slowest.max(gate.settle_us.unwrap());
        eventually(SECOND, "the old port closed", || {
            !walled.ports("public").contains(&old)
        });
        old = next.port;
    }
    println!("slowest confirmation of 20: {slowest} us");
    assert!(!walled.is_refused(old));
    assert!(walled.is_refused(first));

    alice.connect().stop().unwrap();
    eventually(SECOND, "no port", || walled.ports("public") == [40404]);
    assert!(walled.is_refused(old));
    alice.connect().start().unwrap();
    let again = alice.qualified().port;
    alice.until(SECOND * 5, "a firewall in step", in_sync);
    assert!(walled.ports("public").contains(&again));

    // The lease ends when the agent does not renew it.
    agent.kill().unwrap();
    let killed = Instant::now();
    eventually(Duration::from_secs(18), "the lease ends", || {
        walled.ports("public") == [40404]
    });
    println!("closed {:?} after the agent was killed", killed.elapsed());
    agent = walled.agent(&[]);
    alice.until(SECOND * 5, "a firewall in step", in_sync);
    assert!(walled.ports("public").contains(&again));
    agent.terminate(SECOND * 5).unwrap();
    assert_eq!(walled.ports("public"), [40404]);
    assert_eq!(walled.firewalld.tell(&["--list-all"]), foreign);
    assert_eq!(walled.permanent(), permanent);
    walled.firewalld.stop_bus();
}

/// No renewal leaves a moment without a rule: not one datagram of a new flow is refused over many leases.
#[test]
fn a_renewal_by_firewalld_leaves_no_gap() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let walled = Walled::new(&world, &host);
    let _agent = walled.agent(&["--lease", "1"]);
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    alice.until(SECOND * 5, "a firewall in step", in_sync);
    let (arrived, passed) = passage(walled.host);
    let end = Instant::now() + SECOND * 6;
    let to = SocketAddr::from((host.ipv4(), port));
    let mut sent = 0;
    while Instant::now() < end {
        let socket: UdpSocket = walled
            .neighbour
            .udp_socket((walled.neighbour.ipv4(), 0))
            .unwrap();
        socket.send_to(b"?", to).unwrap();
        sent += 1;
    }
    eventually(SECOND, "all datagrams", || {
        passage(walled.host).0 >= arrived + sent
    });
    let (all, through) = passage(walled.host);
    println!(
        "{sent} datagrams, {} refused",
        (all - arrived) - (through - passed)
    );
    assert_eq!(all - arrived, through - passed);
}

/// The port is open again after firewalld's reloads, its stop, its restart and its crash, and the status tells the truth
/// meanwhile. It is opened in the zone of the interface.
#[test]
fn firewalld_may_reload_restart_and_crash() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let mut walled = Walled::new(&world, &host);
    let _agent = walled.agent(&[]);
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    alice.until(SECOND * 5, "a firewall in step", in_sync);
    for reload in ["--reload", "--complete-reload", "--reload"] {
        walled.firewalld.tell(&[reload]);
        let back = eventually(SECOND, reload, || walled.ports("public") == [port]);
        println!("{reload}: open again {back:?} after its end");
        alice.until(SECOND, "a firewall in step", in_sync);
    }
    // firewalld does not know of this, and cannot even add a rule until it loads all of them again.
    nft(&host, "flush chain inet firewalld filter_IN_public_post");
    alice.until(SECOND * 3, "the truth", |status| {
        !in_sync(status) && status.problems.join("\n").contains("firewalld")
    });
    walled.firewalld.tell(&["--reload"]);
    eventually(SECOND, "the port", || walled.ports("public") == [port]);
    alice.until(SECOND, "a firewall in step", in_sync);
    // The timeouts of rules that a reload removed do not remove those that came after it.
    let (arrived, passed) = passage(walled.host);
    let end = Instant::now() + Duration::from_secs(17);
    while Instant::now() < end {
        assert!(!walled.is_refused(port));
    }
    let (all, through) = passage(walled.host);
    assert_eq!(all - arrived, through - passed);

    let interface = format!("--change-interface={}", host.interface());
    walled.firewalld.tell(&["--zone=work", &interface]);
    eventually(SECOND, "the other zone", || {
        walled.ports("work") == [port] && walled.ports("public").is_empty()
    });
    assert!(!walled.is_refused(port));
    alice.until(SECOND * 2, "the zone in the status", |status| {
        status.firewall[0].backend.as_deref() == Some("firewalld (zone work)")
    });

    // Without firewalld, nothing of it stands in the way.
    walled.firewalld.stop();
    assert!(!walled.is_refused(port));
    alice.until(SECOND * 2, "a firewall in step", |status| {
        in_sync(status) && status.firewall[0].backend.is_none()
    });
    walled.firewalld.start_again();
    eventually(SECOND * 2, "the port", || walled.ports("public") == [port]);
    alice.until(SECOND * 2, "a firewall in step", in_sync);

    // Its rules outlive its crash, so a new port cannot be opened.
    walled.firewalld.kill();
    let next = alice.connect().rebind(None).unwrap();
    assert!(!next.settled);
    let status = alice.until(SECOND * 5, "the truth", |status| !in_sync(status));
    let problems = status.problems.join("\n");
    assert!(
        problems.contains("'systemctl restart firewalld'"),
        "{problems}"
    );
    walled.firewalld.start_again();
    let back = eventually(SECOND * 2, "the port", || {
        walled.ports("public").contains(&next.port)
    });
    println!("restart: open again {back:?} after it answers");
    alice.until(SECOND * 2, "a firewall in step", in_sync);
    assert!(!walled.is_refused(next.port));
    // It does not know the rules that it left in the kernel, those of the administrator among them.
    assert!(walled.ports("public").contains(&port));
    walled.firewalld.tell(&["--reload"]);
    eventually(SECOND, "nothing of the crash", || {
        walled.ports("public") == [next.port]
    });
}

/// F-5: what `--allow-inbound` opens inside the tunnel passes firewalld, too, and nothing else does. With
/// `--backend nftables` firewalld is left alone.
#[test]
fn exceptions_inside_the_tunnel_pass_firewalld() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let walled = Walled::new(&world, &host);
    let agent = walled.agent(&["--allow-inbound", "5001/udp"]);
    let alice = world.client(&host, &[]);
    let bob_host = world.right.host("bob").unwrap();
    let bob = world.client(&bob_host, &[]);
    let (to, _) = (alice.address(), bob.address());
    alice.until(SECOND * 5, "a firewall in step", in_sync);

    let visitor = Visitor::new(&bob_host, &host, to);
    eventually(SECOND * 10, "a datagram through the tunnel", || {
        visitor.arrives(ALLOWED)
    });
    assert!(!visitor.arrives(CLOSED));
    agent.terminate(SECOND * 5).unwrap();
    assert!(
        !visitor.arrives(ALLOWED),
        "the exception outlives the agent"
    );
    let rules = walled.firewalld.tell(&["--list-rich-rules"]);
    assert_eq!(rules.trim(), "");

    let _agent = walled.agent(&["--backend", "nftables"]);
    alice.until(SECOND * 5, "the truth", |status| {
        let problems = status.problems.join("\n");
        problems.contains("the chain 'inet firewalld filter_INPUT'")
    });
    assert_eq!(walled.firewalld.tell(&["--list-rich-rules"]).trim(), "");
}
