//! A relay under attack (RFC 4380 §7.3.5, §7.4): scans, invented clients, and both together.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use teredo::wire::{Flags, TeredoAddress};
use teredo::{DropReason, Node, RelayConfig};
use teredo_sim::{ClientId, NatBehaviour, Network, RawId, RelayId, World};

use crate::internet::*;
use crate::packets;
use crate::relay::{config, native_host, service};

const NATIVE: &str = "2001:db8::1";
const SCANNER: &str = "2001:db8:bad::1";
/// A second of a hundred thousand packets.
const FLOOD: u32 = 100_000;
const STEP: Duration = Duration::from_millis(10);

struct Stage {
    world: World,
    relay: RelayId,
    native: RawId,
    attacker: RawId,
    /// Clients that the relay knows.
    known: Vec<ClientId>,
    /// A client that it does not know yet, and one of another server.
    unknown: ClientId,
    elsewhere: ClientId,
}

fn stage() -> Stage {
    let mut world = world(1);
    let config = RelayConfig {
        max_peers: 1_000,
        ..config()
    };
    let relay = world.add_relay(Network::Internet, service(), config);
    let native = native_host(&mut world);
    let attacker = world.add_raw(Network::Internet, &[v4("203.0.113.200")]);
    let clients: Vec<_> = (1..=9)
        .map(|number| qualified_client(&mut world, number, NatBehaviour::port_restricted()))
        .collect();
    let (&unknown, known) = clients.split_last().unwrap();
    let home = nat(&mut world, 99, NatBehaviour::port_restricted());
    let elsewhere = world.add_client(home, local(99), &[OTHER_SERVER]);
    qualify(&mut world, elsewhere);
    for &client in known {
        let own = address(&world, client);
        world.send_native(&packets::udp(v6(NATIVE), own, 0));
    }
    world.run_for(SECOND);
    world.capture_mut().clear();
    Stage {
        world,
        relay,
        native,
        attacker,
        known: known.to_vec(),
        unknown,
        elsewhere,
    }
}

/// A host of an attacker who has this many /32s, with all /64s in them.
fn attacking_host(number: u32, networks: u32) -> Ipv6Addr {
    let [network, subnet] = [number % networks, number / networks].map(|part| part as u16);
    Ipv6Addr::new(0x3fff, network, subnet >> 8, subnet & 0xff, 0, 0, 0, 1)
}

/// The invented client `number`.
fn invented(server: Ipv4Addr, number: u32) -> TeredoAddress {
    TeredoAddress {
        server,
        flags: Flags::default(),
        mapped: SocketAddrV4::new(
            Ipv4Addr::from_bits(0x5000_0000 + number),
            1024 + (number % 50_000) as u16,
        ),
    }
}

impl Stage {
    /// Runs the flood within a second, while the known clients get a packet every 100 ms, and the unknown one its first
    /// packets in the middle.
    fn flood(&mut self, mut attack: impl FnMut(&mut World, RawId, u32)) {
        let per_step = FLOOD / 100;
        for step in 0..100 {
            for number in 0..per_step {
                attack(&mut self.world, self.attacker, step * per_step + number);
            }
            if step % 10 == 0 {
                for client in self.known.clone() {
                    let own = address(&self.world, client);
                    self.world.send_native(&packets::udp(v6(NATIVE), own, 1));
                }
            }
            if step == 50 {
                for client in [self.unknown, self.elsewhere] {
                    let own = address(&self.world, client);
                    for number in 0..3 {
                        self.world
                            .send_native(&packets::udp(v6(NATIVE), own, number));
                    }
                }
            }
            self.world.run_for(STEP);
        }
        self.world.run_for(SECOND);
    }

    fn assert_known_are_served(&self) {
        for &client in &self.known {
            assert_eq!(
                delivered(&self.world, client).len(),
                11,
                "{client} lost packets"
            );
        }
        let to_known = bubbles(&self.world, self.relay)
            .iter()
            .filter(|record| {
                let (_, target) = packets::endpoints(record.payload());
                self.known
                    .iter()
                    .any(|&client| address(&self.world, client) == target)
            })
            .count();
        assert_eq!(to_known, 0, "nobody who was known was forgotten");
    }

