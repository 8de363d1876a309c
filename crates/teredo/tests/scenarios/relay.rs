//! A relay (RFC 4380 §5.4) between clients behind NATs and hosts of the native IPv6 Internet.

use std::cell::Cell;
use std::net::{Ipv6Addr, SocketAddrV4};
use std::rc::Rc;

use teredo::relay::Served;
use teredo::wire::Datagram;
use teredo::{DropReason, Node, RelayConfig, Submission};
use teredo_sim::{Arrival, ClientId, NatBehaviour, Network, RawId, Record, RelayId, World};

use crate::internet::*;
use crate::packets;

const NATIVE: &str = "2001:db8::1";
const RELAY_ADDRESS: &str = "2001:db8::fff";

const KINDS: [NatBehaviour; 3] = [
    NatBehaviour::cone(),
    NatBehaviour::restricted(),
    NatBehaviour::port_restricted(),
];

pub(crate) fn service() -> SocketAddrV4 {
    socket("198.51.100.99:4545")
}

pub(crate) fn config() -> RelayConfig {
    RelayConfig {
        error_source: Some(v6(RELAY_ADDRESS)),
        ..RelayConfig::new(service(), Served::Networks(Vec::new()))
    }
}

/// Adds a native host that answers echo requests.
pub(crate) fn native_host(world: &mut World) -> RawId {
    let host = world.add_responder(Network::Internet, &[], |arrival, out| {
        if let Arrival::Native(packet) = arrival
            && let Some(reply) = packets::echo_reply(packet)
        {
            out.send_native(reply);
        }
    });
    world.attach_native(host, v6(NATIVE));
    host
}

struct Stage {
    world: World,
    client: ClientId,
    relay: RelayId,
    native: RawId,
}

/// A qualified client, a relay, and a native host behind it.
fn stage_with(behaviour: NatBehaviour, seed: u64, config: RelayConfig) -> Stage {
    let mut world = world(seed);
    let relay = world.add_relay(Network::Internet, service(), config);
    let native = native_host(&mut world);
    let client = qualified_client(&mut world, 1, behaviour);
    world.capture_mut().clear();
    Stage {
        world,
        client,
        relay,
        native,
    }
}

fn stage(behaviour: NatBehaviour) -> Stage {
    stage_with(behaviour, 1, config())
}

impl Stage {
    fn client_address(&self) -> Ipv6Addr {
        address(&self.world, self.client)
    }

    /// The native host sends a packet with this number.
    fn native_sends(&mut self, number: u8) {
        let packet = packets::udp(v6(NATIVE), self.client_address(), number);
        self.world.send_native(&packet);
    }

    /// The client's host sends one.
    fn client_sends(&mut self, number: u8) -> Submission {
        let packet = packets::udp(self.client_address(), v6(NATIVE), number);
        self.world.submit(self.client, &packet)
    }

    /// The numbers of the packets that reached the native host.
    fn at_native(&self) -> Vec<u8> {
        let packets = self.world.raw(self.native).native().iter();
        packets
            .filter(|packet| packet.what[6] == 17)
            .map(|packet| packets::number(&packet.what))
            .collect()
    }

    fn at_client(&self) -> Vec<u8> {
        let packets = delivered(&self.world, self.client);
        packets
            .iter()
            .map(|packet| packets::number(packet))
            .collect()
    }

    fn drops(&self, reason: DropReason) -> u64 {
        self.world.relay(self.relay).relay().drops().get(reason)
    }

    fn bubbles(&self) -> Vec<Record> {
        bubbles(&self.world, self.relay)
    }
}

