//! Much data through the tunnel, with the kernel's offloads and without.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;
use teredo_lab::{Host, NatKind, Process, Receive};

use crate::world::*;

const PORT: u16 = 4000;
const BYTES: usize = 8 << 20;

/// Whether the client of each side may use offloads.
const MODES: [[&str; 2]; 4] = [
    ["auto", "auto"],
    ["off", "auto"],
    ["auto", "off"],
    ["off", "off"],
];

/// Bytes of which no part can be mistaken for another: the output of a generator (xorshift).
fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_ne_bytes()
    };
    std::iter::repeat_with(&mut next)
        .flatten()
        .take(len)
        .collect()
}

/// Streams both ways at once, and bursts of datagrams that the host hands over as one, arrive as they were sent.
#[test]
fn data_arrives_intact_with_and_without_offloads() {
    for modes in MODES {
        let (world, _server) = World::with_server();
        let hosts = [
            world.left.host("alice").unwrap(),
            world.right.host("bob").unwrap(),
        ];
        let clients = [0, 1].map(|side| world.client(&hosts[side], &["--offload", modes[side]]));
        let [a, b] = [0, 1].map(|side| IpAddr::from(clients[side].address()));
        let there = teredo_lab::ping(&hosts[0], a_v6(b), 3, SECOND * 5).unwrap();
        assert!(there.are_all_in_order(3), "{modes:?}: {there:?}");

        let listener = hosts[1]
            .namespace()
            .run(|| TcpListener::bind((b, PORT)).unwrap())
            .unwrap();
        let dialled = hosts[0]
            .namespace()
            .run(|| TcpStream::connect((b, PORT)).unwrap())
            .unwrap();
        let (accepted, from) = listener.accept().unwrap();
        assert_eq!(from.ip(), a);
        thread::scope(|scope| {
            for (stream, seed) in [(&dialled, 1), (&accepted, 2)] {
                stream.set_read_timeout(Some(SECOND * 30)).unwrap();
                scope.spawn(move || {
                    let mut stream = stream;
                    stream.write_all(&noise(seed, BYTES)).unwrap();
                });
                scope.spawn(move || {
                    let mut stream = stream;
                    let mut received = vec![0; BYTES];
                    stream.read_exact(&mut received).unwrap();
                    // Not `assert_eq`, which would print them.
                    assert!(received == noise(3 - seed, BYTES), "{modes:?}: other bytes");
                });
            }
        });

        datagrams(&hosts, [a, b], modes);
        for client in &clients {
            let drops = client.status().drops;
            for reason in ["too_big", "malformed"] {
                assert_eq!(drops.get(reason), None, "{modes:?}: {drops:?}");
            }
        }
    }
}

fn a_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V6(address) => address,
        IpAddr::V4(address) => panic!("{address}"),
    }
}

/// Twenty datagrams in one `UDP_SEGMENT` send, the last one short, are twenty datagrams in order at the other end.
fn datagrams(hosts: &[Host; 2], [a, b]: [IpAddr; 2], modes: [&str; 2]) {
    let bind = |side: usize, address| {
        hosts[side]
            .namespace()
            .run(move || UdpSocket::bind((address, PORT)).unwrap())
            .unwrap()
    };
    let (sender, receiver) = (bind(0, a), bind(1, b));
    receiver.set_read_timeout(Some(SECOND * 10)).unwrap();
    setsockopt(&sender, UdpGsoSegment, &1000).unwrap();
    let burst = noise(7, 19_300);
    sender.send_to(&burst, (b, PORT)).unwrap();
    let mut buffer = [0; 2000];
    for (number, expected) in burst.chunks(1000).enumerate() {
        let (len, from) = receiver.receive_from(&mut buffer).unwrap();
        assert_eq!(from.ip(), a);
        assert!(
            buffer[..len] == *expected,
            "{modes:?}: datagram {number} of {len} bytes"
        );
    }
}

/// The environment switches offloads off; in this way all of these tests also run without them. Only with offloads does
/// the host hand over a burst as one packet.
#[test]
fn the_environment_switches_offloads_off() {
    const BURST: usize = 19_300;
    for (mode, switched_on) in [("auto", true), ("off", false)] {
        let (world, _server) = World::with_server();
        let host = world.left.host("alice").unwrap();
        let socket = world.path("alice.sock");
        let mut command = teredo();
        command
            .args(["client", "--server", &SERVER.to_string(), "--socket"])
            .arg(&socket)
            .env("TEREDO_OFFLOAD", mode);
        let process = Process::spawn(host.namespace(), "client", &mut command).unwrap();
        let client = Client { process, socket };
        let own = client.address();
        let [bytes, packets] = taken(&host);
        let sender = host
            .namespace()
            .run(|| UdpSocket::bind((own, PORT)).unwrap())
            .unwrap();
        setsockopt(&sender, UdpGsoSegment, &1000).unwrap();
        let nobody: Ipv6Addr = "2001:0:c000:22d::1".parse().unwrap();
        sender.send_to(&noise(7, BURST), (nobody, PORT)).unwrap();
        eventually(SECOND * 5, "all of the burst at the client", || {
            taken(&host)[0] - bytes > BURST as u64
        });
        let packets = taken(&host)[1] - packets;
        assert_eq!(packets < 20, switched_on, "{mode}: {packets}");
    }
}

/// How many bytes and packets the client has been handed by its host.
fn taken(host: &Host) -> [u64; 2] {
    let table = host
        .namespace()
        .run(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap())
        .unwrap();
    let mut lines = table.lines().map(|line| line.split_whitespace());
    let fields = lines.find_map(|mut line| (line.next()? == "teredo:").then_some(line));
    let numbers: Vec<u64> = fields
        .unwrap()
        .map(|field| field.parse().unwrap())
        .collect();
    // Reception has eight columns.
    [numbers[8], numbers[9]]
}

/// The setting in the file and the one on the command line are looked at before anything starts.
#[test]
fn offload_is_auto_or_off() {
    let world = World::new(NatKind::None, NatKind::None);
    let host = world.left.host("alice").unwrap();
    let refused = run(
        &host,
        teredo().args(["client", "--server", "192.0.2.45", "--offload", "maybe"]),
    );
    assert_eq!(refused.status.code(), Some(2));
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        message.contains("[possible values: auto, off]"),
        "{message}"
    );
}