    /// New clients are reached: that of the server under attack, if it can be, and that of another server.
    fn assert_new_are_reached(&self) {
        for client in [self.unknown, self.elsewhere] {
            let reached = delivered(&self.world, client).len();
            assert_eq!(reached, 3, "{client}, which is new, is not reached");
        }
    }

    fn assert_bounded(&self) {
        let status = self.world.relay(self.relay).relay().status();
        assert!(
            status.trusted_peers <= 1_000 && status.underway <= 65_536,
            "{status:?}"
        );
        assert!(status.queued_bytes <= 16 << 20, "{status:?}");
    }
}

/// R4380-7.3.5-01, R4380-7.4-01: a scan of one server's clients from one network. Known clients are served, an unknown
/// one is still reached, and the server gets no more bubbles than the rate.
#[test]
fn a_scan_of_one_server() {
    let mut stage = stage();
    stage.flood(|world, _, number| {
        let target = invented(SERVER.primary, number).to_ipv6();
        world.send_native(&packets::udp(v6(SCANNER), target, 0));
    });
    stage.assert_known_are_served();
    stage.assert_bounded();
    stage.assert_new_are_reached();
    let bubbles = bubbles(&stage.world, stage.relay).len();
    // 125 a second for one network, those of a second at once, and two seconds.
    assert!((240..=390).contains(&bubbles), "{bubbles} bubbles");
    let refused = stage
        .world
        .relay(stage.relay)
        .relay()
        .drops()
        .get(DropReason::BubbleLimit);
    assert!(refused > u64::from(FLOOD) - 500, "{refused}");
}

/// R4380-7.3.5-01, R4380-7.4-01: the same from many networks: the server still gets no more than its rate, and the
/// clients of other servers are reached.
#[test]
fn a_scan_of_one_server_from_everywhere() {
    let mut stage = stage();
    stage.flood(|world, _, number| {
        let source = attacking_host(number, 4096);
        let target = invented(SERVER.primary, number).to_ipv6();
        world.send_native(&packets::udp(source, target, 0));
    });
    stage.assert_known_are_served();
    stage.assert_bounded();
    let bubbles = bubbles(&stage.world, stage.relay).len();
    assert!((990..=1501).contains(&bubbles), "{bubbles} bubbles");
    assert_eq!(delivered(&stage.world, stage.elsewhere).len(), 3);
}

/// R4380-7.3.5-01, R4380-7.4-01: the same from all /64s of a /48, and from all of a /32. A server's new clients are
/// reached, because either network has a share of its rate only.
#[test]
fn a_scan_of_one_server_from_one_network() {
    for (subnets, most) in [(256, 570), (u32::MAX, 760)] {
        let mut stage = stage();
        stage.flood(|world, _, number| {
            let source = attacking_host(number % subnets, 1);
            let target = invented(SERVER.primary, number).to_ipv6();
            world.send_native(&packets::udp(source, target, 0));
        });
        stage.assert_known_are_served();
        stage.assert_bounded();
        stage.assert_new_are_reached();
        let bubbles = bubbles(&stage.world, stage.relay).len();
        assert!((most / 2..=most).contains(&bubbles), "{bubbles} bubbles");
    }
}

