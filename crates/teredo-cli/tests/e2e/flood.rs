//! More strangers than anybody can know (RFC 4380 §7.3.3).

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use teredo::wire::{Flags, TeredoAddress, emit_bubble, emit_echo_request};
use teredo_lab::{Host, NatKind};

use crate::order::Native;
use crate::world::*;

/// The duration of a flood. It goes on, to [`LONGEST`] at most, until it is [`ENOUGH`] to fill the table of peers.
const DURATION: Duration = Duration::from_secs(3);
const LONGEST: Duration = Duration::from_secs(8);
const ENOUGH: u32 = 80_000;
/// More echo requests than the table of peers has entries.
const FROM_ONE_MAPPING: u32 = 66_000;
/// The most memory for the table of peers, its queues and the program itself.
const MOST_MEMORY: u64 = 96 << 20;

/// R4380-5.2-06, R4380-7.3.3-01, R4380-7.4-01: for three seconds or more, as many bubbles as this machine can send, from
/// invented sources that vouch for themselves, up to 100,000 a second. The table keeps its bound and the memory too;
/// the established peer is not forgotten, which shows because there is no server any more to find it again; it is
/// answered all the while.
#[test]
fn a_client_under_a_flood_keeps_its_peers_and_its_bounds() {
    let world = World::new(NatKind::None, NatKind::PortRestricted);
    let server = world.serve();
    let [alice, bob] = [
        world.left.host("alice").unwrap(),
        world.right.host("bob").unwrap(),
    ];
    let mallory = Ipv4Addr::new(203, 0, 113, 66);
    let mallory = world.internet.host("mallory", &[mallory]).unwrap();
    let (client, peer) = (world.client(&alice, &[]), world.client(&bob, &[]));
    let (a, b) = (client.address(), peer.address());
    let target = client.status().mapped.unwrap();
    for (from, to) in [(&alice, b), (&bob, a)] {
        let replies = teredo_lab::ping(from, to, 5, SECOND * 5).unwrap();
        assert!(replies.are_all_in_order(5), "{replies:?}");
    }
    server.kill().unwrap();

    let (sent, over) = (AtomicU32::new(0), AtomicBool::new(false));
    let mut rounds = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            flood(&mallory, target, a, &sent);
            over.store(true, Ordering::Release);
        });
        while !over.load(Ordering::Acquire) {
            rounds += 1;
            answered(&alice, b);
            answered(&bob, a);
            let peers = client.status().peers;
            assert!(peers.total <= peers.capacity, "{peers:?}");
        }
    });
    let sent = sent.into_inner();
    println!("{sent} datagrams, {rounds} rounds of echo requests meanwhile");
    let status = client.status();
    assert!(
        sent > 10_000 && status.peers.total > 1_000,
        "{sent} sent: {:?}",
        status.peers
    );
    let memory = resident(client.process.id());
    assert!(memory < MOST_MEMORY, "{memory} bytes resident");
    // Still without a server: from the first packet on.
    let replies = teredo_lab::ping(&alice, b, 5, SECOND * 5).unwrap();
    assert!(replies.are_all_in_order(5), "{replies:?}");

    // And a stranger of good will is found as ever.
    let _server = world.serve();
    let carol = world.right.host("carol").unwrap();
    let newcomer = world.client(&carol, &[]);
    answered(&alice, newcomer.address());
}

