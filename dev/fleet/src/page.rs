//! The table, and the picture of memory and time by number of hosts.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use plotters::prelude::*;

use crate::rebind::Times;
use crate::scale::Round;

const SIZE: (u32, u32) = (760, 320);

const INTRODUCTION: &str = "# A fleet by the number of its hosts

`cargo build --release -p teredo-cli -p teredo-fleet-load`, then `target/release/teredo-fleet-load --out docs`, writes this page,
as root.

Three servers of NATS (Debian's package), one perimeter with its set of nftables, and a process that writes the entries of all
hosts over eight connections share one machine, without TLS. All hosts join at once, renew every 5 s of a lease of 15 s for half
a minute, while 1 % a minute move to another port; then all stop at once, and come back at once.

";

const CLOSE: &str = "
![Seconds until the set is right, and memory, by the number of hosts](fleet.svg)

- *an entry, until two of three servers have it*: the bucket alone. A host waits for the confirmation before it uses a new port.
- *open at the fewest*: the smallest share of all ports in the set, of a look every 5 s.
- *perimeter*, *three servers*: shares of one core while the hosts renew.
- *an element*: the growth of the kernel's slabs; with few hosts it is smaller than what else changes there.
";

/// Prints the tables, and writes them and the picture to a folder.
pub(crate) fn print(rounds: &[Round], times: &Times, out: Option<&Path>) -> Result<()> {
    let text = tables(rounds, times);
    println!("{text}");
    if let Some(folder) = out {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        write("fleet.md", &format!("{INTRODUCTION}{text}{CLOSE}"))?;
        write("fleet.svg", &picture(rounds)?)?;
    }
    Ok(())
}

fn tables(rounds: &[Round], times: &Times) -> String {
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    let megabytes = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
    let mut text = String::from(
        "| hosts | all join | renewals in time | open at the fewest | perimeter | three servers | power cut: closed | all \
         back | memory of the perimeter | of a server | of an element |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for round in rounds {
        // Writing to a text does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} % | {:.1} % | {:.0} % | {:.0} % | {} | {} | {} | {} | {:.0} B |",
            round.hosts,
            seconds(round.joined),
            round.renewed * 100.0,
            round.fewest * 100.0,
            round.perimeter_load * 100.0,
            round.servers_load * 100.0,
            seconds(round.emptied),
            seconds(round.rejoined),
            megabytes(round.perimeter_memory),
            megabytes(round.server_memory),
            round.element_memory,
        );
    }
    let _ = writeln!(
        text,
        "\n| | p50 | p99 | ratio p50 | p99 |\n|---|--:|--:|--:|--:|"
    );
    let quantiles = |sorted: &[Duration]| {
        [0.5, 0.99].map(|quantile| Times::quantile(sorted, quantile).as_secs_f64())
    };
    let bare = quantiles(&times.bare);
    let rows = [
        ("a bare message from client to client", &times.bare),
        (
            "an entry, until two of three servers have it",
            &times.written,
        ),
        ("a rebind, to the live rule at the perimeter", &times.live),
        (
            "a rebind, to the perimeter's confirmation",
            &times.confirmed,
        ),
    ];
    for (name, sorted) in rows {
        let [p50, p99] = quantiles(sorted);
        let _ = writeln!(
            text,
            "| {name} | {:.2} ms | {:.2} ms | {:.1}x | {:.1}x |",
            p50 * 1e3,
            p99 * 1e3,
            p50 / bare[0],
            p99 / bare[1],
        );
    }
    text
}

fn picture(rounds: &[Round]) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (left, right) = area.split_horizontally(SIZE.0 / 2);
        let of = |value: fn(&Round) -> f64| {
            rounds
                .iter()
                .map(|round| (f64::from(round.hosts), value(round)))
                .collect()
        };
        draw(
            &left,
            "seconds until the set is right",
            &[
                ("all join at once", of(|round| round.joined.as_secs_f64())),
                (
                    "after a power cut",
                    of(|round| round.rejoined.as_secs_f64()),
                ),
            ],
        )?;
        draw(
            &right,
            "memory in MB",
            &[
                ("perimeter", of(|round| round.perimeter_memory as f64 / 1e6)),
                ("a server", of(|round| round.server_memory as f64 / 1e6)),
                (
                    "elements in the kernel",
                    of(|round| round.element_memory * f64::from(round.hosts) / 1e6),
                ),
            ],
        )?;
        area.present()?;
    }
    Ok(svg)
}

type Points = Vec<(f64, f64)>;

fn draw(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    title: &str,
    lines: &[(&str, Points)],
) -> Result<()> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let right = points().map(|point| point.0).fold(1.0, f64::max);
    let top = points().map(|point| point.1).fold(1.0, f64::max) * 1.3;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 15))
        .margin(12)
        .margin_right(30)
        .x_label_area_size(34)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc("hosts")
        .x_labels(5)
        .y_labels(6)
        .x_label_formatter(&|hosts| format!("{hosts:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    for (index, (name, points)) in lines.iter().enumerate() {
        let colour = Palette99::pick(index).to_rgba();
        chart
            .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)).point_size(3))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .border_style(WHITE)
        .draw()?;
    Ok(())
}
