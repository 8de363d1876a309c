use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

/// The cells of the document without losses, and whether all or no runs connect.
fn matrix(mode: NatTraversal) -> BTreeMap<(String, String), Path> {
    let text = include_str!("../../../../../docs/nat-matrix.json");
    let matrix: Value = serde_json::from_str(text).unwrap();
    let cells = matrix["cells"].as_array().unwrap().iter();
    let plain = cells.filter(|cell| cell["mode"] == mode.name() && cell["loss"] == 0.0);
    let name = |value: &Value| value.as_str().unwrap().to_owned();
    plain
        .map(|cell| {
            let path = match cell["connected"].as_u64().unwrap() {
                0 => Path::None,
                connected => {
                    assert_eq!(cell["seeds"], connected, "{cell}");
                    Path::Direct
                }
            };
            ((name(&cell["from"]), name(&cell["to"])), path)
        })
        .collect()
}

/// R6081-3-01: the rule is the matrix.
#[test]
fn each_cell_of_the_matrix_is_expected() {
    for mode in [NatTraversal::Rfc4380, NatTraversal::Rfc6081] {
        is_the_matrix(mode);
    }
}

#[track_caller]
fn is_the_matrix(mode: NatTraversal) {
    let matrix = matrix(mode);
    let mut compared = 0;
    for from in NatKind::ALL {
        for to in NatKind::ALL {
            let Some(cell) = matrix.get(&(from.name().to_owned(), to.name().to_owned())) else {
                continue;
            };
            assert_eq!(
                expected(from.into(), to.into(), mode),
                Some(*cell),
                "{from} to {to}"
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
    assert_eq!(expected(NatKind::Cone), Some(Path::Direct));
    assert_eq!(expected(NatKind::PortRestricted), None);
}

/// Eager clients find the ways of RFC 6081, and further ones by luck.
#[test]
fn eager_clients_may_find_more() {
    let expected =
        |to: NatKind| expected(NatKind::Symmetric.into(), to.into(), NatTraversal::Eager);
    assert_eq!(expected(NatKind::Restricted), Some(Path::Direct));
    assert_eq!(expected(NatKind::PortRestricted), None);
}
