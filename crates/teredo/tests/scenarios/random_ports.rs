//! Random ports (RFC 6081 §5.4, §5.5): what the RFC's examples show, packet by packet, and how ports come and go.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::time::Duration;

use teredo::client::{Event, Nat};
use teredo::wire::{Datagram, Flags, PORT, TeredoAddress, Trailer};
use teredo::{DropReason, Submission};
use teredo_sim::{ClientId, Filtering, NatBehaviour, Network, PortFirewall, Record, World};

use crate::internet::*;
use crate::packets;

/// Two qualified clients behind these NATs, one of each.
pub(crate) fn pair(seed: u64, one: NatBehaviour, two: NatBehaviour) -> (World, ClientId, ClientId) {
    let mut world = world(seed);
    let a = qualified_client(&mut world, 1, one);
    let b = qualified_client(&mut world, 2, two);
    world.capture_mut().clear();
    (world, a, b)
}

/// A packet of the host of `from`.
pub(crate) fn packet(world: &World, from: ClientId, to: ClientId, number: u8) -> Vec<u8> {
    packets::udp(address(world, from), address(world, to), number)
}

/// Sends a packet, and returns what became of it.
pub(crate) fn submit(world: &mut World, from: ClientId, to: ClientId, number: u8) -> Submission {
    let packet = packet(world, from, to, number);
    world.submit(from, &packet)
}

/// The random port in a datagram.
pub(crate) fn announced(record: &Record) -> Option<u16> {
    let datagram = Datagram::parse(record.payload()).ok()?;
    datagram.trailers.iter().find_map(|trailer| match trailer {
        Trailer::RandomPort(port) => Some(port),
        _ => None,
    })
}

/// The datagrams of both clients, in order: who sent it, from which port, what it is, to whom, its trailers, and whether
/// it arrived; without the bubbles that were only sent again to open the own NAT, and expire behind it. Ports that are not the service port are `random`; a destination that is neither a server nor a mapping in
/// an address is `elsewhere`.
pub(crate) fn trace(world: &World, clients: [ClientId; 2]) -> Vec<String> {
    let mut lines = Vec::new();
    let servers = [(SERVER.primary, "primary"), (SERVER.secondary, "secondary")];
    let mut names: HashMap<SocketAddrV4, String> = servers
        .map(|(ip, name)| (SocketAddrV4::new(ip, PORT), name.to_owned()))
        .into();
    for (client, name) in clients.into_iter().zip(["A", "B"]) {
        names.insert(teredo(world, client).mapped, name.to_owned());
    }
    for record in world.capture().iter() {
        let who = clients.iter().position(|&id| record.sender == id.into());
        let Some(who) = who.filter(|_| !record.duplicate && !is_copy(world, record)) else {
            continue;
        };
        let service = world.client(clients[who]).local().port();
        let port = match record.datagram.source.port() {
            port if port == service => "service",
            _ => "random",
        };
        let datagram = Datagram::parse(record.payload()).unwrap();
        let kind = match datagram.packet {
            packet if packet.is_bubble() => "bubble",
            packet if packet.next_header() == 17 => "data",
            _ => "solicitation",
        };
        let to = names.get(&record.datagram.destination);
        let to = to.map_or("elsewhere", String::as_str);
        let trailers = datagram.trailers.iter().map(|trailer| match trailer {
            Trailer::Nonce(_) => " nonce",
            Trailer::RandomPort(_) => " port",
            _ => " other",
        });
        let trailers: String = trailers.collect();
        let fate = if record.delivered() { "" } else { ", lost" };
        let who = ["A", "B"][who];
        lines.push(format!("{who} {port}: {kind} to {to}{trailers}{fate}"));
    }
    lines
}

