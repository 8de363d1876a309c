//! Bubbles: when, where, and how many (RFC 4380 §5.2.4 case 5, §5.2.6).

use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use teredo::wire::{Flags, Icmpv6, Ipv6Packet, PORT, TeredoAddress};
use teredo::{ClientConfig, DropReason, Submission};
use teredo_sim::{ClientId, NatBehaviour, Network, RawId, Record, World};

use crate::internet::*;
use crate::packets;

const PEER: &str = "198.51.100.44:4444";

/// The Teredo address of a peer that the test plays.
fn peer_address() -> Ipv6Addr {
    TeredoAddress {
        server: SERVER.primary,
        flags: Flags::default(),
        mapped: socket(PEER),
    }
    .to_ipv6()
}

/// A qualified client behind this NAT, and a silent peer without a NAT.
fn stage(behaviour: NatBehaviour) -> (World, ClientId, RawId) {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, behaviour);
    let peer = world.add_raw(Network::Internet, &[*socket(PEER).ip()]);
    world.capture_mut().clear();
    (world, client, peer)
}

fn submit(world: &mut World, client: ClientId, number: u8) -> Submission {
    let packet = packets::udp(address(world, client), peer_address(), number);
    world.submit(client, &packet)
}

fn send(world: &mut World, client: ClientId, number: u8) {
    let _ = submit(world, client, number);
}

/// An indirect bubble of the peer, through the server.
fn ask_indirectly(world: &mut World, client: ClientId, peer: RawId) {
    let bubble = packets::bubble(peer_address(), address(world, client));
    world.inject(
        peer,
        socket(PEER),
        SocketAddrV4::new(SERVER.primary, PORT),
        &bubble,
    );
}

/// A bubble or a packet of the peer, directly to the client.
fn send_directly(world: &mut World, client: ClientId, peer: RawId) {
    let bubble = packets::bubble(peer_address(), address(world, client));
    let mapped = teredo(world, client).mapped;
    world.inject(peer, socket(PEER), mapped, &bubble);
}

/// The direct bubbles among these: one for each event of asking or answering.
fn direct(records: Vec<Record>) -> Vec<Record> {
    records
        .into_iter()
        .filter(|record| record.datagram.destination == socket(PEER))
        .collect()
}

/// R4380-5.2.4-06, R4380-5.2.4-11, R4380-5.2.6-01, R4380-5.2.6-03: timers send pairs of bubbles at 0, 2, 4 and 6 s, and
/// then the host gets an error for each packet that waited.
#[test]
fn a_silent_peer_gets_four_pairs_of_bubbles_and_is_given_up() {
    let (mut world, client, _) = stage(NatBehaviour::restricted());
    let start = world.now();
    for number in 0..3 {
        assert_eq!(submit(&mut world, client, number), Submission::Queued);
    }
    world.run_for(seconds(20));
    let sent = bubbles(&world, client);
    assert_eq!(
        times(start, &sent),
        [0.0, 0.0, 2.0, 2.0, 4.0, 4.0, 6.0, 6.0]
    );
    for pair in sent.chunks(2) {
        let to = [pair[0].datagram.destination, pair[1].datagram.destination];
        assert_eq!(to, [socket(PEER), socket("192.0.2.1:3544")]);
        assert_eq!(
            packets::endpoints(pair[0].payload()),
            (address(&world, client), peer_address())
        );
    }
    // R6081-5.2.4.1-01, R6081-5.2.4.2-02, R6081-7-01: the indirect ones have a nonce each, the direct ones have none.
    let mut nonces = Vec::new();
    for pair in sent.chunks(2) {
        let [direct, indirect] = [0, 1].map(|index| pair[index].payload());
        assert_eq!(direct.len(), 40);
        let nonce = indirect.strip_prefix(direct).unwrap();
        assert_eq!((nonce.len(), &nonce[..2]), (6, &[1, 4][..]));
        nonces.push(nonce.to_vec());
    }
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(nonces.len(), 4);
    assert_eq!(data(&world, client), []);

    let errors = world.client(client).errors();
    assert_eq!(errors.len(), 3);
    for (number, error) in errors.iter().enumerate() {
        assert_eq!(error.at - start, seconds(8));
        let packet = Ipv6Packet::parse(&error.what).unwrap();
        assert_eq!(packet.destination(), address(&world, client));
        assert_eq!(
            (packet.payload()[0], packet.payload()[1]),
            (1, 3),
            "address unreachable"
        );
        assert!(Icmpv6::parse(&packet).is_ok());
        let number = u8::try_from(number).unwrap();
        assert!(error.what.ends_with(&packets::udp(
            address(&world, client),
            peer_address(),
            number
        )));
    }
    assert_eq!(drops(&world, client, DropReason::PeerUnreachable), 3);
}

