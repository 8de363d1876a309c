//! `docs/nat-delay.md`.

use std::fmt::Write as _;

use crate::event::Event;
use crate::table::{Cell, DELAYS_MS, LOSSES, Quantiles, Table};

const HEAD: &str = "\
# How long it takes until two programs talk

Written by `cargo xtask sim delay`; the tests compare it. The program's state machines run on the simulated internet of
`dev/sim`. Every two sites are one delay apart, clients are behind port-restricted NATs, and the link of each NAT loses
its share of the datagrams in each direction. A program asks once a second, as `ping` does, and the time ends with the
first answer; that of a start ends when the client has an address. Native hosts are 10 ms from servers and relays, at
every delay. [nat-delay.json](nat-delay.json) has every cell.

*A cold start* is a client's first one. *A warm start* is one from the same service port soon after: the client serves at
once with the address of before, and meanwhile asks its server whether that is still right.

*The bound* is what the way of the datagrams permits, without losses. *RFC 4380* and *miredo* are models of their timers
(`dev/delay/src/model.rs`), not the programs: they have none of a program's work, queues and mistakes, and so are rather
too fast. All times are in milliseconds; – means more than a minute.

![The delays, beside the bound and the models](nat-delay.svg)
";

const WAY: &str = "
What stands in the way of the targets that are missed, and what `nat_traversal = \"eager\"` does about it:

- *Client to client* takes five delays, and the bound is three. The program keeps data until the peer's bubble has come
  back, as RFC 4380 (§5.2.4) has it. An eager client sends the first packet again after half a round trip to the server and
  an eighth of that, so it arrives as the peer's NAT opens: three delays and an eighth of one.
- *Client to native host* takes seven delays and 40 ms, and the bound is four and 20 ms: the test of §5.2.9 comes first,
  and data waits. The 20 ms are the way between server or relay and native host, there and back; the test needs them, too.
  An eager client tests as well, since data sent before would show the relay nothing.
- *Native host to client* takes seven delays and 40 ms, and the bound is five and 20 ms: the client tests the host (§5.2.9)
  before its answer leaves. What a stranger provokes is the same if the client is eager.
- *Losses*: a lost bubble or test is repeated after 2 s (§5.2.6), and a lost solicitation after 4 s (§5.2.1), however
  short the way is. An eager client repeats them by the measured round trip. What is left is not the client's: the
  program's own period of 1 s decides p99, since data that is lost comes again only with the next question, and with a
  native host it is the relay's bubble, which the relay repeats after 2 s.
- *A cold start* with losses takes longer than miredo's: the program waits for the answers of both addresses of its server,
  since only both reveal a symmetric NAT, and miredo asks one. An eager client repeats after 70 ms, with doubled pauses. At
  300 ms the bound alone is more than a tenth of miredo's time.
- *A dead server* is given up after three solicitations 4 s apart (§5.2.5 leaves their number and pace open), and by an
  eager client after three round trips and 40 ms, if another server has answered meanwhile.
";

/// The document of a table.
pub fn page(table: &Table) -> String {
    let mut page = String::from(HEAD);
    verdict(&mut page, table);
    page.push_str(WAY);
    for event in Event::ALL {
        delays(&mut page, table, event);
    }
    recovery(&mut page, table);
    keepalive(&mut page, table);
    page
}

/// How many cells reach the targets.
fn verdict(page: &mut String, table: &Table) {
    page.push_str("\n## The targets\n\n");
    page.push_str(
        "The numbers of delays that reach them, of {ALL}: p50 without loss at most 1.05 times the bound, and p99 at 5 % loss at\n\
         most a tenth of miredo's, by the setting `nat_traversal`.\n\n\
         | event | p50, rfc6081 | p50, eager | p99, rfc6081 | p99, eager |\n|---|---|---|---|---|\n"
            .replace("{ALL}", &DELAYS_MS.len().to_string())
            .as_str(),
    );
    for event in Event::ALL {
        let cells = |loss: f64| {
            let delays = DELAYS_MS.into_iter();
            delays.filter_map(move |delay| table.cell(event, delay, loss))
        };
        let near = |of: fn(&Cell) -> Quantiles| {
            let is_near = |cell: &&Cell| {
                let time = of(cell).p50_ms;
                time.is_some_and(|time| time <= cell.bound_ms * 1.05)
            };
            cells(0.0).filter(is_near).count()
        };
        let fast = |of: fn(&Cell) -> Quantiles| {
            let is_fast =
                |cell: &&Cell| share_of_miredo(cell, of).is_some_and(|share| share <= 0.1);
            cells(0.05).filter(is_fast).count()
        };
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            event.name(),
            near(usual),
            near(eager),
            fast(usual),
            fast(eager),
        );
    }
}

