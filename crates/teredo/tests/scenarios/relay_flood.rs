//! A relay under attack (RFC 4380 §7.3.5, §7.4): scans, invented clients, and both together.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use teredo::wire::{Flags, TeredoAddress};
use teredo::{DropReason, Node, RelayConfig};
use teredo_sim::{ClientId, NatBehaviour, Network, RawId, RelayId, World};

use crate::internet::*;
use crate::packets;
use crate::relay::{config, service};

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
    /// A client that it does not know yet.
    unknown: ClientId,
}

fn stage() -> Stage {
    let mut world = world(1);
    let config = RelayConfig {
        max_peers: 1_000,
        ..config()
    };
    let relay = world.add_relay(Network::Internet, service(), config);
    let native = world.add_raw(Network::Internet, &[]);
    world.attach_native(native, v6(NATIVE));
    let attacker = world.add_raw(Network::Internet, &[v4("203.0.113.200")]);
    let clients: Vec<_> = (1..=9)
        .map(|number| qualified_client(&mut world, number, NatBehaviour::port_restricted()))
        .collect();
    let (&unknown, known) = clients.split_last().unwrap();
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
    }
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
                let own = address(&self.world, self.unknown);
                for number in 0..3 {
                    self.world
                        .send_native(&packets::udp(v6(NATIVE), own, number));
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
    assert_eq!(
        delivered(&stage.world, stage.unknown).len(),
        3,
        "one that is new is reached"
    );
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

/// R4380-7.3.5-01, R4380-7.4-01: the same from many networks: the server still gets no more than its rate.
#[test]
fn a_scan_of_one_server_from_everywhere() {
    let mut stage = stage();
    stage.flood(|world, _, number| {
        let source = v6(&format!(
            "2001:db8:{:x}:{:x}::1",
            number >> 8,
            number & 0xff
        ));
        let target = invented(SERVER.primary, number).to_ipv6();
        world.send_native(&packets::udp(source, target, 0));
    });
    stage.assert_known_are_served();
    stage.assert_bounded();
    let bubbles = bubbles(&stage.world, stage.relay).len();
    assert!((990..=1501).contains(&bubbles), "{bubbles} bubbles");
}

/// R4380-7.3.5-01, R4380-7.4-01: a scan with another server each time, from many networks. Known clients are served, a
/// new one is reached, and there is less than one bubble for each packet.
#[test]
fn a_scan_of_all_servers() {
    let mut stage = stage();
    stage.flood(|world, _, number| {
        let source = v6(&format!(
            "2001:db8:{:x}:{:x}::1",
            number >> 8,
            number & 0xff
        ));
        let target = invented(Ipv4Addr::from_bits(0x6000_0000 + number), number).to_ipv6();
        world.send_native(&packets::udp(source, target, 0));
    });
    stage.assert_known_are_served();
    stage.assert_bounded();
    assert_eq!(
        delivered(&stage.world, stage.unknown).len(),
        3,
        "one that is new is reached"
    );
    let mut to_each: BTreeMap<Ipv4Addr, u32> = BTreeMap::new();
    let bubbles = bubbles(&stage.world, stage.relay);
    for record in &bubbles {
        *to_each
            .entry(*record.datagram.destination.ip())
            .or_default() += 1;
    }
    assert!(to_each.values().all(|&count| count <= 4));
    assert!(bubbles.len() as u32 <= FLOOD + 65_536, "{}", bubbles.len());
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
    assert_eq!(delivered(&stage.world, stage.unknown).len(), 3);
    let bubbles = bubbles(&stage.world, stage.relay).len();
    assert!(bubbles <= 230, "{bubbles} bubbles for {FLOOD} datagrams");
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
