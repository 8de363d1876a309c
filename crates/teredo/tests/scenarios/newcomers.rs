//! Newcomers are served while an attacker does his worst (RFC 4380 §7.3, §7.4): each attack is run beside honest new
//! contacts, and what the host is drawn to send is counted.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use teredo::client::LocalSubnet;
use teredo::server::RelayLimits;
use teredo::wire::{self, Flags, PORT, TeredoAddress};
use teredo::{ServerConfig, Submission};
use teredo_sim::{ClientId, NatBehaviour, Network, RawId, ServerId, World};

use crate::fake_relay::{self, RELAY};
use crate::internet::*;
use crate::packets;

const ATTACKER: &str = "198.51.100.66:6666";
const VICTIM: &str = "198.51.100.77";
const TICK: Duration = Duration::from_millis(10);

/// A client behind an open NAT, whose host answers echo requests, a relay with native hosts, and an attacker.
struct Stage {
    world: World,
    client: ClientId,
    server: ServerId,
    relay: RawId,
    attacker: RawId,
    victim: RawId,
    /// The packets of the client's host that were looked at.
    seen: usize,
    /// The echo replies of the host.
    replies: usize,
    /// The number of the next invented source.
    next: u32,
}

impl Stage {
    fn new() -> Self {
        Self::with(RelayLimits::default())
    }

    fn with(limits: RelayLimits) -> Self {
        let mut world = World::new(1);
        let config = ServerConfig {
            limits,
            ..ServerConfig::new(SERVER)
        };
        let server = world.add_server_with(SERVER, config);
        let relay = fake_relay::add(&mut world, packets::echo_reply);
        for number in 0..40 {
            world.attach_native(relay, honest(number));
        }
        let client = qualified_client(&mut world, 1, NatBehaviour::cone());
        let attacker = world.add_raw(Network::Internet, &[*socket(ATTACKER).ip()]);
        let victim = world.add_raw(Network::Internet, &[v4(VICTIM)]);
        world.capture_mut().set_limit(2_000);
        Self {
            world,
            client,
            server,
            relay,
            attacker,
            victim,
            seen: 0,
            replies: 0,
            next: 0,
        }
    }

    fn own(&self) -> Ipv6Addr {
        address(&self.world, self.client)
    }

    fn mapped(&self) -> SocketAddrV4 {
        teredo(&self.world, self.client).mapped
    }

    /// Lets a tick pass; the host answers what came.
    fn tick(&mut self) {
        self.world.run_for(TICK);
        let delivered = self.world.client(self.client).delivered();
        let new: Vec<_> = delivered[self.seen..]
            .iter()
            .filter_map(|packet| packets::echo_reply(&packet.what))
            .collect();
        self.seen = delivered.len();
        self.replies += new.len();
        for reply in new {
            self.world.send(self.client, &reply);
        }
    }

    /// Lets the attacker send so many packets of `attack` per second for so long.
    fn attack(&mut self, attack: Attack, per_second: u32, seconds: u32) {
        let mut sent = 0;
        for tick in 1..=seconds * 100 {
            while sent < per_second * tick / 100 {
                sent += 1;
                self.next += 1;
                let (from, to, payload) = attack(self, self.next);
                self.world.inject(self.attacker, from, to, &payload);
            }
            self.tick();
        }
    }

    /// The honest native hosts whose first packets reached the host, and those that got its answers.
    fn served(&self) -> (usize, usize) {
        let heard = delivered(&self.world, self.client);
        let answers = self.world.raw(self.relay).received();
        let honest: Vec<_> = (0..40).map(honest).collect();
        let count = |found: &dyn Fn(Ipv6Addr) -> bool| {
            honest.iter().filter(|&&address| found(address)).count()
        };
        let first = count(&|address| {
            let from = |packet: &Vec<u8>| packets::endpoints(packet).0 == address;
            heard.iter().any(from)
        });
        let answered = count(&|address| {
            answers.iter().any(|datagram| {
                let payload = &datagram.what.payload;
                packets::endpoints(payload).1 == address && payload.get(40) == Some(&129)
            })
        });
        (first, answered)
    }

    /// The native hosts that got a packet which the host sent first.
    fn reached(&self) -> usize {
        let mut hosts: Vec<_> = self
            .world
            .raw(self.relay)
            .received()
            .iter()
            .filter(|datagram| datagram.what.payload[6] == 17)
            .map(|datagram| packets::endpoints(&datagram.what.payload).1)
            .collect();
        hosts.sort();
        hosts.dedup();
        hosts.len()
    }

