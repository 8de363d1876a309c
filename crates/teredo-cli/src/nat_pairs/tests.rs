use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

/// The cells of the document without losses: how many of the runs connect, and of how many.
fn matrix(mode: NatTraversal) -> BTreeMap<(String, String), [u64; 2]> {
    let text = include_str!("../../../../docs/nat-matrix.json");
    let matrix: Value = serde_json::from_str(text).unwrap();
    let cells = matrix["cells"].as_array().unwrap().iter();
    let plain = cells.filter(|cell| cell["mode"] == mode.name() && cell["loss"] == 0.0);
    let name = |value: &Value| value.as_str().unwrap().to_owned();
    let runs = |cell: &Value| ["connected", "seeds"].map(|key| cell[key].as_u64().unwrap());
    plain
        .map(|cell| ((name(&cell["from"]), name(&cell["to"])), runs(cell)))
        .collect()
}

/// R6081-3-01: the rule is the matrix.
#[test]
fn each_cell_of_the_matrix_is_expected() {
    use NatTraversal::{Eager, Rfc4380, Rfc6081};
    for mode in [Rfc4380, Rfc6081, Eager] {
        is_the_matrix(mode);
    }
}

#[track_caller]
fn is_the_matrix(mode: NatTraversal) {
    let matrix = matrix(mode);
    let mut compared = 0;
    for from in NatKind::ALL {
        for to in NatKind::ALL {
            let cell = matrix.get(&(from.name().to_owned(), to.name().to_owned()));
            let are_listed = is_listed(from.into()) && is_listed(to.into());
            assert_eq!(cell.is_some(), are_listed, "{from} to {to}");
            let Some([connected, seeds]) = cell else {
                continue;
            };
            let is_right = match expected(from.into(), to.into(), mode) {
                Expectation::Sure(Path::Direct) => connected == seeds,
                Expectation::Sure(Path::None) => *connected == 0,
                // No run of a thousand may have missed.
                Expectation::Guess => *connected > 0,
                Expectation::Unknown => false,
            };
            assert!(
                is_right,
                "{mode}, {from} to {to}: {connected} of {seeds}, expected {:?}",
                expected(from.into(), to.into(), mode)
            );
            compared += 1;
        }
    }
    assert_eq!(
        compared,
        matrix.len(),
        "the matrix has a kind that the lab does not"
    );
}

/// Kinds that the matrix does not have are to others as a port-restricted NAT is.
#[test]
fn two_nats_in_a_row_and_a_hairpin_filter_by_port() {
    let expected =
        |from: NatKind, to: NatKind| expected(from.into(), to.into(), NatTraversal::Rfc6081);
    for kind in [NatKind::Carrier, NatKind::Hairpin] {
        for other in NatKind::ALL {
            let usual = NatKind::PortRestricted;
            assert_eq!(expected(kind, other), expected(usual, other));
            assert_eq!(expected(other, kind), expected(other, usual));
        }
    }
}

/// Nothing is said about a pair of properties that no rule of the RFC connects.
#[test]
fn properties_have_a_path_or_are_not_known() {
    let random: HomeNat = "address-dependent-mapping,random-ports".parse().unwrap();
    let expected = |to: NatKind| expected(random, to.into(), NatTraversal::Rfc6081);
    assert_eq!(expected(NatKind::Cone), Expectation::Sure(Path::Direct));
    assert_eq!(expected(NatKind::PortRestricted), Expectation::Unknown);
}

/// RFC 4787 §4.2.1: hosts share a port that is overloaded, and no datagram of a stranger finds one of them, whatever the
/// filtering would let in.
#[test]
fn a_port_that_hosts_share_is_not_open_to_all() {
    let unfiltered = "address-and-port-dependent-mapping,endpoint-independent-filtering";
    let shared: HomeNat = format!("{unfiltered},port-overloading").parse().unwrap();
    let expected = |to: NatKind| expected(shared, to.into(), NatTraversal::Rfc6081);
    assert_eq!(expected(NatKind::Symmetric), Expectation::Unknown);
    assert_eq!(
        expected(NatKind::PortRestricted),
        Expectation::Sure(Path::Direct)
    );
}

/// Eager clients find the ways of RFC 6081, and further ones by luck.
#[test]
fn eager_clients_may_find_more() {
    let expected =
        |to: NatKind| expected(NatKind::Symmetric.into(), to.into(), NatTraversal::Eager);
    assert_eq!(
        expected(NatKind::Restricted),
        Expectation::Sure(Path::Direct)
    );
    assert_eq!(expected(NatKind::PortRestricted), Expectation::Guess);
    assert_eq!(expected(NatKind::Symmetric), Expectation::Sure(Path::None));
}