/// R6081-5.4.3-02, R6081-5.4.4.2-01, R6081-5.4.4.2-02, R6081-5.4.4.3-01, R6081-5.4.4.4-01, R6081-5.4.4.5-04, golden trace
/// G4: the example of RFC 6081 §6.3. There, B greets when A has asked again, 2 s later, and A also answers from its service
/// port, in vain.
#[test]
fn port_preserving_clients_meet() {
    let behaviour = NatBehaviour::symmetric_preserving();
    let (mut world, a, b) = pair(1, behaviour, behaviour);
    assert_eq!(status(&world, a).nat, Nat::Symmetric);
    assert_eq!(submit(&mut world, a, b, 1), Submission::Queued);
    world.run_for(SECOND);
    let expected = [
        "A service: bubble to B, lost",
        "A service: bubble to primary nonce port",
        "B service: bubble to A nonce, lost",
        "B random: bubble to elsewhere nonce port, lost",
        "B service: bubble to primary nonce port",
        "A random: bubble to elsewhere nonce port",
        "B random: bubble to elsewhere nonce",
        "A random: data to elsewhere",
    ];
    assert_eq!(trace(&world, [a, b]), expected, "{}", world.capture());
    // Each sends to the port that the other has announced, and that is its own number.
    for (one, other) in [(a, b), (b, a)] {
        let sent = bubbles(&world, one);
        let port = sent.iter().find_map(announced).unwrap();
        assert_eq!(world.client(one).random_ports(), [port]);
        let to = SocketAddrV4::new(*teredo(&world, one).mapped.ip(), port);
        let expected = Submission::SendFrom {
            port: world.client(other).random_ports()[0],
            to,
        };
        assert_eq!(submit(&mut world, other, one, 2), expected);
    }
    world.run_for(SECOND);
    assert_eq!(delivered(&world, a), [packet(&world, b, a, 2)]);
    let [first, second] = [packet(&world, a, b, 1), packet(&world, a, b, 2)];
    assert_eq!(delivered(&world, b), [first, second]);
}

/// R6081-5.5.4.1-01, R6081-5.5.4.1.1-01, R6081-5.5.4.2-01, R6081-5.5.4.4-01, R6081-5.5.4.4-02, R6081-4.5-01, golden trace
/// G5: the example of RFC 6081 §6.4. There, B asks before it opens its NAT.
#[test]
fn a_client_behind_a_sequential_nat_foresees_its_port() {
    for behaviour in [
        NatBehaviour::symmetric_sequential(),
        NatBehaviour::symmetric_sequential_by_two(),
    ] {
        let (mut world, a, b) = pair(1, behaviour, NatBehaviour::port_restricted());
        assert_eq!(submit(&mut world, a, b, 1), Submission::Queued);
        world.run_for(SECOND);
        let expected = [
            "A service: bubble to B, lost",
            "A random: solicitation to primary",
            "A random: bubble to B, lost",
            "A random: solicitation to secondary",
            "A service: bubble to primary nonce port",
            "B service: bubble to A nonce, lost",
            "B service: bubble to elsewhere nonce",
            "B service: bubble to primary nonce",
            "A random: bubble to B nonce",
            "A random: data to B",
            // It does not know that A has heard it.
            "B service: bubble to elsewhere nonce",
        ];
        assert_eq!(trace(&world, [a, b]), expected, "{}", world.capture());
        // The mapping towards B lies between those towards the server's addresses.
        let sent: Vec<Record> = world.capture().sent_by(a).cloned().collect();
        let seen = |number: usize| sent[number].public_source.port();
        let [lower, next, upper] = [seen(1), seen(2), seen(3)];
        assert_eq!((next - lower, upper - next), (upper - next, next - lower));
        assert_eq!(announced(&sent[4]), Some(next));
        let nonces: Vec<_> = [1, 3]
            .iter()
            .map(|&number| Datagram::parse(sent[number].payload()).unwrap())
            .map(|datagram| datagram.authentication.unwrap().nonce)
            .collect();
        assert_ne!(nonces[0], nonces[1]);
        let answer = submit(&mut world, b, a, 2);
        let foreseen = SocketAddrV4::new(*teredo(&world, a).mapped.ip(), next);
        assert_eq!(answer, Submission::Send(foreseen));
        world.run_for(SECOND);
        assert_eq!(delivered(&world, a), [packet(&world, b, a, 2)]);
    }
}

