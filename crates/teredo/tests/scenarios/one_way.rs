//! Paths in one direction: a NAT that maps by destination lets everything in at the advertised mapping, so a peer is heard
//! there; our own datagrams leave from another one, and the peer's NAT drops them.

use std::time::Duration;

use teredo::client::{Nat, PeerState};
use teredo::wire::{Datagram, PORT, Trailer};
use teredo::{DropReason, Submission};
use teredo_sim::{
    ClientId, Filtering, Mapping, NatBehaviour, PortAssignment, PortFirewall, Record, World,
};

use crate::internet::*;
use crate::random_ports::{packet, pair, submit};
use crate::unsupported::{Outcome, unreachable_after};

/// Such a NAT.
fn unfiltered(ports: PortAssignment) -> NatBehaviour {
    NatBehaviour {
        mapping: Mapping::AddressDependent,
        filtering: Filtering::EndpointIndependent,
        ports,
        ..NatBehaviour::symmetric()
    }
}

/// The neighbor solicitations and advertisements of a client.
fn discovery(world: &World, client: ClientId) -> Vec<(Record, bool)> {
    let all = bubbles(world, client).into_iter();
    let kinds = all.filter_map(|record| {
        let datagram = Datagram::parse(record.payload()).unwrap();
        let kind = datagram.trailers.iter().find_map(|trailer| match trailer {
            Trailer::NeighborDiscovery { advertisement } => Some(advertisement),
            _ => None,
        })?;
        Some((record, kind))
    });
    kinds.collect()
}

/// The state of the only peer.
fn peer_state(world: &World, client: ClientId) -> PeerState {
    let peers = world.client(client).client().peers(world.now(), 2);
    assert_eq!(peers.len(), 1);
    peers[0].state
}

fn told_after(world: &mut World, from: ClientId, to: ClientId) -> Duration {
    let to = address(world, to);
    match unreachable_after(world, from, to) {
        Outcome::Told(after) => after,
        Outcome::Silence => panic!("silence:\n{}", world.capture()),
    }
}

/// Sends packets until the limit of bubbles answers at once. Each is answered within the retries.
fn exhaust(world: &mut World, from: ClientId, to: ClientId) {
    for _ in 0..4 {
        let after = told_after(world, from, to);
        assert!(after < seconds(9), "{after:?}");
        if after.is_zero() {
            return;
        }
    }
    panic!("the limit does not count:\n{}", world.capture());
}

/// R4380-5.2.4-11, R4380-5.2.6-05: no datagram of A gets through B's NAT, and A hears B. The program gets an error within
/// the retries, later ones at once, and the state ends.
#[test]
fn a_path_in_one_direction_is_given_up() {
    let port_restricted = NatBehaviour::port_restricted;
    for (one, two, firewall) in [
        (
            unfiltered(PortAssignment::Random),
            port_restricted(),
            PortFirewall::Open,
        ),
        (
            unfiltered(PortAssignment::Random),
            port_restricted(),
            PortFirewall::Refuses,
        ),
        (
            NatBehaviour {
                mapping: Mapping::AddressAndPortDependent,
                ..unfiltered(PortAssignment::Sequential)
            },
            NatBehaviour::open_input(),
            PortFirewall::Refuses,
        ),
    ] {
        let (mut world, a, b) = pair(1, one, two);
        assert_eq!(status(&world, a).nat, Nat::Symmetric);
        world.set_port_firewall(a, firewall);
        let after = told_after(&mut world, a, b);
        assert!((seconds(8)..seconds(9)).contains(&after), "{after:?}");
        assert_eq!(peer_state(&world, a), PeerState::Silent);
        exhaust(&mut world, a, b);
        // Not even when the peer is heard again.
        let _ = submit(&mut world, b, a, 9);
        world.run_for(SECOND);
        assert_eq!(told_after(&mut world, a, b), Duration::ZERO);
        let asked = bubbles(&world, a).iter().filter(is_indirect).count();
        assert!(asked <= 4 + 1, "four questions, and one back to B");
        assert_eq!(delivered(&world, b).len(), 0);
        world.run_for(seconds(350));
        assert_eq!(status(&world, a).peers, 0);
    }
}

fn is_indirect(record: &&Record) -> bool {
    record.datagram.destination.port() == PORT
}

