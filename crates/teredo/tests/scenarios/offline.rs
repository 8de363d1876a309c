//! Servers that do not answer: repeats, giving up, and retries (RFC 4380 §5.2.1).

use teredo::client::{Reason, State};
use teredo_sim::{ClientId, NatBehaviour, World};

use crate::internet::*;

/// A client whose server is silent at these addresses.
fn forsaken(silent: &[std::net::Ipv4Addr]) -> (World, ClientId) {
    let mut world = world(1);
    for address in silent {
        world.set_silent(*address, true);
    }
    let client = client(&mut world, 1, NatBehaviour::restricted());
    (world, client)
}

/// R4380-5.2.1-03, R4380-5.2.1-05: three attempts 4 s apart at both addresses, then off-line after 12 s.
#[test]
fn a_silent_server_is_asked_three_times_four_seconds_apart() {
    let (mut world, client) = forsaken(&[SERVER.primary, SERVER.secondary]);
    let offline = world.run_until(seconds(60), |world| state(world, client) == State::Offline);
    assert!(offline);
    assert_eq!(elapsed(world.now()), seconds(12));
    let sent = solicitations(&world, client);
    assert_eq!(
        times(Default::default(), &sent),
        [0.0, 0.0, 4.0, 4.0, 8.0, 8.0]
    );
    assert_eq!(
        reason(&world, client),
        Some(Reason::ServerSilent(SERVER.primary))
    );
    assert_eq!(addresses(&world, client), []);
    assert_eq!(world.capture().total(), 6);
}

/// R4380-5.2.1-12: without its secondary address a server is not usable; the primary one is not asked again.
#[test]
fn a_silent_secondary_address_means_no_service() {
    let (mut world, client) = forsaken(&[SERVER.secondary]);
    assert!(world.run_until(seconds(60), |world| state(world, client) == State::Offline));
    assert_eq!(elapsed(world.now()), seconds(12));
    assert_eq!(
        reason(&world, client),
        Some(Reason::SecondarySilent(SERVER.secondary))
    );
    let destinations = solicitations(&world, client)
        .into_iter()
        .map(|record| *record.datagram.destination.ip());
    let expected = [
        SERVER.primary,
        SERVER.secondary,
        SERVER.secondary,
        SERVER.secondary,
    ];
    assert_eq!(destinations.collect::<Vec<_>>(), expected);
}

/// R4380-5.2.1-12
#[test]
fn a_silent_primary_address_means_no_service() {
    let (mut world, client) = forsaken(&[SERVER.primary]);
    assert!(world.run_until(seconds(60), |world| state(world, client) == State::Offline));
    assert_eq!(
        reason(&world, client),
        Some(Reason::PrimarySilent(SERVER.primary))
    );
}

/// R4380-5.2.1-05: an off-line client retries by itself, first after 1 s, then after twice as long each time, at most 5
/// min, minus up to a quarter.
#[test]
fn the_pauses_double_from_one_second_to_five_minutes() {
    let (mut world, client) = forsaken(&[SERVER.primary, SERVER.secondary]);
    world.run_for(seconds(3600));
    let begins: Vec<f64> = times(Default::default(), &solicitations(&world, client))
        .chunks(6)
        .map(|round| round[0])
        .collect();
    let pauses: Vec<f64> = begins
        .windows(2)
        .map(|pair| pair[1] - pair[0] - 12.0)
        .collect();
    let expected = [
        1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0, 300.0,
    ];
    assert!(pauses.len() >= expected.len(), "{pauses:?}");
    for (pause, longest) in pauses.iter().zip(expected) {
        assert!(
            (longest * 0.75 - 0.01..=longest + 0.01).contains(pause),
            "{pause} s instead of {longest} s"
        );
    }
    let shortened = pauses
        .iter()
        .zip(expected)
        .filter(|(pause, longest)| *pause + 0.01 < *longest)
        .count();
    assert!(
        shortened > expected.len() / 2,
        "the pauses are not spread: {pauses:?}"
    );
}

/// R4380-5.2.1-05: the client recovers by itself, and a later failure starts with a short pause again.
#[test]
fn a_server_that_comes_back_is_found() {
    let (mut world, client) = forsaken(&[SERVER.primary, SERVER.secondary]);
    world.run_for(seconds(1000));
    world.set_silent(SERVER.primary, false);
    world.set_silent(SERVER.secondary, false);
    assert!(world.run_until(seconds(312), |world| state(world, client)
        == State::Qualified));

    world.set_silent(SERVER.primary, true);
    world.set_silent(SERVER.secondary, true);
    assert!(world.run_until(seconds(60), |world| state(world, client) == State::Offline));
    let offline = world.now();
    assert!(world.run_until(seconds(60), |world| state(world, client) == State::Probe));
    assert!(world.now() - offline <= SECOND);
}

/// R4380-5.2.1-05: a client whose link is down does not spin.
#[test]
fn a_day_without_a_link_costs_little() {
    let mut world = world(1);
    let client = client(&mut world, 1, NatBehaviour::restricted());
    world.link_mut(client).up = false;
    world.run_for(seconds(24 * 3600));
    assert!(
        world.capture().total() < 2500,
        "{} datagrams",
        world.capture().total()
    );
    world.link_mut(client).up = true;
    assert!(world.run_until(seconds(320), |world| state(world, client)
        == State::Qualified));
}

/// R4380-5.2-01: a client that knows no server waits for one.
#[test]
fn without_a_server_nothing_is_sent_until_one_is_named() {
    let mut world = world(1);
    let nat = nat(&mut world, 1, NatBehaviour::restricted());
    let client = world.add_client(nat, local(1), &[]);
    world.run_for(seconds(1000));
    assert_eq!(world.capture().total(), 0);
    assert_eq!(reason(&world, client), Some(Reason::NoServer));
    world.set_servers(client, &[SERVER]);
    assert!(world.run_until(ROUND_TRIP, |world| state(world, client) == State::Qualified));
}
