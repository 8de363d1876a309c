//! Make before break: the port moves, and the firewall is always there first.

use std::collections::HashMap;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use teredo_lab::{Capture, Host, Receive};
use teredo_notify::types::Carrier;

use crate::world::*;

const REBINDS: usize = 1000;
const ECHO_PORT: u16 = 7000;

/// As [`DEFAULT_DROP`], with a record of the ports for which incoming datagrams are dropped.
const WITNESS: &str = "\
table inet filter {
    set dropped_ports { type inet_service; flags dynamic; size 65535; counter; }
    chain witness {
        type filter hook input priority filter - 5;
        iifname != { lo, teredo } udp dport != @teredo_ports add @dropped_ports { udp dport }
    }
}";

/// N-16, F-2: 1,000 rebinds in a row under traffic in both directions. The outgoing drop rule counts no datagram of
/// the client, the incoming one none for the port then in use, and nothing ever leaves from a port that is not in
/// the set.
#[test]
fn a_thousand_rebinds_under_traffic_lose_nothing_to_the_firewall() {
    let (world, _server) = World::with_server();
    let (alice_host, bob_host) = (
        world.left.host("alice").unwrap(),
        world.right.host("bob").unwrap(),
    );
    nft(&alice_host, DEFAULT_DROP);
    nft(&alice_host, WITNESS);
    let _agent = world.agent(&alice_host, &["--set", "inet filter teredo_ports"]);
    let (alice, bob) = (world.client(&alice_host, &[]), world.client(&bob_host, &[]));
    let bob_address = bob.address();
    let first = alice.qualified();
    alice.until(SECOND, "a firewall in step", |status| {
        status.firewall.iter().any(|gate| gate.in_sync)
    });
    let lost_at_start = counted(&alice_host, "dropped_out");

    let capture = Capture::start(alice_host.namespace(), alice_host.interface()).unwrap();
    let (done, echoed) = (AtomicBool::new(false), AtomicU64::new(0));
    // The port, and when the rebind that ended its use was called.
    let mut ports: Vec<(u16, Option<SystemTime>)> = vec![(first.port, None)];
    let mut unsettled = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| echo(&bob_host, &done));
        scope.spawn(|| ask(&alice_host, bob_address, &done, &echoed));
        let mut connection = alice.connect();
        for _ in 0..REBINDS {
            ports.last_mut().unwrap().1 = Some(SystemTime::now());
            let outcome = connection.rebind(None).unwrap();
            unsettled += usize::from(!outcome.settled);
            ports.push((outcome.port, None));
        }
        alice.qualified();
        let before = echoed.load(Ordering::Relaxed);
        eventually(SECOND * 15, "traffic after the last rebind", || {
            echoed.load(Ordering::Relaxed) > before
        });
        done.store(true, Ordering::Relaxed);
    });

    assert_eq!(
        unsettled, 0,
        "rebinds that the firewall did not confirm in time"
    );
    assert_eq!(
        counted(&alice_host, "dropped_out"),
        lost_at_start,
        "outgoing datagrams dropped"
    );
    assert_eq!(
        open_ports(&alice_host),
        [u64::from(ports.last().unwrap().0)]
    );
    assert!(echoed.load(Ordering::Relaxed) > 0);
    outgoing_is_in_turn(&capture, &ports);
    incoming_is_let_in_while_in_use(&alice_host, &capture, &ports);
}

/// N-16: after each rebind under load packets pass in the kernel again, the firewall drops none that leaves, and none leaves
/// from a port out of turn.
#[test]
fn after_each_rebind_under_load_packets_pass_in_the_kernel_again() {
    // Bob answers so many new addresses behind one IPv4 address a second (RFC 4380 section 5.2.6), and no more.
    let (rebinds, load) = if std::env::var_os("TEREDO_LONG").is_some() {
        (REBINDS, 1000)
    } else {
        (25, 50)
    };
    let (world, _server) = World::with_server();
    let (alice_host, bob_host) = (
        world.left.host("alice").unwrap(),
        world.right.host("bob").unwrap(),
    );
    nft(&alice_host, DEFAULT_DROP);
    nft(&alice_host, WITNESS);
    let _agent = world.agent(&alice_host, &["--set", "inet filter teredo_ports"]);
    let kernel = ["--data-path", "kernel"];
    let alice = world.client(&alice_host, &kernel);
    let bob = world.client(&bob_host, &kernel);
    let bob_address = bob.address();
    let first = alice.qualified();
    alice.until(SECOND, "a firewall in step", |status| {
        status.firewall.iter().any(|gate| gate.in_sync)
    });
    let lost_at_start = counted(&alice_host, "dropped_out");
    let capture = Capture::start(alice_host.namespace(), alice_host.interface()).unwrap();
    let (done, echoed) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut ports: Vec<(u16, Option<SystemTime>)> = vec![(first.port, None)];
    let mut times = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| echo(&bob_host, &done));
        for _ in 0..2 {
            scope.spawn(|| ask(&alice_host, bob_address, &done, &echoed));
        }
        let mut connection = alice.connect();
        for _ in 0..rebinds {
            let before = connection.get_status().unwrap().data_path.packets.kernel;
            ports.last_mut().unwrap().1 = Some(SystemTime::now());
            let outcome = connection.rebind(None).unwrap();
            assert!(outcome.settled);
            ports.push((outcome.port, None));
            times.push(eventually(SECOND * 15, "packets in the kernel", || {
                let path = connection.get_status().unwrap().data_path;
                // Those that were under way at the rebind are fewer.
                path.in_use == Carrier::Kernel && path.packets.kernel > before + 50
            }));
            eventually(SECOND * 15, "more of them", || {
                connection.get_status().unwrap().data_path.packets.kernel > before + load
            });
        }
        done.store(true, Ordering::Relaxed);
    });
    times.sort();
    println!("from a settled port to packets in the kernel: {times:?}");
    assert_eq!(
        counted(&alice_host, "dropped_out"),
        lost_at_start,
        "outgoing datagrams dropped"
    );
    outgoing_is_in_turn(&capture, &ports);
    incoming_is_let_in_while_in_use(&alice_host, &capture, &ports);
}

