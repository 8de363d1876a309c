//! Servers that die, that lead nowhere, or that are named by the wrong address.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use teredo::client::{Event, Reason, State};
use teredo::policy::DestinationPolicy;
use teredo::wire::PORT;
use teredo::{ClientConfig, ServerAddress};
use teredo_sim::{ClientId, NatBehaviour, NatId, World};

use crate::internet::*;

fn silence(world: &mut World, server: ServerAddress) {
    for address in [server.primary, server.secondary] {
        world.set_silent(address, true);
    }
}

/// A qualified client and its NAT.
fn client_of(world: &mut World, config: ClientConfig) -> (NatId, ClientId) {
    let nat = nat(world, 1, NatBehaviour::restricted());
    let client = world.add_idle_client(nat, local(1), config);
    world.start(client, &[SERVER]);
    qualify(world, client);
    (nat, client)
}

/// The seconds from the death of the server to its verdicts: no longer qualified, and off-line. The network changes
/// `every` so often, without a change of the local address.
fn verdicts(config: ClientConfig, every: Option<Duration>) -> [f64; 2] {
    let mut world = world(1);
    let (nat, client) = client_of(&mut world, config);
    silence(&mut world, SERVER);
    let died = world.now();
    while world.now() - died < seconds(100) {
        world.run_for(every.unwrap_or(SECOND));
        if every.is_some() {
            world.rebind(client, nat, local(1));
        }
    }
    let events = world.client(client).events();
    let changes = events.iter().filter_map(|event| match event.what {
        Event::StateChanged { state, reason } => Some((event.at, state, reason)),
        _ => None,
    });
    let after: Vec<_> = changes.filter(|(at, _, _)| *at > died).collect();
    for (_, _, reason) in &after {
        // Whatever else happened.
        let is_the_server = matches!(
            reason,
            Some(Reason::ServerLost(_) | Reason::ServerSilent(_))
        );
        assert!(is_the_server, "{reason:?}");
    }
    [State::Probe, State::Offline].map(|wanted| {
        let first = after.iter().find(|(_, state, _)| *state == wanted);
        (first.unwrap().0 - died).as_secs_f64()
    })
}

/// R4380-5.2.5-06: changes of the network that leave the local address alone do not keep a dead server alive, and are
/// not the reason.
#[test]
fn a_dead_server_is_given_up_although_the_network_changes() {
    for every in [SECOND / 10, SECOND, seconds(5)] {
        let [lost, offline] = verdicts(ClientConfig::default(), Some(every));
        // The first change asks at once: 12 s, and 12 s more for a new qualification.
        assert!(
            lost <= 12.0 + 2.0 * every.as_secs_f64(),
            "{lost} s, {every:?}"
        );
        assert!(
            offline <= 24.0 + 4.0 * every.as_secs_f64(),
            "{offline} s, {every:?}"
        );
    }
}

/// R4380-5.2.5-06: a dead server is given up after one and a half refresh intervals at most: after 12 s if that is 8 s.
#[test]
fn the_refresh_interval_bounds_the_time_of_a_dead_server() {
    for interval in [5, 8, 20] {
        let config = ClientConfig {
            refresh_interval: seconds(interval),
            ..ClientConfig::default()
        };
        let [lost, _] = verdicts(config, None);
        let bound = 1.5 * interval as f64 + 0.5;
        assert!(lost <= bound, "{lost} s with {interval} s");
    }
}

/// R4380-5.2.1-01: a change of the network repeats what may have been lost, at once, and a bounded number of times.
#[test]
fn a_change_of_the_network_repeats_the_question() {
    let mut world = world(1);
    let nat = nat(&mut world, 1, NatBehaviour::restricted());
    silence(&mut world, SERVER);
    let client = world.add_client(nat, local(1), &[SERVER]);
    for _ in 0..100 {
        world.run_for(SECOND / 100);
        world.rebind(client, nat, local(1));
    }
    let asked = solicitations(&world, client).len();
    assert_eq!(asked, 2 * (1 + 8));
    // The answer to any of them counts.
    for address in [SERVER.primary, SERVER.secondary] {
        world.set_silent(address, false);
    }
    world.run_for(seconds(3) + 2 * ROUND_TRIP);
    assert_eq!(state(&world, client), State::Qualified);
}