/// R4380-5.4-01, R4380-5.4-03, R4380-5.4.1-03, R4380-5.4.1-05, R4380-5.4.1-07, R4380-5.4.1-08: a native host reaches a
/// client behind each kind of NAT; the first packets wait for one bubble and leave in order, from the service port.
#[test]
fn a_native_host_reaches_a_client() {
    for kind in KINDS {
        let mut stage = stage(kind);
        for number in 0..5 {
            stage.native_sends(number);
        }
        stage.world.run_for(SECOND);
        stage.native_sends(5);
        stage.world.run_for(SECOND);
        assert_eq!(
            stage.at_client(),
            [0, 1, 2, 3, 4, 5],
            "{}",
            stage.world.capture()
        );
        let bubbles = stage.bubbles();
        assert_eq!(bubbles.len(), 1);
        assert_eq!(bubbles[0].datagram.destination, socket("192.0.2.1:3544"));
        assert_eq!(bubbles[0].datagram.source, service());
        let data = data(&stage.world, stage.relay);
        assert!(
            data.iter()
                .all(|sent| sent.datagram.source == service() && sent.delivered())
        );
    }
}

/// R4380-5.4.2-03, R4380-5.2.3-07, R4380-5.4.2-05: a client reaches a native host. The reply to its connectivity test
/// comes through the relay, and then its packets go there; neither bubbles nor the reply are delivered.
#[test]
fn a_client_reaches_a_native_host() {
    for kind in KINDS {
        let mut stage = stage(kind);
        for number in 0..5 {
            assert_eq!(stage.client_sends(number), Submission::Queued);
        }
        stage.world.run_for(SECOND);
        assert_eq!(stage.client_sends(5), Submission::Send(service()));
        stage.native_sends(100);
        stage.world.run_for(SECOND);
        assert_eq!(
            stage.at_native(),
            [0, 1, 2, 3, 4, 5],
            "{}",
            stage.world.capture()
        );
        assert_eq!(stage.at_client(), [100]);
        let passed_on = stage.world.relay(stage.relay).delivered();
        assert_eq!(passed_on.len(), 6, "data alone");
        assert_eq!(
            stage
                .world
                .relay(stage.relay)
                .relay()
                .drops()
                .iter()
                .count(),
            0
        );
    }
}

/// R4380-5.4.1-06: timers repeat bubbles after 2, 4 and 6 s, without a further packet. If any bubble gets through,
/// everything arrives in order.
#[test]
fn lost_bubbles_are_repeated() {
    for lost in 0..4_u64 {
        let mut stage = stage(NatBehaviour::port_restricted());
        let left = Cell::new(lost);
        stage.world.interfere(move |datagram| {
            let eaten = datagram.source == service() && left.get() > 0;
            left.set(left.get() - u64::from(eaten));
            eaten
        });
        for number in 0..3 {
            stage.native_sends(number);
        }
        let start = stage.world.now();
        let arrived = stage.world.run_until(seconds(20), |world| {
            delivered(world, stage.client).len() == 3
        });
        assert!(arrived, "{}", stage.world.capture());
        let taken = stage.world.now() - start;
        assert!(
            (seconds(2 * lost)..seconds(2 * lost + 1)).contains(&taken),
            "{taken:?}"
        );
        assert_eq!(stage.at_client(), [0, 1, 2]);
        assert_eq!(stage.bubbles().len() as u64, lost + 1);
    }
}

/// R4380-5.4.1-06, R4380-5.4.1-07: a client that is gone costs four bubbles in 6 s and is forgotten. The native host
/// gets an error for each packet that waited, and a later packet starts over.
#[test]
fn a_client_that_is_gone_is_given_up() {
    let mut stage = stage(NatBehaviour::restricted());
    let own = stage.client_address();
    stage.world.stop(stage.client);
    let start = stage.world.now();
    for number in 0..3 {
        stage
            .world
            .send_native(&packets::udp(v6(NATIVE), own, number));
    }
    stage.world.run_for(seconds(30));
    let sent = times(start, &stage.bubbles());
    assert_eq!(sent, [0.01, 2.01, 4.01, 6.01]);
    let told = stage.world.raw(stage.native).native();
    assert_eq!(told.len(), 3);
    for error in told {
        assert_eq!(
            packets::endpoints(&error.what),
            (v6(RELAY_ADDRESS), v6(NATIVE))
        );
        assert_eq!(error.what[40..42], [1, 3]);
    }
    assert_eq!(stage.drops(DropReason::PeerUnreachable), 3);
    assert_eq!(stage.world.relay(stage.relay).relay().status().underway, 0);
    stage.world.send_native(&packets::udp(v6(NATIVE), own, 3));
    stage.world.run_for(SECOND);
    assert_eq!(stage.bubbles().len(), 5);
}