/// R4380-5.2.6-05, R4380-5.2.6-06: a program that retries every second for five minutes causes four pairs of bubbles,
/// and four more after 300 s.
#[test]
fn four_bubbles_in_three_hundred_seconds() {
    let (mut world, client, _) = stage(NatBehaviour::restricted());
    let start = world.now();
    for number in 0..=250 {
        send(&mut world, client, number);
        world.run_for(SECOND);
    }
    assert_eq!(
        times(start, &direct(bubbles(&world, client))),
        [0.0, 2.0, 4.0, 6.0]
    );
    for _ in 0..60 {
        send(&mut world, client, 0);
        world.run_for(SECOND);
    }
    assert_eq!(
        times(start, &direct(bubbles(&world, client))),
        [0.0, 2.0, 4.0, 6.0, 300.0, 302.0, 304.0, 306.0]
    );
}

/// R4380-5.2.6-07: after a direct response four bubbles are allowed again.
#[test]
fn a_direct_response_resets_the_limit() {
    let (mut world, client, peer) = stage(NatBehaviour::restricted());
    send(&mut world, client, 0);
    world.run_for(seconds(7));
    assert_eq!(direct(bubbles(&world, client)).len(), 4);
    send_directly(&mut world, client, peer);
    world.run_for(seconds(40));
    assert_eq!(data(&world, client).len(), 1);
    world.capture_mut().clear();
    assert_eq!(submit(&mut world, client, 1), Submission::Queued);
    world.run_for(seconds(10));
    // The question over the old path comes first (R6081-5.7.4.1-01).
    assert_eq!(direct(bubbles(&world, client)).len(), 1 + 4);
}

/// R4380-5.2.4-06: any attempt may succeed; queued packets then leave in order, and no bubble follows.
#[test]
fn every_attempt_may_succeed() {
    for attempt in 0..4 {
        let (mut world, client, peer) = stage(NatBehaviour::port_restricted());
        let start = world.now();
        for number in 0..5 {
            send(&mut world, client, number);
        }
        world.run_for(seconds(2 * attempt) + Duration::from_millis(500));
        send_directly(&mut world, client, peer);
        world.run_for(seconds(20));
        assert_eq!(direct(bubbles(&world, client)).len() as u64, attempt + 1);
        let sent = data(&world, client);
        let numbers: Vec<_> = sent
            .iter()
            .map(|record| packets::number(record.payload()))
            .collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
        assert!(
            sent.iter()
                .all(|record| record.at - start < seconds(2 * attempt + 1))
        );
        assert_eq!(world.client(client).errors().len(), 0);
    }
}

/// R4380-5.2.3-14, R4380-5.2.6-04, R4380-5.2.6-05: a peer that floods the client with indirect bubbles and is never
/// heard directly gets one answer in 2 s, and four in all.
#[test]
fn a_flood_of_indirect_bubbles_gets_four_answers() {
    let (mut world, client, peer) = stage(NatBehaviour::restricted());
    for _ in 0..200 {
        ask_indirectly(&mut world, client, peer);
        world.run_for(SECOND / 10);
    }
    let answers = bubbles(&world, client);
    assert!(
        answers
            .iter()
            .all(|record| record.datagram.destination == socket(PEER)),
        "answers are direct"
    );
    assert_eq!(answers.len(), 4);
    assert!(
        answers
            .windows(2)
            .all(|pair| pair[1].at - pair[0].at >= seconds(2))
    );
    assert!(drops(&world, client, DropReason::BubbleLimit) > 190);
}

/// R4380-5.2.6-04: bubbles to a peer that answers are also two seconds apart.
#[test]
fn bubbles_keep_two_seconds_apart() {
    let (mut world, client, peer) = stage(NatBehaviour::restricted());
    for _ in 0..200 {
        ask_indirectly(&mut world, client, peer);
        send_directly(&mut world, client, peer);
        world.run_for(SECOND / 10);
    }
    let answers = bubbles(&world, client);
    assert!(
        (9..=11).contains(&answers.len()),
        "{} answers in 20 s",
        answers.len()
    );
    assert!(
        answers
            .windows(2)
            .all(|pair| pair[1].at - pair[0].at >= seconds(2))
    );
}

