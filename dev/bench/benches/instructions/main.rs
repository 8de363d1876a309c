//! How many instructions the hot functions take, counted by valgrind: `cargo xtask bench instructions`.
//!
//! Each is called [`CALLS`] times with what it has in the middle of its work; what is around it is set up before, and
//! not counted.

#![forbid(unsafe_code)]
#![allow(
    missing_docs,
    unused_qualifications,
    reason = "of what gungraun's macros make"
)]

mod introduced;

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use gungraun::prelude::*;
use teredo::server::Answer;
use teredo::wire::{
    Authentication, Datagram, Flags, Origin, PrefixInformation, RouterAdvertisement, TeredoAddress,
    checksum, emit_bubble, emit_echo_request, emit_router_solicitation, link_local, protocol,
    server_link_local, server_prefix,
};
use teredo::{
    Client, ClientConfig, Destination, Instant, Node, Reception, Relay, Server, ServerAddress,
    ServerConfig, Submission,
};
use teredo_notify::hub::{Feed, Hub};
use teredo_segmentation::Packet;
use teredo_tunnel::offload::{Coalescer, Cut, Header, Offloads};

use crate::introduced::{NATIVE, RELAY};

/// The divisor of `cargo xtask bench instructions`.
const CALLS: usize = 100;
const NOW: Instant = Instant::from_nanos(0);
const LOCAL: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 2), 50_000);
const MAPPED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 50_000);
const PEER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 10), 8192);
const SERVER: ServerAddress = ServerAddress {
    primary: Ipv4Addr::new(203, 0, 113, 120),
    secondary: Ipv4Addr::new(203, 0, 113, 121),
};
/// A packet that fills the tunnel.
const PAYLOAD: [u8; 1232] = [0x5a; 1232];
/// The packets that super-packets are cut into, their payload behind IPv6 and TCP with timestamps, and the most of them in
/// 64 KiB.
const LEN: usize = 1280;
const SEGMENT: u16 = 1208;
const MOST: usize = 54;
const FEW: usize = 10;
const MANY: usize = 1_000_000;

/// A node, and its input.
type Given<T> = (T, Vec<Vec<u8>>);

fn teredo(mapped: SocketAddrV4) -> Ipv6Addr {
    let (server, flags) = (SERVER.primary, Flags::default());
    TeredoAddress {
        server,
        flags,
        mapped,
    }
    .to_ipv6()
}

fn echo(from: Ipv6Addr, to: Ipv6Addr) -> Vec<u8> {
    let mut bytes = Vec::new();
    emit_echo_request(from, to, 64, 1, 2, &PAYLOAD[..1224], &mut bytes);
    bytes
}

/// A client with a peer that it has heard.
fn client() -> (Client, Ipv6Addr) {
    let mut client = Client::new(ClientConfig::default(), [1; 32], NOW);
    client.start(NOW, LOCAL, &[SERVER]);
    let mut bytes = Vec::new();
    while let Some(transmit) = client.poll_transmit(&mut bytes) {
        if let Destination::Udp(server) = transmit.destination {
            let _ = client.handle_udp(NOW, server, *LOCAL.ip(), &advertisement(&bytes));
        }
        bytes.clear();
    }
    let own = client
        .status()
        .address
        .expect("both advertisements have come");
    emit_bubble(teredo(PEER), own, 255, &mut bytes);
    let _ = client.handle_udp(NOW, PEER, *LOCAL.ip(), &bytes);
    (client, own)
}

fn advertisement(solicitation: &[u8]) -> Vec<u8> {
    let asked = Datagram::parse(solicitation).expect("a client's own solicitation");
    let mut bytes = Vec::new();
    let nonce = asked.authentication.expect("it has a nonce").nonce;
    Authentication::nonce_only(nonce).emit(&mut bytes);
    Origin(MAPPED).emit(&mut bytes);
    let prefix = PrefixInformation {
        prefix: server_prefix(SERVER.primary),
        length: 64,
        on_link: false,
        autonomous: true,
        valid_lifetime: PrefixInformation::INFINITE,
        preferred_lifetime: PrefixInformation::INFINITE,
    };
    let advertisement = RouterAdvertisement {
        prefixes: vec![prefix],
        ..RouterAdvertisement::default()
    };
    let router = server_link_local(SERVER.primary);
    advertisement.emit(router, asked.packet.source(), &mut bytes);
    bytes
}

fn sending_client() -> Given<Client> {
    let (client, own) = client();
    (client, vec![echo(own, teredo(PEER)); CALLS])
}