/// R4380-5.2.4-11: the same if B begins. Each program gets its error.
#[test]
fn the_peer_that_is_not_heard_begins() {
    let (mut world, a, b) = pair(
        1,
        unfiltered(PortAssignment::Random),
        NatBehaviour::port_restricted(),
    );
    let _ = submit(&mut world, b, a, 1);
    world.run_for(SECOND);
    assert_eq!(peer_state(&world, a), PeerState::Probing);
    let after = told_after(&mut world, a, b);
    assert!((seconds(8)..seconds(11)).contains(&after), "{after:?}");
    assert_eq!(world.client(b).errors().len(), 1);
    exhaust(&mut world, b, a);
    exhaust(&mut world, a, b);
    assert_eq!(
        [delivered(&world, a).len(), delivered(&world, b).len()],
        [0, 0]
    );
}

/// R6081-5.2.4.4-04, R6081-5.7.4.1-01: if B's NAT lets A's datagrams in, the data does not wait for the answer to the
/// question, and a flow in one direction goes on for ever without more of them.
#[test]
fn a_path_in_both_directions_loses_no_time() {
    for two in [NatBehaviour::cone(), NatBehaviour::restricted()] {
        let (mut world, a, b) = pair(1, unfiltered(PortAssignment::Random), two);
        world.set_port_firewall(a, PortFirewall::Refuses);
        let start = world.now();
        assert_eq!(submit(&mut world, a, b, 0), Submission::Queued);
        assert!(world.run_until(SECOND, |world| !delivered(world, b).is_empty()));
        assert!(world.now() - start <= 3 * ROUND_TRIP, "{}", world.capture());
        for number in 1..60 {
            world.run_for(SECOND);
            let submission = submit(&mut world, a, b, number);
            assert!(matches!(submission, Submission::Send(_)), "{submission:?}");
        }
        world.run_for(SECOND);
        assert_eq!(peer_state(&world, a), PeerState::Trusted);
        let expected: Vec<_> = (0..60).map(|number| packet(&world, a, b, number)).collect();
        assert_eq!(delivered(&world, b), expected);
        assert_eq!(world.client(a).errors().len(), 0);
        let [asked, answered] = [a, b].map(|client| discovery(&world, client));
        assert_eq!([asked.len(), answered.len()], [1, 1], "{}", world.capture());
        assert!(!asked[0].1 && answered[0].1);
    }
}

/// R4380-5.2.3-10: data of the peer shows that it hears us. One that does not know RFC 6081 §5.7 is no worse off as long as
/// it sends any.
#[test]
fn data_of_the_peer_is_a_sign() {
    let (mut world, a, b) = pair(
        1,
        unfiltered(PortAssignment::Random),
        NatBehaviour::restricted(),
    );
    world.set_port_firewall(a, PortFirewall::Refuses);
    world.interfere(|datagram| {
        let parsed = Datagram::parse(&datagram.payload);
        parsed.is_ok_and(|datagram| {
            let advertises = |trailer| {
                trailer
                    == Trailer::NeighborDiscovery {
                        advertisement: true,
                    }
            };
            datagram.trailers.iter().any(advertises)
        })
    });
    let _ = submit(&mut world, a, b, 0);
    world.run_for(SECOND);
    let _ = submit(&mut world, b, a, 0);
    for number in 1..60 {
        world.run_for(SECOND);
        let submission = submit(&mut world, a, b, number);
        assert!(matches!(submission, Submission::Send(_)), "{submission:?}");
    }
    world.run_for(SECOND);
    assert_eq!(delivered(&world, b).len(), 60);
    assert_eq!(world.client(a).errors().len(), 0);
}

/// R6081-5.4.4.4-01, R6081-5.5.4.2-01: ports that can be foreseen lead through B's NAT, if the bubbles that come in
/// elsewhere are no path.
#[test]
fn foreseen_ports_are_tried() {
    for ports in [PortAssignment::Sequential, PortAssignment::Preserving] {
        for a_begins in [true, false] {
            let (mut world, a, b) = pair(1, unfiltered(ports), NatBehaviour::port_restricted());
            let [one, two] = if a_begins { [a, b] } else { [b, a] };
            let _ = submit(&mut world, one, two, 1);
            world.run_for(seconds(5));
            assert_eq!(
                delivered(&world, two),
                [packet(&world, one, two, 1)],
                "{ports:?} {a_begins}:\n{}",
                world.capture()
            );
            let _ = submit(&mut world, two, one, 2);
            world.run_for(SECOND);
            assert_eq!(delivered(&world, one), [packet(&world, two, one, 2)]);
        }
    }
}

