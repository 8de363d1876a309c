//! The pairs of NATs that leave a path, and whose clients do not find it.

use std::fmt::Write as _;

use teredo::client::NatTraversal;

use crate::figure::Promise;
use crate::matrix::{Cell, Matrix};

/// The pairs that could meet for certain, and never do.
pub(crate) fn apart(page: &mut String, matrix: &Matrix) {
    let cells: Vec<&Cell> = stay_apart(matrix).collect();
    let promised = cells.iter().filter(|cell| cell.promise != Promise::Nothing);
    let _ = write!(
        page,
        "\n## What could meet, and does not\n\n\
         With `rfc4380`, these are pairs with a symmetric NAT, behind which a client has no address (RFC 4380 §5.2.1). With\n\
         `rfc6081`, these are {}, of which figure 1 promises {}:\n\n| from → to | why they stay apart |\n|---|---|\n",
        cells.len(),
        promised.count()
    );
    for why in Obstacle::ALL {
        let pairs = cells.iter().filter(|cell| obstacle(cell) == Some(why));
        let pairs: Vec<String> = pairs
            .map(|cell| format!("{} → {}", cell.from, cell.to))
            .collect();
        if !pairs.is_empty() {
            let _ = writeln!(page, "| {} | {} |", pairs.join("<br>"), why.reason());
        }
    }
}

/// The cells of such pairs, with the usual setting and without losses.
pub(crate) fn stay_apart(matrix: &Matrix) -> impl Iterator<Item = &Cell> {
    matrix.cells.iter().filter(|cell| {
        cell.mode == NatTraversal::Rfc6081.name()
            && cell.loss == 0.0
            && cell.possible == 1.0
            && cell.connected == 0
    })
}

/// The thing that keeps two clients apart whose NATs leave a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// One end relies on the port of its router.
    Given,
    /// One end sends from an address that the other does not know.
    Addresses,
    /// Neither end knows where to send from a port in sequence.
    Sequence,
}

impl Obstacle {
    const ALL: [Self; 3] = [Self::Given, Self::Addresses, Self::Sequence];

    const fn reason(self) -> &'static str {
        match self {
            Self::Given => {
                "the client behind `igd-symmetric` relies on the port that its router gave (RFC 6081 §5.3), and opens no random \
                 port. Its datagrams to the peer leave from another port, which the peer's NAT refuses"
            }
            Self::Addresses => {
                "the client behind `restricted` knows one of the four addresses, and would have to send to the others, too"
            }
            Self::Sequence => {
                "the next port is foreseen only for a datagram to a known port of the peer (RFC 6081 §5.5). Here that is a random \
                 port, too, which the client knows in time only of a peer that begins and is certain of it"
            }
        }
    }
}

/// The reason that keeps the clients of such a cell apart.
pub(crate) fn obstacle(cell: &Cell) -> Option<Obstacle> {
    match (&*cell.from, &*cell.to) {
        ("igd-symmetric", _) | (_, "igd-symmetric") => Some(Obstacle::Given),
        (_, "address-symmetric") => Some(Obstacle::Addresses),
        ("symmetric-sequential", _) => Some(Obstacle::Sequence),
        _ => None,
    }
}
