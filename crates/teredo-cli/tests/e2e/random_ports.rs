//! Random ports (RFC 6081 §5.4): the firewall admits them, and nobody else hears of them.

use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use teredo_lab::{Capture, Home, Host};
use teredo_notify::call::CallError;
use teredo_notify::types::EventName;
use teredo_notify::watcher::GatingSubscriber;

use crate::shell::traces;
use crate::world::*;

/// The service port of each client. Behind such a router the server's primary address sees it as it is, and every other
/// destination sees another port; all other ports of a host are preserved.
pub(crate) const PORT: &str = "4000";
const SYMMETRIC: &str = "table ip symmetric { chain postrouting { \
    type nat hook postrouting priority 90; \
    oifname uplink udp sport 4000 ip daddr != 192.0.2.45 masquerade fully-random; }; }";

/// Two homes behind port-preserving symmetric NATs, made by the kernel.
pub(crate) fn world() -> (World, teredo_lab::Process) {
    let (world, server) = World::with_server();
    for home in [&world.left, &world.right] {
        let mut command = Command::new("nft");
        let child = home.router().spawn(command.arg(SYMMETRIC)).unwrap();
        assert!(child.wait_with_output().unwrap().status.success());
    }
    (world, server)
}

fn host(home: &Home, name: &str) -> Host {
    home.host(name).unwrap()
}

/// The random ports in a set that also has the service port.
fn random_ports(host: &Host, set: &str) -> Vec<u64> {
    let mut all = ports(host, set);
    assert!(all.contains(&4000), "{all:?}");
    all.retain(|port| *port != 4000);
    all
}

/// N-13, N-16, F-2, R6081-5.4.4.2-01: two clients behind port-preserving symmetric NATs meet. Their firewalls, of which one
/// drops everything else in both directions, admit the random ports before a datagram leaves from them; subscribers
/// and monitors hear nothing. The exceptions end with the ports, and with a killed client.
#[test]
fn firewalls_admit_random_ports() {
    let (world, _server) = world();
    let [alice_host, bob_host] =
        [(&world.left, "alice"), (&world.right, "bob")].map(|(home, name)| host(home, name));
    nft(&alice_host, DEFAULT_DROP);
    let _agents = [
        world.agent(&alice_host, &["--set", SET]),
        world.agent(&bob_host, &["--allow-inbound", "7000/tcp"]),
    ];
    let clients = [&alice_host, &bob_host].map(|host| world.client(host, &["--port", PORT]));
    for client in &clients {
        let status = client.qualified();
        assert_eq!(status.nat.as_deref(), Some("symmetric"));
        client.until(SECOND * 5, "a firewall in step", |status| {
            status.firewall.iter().any(|gate| gate.in_sync)
        });
    }
    let [alice, bob] = clients;
    let to = bob.address();
    let mut subscription = alice.connect().subscribe(false).unwrap();
    let mut monitor = alice.connect().monitor(&[EventName::Port]).unwrap();
    monitor.next().unwrap().unwrap();
    let dropped = counted(&alice_host, "dropped_out");
    let capture = Capture::start(alice_host.namespace(), alice_host.interface()).unwrap();

    let there = teredo_lab::ping(&alice_host, to, 3, SECOND * 10).unwrap();
    assert!(there.are_all_in_order(3), "{there:?}");
    for (client, host, set) in [(&alice, &alice_host, SET), (&bob, &bob_host, OWN_SET)] {
        let status = client.status();
        assert_eq!((status.port, status.random_ports), (4000, 1));
        assert!(status.firewall.iter().all(|gate| gate.in_sync));
        assert_eq!(status.firewall[0].random_trouble, None);
        let random = random_ports(host, set);
        assert!(random.len() == 1 && random[0] >= 49_152, "{random:?}");
    }
    // In trains, in both directions.
    transfer(&alice_host, &bob_host, to);
    assert_eq!(
        (alice.status().random_ports, bob.status().random_ports),
        (1, 1)
    );
    assert_eq!(counted(&alice_host, "dropped_out"), dropped);
    let random = random_ports(&alice_host, SET)[0];
    let from_random = capture.frames().iter().any(|frame| {
        let datagram = frame.udp();
        datagram.is_some_and(|datagram| u64::from(datagram.from.port()) == random)
    });
    assert!(from_random, "nothing left from port {random}");
    let quiet = subscription.next_within(Duration::from_millis(100));
    assert!(matches!(quiet, Err(CallError::TimedOut)), "{quiet:?}");
    let quiet = monitor.next_within(Duration::from_millis(100));
    assert!(matches!(quiet, Err(CallError::TimedOut)), "{quiet:?}");

    // Another port has another mapping: the random ports end.
    bob.connect().rebind(None).unwrap();
    let status = bob.qualified();
    eventually(SECOND * 5, "the new port alone", || {
        ports(&bob_host, OWN_SET) == [u64::from(status.port)]
    });
    assert_eq!(bob.status().random_ports, 0);
    alice.process.kill().unwrap();
    eventually(SECOND, "the end of all exceptions", || {
        ports(&alice_host, SET).is_empty()
    });
    assert_eq!(traces(&alice_host)[0], Vec::<String>::new());
}

