//! Several servers: the order in which they are asked, and the one that is kept (R4380-MS-01, R4380-MS-02).

use teredo::ServerAddress;
use teredo::client::{Nat, Reason, State};
use teredo_sim::{ClientId, NatBehaviour, World};

use crate::fake_server::FakeServer;
use crate::internet::*;

fn set_silent(world: &mut World, server: ServerAddress, silent: bool) {
    for address in [server.primary, server.secondary] {
        world.set_silent(address, silent);
    }
}

/// A client that knows both servers; the first may be dead.
fn client_of_two(dead: Option<ServerAddress>) -> (World, ClientId) {
    let mut world = world(1);
    if let Some(dead) = dead {
        set_silent(&mut world, dead, true);
    }
    let nat = nat(&mut world, 1, NatBehaviour::restricted());
    let client = world.add_client(nat, local(1), &[SERVER, OTHER_SERVER]);
    (world, client)
}

/// R4380-5.2-01: while the first server answers, the second one gets nothing.
#[test]
fn a_good_server_is_the_only_one_asked() {
    let (mut world, client) = client_of_two(None);
    qualify(&mut world, client);
    world.run_for(seconds(3600));
    assert_eq!(status(&world, client).server, Some(SERVER));
    let asked =
        |record: &teredo_sim::Record| *record.datagram.destination.ip() == OTHER_SERVER.primary;
    assert!(!world.capture().iter().any(asked));
}

/// R4380-MS-02: a dead first server costs a second, and the one that answered is asked first the next time.
#[test]
fn a_dead_server_costs_a_second_and_only_once() {
    let (mut world, client) = client_of_two(Some(SERVER));
    qualify(&mut world, client);
    assert_eq!(elapsed(world.now()), SECOND + ROUND_TRIP);
    assert_eq!(teredo(&world, client).server, OTHER_SERVER.primary);

    world.capture_mut().clear();
    let elsewhere = nat(&mut world, 2, NatBehaviour::restricted());
    let moved = world.now();
    world.rebind(client, elsewhere, local(2));
    qualify(&mut world, client);
    assert_eq!(world.now() - moved, ROUND_TRIP);
    let first = &solicitations(&world, client)[0];
    assert_eq!(*first.datagram.destination.ip(), OTHER_SERVER.primary);
}

/// R4380-MS-02: a server that dies in service is replaced by the other one, and the address changes.
#[test]
fn a_server_that_dies_is_replaced() {
    let (mut world, client) = client_of_two(None);
    qualify(&mut world, client);
    let before = address(&world, client);
    set_silent(&mut world, SERVER, true);
    let died = world.now();
    assert!(world.run_until(seconds(60), |world| state(world, client) == State::Probe));
    assert_eq!(
        reason(&world, client),
        Some(Reason::ServerLost(SERVER.primary))
    );
    let lost = world.now();
    assert!(
        lost - died <= seconds(42),
        "30 s of silence and three attempts of 4 s at most"
    );
    qualify(&mut world, client);
    assert_eq!(
        world.now() - lost,
        ROUND_TRIP,
        "the other server is asked first"
    );
    let after = address(&world, client);
    assert_eq!(teredo(&world, client).server, OTHER_SERVER.primary);
    assert_eq!(addresses(&world, client).last(), Some(&(after, true)));
    assert_ne!(before, after);
    world.run_for(seconds(600));
    assert_eq!(state(&world, client), State::Qualified);
}

/// R4380-5.2.1-05, R4380-MS-02: with all servers dead each is asked three times, and the first one back is used.
#[test]
fn all_servers_dead() {
    let (mut world, client) = client_of_two(Some(SERVER));
    set_silent(&mut world, OTHER_SERVER, true);
    assert!(world.run_until(seconds(60), |world| state(world, client) == State::Offline));
    assert_eq!(
        elapsed(world.now()),
        seconds(13),
        "the second server began a second later"
    );
    assert_eq!(
        reason(&world, client),
        Some(Reason::ServerSilent(SERVER.primary))
    );
    assert_eq!(solicitations(&world, client).len(), 12);
    world.run_for(seconds(1000));
    set_silent(&mut world, OTHER_SERVER, false);
    assert!(world.run_until(seconds(320), |world| state(world, client)
        == State::Qualified));
    assert_eq!(teredo(&world, client).server, OTHER_SERVER.primary);
}

