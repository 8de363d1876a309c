//! `docs/nat-matrix.md`.

use std::fmt::Write as _;

use teredo::client::NatTraversal;

use crate::apart::apart;
use crate::figure::Promise;
use crate::kind::{KINDS, Kind};
use crate::matrix::{Cell, LOSSES, MODES, Matrix};

const HEAD: &str = "\
# Which NATs meet

Written by `cargo xtask sim matrix`; the tests compare it. A program behind one NAT sends a datagram a second to a
program behind another, for 10 s. They meet if an answer comes back. Both are clients of one server, on the simulated
internet of `dev/sim`, and each client's link loses its share of the datagrams in each direction, from the client's start.
[nat-matrix.json](nat-matrix.json) has every cell, with the median time and number of datagrams until the answer.

![The share of meetings for each pair of NATs](nat-matrix.svg)

| sign | meaning |
|---|---|
| a number | per cent of the {RUNS} runs of a cell that meet |
| **bold** | figure 1 of RFC 6081 promises that they meet with this setting |
| *(all)* or *(63 %)* | they do not meet, but some sequence of datagrams would connect them (with this probability, if ports must be guessed, 256 on each side) |
| – | no sequence of datagrams connects them |

The NATs have the names of the lab. [Its table](../site/src/lab.md#nats) has the mapping and the filtering of each. Some
need a word more:

- `none` is a host without a NAT, which counts as behind a cone.
- `open-input` filters as a port-restricted NAT does, but its router accepts unsolicited datagrams as its own.
- Symmetric NATs give each destination another port: `symmetric` a random one, `symmetric-sequential` the next one.
  `symmetric-preserving` lets the first destination see the inside port. `address-symmetric` has random ports, and four
  addresses, of which each destination sees the next.
- `igd` and `igd-symmetric` are a port-restricted and a port-preserving symmetric NAT that open the client's port on
  request. Here each client with `rfc6081` or `eager` asks. The program asks with `igd = true`, which is off by default.
  With `rfc4380` none asks here, and the two are as `port-restricted` and `symmetric-preserving`.
- `carrier` and `hairpin` of the lab are not here. Both NATs of `carrier` map and filter as `port-restricted` does, and so do
  two in a row. `hairpin` differs from `port-restricted` only between hosts of one home.
";

const LOSS: &str = "
- *Towards `open-input`, with `rfc4380`:* a contact has four direct bubbles. The first three expire before the peer's
  router; the sender learns how far they must go from the routers that report them. The last one goes all the way, as in
  RFC 4380. If all indirect bubbles before it were lost, it is unsolicited there. The router accepts it as its own, and
  gives the peer's answers another port, which the sender's NAT refuses.
- *If one NAT is symmetric:* the first packet waits for an indirect bubble from each end and a direct one with its nonce
  (RFC 6081 §5.2), so four datagrams or more must arrive in turn. Each end may send four pairs of bubbles in 300 s (RFC 4380
  §5.2.6).
- *If both NATs filter by port and one is `symmetric-preserving` or `symmetric-sequential`:* the contact
  needs a random port (RFC 6081 §5.4). More datagrams must arrive in turn, for sequential ports also those of the echo
  test (§5.5), and the program waits for 10 s only.
- *Between two `igd-symmetric`:* if a client's first solicitation is lost before its NAT, the server sees another port
  than the one that the router has opened. The client then uses random ports, as behind `symmetric-preserving`. It no
  longer meets clients that rely on the router's port, but it meets those behind NATs that filter by port. So these
  cells have numbers with losses, and none without.
";

/// The document of a matrix.
pub fn page(matrix: &Matrix) -> String {
    let runs = matrix.cells.first().map_or(0, |cell| cell.seeds);
    let mut page = HEAD.replace("{RUNS}", &runs.to_string());
    tally(&mut page, matrix);
    missed(&mut page, matrix);
    apart(&mut page, matrix);
    guessed(&mut page, matrix);
    weakest(&mut page, matrix);
    page.push_str(LOSS);
    for mode in MODES {
        for loss in LOSSES {
            let _ = write!(page, "\n## `{mode}`, {}\n\n", percent_lost(loss));
            table(&mut page, matrix, mode, loss);
        }
    }
    page
}

/// "5 % loss".
pub(crate) fn percent_lost(loss: f64) -> String {
    if loss == 0.0 {
        String::from("no loss")
    } else {
        format!("{} % loss", loss * 100.0)
    }
}

/// How many of the promised pairs meet, by promise.
fn tally(page: &mut String, matrix: &Matrix) {
    page.push_str(
        "\n## What is promised, and kept\n\n\
         The targets of a promised pair are all runs without loss, and 99.9 % of them at 5 % loss. The numbers are those of\n\
         `rfc6081`, the default.\n\n\
         | promise of figure 1 | pairs | meet always, without loss | 99.9 % or more at 5 % loss | runs that meet at 5 % loss |\n\
         |---|---|---|---|---|\n",
    );
    for (promise, words) in [
        (Promise::Rfc4380, "by RFC 4380"),
        (Promise::Symmetric, "with symmetric NAT support"),
        (Promise::Upnp, "and UPnP"),
        (Promise::Preserving, "and port-preserving NATs"),
        (Promise::Sequential, "and sequential ports"),
        (Promise::Nothing, "none"),
    ] {
        let of = |loss: f64| {
            let cells = matrix.cells.iter();
            cells.filter(move |cell| {
                cell.promise == promise
                    && cell.mode == NatTraversal::Rfc6081.name()
                    && cell.loss == loss
            })
        };
        let pairs = of(0.0).count();
        let always = of(0.0).filter(|cell| cell.connected == cell.seeds).count();
        let often = of(TARGET_LOSS).filter(|cell| meets_target(cell)).count();
        let met: u64 = of(TARGET_LOSS).map(|cell| cell.connected).sum();
        let runs: u64 = of(TARGET_LOSS).map(|cell| cell.seeds).sum();
        let _ = writeln!(
            page,
            "| {words} | {pairs} | {always} | {often} | {met} of {runs} |"
        );
    }
    let possible = |cell: &&Cell| {
        cell.mode == NatTraversal::Rfc6081.name() && cell.loss == 0.0 && cell.possible == 1.0
    };
    let paths: Vec<&Cell> = matrix.cells.iter().filter(possible).collect();
    let met = paths
        .iter()
        .filter(|cell| cell.connected == cell.seeds)
        .count();
    let _ = writeln!(
        page,
        "\nOf {} pairs that some sequence of datagrams connects for certain, {met} meet with `{}`.",
        paths.len(),
        NatTraversal::Rfc6081
    );
}

/// The loss at which a promised pair has a target.
const TARGET_LOSS: f64 = 0.05;

/// Whether 99.9 % of the runs meet.
fn meets_target(cell: &Cell) -> bool {
    cell.connected * 1_000 >= cell.seeds * 999
}

/// The promised pairs that miss the target at its loss, with their shares.
fn missed(page: &mut String, matrix: &Matrix) {
    let _ = write!(
        page,
        "\n### The target at {} is missed by\n\n| setting | from | to (per cent of the runs) |\n|---|---|---|\n",
        percent_lost(TARGET_LOSS)
    );
    for mode in MODES {
        for from in KINDS {
            let cells = KINDS.iter();
            let cells = cells.filter_map(|to| matrix.cell(from, to, mode, TARGET_LOSS));
            let missed = cells.filter(|cell| cell.promised && !meets_target(cell));
            let missed: Vec<String> = missed
                .map(|cell| format!("{} {}", cell.to, share(cell)))
                .collect();
            if !missed.is_empty() {
                let _ = writeln!(page, "| `{mode}` | {} | {} |", from.name, missed.join(", "));
            }
        }
    }
    page.push_str("\n[What losses cost](#what-losses-cost) has the reasons that are known.\n");
}

/// The pairs that nothing but guessed ports connects, and that one end looks for with the birthday method.
fn guessed(page: &mut String, matrix: &Matrix) {
    page.push_str(
        "\n## What guessed ports bring, with `eager`\n\nRFC 6081 connects none of these pairs. With the birthday method, the \
         client behind the symmetric NAT opens 256 ports, and the other one looks for them with 1,024 bubbles: 98 % at once, \
         and more if the client that looks has begun, because it may look twice. The signs above count 256 guesses. The \
         target is 95 % for `port-restricted` and `symmetric` without loss. Of the four addresses of `address-symmetric`, \
         the other end knows one.\n\n| from | to |",
    );
    for loss in LOSSES {
        let _ = write!(page, " {} |", percent_lost(loss));
    }
    let _ = write!(page, "\n|---|---|{}\n", "---|".repeat(LOSSES.len()));
    let eager = NatTraversal::Eager;
    for from in KINDS {
        for to in KINDS {
            let cells = LOSSES.map(|loss| matrix.cell(from, to, eager, loss));
            let is_guessed = |cell: &Cell| cell.connected > 0 && cell.possible < 1.0;
            if cells[0].is_some_and(is_guessed) {
                let _ = write!(page, "| {} | {} |", from.name, to.name);
                for cell in cells.into_iter().flatten() {
                    let _ = write!(page, " {} % |", share(cell));
                }
                page.push('\n');
            }
        }
    }
}

/// The promised pairs that losses keep apart most often.
fn weakest(page: &mut String, matrix: &Matrix) {
    const SHOWN: usize = 5;
    let most = LOSSES[LOSSES.len() - 1];
    let _ = write!(
        page,
        "\n## What losses cost\n\nThe promised pairs that meet least at {}:\n\n\
         | setting | from | to | runs that meet |\n|---|---|---|---|\n",
        percent_lost(most)
    );
    for mode in MODES {
        let cells = matrix.cells.iter();
        let promised =
            |cell: &&Cell| cell.promised && cell.mode == mode.name() && cell.loss == most;
        let mut cells: Vec<&Cell> = cells.filter(promised).collect();
        cells.sort_by_key(|cell| cell.connected);
        for cell in cells.into_iter().take(SHOWN) {
            let (from, to) = (&cell.from, &cell.to);
            let _ = writeln!(page, "| `{mode}` | {from} | {to} | {} % |", share(cell));
        }
    }
}

fn table(page: &mut String, matrix: &Matrix, mode: NatTraversal, loss: f64) {
    page.push_str("| from \\ to |");
    for kind in KINDS {
        let _ = write!(page, " {} |", kind.name);
    }
    page.push_str("\n|---|");
    page.push_str(&"---|".repeat(KINDS.len()));
    page.push('\n');
    for from in KINDS {
        let _ = write!(page, "| {} |", from.name);
        for to in KINDS {
            let _ = write!(page, " {} |", entry(matrix, from, to, mode, loss));
        }
        page.push('\n');
    }
}

fn entry(matrix: &Matrix, from: &Kind, to: &Kind, mode: NatTraversal, loss: f64) -> String {
    let Some(cell) = matrix.cell(from, to, mode, loss) else {
        return String::new();
    };
    let share = share(cell);
    if cell.promised {
        return format!("**{share}**");
    }
    match (cell.connected, cell.possible) {
        (1.., _) => share,
        (0, 0.0) => String::from("–"),
        (0, 1.0) => String::from("*(all)*"),
        (0, ..0.01) => String::from("*(<1 %)*"),
        (0, odds) => format!("*({:.0} %)*", odds * 100.0),
    }
}

/// The runs that meet, per cent, without a rounded 100 or 0.
fn share(cell: &Cell) -> String {
    let percent = 100.0 * cell.connected as f64 / cell.seeds.max(1) as f64;
    if percent.fract() == 0.0 {
        format!("{percent:.0}")
    } else {
        format!("{percent:.1}")
    }
}
