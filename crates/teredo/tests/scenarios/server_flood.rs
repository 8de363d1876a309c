//! A server under attack (RFC 4380 §7.4): it stays of use to others, and is no weapon.

use std::net::Ipv6Addr;

use teredo::DropReason;
use teredo::wire::{Flags, PORT, emit_router_solicitation, link_local};
use teredo_sim::{ClientId, NatBehaviour, Network, ServerId, World};

use crate::internet::*;
use crate::packets;

const ATTACKER: &str = "198.51.100.200:4096";
const STEP: std::time::Duration = std::time::Duration::from_millis(10);

/// A server, a qualified client that others look for, and 20 that do not know it.
fn stage() -> (World, ServerId, ClientId, Vec<ClientId>) {
    let mut world = World::new(1);
    let server = world.add_server(SERVER);
    let client = qualified_client(&mut world, 1, NatBehaviour::port_restricted());
    let others = (2..22)
        .map(|number| qualified_client(&mut world, number, NatBehaviour::port_restricted()))
        .collect();
    world.capture_mut().clear();
    (world, server, client, others)
}

/// How many of the others reach the client during five seconds of 5,000 bubbles a second from one host, if it attacks;
/// and the bubbles that the server sent to the client.
fn reached(attacks: bool) -> (usize, usize) {
    let (mut world, server, client, others) = stage();
    let attacker = world.add_raw(Network::Internet, &[*socket(ATTACKER).ip()]);
    let target = address(&world, client);
    for step in 0..500_u16 {
        for inner in 0..if attacks { 50 } else { 0 } {
            // The inner source is free.
            let source = Ipv6Addr::new(0x2001, 0xdb8, step, inner, 0, 0, 0, 1);
            let bubble = packets::bubble(source, target);
            let to = server_port();
            world.inject(attacker, socket(ATTACKER), to, &bubble);
        }
        if step % 20 == 10
            && let Some(&other) = others.get(usize::from(step / 20))
        {
            let own = address(&world, other);
            world.send(other, &packets::udp(own, target, 0));
        }
        world.run_for(STEP);
    }
    world.run_for(SECOND);
    let mapped = teredo(&world, client).mapped;
    let to_client = bubbles(&world, server)
        .iter()
        .filter(|record| record.datagram.destination == mapped)
        .count();
    (delivered(&world, client).len(), to_client)
}

fn server_port() -> std::net::SocketAddrV4 {
    std::net::SocketAddrV4::new(SERVER.primary, PORT)
}

/// R4380-7.4-01: a host that floods a client by way of its server keeps nobody else from the client, and the client gets
/// no more than the limit.
#[test]
fn bubbles_of_one_host_to_one_client() {
    let (without, _) = reached(false);
    assert_eq!(without, 20);
    let (with, to_client) = reached(true);
    assert!(with * 100 >= without * 95, "{with} of {without}");
    assert!((1000..=512 + 256 * 6).contains(&to_client), "{to_client}");
}

/// R4380-7.4-01: 30,000 solicitations with a forged source draw no more than the limit to it, and a new client qualifies
/// meanwhile. A day later the server answers as at first.
#[test]
fn solicitations_with_a_forged_source() {
    let (mut world, server, ..) = stage();
    let victim = socket("198.51.100.77:4096");
    let attacker = world.add_raw(Network::Internet, &[*socket(ATTACKER).ip()]);
    let mut solicitation = Vec::new();
    emit_router_solicitation(link_local(Flags::default(), victim), &mut solicitation);
    let flood = |world: &mut World| {
        let before = world.server(server).server().counters().advertisements;
        for _ in 0..30_000 {
            world.inject(attacker, victim, server_port(), &solicitation);
        }
        world.run_for(SECOND);
        world.server(server).server().counters().advertisements - before
    };
    assert_eq!(flood(&mut world), 20_000);
    let dropped = world.server(server).server().drops();
    assert_eq!(dropped.get(DropReason::RateLimited), 10_000);
    flood(&mut world);
    qualified_client(&mut world, 50, NatBehaviour::port_restricted());

    for _ in 0..24 {
        world.run_for(seconds(3600));
        world.capture_mut().clear();
    }
    // The clients' refreshes are among them.
    let again = flood(&mut world);
    assert!((20_000..=20_002).contains(&again), "{again}");
}
