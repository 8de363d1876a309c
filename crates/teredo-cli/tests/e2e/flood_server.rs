//! A server and a relay under attack (RFC 4380 §7.4): newcomers are served, and what goes out is bounded.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use teredo::wire::{
    Flags, Ipv6Header, Ipv6Packet, PORT, TeredoAddress, emit_bubble, emit_router_solicitation,
    link_local, protocol,
};
use teredo_lab::{Host, NatKind, Receive as _};

use crate::world::*;

const VICTIM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 98), 40_000);
const FLOODER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 66), 50_000);
const CROWD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 110);
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);

fn teredo(mapped: SocketAddrV4) -> Ipv6Addr {
    TeredoAddress {
        server: SERVER,
        flags: Flags::default(),
        mapped,
    }
    .to_ipv6()
}

/// Calls `send` 5,000 times a second until it is over; returns how often.
fn flood(over: &AtomicBool, mut send: impl FnMut(u32)) -> u32 {
    let start = Instant::now();
    let mut sent = 0;
    while !over.load(Ordering::Acquire) {
        if u128::from(sent) < start.elapsed().as_millis() * 5 {
            send(sent);
            sent += 1;
        } else {
            std::thread::yield_now();
        }
    }
    sent
}

/// The inner sources of the bubbles that have arrived.
fn arrived(socket: &UdpSocket) -> Vec<Ipv6Addr> {
    let mut buffer = [0; 2048];
    let mut sources = Vec::new();
    while let Ok(len) = socket.receive(&mut buffer) {
        // Behind the origin indication.
        let packet = Ipv6Packet::parse(&buffer[8..len]).unwrap();
        sources.push(packet.source());
    }
    sources
}

/// R4380-7.4-01: one host floods a client by way of its server with 5,000 bubbles a second. At least 95 of the 100 bubbles
/// that others send arrive, and no more of the flood than the limit.
#[test]
fn a_sender_leaves_a_client_to_others() {
    let world = World::new(NatKind::None, NatKind::None);
    let _server = world.serve();
    let [victim, flooder, crowd] = [
        ("victim", VICTIM),
        ("flooder", FLOODER),
        ("crowd", SocketAddrV4::new(CROWD, 50_000)),
    ]
    .map(|(name, at)| {
        let host = world.internet.host(name, &[*at.ip()]).unwrap();
        let socket = host.udp_socket(at).unwrap();
        (host, socket)
    });
    victim.1.set_nonblocking(true).unwrap();
    let to = SocketAddrV4::new(SERVER, PORT);
    let send = |socket: &UdpSocket, source| {
        let mut bubble = Vec::new();
        emit_bubble(source, teredo(VICTIM), 255, &mut bubble);
        // Without room on the way it is not sent.
        let _ = socket.send_to(&bubble, to);
    };
    let of_crowd = |number: u16| Ipv6Addr::new(0x2001, 0xdb8, 0x600d, 0, 0, 0, 0, number);

    let over = AtomicBool::new(false);
    let start = Instant::now();
    let mut sources = Vec::new();
    let flooded = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            flood(&over, |number| {
                let source = Ipv6Addr::new(0x2001, 0xdb8, 0xbad, number as u16, 0, 0, 0, 1);
                send(&flooder.1, source);
            })
        });
        let mut number = 0;
        while number < 100 {
            // The flood has emptied its part of the bucket by then.
            if start.elapsed().as_millis() >= 1000 + u128::from(number) * 20 {
                send(&crowd.1, of_crowd(number));
                number += 1;
            }
            sources.extend(arrived(&victim.1));
        }
        over.store(true, Ordering::Release);
        flood.join().unwrap()
    });
    let seconds = start.elapsed().as_secs_f64();
    eventually(SECOND * 5, "the last bubble", || {
        sources.extend(arrived(&victim.1));
        sources.contains(&of_crowd(99))
    });
    let others = (0..100).filter(|&number| sources.contains(&of_crowd(number)));
    let others = others.count();
    println!(
        "{flooded} sent, {} arrived, {others} of others",
        sources.len()
    );
    assert!(f64::from(flooded) > seconds * 2000.0, "{flooded} sent");
    assert!(others >= 95, "{others}");
    let most = 512.0 + 256.0 * (seconds + 1.0);
    assert!((sources.len() as f64) < most, "{} arrived", sources.len());
    drop((victim.0, flooder.0, crowd.0));
}

