//! The ladder as an SVG picture.

mod places;

use std::fmt::Write as _;

use super::text::span;
use super::{Arrow, Column, Ladder, Row, Tone, shortened};
use crate::kind::Kind;
use places::{Label, Places, Reason, smaller};

/// The room for findings on the right.
const RIGHT: usize = 340;
/// The same if there are none.
const MARGIN: usize = 110;
/// Where the rows begin, below the heads of the columns.
const TOP: usize = 104;
/// The height of a row.
const ROW: usize = 34;
/// The height and the width that programs can draw: 2^15 - 1 pixels (cairo).
const LARGEST: usize = 32_767;
/// The rows that fit.
const MOST_ROWS: usize = (LARGEST - TOP - 40) / ROW;

impl Ladder {
    /// The ladder as an SVG document: one file, without scripts, fonts or links.
    pub fn svg(&self) -> String {
        let has_findings = self
            .rows
            .iter()
            .any(|row| matches!(row, Row::Arrow(arrow) if arrow.tone != Tone::Plain));
        let rows = self.rows.get(..MOST_ROWS).unwrap_or(&self.rows);
        let hidden = self.rows.iter().skip(MOST_ROWS).map(|row| match row {
            Row::Arrow(arrow) => arrow.count,
            Row::Gap(_) => 0,
        });
        let left_out = self.left_out + hidden.sum::<usize>();
        let right = if has_findings { RIGHT } else { MARGIN };
        let places = Places::new(&self.columns, rows);
        let width = places.last() + right;
        // A long label or a reason at the right needs room of its own.
        let labels = rows.iter().filter_map(|row| match row {
            Row::Arrow(arrow) => {
                let label = Label::of(arrow, &places).end();
                Some(Reason::of(arrow, &places).map_or(label, |reason| label.max(reason.end())))
            }
            Row::Gap(_) => None,
        });
        let width = labels.fold(width, usize::max);
        let bottom = TOP + ROW * rows.len() + 10;
        let height = bottom + 30;
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             role=\"img\" font-family=\"system-ui, 'DejaVu Sans', sans-serif\" font-size=\"12\">\n\
             <title>Teredo: {} rows between {} columns</title>\n{STYLE}\
             <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n",
            rows.len(),
            self.columns.len()
        );
        for (at, column) in self.columns.iter().enumerate() {
            head(&mut out, column, places.of(at), places.half(at), bottom);
        }
        for (at, row) in rows.iter().enumerate() {
            let y = TOP + ROW * at + ROW / 2;
            match row {
                Row::Gap(pause) => gap(&mut out, &places, y, &span(*pause)),
                Row::Arrow(one) => arrow(&mut out, one, &places, y),
            }
        }
        if left_out > 0 {
            let _ = writeln!(
                out,
                "<text class=\"quiet\" x=\"14\" y=\"{}\">{} packets more</text>",
                bottom + 16,
                left_out
            );
        }
        out.push_str("</svg>\n");
        out
    }
}