/// The number of `clients` that are reached within five seconds, while somebody with a /48 sends so many packets a second
/// to invented clients of the same server, or of the 65,536 servers in a /16. A tenth of a second lies between the new
/// contacts, each of another native host.
fn reached_under_attack(clients: u8, per_second: u32, sweep: bool) -> (usize, usize, Stage) {
    let mut stage = stage();
    let new: Vec<_> = (100..100 + clients)
        .map(|number| qualified_client(&mut stage.world, number, NatBehaviour::port_restricted()))
        .collect();
    stage.world.capture_mut().clear();
    for step in 0..500_u32 {
        for packet in 0..per_second / 100 {
            let number = step * per_second / 100 + packet;
            let server = match sweep {
                true => Ipv4Addr::from_bits(0x6000_0000 + number % 65_536),
                false => SERVER.primary,
            };
            let source = Ipv6Addr::new(0x2001, 0xdb8, 0xbad, number as u16, 0, 0, 0, 1);
            let target = invented(server, number).to_ipv6();
            stage.world.send_native(&packets::udp(source, target, 0));
        }
        if step % 10 == 0
            && let Some(&client) = new.get(step as usize / 10)
        {
            let host = Ipv6Addr::new(0x2001, 0xdb8, 0x600d, 0, 0, 0, 0, step as u16);
            let own = address(&stage.world, client);
            stage.world.send_native(&packets::udp(host, own, 0));
        }
        stage.world.run_for(STEP);
    }
    stage.world.run_for(SECOND);
    let reached = new
        .iter()
        .filter(|&&client| !delivered(&stage.world, client).is_empty())
        .count();
    let sent = bubbles(&stage.world, stage.relay).len();
    (reached, sent, stage)
}

/// R4380-7.3.5-01, R4380-7.4-01: 5,000 packets a second from one /48, in the same /32 as the native hosts, keep none of
/// 20 new clients of the same server from being reached. A day later nothing is left of it.
#[test]
fn new_clients_are_reached_during_a_scan() {
    let (without, sent, _) = reached_under_attack(20, 0, false);
    assert_eq!((without, sent), (20, 20));
    let (reached, sent, mut stage) = reached_under_attack(20, 5000, false);
    assert!(reached * 100 >= without * 95, "{reached} of {without}");
    // Three eighths of 500, those of a second at once, and six seconds.
    assert!(sent <= 188 * 7 + 20, "{sent} bubbles");

    let relay = stage.relay;
    for _ in 0..24 {
        stage.world.run_for(seconds(3600));
        stage.world.capture_mut().clear();
    }
    let status = stage.world.relay(relay).relay().status();
    assert_eq!(
        (status.trusted_peers, status.underway, status.queued_bytes),
        (0, 0, 0)
    );
}

/// R4380-7.3.5-01, R4380-7.4-01: 25,000 packets of one /48 to clients of the 65,536 servers in a /16 cause less than half
/// as many bubbles, repetitions included, and all of 20 new clients are reached.
#[test]
fn a_sweep_of_servers_is_bounded_in_sum() {
    let (reached, sent, stage) = reached_under_attack(20, 5000, true);
    assert_eq!(reached, 20);
    // Three eighths of 4,000, those of a second at once, and six seconds.
    assert!(sent <= 1500 * 7 + 20, "{sent} bubbles");
    stage.assert_bounded();
}

/// R4380-7.3.5-01, R4380-7.4-01: a scan with another server each time, from many networks. Known clients are served, new
/// ones are reached, and no more bubbles leave than the share of the attacker's /32s permits.
#[test]
fn a_scan_of_all_servers() {
    let mut stage = stage();
    stage.flood(|world, _, number| {
        let source = attacking_host(number, 2);
        let target = invented(Ipv4Addr::from_bits(0x6000_0000 + number), number).to_ipv6();
        world.send_native(&packets::udp(source, target, 0));
    });
    stage.assert_known_are_served();
    stage.assert_bounded();
    stage.assert_new_are_reached();
    let mut to_each: BTreeMap<Ipv4Addr, u32> = BTreeMap::new();
    let bubbles = bubbles(&stage.world, stage.relay);
    for record in &bubbles {
        *to_each
            .entry(*record.datagram.destination.ip())
            .or_default() += 1;
    }
    assert!(to_each.values().all(|&count| count <= 4));
    // Half of 4,000 for each of two, those of a second at once, and two seconds.
    assert!(bubbles.len() <= 2 * 6000, "{}", bubbles.len());
}

