//! Our client and our server together with Debian's `miredo` 1.2.6: what they need of each other to talk.
//!
//! `miredo` sends its bubbles with hop limit 0, from a link-local address whose identifier only it can check, and
//! trusts who sends that identifier back. It never repeats a bubble by itself, and lets go of what waited last first.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use teredo::wire::{Datagram, PORT};
use teredo_lab::{Capture, Frame, Host, NatKind, Process, until};
use teredo_notify::types::{Phase, Status};

use crate::world::*;

const PINGS: u16 = 5;
/// The interface of our client, and of `miredo` as it is configured here.
const INTERFACE: &str = "teredo";

const LEFT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const RIGHT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// R4380-4-01, R4380-4-02, R4380-4-05, R4380-4-06, R4380-5.2.1-08, R4380-5.2.1-10, R4380-5.2.1-11, R4380-2.9-01,
/// R5991-3.1-02, R5991-3.2-01: a client is qualified one round trip and at most 50 ms after its first solicitation,
/// its address is the mapping bit by bit, and its port is the one that the kernel has bound.
#[test]
fn our_client_qualifies_with_miredo_server_in_one_round_trip() {
    for nat in [NatKind::PortRestricted, NatKind::Restricted, NatKind::Cone] {
        let world = World::new(nat, NatKind::None);
        let alice_host = world.left.host("alice").unwrap();
        // From here on the NAT's ports are not those of its hosts.
        world.left.change_mappings().unwrap();
        let server = serve_with_miredo(&world);
        let inside = Capture::start(alice_host.namespace(), alice_host.interface()).unwrap();
        let outside = Capture::start(world.server.namespace(), world.server.interface()).unwrap();

        // The server is held until both its addresses were asked, so that one round trip is all there is.
        signal_all(&server, Signal::STOP);
        let alice = world.client(&alice_host, &[]);
        eventually(QUALIFICATION, "a solicitation to both addresses", || {
            solicited(&outside).len() == 2
        });
        signal_all(&server, Signal::CONT);
        let address = appears(&alice_host);
        let status = alice.qualified();
        let known = SystemTime::now();

        let [first, answer] = [133, 134].map(|kind| first_of(&inside, kind).time);
        let [took, round_trip] = [known, answer].map(|end| end.duration_since(first).unwrap());
        println!(
            "{nat}: {took:?} {round_trip:?}\n{}",
            alice.process.lines().join("\n")
        );
        for f in inside.frames() {
            println!(
                "{:?} {:?}",
                f.time.duration_since(first),
                f.udp().map(|u| (u.from, u.to, u.payload.len()))
            );
        }
        assert!(
            took <= round_trip + Duration::from_millis(50),
            "{nat}: {took:?} from the first solicitation to the address, the round trip took {round_trip:?}"
        );

        let asked = solicited(&outside);
        let mapped = asked[0].0;
        assert_eq!(
            asked,
            [SERVER, SECONDARY].map(|server| (mapped, SocketAddrV4::new(server, PORT)))
        );
        assert_eq!(*mapped.ip(), LEFT);
        assert_ne!(
            mapped.port(),
            status.port,
            "the NAT gave the client's own port"
        );
        assert_is_the_mapping(address, mapped);
        assert_eq!(
            (status.address, status.mapped),
            (Some(address), Some(mapped))
        );
        assert_eq!(status.nat.as_deref(), Some("restricted"));

        let output = run(
            &alice_host,
            teredo().args(["port", "--socket"]).arg(&alice.socket),
        );
        let port: u16 = String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .parse()
            .unwrap();
        let bound: Vec<_> = bound(&alice_host).iter().map(SocketAddrV4::port).collect();
        assert_eq!((port, bound), (status.port, vec![port]));

        let path = world.path(".");
        let fields = ["ip.dst", "ipv6.src", "ipv6.hlim", "udp.srcport"];
        let asked = tshark(&inside, &path, &[port], "icmpv6.type == 133", &fields);
        for (row, server) in asked.iter().zip([SERVER, SECONDARY]) {
            let source: Ipv6Addr = row[1].parse().unwrap();
            assert_eq!(
                (&row[0], source.octets()[8] & 0x80),
                (&server.to_string(), 0),
                "the cone bit of {row:?}"
            );
            assert_eq!(row[2..], ["255".to_owned(), port.to_string()], "{row:?}");
        }
        let fields = [
            "ip.src",
            "teredo.orig.addr",
            "teredo.orig.port",
            "icmpv6.opt.prefix",
        ];
        let mut answers = tshark(&inside, &path, &[port], "icmpv6.type == 134", &fields);
        answers.sort();
        let expected = [SERVER, SECONDARY].map(|server| {
            let prefix = "2001:0:c000:22d::".parse::<Ipv6Addr>().unwrap();
            [
                server.to_string(),
                LEFT.to_string(),
                mapped.port().to_string(),
                prefix.to_string(),
            ]
            .map(String::from)
        });
        assert_eq!(
            (asked.len(), answers),
            (2, expected.map(Vec::from).to_vec())
        );
        only_one_port(&inside, port);
        assert_well_formed(&inside, &path, &[port]);
    }
}