/// R4380-5.2-06, R4380-7.3.3-01: 66,000 echo requests that the host answers, from one mapping with another server and
/// other flags each time, then a thousand a second. Meanwhile the host reaches twenty native hosts and a new client, a
/// new client reaches it, and the client that it knows stays.
#[test]
fn a_client_under_a_flood_from_one_mapping_serves_newcomers() {
    let world = World::new(NatKind::None, NatKind::PortRestricted);
    let Native {
        server,
        relay: relay_host,
        native,
        ..
    } = Native::new(&world);
    let _relay = world.relay(&relay_host, &[]);
    let primary = server.ipv4().to_string();
    let process = start(&server, "server", &["server", "--address", &primary]);
    process.wait_for_line("serving", SECOND * 5).unwrap();
    let mallory = Ipv4Addr::new(203, 0, 113, 66);
    let mallory = world.internet.host("mallory", &[mallory]).unwrap();
    let join = |host: &Host| world.client_with(host, &["--server", &primary]);
    let alice = world.left.host("alice").unwrap();
    let client = join(&alice);
    let own = client.address();
    let target = client.status().mapped.unwrap();
    let [bob, carol, dave] = ["bob", "carol", "dave"].map(|name| world.right.host(name).unwrap());
    let known = join(&bob);
    // The known client begins, and has the host's answer.
    known.qualified();
    answered(&bob, own);
    let natives: Vec<Ipv6Addr> = (1..=20)
        .map(|number| Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 1, number))
        .collect();
    for address in &natives {
        let arguments = format!("address add {address}/128 dev lo");
        let output = run(
            &native,
            Command::new("ip").arg("-6").args(arguments.split(' ')),
        );
        assert!(output.status.success(), "ip -6 {arguments}: {output:?}");
    }
    world
        .internet
        .announce("2001:db8:6::".parse().unwrap(), 48, &native)
        .unwrap();

    let (sent, over) = (AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| echo_from_one_mapping(&mallory, target, own, &sent, &over));
        eventually(SECOND * 60, "66,000 echo requests", || {
            sent.load(Ordering::Relaxed) >= FROM_ONE_MAPPING
        });
        let peers = client.status().peers;
        for &address in &natives {
            answered(&alice, address);
        }
        let (called, caller) = (join(&carol), join(&dave));
        answered(&alice, called.address());
        caller.qualified();
        answered(&dave, own);
        answered(&alice, known.address());
        over.store(true, Ordering::Release);
        assert!(
            peers.total * 32 < peers.capacity,
            "one address has no more than its share: {peers:?}"
        );
    });
    let memory = resident(client.process.id());
    assert!(memory < MOST_MEMORY, "{memory} bytes resident");
}

/// R4380-7.4-01, R4380-5.4.1-06: invented clients flood the relay over IPv4 while a host scans 2001:0::/32 through it.
/// Its memory keeps its bound, so does the kernel's table of neighbours, and the client that it knows is answered all the
/// while, without a server to find it again with.
#[test]
fn a_relay_under_a_flood_and_a_scan_keeps_its_clients_and_its_bounds() {
    let world = World::new(NatKind::PortRestricted, NatKind::None);
    let Native {
        server,
        relay: relay_host,
        native,
        address,
    } = Native::new(&world);
    let relay = world.relay(&relay_host, &[]);
    let primary = server.ipv4().to_string();
    let process = start(&server, "server", &["server", "--address", &primary]);
    process.wait_for_line("serving", SECOND * 5).unwrap();
    let mallory = Ipv4Addr::new(203, 0, 113, 66);
    let mallory = world.internet.host("mallory", &[mallory]).unwrap();
    let alice = world.left.host("alice").unwrap();
    let client = world.client_with(&alice, &["--server", &primary]);
    let known = client.address();
    for (from, to) in [(&alice, address), (&native, known)] {
        let replies = teredo_lab::ping(from, to, 5, SECOND * 5).unwrap();
        assert!(replies.are_all_in_order(5), "{replies:?}");
    }
    process.kill().unwrap();

    let target = SocketAddrV4::new(relay_host.ipv4(), relay.status().port);
    let (sent, over) = (AtomicU32::new(0), AtomicBool::new(false));
    let mut scanned = 0_u32;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            flood(&mallory, target, address, &sent);
            over.store(true, Ordering::Release);
        });
        let scanner = scope.spawn(|| {
            let socket = crate::order::socket(&native, address);
            let mut scanned = 0;
            while !over.load(Ordering::Acquire) {
                let mapped = SocketAddrV4::new(Ipv4Addr::from_bits(0x6000_0000 + scanned), 4444);
                let target = TeredoAddress {
                    server: SERVER,
                    flags: Flags::default(),
                    mapped,
                };
                // Without room on the way it is not sent.
                let _ = socket.send_to(&[0; 1_000], (target.to_ipv6(), 9));
                scanned += 1;
            }
            scanned
        });
        while !over.load(Ordering::Acquire) {
            answered(&alice, address);
            answered(&native, known);
            let peers = relay.status().peers;
            assert!(peers.total <= peers.capacity, "{peers:?}");
        }
        scanned = scanner.join().unwrap();
    });
    let sent = sent.into_inner();
    println!("{sent} datagrams, {scanned} addresses scanned");
    assert!(
        sent > 10_000 && scanned > 1_000,
        "{sent} sent, {scanned} scanned"
    );
    let shown = run(
        &relay_host,
        Command::new("ip").args(["-6", "neigh", "show", "nud", "all", "dev", "teredo"]),
    );
    let neighbours = String::from_utf8(shown.stdout).unwrap();
    assert!(
        neighbours.lines().count() < 8,
        "the scan fills a table that all interfaces of the host share: {neighbours}"
    );
    let memory = resident(relay.process.id());
    assert!(memory < MOST_MEMORY, "{memory} bytes resident");
    let replies = teredo_lab::ping(&native, known, 5, SECOND * 5).unwrap();
    assert!(replies.are_all_in_order(5), "{replies:?}");
}

