//! The delays in the documents are the ones that the code gives.

#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use teredo_delay::{Cell, SHORT, Table, page, picture};

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The first seeds of every cell take as long as the document has it, and bounds, models and recovery are the same.
#[test]
fn the_document_is_not_stale() {
    let json = document("nat-delay.json");
    let written: Table = serde_json::from_str(&json).unwrap();
    let short = Table::run(SHORT, |_, _| {});
    assert_eq!(written.cells.len(), short.cells.len());
    let stale: Vec<(&Cell, &Cell)> = written
        .cells
        .iter()
        .zip(&short.cells)
        .filter(|(written, now)| {
            let reduced = Cell {
                seeds: now.seeds,
                teredo: now.teredo,
                ..(*written).clone()
            };
            reduced != **now
        })
        .collect();
    assert!(
        stale.is_empty(),
        "docs/nat-delay.json is stale: run `cargo xtask sim delay`\n{stale:#?}"
    );
    assert_eq!(written.recovery, short.recovery);
    assert_eq!(written.keepalive, short.keepalive);
    for (name, text) in [
        ("nat-delay.json", written.to_json().unwrap()),
        ("nat-delay.md", page(&written)),
        ("nat-delay.svg", picture(&written).unwrap()),
    ] {
        assert!(
            document(name) == text,
            "docs/{name} is stale: run `cargo xtask sim delay`"
        );
    }
}
