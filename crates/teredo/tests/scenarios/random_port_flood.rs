//! Peers that make a client open random ports (RFC 6081 §5.4, §7): few are open at once, those in use stay, and new
//! contacts succeed meanwhile.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use teredo::client::RANDOM_PORTS;
use teredo::wire::{Flags, PORT, TeredoAddress, Trailer};
use teredo::{DropReason, Submission};
use teredo_sim::{ClientId, NatBehaviour, Network, PortFirewall, RawId, World};

use crate::internet::*;
use crate::packets;
use crate::random_ports::{packet, submit};

/// A client with a friend, both behind port-preserving symmetric NATs, and an attacker.
struct Stage {
    world: World,
    client: ClientId,
    friend: ClientId,
    attacker: RawId,
    attacks: u32,
}

const ATTACKER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 66);

/// The outer source of an attack.
type Attack = fn(u32) -> SocketAddrV4;

/// Another Teredo address each time, of one host.
fn from_one_host(number: u32) -> SocketAddrV4 {
    SocketAddrV4::new(ATTACKER, 1024 + (number % 60_000) as u16)
}

/// A forged source each time.
fn from_everywhere(number: u32) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from_bits(0x5000_0000 + number * 7), 4444)
}

impl Stage {
    fn new() -> Self {
        let mut world = world(1);
        let [client, friend] = [1, 2].map(|number| symmetric(&mut world, number));
        let attacker = world.add_raw(Network::Internet, &[ATTACKER]);
        world.capture_mut().set_limit(1_000);
        let _ = submit(&mut world, client, friend, 1);
        world.run_for(SECOND);
        assert_eq!(world.client(client).random_ports().len(), 1);
        Self {
            world,
            client,
            friend,
            attacker,
            attacks: 0,
        }
    }

    /// Attacks for so long, at so many a second, while client and friend exchange a packet each second.
    fn attack(&mut self, attack: Attack, rate: u32, duration: u64) {
        for _ in 0..duration {
            let sent = submit(&mut self.world, self.client, self.friend, 2);
            assert!(matches!(sent, Submission::SendFrom { .. }), "{sent:?}");
            let sent = submit(&mut self.world, self.friend, self.client, 3);
            assert!(matches!(sent, Submission::SendFrom { .. }), "{sent:?}");
            for _ in 0..rate {
                self.attacks += 1;
                let mapped = attack(self.attacks);
                let source = TeredoAddress {
                    server: SERVER.primary,
                    flags: Flags::default(),
                    mapped,
                };
                let own = address(&self.world, self.client);
                let mut bubble = packets::bubble(source.to_ipv6(), own);
                Trailer::Nonce(self.attacks.to_be_bytes()).emit(&mut bubble);
                Trailer::RandomPort(50_000).emit(&mut bubble);
                let server = SocketAddrV4::new(SERVER.primary, PORT);
                self.world.inject(self.attacker, mapped, server, &bubble);
                self.world
                    .run_for(Duration::from_micros(1_000_000 / u64::from(rate)));
            }
        }
    }

    /// Strangers with these mappings ask through the server for a random port each, and send a packet to each port.
    fn hoard(&mut self, mappings: impl IntoIterator<Item = SocketAddrV4>) -> Vec<Hoarded> {
        let mut hoarded = Vec::new();
        for mapped in mappings {
            let opened = self.ask(mapped);
            self.speak(opened.as_slice());
            hoarded.extend(opened);
        }
        hoarded
    }

    /// A stranger asks through the server for a random port.
    fn ask(&mut self, mapped: SocketAddrV4) -> Option<Hoarded> {
        let own = address(&self.world, self.client);
        let server = SocketAddrV4::new(SERVER.primary, PORT);
        let before = self.world.client(self.client).random_ports().to_vec();
        let peer = TeredoAddress {
            server: SERVER.primary,
            flags: Flags::default(),
            mapped,
        };
        let mut bubble = packets::bubble(peer.to_ipv6(), own);
        Trailer::Nonce([7; 4]).emit(&mut bubble);
        self.world.inject(self.attacker, mapped, server, &bubble);
        self.world.run_for(SECOND);
        let ports = self.world.client(self.client).random_ports();
        let opened = ports.iter().find(|port| !before.contains(port));
        opened.map(|&port| Hoarded { peer, port })
    }