/// R4380-5.2.1-11: another port for the secondary address is a symmetric NAT, and there is no service.
#[test]
fn our_client_tells_a_symmetric_nat_by_miredo_server() {
    let world = World::new(NatKind::Symmetric, NatKind::None);
    let _server = serve_with_miredo(&world);
    let alice_host = world.left.host("alice").unwrap();
    let alice = world.client(&alice_host, &[]);
    let symmetric = |status: &Status| status.nat.as_deref() == Some("symmetric");
    let status = alice.until(QUALIFICATION, "the client's verdict on its NAT", symmetric);
    assert_eq!((status.state, status.address), (Phase::Offline, None));
    assert_eq!(address_of(&alice_host), None);
}

/// A `miredo` client qualifies with our server, and our client and it reach each other.
#[test]
fn miredo_and_our_client_meet_by_our_server() {
    meet(World::serve);
}

/// Our client and a `miredo` client reach each other by `miredo`'s server.
#[test]
fn miredo_and_our_client_meet_by_miredo_server() {
    meet(serve_with_miredo);
}

/// Each of the two asks first once, so that both ways of making contact are gone.
fn meet(serve: fn(&World) -> Process) {
    for nats in [
        [NatKind::PortRestricted, NatKind::PortRestricted],
        [NatKind::Restricted, NatKind::PortRestricted],
        [NatKind::PortRestricted, NatKind::Cone],
    ] {
        for ours_first in [true, false] {
            let world = World::new(nats[0], nats[1]);
            let _server = serve(&world);
            let (alice_host, bob_host) = (
                world.left.host("alice").unwrap(),
                world.right.host("bob").unwrap(),
            );
            world.right.change_mappings().unwrap();
            let outside =
                Capture::start(world.server.namespace(), world.server.interface()).unwrap();
            let _bob = miredo(
                &world,
                &bob_host,
                "miredo",
                &format!("InterfaceName {INTERFACE}\nServerAddress {SERVER}\n"),
            );
            let bob_address = appears(&bob_host);
            assert_is_the_mapping(bob_address, solicited(&outside)[0].0);

            let alice = world.client(&alice_host, &[]);
            let (alice_address, port) = (alice.address(), alice.status().port);
            let inside = Capture::start(alice_host.namespace(), alice_host.interface()).unwrap();
            let [ours, theirs] = [(&alice_host, bob_address), (&bob_host, alice_address)];
            for (host, to) in if ours_first {
                [ours, theirs]
            } else {
                [theirs, ours]
            } {
                let replies = teredo_lab::ping(host, to, PINGS, SECOND * 5).unwrap();
                let mut answered = replies.order.clone();
                answered.sort_unstable();
                assert!(
                    answered.iter().copied().eq(0..PINGS),
                    "{nats:?}, {} first, from {}: {replies:?}",
                    if ours_first { "ours" } else { "miredo" },
                    host.name(),
                );
            }
            assert_bubbles(&world, &inside, port, bob_address, ours_first);
            only_one_port(&inside, port);
            assert_well_formed(&inside, &world.path("."), &[port]);
        }
    }
}

