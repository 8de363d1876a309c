//! The matrix in the documents is the one that the code gives.

#![forbid(unsafe_code)]

use teredo_matrix::{Cell, Matrix, SHORT, page, picture};

const JSON: &str = include_str!("../../../docs/nat-matrix.json");
const PAGE: &str = include_str!("../../../docs/nat-matrix.md");
const PICTURE: &str = include_str!("../../../docs/nat-matrix.svg");

/// The first seeds of every cell connect as the document has it, and promises and possibilities are the same.
#[test]
fn the_document_is_not_stale() {
    let written: Matrix = serde_json::from_str(JSON).unwrap();
    let short = Matrix::run(SHORT, |_, _| {});
    assert_eq!(written.cells.len(), short.cells.len());
    let stale: Vec<(&Cell, &Cell)> = written
        .cells
        .iter()
        .zip(&short.cells)
        .filter(|(written, now)| {
            let reduced = Cell {
                seeds: now.seeds,
                connected: written.connected_short,
                round_trips: now.round_trips,
                datagrams: now.datagrams,
                ..(*written).clone()
            };
            reduced != **now
        })
        .collect();
    assert!(
        stale.is_empty(),
        "docs/nat-matrix.json is stale: run `cargo xtask sim matrix`\n{stale:#?}"
    );
    for (name, document, text) in [
        ("nat-matrix.json", JSON, written.to_json().unwrap()),
        ("nat-matrix.md", PAGE, page(&written)),
        ("nat-matrix.svg", PICTURE, picture(&written)),
    ] {
        assert!(
            document == text,
            "docs/{name} is stale: run `cargo xtask sim matrix`"
        );
    }
}