/// Waits until an echo request is answered. The kernel may drop one of them for lack of room, as it drops parts of the
/// flood; the next one passes.
#[track_caller]
fn answered(from: &Host, to: Ipv6Addr) {
    let answered = |()| {
        !teredo_lab::ping(from, to, 1, SECOND)
            .unwrap()
            .order
            .is_empty()
    };
    eventually(SECOND * 8, "an answer", || answered(()));
}

/// Sends bubbles, each from another source.
fn flood(host: &Host, target: SocketAddrV4, destination: Ipv6Addr, sent: &AtomicU32) {
    let open = || -> std::io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP))?;
        socket.set_header_included_v4(true)?;
        Ok(socket)
    };
    let socket = host.namespace().run(open).unwrap().unwrap();
    let to = SockAddr::from(target);
    let start = Instant::now();
    let mut packet = Vec::new();
    let mut number = 0;
    while start.elapsed() < if number < ENOUGH { LONGEST } else { DURATION } {
        // A hundred in each millisecond, and no more.
        if u128::from(number) > start.elapsed().as_millis() * 100 {
            std::thread::yield_now();
            continue;
        }
        let from = SocketAddrV4::new(
            Ipv4Addr::from_bits(0x5000_0000 + number),
            1024 + (number % 60_000) as u16,
        );
        bubble(from, target, destination, &mut packet);
        // Without room in the host's own queue it is not sent.
        if socket.send_to(&packet, &to).is_ok() {
            number += 1;
            sent.store(number, Ordering::Relaxed);
        }
    }
}

/// Sends echo requests from one mapping, each with another inner source: [`FROM_ONE_MAPPING`] as fast as they are
/// taken, then a thousand a second until it is over.
fn echo_from_one_mapping(
    host: &Host,
    target: SocketAddrV4,
    destination: Ipv6Addr,
    sent: &AtomicU32,
    over: &AtomicBool,
) {
    let own = SocketAddrV4::new(host.ipv4(), 6_666);
    let socket = host.namespace().run(|| UdpSocket::bind(own));
    let socket = socket.unwrap().unwrap();
    let mut packet = Vec::new();
    let mut number = 0_u32;
    let mut start = Instant::now();
    while !over.load(Ordering::Acquire) {
        let (rest, in_a_millisecond) = match number.checked_sub(FROM_ONE_MAPPING) {
            None => (number, 20),
            Some(rest) => (rest, 1),
        };
        if u128::from(rest) > start.elapsed().as_millis() * in_a_millisecond {
            std::thread::yield_now();
            continue;
        }
        let source = TeredoAddress {
            server: Ipv4Addr::from_bits(0x5000_0000 + number),
            flags: Flags::from_random(number as u16),
            mapped: own,
        };
        packet.clear();
        emit_echo_request(source.to_ipv6(), destination, 64, 1, 1, &[], &mut packet);
        if socket.send_to(&packet, target).is_ok() {
            number += 1;
            sent.store(number, Ordering::Relaxed);
            if number == FROM_ONE_MAPPING {
                start = Instant::now();
            }
        }
    }
}

/// A bubble in a datagram whose source vouches for it, as an IPv4 packet.
fn bubble(from: SocketAddrV4, to: SocketAddrV4, destination: Ipv6Addr, packet: &mut Vec<u8>) {
    packet.clear();
    packet.extend_from_slice(&[0x45, 0, 0, 68, 0, 0, 0, 0, 64, 17, 0, 0]);
    packet.extend_from_slice(&from.ip().octets());
    packet.extend_from_slice(&to.ip().octets());
    packet.extend_from_slice(&from.port().to_be_bytes());
    packet.extend_from_slice(&to.port().to_be_bytes());
    // Without a UDP checksum, which IPv4 allows.
    packet.extend_from_slice(&[0, 48, 0, 0]);
    let source = TeredoAddress {
        server: SERVER,
        flags: Flags::default(),
        mapped: from,
    };
    emit_bubble(source.to_ipv6(), destination, 255, packet);
}

/// The memory of a process that is really there, in bytes.
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kilobytes = line.split_ascii_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() << 10
}