/// R4380-5.2.1-12: a server with one silent address does not hide a complete one.
#[test]
fn half_a_server_does_not_win() {
    let (mut world, client) = client_of_two(None);
    world.stop(client);
    world.set_silent(SERVER.secondary, true);
    world.start(client, &[SERVER, OTHER_SERVER]);
    qualify(&mut world, client);
    assert_eq!(teredo(&world, client).server, OTHER_SERVER.primary);
}

/// R4380-5.2-01: new servers do not disturb a service, and help a client that has none.
#[test]
fn other_servers_may_be_named_at_any_time() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::restricted());
    let before = address(&world, client);
    world.set_servers(client, &[OTHER_SERVER]);
    world.run_for(seconds(300));
    assert_eq!(address(&world, client), before);

    set_silent(&mut world, SERVER, true);
    assert!(world.run_until(seconds(90), |world| state(world, client)
        == State::Qualified
        && status(world, client).server == Some(OTHER_SERVER)));

    set_silent(&mut world, OTHER_SERVER, true);
    assert!(world.run_until(seconds(90), |world| state(world, client) == State::Offline));
    set_silent(&mut world, SERVER, false);
    world.set_servers(client, &[SERVER]);
    assert!(world.run_until(ROUND_TRIP, |world| state(world, client) == State::Qualified));
}

/// R4380-5.2.1-11, R4380-MS-02: two mappings at one server may be due to that server's addresses as well as to the NAT.
/// They do not hide a server that sees one mapping.
#[test]
fn a_server_that_sees_two_mappings_does_not_hide_another() {
    let mut world = World::new(1);
    world.add_server(OTHER_SERVER);
    FakeServer::add(&mut world, SERVER, |mut answer| {
        if *answer.asked.ip() == SERVER.secondary
            && let Some(origin) = &mut answer.origin
        {
            origin.set_port(origin.port() ^ 1);
        }
        Some(answer)
    });
    let nat = nat(&mut world, 1, NatBehaviour::restricted());
    let client = world.add_client(nat, local(1), &[SERVER, OTHER_SERVER]);
    qualify(&mut world, client);
    assert_eq!(elapsed(world.now()), SECOND + ROUND_TRIP);
    assert_eq!(teredo(&world, client).server, OTHER_SERVER.primary);
    assert_eq!(status(&world, client).nat, Nat::Restricted);
}

/// R4380-5.2.1-11: a NAT is symmetric if every server sees that; a dead server does not change the reason.
#[test]
fn a_nat_that_all_servers_see_as_symmetric_is() {
    for dead in [None, Some(OTHER_SERVER)] {
        let mut world = world(1);
        if let Some(dead) = dead {
            set_silent(&mut world, dead, true);
        }
        let nat = nat(&mut world, 1, NatBehaviour::symmetric());
        let client = world.add_idle_client(nat, local(1), by_rfc4380());
        world.start(client, &[OTHER_SERVER, SERVER]);
        assert!(world.run_until(seconds(20), |world| state(world, client) == State::Offline));
        assert!(matches!(
            reason(&world, client),
            Some(Reason::SymmetricNat { .. })
        ));
        assert_eq!(status(&world, client).nat, Nat::Symmetric);
    }
}

/// R6081-5.2-01, R6081-5.3.3-06: the same with the extensions. A dead server costs one timeout, and not the time until it is given up.
#[test]
fn a_client_behind_such_a_nat_takes_a_server_that_answers() {
    for (dead, at_most) in [(None, 2 * SECOND), (Some(OTHER_SERVER), seconds(5))] {
        let mut world = world(1);
        if let Some(dead) = dead {
            set_silent(&mut world, dead, true);
        }
        let nat = nat(&mut world, 1, NatBehaviour::symmetric());
        let client = world.add_client(nat, local(1), &[OTHER_SERVER, SERVER]);
        qualify(&mut world, client);
        assert!(
            elapsed(world.now()) <= at_most,
            "{:?}",
            elapsed(world.now())
        );
        assert_eq!(status(&world, client).nat, Nat::Symmetric);
    }
}
