//! The matrix in the documents is the one that the code gives.

#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use teredo_matrix::{Cell, Matrix, SHORT, page, picture};

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The first seeds of every cell connect as the document has it, and promises and possibilities are the same.
#[test]
fn the_document_is_not_stale() {
    let json = document("nat-matrix.json");
    let written: Matrix = serde_json::from_str(&json).unwrap();
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
    for (name, text) in [
        ("nat-matrix.json", written.to_json().unwrap()),
        ("nat-matrix.md", page(&written)),
        ("nat-matrix.svg", picture(&written)),
    ] {
        assert!(
            document(name) == text,
            "docs/{name} is stale: run `cargo xtask sim matrix`"
        );
    }
}
