//! A hundred thousand invented peers (RFC 4380 §7.3.3).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use teredo::server::RelayLimits;
use teredo::wire::{Flags, PORT, TeredoAddress};
use teredo::{ClientConfig, ServerConfig, Submission};
use teredo_sim::{ClientId, NatBehaviour, Network, RawId, World};

use crate::internet::*;
use crate::packets;

const SOURCES: u32 = 100_000;
const MAX_PEERS: usize = 1_024;

/// A client behind an open NAT with an active peer, and an attacker.
fn stage() -> (World, ClientId, ClientId, RawId) {
    stage_with(RelayLimits::default())
}

/// As [`stage`], with a server with these limits.
fn stage_with(limits: RelayLimits) -> (World, ClientId, ClientId, RawId) {
    let mut world = World::new(1);
    let config = ServerConfig {
        limits,
        ..ServerConfig::new(SERVER)
    };
    world.add_server_with(SERVER, config);
    let config = ClientConfig {
        max_peers: MAX_PEERS,
        ..ClientConfig::default()
    };
    let client = client_with(&mut world, 1, NatBehaviour::cone(), config);
    qualify(&mut world, client);
    let friend = qualified_client(&mut world, 2, NatBehaviour::port_restricted());
    let attacker = world.add_raw(Network::Internet, &[v4("198.51.100.66")]);
    world.capture_mut().set_limit(1_000);
    (world, client, friend, attacker)
}

/// The source of attack `number`.
fn invented(number: u32) -> SocketAddrV4 {
    SocketAddrV4::new(
        Ipv4Addr::from_bits(0x5000_0000 + number),
        1024 + (number % 50_000) as u16,
    )
}

/// Lets the attacker send the packets of `attack`, 100 each 10 ms, while client and friend exchange a packet each 100
/// ms. Returns how many of the client's packets had to wait, and how many were exchanged.
fn talk_during(
    world: &mut World,
    client: ClientId,
    friend: ClientId,
    attacker: RawId,
    attack: impl Fn(&World, u32) -> (SocketAddrV4, SocketAddrV4, Vec<u8>),
) -> (usize, usize) {
    let [own, other] = [client, friend].map(|id| address(world, id));
    world.send(client, &packets::udp(own, other, 0));
    world.run_for(SECOND);
    let (mut waited, mut exchanged) = (0, 1);
    for number in 0..SOURCES {
        let (from, to, payload) = attack(world, number);
        world.inject(attacker, from, to, &payload);
        if number % 100 == 99 {
            world.run_for(Duration::from_millis(10));
        }
        if number % 1000 == 999 {
            waited += usize::from(!matches!(
                world.submit(client, &packets::udp(own, other, 1)),
                Submission::Send(_)
            ));
            world.send(friend, &packets::udp(other, own, 2));
            exchanged += 1;
            assert!(
                status(world, client).peers <= MAX_PEERS,
                "{} peers",
                status(world, client).peers
            );
        }
    }
    world.run_for(seconds(10));
    (waited, exchanged)
}

/// R4380-5.2-06, R4380-7.3.3-01, R4380-7.4-01: direct bubbles with invented sources that vouch for themselves.
#[test]
fn direct_bubbles_from_a_hundred_thousand_sources() {
    let (mut world, client, friend, attacker) = stage();
    let own = address(&world, client);
    let mapped = teredo(&world, client).mapped;
    let (waited, exchanged) = talk_during(&mut world, client, friend, attacker, |_, number| {
        let from = invented(number);
        let source = TeredoAddress {
            server: SERVER.primary,
            flags: Flags::default(),
            mapped: from,
        }
        .to_ipv6();
        (from, mapped, packets::bubble(source, own))
    });
    assert_eq!(waited, 0, "the active peer is never forgotten");
    assert_eq!(delivered(&world, friend).len(), exchanged);
    assert!(delivered(&world, client).len() >= exchanged - 1);
    assert_eq!(status(&world, client).peers, MAX_PEERS);
}

/// R4380-5.2-06, R4380-7.3.3-01, R4380-7.4-01: data from invented native sources, each of which would need a test.
#[test]
fn data_from_a_hundred_thousand_native_sources() {
    let (mut world, client, friend, attacker) = stage();
    let own = address(&world, client);
    let mapped = teredo(&world, client).mapped;
    let before = world.capture().total();
    let (waited, _) = talk_during(&mut world, client, friend, attacker, |_, number| {
        let source = v6(&format!(
            "2001:db8::{:x}:{:x}",
            number >> 16,
            number & 0xffff
        ));
        (invented(number), mapped, packets::udp(source, own, 1))
    });
    assert_eq!(waited, 0);
    let others = world.capture().total() - before - u64::from(SOURCES);
    assert!(
        others < 1_000,
        "{others} datagrams besides the attack: tests are limited"
    );
}

