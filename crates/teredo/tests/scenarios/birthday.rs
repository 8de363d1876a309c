//! The birthday method: a symmetric NAT with random ports, and a peer that filters by port.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use teredo::client::{Event, NatTraversal, PORT_BLOCK};
use teredo::wire::{Datagram, Flags, Origin, PORT, TeredoAddress, Trailer};
use teredo::{ClientConfig, DropReason, Submission};
use teredo_sim::{Arrival, ClientId, NatBehaviour, Network, Outbox, PortFirewall, World};

use crate::internet::*;
use crate::packets;
use crate::random_ports::{packet, submit, trace};

const PROBES: usize = 1_024;
/// The other bubbles to one address in a minute, by their own limits.
const ANSWERS: usize = 32 + 60 * 10 + 8 + 60 * 4;

fn with(nat_traversal: NatTraversal) -> ClientConfig {
    ClientConfig {
        nat_traversal,
        ..ClientConfig::default()
    }
}

fn attach(
    world: &mut World,
    number: u8,
    nat: NatBehaviour,
    nat_traversal: NatTraversal,
) -> ClientId {
    let client = client_with(world, number, nat, with(nat_traversal));
    qualify(world, client);
    client
}

/// A client behind a symmetric NAT with random ports, and one behind this NAT; with their settings.
fn pair(seed: u64, other: NatBehaviour, ways: [NatTraversal; 2]) -> (World, ClientId, ClientId) {
    let mut world = world(seed);
    let a = attach(&mut world, 1, NatBehaviour::symmetric_random(), ways[0]);
    let b = attach(&mut world, 2, other, ways[1]);
    world.capture_mut().clear();
    (world, a, b)
}

const EAGER: [NatTraversal; 2] = [NatTraversal::Eager; 2];

/// The lines of a trace, without the fate of many equal ones, which depends on luck.
fn counted(lines: Vec<String>) -> Vec<String> {
    let mut counted: Vec<(String, usize)> = Vec::new();
    let fateless = |line: &str| line.trim_end_matches(", lost").to_owned();
    for line in lines {
        match counted.last_mut() {
            Some((last, count)) if fateless(last) == fateless(&line) => *count += 1,
            _ => counted.push((line, 1)),
        }
    }
    let lines = counted.into_iter().map(|(line, count)| match count {
        1..4 => line,
        _ => format!("{count} x {}", fateless(&line)),
    });
    lines.collect()
}

/// The bubbles that a client has sent from its service port, by the IPv4 address of their destination: the most to one.
fn most_bubbles(world: &World, client: ClientId) -> usize {
    let service = world.client(client).local();
    let mut by_address: BTreeMap<Ipv4Addr, usize> = BTreeMap::new();
    for record in bubbles(world, client) {
        if record.datagram.source == service && *record.datagram.destination.ip() != SERVER.primary
        {
            *by_address
                .entry(*record.datagram.destination.ip())
                .or_default() += 1;
        }
    }
    by_address.into_values().max().unwrap_or_default()
}

