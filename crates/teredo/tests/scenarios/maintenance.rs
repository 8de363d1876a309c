//! Keeping the mapping, and noticing its end (RFC 4380 §5.2.5).

use std::net::{Ipv6Addr, SocketAddrV4};

use teredo::Submission;
use teredo::client::{Event, Nat, Reason, State};
use teredo::wire::{Flags, PORT};
use teredo_sim::{ClientId, NatBehaviour, NatId, Network, PortAssignment, World};

use crate::internet::*;
use crate::packets;

/// A qualified client behind a NAT that gives another port after each loss of its mappings.
pub(crate) fn behind_a_forgetful_nat() -> (World, NatId, ClientId) {
    let mut world = world(1);
    let nat = nat(
        &mut world,
        1,
        NatBehaviour {
            ports: PortAssignment::Sequential,
            ..NatBehaviour::restricted()
        },
    );
    let client = world.add_client(nat, local(1), &[SERVER]);
    qualify(&mut world, client);
    (world, nat, client)
}

/// Whether the client is in service with another address than `before`.
fn has_moved(world: &World, client: ClientId, before: Ipv6Addr) -> bool {
    status(world, client)
        .address
        .is_some_and(|address| address != before)
}

/// R4380-5.2-08, R4380-5.2.5-01, R4380-5.2.5-02, R4380-5.2.5-04, R5991-3.1-03: 200 idle gaps are between 75 % and 100 %
/// of 30 s and spread over that range; the address stays.
#[test]
fn the_refresh_is_randomised_between_75_and_100_percent() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::restricted());
    let before = address(&world, client);
    world.capture_mut().clear();
    world.run_for(seconds(6_200));
    let sent = solicitations(&world, client);
    assert!(sent.len() > 200, "{}", sent.len());
    for record in &sent {
        assert_eq!(
            record.datagram.destination,
            SocketAddrV4::new(SERVER.primary, PORT)
        );
        let (source, _) = packets::endpoints(record.payload());
        assert!(
            !teredo::wire::link_local_flags(&source).is_cone(),
            "the cone bit that qualified"
        );
    }
    // Each gap begins with the answer to the previous refresh.
    let gaps: Vec<f64> = sent
        .windows(2)
        .map(|pair| (pair[1].at - pair[0].at - ROUND_TRIP).as_secs_f64())
        .collect();
    let outside: Vec<_> = gaps
        .iter()
        .filter(|gap| !(22.5..=30.0).contains(*gap))
        .collect();
    assert!(outside.is_empty(), "{outside:?}");
    for quarter in 0..4 {
        let (from, to) = (
            22.5 + 1.875 * f64::from(quarter),
            22.5 + 1.875 * f64::from(quarter + 1),
        );
        let count = gaps.iter().filter(|gap| (from..to).contains(*gap)).count();
        assert!(
            (30..=75).contains(&count),
            "{count} of {} gaps in {from} s to {to} s",
            gaps.len()
        );
    }
    assert_eq!(addresses(&world, client), [(before, true)]);
}

/// R4380-5.2.3-04, R6081-5.1.1-03: any packet from the server is a sign of life and postpones the refresh. It does not
/// postpone it beyond the interval, because the NAT counts outbound traffic only.
#[test]
fn a_server_that_is_heard_is_asked_as_late_as_may_be() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::restricted());
    let relay = world.add_raw(Network::Internet, &[v4("198.51.100.66")]);
    let own = address(&world, client);
    world.capture_mut().clear();
    for number in 0..300 {
        world.run_for(seconds(2));
        let native = v6(&format!("2001:db8::{number}"));
        let bubble = packets::bubble(native, own);
        world.inject(
            relay,
            socket("198.51.100.66:4545"),
            SocketAddrV4::new(SERVER.primary, PORT),
            &bubble,
        );
    }
    let asked: Vec<_> = solicitations(&world, client);
    // Counted from the solicitation before: on the way to the server and back, the NAT's time runs.
    assert_eq!(asked.len(), 600 / 30);
    for gap in asked.windows(2) {
        assert!(gap[1].at - gap[0].at >= seconds(30), "{asked:?}");
    }
}

/// R4380-5.2.3-04: packets from elsewhere do not.
#[test]
fn a_stranger_does_not_put_the_refresh_off() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::cone());
    let stranger = world.add_raw(Network::Internet, &[v4("198.51.100.66")]);
    let own = address(&world, client);
    world.capture_mut().clear();
    for _ in 0..10 {
        world.run_for(seconds(10));
        let bubble = packets::bubble(v6("2001:db8::1"), own);
        for from in ["198.51.100.66:3544", "192.0.2.1:3545"] {
            world.inject(
                stranger,
                socket(from),
                teredo(&world, client).mapped,
                &bubble,
            );
        }
    }
    assert!(solicitations(&world, client).len() >= 3);
}