    /// The datagrams that the victim got, and their bytes with IPv4 and UDP headers.
    fn at_victim(&self) -> (usize, usize) {
        let received = self.world.raw(self.victim).received();
        let bytes = received
            .iter()
            .map(|datagram| datagram.what.payload.len() + 28);
        (received.len(), bytes.sum())
    }

    /// The first packets of the honest native hosts `numbers`, through their relay.
    fn knock(&mut self, numbers: std::ops::Range<u16>) {
        let mapped = self.mapped();
        for number in numbers {
            let packet = echo(honest(number), self.own(), b"hello");
            self.world
                .inject(self.relay, socket(RELAY), mapped, &packet);
        }
    }
}

type Attack = fn(&Stage, u32) -> (SocketAddrV4, SocketAddrV4, Vec<u8>);

/// Native hosts in networks of their own behind the honest relay.
fn honest(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, number, 0, 0, 0, 0, 1)
}

/// A source in a /32 of its own.
fn invented(number: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(0x2600 << 112 | u128::from(number) << 94 | u128::from(number))
}

fn echo(source: Ipv6Addr, destination: Ipv6Addr, data: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    wire::emit_echo_request(source, destination, 64, 1, 1, data, &mut packet);
    packet
}

fn server() -> SocketAddrV4 {
    SocketAddrV4::new(SERVER.primary, PORT)
}

/// From one mapping, with another server and other flags in the inner source each time.
fn varied_source(stage: &Stage, number: u32) -> (SocketAddrV4, SocketAddrV4, Vec<u8>) {
    let from = socket(ATTACKER);
    let source = TeredoAddress {
        server: Ipv4Addr::from_bits(0x5000_0000 + number),
        flags: Flags::from_random(number as u16),
        mapped: from,
    };
    let packet = echo(source.to_ipv6(), stage.own(), &[]);
    (from, stage.mapped(), packet)
}

/// Invented native sources through the client's own server, from one address.
fn through_the_server(stage: &Stage, number: u32) -> (SocketAddrV4, SocketAddrV4, Vec<u8>) {
    let packet = echo(invented(number), stage.own(), &[]);
    (socket(ATTACKER), server(), packet)
}

/// The same directly.
fn directly(stage: &Stage, number: u32) -> (SocketAddrV4, SocketAddrV4, Vec<u8>) {
    let packet = echo(invented(number), stage.own(), &[]);
    (socket(ATTACKER), stage.mapped(), packet)
}

/// The same from invented outer addresses.
fn from_everywhere(stage: &Stage, number: u32) -> (SocketAddrV4, SocketAddrV4, Vec<u8>) {
    let (_, to, packet) = directly(stage, number);
    let outer = Ipv4Addr::from_bits(0x5000_0000 + number * 7);
    (SocketAddrV4::new(outer, 4444), to, packet)
}

/// R4380-5.2-06, R4380-7.3.3-01: 66,000 echo requests from one mapping that the host answers, then 1,000 a second. The
/// host reaches 20 native hosts and a new client, keeps the client that it knows, and a new client reaches it.
#[test]
fn one_mapping_with_many_sources_displaces_nobody() {
    let mut stage = Stage::new();
    let known = qualified_client(&mut stage.world, 2, NatBehaviour::port_restricted());
    let own = stage.own();
    // The known client began, and has an answer.
    let other = address(&stage.world, known);
    stage.world.send(known, &echo(other, own, &[]));
    for _ in 0..100 {
        stage.tick();
    }
    assert_eq!(stage.replies, 1);

    stage.attack(varied_source, 33_000, 2);
    assert!(stage.replies > 65_000, "{} answered", stage.replies);
    let peers = status(&stage.world, stage.client).peers;
    assert!(peers <= 65_536 / 64 + 8, "{peers} peers of one address");

    let mapped = teredo(&stage.world, known).mapped;
    for number in 0..20 {
        let packet = packets::udp(own, honest(number), 1);
        stage.world.send(stage.client, &packet);
        stage.attack(varied_source, 1_000, 1);
        let to_known = packets::udp(own, other, number as u8);
        let submission = stage.world.submit(stage.client, &to_known);
        assert_eq!(submission, Submission::Send(mapped), "the known client");
    }
    assert_eq!(stage.reached(), 20);

    let newcomers = [3, 4].map(|number| {
        let behaviour = NatBehaviour::port_restricted();
        qualified_client(&mut stage.world, number, behaviour)
    });
    let [called, caller] = newcomers.map(|client| address(&stage.world, client));
    stage
        .world
        .send(stage.client, &packets::udp(own, called, 1));
    stage.world.send(newcomers[1], &echo(caller, own, &[]));
    stage.attack(varied_source, 1_000, 3);
    for client in newcomers {
        assert_eq!(delivered(&stage.world, client).len(), 1, "{client}");
    }
}