const STYLE: &str = "<style>
.paper { fill: #ffffff; }
.box { fill: #f4f6f8; stroke: #8a97a6; }
.nat { fill: #fbf3e4; stroke: #b08a3c; stroke-dasharray: 4 3; }
.life { stroke: #c3ccd6; }
.wall { stroke: #cfae6b; stroke-dasharray: 4 4; }
.name { font-weight: 600; fill: #1d2733; }
.address, .time { font-family: ui-monospace, 'DejaVu Sans Mono', monospace; font-size: 11px; fill: #55626f; }
.label { fill: #1d2733; paint-order: stroke; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round; }
.quiet { fill: #77838f; font-size: 11px; }
.line { fill: none; stroke: currentColor; stroke-width: 1.6; }
.tip { fill: currentColor; stroke: none; }
.asks { color: #1668b8; }
.bubble { color: #b3540a; }
.ping { color: #7a3e9d; }
.data { color: #2f7d4f; }
.bad { color: #c02f2f; }
.router { color: #8a6a1f; }
.gate { fill: #ffffff; stroke: currentColor; stroke-width: 1.4; }
.cross { stroke: #c02f2f; stroke-width: 2.2; fill: none; }
.why { fill: #c02f2f; font-size: 11px; paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
.note { fill: #55626f; font-size: 11px; }
.warn { fill: #95600a; font-size: 11px; }
.fail { fill: #c02f2f; font-size: 11px; font-weight: 600; }
.pause { fill: #f4f6f8; stroke: none; }
</style>
";

fn head(out: &mut String, column: &Column, x: usize, half: usize, bottom: usize) {
    let height = 30 + 15 * column.lines.len();
    let (shape, line) = if column.is_nat {
        ("nat", "wall")
    } else {
        ("box", "life")
    };
    let _ = writeln!(
        out,
        "<path class=\"{line}\" d=\"M{x} {} V{bottom}\"/>\n\
         <rect class=\"{shape}\" x=\"{}\" y=\"16\" width=\"{}\" height=\"{height}\" rx=\"5\"/>\n\
         <text class=\"name\" x=\"{x}\" y=\"36\" text-anchor=\"middle\"{}>{}</text>",
        16 + height,
        x - half,
        2 * half,
        smaller(&column.title, half)
            .map(|size| format!(" style=\"font-size: {size}px\""))
            .unwrap_or_default(),
        escaped(&column.title)
    );
    for (at, line) in column.lines.iter().enumerate() {
        let _ = writeln!(
            out,
            "<text class=\"address\" x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            53 + 15 * at,
            escaped(line)
        );
    }
}

fn gap(out: &mut String, places: &Places, y: usize, pause: &str) {
    let (left, right) = (places.of(0) - 90, places.last() + 90);
    let _ = writeln!(
        out,
        "<rect class=\"pause\" x=\"{left}\" y=\"{}\" width=\"{}\" height=\"18\" rx=\"9\"/>\n\
         <text class=\"quiet\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{} pass</text>",
        y - 9,
        right - left,
        usize::midpoint(left, right),
        y + 4,
        escaped(pause)
    );
}

fn arrow(out: &mut String, arrow: &Arrow, places: &Places, y: usize) {
    let line = y + 7;
    let (from, to) = (places.of(arrow.from), places.of(arrow.to));
    let stop = places.stop(arrow);
    let _ = write!(out, "<g class=\"{}\">", colour(arrow.kind));
    tool_tip(out, arrow);
    let number = arrow.n.map(|n| n.to_string()).unwrap_or_default();
    let _ = writeln!(
        out,
        "<text class=\"time\" x=\"14\" y=\"{}\">{number:>4}</text><text class=\"time\" x=\"92\" y=\"{}\" \
         text-anchor=\"end\">{:.3} s</text>",
        line + 4,
        line + 4,
        arrow.at.as_secs_f64()
    );
    if from == to {
        // Towards the middle of the picture.
        let goes_left = places.is_right(arrow.from);
        let sign = if goes_left { "-" } else { "" };
        let back = if goes_left { "" } else { "-" };
        let _ = writeln!(
            out,
            "<path class=\"line\" d=\"M{from} {} h{sign}22 v10 h{back}14\"/>{}",
            line - 5,
            tip(from, line + 5, goes_left)
        );
    } else {
        let _ = writeln!(out, "<path class=\"line\" d=\"M{from} {line} H{stop}\"/>");
        let goes_right = from < to;
        if arrow.both {
            out.push_str(&tip(from, line, !goes_right));
        }
        if arrow.crossing.is_none() {
            out.push_str(&tip(to, line, goes_right));
        }
        for &nat in &arrow.via {
            let at = places.of(nat);
            if (from.min(stop) + 1..from.max(stop)).contains(&at) {
                let _ = writeln!(
                    out,
                    "<circle class=\"gate\" cx=\"{at}\" cy=\"{line}\" r=\"3.4\"/>"
                );
            }
        }
    }
    let label = Label::of(arrow, places);
    let base = if from == to { line + 4 } else { line - 8 };
    ground(
        out,
        label.centre.saturating_sub(label.half),
        base,
        2 * label.half,
    );
    let _ = writeln!(
        out,
        "<text class=\"label\" x=\"{}\" y=\"{base}\" text-anchor=\"middle\">{}</text>",
        label.centre,
        escaped(&label.text)
    );
    if let Some(reason) = Reason::of(arrow, places) {
        ground(out, reason.left, line + 4, reason.width);
        let goes_left = to < from;
        let _ = writeln!(
            out,
            "<path class=\"cross\" d=\"M{} {} l10 10 m0 -10 l-10 10\"/>\n\
             <text class=\"why\" x=\"{}\" y=\"{}\" text-anchor=\"{}\">{}</text>",
            stop - 5,
            line - 5,
            if goes_left {
                reason.left + reason.width
            } else {
                reason.left
            },
            line + 4,
            if goes_left { "end" } else { "start" },
            escaped(&reason.text)
        );
    }
    findings(out, arrow, places.last() + 100, line);
    out.push_str("</g>\n");
}

/// The paper behind a text, over the lines of the columns.
fn ground(out: &mut String, left: usize, base: usize, width: usize) {
    let _ = writeln!(
        out,
        "<rect class=\"paper\" x=\"{left}\" y=\"{}\" width=\"{width}\" height=\"14\"/>",
        base - 11
    );
}

/// The identifiers of the findings at the right edge.
fn findings(out: &mut String, arrow: &Arrow, x: usize, line: usize) {
    let class = match arrow.tone {
        Tone::Plain => return,
        Tone::Note => "note",
        Tone::Warn => "warn",
        Tone::Fail => "fail",
    };
    let mut worst: Vec<_> = arrow.findings.iter().collect();
    worst.sort_by_key(|finding| std::cmp::Reverse(finding.grade));
    let ids: Vec<_> = worst.iter().map(|finding| finding.id).collect();
    let _ = writeln!(
        out,
        "<text class=\"{class}\" x=\"{x}\" y=\"{}\">{}</text>",
        line + 4,
        escaped(&shortened(&ids.join(", "), 40))
    );
}

/// The text that a viewer shows if the pointer rests on the row.
fn tool_tip(out: &mut String, arrow: &Arrow) {
    out.push_str("<title>");
    out.push_str(&escaped(&arrow.label));
    for finding in &arrow.findings {
        let _ = write!(out, "\n{}: {}", finding.id, escaped(&finding.text));
    }
    out.push_str("</title>");
}

fn tip(x: usize, y: usize, points_right: bool) -> String {
    let (back, up, down) = (if points_right { x - 8 } else { x + 8 }, y - 4, y + 4);
    format!("<path class=\"tip\" d=\"M{x} {y} L{back} {up} V{down} z\"/>\n")
}

const fn colour(kind: Option<Kind>) -> &'static str {
    let Some(kind) = kind else {
        return "router";
    };
    match kind {
        Kind::Solicitation | Kind::Advertisement => "asks",
        Kind::Bubble | Kind::IndirectBubble | Kind::DiscoveryBubble => "bubble",
        Kind::PingRequest | Kind::PingReply => "ping",
        Kind::Data => "data",
        Kind::Malformed => "bad",
    }
}

/// Text as XML permits it (XML 1.0 §2.2, §2.4).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push('\n'),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}