/// R6081-5.1.2-01, R6081-5.2.4.4-02: the client behind the symmetric NAT begins. Its ports are open before the other one is
/// asked to look for them; one of 1,024 bubbles that finds a port makes the path, and the other ports are closed.
#[test]
fn a_client_with_random_ports_meets_one_that_filters_by_port() {
    let (mut world, a, b) = pair(1, NatBehaviour::port_restricted(), EAGER);
    assert_eq!(submit(&mut world, a, b, 1), Submission::Queued);
    world.run_for(seconds(8));
    let expected = [
        "A service: bubble to B, lost",
        "A random: solicitation to primary",
        "A random: bubble to B, lost",
        "A random: solicitation to secondary",
        "A service: bubble to primary nonce port",
        "B service: bubble to A nonce, lost",
    ];
    let lines = counted(trace(&world, [a, b]));
    assert_eq!(lines[..6], expected, "{lines:#?}");
    // The answer to B's last question leaves in between.
    let opening: usize = lines
        .iter()
        .filter_map(|line| line.strip_suffix(" x A random: bubble to B"))
        .filter_map(|count| count.parse::<usize>().ok())
        .sum();
    assert_eq!(opening, 256, "{lines:#?}");
    let asked = "A service: bubble to primary nonce nonce";
    assert!(lines.iter().any(|line| line == asked), "{lines:#?}");
    assert_eq!(
        delivered(&world, b),
        [packet(&world, a, b, 1)],
        "{lines:#?}"
    );
    assert_eq!(
        (
            status(&world, a).port_blocks,
            status(&world, b).bubble_bursts
        ),
        (1, 1)
    );
    // All ports but one are closed.
    let host = world.client(a);
    assert!(host.port_block().is_empty());
    let &[port] = host.random_ports() else {
        panic!("{:?}", host.random_ports());
    };
    let kept = host
        .events()
        .iter()
        .any(|event| event.what == Event::ClosePortBlock { keep: Some(port) });
    assert!(kept);
    // Both send over this path.
    let to = teredo(&world, b).mapped;
    assert_eq!(
        submit(&mut world, a, b, 2),
        Submission::SendFrom { port, to }
    );
    assert!(matches!(submit(&mut world, b, a, 3), Submission::Send(_)));
    world.run_for(SECOND);
    assert_eq!(delivered(&world, b).len(), 2);
    assert_eq!(delivered(&world, a).len(), 1);
}

/// The other one begins: the client behind the symmetric NAT opens its ports when it is asked for the second time.
#[test]
fn a_client_that_filters_by_port_meets_one_with_random_ports() {
    let (mut world, a, b) = pair(2, NatBehaviour::port_restricted(), EAGER);
    assert_eq!(submit(&mut world, b, a, 1), Submission::Queued);
    world.run_for(seconds(8));
    let lines = counted(trace(&world, [a, b]));
    assert_eq!(
        delivered(&world, a),
        [packet(&world, b, a, 1)],
        "{lines:#?}"
    );
    assert_eq!(status(&world, a).port_blocks, 1);
    assert_eq!(world.client(a).random_ports().len(), 1);
    assert!(matches!(
        submit(&mut world, a, b, 2),
        Submission::SendFrom { .. }
    ));
    world.run_for(SECOND);
    assert_eq!(delivered(&world, b), [packet(&world, a, b, 2)]);
}

/// The bubbles that open the ports expire before they reach a router whose input is open, which would take them for its own.
#[test]
fn a_router_with_open_input_is_no_hindrance() {
    let (mut world, a, b) = pair(1, NatBehaviour::open_input(), EAGER);
    assert_eq!(submit(&mut world, a, b, 1), Submission::Queued);
    world.run_for(seconds(8));
    assert_eq!(
        delivered(&world, b),
        [packet(&world, a, b, 1)],
        "{}",
        world.capture()
    );
}

/// If all bubbles of a burst miss, the host's own peer gets a second one, and then no more.
#[test]
fn a_burst_that_misses_is_repeated_once() {
    let (mut world, a, b) = pair(1, NatBehaviour::port_restricted(), EAGER);
    // None of the bubbles arrives.
    let outside = *teredo(&world, a).mapped.ip();
    let service = world.client(b).local();
    world.interfere(move |datagram| {
        (datagram.source, *datagram.destination.ip()) == (service, outside)
    });
    assert_eq!(submit(&mut world, b, a, 1), Submission::Queued);
    world.run_for(seconds(20));
    assert_eq!(
        status(&world, b).bubble_bursts,
        2,
        "{:#?}",
        counted(trace(&world, [a, b]))
    );
    assert!(drops(&world, b, DropReason::BirthdayLimit) > 0);
    assert!(world.client(a).port_block().is_empty());
    assert!(world.client(a).random_ports().is_empty());
    assert_eq!(world.client(b).errors().len(), 1);
    // The same peer is not helped for a while.
    let _ = submit(&mut world, b, a, 1);
    world.run_for(seconds(20));
    assert_eq!(status(&world, b).bubble_bursts, 2);
}

