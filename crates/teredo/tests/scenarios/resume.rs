//! A warm start: what a restarted client takes over from the one before it, and when it does not.

use std::net::SocketAddrV4;
use std::time::Duration;

use teredo::ClientConfig;
use teredo::client::{Nat, Reason, Resumption, State};
use teredo::wire::PORT;
use teredo_sim::{ClientId, NatBehaviour, World};

use crate::internet::*;
use crate::maintenance::behind_a_forgetful_nat;
use crate::packets;

/// The state that a client leaves to the next one.
fn left_by(world: &World, client: ClientId) -> Resumption {
    Resumption {
        server: SERVER,
        address: teredo(world, client),
        nat: Nat::Restricted,
        refresh_interval: Duration::from_secs(30),
    }
}

fn resume(world: &mut World, client: ClientId, earlier: Resumption) {
    world.resume(client, ClientConfig::default(), &[SERVER], earlier);
}

/// R5991-3.1-03, R4380-5.2.5-01: the restarted client has its address at once and sends from it, and asks its server for
/// the mapping in the same moment. Nothing else changes.
#[test]
fn a_restart_keeps_the_address() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::port_restricted());
    let peer = qualified_client(&mut world, 2, NatBehaviour::port_restricted());
    let before = teredo(&world, client);
    let earlier = left_by(&world, client);
    world.capture_mut().clear();
    resume(&mut world, client, earlier);
    assert_eq!(state(&world, client), State::Qualified);
    assert_eq!(teredo(&world, client), before);
    assert_eq!(status(&world, client).nat, Nat::Restricted);

    let packet = packets::udp(address(&world, client), address(&world, peer), 7);
    world.send(client, &packet);
    world.run_for(SECOND);
    assert_eq!(delivered(&world, peer).len(), 1);
    assert_eq!(
        solicitations(&world, client).len(),
        1,
        "{}",
        world.capture()
    );
    assert_eq!(teredo(&world, client), before);
    world.run_for(seconds(120));
    assert_eq!(state(&world, client), State::Qualified);
    assert_eq!(teredo(&world, client), before);
}

/// R4380-5.2.5-05: the NAT has another mapping meanwhile. A round trip later the client has another address.
#[test]
fn a_mapping_that_is_gone_is_believed_for_a_round_trip() {
    let (mut world, nat, client) = behind_a_forgetful_nat();
    let earlier = left_by(&world, client);
    world.nat_mut(nat).forget();
    resume(&mut world, client, earlier);
    assert_eq!(teredo(&world, client), earlier.address);
    world.run_for(SECOND);
    assert_eq!(state(&world, client), State::Qualified);
    assert_ne!(teredo(&world, client).mapped, earlier.address.mapped);
}

/// The names of the servers are not resolved yet. The server that gave the address is asked all the same, so that a new
/// mapping costs a round trip and no look-up.
#[test]
fn the_name_service_is_not_waited_for() {
    let (mut world, nat, client) = behind_a_forgetful_nat();
    let earlier = left_by(&world, client);
    world.nat_mut(nat).forget();
    world.resume(client, ClientConfig::default(), &[], earlier);
    world.run_for(SECOND);
    assert_eq!(state(&world, client), State::Qualified);
    assert_ne!(teredo(&world, client).mapped, earlier.address.mapped);
}

/// R4380-5.2.5-06: the server is gone. The client says so after its solicitations, as ever.
#[test]
fn a_server_that_is_gone_is_noticed() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::restricted());
    for silent in [SERVER.primary, SERVER.secondary] {
        world.set_silent(silent, true);
    }
    let earlier = left_by(&world, client);
    resume(&mut world, client, earlier);
    assert_eq!(state(&world, client), State::Qualified);
    assert!(world.run_until(seconds(15), |world| state(world, client) == State::Probe));
    let lost = Reason::ServerLost(SERVER.primary);
    assert_eq!(reason(&world, client), Some(lost));
}

/// R4380-5.2.4-07: a faulty or foreign memory is not used: another server, a server that does not match the address,
/// and a mapping that nothing may be sent to.
#[test]
fn a_memory_that_does_not_fit_is_not_used() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::restricted());
    let good = left_by(&world, client);
    let mut private = good;
    private.address.mapped = SocketAddrV4::new(v4("10.1.2.3"), PORT);
    let mut foreign = good;
    foreign.address.server = OTHER_SERVER.primary;
    let elsewhere = Resumption {
        server: OTHER_SERVER,
        ..foreign
    };
    for faulty in [private, foreign, elsewhere] {
        resume(&mut world, client, faulty);
        assert_eq!(state(&world, client), State::Probe, "{faulty:?}");
    }
}