/// R4380-5.2.5-05: after the NAT forgot, the next refresh yields another mapping and hence another address; bubbles
/// have it.
#[test]
fn a_new_mapping_makes_a_new_address() {
    let (mut world, nat, client) = behind_a_forgetful_nat();
    let before = teredo(&world, client);
    world.nat_mut(nat).forget();
    assert!(world.run_until(seconds(31), |world| state(world, client) == State::Probe));
    let why = reason(&world, client);
    assert!(world.run_until(SECOND, |world| has_moved(world, client, before.to_ipv6())));
    let after = teredo(&world, client);
    assert_eq!(why, Some(Reason::MappingChanged(after.mapped)));
    assert_eq!(
        after.mapped,
        SocketAddrV4::new(v4("203.0.113.1"), before.mapped.port() + 1)
    );
    assert_eq!(
        addresses(&world, client),
        [(before.to_ipv6(), true), (after.to_ipv6(), true)]
    );
    assert_eq!(state(&world, client), State::Qualified);
    assert_eq!(status(&world, client).mapped, Some(after.mapped));

    let peer = qualified_client(&mut world, 2, NatBehaviour::restricted());
    let other = address(&world, peer);
    let stale = packets::udp(before.to_ipv6(), other, 1);
    assert_eq!(
        world.submit(client, &stale),
        Submission::Drop(teredo::DropReason::WrongSource)
    );
    assert_eq!(
        world.submit(client, &packets::udp(after.to_ipv6(), other, 1)),
        Submission::Queued
    );
    let sources = bubbles(&world, client)
        .into_iter()
        .map(|record| packets::endpoints(record.payload()).0);
    assert!(sources.into_iter().all(|source| source == after.to_ipv6()));
}

/// R4380-5.2.5-05: the same for a NAT with another external address.
#[test]
fn a_renumbered_nat_makes_a_new_address() {
    let (mut world, nat, client) = behind_a_forgetful_nat();
    let before = address(&world, client);
    world.renumber_nat(nat, [203, 0, 113, 99]);
    assert!(world.run_until(seconds(31), |world| has_moved(world, client, before)));
    assert_eq!(*teredo(&world, client).mapped.ip(), v4("203.0.113.99"));
}

/// R4380-5.2.5-05: packets that waited for a peer have the old source, and are not sent under the new address.
#[test]
fn a_new_mapping_forgets_what_waited() {
    let (mut world, nat, client) = behind_a_forgetful_nat();
    let own = address(&world, client);
    world.nat_mut(nat).forget();
    // A dead peer: its NAT does not exist.
    let dead = v6("2001:0:c000:201:0:efff:34ff:8efe");
    assert!(world.run_until(seconds(31), |world| solicitations(world, client).len() == 3));
    assert_eq!(
        world.submit(client, &packets::udp(own, dead, 1)),
        Submission::Queued
    );
    assert!(world.run_until(SECOND, |world| has_moved(world, client, own)));
    let before = world.capture().total();
    world.run_for(seconds(15));
    assert_eq!(world.capture().total(), before, "{}", world.capture());
    assert_eq!(status(&world, client).peers, 0);
}

/// R4380-5.2.5-06: three losses, a new qualification, off-line, and recovery by itself; the same mapping gives
/// the same address again (R5991-3.1-03).
#[test]
fn a_silent_server_ends_the_service_and_is_found_again() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::restricted());
    let before = address(&world, client);
    let start = world.now();
    world.capture_mut().clear();
    for silent in [SERVER.primary, SERVER.secondary] {
        world.set_silent(silent, true);
    }
    assert!(world.run_until(seconds(60), |world| state(world, client) == State::Probe));
    assert_eq!(
        reason(&world, client),
        Some(Reason::ServerLost(SERVER.primary))
    );
    let refreshes = times(start, &solicitations(&world, client));
    assert!((22.5..=30.0).contains(&refreshes[0]), "{refreshes:?}");
    assert!(
        refreshes
            .windows(2)
            .take(2)
            .all(|pair| (pair[1] - pair[0] - 4.0).abs() < 0.002),
        "{refreshes:?}"
    );
    assert!(world.run_until(seconds(60), |world| state(world, client) == State::Offline));
    assert_eq!(addresses(&world, client), [(before, true), (before, false)]);

    world.run_for(seconds(60));
    for silent in [SERVER.primary, SERVER.secondary] {
        world.set_silent(silent, false);
    }
    assert!(world.run_until(seconds(100), |world| state(world, client)
        == State::Qualified));
    assert_eq!(
        addresses(&world, client),
        [(before, true), (before, false), (before, true)]
    );
}

/// R4380-5.2.5-06: the client makes up for one or two lost refreshes.
#[test]
fn lost_refreshes_are_repeated() {
    for lost in [1, 2] {
        let mut world = world(1);
        let client = qualified_client(&mut world, 1, NatBehaviour::restricted());
        world.capture_mut().clear();
        let mut left = lost;
        world.interfere(move |_| {
            let eaten = left > 0;
            left -= i32::from(eaten);
            eaten
        });
        world.run_for(seconds(45));
        assert_eq!(state(&world, client), State::Qualified);
        let events = world.client(client).events();
        assert!(!events.iter().any(|event| matches!(
            event.what,
            Event::StateChanged {
                state: State::Offline,
                ..
            }
        )));
        assert!(solicitations(&world, client).len() > usize::try_from(lost).unwrap());
    }
}