/// A peer that was met may come again with another mapping, for instance after a restart, when the minute is over.
#[test]
fn a_peer_that_was_met_may_come_again() {
    let (mut world, a, b) = pair(1, NatBehaviour::port_restricted(), EAGER);
    let _ = submit(&mut world, a, b, 1);
    world.run_for(seconds(8));
    assert_eq!(delivered(&world, b).len(), 1);
    let (network, local) = (world.network_of(a), world.client(a).local());
    world.run_for(seconds(60));
    world.rebind(a, network, SocketAddrV4::new(*local.ip(), local.port() + 1));
    qualify(&mut world, a);
    assert_eq!(submit(&mut world, a, b, 2), Submission::Queued);
    world.run_for(seconds(8));
    assert_eq!(delivered(&world, b).len(), 2);
    assert_eq!(status(&world, b).bubble_bursts, 2);
}

/// With one end that is not eager, the contact ends as without the method, and leaves no port behind. No burst is sent.
#[test]
fn a_peer_that_is_not_eager_is_not_harmed() {
    use NatTraversal::{Eager, Rfc6081};
    for ways in [[Eager, Rfc6081], [Rfc6081, Eager]] {
        for begins in [true, false] {
            let (mut world, a, b) = pair(1, NatBehaviour::port_restricted(), ways);
            let (one, other) = if begins { (a, b) } else { (b, a) };
            assert_eq!(submit(&mut world, one, other, 1), Submission::Queued);
            world.run_for(seconds(30));
            assert_eq!(world.client(one).errors().len(), 1, "{ways:?} {begins}");
            assert!(world.client(a).port_block().is_empty());
            assert!(world.client(a).random_ports().is_empty());
            assert!(most_bubbles(&world, b) < 20, "{ways:?} {begins}");
        }
    }
}

/// Two clients with random ports cannot meet, and neither tries.
#[test]
fn two_clients_with_random_ports_do_not_try() {
    let (mut world, a, b) = pair(1, NatBehaviour::symmetric_random(), EAGER);
    assert_eq!(submit(&mut world, a, b, 1), Submission::Queued);
    world.run_for(seconds(20));
    for client in [a, b] {
        assert_eq!(world.client(client).port_blocks_asked(), 0);
        assert_eq!(status(&world, client).bubble_bursts, 0);
    }
}

/// If the ports are refused, or nobody answers, the contact goes on without; no port is asked for again meanwhile. If the
/// firewall is slow, the question waits for it.
#[test]
fn the_ports_may_be_refused_or_late() {
    for (firewall, meets) in [
        (PortFirewall::Refuses, false),
        (PortFirewall::Silent, false),
        (PortFirewall::Late(Duration::from_millis(200)), true),
    ] {
        let (mut world, a, b) = pair(1, NatBehaviour::port_restricted(), EAGER);
        // The ordinary random port opens in any case.
        assert_eq!(submit(&mut world, a, b, 1), Submission::Queued);
        world.run_for(Duration::from_millis(300));
        world.set_port_firewall(a, firewall);
        world.run_for(seconds(20));
        assert_eq!(world.client(a).port_blocks_asked(), 1, "{firewall:?}");
        assert_eq!(
            delivered(&world, b).len(),
            usize::from(meets),
            "{firewall:?}"
        );
        assert_eq!(
            world.client(a).errors().len(),
            usize::from(!meets),
            "{firewall:?}"
        );
        assert!(world.client(a).port_block().is_empty());
    }
}

/// A stranger with a server of its own, which reads the client's nonces and forges the source of all it sends.
#[derive(Clone, Copy)]
struct Rogue {
    /// Whether its question repeats the nonce that it has read.
    knows_nonce: bool,
    /// Where the client's server has seen the question come from, if not from the victim.
    origin: Option<SocketAddrV4>,
}

const PERFECT: Rogue = Rogue {
    knows_nonce: true,
    origin: None,
};

const ROGUE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 66);