/// R4380-5.2-06, R4380-7.3.3-01: after the flood, on a day with a new peer each minute, the table shrinks and stays
/// small.
#[test]
fn a_table_ages_over_a_day() {
    let mut stage = Stage::new();
    let to_itself: Attack = |stage, number| {
        let (_, to, packet) = from_everywhere(stage, number);
        let outer = Ipv4Addr::from_bits(0x5000_0000 + number);
        (SocketAddrV4::new(outer, 4444), to, packet)
    };
    stage.attack(to_itself, 5_000, 4);
    assert!(status(&stage.world, stage.client).peers > 10_000);
    stage.world.run_for(seconds(3_600));
    assert_eq!(status(&stage.world, stage.client).peers, 0);
    for minute in 0..23 * 60 {
        let (from, to, packet) = to_itself(&stage, 100_000 + minute);
        stage.world.inject(stage.attacker, from, to, &packet);
        stage.world.run_for(seconds(60));
        let peers = status(&stage.world, stage.client).peers;
        assert!(peers <= 8, "{peers} peers in minute {minute}");
    }
    stage.knock(0..1);
    stage.attack(directly, 1, 3);
    assert_eq!(stage.served(), (1, 1));
}

/// W-04, R4380-5.2.3-13, R4380-7.3.3-01: invented native sources, through the client's server or directly. Twenty
/// honest hosts get their first packets through, and the answers; the tests stay limited.
#[test]
fn invented_native_sources_cost_honest_ones_nothing() {
    // One outer address has 64 tests and 50 a second, all together have 256 and 100 a second.
    const SECONDS: usize = 5 + 20 + 8;
    let (one, all) = (64 + 50 * SECONDS, 256 + 100 * SECONDS);
    for (name, attack, rate, most) in [
        ("through the server", through_the_server as Attack, 40, one),
        ("through the server", through_the_server, 250, one),
        ("directly", directly, 50, one),
        ("directly", directly, 1_000, one),
        ("from everywhere", from_everywhere, 50, all),
    ] {
        let mut stage = Stage::new();
        stage.attack(attack, rate, 5);
        for number in 0..20 {
            stage.knock(number..number + 1);
            stage.attack(attack, rate, 1);
        }
        stage.attack(attack, rate, 8);
        let served = stage.served();
        assert_eq!(served, (20, 20), "{name}, {rate} a second");
        // The host answers everything. The honest hosts have four tests each at most.
        assert!(stage.replies as u32 > rate * 30, "{name}");
        let tests = stage.world.server(stage.server).native().len();
        assert!(
            tests <= most + 4 * 20,
            "{name}, {rate} a second: {tests} tests"
        );
    }
}

/// W-04: without an attack, forty native hosts within a second get their first packets and their answers.
#[test]
fn forty_native_hosts_at_once() {
    let mut stage = Stage::new();
    for number in 0..40 {
        stage.knock(number..number + 1);
        stage.tick();
        stage.tick();
    }
    stage.attack(directly, 0, 1);
    assert_eq!(stage.served(), (40, 40));
}

/// R4380-5.2-06: a stranger's packet in the name of a native host does not keep the host from reaching that one, even if
/// the strangers' tests are used up.
#[test]
fn a_forged_packet_does_not_block_its_source() {
    let mut stage = Stage::new();
    let forged: Attack = |stage, number| {
        let source = match number % 2 {
            0 => honest(number as u16 / 2 % 20),
            _ => invented(number),
        };
        let packet = packets::udp(source, stage.own(), 1);
        (socket(ATTACKER), stage.mapped(), packet)
    };
    stage.attack(forged, 500, 3);
    let own = stage.own();
    for number in 0..20 {
        let request = echo(own, honest(number), b"from the host");
        let submission = stage.world.submit(stage.client, &request);
        assert!(matches!(
            submission,
            Submission::Queued | Submission::Send(_)
        ));
        stage.attack(forged, 500, 1);
    }
    let received = stage.world.raw(stage.relay).received();
    let asked = (0..20).filter(|&number| {
        received.iter().any(|datagram| {
            let payload = &datagram.what.payload;
            packets::endpoints(payload).1 == honest(number) && payload.ends_with(b"from the host")
        })
    });
    assert_eq!(asked.count(), 20);
}