/// R4380-7.4-01: 1,000 solicitations draw no more advertisements to one address than the configured limit, and other
/// addresses are answered.
#[test]
fn advertisements_to_one_address_are_limited() {
    let world = World::new(NatKind::None, NatKind::None);
    let file = world.path("teredo.toml");
    let text =
        "[server]\naddress = \"192.0.2.45\"\nadvertisement_rate = 10\ndeny = [\"192.0.2.110\"]\n";
    std::fs::write(&file, text).unwrap();
    let arguments = ["server", "--config", file.to_str().unwrap()];
    let server = start(&world.server, "server", &arguments);
    server.wait_for_line("serving on", SECOND * 5).unwrap();
    let ask = |name, at: SocketAddrV4, times| {
        let host = world.internet.host(name, &[*at.ip()]).unwrap();
        let socket = host.udp_socket(at).unwrap();
        let mut solicitation = Vec::new();
        emit_router_solicitation(link_local(Flags::default(), at), &mut solicitation);
        for _ in 0..times {
            socket.send_to(&solicitation, (SERVER, PORT)).unwrap();
        }
        socket.set_read_timeout(Some(SECOND / 2)).unwrap();
        let mut buffer = [0; 2048];
        std::iter::from_fn(|| socket.receive(&mut buffer).ok()).count()
    };
    let start = Instant::now();
    let answers = ask("victim", VICTIM, 1000);
    let most = 20 + 10 * (start.elapsed().as_secs() as usize + 1);
    assert!((20..=most).contains(&answers), "{answers}");
    assert_eq!(ask("flooder", FLOODER, 1), 1);
    // W-02
    assert_eq!(ask("denied", SocketAddrV4::new(CROWD, 50_000), 1), 0);
}

/// A packet for a Teredo client.
fn packet(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let mut packet = Vec::new();
    Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_length: 8,
        next_header: protocol::UDP,
        hop_limit: 64,
        source,
        destination,
    }
    .emit(&mut packet);
    // Ports and length. The checksum does not matter on the way.
    packet.extend_from_slice(&[0, 9, 0, 9, 0, 8, 0, 1]);
    packet
}

/// A socket that sends packets with any IPv6 source.
fn raw(host: &Host) -> Socket {
    let open = || Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::from(255)));
    host.namespace().run(open).unwrap().unwrap()
}

/// Answers the bubbles that arrive; true once a packet of the native host did.
fn answer(socket: &UdpSocket, own: Ipv6Addr) -> bool {
    let mut buffer = [0; 2048];
    while let Ok((len, from)) = socket.receive_from(&mut buffer) {
        if let Ok(packet) = Ipv6Packet::parse(&buffer[..len])
            && packet.source() == NATIVE
        {
            return from.ip() == Ipv4Addr::new(192, 0, 2, 99);
        }
        let Ok(bubble) = Ipv6Packet::parse(buffer.get(8..len).unwrap_or_default()) else {
            continue;
        };
        let mut reply = Vec::new();
        emit_bubble(own, bubble.source(), 255, &mut reply);
        let _ = socket.send_to(&reply, (Ipv4Addr::new(192, 0, 2, 99), RELAY_PORT));
    }
    false
}

/// R4380-7.3.5-01, R4380-7.4-01: 5,000 packets a second from all /64s of a /48 to invented clients of one server. 20 new
/// clients of that server are each reached by the first packet of a native host.
#[test]
fn new_clients_of_a_scanned_server_are_reached() {
    let world = World::dual_stack(NatKind::None);
    let _server = world.serve();
    let relay_host = world.relay_host(Ipv4Addr::new(192, 0, 2, 99));
    let relay = world.relay(&relay_host, &[]);
    let native = raw(&world.native(NATIVE));
    let attacker = Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 1);
    let attacker = world
        .internet
        .native_host("attacker", &[], attacker)
        .unwrap();
    let scan = raw(&attacker);
    let crowd = world.internet.host("crowd", &[CROWD]).unwrap();
    let clients: Vec<_> = (0..20)
        .map(|number| {
            let at = SocketAddrV4::new(CROWD, 20_000 + number);
            let socket = crowd.udp_socket(at).unwrap();
            socket.set_nonblocking(true).unwrap();
            (socket, teredo(at))
        })
        .collect();
    let send = |socket: &Socket, source, destination| {
        let to = SockAddr::from(SocketAddrV6::new(destination, 0, 0, 0));
        // Without room on the way it is not sent.
        let _ = socket.send_to(&packet(source, destination), &to);
    };

    let over = AtomicBool::new(false);
    let start = Instant::now();
    let (mut reached, mut asked) = ([false; 20], 0);
    let scanned = std::thread::scope(|scope| {
        let scanner = scope.spawn(|| {
            flood(&over, |number| {
                let source = Ipv6Addr::new(0x2001, 0xdb8, 0xbad, number as u16, 0, 0, 0, 1);
                let mapped = SocketAddrV4::new(Ipv4Addr::from_bits(0x6000_0000 + number), 4444);
                send(&scan, source, teredo(mapped));
            })
        });
        while start.elapsed() < SECOND * 4 {
            let due = start.elapsed().as_millis() >= 1000 + asked as u128 * 50;
            if let Some((_, own)) = clients.get(asked).filter(|_| due) {
                send(&native, NATIVE, *own);
                asked += 1;
            }
            for (reached, (socket, own)) in reached.iter_mut().zip(&clients) {
                *reached |= answer(socket, *own);
            }
        }
        over.store(true, Ordering::Release);
        scanner.join().unwrap()
    });
    let count = reached.iter().filter(|&&reached| reached).count();
    let status = relay.status();
    println!("{scanned} scanned, {count} of {asked} reached");
    assert!(scanned > 8_000, "{scanned} scanned");
    let refused = status.drops.get("bubble_limit").copied().unwrap_or(0);
    assert!(refused > u64::from(scanned) / 2, "{:?}", status.drops);
    assert!(count >= 19, "{reached:?}");
}