/// R4380-5.2.5-06, R4380-5.2.1-11: a client that moves behind a symmetric NAT loses its service.
#[test]
fn a_client_that_moves_behind_a_symmetric_nat_goes_off_line() {
    let mut world = world(1);
    let client = client_with(&mut world, 1, NatBehaviour::restricted(), by_rfc4380());
    qualify(&mut world, client);
    let bad = nat(&mut world, 2, NatBehaviour::symmetric());
    world.rebind(client, bad, local(2));
    world.run_for(SECOND);
    assert_eq!(state(&world, client), State::Offline);
    assert_eq!(status(&world, client).nat, Nat::Symmetric);
    assert!(addresses(&world, client).last().is_some_and(|(_, up)| !up));
}

/// R4380-5.2.5-05, R4380-5.2.1-11: so does a client that was moved behind one unnoticed, because its local address is
/// the same.
#[test]
fn a_new_mapping_is_looked_at_from_both_sides() {
    let mut world = world(1);
    let client = client_with(&mut world, 1, NatBehaviour::restricted(), by_rfc4380());
    qualify(&mut world, client);
    let bad = nat(&mut world, 2, NatBehaviour::symmetric());
    world.rebind(client, bad, local(1));
    assert_eq!(state(&world, client), State::Qualified);
    world.run_for(SECOND);
    assert_eq!(state(&world, client), State::Offline);
    assert_eq!(status(&world, client).nat, Nat::Symmetric);
    assert!(addresses(&world, client).last().is_some_and(|(_, up)| !up));
}

/// R6081-5.2-01: with the extensions it has an address there, with the mapping that the primary address sees.
#[test]
fn a_client_that_moves_behind_a_symmetric_nat_stays_in_service() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::restricted());
    let other = nat(&mut world, 2, NatBehaviour::symmetric());
    world.rebind(client, other, local(1));
    world.run_for(SECOND);
    assert_eq!(state(&world, client), State::Qualified);
    assert_eq!(status(&world, client).nat, Nat::Symmetric);
    assert_eq!(teredo(&world, client).mapped.ip().octets()[3], 2);
    // The refresh finds the mapping as it was.
    let address = address(&world, client);
    world.run_for(seconds(600));
    assert_eq!(status(&world, client).address, Some(address));
}

/// R4380-MS-05: another local address or network causes a new qualification at once.
#[test]
fn a_change_of_network_qualifies_anew() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::restricted());
    world.run_for(seconds(7));
    let elsewhere = nat(&mut world, 2, NatBehaviour::port_restricted());
    let moved = world.now();
    world.capture_mut().clear();
    world.rebind(client, elsewhere, local(9));
    assert_eq!(
        (state(&world, client), reason(&world, client)),
        (State::Probe, Some(Reason::NetworkChanged))
    );
    let sent = solicitations(&world, client);
    assert_eq!(times(moved, &sent), [0.0, 0.0]);
    assert!(sent.iter().all(|record| record.datagram.source == local(9)));
    qualify(&mut world, client);
    assert_eq!(world.now() - moved, ROUND_TRIP);
    assert_eq!(teredo(&world, client).mapped, socket("203.0.113.2:40009"));
}

/// R4380-MS-05: after a network change with the same local address, the mapping is verified at once, in service.
#[test]
fn news_without_a_change_verify_the_mapping() {
    let (mut world, nat, client) = behind_a_forgetful_nat();
    let before = teredo(&world, client);
    world.run_for(seconds(7));
    world.nat_mut(nat).forget();
    world.capture_mut().clear();
    world.rebind(client, nat, local(1));
    assert_eq!(state(&world, client), State::Qualified);
    assert_eq!(solicitations(&world, client).len(), 1);
    // One round trip for the refresh, another one to confirm it with both addresses.
    world.run_for(2 * ROUND_TRIP);
    assert_eq!(state(&world, client), State::Qualified);
    assert_eq!(
        teredo(&world, client).mapped.port(),
        before.mapped.port() + 1
    );
}

/// R4380-5.2.1-13, R5991-3.1-03: ten hours, many refreshes, one address.
#[test]
fn a_quiet_day_changes_nothing() {
    for kind in [
        NatBehaviour::cone(),
        NatBehaviour::restricted(),
        NatBehaviour::port_restricted(),
    ] {
        let mut world = world(1);
        let client = qualified_client(&mut world, 1, kind);
        world.run_for(seconds(36_000));
        assert_eq!(addresses(&world, client).len(), 1);
        assert_eq!(teredo(&world, client).flags.bits() & Flags::ZERO_MASK, 0);
    }
}