/// R4380-5.2-06, W-04: bubbles and packets in the name of native hosts, from an attacker whose share of the tests is used
/// up. The hosts count for the address that their own packets come from, and the host's own first packet, even of UDP,
/// is no answer to a bubble.
#[test]
fn a_forged_source_counts_for_whoever_sends_last() {
    let forged: Attack = |stage, number| {
        let (to, packet) = match number % 3 {
            // Through the server, whose limits leave 100 a second to one sender.
            0 => {
                let source = honest(number as u16 / 3 % 20);
                (server(), packets::bubble(source, stage.own()))
            }
            _ => {
                let packet = echo(invented(number), stage.own(), &[]);
                (stage.mapped(), packet)
            }
        };
        (socket(ATTACKER), to, packet)
    };
    let mut stage = Stage::new();
    stage.attack(forged, 300, 3);
    // What the host answers, and what it begins.
    stage.knock(0..10);
    stage.attack(forged, 300, 1);
    assert_eq!(stage.served(), (10, 10));
    for number in 10..20 {
        let packet = packets::udp(stage.own(), honest(number), 1);
        stage.world.send(stage.client, &packet);
    }
    stage.attack(forged, 300, 1);
    assert_eq!(stage.reached(), 10);
}

/// W-04: an address that has only sent forged answers has proven nothing: a packet that claims a mapping, and another
/// one when the host asks back, do not open the budget of addresses that have answered a test.
#[test]
fn a_forged_answer_proves_no_address() {
    let mut stage = Stage::new();
    // The attacker writes any outer address. Each claims to be a peer at its mapping; the host answers, and 20 s later
    // verifies the path with a bubble that the attacker never sees.
    let forge = |stage: &mut Stage| {
        for number in 0..200_u32 {
            let from = SocketAddrV4::new(Ipv4Addr::from_bits(0x5000_0000 + number * 7), 4444);
            let source = TeredoAddress {
                server: SERVER.primary,
                flags: Flags::from_random(1),
                mapped: from,
            };
            let packet = echo(source.to_ipv6(), stage.own(), &[]);
            let mapped = stage.mapped();
            stage.world.inject(stage.attacker, from, mapped, &packet);
        }
        stage.tick();
        stage.tick();
    };
    for _ in 0..3 {
        forge(&mut stage);
        stage.world.run_for(seconds(21));
    }
    forge(&mut stage);
    let before = stage.world.server(stage.server).native().len();
    // Then each is the outer address of native hosts. One budget has 256 tests at once and 100 a second.
    let invent: Attack = |stage, number| {
        let (_, to, packet) = directly(stage, number);
        let outer = match number % 2 {
            0 => 0x5000_0000 + number / 2 % 200 * 7,
            _ => 0x5100_0000 + number * 7,
        };
        (
            SocketAddrV4::new(Ipv4Addr::from_bits(outer), 4444),
            to,
            packet,
        )
    };
    stage.attack(invent, 2_000, 2);
    let tests = stage.world.server(stage.server).native().len() - before;
    assert!(tests <= 256 + 100 * 2 + 1, "{tests} tests");
}

/// R4380-7.4-01: sixteen strangers on the host's own link are served, and keep their places while they talk. More are
/// refused, so that no flood of forged ones fills the port's send buffer; strangers from elsewhere are served as ever.
#[test]
fn few_strangers_on_the_link_are_served() {
    let mut stage = Stage::new();
    let subnet = LocalSubnet {
        address: v4("198.51.100.1"),
        prefix_len: 24,
    };
    stage.world.set_links(stage.client, vec![subnet]);
    let talk = |stage: &mut Stage, address: Ipv4Addr| {
        let from = SocketAddrV4::new(address, 4444);
        let source = TeredoAddress {
            server: SERVER.primary,
            flags: Flags::from_random(1),
            mapped: from,
        };
        let (packet, mapped) = (echo(source.to_ipv6(), stage.own(), &[]), stage.mapped());
        let before = stage.replies;
        stage.world.inject(stage.attacker, from, mapped, &packet);
        for _ in 0..10 {
            stage.tick();
        }
        stage.replies > before
    };
    let on_link = |host: u8| Ipv4Addr::new(198, 51, 100, host);
    for _ in 0..50 {
        let served: Vec<u8> = (100..116)
            .filter(|&host| talk(&mut stage, on_link(host)))
            .collect();
        assert_eq!(served.len(), 16, "{served:?}");
        assert!(!talk(&mut stage, on_link(200)), "one too many");
        stage.world.run_for(SECOND);
    }
    assert!(talk(&mut stage, v4("203.0.113.200")));
    stage.world.run_for(seconds(31));
    assert!(talk(&mut stage, on_link(200)), "the others are silent");
}

