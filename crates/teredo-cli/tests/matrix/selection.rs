//! Which cells are played.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use libtest_mimic::{Failed, Trial};

use crate::cell::{Cell, Home, Make, NATS};

/// A part, by its place in [`Cell::parts`] and what it is there.
type Part = (usize, usize);

/// Every cell that there is a way in.
pub(crate) fn all() -> Vec<Cell> {
    let homes = || {
        Make::ALL
            .into_iter()
            .flat_map(|client| NATS.map(|nat| Home { client, nat }))
    };
    let mut cells = Vec::new();
    for left in homes() {
        for right in homes() {
            for server in Make::ALL {
                cells.extend(Make::ALL.map(|relay| Cell {
                    left,
                    right,
                    server,
                    relay,
                }));
            }
        }
    }
    cells.retain(Cell::is_possible);
    cells
}

/// Few of these cells, in which every pair of parts occurs that occurs in any: each time the one with the most new
/// pairs, and among several the one whose parts were taken least.
pub(crate) fn pairwise(cells: &[Cell]) -> Vec<Cell> {
    let mut missing: BTreeSet<_> = cells.iter().flat_map(pairs).collect();
    let mut selection: Vec<Cell> = Vec::new();
    while !missing.is_empty() {
        let new = |cell: &Cell| {
            pairs(cell)
                .iter()
                .filter(|pair| missing.contains(pair))
                .count()
        };
        let taken = |cell: &Cell| -> usize {
            let alike = |other: &Cell| {
                let parts = cell.parts().into_iter().zip(other.parts());
                parts.filter(|(one, two)| one == two).count()
            };
            selection.iter().map(alike).sum()
        };
        let Some(best) = cells
            .iter()
            .max_by_key(|cell| (new(cell), Reverse(taken(cell))))
        else {
            break;
        };
        for pair in pairs(best) {
            missing.remove(&pair);
        }
        selection.push(*best);
    }
    selection
}

fn pairs(cell: &Cell) -> Vec<(Part, Part)> {
    let parts: Vec<Part> = cell.parts().into_iter().enumerate().collect();
    let mut pairs = Vec::new();
    for (number, one) in parts.iter().enumerate() {
        pairs.extend(parts[number + 1..].iter().map(|two| (*one, *two)));
    }
    pairs
}

/// That the selection is what it is said to be.
pub(crate) fn tests() -> [Trial; 1] {
    [Trial::test("the short form has every pair", || {
        let all = all();
        let short = pairwise(&all);
        let [of_all, of_short] =
            [&all, &short].map(|cells| cells.iter().flat_map(pairs).collect::<BTreeSet<_>>());
        // The pairs of NATs alone are as many.
        let few = NATS.len() * NATS.len()..=2 * NATS.len() * NATS.len();
        if of_all == of_short && few.contains(&short.len()) {
            Ok(())
        } else {
            Err(Failed::from(format!("{} cells: {short:?}", short.len())))
        }
    })]
}