/// Figure 1 of RFC 6081, the cells with port-preserving and sequential NATs, each direction that it promises.
#[test]
fn promised_pairs_meet() {
    let [preserving, sequential] = [
        NatBehaviour::symmetric_preserving(),
        NatBehaviour::symmetric_sequential(),
    ];
    let restricted = [
        NatBehaviour::port_restricted(),
        NatBehaviour::open_input(),
        NatBehaviour::restricted(),
        NatBehaviour::cone(),
    ];
    let mut pairs = vec![(preserving, preserving), (preserving, sequential)];
    for nat in restricted {
        for symmetric in [
            preserving,
            sequential,
            NatBehaviour::symmetric_sequential_by_two(),
        ] {
            pairs.extend([(nat, symmetric), (symmetric, nat)]);
        }
    }
    for (one, two) in pairs {
        for seed in 1..=10 {
            let (mut world, a, b) = pair(seed, one, two);
            let _ = submit(&mut world, a, b, 1);
            world.run_for(2 * SECOND);
            let _ = submit(&mut world, b, a, 2);
            world.run_for(SECOND);
            let met = [
                delivered(&world, b) == [packet(&world, a, b, 1)],
                delivered(&world, a) == [packet(&world, b, a, 2)],
            ];
            assert_eq!(
                met,
                [true; 2],
                "{one:?} {two:?} {seed}\n{}",
                world.capture()
            );
        }
    }
}

/// R6081-5.4.4.5-01, R6081-5.4.4.5-03, R6081-5.5.4.3-01: a path from the service port ends the random port and its test.
#[test]
fn a_path_from_the_service_port_closes_the_random_port() {
    for (behaviour, tests) in [
        (NatBehaviour::symmetric_preserving(), 0),
        (NatBehaviour::symmetric_sequential(), 2),
    ] {
        let (mut world, a, b) = pair(1, behaviour, NatBehaviour::cone());
        // The test gets no answer.
        let service = teredo(&world, a).mapped.port();
        world.interfere(move |datagram| {
            *datagram.source.ip() == SERVER.primary && datagram.destination.port() != service
        });
        assert_eq!(submit(&mut world, b, a, 1), Submission::Queued);
        world.run_for(seconds(5));
        assert_eq!(world.client(a).random_ports_asked(), 1);
        assert_eq!(world.client(a).random_ports(), []);
        assert_eq!(solicitations(&world, a).len(), tests, "no second echo test");
        assert!(matches!(submit(&mut world, a, b, 2), Submission::Send(_)));
    }
}

/// R6081-5.4.3-01, R6081-5.3.3-06: a client behind any other NAT opens no random port, and neither does one without the
/// extensions.
#[test]
fn other_clients_open_none() {
    for behaviour in [
        NatBehaviour::cone(),
        NatBehaviour::restricted(),
        NatBehaviour::port_restricted(),
    ] {
        let (mut world, a, b) = pair(1, behaviour, NatBehaviour::symmetric_preserving());
        for (from, to) in [(a, b), (b, a)] {
            let _ = submit(&mut world, from, to, 1);
            world.run_for(seconds(10));
        }
        assert_eq!(world.client(a).random_ports_asked(), 0);
    }
}