/// R4380-7.4-01: echo requests of 76 bytes through the client's server, whose inner source names a victim as its
/// server. The victim gets less than the attacker sends, and a few bubbles a second at most; new clients are reached.
#[test]
fn a_victim_named_as_a_server_gets_a_few_bubbles() {
    let attack: Attack = |stage, number| {
        let source = TeredoAddress {
            server: v4(VICTIM),
            flags: Flags::from_random(number as u16),
            mapped: socket(ATTACKER),
        };
        let packet = echo(source.to_ipv6(), stage.own(), &[0; 28]);
        (socket(ATTACKER), server(), packet)
    };
    const SECONDS: u32 = 30;
    let mut stage = Stage::new();
    stage.attack(attack, 100, SECONDS);
    let (bubbles, bytes) = stage.at_victim();
    let sent = 100 * SECONDS as usize * (76 + 28);
    assert!(stage.replies as u32 > 90 * SECONDS, "{}", stage.replies);
    assert!(
        bubbles <= 8 + 4 * SECONDS as usize,
        "{bubbles} bubbles in {SECONDS} s"
    );
    assert!(bubbles > 0 && bytes * 10 < sent, "{bytes} bytes for {sent}");

    let behaviour = NatBehaviour::port_restricted();
    let new = [5, 6].map(|number| qualified_client(&mut stage.world, number, behaviour));
    let [called, caller] = new.map(|client| address(&stage.world, client));
    let own = stage.own();
    stage
        .world
        .send(stage.client, &packets::udp(own, called, 1));
    stage.world.send(new[1], &echo(caller, own, &[]));
    stage.attack(attack, 100, 4);
    for client in new {
        assert_eq!(delivered(&stage.world, client).len(), 1, "{client}");
    }
}

/// R4380-7.4-01: bubbles through a server without limits, in the name of a victim. The victim gets the answers that one
/// address gets; a relay and a client that are new are answered.
#[test]
fn forged_origins_share_one_budget() {
    let attack: Attack = |stage, number| {
        let packet = packets::bubble(invented(number), stage.own());
        (SocketAddrV4::new(v4(VICTIM), 7_777), server(), packet)
    };
    const SECONDS: u32 = 20;
    let mut stage = Stage::with(RelayLimits {
        per_destination: None,
        total: None,
        ..RelayLimits::default()
    });
    stage.attack(attack, 1_000, SECONDS);
    let (answers, _) = stage.at_victim();
    assert!(
        (1..=32 + 10 * SECONDS as usize).contains(&answers),
        "{answers} in {SECONDS} s"
    );

    let new = qualified_client(&mut stage.world, 5, NatBehaviour::port_restricted());
    let (own, caller) = (stage.own(), address(&stage.world, new));
    stage.world.send(new, &echo(caller, own, &[]));
    let relay = socket(RELAY);
    let bubble = packets::bubble(honest(1), own);
    stage.world.inject(stage.relay, relay, server(), &bubble);
    stage.attack(attack, 1_000, 4);
    assert_eq!(delivered(&stage.world, new).len(), 1);
    assert_eq!(stage.world.raw(stage.relay).received().len(), 1);
}

/// R4380-7.4-01: answers to invented origins are bounded altogether.
#[test]
fn answers_to_bubbles_are_bounded_altogether() {
    let attack: Attack = |stage, number| {
        let packet = packets::bubble(invented(number), stage.own());
        // All of it ends at the victim, which counts it.
        let origin = SocketAddrV4::new(Ipv4Addr::from_bits(0x5000_0000 + number), 7_777);
        (origin, server(), packet)
    };
    let mut stage = Stage::with(RelayLimits {
        per_destination: None,
        total: None,
        ..RelayLimits::default()
    });
    stage.world.capture_mut().clear();
    let before = stage.world.capture().total();
    stage.attack(attack, 3_000, 5);
    let answers = stage.world.capture().total() - before - 2 * 15_000;
    assert!(
        (512..=512 + 256 * 5 + 10).contains(&answers),
        "{answers} answers in 5 s"
    );
    // The host's own contacts do not feel it.
    let new = qualified_client(&mut stage.world, 5, NatBehaviour::port_restricted());
    let packet = packets::udp(stage.own(), address(&stage.world, new), 1);
    stage.world.send(stage.client, &packet);
    stage.attack(attack, 3_000, 3);
    assert_eq!(delivered(&stage.world, new), [packet]);
}