impl Rogue {
    /// Its answer to a question of the client: one for a burst to the peer's mapping.
    fn answer(self, arrival: Arrival<'_>, out: &mut Outbox) {
        let Arrival::Udp(received) = arrival else {
            return;
        };
        let Ok(datagram) = Datagram::parse(&received.payload) else {
            return;
        };
        let nonce = datagram.trailers.iter().find_map(|trailer| match trailer {
            Trailer::Nonce(nonce) => Some(nonce),
            _ => None,
        });
        let (victim, client) = (datagram.packet.destination(), datagram.packet.source());
        if let (Some(nonce), Some(victim_at)) = (nonce, TeredoAddress::from_ipv6(victim)) {
            let mut bubble = packets::bubble(victim, client);
            let repeated = if self.knows_nonce { nonce } else { [1; 4] };
            Trailer::Nonce(repeated).emit(&mut bubble);
            Trailer::Nonce([9; 4]).emit(&mut bubble);
            let server = SocketAddrV4::new(SERVER.primary, PORT);
            match (self.origin, TeredoAddress::from_ipv6(client)) {
                (Some(origin), Some(client)) => {
                    let mut forwarded = Vec::new();
                    Origin(origin).emit(&mut forwarded);
                    forwarded.extend(bubble);
                    out.send(server, client.mapped, forwarded);
                }
                _ => out.send(victim_at.mapped, server, bubble),
            }
        }
    }

    /// Asks the client in the name of a victim.
    fn ask(world: &mut World, rogue: teredo_sim::RawId, client: ClientId, victim: SocketAddrV4) {
        let peer = TeredoAddress {
            server: ROGUE,
            flags: Flags::default(),
            mapped: victim,
        };
        let mut bubble = packets::bubble(peer.to_ipv6(), address(world, client));
        Trailer::Nonce([8; 4]).emit(&mut bubble);
        let server = SocketAddrV4::new(SERVER.primary, PORT);
        world.inject(rogue, victim, server, &bubble);
    }
}

/// R4380-7.4-01: a rogue server that forges its victims' addresses gets one burst for a victim, and one a minute in all, at
/// most. Meanwhile the client keeps its peer, and meets a new one by the same method.
#[test]
fn a_rogue_server_gets_few_bursts() {
    for one_victim in [true, false] {
        let (mut world, a, b) = pair(1, NatBehaviour::port_restricted(), EAGER);
        let newcomer = attach(
            &mut world,
            3,
            NatBehaviour::symmetric_random(),
            NatTraversal::Eager,
        );
        let friend = attach(&mut world, 4, NatBehaviour::cone(), NatTraversal::Eager);
        let rogue = world.add_responder(Network::Internet, &[ROGUE], |arrival, out| {
            PERFECT.answer(arrival, out);
        });
        let _ = submit(&mut world, b, friend, 1);
        world.run_for(SECOND);
        world.capture_mut().clear();
        let mut attacks = 0u32;
        let mut attack = |world: &mut World, duration: u32| {
            for _ in 0..duration * 20 {
                attacks += 1;
                let number = if one_victim { 0 } else { attacks };
                let address = Ipv4Addr::from_bits(0x5000_0000 + number * 7);
                let victim = SocketAddrV4::new(address, 1024 + (attacks % 60_000) as u16);
                Rogue::ask(world, rogue, b, victim);
                world.run_for(Duration::from_millis(50));
            }
        };
        for _ in 0..59 {
            attack(&mut world, 1);
            for (client, other) in [(b, friend), (friend, b)] {
                let sent = submit(&mut world, client, other, 5);
                assert!(matches!(sent, Submission::Send(_)), "{sent:?}");
            }
        }
        let bursts = status(&world, b).bubble_bursts;
        assert!((1..=2).contains(&bursts), "{one_victim}: {bursts}");
        let most = most_bubbles(&world, b);
        assert!(most < PROBES + ANSWERS, "{one_victim}: {most}");
        assert!(drops(&world, b, DropReason::BirthdayLimit) > 0);
        for (peer, number) in [(a, 1), (newcomer, 2)] {
            let before = delivered(&world, peer).len();
            let _ = submit(&mut world, b, peer, number);
            attack(&mut world, 6);
            assert_eq!(
                delivered(&world, peer).len(),
                before + 1,
                "{one_victim} {number}"
            );
        }
    }
}