/// R6081-5.4.2.1-01, R6081-5.4.4.1-01: without data, 20 bubbles keep the NATs open, 30 s apart; data starts the count
/// anew.
#[test]
fn an_idle_path_through_a_random_port_is_kept() {
    let behaviour = NatBehaviour {
        lifetime: seconds(45),
        ..NatBehaviour::symmetric_preserving()
    };
    let (mut world, a, b) = pair(1, behaviour, behaviour);
    let _ = submit(&mut world, a, b, 1);
    world.run_for(seconds(5));
    let refreshes = |world: &World| {
        let port = world.client(a).random_ports()[0];
        let sent = bubbles(world, a);
        let sent = sent
            .iter()
            .filter(|record| record.datagram.source.port() == port);
        sent.cloned().collect::<Vec<_>>()
    };
    world.capture_mut().clear();
    let start = world.now();
    world.run_for(seconds(200));
    let sent = refreshes(&world);
    assert_eq!(sent.len(), 6, "{:?}", times(start, &sent));
    let times_sent = times(start, &sent);
    for pair in times_sent.windows(2) {
        assert_eq!((pair[1] - pair[0]).round() as u64, 30, "{times_sent:?}");
    }
    // Both NATs have forgotten nothing.
    assert!(matches!(
        submit(&mut world, a, b, 2),
        Submission::SendFrom { .. }
    ));
    world.run_for(SECOND);
    assert_eq!(delivered(&world, b).len(), 2);
    // From then on 20 more.
    world.capture_mut().clear();
    world.run_for(seconds(700));
    assert_eq!(refreshes(&world).len(), 20);
    world.capture_mut().clear();
    world.run_for(seconds(200));
    assert_eq!(bubbles(&world, a).len(), 0, "then silence");
    // The entry ages, and the port goes with it.
    world.run_for(seconds(400));
    assert_eq!(world.client(a).random_ports(), []);
    assert_eq!(world.client(b).random_ports(), []);
}

/// R6081-5.5.4.1.1-02, R6081-5.5.2.2-01, R6081-5.5.2.1-01: if the server does not answer, the test is repeated after 1 s,
/// and after two more the indirect bubble leaves without a port. The next attempt has two tests as well.
#[test]
fn an_echo_test_without_answers_is_repeated_once() {
    let (mut world, a, b) = pair(
        1,
        NatBehaviour::symmetric_sequential(),
        NatBehaviour::cone(),
    );
    let service = world.client(a).local();
    let mapped = teredo(&world, a).mapped.port();
    world.interfere(move |datagram| {
        // The server's answers to the random port.
        let is_answer = datagram.source.port() == PORT && datagram.source.ip().octets()[0] == 192;
        is_answer && datagram.destination.port() != mapped && datagram.destination.port() != 40_002
    });
    for attempt in 1..=2 {
        world.capture_mut().clear();
        let start = world.now();
        assert_eq!(submit(&mut world, a, b, 1), Submission::Queued);
        assert!(world.run_until(seconds(9), |world| delivered(world, b).len() == attempt));
        let random: Vec<Record> = solicitations(&world, a)
            .into_iter()
            .filter(|record| record.datagram.source != service)
            .collect();
        assert_eq!(times(start, &random), [0.0, 0.0, 1.0, 1.0]);
        let asked: Vec<Record> = bubbles(&world, a)
            .into_iter()
            .filter(|record| *record.datagram.destination.ip() == SERVER.primary)
            .collect();
        assert_eq!(times(start, &asked[..1]), [3.0]);
        assert_eq!(announced(&asked[0]), None);
        // Until the path has expired, and the four bubbles count no more.
        world.run_for(seconds(400));
        assert_eq!(world.client(a).random_ports(), []);
    }
}

/// The firewall decides: late ones delay the bubble, those that refuse or do not answer leave it without a port, and no
/// other port is asked for in the next 30 s. Clients whose NATs need none meet nevertheless.
#[test]
fn a_firewall_may_be_late_or_refuse() {
    let behaviour = NatBehaviour::symmetric_preserving();
    for (firewall, delay, announces) in [
        (PortFirewall::Late(Duration::from_millis(250)), 0.25, true),
        (PortFirewall::Refuses, 0.0, false),
        (PortFirewall::Silent, 1.0, false),
    ] {
        let (mut world, a, b) = pair(1, behaviour, NatBehaviour::cone());
        world.set_port_firewall(a, firewall);
        let start = world.now();
        assert_eq!(submit(&mut world, a, b, 1), Submission::Queued);
        world.run_for(3 * SECOND);
        let asked: Vec<Record> = bubbles(&world, a)
            .into_iter()
            .filter(|record| *record.datagram.destination.ip() == SERVER.primary)
            .collect();
        assert_eq!(times(start, &asked[..1]), [delay], "{firewall:?}");
        assert_eq!(announced(&asked[0]).is_some(), announces, "{firewall:?}");
        // Nothing left from the port before it was open.
        let service = world.client(a).local();
        let early = world.capture().sent_by(a).find(|record| {
            record.datagram.source != service && times(start, &[(*record).clone()])[0] < delay
        });
        assert_eq!(early, None);
        assert_eq!(delivered(&world, b).len(), 1);
        // Late or not, two such clients meet.
        if announces {
            let (mut world, a, b) = pair(2, behaviour, behaviour);
            world.set_port_firewall(a, firewall);
            world.set_port_firewall(b, firewall);
            let _ = submit(&mut world, a, b, 1);
            world.run_for(2 * SECOND);
            assert_eq!(delivered(&world, b).len(), 1);
        } else {
            let asked = world.client(a).random_ports_asked();
            let other = qualified_client(&mut world, 3, NatBehaviour::cone());
            let _ = submit(&mut world, a, other, 1);
            world.run_for(SECOND);
            assert_eq!(world.client(a).random_ports_asked(), asked);
            world.run_for(seconds(31));
            let another = qualified_client(&mut world, 4, NatBehaviour::cone());
            let _ = submit(&mut world, a, another, 1);
            assert_eq!(world.client(a).random_ports_asked(), asked + 1);
        }
    }
}