/// R4380-5.2.3-14, R5991-3.2-05: an indirect bubble is answered, also behind a cone NAT.
#[test]
fn an_indirect_bubble_is_answered_behind_every_nat() {
    for kind in [
        NatBehaviour::cone(),
        NatBehaviour::restricted(),
        NatBehaviour::port_restricted(),
    ] {
        let (mut world, client, peer) = stage(kind);
        ask_indirectly(&mut world, client, peer);
        world.run_for(SECOND);
        let received = world.raw(peer).received();
        assert_eq!(received.len(), 1);
        assert_eq!(
            packets::endpoints(&received[0].what.payload),
            (address(&world, client), peer_address())
        );
        assert_eq!(delivered(&world, client), Vec::<Vec<u8>>::new());
    }
}

/// R4380-5.2.6-02, R4380-5.2.3-09: an answered indirect bubble proves nothing; only the direct one makes the path.
#[test]
fn an_indirect_bubble_does_not_make_a_path() {
    let (mut world, client, peer) = stage(NatBehaviour::cone());
    ask_indirectly(&mut world, client, peer);
    world.run_for(SECOND);
    assert_eq!(status(&world, client).trusted_peers, 0);
    assert_eq!(submit(&mut world, client, 1), Submission::Queued);
    assert_eq!(data(&world, client), []);
    send_directly(&mut world, client, peer);
    world.run_for(SECOND);
    assert_eq!(data(&world, client).len(), 1);
    assert_eq!(status(&world, client).trusted_peers, 1);
}

/// Submits 10,000 packets to `peers` dead peers in turn, and returns the number queued.
fn submit_to_the_dead(peers: u16, config: ClientConfig) -> usize {
    let mut world = world(1);
    let client = client_with(&mut world, 1, NatBehaviour::restricted(), config);
    qualify(&mut world, client);
    let own = address(&world, client);
    let mut queued = 0;
    for number in 0..10_000 {
        let mapped = SocketAddrV4::new(v4("198.51.100.44"), 1 + number % peers);
        let peer = TeredoAddress {
            server: SERVER.primary,
            flags: Flags::default(),
            mapped,
        };
        let packet = packets::udp(own, peer.to_ipv6(), 1);
        queued += usize::from(world.submit(client, &packet) == Submission::Queued);
    }
    assert_eq!(
        drops(&world, client, DropReason::QueueFull),
        10_000 - queued as u64
    );
    world.run_for(seconds(20));
    assert_eq!(
        drops(&world, client, DropReason::PeerUnreachable),
        queued as u64
    );
    queued
}

/// R4380-5.2.4-11: the queue of one peer is bounded, and so are all together.
#[test]
fn ten_thousand_packets_to_dead_peers() {
    let config = ClientConfig {
        max_queue_bytes: 10_000,
        max_total_queue_bytes: 25_000,
        ..ClientConfig::default()
    };
    let size = packets::udp(peer_address(), peer_address(), 1).len();
    assert_eq!(submit_to_the_dead(1, config.clone()), 10_000 / size);
    assert_eq!(submit_to_the_dead(5, config), 25_000 / size);
}

/// R4380-7.4-01, W-03: for any packet of a stranger, the client sends no more than it received.
#[test]
fn nothing_is_amplified() {
    for kind in [NatBehaviour::cone(), NatBehaviour::restricted()] {
        let (mut world, client, peer) = stage(kind);
        let own = address(&world, client);
        for number in 0..1000u16 {
            let from = SocketAddrV4::new(*socket(PEER).ip(), 1000 + number);
            let source = TeredoAddress {
                server: SERVER.primary,
                flags: Flags::default(),
                mapped: from,
            }
            .to_ipv6();
            let to = if number % 2 == 0 {
                SocketAddrV4::new(SERVER.primary, PORT)
            } else {
                teredo(&world, client).mapped
            };
            world.inject(peer, from, to, &packets::bubble(source, own));
        }
        world.run_for(seconds(20));
        let out: Vec<_> = bubbles(&world, client);
        assert!(out.len() <= 1000);
        assert!(out.iter().all(|record| record.payload().len() == 40));
    }
}