/// R4380-5.2.4-11: B's bubble comes in on A's random port, from a mapping that A's port has not sent to. A's NAT maps the port
/// anew for it, so B hears nothing.
#[test]
fn a_random_port_may_lead_one_way() {
    for ports in [PortAssignment::Sequential, PortAssignment::Preserving] {
        for filtering in [Filtering::EndpointIndependent, Filtering::AddressDependent] {
            let one = NatBehaviour {
                mapping: Mapping::AddressAndPortDependent,
                filtering,
                ..unfiltered(ports)
            };
            let two = NatBehaviour {
                ports: PortAssignment::Random,
                ..NatBehaviour::symmetric()
            };
            let (mut world, a, b) = pair(1, one, two);
            let after = told_after(&mut world, a, b);
            assert!(after < seconds(11), "{after:?}");
            exhaust(&mut world, a, b);
            assert_eq!(delivered(&world, b).len(), 0);
        }
    }
}

/// R6081-5.2.4.4-01: behind a usual symmetric NAT, a flow in one direction costs one question, 2 s later; the packets of the
/// contact are those of RFC 6081.
#[test]
fn a_usual_symmetric_nat_asks_once() {
    let (mut world, a, b) = pair(1, NatBehaviour::symmetric(), NatBehaviour::restricted());
    world.set_port_firewall(a, PortFirewall::Refuses);
    let start = world.now();
    for number in 0..60 {
        let _ = submit(&mut world, a, b, number);
        world.run_for(SECOND);
    }
    assert_eq!(delivered(&world, b).len(), 60);
    let asked = discovery(&world, a);
    assert_eq!(asked.len(), 1);
    let after = asked[0].0.at - start;
    assert!((seconds(2)..seconds(3)).contains(&after), "{after:?}");
    assert_eq!(world.client(a).errors().len(), 0);
    assert_eq!(drops(&world, a, DropReason::PeerUnreachable), 0);
}

/// R6081-5.2.4.4-03: losses do not end a path that leads both ways. The question is repeated, and what was sent waits.
#[test]
fn losses_end_no_path() {
    let mut lost = 0;
    for seed in 0..100 {
        let (mut world, a, b) = pair(
            seed,
            unfiltered(PortAssignment::Random),
            NatBehaviour::restricted(),
        );
        world.set_port_firewall(a, PortFirewall::Refuses);
        world.link_mut(a).loss = 0.05;
        for number in 0..20 {
            let _ = submit(&mut world, a, b, number);
            world.run_for(SECOND);
        }
        lost += world.client(a).errors().len();
    }
    assert!(lost <= 1, "{lost}");
}

/// R4380-5.2.4-01: a bubble that came in before our own was answered makes no path later, when the contact is long over.
#[test]
fn a_bubble_of_an_earlier_contact_makes_no_path() {
    let (mut world, a, b) = pair(
        1,
        unfiltered(PortAssignment::Random),
        NatBehaviour::restricted(),
    );
    world.set_port_firewall(a, PortFirewall::Refuses);
    let is_bubble = |datagram: &teredo_sim::Datagram| {
        Datagram::parse(&datagram.payload).is_ok_and(|parsed| parsed.packet.is_bubble())
    };
    let mapped = teredo(&world, a).mapped;
    world.interfere(move |datagram| {
        datagram.source.port() == PORT && datagram.destination == mapped && is_bubble(datagram)
    });
    told_after(&mut world, a, b);
    // B's own question comes through the server, and nothing directly.
    let service = world.client(b).local().port();
    world.interfere(move |datagram| {
        datagram.source.port() == service && datagram.destination.port() != PORT
    });
    world.run_for(seconds(100));
    let _ = submit(&mut world, b, a, 1);
    world.run_for(SECOND);
    assert_eq!(peer_state(&world, a), PeerState::Silent);
}