/// Bob sends back what he gets.
fn echo(host: &Host, done: &AtomicBool) {
    let socket = host.udp_socket((Ipv6Addr::UNSPECIFIED, ECHO_PORT)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let mut buffer = [0; 2048];
    while !done.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.receive_from(&mut buffer) {
            // Alice's address may be an old one by now.
            let _ = socket.send_to(&buffer[..length], from);
        }
    }
}

/// Alice asks again as soon as she has her answer, or a millisecond later, from whatever address she has.
fn ask(host: &Host, bob: Ipv6Addr, done: &AtomicBool, echoed: &AtomicU64) {
    let socket = host.udp_socket((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    let to = SocketAddr::V6(SocketAddrV6::new(bob, ECHO_PORT, 0, 0));
    let mut buffer = [0; 2048];
    while !done.load(Ordering::Relaxed) {
        // Between two addresses there is none to send from.
        let _ = socket.send_to(&[0x5a; 200], to);
        if socket.receive(&mut buffer).is_ok() {
            echoed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Every datagram leaves from the port then in use: the ports appear in the order of the rebinds.
fn outgoing_is_in_turn(capture: &Capture, ports: &[(u16, Option<SystemTime>)]) {
    let mut turn = 0;
    for frame in capture.frames() {
        let Some(datagram) = frame.udp() else {
            continue;
        };
        if datagram.from.ip().is_private() {
            let port = datagram.from.port();
            let ahead = ports[turn..].iter().position(|&(used, _)| used == port);
            turn += ahead.unwrap_or_else(|| {
                panic!("a datagram left from port {port} out of turn, after rebind {turn}")
            });
        }
    }
    assert!(
        turn + 2 >= ports.len(),
        "the capture ends with rebind {turn}"
    );
}

/// Checks that incoming datagrams were dropped only after the use of their port had ended.
fn incoming_is_let_in_while_in_use(
    host: &Host,
    capture: &Capture,
    ports: &[(u16, Option<SystemTime>)],
) {
    let mut late: HashMap<u16, u64> = HashMap::new();
    let frames = capture.frames();
    // The capture keeps the last ones.
    let begins = frames.first().map(|frame| frame.time);
    let is_judged = |port: u64| {
        let of_port = |&&(used, _): &&(u16, _)| u64::from(used) == port;
        let mut uses = ports.iter().filter(of_port);
        uses.all(|&(_, ended)| {
            ended.is_none_or(|ended| begins.is_some_and(|begins| begins < ended))
        })
    };
    for frame in frames {
        let Some(datagram) = frame.udp() else {
            continue;
        };
        let port = datagram.to.port();
        if datagram.to.ip().is_private()
            && ports.iter().any(|&(used, ended)| {
                used == port && ended.is_some_and(|ended| ended <= frame.time)
            })
        {
            *late.entry(port).or_default() += 1;
        }
    }
    let listing = nft_json(host, "set inet filter dropped_ports").unwrap();
    let elements = listing["nftables"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|item| item["set"]["elem"].as_array().cloned());
    for element in elements.unwrap_or_default() {
        let port = element["elem"]["val"].as_u64().unwrap();
        if !is_judged(port) {
            continue;
        }
        // The element is added by the first datagram, and counts that one too.
        let dropped = element["elem"]["counter"]["packets"].as_u64().unwrap();
        let late = late.get(&(port as u16)).copied().unwrap_or_default();
        assert!(
            dropped <= late,
            "{dropped} datagrams for port {port} were dropped, {late} came after its use"
        );
    }
}