    /// Each of these strangers sends a packet to its port.
    fn speak(&mut self, hoarded: &[Hoarded]) {
        let own = address(&self.world, self.client);
        let outside = *teredo(&self.world, self.client).mapped.ip();
        for &Hoarded { peer, port } in hoarded {
            let packet = packets::udp(peer.to_ipv6(), own, 9);
            let to = SocketAddrV4::new(outside, port);
            self.world.inject(self.attacker, peer.mapped, to, &packet);
        }
        self.world.run_for(SECOND);
    }

    /// Whether a packet of `from` arrives at `to` within 4 s.
    fn reaches(&mut self, from: ClientId, to: ClientId) -> bool {
        let expected = packet(&self.world, from, to, 7);
        self.world.send(from, &expected);
        self.world.run_for(seconds(4));
        delivered(&self.world, to).contains(&expected)
    }

    /// Whether a packet of `from` arrives at `to` during an attack of 4 s.
    fn meets(&mut self, from: ClientId, to: ClientId, attack: Attack, rate: u32) -> bool {
        let before = delivered(&self.world, to).len();
        let expected = packet(&self.world, from, to, 7);
        self.world.send(from, &expected);
        self.attack(attack, rate, 4);
        delivered(&self.world, to)[before..].contains(&expected)
    }
}

/// A stranger that has a random port of the client.
#[derive(Clone, Copy)]
struct Hoarded {
    peer: TeredoAddress,
    port: u16,
}

fn symmetric(world: &mut World, number: u8) -> ClientId {
    qualified_client(world, number, NatBehaviour::symmetric_preserving())
}

/// R6081-5.4.4.2-01: a thousand peers and more ask for a port each.
#[test]
fn a_thousand_random_ports_are_not_opened() {
    const RATE: u32 = 100;
    for (name, attack) in [
        ("one host", from_one_host as Attack),
        ("from everywhere", from_everywhere),
    ] {
        let mut stage = Stage::new();
        let [called, caller] = [3, 4].map(|number| symmetric(&mut stage.world, number));
        stage.attack(attack, RATE, 10);
        let asked = stage.world.client(stage.client).random_ports_asked();
        assert!(asked <= 1 + 32 + 16 * 10, "{name}: {asked}");
        let most = stage.world.client(stage.client).most_random_ports();
        assert!(most <= RANDOM_PORTS / 2 + 1, "{name}: {most}");
        let client = stage.client;
        assert!(
            stage.meets(client, called, attack, RATE),
            "{name}: it calls"
        );
        assert!(drops(&stage.world, client, DropReason::RandomPortLimit) > 0);
        // Forged IPv4 sources use up what all strangers have together, the server's limit for one client before all.
        if name == "one host" {
            assert!(
                stage.meets(caller, client, attack, RATE),
                "{name}: it is called"
            );
        }
        stage.world.run_for(seconds(15));
        let left = stage.world.client(client).random_ports().len();
        assert!(left <= 3, "{name}: {left}");
    }
}

/// The host itself contacts a thousand peers that do not answer: the newest have ports, those in use stay.
#[test]
fn a_host_that_scans_keeps_its_ports_in_use() {
    let mut stage = Stage::new();
    let own = address(&stage.world, stage.client);
    for number in 0..1_000 {
        let to = TeredoAddress {
            server: SERVER.primary,
            flags: Flags::default(),
            mapped: from_everywhere(number),
        };
        let packet = packets::udp(own, to.to_ipv6(), 1);
        stage.world.send(stage.client, &packet);
        stage.world.run_for(Duration::from_millis(2));
    }
    let host = stage.world.client(stage.client);
    assert!(host.most_random_ports() <= RANDOM_PORTS);
    let (client, friend) = (stage.client, stage.friend);
    let sent = submit(&mut stage.world, client, friend, 2);
    assert!(matches!(sent, Submission::SendFrom { .. }));
    let called = symmetric(&mut stage.world, 3);
    let _ = submit(&mut stage.world, client, called, 1);
    stage.world.run_for(SECOND);
    assert_eq!(delivered(&stage.world, called).len(), 1);
}