/// What `miredo` asks comes by the server, from a link-local address, and our answer goes back to that address at the
/// origin of the bubble. What it answers comes directly, from its Teredo address. Its hop limit is 0 either way.
#[track_caller]
fn assert_bubbles(world: &World, inside: &Capture, port: u16, bob: Ipv6Addr, ours_first: bool) {
    let bubbles = "ipv6.nxt == 59 && ipv6.plen == 0";
    let fields = [
        "ip.src",
        "ip.dst",
        "udp.dstport",
        "ipv6.src",
        "ipv6.dst",
        "ipv6.hlim",
        "teredo.orig.addr",
        "teredo.orig.port",
    ];
    let rows = tshark(inside, &world.path("."), &[port], bubbles, &fields);
    let theirs = rows
        .iter()
        .find(|row| row[5] == "0")
        .unwrap_or_else(|| panic!("no bubble of miredo: {rows:?}"));
    if ours_first {
        assert_eq!(theirs[3], bob.to_string());
        assert_eq!(theirs[0], RIGHT.to_string());
    } else {
        assert!(theirs[3].starts_with("fe80:"), "{theirs:?}");
        assert_eq!(theirs[0], SERVER.to_string());
        let answer = rows.iter().find(|row| row[4] == theirs[3]);
        let answer = answer.unwrap_or_else(|| panic!("no answer to {theirs:?}: {rows:?}"));
        assert_eq!(answer[3], theirs[4]);
        assert_eq!(answer[1..3], theirs[6..8], "not to the origin");
    }
}

/// Everything that the host sent left from its one port.
#[track_caller]
fn only_one_port(inside: &Capture, port: u16) {
    let frames = inside.frames();
    let own = frames
        .iter()
        .filter_map(Frame::udp)
        .filter(|datagram| datagram.from.ip().is_private());
    let mut ports: Vec<_> = own.map(|datagram| datagram.from.port()).collect();
    ports.dedup();
    assert_eq!(ports, [port]);
}

/// The Teredo address, bit by bit (RFC 4380 §4): the prefix, the server, no flag but the random ones of RFC 5991,
/// the mapping inverted.
#[track_caller]
fn assert_is_the_mapping(address: Ipv6Addr, mapped: SocketAddrV4) {
    let octets = address.octets();
    let flags = u16::from_be_bytes([octets[8], octets[9]]);
    assert_eq!(octets[..4], [0x20, 0x01, 0, 0], "{address}");
    assert_eq!(octets[4..8], SERVER.octets(), "{address}");
    assert_eq!(flags & 0xc300, 0, "{address}");
    assert_eq!(
        octets[10..12],
        (!mapped.port()).to_be_bytes(),
        "{address}, mapped {mapped}"
    );
    assert_eq!(
        octets[12..],
        mapped.ip().octets().map(|octet| !octet),
        "{address}, mapped {mapped}"
    );
}

/// Starts Debian's server in the place of ours.
fn serve_with_miredo(world: &World) -> Process {
    let configuration = format!("ServerBindAddress {SERVER}\nServerBindAddress2 {SECONDARY}\n");
    let process = miredo(world, &world.server, "miredo-server", &configuration);
    eventually(SECOND * 5, "miredo-server on both addresses", || {
        [SERVER, SECONDARY]
            .iter()
            .all(|&address| bound(&world.server).contains(&SocketAddrV4::new(address, PORT)))
    });
    process
}