/// R4380-5.4.1-06, R4380-5.4.1-07: with a fifth of all datagrams lost, nearly every path comes up, and then delivers in
/// order all that is not lost itself.
#[test]
fn with_twenty_percent_loss_nearly_all_paths_come_up() {
    const RUNS: u64 = 100;
    let mut up = 0;
    for seed in 0..RUNS {
        let mut stage = stage_with(NatBehaviour::port_restricted(), seed, config());
        for link in [stage.client.into(), teredo_sim::HostId::from(stage.relay)] {
            stage.world.link_mut(link).loss = 0.2;
        }
        for number in 0..20 {
            stage.native_sends(number);
        }
        stage.world.run_for(seconds(10));
        let got = stage.at_client();
        assert!(got.is_sorted(), "{got:?}");
        up += u64::from(!got.is_empty());
    }
    assert!(up * 100 >= RUNS * 80, "{up} of {RUNS}");
}

/// R4380-5.4.2-03: the restart of a relay, which forgets its peers, costs a flow to the native host one round trip, and
/// a flow to the client another bubble.
#[test]
fn a_restart_costs_a_round_trip() {
    for kind in KINDS {
        let mut stage = stage(kind);
        let _ = stage.client_sends(0);
        stage.world.run_for(SECOND);
        stage.world.restart_relay(stage.relay);
        for number in 1..=20 {
            assert_eq!(stage.client_sends(number), Submission::Send(service()));
            stage.world.run_for(std::time::Duration::from_millis(10));
        }
        stage.world.run_for(SECOND);
        let got = stage.at_native();
        // To the relay, the server, the client and the relay: 20 ms each.
        assert!(
            got.len() >= 13 && got.is_sorted() && got.ends_with(&[20]),
            "{got:?}"
        );
        assert_eq!(stage.bubbles().len(), 2);

        stage.world.restart_relay(stage.relay);
        for number in 0..3 {
            stage.native_sends(number);
        }
        stage.world.run_for(SECOND);
        assert_eq!(stage.at_client(), [0, 1, 2], "{}", stage.world.capture());
    }
}

/// R4380-5.4.1-03, R4380-5.2.6-05: a one-way flow goes on without a pause for longer than the 300 s in which a client
/// answers four bubbles to a stranger.
#[test]
fn a_one_way_flow_goes_on() {
    let mut stage = stage(NatBehaviour::port_restricted());
    for number in 0..600_u32 {
        stage.native_sends((number % 256) as u8);
        stage.world.run_for(SECOND);
    }
    let got = stage.at_client();
    let expected: Vec<_> = (0..600_u32).map(|number| (number % 256) as u8).collect();
    assert_eq!(got, expected);
    let bubbles = stage.bubbles().len();
    assert!((25..=31).contains(&bubbles), "{bubbles} in 10 minutes");
}

/// R4380-5.4.1-08: an idle relay sends nothing, and forgets its peers.
#[test]
fn an_idle_relay_is_silent() {
    let mut stage = stage(NatBehaviour::restricted());
    stage.native_sends(0);
    stage.world.run_for(SECOND);
    let sent = stage.world.capture().sent_by(stage.relay).count();
    stage.world.run_for(seconds(3_600));
    assert_eq!(stage.world.capture().sent_by(stage.relay).count(), sent);
    let relay = stage.world.relay(stage.relay).relay();
    assert_eq!(
        (relay.status().trusted_peers, relay.poll_timeout()),
        (0, None)
    );
    stage.native_sends(1);
    stage.world.run_for(SECOND);
    assert_eq!(stage.at_client(), [0, 1]);
}