/// R6081-5.1.2-01, R6081-5.4.4.4-01: of several announced ports the last one counts, and one that no NAT assigns is none;
/// whatever a peer announces, it gets one bubble more for each of its own.
#[test]
fn contradictory_ports_get_one_bubble() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::cone());
    let peer = world.add_raw(Network::Internet, &[ATTACKER]);
    let own = address(&world, client);
    let server = SocketAddrV4::new(SERVER.primary, PORT);
    for (number, ports, expected) in [
        (0, vec![5000], vec![5000]),
        (1, vec![5000, 6000], vec![6000]),
        (2, vec![6000, 5000, 5000], vec![5000]),
        (3, vec![], vec![]),
        (4, vec![0], vec![]),
        (5, vec![5000, 53], vec![]),
        (6, vec![1023], vec![]),
        (7, vec![1024], vec![1024]),
    ] {
        let mapped = from_one_host(number);
        let source = TeredoAddress {
            server: SERVER.primary,
            flags: Flags::default(),
            mapped,
        };
        let mut bubble = packets::bubble(source.to_ipv6(), own);
        for port in &ports {
            Trailer::RandomPort(*port).emit(&mut bubble);
        }
        world.capture_mut().clear();
        world.inject(peer, mapped, server, &bubble);
        world.run_for(SECOND);
        let sent = bubbles(&world, client);
        let to: Vec<u16> = sent
            .iter()
            .map(|record| record.datagram.destination.port())
            .collect();
        assert_eq!(to, [vec![mapped.port()], expected].concat(), "{ports:?}");
        assert!(
            sent.iter()
                .all(|record| *record.datagram.destination.ip() == ATTACKER)
        );
        world.run_for(seconds(3));
    }
}

/// R6081-5.4.4.2-01: a host asks from 16 ports and sends to each of ours every 25 s, so that all have a path. It has four of
/// the client's, and the others remain for newcomers.
#[test]
fn one_host_cannot_hold_the_random_ports_of_strangers() {
    let mut stage = Stage::new();
    let hoarded = stage.hoard((0..16).map(from_one_host));
    for _ in 0..3 {
        stage.speak(&hoarded);
        stage.world.run_for(seconds(24));
    }
    stage.speak(&hoarded);
    let held = stage.world.client(stage.client).random_ports().len();
    assert_eq!(held, 1 + 4, "one is the friend's");
    let [called, caller] = [3, 4].map(|number| symmetric(&mut stage.world, number));
    let client = stage.client;
    assert!(stage.reaches(caller, client), "a newcomer");
    assert!(stage.reaches(client, called), "a contact of the host");
    assert!(stage.reaches(client, stage.friend), "its friend");
}

/// R6081-5.4.4.2-01: four IPv4 addresses have all random ports of strangers, each with a path. One of them yields one port
/// to a newcomer from elsewhere, and a port that shows no path makes room for the next newcomer.
#[test]
fn the_address_with_the_most_ports_yields_one() {
    let mut stage = Stage::new();
    let four = [66, 67, 68, 69].map(|last| Ipv4Addr::new(198, 51, 100, last));
    let mappings = four.map(|ip| (0..4).map(move |port| SocketAddrV4::new(ip, 2000 + port)));
    let hoarded = stage.hoard(mappings.into_iter().flatten());
    assert_eq!(hoarded.len(), 16);
    let caller = symmetric(&mut stage.world, 4);
    stage.speak(&hoarded);
    let client = stage.client;
    for number in 0..3 {
        assert!(stage.ask(from_everywhere(number)).is_some());
    }
    stage.speak(&hoarded);
    assert!(stage.reaches(caller, client), "a newcomer");
    let ports = stage.world.client(client).random_ports();
    let kept = hoarded.iter().filter(|one| ports.contains(&one.port));
    assert_eq!(kept.count(), 15);
    assert!(stage.reaches(client, stage.friend), "its friend");
}