/// A question with a nonce that is not ours, or from another address than the one that it asks for, causes no burst.
#[test]
fn an_unproven_question_causes_no_burst() {
    let victim = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 99), 5000);
    let elsewhere = SocketAddrV4::new(ROGUE, 6000);
    for (knows_nonce, origin, expected) in [
        (false, None, 0),
        (true, Some(elsewhere), 0),
        (true, Some(victim), 1),
        (true, None, 1),
    ] {
        let mut world = world(1);
        let client = attach(
            &mut world,
            1,
            NatBehaviour::port_restricted(),
            NatTraversal::Eager,
        );
        let behaviour = Rogue {
            knows_nonce,
            origin,
        };
        let rogue = world.add_responder(Network::Internet, &[ROGUE], move |arrival, out| {
            behaviour.answer(arrival, out);
        });
        Rogue::ask(&mut world, rogue, client, victim);
        world.run_for(seconds(3));
        let bursts = status(&world, client).bubble_bursts;
        assert_eq!(bursts, expected, "{knows_nonce} {origin:?}");
    }
}

/// A stranger that asks again and again makes a client open ports as rarely, and one block at a time.
#[test]
fn strangers_open_few_blocks() {
    let mut world = world(1);
    let client = attach(
        &mut world,
        1,
        NatBehaviour::symmetric_random(),
        NatTraversal::Eager,
    );
    let called = attach(
        &mut world,
        2,
        NatBehaviour::port_restricted(),
        NatTraversal::Eager,
    );
    let rogue = world.add_responder(Network::Internet, &[ROGUE], |_, _| {});
    let attack = |world: &mut World, duration: u32| {
        for number in 0..duration * 20 {
            let address = Ipv4Addr::from_bits(0x5000_0000 + number % 5 * 7);
            Rogue::ask(world, rogue, client, SocketAddrV4::new(address, 5000));
            world.run_for(Duration::from_millis(50));
        }
    };
    attack(&mut world, 60);
    let asked = world.client(client).port_blocks_asked();
    assert!((1..=2).contains(&asked), "{asked}");
    assert!(world.client(client).port_block().len() <= PORT_BLOCK);
    let _ = submit(&mut world, client, called, 1);
    attack(&mut world, 6);
    assert_eq!(
        delivered(&world, called),
        [packet(&world, client, called, 1)]
    );
}

/// R4380-7.4-01: a rogue that can forge its victim's address can also forge a packet of it after the burst. It gets two
/// bursts at first and one a minute then.
#[test]
fn a_forger_gets_one_burst_a_minute() {
    let (mut world, _, b) = pair(1, NatBehaviour::port_restricted(), EAGER);
    let rogue = world.add_responder(Network::Internet, &[ROGUE], |arrival, out| {
        PERFECT.answer(arrival, out);
    });
    world.capture_mut().clear();
    let ip = Ipv4Addr::new(203, 0, 113, 99);
    for number in 0..10 {
        let victim = SocketAddrV4::new(ip, 5000 + number);
        let peer = TeredoAddress {
            server: ROGUE,
            flags: Flags::default(),
            mapped: victim,
        };
        Rogue::ask(&mut world, rogue, b, victim);
        world.run_for(SECOND);
        let forged = packets::udp(peer.to_ipv6(), address(&world, b), 1);
        let to = teredo(&world, b).mapped;
        world.inject(rogue, victim, to, &forged);
        world.run_for(seconds(29));
    }
    let sent = bubbles(&world, b);
    let ports = sent
        .iter()
        .filter(|record| *record.datagram.destination.ip() == ip)
        .count();
    let bursts = status(&world, b).bubble_bursts;
    assert!((1..=6).contains(&bursts), "{bursts} in 300 s");
    assert!(ports < 6 * 1_100, "{ports} bubbles in 300 s");
}

/// An eager client with such a delay on its link, so that it has measured it.
fn attach_far(world: &mut World, number: u8, behaviour: NatBehaviour, delay: u64) -> ClientId {
    let nat = nat(world, number, behaviour);
    let client = world.add_idle_client(nat, local(number), with(NatTraversal::Eager));
    world.link_mut(client).delay = Duration::from_millis(delay);
    world.start(client, &[SERVER]);
    qualify(world, client);
    client
}