fn receiving_client() -> Given<Client> {
    let (client, own) = client();
    (client, vec![echo(teredo(PEER), own); CALLS])
}

#[library_benchmark(setup = sending_client)]
#[bench::call()]
fn client_send((mut client, packets): Given<Client>) -> Given<Client> {
    for packet in &packets {
        assert_eq!(
            client.handle_tun(NOW, black_box(packet)),
            Submission::Send(PEER)
        );
    }
    (client, packets)
}

#[library_benchmark(setup = receiving_client)]
#[bench::call()]
fn client_receive((mut client, packets): Given<Client>) -> Given<Client> {
    for packet in &packets {
        let reception = client.handle_udp(NOW, PEER, *LOCAL.ip(), black_box(packet));
        assert!(matches!(reception, Reception::Deliver(_)));
    }
    (client, packets)
}

/// A relay with so many peers; of these it talks to some that lie far apart.
fn relay(peers: usize) -> (Relay, Vec<TeredoAddress>) {
    let relay = introduced::fill(peers).expect("they are all introduced");
    let far_apart = (0..CALLS).map(|number| introduced::client(number * 7919 % peers));
    (relay, far_apart.collect())
}

fn sending_relay(peers: usize) -> Given<Relay> {
    let (relay, clients) = relay(peers);
    let packets = clients.iter().map(|client| echo(NATIVE, client.to_ipv6()));
    (relay, packets.collect())
}

fn receiving_relay(peers: usize) -> (Relay, Vec<(SocketAddrV4, Vec<u8>)>) {
    let (relay, clients) = relay(peers);
    let packets = clients
        .iter()
        .map(|client| (client.mapped, echo(client.to_ipv6(), NATIVE)));
    (relay, packets.collect())
}

fn relay_sends((mut relay, packets): Given<Relay>) -> Given<Relay> {
    let now = introduced::now();
    for packet in &packets {
        let submission = relay.handle_tun(now, black_box(packet));
        assert!(matches!(submission, Submission::Send(_)));
    }
    (relay, packets)
}

#[library_benchmark(setup = sending_relay)]
#[bench::call(FEW)]
fn relay_send(given: Given<Relay>) -> Given<Relay> {
    relay_sends(given)
}

#[library_benchmark(setup = sending_relay)]
#[bench::call(MANY)]
fn relay_send_million_peers(given: Given<Relay>) -> Given<Relay> {
    relay_sends(given)
}

#[library_benchmark(setup = receiving_relay)]
#[bench::call(FEW)]
fn relay_receive(
    (mut relay, packets): (Relay, Vec<(SocketAddrV4, Vec<u8>)>),
) -> (Relay, Vec<(SocketAddrV4, Vec<u8>)>) {
    let now = introduced::now();
    for (from, packet) in &packets {
        let reception = relay.handle_udp(now, *from, RELAY, black_box(packet));
        assert!(matches!(reception, Reception::Deliver(_)));
    }
    (relay, packets)
}

/// A server, and each datagram in a buffer with room for the answer.
fn server(datagram: &[u8]) -> Given<Server> {
    let server = Server::new(ServerConfig::new(SERVER), [1; 32]);
    let mut buffer = datagram.to_vec();
    buffer.resize(server.buffer_len(), 0);
    (server, vec![buffer; CALLS])
}

fn solicited_server() -> (Given<Server>, usize) {
    let mut datagram = Vec::new();
    Authentication::nonce_only([7; 8]).emit(&mut datagram);
    emit_router_solicitation(link_local(Flags::default(), PEER), &mut datagram);
    (server(&datagram), datagram.len())
}

fn forwarding_server() -> (Given<Server>, usize) {
    let mut datagram = Vec::new();
    emit_bubble(teredo(MAPPED), teredo(PEER), 255, &mut datagram);
    (server(&datagram), datagram.len())
}

fn server_answers(((mut server, mut buffers), len): (Given<Server>, usize)) -> Given<Server> {
    for buffer in &mut buffers {
        let answer = server.answer_in_place(NOW, MAPPED, SERVER.primary, black_box(buffer), len);
        assert!(matches!(answer, Ok(Answer::Udp { .. })));
    }
    (server, buffers)
}

#[library_benchmark(setup = solicited_server)]
#[bench::call()]
fn server_solicitation(given: (Given<Server>, usize)) -> Given<Server> {
    server_answers(given)
}