/// R4380-5.2-06, R4380-7.3.3-01, R4380-7.4-01: indirect bubbles of a hundred thousand relays, through a server without
/// limits.
#[test]
fn indirect_bubbles_from_a_hundred_thousand_relays() {
    let (mut world, client, friend, attacker) = stage_with(RelayLimits {
        per_destination: None,
        total: None,
        ..RelayLimits::default()
    });
    let own = address(&world, client);
    let before = world.capture().total();
    let (waited, exchanged) =
        talk_during(&mut world, client, friend, attacker, indirect_bubbles(own));
    assert_eq!(waited, 0);
    let out = world.capture().total() - before - 2 * u64::from(SOURCES);
    assert!(
        out <= u64::from(SOURCES) + 4 * exchanged as u64 + 20,
        "{out} answers to {SOURCES} bubbles"
    );
}

/// R4380-7.4-01: a server with its usual limits keeps 97 % of that away from its client.
#[test]
fn a_server_keeps_a_flood_from_its_client() {
    let (mut world, client, friend, attacker) = stage();
    let own = address(&world, client);
    let before = world.capture().total();
    let (waited, exchanged) =
        talk_during(&mut world, client, friend, attacker, indirect_bubbles(own));
    assert_eq!(waited, 0);
    let passed_on_and_answered = 2 * (512 + 256 * 10);
    let others = world.capture().total() - before - u64::from(SOURCES);
    assert!(
        others <= passed_on_and_answered + 4 * exchanged as u64 + 20,
        "{others} datagrams besides the attack"
    );
}

/// A bubble of another relay each time, for the server.
fn indirect_bubbles(
    own: Ipv6Addr,
) -> impl Fn(&World, u32) -> (SocketAddrV4, SocketAddrV4, Vec<u8>) {
    move |_, number| {
        let source = v6(&format!(
            "2001:db8::{:x}:{:x}",
            number >> 16,
            number & 0xffff
        ));
        (
            invented(number),
            SocketAddrV4::new(SERVER.primary, PORT),
            packets::bubble(source, own),
        )
    }
}

/// R4380-5.2-06, R4380-7.3.3-01: a silent peer that the host sends to is not forgotten either.
#[test]
fn a_silent_peer_in_use_survives() {
    let (mut world, client, friend, attacker) = stage();
    let [own, other] = [client, friend].map(|id| address(&world, id));
    let mapped = teredo(&world, client).mapped;
    world.send(client, &packets::udp(own, other, 0));
    world.run_for(SECOND);
    for number in 0..10 * MAX_PEERS as u32 {
        let from = invented(number);
        let source = TeredoAddress {
            server: SERVER.primary,
            flags: Flags::default(),
            mapped: from,
        }
        .to_ipv6();
        world.inject(attacker, from, mapped, &packets::bubble(source, own));
        if number % 100 == 99 {
            world.run_for(Duration::from_millis(100));
            let submission = world.submit(client, &packets::udp(own, other, 1));
            assert_eq!(submission, Submission::Send(teredo(&world, friend).mapped));
        }
    }
    assert_eq!(status(&world, client).peers, MAX_PEERS);
}

/// R4380-7.3.3-01: a client with the default settings forgets the attack when it is over.
#[test]
fn after_the_flood_all_is_as_before() {
    let (mut world, client, friend, attacker) = stage();
    let own = address(&world, client);
    let mapped = teredo(&world, client).mapped;
    for number in 0..5_000 {
        let from = invented(number);
        let source = TeredoAddress {
            server: SERVER.primary,
            flags: Flags::default(),
            mapped: from,
        }
        .to_ipv6();
        world.inject(attacker, from, mapped, &packets::udp(source, own, 1));
    }
    world.run_for(seconds(40));
    let packet = packets::udp(own, address(&world, friend), 7);
    assert_eq!(world.submit(client, &packet), Submission::Queued);
    world.run_for(SECOND);
    assert_eq!(delivered(&world, friend), [packet]);
}

/// R4380-5.2-06, R4380-7.3.3-01: 100,000 invented sources in a second, each of which vouches for itself. They evict
/// neither the peer in conversation nor one that was idle for a while.
#[test]
fn a_flood_displaces_its_own_kind_alone() {
    let (mut world, client, friend, attacker) = stage();
    let idle = qualified_client(&mut world, 3, NatBehaviour::port_restricted());
    let own = address(&world, client);
    let mapped = teredo(&world, client).mapped;
    let [to_friend, to_idle] =
        [friend, idle].map(|peer| packets::udp(own, address(&world, peer), 1));
    for packet in [&to_friend, &to_idle] {
        world.send(client, packet);
    }
    world.run_for(SECOND);
    let mut exchanged = 1;
    for number in 0..SOURCES {
        let from = invented(number);
        let source = TeredoAddress {
            server: SERVER.primary,
            flags: Flags::default(),
            mapped: from,
        }
        .to_ipv6();
        world.inject(attacker, from, mapped, &packets::udp(source, own, 3));
        if number % 1_000 == 999 {
            world.run_for(Duration::from_millis(10));
            assert!(matches!(
                world.submit(client, &to_friend),
                Submission::Send(_)
            ));
            exchanged += 1;
            assert!(status(&world, client).peers <= MAX_PEERS);
        }
    }
    world.run_for(SECOND);
    assert_eq!(status(&world, client).peers, MAX_PEERS);
    assert_eq!(delivered(&world, friend).len(), exchanged);
    assert_eq!(
        world.submit(client, &to_idle),
        Submission::Send(teredo(&world, idle).mapped)
    );
}
