//! Faults of `miredo` 1.2.6 that ours must not have. Each test is a probe that both can be put to; where the outcome
//! with `miredo` is quick and certain the test has it, elsewhere the comment says what it was.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, UdpSocket};
use std::process::Command;
use std::time::Duration;

use teredo::server::Answer;
use teredo::wire::{Authentication, Datagram, Flags, Origin, PORT, TeredoAddress, emit_bubble};
use teredo::{Instant, Server, ServerAddress, ServerConfig};
use teredo_lab::{Capture, Host, NatKind, Process, Receive};
use teredo_notify::types::Phase;

use super::daemon::{Miredo, address_of, appears};
use super::{ECHO_REQUEST, is_icmpv6};
use crate::world::*;

const STRANGER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Make {
    Ours,
    Miredo,
}

/// A client of either make; it ends with this.
enum Running {
    Ours(Client),
    Miredo(#[expect(dead_code, reason = "held for its end")] Miredo),
}

impl Make {
    fn start(self, world: &World, host: &Host) -> Running {
        match self {
            Self::Ours => Running::Ours(world.client(host, &[])),
            Self::Miredo => Running::Miredo(Miredo::client(world, host)),
        }
    }
}

/// R4380-5.2.1-06, R4380-7.2.1-01: an advertisement counts only if it comes from the server that was asked, whoever
/// knows the nonce. `miredo` looks at the port alone, and has an address from a stranger.
#[test]
fn an_advertisement_from_a_stranger_is_refused() {
    for make in [Make::Miredo, Make::Ours] {
        let world = World::new(NatKind::Cone, NatKind::None);
        let alice = world.left.host("alice").unwrap();
        let [primary, secondary] =
            [SERVER, SECONDARY].map(|ip| world.server.udp_socket((ip, PORT)).unwrap());
        let stranger = world.internet.host("stranger", &[STRANGER]).unwrap();
        let stranger = stranger.udp_socket((STRANGER, PORT)).unwrap();
        let client = make.start(&world, &alice);

        let (mapped, forged) = advertisement(&primary, SERVER);
        stranger.send_to(&forged, mapped).unwrap();
        match client {
            Running::Miredo(_) => {
                let address = appears(&alice).octets();
                assert_eq!(
                    address[4..8],
                    SERVER.octets(),
                    "miredo believes the stranger"
                );
            }
            Running::Ours(client) => {
                client.until(SECOND * 5, "the forgery counted", |status| {
                    status.drops.contains_key("unsolicited_advertisement")
                });
                assert_eq!(address_of(&alice), None);
                // The same bytes count if they come from where they should.
                primary.send_to(&forged, mapped).unwrap();
                let (_, second) = advertisement(&secondary, SECONDARY);
                secondary.send_to(&second, mapped).unwrap();
                client.qualified();
            }
        }
    }
}

/// Waits for a solicitation, and returns whose it is and what a server would answer.
fn advertisement(socket: &UdpSocket, local: Ipv4Addr) -> (SocketAddrV4, Vec<u8>) {
    socket.set_read_timeout(Some(SECOND * 10)).unwrap();
    let mut buffer = [0; 2048];
    let (length, from) = socket.receive_from(&mut buffer).expect("a solicitation");
    let std::net::SocketAddr::V4(from) = from else {
        panic!("{from} is not IPv4");
    };
    let now = Instant::from_nanos(0);
    let address = ServerAddress {
        primary: SERVER,
        secondary: SECONDARY,
    };
    let mut server = Server::new(ServerConfig::new(address), [0; 32]);
    let answer = server.answer_in_place(now, from, local, &mut buffer, length);
    let Ok(Answer::Udp { len, .. }) = answer else {
        panic!("{answer:?}");
    };
    (from, buffer[..len].to_vec())
}

/// R4380-5.2.4-06: what waits for a peer leaves in order.
///
/// `miredo` lets go of the last first. The same probe with it: the peer gets 4, 3, 2, 1, 0, unless its answer comes
/// before all five are in the queue.
#[test]
fn the_first_packets_of_a_flow_leave_in_order() {
    let world = World::new(NatKind::PortRestricted, NatKind::PortRestricted);
    let _server = world.serve();
    let [alice, bob] = [
        world.left.host("alice").unwrap(),
        world.right.host("bob").unwrap(),
    ];
    let [client, peer] = [&alice, &bob].map(|host| world.client(host, &[]));
    client.qualified();
    let replies = teredo_lab::ping(&alice, peer.address(), 5, SECOND * 10).unwrap();
    assert!(replies.are_all_in_order(5), "{replies:?}");
}

/// R4380-5.2.4-06, R4380-5.2.6-04: a lost bubble is repeated by a timer, so that one packet is enough to reach a peer.
///
/// `miredo` repeats it when there is another packet. The same probe with it: one direct and one indirect bubble, and
/// nothing in the 16 s that followed; the packet was never sent.
#[test]
fn a_lost_bubble_is_not_a_lost_packet() {
    let world = World::new(NatKind::PortRestricted, NatKind::None);
    let _server = world.serve();
    let alice = world.left.host("alice").unwrap();
    let client = world.client(&alice, &[]);
    client.qualified();
    let peer = SocketAddrV4::new(STRANGER, 4444);
    let host = world.internet.host("peer", &[STRANGER]).unwrap();
    let socket = host.udp_socket(peer).unwrap();
    socket.set_read_timeout(Some(SECOND * 8)).unwrap();
    let address = TeredoAddress {
        server: SERVER,
        flags: Flags::default(),
        mapped: peer,
    }
    .to_ipv6();

    std::thread::scope(|scope| {
        scope.spawn(|| teredo_lab::ping(&alice, address, 1, SECOND * 5).unwrap());
        // The first is as good as lost.
        let _ = forwarded_bubble(&socket);
        let (origin, source) = forwarded_bubble(&socket);
        let mut answer = Vec::new();
        emit_bubble(address, source, 64, &mut answer);
        socket.send_to(&answer, origin).unwrap();
        let mut buffer = [0; 2048];
        loop {
            let length = socket.receive(&mut buffer).expect("the packet that waited");
            if is_icmpv6(&buffer[..length], ECHO_REQUEST) {
                return;
            }
        }
    });
    drop(client);
}

/// Waits for a bubble by way of the server; returns its origin and its inner source.
#[track_caller]
fn forwarded_bubble(socket: &UdpSocket) -> (SocketAddrV4, Ipv6Addr) {
    let mut buffer = [0; 2048];
    loop {
        let length = socket.receive(&mut buffer).expect("a bubble by the server");
        let datagram = Datagram::parse(&buffer[..length]).unwrap();
        if let Some(Origin(origin)) = datagram.origin {
            assert!(datagram.packet.is_bubble());
            return (origin, datagram.packet.source());
        }
    }
}

/// R4380-7.2.1-01, R5991-4-01: where the kernel's random bytes come from cannot be short or empty.
///
/// `miredo` reads its key from /dev/random and takes what it gets for all of it. The same probe with it, and a device
/// that has a single byte: two runs ask the same peer with the same token, f0a566763d664ccc, which is all that keeps
/// strangers from being taken for peers. With an empty device it never gets beyond its start.
#[test]
fn keys_are_whole_whatever_the_device_gives() {
    let world = World::new(NatKind::None, NatKind::None);
    let alice = world.left.host("alice").unwrap();
    let socket = world.server.udp_socket((SERVER, PORT)).unwrap();
    socket.set_read_timeout(Some(SECOND * 10)).unwrap();
    let empty = world.path("empty");
    std::fs::write(&empty, []).unwrap();
    let nonces: Vec<_> = (0..3)
        .map(|_| {
            let _client = hidden(
                &world,
                &alice,
                &[(&empty, "/dev/random"), (&empty, "/dev/urandom")],
                &["--server", "192.0.2.45"],
            );
            let mut buffer = [0; 2048];
            let length = socket.receive(&mut buffer).expect("a solicitation");
            let (authentication, _) = Authentication::parse(&buffer[..length]).unwrap();
            authentication.nonce
        })
        .collect();
    let zeros = |nonce: &[u8; 8]| nonce.iter().filter(|byte| **byte == 0).count();
    assert!(nonces.iter().all(|nonce| zeros(nonce) < 4), "{nonces:?}");
    assert!(
        nonces[0] != nonces[1] && nonces[1] != nonces[2] && nonces[0] != nonces[2],
        "{nonces:?}"
    );
}

/// R4380-7.4-01: no stranger stops the tunnel, even while the name of a server is being looked up.
///
/// `miredo`'s receiving thread waits for its maintenance thread at each datagram from port 3544 with an authentication
/// element, whoever sent it, and that thread holds the lock while it looks a name up (found in its source; to show it
/// takes a name service that answers first and falls silent later).
#[test]
fn a_name_service_that_is_silent_and_forged_answers_stop_nothing() {
    let world = World::new(NatKind::None, NatKind::PortRestricted);
    let _server = world.serve();
    let [alice, bob] = [
        world.left.host("alice").unwrap(),
        world.right.host("bob").unwrap(),
    ];
    let stranger = world.internet.host("stranger", &[STRANGER]).unwrap();
    let stranger = stranger.udp_socket((STRANGER, PORT)).unwrap();
    let peer = world.client(&bob, &[]);
    let b = peer.address();

    // Nobody is at that address.
    let silent = world.path("resolv.conf");
    std::fs::write(
        &silent,
        "nameserver 192.0.2.200\noptions timeout:30 attempts:2\n",
    )
    .unwrap();
    let outside = Capture::start(alice.namespace(), alice.interface()).unwrap();
    let servers = ["--server", "silent.example", "--server", "192.0.2.45"];
    let client = hidden(&world, &alice, &[(&silent, "/etc/resolv.conf")], &servers);
    let asked =
        |frame: &teredo_lab::Frame| frame.udp().is_some_and(|datagram| datagram.to.port() == 53);
    outside
        .wait_for(SECOND * 5, "a question to the name service", asked)
        .unwrap();
    let target = client.until(QUALIFICATION, "a qualified client", |status| {
        status.state == Phase::Qualified
    });
    let target = target.mapped.unwrap();

    let mut forged = Vec::new();
    Authentication::nonce_only([7; 8]).emit(&mut forged);
    emit_bubble(
        "fe80::1".parse().unwrap(),
        client.address(),
        255,
        &mut forged,
    );
    // Not more than the socket holds: that the queue is full is another fault.
    for _ in 0..5 {
        for _ in 0..100 {
            stranger.send_to(&forged, target).unwrap();
        }
        for (from, to) in [(&alice, b), (&bob, client.address())] {
            let replies = teredo_lab::ping(from, to, 1, Duration::from_secs(5)).unwrap();
            assert!(replies.are_all_in_order(1), "{replies:?}");
        }
    }
    client.until(SECOND * 5, "every forged answer dropped", |status| {
        status.drops.get("unverified_source") == Some(&500)
    });
    let answered = |frame: &teredo_lab::Frame| {
        frame
            .udp()
            .is_some_and(|datagram| datagram.from.port() == 53)
    };
    assert!(
        !outside.frames().iter().any(answered),
        "the name service was silent"
    );
}

/// Starts our client with other files in place of some of the system's.
fn hidden(
    world: &World,
    host: &Host,
    files: &[(&std::path::Path, &str)],
    arguments: &[&str],
) -> Client {
    let socket = world.path(&format!("{}.sock", host.name()));
    let mut script = String::new();
    for (file, place) in files {
        script += &format!("mount --bind '{}' {place} && ", file.display());
    }
    script += "exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", &script, "sh"]);
    command.arg(env!("CARGO_BIN_EXE_teredo"));
    command.args(["--config", "/dev/null", "client", "--socket"]);
    command.arg(&socket).args(arguments);
    command.env_remove("TEREDO_SOCKET").env_remove("RUST_LOG");
    Client {
        process: Process::spawn(host.namespace(), "client", &mut command).unwrap(),
        socket,
    }
}