/// R4380-GU-03: the operator's own list may refuse the server, and the reason says so.
#[test]
fn a_server_that_the_operator_denies_is_named() {
    let mut destinations = DestinationPolicy::default();
    destinations.deny(SERVER.primary, 8);
    let config = ClientConfig {
        destinations,
        ..ClientConfig::default()
    };
    let mut world = world(1);
    let nat = nat(&mut world, 1, NatBehaviour::restricted());
    let client = world.add_idle_client(nat, local(1), config);
    world.start(client, &[SERVER]);
    world.run_for(seconds(100));
    assert_eq!(world.capture().total(), 0, "{}", world.capture());
    assert_eq!(
        reason(&world, client),
        Some(Reason::ServerDenied(SERVER.primary))
    );
}

/// R4380-GU-04: nothing leaves to a server whose address, or the address after it, leads nowhere, and the reason names
/// the address.
#[test]
fn nothing_leaves_to_servers_that_lead_nowhere() {
    for (primary, named) in [
        ("0.0.0.0", "0.0.0.0"),
        ("127.0.0.1", "127.0.0.1"),
        ("224.0.0.1", "224.0.0.1"),
        ("255.255.255.255", "255.255.255.255"),
        ("169.254.7.7", "169.254.7.7"),
        ("192.168.1.1", "192.168.1.1"),
        ("223.255.255.255", "224.0.0.0"),
        ("126.255.255.255", "127.0.0.0"),
    ] {
        let mut world = world(1);
        let nat = nat(&mut world, 1, NatBehaviour::restricted());
        let nowhere = ServerAddress::adjacent(v4(primary));
        let client = world.add_client(nat, local(1), &[nowhere]);
        world.run_for(seconds(100));
        assert_eq!(world.capture().total(), 0, "{}", world.capture());
        assert_eq!(state(&world, client), State::Offline);
        assert_eq!(
            reason(&world, client),
            Some(Reason::ServerRefused(v4(named)))
        );
        // A better answer of the name service is used at once.
        world.set_servers(client, &[nowhere, SERVER]);
        assert_eq!(reason(&world, client), None, "a server is being asked");
        qualify(&mut world, client);
        let capture = world.capture();
        let to: Vec<Ipv4Addr> = capture
            .sent_by(client)
            .map(|record| *record.datagram.destination.ip())
            .collect();
        assert_eq!(to, [SERVER.primary, SERVER.secondary]);
    }
}

/// in a lab, a private server is used.
#[test]
fn a_private_server_needs_permission() {
    let private = ServerAddress::adjacent(v4("10.9.9.1"));
    let mut world = world(1);
    world.add_server(private);
    let nat = nat(&mut world, 1, NatBehaviour::restricted());
    let mut destinations = DestinationPolicy::default();
    destinations.allow_private(true);
    let config = ClientConfig {
        destinations,
        ..ClientConfig::default()
    };
    let client = world.add_idle_client(nat, local(1), config);
    world.start(client, &[private]);
    assert_eq!(state(&world, client), State::Probe);
    assert_eq!(solicitations(&world, client).len(), 2);
}

/// R4380-5.2.1-06: a server that is named by its secondary address answers with its primary one, and the reason names
/// both.
#[test]
fn a_server_that_is_named_by_its_secondary_address_is_recognised() {
    let mut world = world(1);
    let nat = nat(&mut world, 1, NatBehaviour::restricted());
    let named = ServerAddress::adjacent(SERVER.secondary);
    let client = world.add_client(nat, local(1), &[named]);
    let offline = world.run_until(seconds(13), |world| state(world, client) == State::Offline);
    assert!(offline);
    let expected = Reason::NotPrimary {
        asked: SERVER.secondary,
        primary: SERVER.primary,
    };
    assert_eq!(reason(&world, client), Some(expected));
    assert_eq!(
        expected.to_string(),
        "192.0.2.2 is the secondary address of server 192.0.2.1: use its primary address, 192.0.2.1"
    );
    let sent: Vec<_> = solicitations(&world, client);
    assert!(sent.iter().all(|record| {
        let to = record.datagram.destination;
        [named.primary, named.secondary].contains(to.ip())
            && to == SocketAddrV4::new(*to.ip(), PORT)
    }));
}

/// R4380-5.2.2-03: a path that is slower than the pause between two solicitations is no obstacle: the answer to an
/// earlier one counts.
#[test]
fn late_answers_count() {
    let config = ClientConfig {
        solicitation_timeout: ROUND_TRIP / 2,
        ..ClientConfig::default()
    };
    let mut world = world(1);
    let client = client_with(&mut world, 1, NatBehaviour::restricted(), config);
    world.run_for(2 * ROUND_TRIP);
    assert_eq!(state(&world, client), State::Qualified);
    world.run_for(seconds(300));
    assert_eq!(addresses(&world, client).len(), 1, "it stays so");
}
