//! Peers that make a client open random ports (RFC 6081 §5.4, §7): few are open at once, those in use stay, and new
//! contacts succeed meanwhile.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use teredo::client::RANDOM_PORTS;
use teredo::wire::{Flags, PORT, TeredoAddress, Trailer};
use teredo::{DropReason, Submission};
use teredo_sim::{ClientId, NatBehaviour, Network, RawId, World};

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

    /// Whether a packet of `from` arrives at `to` during an attack of 4 s.
    fn meets(&mut self, from: ClientId, to: ClientId, attack: Attack, rate: u32) -> bool {
        let before = delivered(&self.world, to).len();
        let expected = packet(&self.world, from, to, 7);
        self.world.send(from, &expected);
        self.attack(attack, rate, 4);
        delivered(&self.world, to)[before..].contains(&expected)
    }
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