/// R4380-5.4.2-02: a client whose NAT changes its mapping is reached again under its new address, and packets from the
/// new mapping with the old address are refused.
#[test]
fn a_client_moves() {
    let mut stage = stage(NatBehaviour::restricted());
    stage.native_sends(0);
    stage.world.run_for(SECOND);
    let before = stage.client_address();
    let nat = nat(&mut stage.world, 77, NatBehaviour::restricted());
    stage.world.rebind(stage.client, nat, local(77));
    let stray = packets::udp(before, v6(NATIVE), 9);
    let attacker = stage
        .world
        .add_raw(Network::Internet, &[v4("203.0.113.66")]);
    stage
        .world
        .inject(attacker, socket("203.0.113.77:40077"), service(), &stray);
    qualify(&mut stage.world, stage.client);
    assert_ne!(stage.client_address(), before);
    stage.native_sends(1);
    stage.world.run_for(SECOND);
    assert_eq!(stage.at_client(), [0, 1]);
    assert_eq!(stage.drops(DropReason::MappingMismatch), 1);
}

/// R4380-5.4-03: many clients at once, each with its own server; no packets are mixed up.
#[test]
fn many_clients_at_once() {
    let mut world = world(3);
    let relay = world.add_relay(Network::Internet, service(), config());
    let native = native_host(&mut world);
    let clients: Vec<_> = (1..=20)
        .map(|number| {
            let nat = nat(&mut world, number, KINDS[usize::from(number) % 3]);
            let server = if number % 2 == 0 {
                SERVER
            } else {
                OTHER_SERVER
            };
            world.add_client(nat, local(number), &[server])
        })
        .collect();
    for &client in &clients {
        qualify(&mut world, client);
    }
    for round in 0..5 {
        for &client in &clients {
            let own = address(&world, client);
            world.send_native(&packets::udp(v6(NATIVE), own, round));
            world.send(client, &packets::udp(own, v6(NATIVE), round));
        }
    }
    world.run_for(seconds(3));
    for &client in &clients {
        let numbers: Vec<_> = delivered(&world, client)
            .iter()
            .map(|packet| packets::number(packet))
            .collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
    }
    let data = world
        .raw(native)
        .native()
        .iter()
        .filter(|packet| packet.what[6] == 17);
    assert_eq!(data.count(), 100);
    assert_eq!(world.relay(relay).relay().status().trusted_peers, 20);
}

/// A host-specific relay behind its own NAT, and a qualified client.
fn host_specific(nat_of_host: NatBehaviour, direct_bubbles: bool) -> Stage {
    let mut world = world(1);
    let home = nat(&mut world, 50, nat_of_host);
    let config = RelayConfig {
        direct_bubbles,
        ..RelayConfig::new(socket("0.0.0.0:4545"), Served::Host(vec![v6(NATIVE)]))
    };
    let relay = world.add_relay(home, socket("10.0.0.50:4545"), config);
    let native = world.add_raw(Network::Internet, &[]);
    world.attach_native(native, v6(NATIVE));
    let client = qualified_client(&mut world, 1, NatBehaviour::port_restricted());
    world.capture_mut().clear();
    Stage {
        world,
        client,
        relay,
        native,
    }
}

/// R4380-5.4.1-09, R4380-5.5-03, R-HSR-01, R4380-5.4-02: a host with native IPv6 behind a NAT talks to a client behind
/// another one, from its native address, if the relay opens its own NAT with a direct bubble, and only then.
#[test]
fn a_host_specific_relay_opens_its_own_nat() {
    for (direct, expected) in [(true, vec![0, 1, 2]), (false, vec![])] {
        let mut stage = host_specific(NatBehaviour::port_restricted(), direct);
        for number in 0..3 {
            let packet = packets::udp(v6(NATIVE), stage.client_address(), number);
            assert_eq!(
                stage.world.submit_to_relay(stage.relay, &packet),
                Submission::Queued
            );
        }
        stage.world.run_for(seconds(10));
        assert_eq!(stage.at_client(), expected, "{}", stage.world.capture());
        let sources: Vec<_> = data(&stage.world, stage.relay)
            .iter()
            .map(|record| packets::endpoints(record.payload()).0)
            .collect();
        assert_eq!(sources, vec![v6(NATIVE); expected.len()]);
    }
}