/// R4380-5.4-04, W-04, R4380-7.4-01: clients that nothing was sent to, each at the mapping in its address. None gets
/// through, and together they cause few bubbles.
#[test]
fn invented_clients() {
    let mut stage = stage();
    stage.flood(|world, attacker, number| {
        let source = invented(SERVER.primary, number);
        let payload = packets::udp(source.to_ipv6(), v6(NATIVE), 9);
        world.inject(attacker, source.mapped, service(), &payload);
    });
    stage.assert_known_are_served();
    stage.assert_bounded();
    let mut native = stage.world.raw(stage.native).native().iter();
    assert!(native.all(|packet| packet.what[6] != 17), "none gets in");
    stage.assert_new_are_reached();
    let bubbles = bubbles(&stage.world, stage.relay).len();
    assert!(bubbles <= 230, "{bubbles} bubbles for {FLOOD} datagrams");
}

/// W-04, R4380-7.3.5-01: one address sends 100,000 such datagrams, from other ports and with other inner sources. A client
/// that the relay does not know, because it has just been restarted, is asked at its first packet.
#[test]
fn invented_clients_at_one_address() {
    let mut stage = stage();
    let (relay, unknown) = (stage.relay, stage.unknown);
    let own = address(&stage.world, unknown);
    let reaches = |world: &mut World| {
        world.restart_relay(relay);
        world.send(unknown, &packets::udp(own, v6(NATIVE), 7));
    };
    // The client finds the relay by its connectivity test.
    stage.world.send(unknown, &packets::udp(own, v6(NATIVE), 7));
    stage.world.run_for(SECOND);
    stage.world.capture_mut().clear();
    for step in 0..100_u32 {
        for number in step * 1000..(step + 1) * 1000 {
            let mapped = SocketAddrV4::new(v4("203.0.113.200"), 1024 + (number % 60_000) as u16);
            let source = TeredoAddress {
                server: Ipv4Addr::from_bits(0x6000_0000 + number),
                flags: Flags::default(),
                mapped,
            };
            let payload = packets::udp(source.to_ipv6(), v6(NATIVE), 9);
            stage
                .world
                .inject(stage.attacker, mapped, service(), &payload);
        }
        if step == 50 {
            reaches(&mut stage.world);
        } else if step > 50 && step % 10 == 0 {
            stage.world.send(unknown, &packets::udp(own, v6(NATIVE), 7));
        }
        stage.world.run_for(STEP);
    }
    stage.world.run_for(SECOND);
    stage.assert_bounded();
    let native = stage.world.raw(stage.native).native().iter();
    let arrived = native
        .filter(|packet| packet.what.ends_with(&[7]) && packet.what[6] == 17)
        .count();
    assert!(arrived >= 3, "{arrived} packets of the client arrived");
    // A quarter of 100 for the address, twice at once because of the restart, and two seconds.
    let bubbles = bubbles(&stage.world, relay).len();
    assert!(bubbles <= 25 * 4 + 2, "{bubbles} bubbles");
}

/// R4380-7.3.5-01: an attacker on both sides, whose invented clients answer at once and so become trusted. They do not
/// evict the clients in use.
#[test]
fn invented_clients_that_answer() {
    let mut stage = stage();
    let per_step = 40;
    for step in 0..1000_u32 {
        for number in 0..per_step {
            let number = step * per_step + number;
            let target = invented(Ipv4Addr::from_bits(0x6000_0000 + number), number);
            let source = v6(&format!(
                "2001:db8:{:x}:{:x}::1",
                number >> 8,
                number & 0xff
            ));
            let _ = stage
                .world
                .submit_to_relay(stage.relay, &packets::udp(source, target.to_ipv6(), 0));
            let answer = packets::bubble(target.to_ipv6(), source);
            stage
                .world
                .inject(stage.attacker, target.mapped, service(), &answer);
        }
        if step % 10 == 0 {
            for client in stage.known.clone() {
                let own = address(&stage.world, client);
                stage.world.send_native(&packets::udp(v6(NATIVE), own, 1));
            }
        }
        stage.world.run_for(STEP);
    }
    stage.world.run_for(SECOND);
    stage.assert_bounded();
    let status = stage.world.relay(stage.relay).relay().status();
    assert_eq!(status.trusted_peers, 1_000, "the table is full");
    for &client in &stage.known {
        assert_eq!(delivered(&stage.world, client).len(), 101);
    }
}