/// Sends 4 MiB over TCP, and gets them back.
fn transfer(from: &Host, to: &Host, address: Ipv6Addr) {
    const CHUNK: usize = 64 * 1024;
    const CHUNKS: usize = 64;
    let listener = to.namespace().run(|| TcpListener::bind((address, 7000)));
    let listener = listener.unwrap().unwrap();
    let connect = || TcpStream::connect_timeout(&(address, 7000).into(), SECOND * 5);
    let mut here = from.namespace().run(connect).unwrap().unwrap();
    let (mut there, _) = listener.accept().unwrap();
    for stream in [&here, &there] {
        stream.set_read_timeout(Some(SECOND * 20)).unwrap();
        stream.set_write_timeout(Some(SECOND * 20)).unwrap();
    }
    let echo = std::thread::spawn(move || {
        let mut reader = there.try_clone().unwrap();
        std::io::copy(&mut reader, &mut there).unwrap();
        there.shutdown(Shutdown::Write).unwrap();
    });
    let mut writer = here.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for number in 0..CHUNKS {
            writer.write_all(&[number as u8; CHUNK]).unwrap();
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    here.read_to_end(&mut received).unwrap();
    sender.join().unwrap();
    echo.join().unwrap();
    assert_eq!(received.len(), CHUNK * CHUNKS);
    let mut chunks = received.chunks(CHUNK).enumerate();
    assert!(chunks.all(|(number, chunk)| chunk.iter().all(|byte| *byte == number as u8)));
}

/// N-16: a firewall of an earlier version settles the port alone, so the client does without random ports, says so, and is
/// served as before.
#[test]
fn a_firewall_that_does_not_know_random_ports_has_none() {
    let (world, _server) = world();
    let [alice_host, bob_host] =
        [(&world.left, "alice"), (&world.right, "bob")].map(|(home, name)| host(home, name));
    let alice = world.client(&alice_host, &["--port", PORT]);
    let bob = world.client(&bob_host, &["--port", PORT]);
    alice.qualified();
    let socket = alice.socket.clone();
    let namespace = alice_host.namespace();
    std::thread::scope(|scope| {
        scope.spawn(|| namespace.run(|| settle_ports(&socket)).unwrap());
        let status = alice.until(SECOND * 5, "the gate", |status| {
            status.firewall.iter().any(|gate| gate.in_sync)
        });
        assert!(status.firewall[0].random_trouble.is_some());
        let capture = Capture::start(namespace, alice_host.interface()).unwrap();
        let there = teredo_lab::ping(&alice_host, bob.address(), 1, SECOND * 5).unwrap();
        let met = there.are_all_in_order(1);
        let random = alice.status().random_ports;
        // The gate ends with the client.
        drop(alice);
        assert!(!met && random == 0, "{random} random ports: {there:?}");
        let local = alice_host.ipv4();
        let from = |frame: &teredo_lab::Frame| {
            let datagram = frame.udp()?;
            (*datagram.from.ip() == local).then(|| datagram.from.port())
        };
        let frames = capture.frames();
        let mut sources = frames.iter().filter_map(from).peekable();
        assert!(sources.peek().is_some() && sources.all(|port| port == 4000));
    });
}

/// Acts as a firewall of an earlier version, until the service ends.
fn settle_ports(socket: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let mut gate = GatingSubscriber::new(socket);
        while let Ok(state) = gate.next().await
            && gate.is_connected()
        {
            gate.settle(state.sequence).await;
        }
    });
}
