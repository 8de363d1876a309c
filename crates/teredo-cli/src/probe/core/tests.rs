//! The probe on a virtual clock, with our server and the NATs of the simulator.

mod hostile;
pub(crate) mod network;

use std::collections::BTreeSet;

use teredo_sim::{Mapping as Maps, NatBehaviour, PortAssignment};

use super::*;
use crate::probe::nat::{Filtering, Kind, Mapping, Nat};
use crate::probe::report::Report;
use network::{MS, Network};

/// Every kind of NAT: its behaviour, and the verdict that is right.
pub(crate) fn kinds() -> Vec<(&'static str, Option<NatBehaviour>, Nat)> {
    let nat = |kind, mapping, filtering, port_preserving, hairpin, stops| Nat {
        kind: Some(kind),
        mapping: Some(mapping),
        filtering,
        port_preserving: Some(port_preserving),
        hairpin,
        stops_strangers: Some(stops),
        ..Nat::default()
    };
    let one = Mapping::EndpointIndependent;
    let several = Mapping::AddressAndPortDependent;
    let [all, address, port] = [
        Filtering::EndpointIndependent,
        Filtering::AddressDependent,
        Filtering::AddressAndPortDependent,
    ]
    .map(Some);
    let hairpins = |behaviour| NatBehaviour {
        hairpin: true,
        ..behaviour
    };
    let moves = |behaviour| NatBehaviour {
        ports: PortAssignment::Random,
        ..behaviour
    };
    let cone = NatBehaviour::cone();
    let restricted = NatBehaviour::restricted();
    let closed = NatBehaviour::port_restricted();
    let symmetric = moves(NatBehaviour::symmetric());
    let open_symmetric = NatBehaviour {
        filtering: teredo_sim::Filtering::EndpointIndependent,
        ..symmetric
    };
    let by_address = NatBehaviour {
        mapping: Maps::AddressDependent,
        filtering: teredo_sim::Filtering::AddressDependent,
        ..symmetric
    };
    vec![
        ("none", None, nat(Kind::None, one, all, true, None, false)),
        (
            "cone",
            Some(cone),
            nat(Kind::Cone, one, all, true, Some(false), false),
        ),
        (
            "cone, hairpins",
            Some(hairpins(cone)),
            nat(Kind::Cone, one, all, true, Some(true), false),
        ),
        (
            "restricted",
            Some(restricted),
            nat(Kind::Restricted, one, address, true, Some(false), true),
        ),
        (
            "restricted, moves, hairpins",
            Some(moves(hairpins(restricted))),
            nat(Kind::Restricted, one, address, false, Some(true), true),
        ),
        (
            "port-restricted",
            Some(closed),
            nat(Kind::PortRestricted, one, port, true, Some(false), true),
        ),
        (
            "port-restricted, moves, hairpins",
            Some(moves(hairpins(closed))),
            nat(Kind::PortRestricted, one, port, false, Some(true), true),
        ),
        (
            "open-input",
            Some(NatBehaviour::open_input()),
            nat(Kind::OpenInput, one, port, true, Some(false), true),
        ),
        (
            "symmetric",
            Some(symmetric),
            nat(Kind::Symmetric, several, None, false, None, true),
        ),
        (
            "symmetric, hairpins",
            Some(hairpins(symmetric)),
            nat(Kind::Symmetric, several, None, false, None, true),
        ),
        (
            "symmetric, open",
            Some(open_symmetric),
            nat(Kind::Symmetric, several, all, false, Some(false), false),
        ),
        // A server has one port, so this looks the same.
        (
            "by address",
            Some(by_address),
            nat(Kind::Symmetric, several, None, false, None, true),
        ),
    ]
}

fn without_reasons(nat: &Nat) -> Nat {
    Nat {
        unknown: Default::default(),
        ..nat.clone()
    }
}

#[track_caller]
fn is_right(name: &str, report: &Report, expected: &Nat) {
    assert_eq!(
        &without_reasons(&report.nat),
        expected,
        "{name}: {report:#?}"
    );
    // R6081-5.2-01: behind a symmetric NAT, too.
    assert_eq!(
        (report.answers, report.qualifies),
        (true, true),
        "{name}: {report:#?}"
    );
}

/// R4380-5.2.1-11: near and far.
#[test]
fn every_nat_is_known_at_any_distance() {
    for (name, behaviour, expected) in kinds() {
        for delay in [0, 5, 60, 150] {
            let mut network = Network::new(behaviour);
            network.delay = MS * delay;
            let report = network.probe();
            is_right(&format!("{name}, {delay} ms"), &report, &expected);
            assert!(
                network.took() <= network::PATIENCE,
                "{name}: {:?}",
                network.took()
            );
            // Our server has no fault.
            let ids: BTreeSet<_> = report.findings.iter().map(|finding| finding.id).collect();
            assert!(
                ids.iter().all(|id| id.starts_with("nat.")),
                "{name}: {ids:?}"
            );
        }
    }
}