/// R-HSR-03, R-HSR-02: the host's own relay answers a client's connectivity test, and the client then talks to it
/// directly; packets for other hosts are refused.
#[test]
fn a_client_reaches_a_host_with_a_relay_of_its_own() {
    let mut stage = host_specific(NatBehaviour::port_restricted(), true);
    let _ = stage.client_sends(7);
    let answered = stage
        .world
        .run_until(SECOND, |world| !world.raw(stage.native).native().is_empty());
    assert!(answered, "the request comes over native IPv6");
    let request = stage.world.raw(stage.native).native()[0].what.clone();
    let reply = packets::echo_reply(&request).unwrap();
    assert_eq!(
        stage.world.submit_to_relay(stage.relay, &reply),
        Submission::Queued
    );
    stage.world.run_for(SECOND);
    assert_eq!(stage.at_native(), [7], "{}", stage.world.capture());
    let mapped = socket("203.0.113.50:4545").ip().to_owned();
    let sent = data(&stage.world, stage.client);
    assert_eq!(*sent[0].datagram.destination.ip(), mapped);

    let stray = packets::udp(stage.client_address(), v6("2001:db8::2"), 1);
    let from = teredo(&stage.world, stage.client).mapped;
    let attacker = stage
        .world
        .add_raw(Network::Internet, &[v4("198.51.100.66")]);
    let to = sent[0].datagram.destination;
    stage.world.inject(attacker, from, to, &stray);
    stage.world.run_for(SECOND);
    assert_eq!(stage.drops(DropReason::NotServed), 1);
}

/// R4380-5.4.2-02, R4380-7.4.3-02: a UDP echo service at an embedded mapping gets a bubble only if it is also a Teredo
/// server, and its replies are dropped.
#[test]
fn an_echo_service_is_no_client() {
    let mut world = world(1);
    let relay = world.add_relay(Network::Internet, service(), config());
    let echo = world.add_responder(Network::Internet, &[v4("203.0.113.7")], |arrival, out| {
        if let Arrival::Udp(received) = arrival {
            out.send(
                received.destination,
                received.source,
                received.payload.clone(),
            );
        }
    });
    let target = teredo::wire::TeredoAddress {
        server: v4("203.0.113.7"),
        flags: teredo::wire::Flags::default(),
        mapped: socket("203.0.113.7:7"),
    };
    world.send_native(&packets::udp(v6(NATIVE), target.to_ipv6(), 1));
    world.run_for(seconds(20));
    let received = world.raw(echo).received();
    assert_eq!(received.len(), 4);
    assert!(received.iter().all(|datagram| {
        Datagram::parse(&datagram.what.payload)
            .unwrap()
            .packet
            .is_bubble()
    }));
    let drops = world.relay(relay).relay().drops();
    assert_eq!(drops.get(DropReason::SpoofedSource), 4);
    assert_eq!(world.relay(relay).delivered().len(), 0);
}

/// Determinism: the same seed, the same datagrams.
#[test]
fn the_same_seed_gives_the_same_traffic() {
    let run = || {
        let mut stage = stage(NatBehaviour::port_restricted());
        let counted = Rc::new(Cell::new(0));
        let count = counted.clone();
        stage.world.interfere(move |_| {
            count.set(count.get() + 1);
            count.get() % 7 == 0
        });
        for number in 0..20 {
            stage.native_sends(number);
            let _ = stage.client_sends(number);
            stage.world.run_for(std::time::Duration::from_millis(300));
            if number == 10 {
                stage.world.restart_relay(stage.relay);
            }
        }
        format!("{}", stage.world.capture())
    };
    assert_eq!(run(), run());
}