#[library_benchmark(setup = forwarding_server)]
#[bench::call()]
fn server_bubble(given: (Given<Server>, usize)) -> Given<Server> {
    server_answers(given)
}

/// The kernel's header, a packet, and room for the packets that it is cut into.
type Handed = (Header, Vec<u8>, Vec<u8>);

/// A packet with the payload of so many full ones, as the host's stack hands it over.
fn handed(packets: usize, segment: Option<u16>) -> Handed {
    let payload = vec![0x5a; packets * usize::from(SEGMENT)];
    let (header, packet) = Packet::tcp(1, payload).super_packet(segment);
    (Header::parse(&header), packet, vec![0; 70_000])
}

fn cut((header, packet, mut out): Handed, packets: usize) -> Handed {
    for _ in 0..CALLS {
        let mut cut = Cut::new(&header, black_box(&packet)).expect("it can be cut");
        let (mut end, mut count) = (0, 0);
        while let Some(len) = cut.emit(&packet, &mut out[end..]) {
            end += len;
            count += 1;
        }
        assert_eq!(count, packets);
        black_box(&mut out);
    }
    (header, packet, out)
}

#[library_benchmark(setup = handed)]
#[bench::call(MOST, Some(SEGMENT))]
fn cut_64k_of_tcp(handed: Handed) -> Handed {
    cut(handed, MOST)
}

#[library_benchmark(setup = handed)]
#[bench::call(1, None)]
fn complete_checksum(handed: Handed) -> Handed {
    cut(handed, 1)
}

/// A coalescer, and packets end to end.
fn batch(packets: usize) -> (Coalescer, Vec<u8>) {
    let (header, packet, _) = handed(packets, Some(SEGMENT));
    let mut arena = vec![0; packets * LEN];
    let mut cut = Cut::new(&header, &packet).expect("it can be cut");
    let mut end = 0;
    while let Some(len) = cut.emit(&packet, &mut arena[end..]) {
        end += len;
    }
    assert_eq!(end, arena.len());
    (Coalescer::new(packets, Offloads::ALL), arena)
}

#[library_benchmark(setup = batch)]
#[bench::call(40)]
fn coalesce_40_of_tcp((mut coalescer, arena): (Coalescer, Vec<u8>)) -> (Coalescer, Vec<u8>) {
    for _ in 0..CALLS {
        coalescer.clear();
        for start in (0..arena.len()).step_by(LEN) {
            coalescer.push(black_box(&arena), start..start + LEN);
        }
        assert_eq!(coalescer.iter(&arena).count(), 1);
    }
    (coalescer, arena)
}

fn payload() -> Vec<u8> {
    PAYLOAD.to_vec()
}

#[library_benchmark(setup = payload)]
#[bench::call()]
fn checksum_of_1232_bytes(payload: Vec<u8>) -> Vec<u8> {
    for _ in 0..CALLS {
        let payload = black_box(&payload);
        black_box(checksum(NATIVE, NATIVE, protocol::ICMPV6, payload));
    }
    payload
}

/// A packet behind everything that a server can put in front of it.
fn datagram() -> Vec<u8> {
    let mut bytes = Vec::new();
    Authentication::nonce_only([7; 8]).emit(&mut bytes);
    Origin(PEER).emit(&mut bytes);
    bytes.extend(echo(teredo(PEER), teredo(MAPPED)));
    bytes
}

#[library_benchmark(setup = datagram)]
#[bench::call()]
fn parse_datagram(bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..CALLS {
        let parsed = Datagram::parse(black_box(&bytes));
        assert!(black_box(parsed).is_ok());
    }
    bytes
}

fn hub() -> (Hub, Feed) {
    let hub = Hub::new();
    let feed = hub.subscribe(false).expect("there is room for one");
    (hub, feed)
}

#[library_benchmark(setup = hub)]
#[bench::call()]
fn hub_publish((hub, mut feed): (Hub, Feed)) -> (Hub, Feed) {
    for port in 1..=CALLS as u16 {
        hub.publish(black_box(port));
        assert!(feed.try_next().is_some());
    }
    (hub, feed)
}

library_benchmark_group!(
    name = hot,
    benchmarks = [
        client_send,
        client_receive,
        relay_send,
        relay_send_million_peers,
        relay_receive,
        server_solicitation,
        server_bubble,
        cut_64k_of_tcp,
        coalesce_40_of_tcp,
        complete_checksum,
        checksum_of_1232_bytes,
        parse_datagram,
        hub_publish
    ]
);
main!(library_benchmark_groups = hot);