/// A loss of one datagram, whichever it is, changes nothing.
#[test]
fn one_lost_datagram_changes_no_verdict() {
    for (name, behaviour, expected) in kinds() {
        let mut whole = Network::new(behaviour);
        whole.probe();
        for lost in 0..whole.carried() {
            let mut network = Network::new(behaviour);
            network.lose = Box::new(move |index, _| index == lost);
            is_right(
                &format!("{name}, without datagram {lost}"),
                &network.probe(),
                &expected,
            );
        }
    }
}

/// A network that duplicates, or delays some datagrams by more than the others, changes nothing.
#[test]
fn duplicates_and_delays_change_no_verdict() {
    for (name, behaviour, expected) in kinds() {
        let mut network = Network::new(behaviour);
        network.duplicate = true;
        is_right(&format!("{name}, twice"), &network.probe(), &expected);
        let mut network = Network::new(behaviour);
        network.delay = MS * 10;
        network.jitter = MS * 40;
        is_right(
            &format!("{name}, out of order"),
            &network.probe(),
            &expected,
        );
    }
}

/// With heavy loss, each verdict is right or null.
#[test]
fn heavy_loss_makes_no_wrong_verdict() {
    let mut open = 0;
    for (name, behaviour, expected) in kinds() {
        for seed in 0..40 {
            let mut network = Network::new(behaviour);
            network.delay = MS * 20;
            network.seed = seed;
            network.lose = Box::new(|_, dice| dice < 0.2);
            let nat = network.probe().nat;
            let fine = |known: bool, same: bool| same || !known;
            // The mapping of a second socket may be missing.
            let right = fine(nat.mapping.is_some(), nat.mapping == expected.mapping)
                && fine(nat.filtering.is_some(), nat.filtering == expected.filtering)
                && fine(
                    nat.port_preserving.is_some(),
                    nat.port_preserving == expected.port_preserving,
                )
                && fine(
                    nat.stops_strangers.is_some(),
                    nat.stops_strangers == expected.stops_strangers,
                );
            assert!(right, "{name}, seed {seed}: {nat:#?}");
            open += usize::from(nat.mapping.is_none() || nat.kind.is_none());
        }
    }
    assert!(
        open < 12 * 40 / 4,
        "{open} of {} verdicts are open",
        12 * 40
    );
}

/// Where no error of the network shows that a knock arrived, the two restricted kinds stay apart only if the address
/// counts alone.
#[test]
fn a_knock_without_an_echo_proves_nothing() {
    for (name, behaviour, expected) in kinds() {
        let mut network = Network::new(behaviour);
        network.icmp = false;
        let nat = network.probe().nat;
        if expected.filtering == Some(Filtering::AddressAndPortDependent) {
            assert_eq!(nat.filtering, None, "{name}");
            assert!(
                nat.unknown["filtering"].contains("no error shows"),
                "{name}"
            );
        } else {
            assert_eq!(nat.filtering, expected.filtering, "{name}");
        }
    }
}

/// The fate of the bubbles alone tells as much, behind a server that ignores the cone bit, and the cone bit alone behind
/// a server that forwards no bubbles.
#[test]
fn one_way_of_the_two_is_enough() {
    for (name, behaviour, expected) in kinds() {
        let mut network = Network::new(behaviour);
        network.no_cone = true;
        let report = network.probe();
        is_right(
            &format!("{name}, no cone"),
            &report,
            &Nat {
                kind: expected.kind,
                ..expected.clone()
            },
        );
        if expected.mapping != Some(Mapping::EndpointIndependent) {
            continue;
        }
        let mut network = Network::new(behaviour);
        network.no_bubbles = true;
        let report = network.probe();
        is_right(&format!("{name}, no bubbles"), &report, &expected);
        assert!(
            report
                .findings
                .iter()
                .any(|finding| finding.id == "bubble.not-forwarded")
        );
    }
}

#[test]
fn a_silent_server_is_given_up_in_time() {
    let mut network = Network::new(Some(NatBehaviour::cone()));
    network.lose = Box::new(|_, _| true);
    let report = network.probe();
    assert!(!report.answers && !report.qualifies);
    assert_eq!(report.findings[0].id, "server.silent");
    assert!(network.took() <= network::PATIENCE);
}

/// The number of datagrams is bounded, also towards a mapping that the server made up.
#[test]
fn few_datagrams_are_sent() {
    for (name, behaviour, _) in kinds() {
        let mut network = Network::new(behaviour);
        network.probe();
        assert!(network.sent() <= 60, "{name}: {}", network.sent());
    }
}

/// Silence proves nothing where the control is silent too: a server that sends nothing unasked leaves the filter open.
#[test]
fn silence_without_a_control_proves_nothing() {
    for (name, behaviour, expected) in kinds() {
        let mut network = Network::new(behaviour);
        network.no_cone = true;
        network.no_bubbles = true;
        let nat = network.probe().nat;
        assert_eq!(nat.mapping, expected.mapping, "{name}");
        assert_eq!((nat.filtering, nat.stops_strangers), (None, None), "{name}");
        assert!(
            nat.unknown["filtering"].contains("nothing that could have been stopped"),
            "{name}"
        );
    }
}