/// Starts one of Debian's two daemons on `host`.
fn miredo(world: &World, host: &Host, program: &str, configuration: &str) -> Process {
    // Fails with the package's name where the program is not installed.
    run(host, Command::new(program).arg("--version"));
    let [file, pid] =
        ["conf", "pid"].map(|suffix| world.path(&format!("{}.{suffix}", host.name())));
    fs::write(&file, configuration).unwrap();
    // It forks. In a namespace of process IDs of its own, all of it ends with the process that the test holds.
    let mut command = Command::new("unshare");
    command.args([
        "--pid",
        "--fork",
        "--kill-child",
        "--",
        program,
        "--foreground",
        "--user",
        "nobody",
    ]);
    command.arg("--config").arg(file).arg("--pidfile").arg(pid);
    Process::spawn(host.namespace(), program, &mut command).unwrap()
}

/// Signals a process and all that came of it.
fn signal_all(process: &Process, signal: Signal) {
    let mut family = vec![process.id()];
    while let Some(id) = family.pop() {
        // The test waits for none of these, so none of the IDs can be anybody else's yet.
        kill_process(Pid::from_raw(id as i32).unwrap(), signal).unwrap();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        family.extend(
            children
                .split_ascii_whitespace()
                .map(|id| id.parse::<u32>().unwrap()),
        );
    }
}

/// Waits for the host's Teredo address.
#[track_caller]
fn appears(host: &Host) -> Ipv6Addr {
    let found = until(QUALIFICATION, "a Teredo address", || address_of(host));
    found.unwrap_or_else(|error| panic!("{}: {error}", host.name()))
}

/// The Teredo address that the kernel has for the host's tunnel interface.
fn address_of(host: &Host) -> Option<Ipv6Addr> {
    let table = host
        .namespace()
        .run(|| fs::read_to_string("/proc/thread-self/net/if_inet6"))
        .unwrap()
        .unwrap();
    let addresses = table.lines().filter(|line| line.ends_with(INTERFACE));
    let mut addresses =
        addresses.map(|line| Ipv6Addr::from(u128::from_str_radix(&line[..32], 16).unwrap()));
    addresses.find(|address| address.segments()[..2] == [0x2001, 0])
}

/// The UDP sockets on the host, as the kernel has bound them.
fn bound(host: &Host) -> Vec<SocketAddrV4> {
    let table = host
        .namespace()
        .run(|| fs::read_to_string("/proc/thread-self/net/udp"))
        .unwrap()
        .unwrap();
    let sockets = table.lines().skip(1).map(|line| {
        let (address, port) = line
            .split_ascii_whitespace()
            .nth(1)
            .unwrap()
            .split_once(':')
            .unwrap();
        let address = u32::from_str_radix(address, 16).unwrap().to_ne_bytes();
        SocketAddrV4::new(address.into(), u16::from_str_radix(port, 16).unwrap())
    });
    sockets.collect()
}

/// The router solicitations among what was captured: from where to where.
fn solicited(capture: &Capture) -> Vec<(SocketAddrV4, SocketAddrV4)> {
    let frames = capture.frames();
    let datagrams = frames
        .iter()
        .filter(|frame| is_icmpv6(frame, 133))
        .filter_map(Frame::udp);
    datagrams
        .map(|datagram| (datagram.from, datagram.to))
        .collect()
}

/// The first frame that carries an ICMPv6 message of this type.
fn first_of(capture: &Capture, kind: u8) -> Frame {
    capture
        .wait_for(SECOND, "an ICMPv6 message", |frame| is_icmpv6(frame, kind))
        .unwrap()
}

fn is_icmpv6(frame: &Frame, kind: u8) -> bool {
    let datagram = frame
        .udp()
        .filter(|datagram| [datagram.from.port(), datagram.to.port()].contains(&PORT));
    let Some(Ok(inner)) = datagram.map(|datagram| Datagram::parse(datagram.payload)) else {
        return false;
    };
    inner.packet.next_header() == 58 && inner.packet.payload().first() == Some(&kind)
}