/// The server, or the way to it, is slow, and the ordinary contact succeeds. It has its time: no ports are opened and no
/// burst is sent.
#[test]
fn a_slow_server_opens_no_ports() {
    let mut opened = Vec::new();
    for delay in [20, 50, 100, 150, 250] {
        for a_begins in [true, false] {
            let mut world = world(1);
            let a = attach_far(&mut world, 1, NatBehaviour::symmetric_random(), delay);
            let b = attach_far(&mut world, 2, NatBehaviour::restricted(), delay);
            let (one, other) = if a_begins { (a, b) } else { (b, a) };
            let _ = submit(&mut world, one, other, 1);
            world.run_for(seconds(8));
            assert_eq!(delivered(&world, other).len(), 1);
            let blocks = status(&world, a).port_blocks;
            let bursts = status(&world, b).bubble_bursts;
            if (blocks, bursts) != (0, 0) {
                opened.push((delay, a_begins, blocks, bursts));
            }
        }
    }
    assert!(
        opened.is_empty(),
        "delay in ms, A begins, blocks, bursts: {opened:?}"
    );
}

/// The end that looks for a port has the uplink of a home: 1 to 10 Mbit/s, and a queue of 100 ms.
#[test]
fn a_slow_uplink_is_no_hindrance() {
    let mut shares = Vec::new();
    for megabits in [1, 2, 5, 10] {
        let met = (0..40).filter(|&seed| {
            let (mut world, a, b) = pair(seed, NatBehaviour::port_restricted(), EAGER);
            let link = world.link_mut(b);
            (link.rate, link.queue) = (megabits * 125_000, Duration::from_millis(100));
            let _ = submit(&mut world, a, b, 1);
            world.run_for(seconds(9));
            !delivered(&world, b).is_empty()
        });
        shares.push((megabits, met.count()));
    }
    assert!(
        shares.iter().all(|(_, met)| *met >= 38),
        "Mbit/s, met of 40: {shares:?}"
    );
}

/// A stranger with a server makes a client with such an uplink send a burst. What does a conversation of the host lose?
#[test]
fn a_burst_costs_a_conversation_little() {
    let mut lost = Vec::new();
    for megabits in [1, 2, 5, 10] {
        let (mut world, _, b) = pair(1, NatBehaviour::port_restricted(), EAGER);
        let friend = attach(&mut world, 4, NatBehaviour::cone(), NatTraversal::Eager);
        let rogue = world.add_responder(Network::Internet, &[ROGUE], |arrival, out| {
            PERFECT.answer(arrival, out);
        });
        let _ = submit(&mut world, b, friend, 1);
        world.run_for(SECOND);
        let link = world.link_mut(b);
        (link.rate, link.queue) = (megabits * 125_000, Duration::from_millis(100));
        let before = delivered(&world, friend).len();
        for number in 0..200 {
            if number == 50 {
                let victim = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 99), 5000);
                Rogue::ask(&mut world, rogue, b, victim);
            }
            let _ = submit(&mut world, b, friend, 5);
            world.run_for(Duration::from_millis(10));
        }
        world.run_for(seconds(2));
        assert_eq!(status(&world, b).bubble_bursts, 1);
        lost.push((megabits, 200 - (delivered(&world, friend).len() - before)));
    }
    assert!(
        lost.iter().all(|(_, lost)| *lost <= 1),
        "Mbit/s, lost of 200 packets, one each 10 ms: {lost:?}"
    );
}

/// A host behind a symmetric NAT contacts eight peers that need no help, two a second, and then one that does.
#[test]
fn contacts_that_need_no_help_leave_it_to_others() {
    let mut met = Vec::new();
    for delay in [20, 50, 100, 150, 200] {
        let mut world = world(1);
        let a = attach_far(&mut world, 1, NatBehaviour::symmetric_random(), delay);
        let easy: Vec<_> = (2..10)
            .map(|number| attach_far(&mut world, number, NatBehaviour::restricted(), 10))
            .collect();
        let hard = attach_far(&mut world, 10, NatBehaviour::port_restricted(), 10);
        for &peer in &easy {
            let _ = submit(&mut world, a, peer, 1);
            world.run_for(SECOND / 2);
        }
        let _ = submit(&mut world, a, hard, 1);
        world.run_for(seconds(10));
        let blocks = status(&world, a).port_blocks;
        met.push((delay, delivered(&world, hard).len(), blocks));
    }
    assert!(
        met.iter().all(|(_, met, _)| *met == 1),
        "delay in ms, met, blocks: {met:?}"
    );
}
