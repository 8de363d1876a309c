//! One server with several pairs of addresses and several threads.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use teredo::wire::{
    Authentication, Datagram, Flags, Origin, PORT, TeredoAddress, emit_bubble,
    emit_router_solicitation, link_local,
};
use teredo_lab::{NatKind, Receive};

use crate::world::*;

/// The addresses, two pairs.
const OWN: [Ipv4Addr; 4] = [
    Ipv4Addr::new(192, 0, 2, 65),
    Ipv4Addr::new(192, 0, 2, 66),
    Ipv4Addr::new(192, 0, 2, 75),
    Ipv4Addr::new(192, 0, 2, 76),
];
const CROWD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 99);
const CLIENTS: u16 = 200;
const ROUNDS: u8 = 20;

/// R4380-5.3-02, L-01: two pairs and two threads under load: every solicitation to every address is answered from
/// where it went, with its own origin and nonce; each thread has its share; and nothing goes from one pair to the
/// other. A client of each pair is qualified meanwhile.
#[test]
fn two_pairs_and_two_threads_under_load() {
    let world = World::new(NatKind::PortRestricted, NatKind::PortRestricted);
    let host = world.internet.host("both", &OWN).unwrap();
    let server = start(
        &host,
        "server",
        &[
            "server",
            "--address",
            "192.0.2.65",
            "--secondary",
            "192.0.2.66",
            "--address",
            "192.0.2.75",
            "--secondary",
            "192.0.2.76",
            "--workers",
            "2",
        ],
    );
    server
        .wait_for_line("serving on 192.0.2.75 and 192.0.2.76", SECOND * 5)
        .unwrap();
    let crowd = world.internet.host("crowd", &[CROWD]).unwrap();
    let sockets: Vec<UdpSocket> = (0..CLIENTS)
        .map(|number| {
            let socket = crowd.udp_socket((CROWD, 10_000 + number)).unwrap();
            socket.set_read_timeout(Some(SECOND * 5)).unwrap();
            socket
        })
        .collect();
    let [left, right] = [(&world.left, "alice"), (&world.right, "bob")]
        .map(|(home, name)| home.host(name).unwrap());
    let clients = [(&left, "192.0.2.65"), (&right, "192.0.2.75")]
        .map(|(host, server)| world.client_with(host, &["--server", server]));

    let mut buffer = [0; 2048];
    let mut answered = 0;
    for round in 0..ROUNDS {
        for address in OWN {
            let to = SocketAddrV4::new(address, PORT);
            let own = |number| SocketAddrV4::new(CROWD, 10_000 + number);
            let nonce = |number: u16| {
                let [high, low] = number.to_be_bytes();
                [round, address.octets()[3], high, low, 0, 0, 0, 1]
            };
            for (number, socket) in (0..).zip(&sockets) {
                let mut bytes = Vec::new();
                Authentication::nonce_only(nonce(number)).emit(&mut bytes);
                emit_router_solicitation(link_local(Flags::default(), own(number)), &mut bytes);
                socket.send_to(&bytes, to).unwrap();
            }
            for (number, socket) in (0..).zip(&sockets) {
                let (len, from) = socket.receive_from(&mut buffer).unwrap();
                assert_eq!(from, to.into());
                let datagram = Datagram::parse(&buffer[..len]).unwrap();
                assert_eq!(datagram.origin, Some(Origin(own(number))));
                assert_eq!(datagram.authentication.unwrap().nonce, nonce(number));
                answered += 1;
            }
        }
    }
    assert_eq!(answered, usize::from(CLIENTS) * usize::from(ROUNDS) * 4);
    for (client, first) in clients.iter().zip(["2001:0:c000:241:", "2001:0:c000:24b:"]) {
        let address = client.address().to_string();
        assert!(address.starts_with(first), "{address}");
    }

    // Into the other pair, which would pass it on for ever; then a bubble that comes out says that it was dealt with.
    let bubble = |server: Ipv4Addr, mapped: SocketAddrV4| {
        let flags = Flags::default();
        let destination = TeredoAddress {
            server,
            flags,
            mapped,
        }
        .to_ipv6();
        let mut bytes = Vec::new();
        emit_bubble("2001:db8::1".parse().unwrap(), destination, 255, &mut bytes);
        bytes
    };
    let own = SocketAddrV4::new(CROWD, 10_000);
    for address in OWN {
        let looping = bubble(OWN[0], SocketAddrV4::new(address, PORT));
        sockets[0].send_to(&looping, (OWN[0], PORT)).unwrap();
    }
    sockets[0]
        .send_to(&bubble(OWN[0], own), (OWN[0], PORT))
        .unwrap();
    let (_, from) = sockets[0].receive_from(&mut buffer).unwrap();
    assert_eq!(from, SocketAddrV4::new(OWN[0], PORT).into());

    let mark = server.mark();
    server.signal(Signal::USR1).unwrap();
    let told = |pattern: &str| {
        server
            .wait_for_line_after(mark, pattern, SECOND * 5)
            .unwrap()
    };
    let shares = told("the 2 workers received");
    let numbers = shares
        .split_once("received ")
        .unwrap()
        .1
        .trim_end_matches(" datagrams");
    let numbers: Vec<u32> = numbers
        .split(", ")
        .map(|number| number.parse().unwrap())
        .collect();
    assert!(
        numbers.len() == 2 && numbers.iter().all(|&share| share > 1000),
        "{shares}"
    );
    assert!(told("192.0.2.65: served").contains("self_loop 4"));
    assert!(told("192.0.2.75: served").contains("dropped none"));
}