fn usual(cell: &Cell) -> Quantiles {
    cell.teredo
}

fn eager(cell: &Cell) -> Quantiles {
    cell.eager
}

/// The program's p99 as a part of miredo's; one that does not succeed has no end.
fn share_of_miredo(cell: &Cell, of: fn(&Cell) -> Quantiles) -> Option<f64> {
    match (of(cell).p99_ms, cell.miredo.p99_ms) {
        (Some(_), None) => Some(0.0),
        (Some(ours), Some(theirs)) => Some(ours / theirs),
        (None, _) => None,
    }
}

fn delays(page: &mut String, table: &Table, event: Event) {
    let _ = write!(page, "\n## {}\n\n", capitalised(event.name()));
    page.push_str("| delay | bound | p50, no loss |");
    for loss in &LOSSES[1..] {
        let _ = write!(page, " p99, {} % |", loss * 100.0);
    }
    page.push_str(
        " eager: p50, no loss | p99, 5 % | RFC 4380: p50, no loss | p99, 5 % | miredo: p50, no loss | p99, 5 % |\n|---|---|---|",
    );
    page.push_str(&"---|".repeat(LOSSES.len() - 1 + 6));
    page.push('\n');
    for delay in DELAYS_MS {
        let cell = |loss| table.cell(event, delay, loss);
        let (Some(none), Some(some)) = (cell(0.0), cell(0.05)) else {
            continue;
        };
        let _ = write!(
            page,
            "| {delay} | {} | **{}** |",
            shown(Some(none.bound_ms)),
            shown(none.teredo.p50_ms)
        );
        for loss in &LOSSES[1..] {
            let time = cell(*loss).and_then(|cell| cell.teredo.p99_ms);
            let _ = write!(page, " {} |", shown(time));
        }
        let _ = write!(
            page,
            " **{}** | {} |",
            shown(none.eager.p50_ms),
            shown(some.eager.p99_ms)
        );
        for time in [
            none.rfc4380.p50_ms,
            some.rfc4380.p99_ms,
            none.miredo.p50_ms,
            some.miredo.p99_ms,
        ] {
            let _ = write!(page, " {} |", shown(time));
        }
        page.push('\n');
    }
}

fn recovery(page: &mut String, table: &Table) {
    page.push_str(
        "\n## After a rebinding, and after the death of a server\n\n\
         From the moment at which it can be noticed: a rebinding when the next solicitation leaves, a dead server when the\n\
         answer to it is overdue. The target is two round trips and 50 ms.\n\n\
         | after | delay | target | took | eager | miredo |\n|---|---|---|---|---|---|\n",
    );
    for entry in &table.recovery {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | **{}** | {} |",
            entry.after,
            entry.delay_ms,
            shown(Some(entry.target_ms)),
            shown(Some(entry.took_ms)),
            shown(Some(entry.eager_ms)),
            shown(entry.miredo_ms)
        );
    }
}

fn keepalive(page: &mut String, table: &Table) {
    let target = table.keepalive.first().map_or(0, |fixed| fixed.bytes / 2);
    let _ = write!(
        page,
        "\n## The bytes of an idle client\n\n\
         IPv4 packets that a client sends and receives in an hour, behind a NAT that keeps a mapping for 180 s and\n\
         hairpins. The first row is calculated from the datagrams of the second. The target is half of it, {target} bytes, with\n\
         a learned interval.\n\n\
         - *The program's default* is `refresh_interval = 8`. It takes most bytes: it keeps the mappings of NATs that forget\n  \
         early, and notices a rebinding or a dead server within 8 s.\n\
         - *The learned interval* needs `determine_refresh = true`, which is off by default. It is found with bubbles of the\n  \
         client's own service port (§5.2.7). A NAT that filters by address and port lets none in, and a symmetric one neither.\n  \
         There, the client's server passes them on, which the RFC does not offer. The search takes some hours, so the first\n  \
         one can be above the target.\n\n\
         | refresh | interval in force | bytes an hour | in the first hour |\n|---|---|---|---|\n",
    );
    for entry in &table.keepalive {
        let _ = writeln!(
            page,
            "| {} | {} s | **{}** | {} |",
            entry.interval, entry.seconds, entry.bytes, entry.first_hour_bytes
        );
    }
}

fn shown(time: Option<f64>) -> String {
    match time {
        None => String::from("–"),
        Some(time) if time < 10.0 => format!("{time:.1}"),
        Some(time) => format!("{time:.0}"),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