/// R6081-5.4.4.2-01: sixteen IPv4 addresses have a random port each, and keep its path. One to which the host has sent
/// nothing for two minutes makes room for a newcomer, and one that it talks to does not.
#[test]
fn an_idle_path_makes_room_for_a_newcomer() {
    let mut stage = Stage::new();
    let hoarded = stage.hoard((0..16).map(from_everywhere));
    assert_eq!(hoarded.len(), 16);
    let [early, late] = [3, 4].map(|number| symmetric(&mut stage.world, number));
    let client = stage.client;
    stage.speak(&hoarded);
    assert!(!stage.reaches(early, client), "all are new");
    let own = address(&stage.world, client);
    let answer = packets::udp(own, hoarded[0].peer.to_ipv6(), 1);
    for _ in 0..6 {
        stage.speak(&hoarded);
        stage.world.send(client, &answer);
        stage.world.run_for(seconds(24));
    }
    stage.speak(&hoarded);
    assert!(stage.reaches(late, client), "a newcomer");
    let ports = stage.world.client(client).random_ports();
    let kept: Vec<_> = hoarded
        .iter()
        .map(|one| ports.contains(&one.port))
        .collect();
    assert_eq!(kept.iter().filter(|kept| **kept).count(), 15, "{kept:?}");
    assert!(kept[0], "the host talks to it");
}

/// R6081-5.4.4.2-01: a random port that the firewall refuses to a stranger does not keep the host's own contacts from one.
#[test]
fn a_refusal_for_a_stranger_leaves_the_host_its_ports() {
    for firewall in [PortFirewall::Refuses, PortFirewall::Silent] {
        let mut stage = Stage::new();
        let called = symmetric(&mut stage.world, 3);
        let (client, asked) = (stage.client, 1);
        stage.world.set_port_firewall(client, firewall);
        let hoarded = stage.hoard([from_one_host(1), from_one_host(2)]);
        stage.world.set_port_firewall(client, PortFirewall::Open);
        let strangers = stage.world.client(client).random_ports_asked() - asked;
        assert_eq!(strangers, 1, "{firewall:?}: {}", hoarded.len());
        assert!(stage.reaches(client, called), "{firewall:?}");
    }
}

/// R6081-5.4.4.4-01, R4380-7.4-01: each of many peers that name one IPv4 address announces a random port. The bubble to that
/// port counts for the address like the answer before it.
#[test]
fn bubbles_to_random_ports_count_for_their_address() {
    const RATE: u32 = 25;
    const TIME: u32 = 20;
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::cone());
    let victim = world.add_raw(Network::Internet, &[ATTACKER]);
    let own = address(&world, client);
    let server = SocketAddrV4::new(SERVER.primary, PORT);
    world.capture_mut().clear();
    for number in 0..RATE * TIME {
        let mapped = from_one_host(number);
        let source = TeredoAddress {
            server: SERVER.primary,
            flags: Flags::default(),
            mapped,
        };
        let mut bubble = packets::bubble(source.to_ipv6(), own);
        Trailer::RandomPort(50_000).emit(&mut bubble);
        world.inject(victim, mapped, server, &bubble);
        world.run_for(SECOND / RATE);
    }
    let sent = bubbles(&world, client);
    let to = |port: u16| {
        let at = sent.iter().map(|record| record.datagram.destination.port());
        at.filter(|at| *at == port).count()
    };
    assert!(to(50_000) > 10, "{}", to(50_000));
    let most = 32 + 10 * TIME as usize;
    assert!(sent.len() <= most, "{} of {most}", sent.len());
}