/// R4380-7.4-01: what is passed on to one destination has a limit, which the configuration sets; what is too much is
/// counted by name.
#[test]
fn what_is_passed_on_to_one_destination_is_limited() {
    let world = World::new(NatKind::None, NatKind::None);
    let [file, service] = ["teredo.toml", "server.sock"].map(|name| world.path(name));
    std::fs::write(
        &file,
        "[server]\naddress = \"192.0.2.45\"\nrelay_rate = 1\n",
    )
    .unwrap();
    let server = start(
        &world.server,
        "server",
        &[
            "server",
            "--config",
            file.to_str().unwrap(),
            "--socket",
            service.to_str().unwrap(),
        ],
    );
    server.wait_for_line("serving on", SECOND * 5).unwrap();
    let crowd = world.internet.host("crowd", &[CROWD]).unwrap();
    let socket = crowd.udp_socket((CROWD, 10_000)).unwrap();
    let victim = crowd.udp_socket((CROWD, 20_000)).unwrap();
    victim.set_nonblocking(true).unwrap();
    socket.set_read_timeout(Some(SECOND * 5)).unwrap();
    let destination = TeredoAddress {
        server: SERVER,
        flags: Flags::default(),
        mapped: SocketAddrV4::new(CROWD, 20_000),
    };
    let mut bubble = Vec::new();
    emit_bubble(
        "2001:db8::1".parse().unwrap(),
        destination.to_ipv6(),
        255,
        &mut bubble,
    );
    let mut solicitation = Vec::new();
    let own = SocketAddrV4::new(CROWD, 10_000);
    emit_router_solicitation(link_local(Flags::default(), own), &mut solicitation);
    let start = std::time::Instant::now();
    for _ in 0..500 {
        socket.send_to(&bubble, (SERVER, PORT)).unwrap();
    }
    // The answer comes after the last of them was dealt with.
    socket.send_to(&solicitation, (SERVER, PORT)).unwrap();
    socket.receive(&mut [0; 2048]).unwrap();
    let most = 2 + (start.elapsed() + Duration::from_millis(10)).as_secs() + 1;
    let arrived = std::iter::from_fn(|| victim.receive(&mut [0; 2048]).ok()).count() as u64;
    assert!(
        (1..=most).contains(&arrived),
        "{arrived} of 500 arrived, at most {most} expected"
    );
    let asked = |command: &mut Command| run(&world.server, command).stdout;
    let status = asked(
        teredo()
            .args(["status", "--json", "--socket"])
            .arg(&service),
    );
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    assert_eq!(status["limited"][0]["destination"], CROWD.to_string());
    assert_eq!(status["limited"][0]["refused"], 500 - arrived);
    let root = asked(teredo().arg("--socket").arg(&service));
    let everybody = asked(teredo().arg("--socket").arg(&service).uid(65534).gid(65534));
    let lists = |block: &[u8]| String::from_utf8_lossy(block).contains("Limited: 198.51.100.99");
    assert_eq!([lists(&root), lists(&everybody)], [true, false]);
    let told = server.terminate(SECOND * 5).unwrap();
    assert_eq!(told.code(), Some(0));
    assert!(
        server
            .lines()
            .join("\n")
            .contains(&format!("rate_limited {}", 500 - arrived)),
        "{:?}",
        server.lines()
    );
}
