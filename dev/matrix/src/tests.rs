use teredo::client::NatTraversal;

use crate::*;

fn kind(name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.name == name).unwrap()
}

/// Figure 1 of RFC 6081 as printed: the corners, and the cell that makes it asymmetric.
#[test]
fn the_figure_says_what_is_printed() {
    for (from, to, said) in [
        ("cone", "address-symmetric", Promise::Symmetric),
        ("restricted", "address-symmetric", Promise::Nothing),
        ("port-restricted", "igd-symmetric", Promise::Nothing),
        (
            "port-restricted",
            "symmetric-preserving",
            Promise::Preserving,
        ),
        ("igd", "igd-symmetric", Promise::Upnp),
        ("igd", "symmetric-preserving", Promise::Nothing),
        (
            "symmetric-preserving",
            "symmetric-sequential",
            Promise::Sequential,
        ),
        (
            "symmetric-sequential",
            "symmetric-preserving",
            Promise::Nothing,
        ),
        ("address-symmetric", "address-symmetric", Promise::Nothing),
        ("none", "symmetric", Promise::Symmetric),
        ("open-input", "open-input", Promise::Rfc4380),
    ] {
        assert_eq!(promise(kind(from), kind(to)), said, "{from} to {to}");
    }
}

/// The same seed gives the same meeting; without losses it takes two round trips at most once both have their addresses.
#[test]
fn a_meeting_can_be_repeated() {
    let (from, to) = (
        kind("port-restricted").behaviour,
        kind("restricted").behaviour,
    );
    let one = meet(from, to, NatTraversal::Rfc6081, 0.1, 7);
    assert_eq!(one, meet(from, to, NatTraversal::Rfc6081, 0.1, 7));
    let met = meet(from, to, NatTraversal::Rfc6081, 0.0, 1).unwrap();
    assert!((1.0..2.6).contains(&met.round_trips), "{met:?}");
}

/// The page gives a reason for each pair that could meet and does not.
#[test]
fn a_pair_that_stays_apart_has_a_reason() {
    let written: Matrix =
        serde_json::from_str(include_str!("../../../docs/nat-matrix.json")).unwrap();
    let apart: Vec<&Cell> = apart::stay_apart(&written).collect();
    assert!(!apart.is_empty());
    for cell in apart {
        assert!(apart::obstacle(cell).is_some(), "{cell:?}");
    }
}

/// NATs that no sequence of datagrams connects do not meet.
#[test]
fn nobody_does_the_impossible() {
    let matrix = Matrix::run(1, |_, _| {});
    for cell in &matrix.cells {
        assert!(cell.possible > 0.0 || cell.connected == 0, "{cell:?}");
    }
}
