//! The delays in the documents are the ones that the code gives.

#![forbid(unsafe_code)]

use teredo_delay::{Cell, SHORT, Table, page, picture};

const JSON: &str = include_str!("../../../docs/nat-delay.json");
const PAGE: &str = include_str!("../../../docs/nat-delay.md");
const PICTURE: &str = include_str!("../../../docs/nat-delay.svg");

/// The first seeds of every cell take as long as the document has it, and bounds, models and recovery are the same.
#[test]
fn the_document_is_not_stale() {
    let written: Table = serde_json::from_str(JSON).unwrap();
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
                eager: now.eager,
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
    for (name, document, text) in [
        ("nat-delay.json", JSON, written.to_json().unwrap()),
        ("nat-delay.md", PAGE, page(&written)),
        ("nat-delay.svg", PICTURE, picture(&written).unwrap()),
    ] {
        assert!(
            document == text,
            "docs/{name} is stale: run `cargo xtask sim delay`"
        );
    }
}