/// Ports end with their reason: the peer was asked in vain, the service ends, the address of the host changes.
#[test]
fn ports_end_with_their_reason() {
    let behaviour = NatBehaviour::symmetric_preserving();
    let meet = || {
        let (mut world, a, b) = pair(1, behaviour, behaviour);
        let _ = submit(&mut world, a, b, 1);
        world.run_for(SECOND);
        assert_eq!(world.client(a).random_ports().len(), 1);
        (world, a, b)
    };
    let (mut world, a, _) = meet();
    world.stop(a);
    assert_eq!(world.client(a).random_ports(), []);

    let (mut world, a, _) = meet();
    let nat = nat(&mut world, 9, behaviour);
    world.rebind(a, nat, socket("10.0.0.99:40001"));
    assert_eq!(world.client(a).random_ports(), []);

    let (mut world, a, b) = pair(1, behaviour, NatBehaviour::symmetric_random());
    assert_eq!(submit(&mut world, a, b, 1), Submission::Queued);
    world.run_for(seconds(9));
    assert_eq!(world.client(a).errors().len(), 1);
    world.run_for(seconds(10));
    let left = [a, b].map(|client| world.client(client).random_ports().len());
    assert_eq!(left, [0, 0]);
    // Each event that opens a port has one that closes it.
    for client in [a, b] {
        let events = world.client(client).events().iter();
        let mut open = Vec::new();
        for event in events {
            match event.what {
                Event::RandomPort { port, wanted: true } => open.push(port),
                Event::RandomPort { port, .. } => {
                    assert!(open.contains(&port));
                    open.retain(|other| *other != port);
                }
                _ => {}
            }
        }
        assert_eq!(open, []);
    }
}

/// R6081-5.4.4.4-03: a path that expired, on one side or on both, is set up anew with fresh ports.
#[test]
fn clients_meet_again_after_a_silence() {
    for filtering in [
        Filtering::AddressAndPortDependent,
        Filtering::AddressDependent,
    ] {
        let behaviour = NatBehaviour {
            filtering,
            lifetime: seconds(40),
            ..NatBehaviour::symmetric_preserving()
        };
        for silence in [31, 61, 700, 1_500] {
            let (mut world, a, b) = pair(1, behaviour, behaviour);
            let _ = submit(&mut world, a, b, 1);
            world.run_for(seconds(silence));
            for number in 2..6 {
                let _ = submit(&mut world, b, a, number);
                world.run_for(seconds(2));
            }
            assert_eq!(
                delivered(&world, a).len(),
                4,
                "{filtering:?} after {silence} s\n{}",
                trace(&world, [a, b]).join("\n")
            );
        }
    }
}

