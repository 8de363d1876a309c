//! `docs/nat-matrix.svg`: the matrix as a heat map, a panel for each setting.

use std::fmt::Write as _;

use teredo::client::NatTraversal;

use crate::kind::KINDS;
use crate::matrix::{Cell, LOSSES, MODES, Matrix};
use crate::page::percent_lost;

const SQUARE: f64 = 34.0;
const LEFT: f64 = 150.0;
const TOP: f64 = 196.0;
const GAP: f64 = 24.0;
const INK: &str = "#22303c";
const FAINT: &str = "#6b7a87";
const BROKEN: &str = "#c22f3d";

/// The heat map: each square has a quarter for each loss.
pub fn picture(matrix: &Matrix) -> String {
    let side = SQUARE * KINDS.len() as f64;
    let width = LEFT + MODES.len() as f64 * (side + GAP) + 72.0;
    let height = TOP + side + 78.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" font-family=\"'DejaVu Sans', 'Helvetica Neue', Arial, sans-serif\" font-size=\"11\" \
         fill=\"{INK}\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"20\" y=\"30\" font-size=\"16\" font-weight=\"bold\">Which NATs meet</text>\n\
         <text x=\"20\" y=\"49\" fill=\"{FAINT}\">rows: the NAT of the client that speaks first; columns: the NAT of \
         the other. The darker, the more runs connect.</text>\n"
    );
    for (number, mode) in MODES.into_iter().enumerate() {
        panel(
            &mut svg,
            matrix,
            mode,
            LEFT + number as f64 * (side + GAP),
            number == 0,
        );
    }
    legend(&mut svg, TOP + side + 24.0);
    svg += "</svg>\n";
    svg
}

fn panel(svg: &mut String, matrix: &Matrix, mode: NatTraversal, left: f64, named: bool) {
    let _ = writeln!(
        svg,
        "<text x=\"{left:.0}\" y=\"78\" font-size=\"13\" font-weight=\"bold\">{mode}</text>"
    );
    for (row, from) in KINDS.iter().enumerate() {
        let y = TOP + row as f64 * SQUARE;
        if named {
            let _ = writeln!(
                svg,
                "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + SQUARE / 2.0 + 4.0,
                from.name
            );
        }
        for (column, to) in KINDS.iter().enumerate() {
            let x = left + column as f64 * SQUARE;
            if row == 0 {
                let (x, y) = (x + SQUARE / 2.0 + 4.0, TOP - 8.0);
                let _ = writeln!(
                    svg,
                    "<text x=\"{x:.0}\" y=\"{y:.0}\" transform=\"rotate(-55 {x:.0} {y:.0})\">{}</text>",
                    to.name
                );
            }
            let cells = LOSSES.map(|loss| matrix.cell(from, to, mode, loss));
            square(svg, cells, x, y);
        }
    }
}

/// A pair of NATs: a quarter for each loss, row by row, the promise, and whether there is a path.
fn square(svg: &mut String, cells: [Option<&Cell>; 4], x: f64, y: f64) {
    const INNER: f64 = SQUARE - 4.0;
    let (x, y) = (x + 2.0, y + 2.0);
    for (quarter, cell) in cells.iter().enumerate() {
        let half = INNER / 2.0;
        let (dx, dy) = ((quarter % 2) as f64 * half, (quarter / 2) as f64 * half);
        let share = cell.map_or(0.0, |cell| cell.connected as f64 / cell.seeds.max(1) as f64);
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{half}\" height=\"{half}\" fill=\"{}\"/>",
            x + dx,
            y + dy,
            shade(share)
        );
    }
    let Some(cell) = cells[0] else { return };
    let title = format!(
        "{} to {}: {} of {} without loss",
        cell.from, cell.to, cell.connected, cell.seeds
    );
    let (colour, thick) = match (cell.promised, cell.connected == cell.seeds) {
        (true, true) => (INK, 1.4),
        (true, false) => (BROKEN, 2.2),
        (false, _) => ("#d5dce2", 0.8),
    };
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{INNER}\" height=\"{INNER}\" fill=\"none\" stroke=\"{colour}\" \
         stroke-width=\"{thick}\"><title>{title}</title></rect>"
    );
    if cell.connected == 0 && cell.possible > 0.0 {
        let fill = if cell.possible == 1.0 { FAINT } else { "none" };
        let centre = INNER / 2.0;
        let _ = writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{fill}\" stroke=\"{FAINT}\"/>",
            x + centre,
            y + centre
        );
    }
}

/// From nearly white to teal.
fn shade(share: f64) -> String {
    let mix = |from: f64, to: f64| (from + (to - from) * share.clamp(0.0, 1.0)).round() as u8;
    format!(
        "#{:02x}{:02x}{:02x}",
        mix(246.0, 47.0),
        mix(248.0, 127.0),
        mix(249.0, 134.0)
    )
}

fn legend(svg: &mut String, y: f64) {
    let [first, second, third, fourth] = LOSSES.map(percent_lost);
    let _ = writeln!(
        svg,
        "<text x=\"20\" y=\"{y:.0}\" fill=\"{FAINT}\">quarters of a square: {first} (top left), {second} (top \
         right), {third} (bottom left), {fourth} (bottom right)</text>"
    );
    let _ = writeln!(
        svg,
        "<text x=\"20\" y=\"{:.0}\" fill=\"{FAINT}\">dark frame: promised by figure 1 of RFC 6081 with this setting; red \
         frame: promised, and not kept without loss</text>",
        y + 18.0
    );
    let _ = writeln!(
        svg,
        "<text x=\"20\" y=\"{:.0}\" fill=\"{FAINT}\">full dot: no run connects without loss, though some \
         sequence of datagrams would; ring: only by guessing ports; empty: no path</text>",
        y + 36.0
    );
}