/// R6081-5.4.4.4-02, R6081-5.4.4.5-05: a random port is for its peer alone, and what is not is dropped by name. While the path
/// lasts, neither another mapping nor another port that the peer seems to announce moves it.
#[test]
fn a_random_port_is_for_its_peer_alone() {
    let behaviour = NatBehaviour::symmetric_preserving();
    let (mut world, a, b) = pair(1, behaviour, behaviour);
    let _ = submit(&mut world, a, b, 1);
    world.run_for(SECOND);
    // Any host that knows the port reaches it.
    let Network::Behind(nat) = world.network_of(a) else {
        panic!("it is behind a NAT");
    };
    world.nat_mut(nat).behaviour_mut().filtering = Filtering::EndpointIndependent;
    let port = world.client(a).random_ports()[0];
    let from = socket("198.51.100.66:4000");
    let stranger = world.add_raw(Network::Internet, &[*from.ip()]);
    let to = SocketAddrV4::new(*teredo(&world, a).mapped.ip(), port);
    let [own, peer] = [a, b].map(|client| address(&world, client));
    let forged = TeredoAddress {
        server: SERVER.primary,
        flags: Flags::default(),
        mapped: from,
    }
    .to_ipv6();
    let closed = DropReason::RandomPortClosed;
    let elsewhere = DropReason::MappingMismatch;
    for (payload, reason) in [
        (packets::udp(forged, own, 1), closed),
        (packets::bubble(forged, own), closed),
        (packets::udp(v6("2001:db8::1"), own, 1), closed),
        (packets::bubble(peer, own), elsewhere),
        (packets::udp(peer, own, 1), elsewhere),
        (packets::udp(forged, peer, 1), DropReason::WrongDestination),
        (vec![1, 2, 3], DropReason::Malformed),
    ] {
        let count = drops(&world, a, reason);
        world.inject(stranger, from, to, &payload);
        world.run_for(SECOND / 10);
        assert_eq!(drops(&world, a, reason), count + 1, "{reason}");
    }
    assert_eq!(delivered(&world, a).len(), 0);
    let mut moves = packets::bubble(peer, own);
    Trailer::Nonce([7; 4]).emit(&mut moves);
    Trailer::RandomPort(2222).emit(&mut moves);
    let server = SocketAddrV4::new(SERVER.primary, PORT);
    world.inject(stranger, teredo(&world, b).mapped, server, &moves);
    world.run_for(SECOND);
    assert_eq!(world.client(a).random_ports(), [port]);
    let expected = Submission::SendFrom {
        port,
        to: SocketAddrV4::new(
            *teredo(&world, b).mapped.ip(),
            world.client(b).random_ports()[0],
        ),
    };
    assert_eq!(submit(&mut world, a, b, 2), expected);
}

/// R6081-5.2.4.4-02, R6081-5.2.4.4-03, R6081-5.4.4.3-01: at a random port, too, a bubble from elsewhere needs the nonce of
/// the last indirect bubble. The test plays the peer.
#[test]
fn a_guessed_nonce_makes_no_path_to_a_random_port() {
    const PEER: &str = "198.51.100.44:4444";
    let behaviour = NatBehaviour {
        filtering: Filtering::AddressDependent,
        ..NatBehaviour::symmetric_preserving()
    };
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, behaviour);
    let raw = world.add_raw(Network::Internet, &[*socket(PEER).ip()]);
    let server = SocketAddrV4::new(SERVER.primary, PORT);
    let (own, mapped) = (address(&world, client), teredo(&world, client).mapped);
    let peer = TeredoAddress {
        server: SERVER.primary,
        flags: Flags::default(),
        mapped: socket(PEER),
    }
    .to_ipv6();
    let packet = packets::udp(own, peer, 1);
    assert_eq!(world.submit(client, &packet), Submission::Queued);
    world.run_for(SECOND / 10);
    // The peer announces a port of its own, and so makes the client's port send to it.
    let mut asks = packets::bubble(peer, own);
    Trailer::Nonce([1; 4]).emit(&mut asks);
    Trailer::RandomPort(5555).emit(&mut asks);
    world.inject(raw, socket(PEER), server, &asks);
    world.run_for(SECOND / 10);
    let sent = bubbles(&world, client);
    let service = world.client(client).local();
    let random = sent.iter().find(|record| record.datagram.source != service);
    let random = random.unwrap();
    assert_eq!(random.datagram.destination, socket("198.51.100.44:5555"));
    let to = SocketAddrV4::new(*mapped.ip(), random.datagram.source.port());
    let nonce = sent.iter().find_map(|record| {
        let datagram = Datagram::parse(record.payload()).unwrap();
        let asks = record.datagram.destination == server;
        datagram.trailers.iter().find_map(|trailer| match trailer {
            Trailer::Nonce(nonce) if asks => Some(nonce),
            _ => None,
        })
    });
    let nonce = nonce.unwrap();
    let answer = |nonces: &[[u8; 4]]| {
        let mut bubble = packets::bubble(peer, own);
        nonces
            .iter()
            .for_each(|nonce| Trailer::Nonce(*nonce).emit(&mut bubble));
        bubble
    };
    let observed = socket("198.51.100.44:5556");
    for guess in [vec![], vec![[0; 4]], vec![[1; 4]], vec![nonce, [2; 4]]] {
        let before = drops(&world, client, DropReason::MappingMismatch);
        world.inject(raw, observed, to, &answer(&guess));
        world.run_for(SECOND / 10);
        let refused = drops(&world, client, DropReason::MappingMismatch) - before;
        assert_eq!((refused, data(&world, client).len()), (1, 0), "{guess:?}");
    }
    world.inject(raw, observed, to, &answer(&[nonce]));
    world.run_for(SECOND / 10);
    let released = data(&world, client);
    assert_eq!(released.len(), 1);
    assert_eq!(released[0].datagram.destination, observed);
    assert_eq!(released[0].datagram.source.port(), to.port());
}

/// If the bubble is lost that tells a peer where our packets come from, our data is not believed there. The peer asks again
/// with the next packet that comes 2 s after its first question or later.
#[test]
fn a_lost_last_bubble_is_asked_for_again() {
    let [sequential, restricted] = [
        NatBehaviour::symmetric_sequential(),
        NatBehaviour::port_restricted(),
    ];
    let (mut world, a, b) = pair(1, sequential, restricted);
    let (from, mut lost) = (world.client(a).local(), 0);
    world.interfere(move |datagram| {
        let Ok(parsed) = Datagram::parse(&datagram.payload) else {
            return false;
        };
        let tells = parsed.packet.is_bubble()
            && datagram.source.ip() == from.ip()
            && datagram.source.port() != from.port()
            && parsed.trailers.iter().next().is_some();
        lost += u32::from(tells);
        tells && lost == 1
    });
    let start = world.now();
    for number in 0..5 {
        let _ = submit(&mut world, a, b, number);
        world.run_for(SECOND);
    }
    assert!(
        !delivered(&world, b).is_empty(),
        "{}",
        trace(&world, [a, b]).join("\n")
    );
    let first = &world.client(b).delivered()[0];
    let after = first.at - start;
    assert!(after < seconds(5), "{after:?}\n{}", world.capture());
    let _ = submit(&mut world, b, a, 9);
    world.run_for(SECOND);
    assert_eq!(delivered(&world, a), [packet(&world, b, a, 9)]);
}

/// R6081-5.4.3-02: the first destination of a socket sees the port itself. If the solicitation to the primary address is
/// lost at first, that is the secondary one.
#[test]
fn a_lost_solicitation_hides_no_port_preserving_nat() {
    let behaviour = NatBehaviour::symmetric_preserving();
    let mut world = world(1);
    let mut lost = false;
    let from = local(1);
    world.interfere(move |datagram| {
        let first = datagram.source == from && *datagram.destination.ip() == SERVER.primary;
        first && !std::mem::replace(&mut lost, true)
    });
    let a = qualified_client(&mut world, 1, behaviour);
    let b = qualified_client(&mut world, 2, behaviour);
    assert_ne!(teredo(&world, a).mapped.port(), from.port());
    let _ = submit(&mut world, a, b, 1);
    world.run_for(SECOND);
    assert_eq!(
        solicitations(&world, a)
            .iter()
            .filter(|record| record.datagram.source != from)
            .count(),
        0
    );
    assert_eq!(delivered(&world, b), [packet(&world, a, b, 1)]);
}
