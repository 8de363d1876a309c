//! The table: a row for each measure and rival, with its target.

use std::fmt::Write as _;

use serde::Serialize;

use super::estimate::{Estimate, median};

/// The bound of the ratio of our figure to the rival's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// The row is for information.
    None,
}

/// Whether a target was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Met,
    Missed,
    /// The conditions were not those of the measure, so the figures decide nothing.
    Unsure,
}

impl Target {
    fn verdict(self, ratio: f64) -> Option<Verdict> {
        let met = match self {
            Self::AtLeast(bound) => ratio >= bound,
            Self::AtMost(bound) => ratio <= bound,
            Self::None => return None,
        };
        Some(if met { Verdict::Met } else { Verdict::Missed })
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!(">= {}", short(bound)),
            Self::AtMost(bound) => format!("<= {}", short(bound)),
            Self::None => "-".to_owned(),
        }
    }
}

/// A line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    part: String,
    measure: String,
    unit: &'static str,
    ours: f64,
    rival: String,
    theirs: f64,
    /// Ours over the rival's, pair by pair.
    ratio: Estimate,
    target: Target,
    /// `None` if there is no target.
    verdict: Option<Verdict>,
    pairs: usize,
}

impl Row {
    /// From pairs that were measured one right after the other. `None` if there are no pairs.
    pub(crate) fn of_pairs(
        measure: impl Into<String>,
        unit: &'static str,
        rival: impl Into<String>,
        ours: &[f64],
        theirs: &[f64],
        target: Target,
    ) -> Option<Self> {
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
        let ratio = Estimate::of(&ratios)?;
        Some(Self {
            part: String::new(),
            measure: measure.into(),
            unit,
            ours: median(ours)?,
            rival: rival.into(),
            theirs: median(theirs)?,
            ratio,
            target,
            verdict: target.verdict(ratio.median),
            pairs: ratios.len(),
        })
    }

    /// Refuses a verdict: the row shows its figures as unsure.
    pub(crate) fn unsure(self) -> Self {
        Self {
            verdict: Some(Verdict::Unsure),
            ..self
        }
    }
}

const HEADER: [&str; 8] = [
    "measure", "ours", "rival", "theirs", "ratio", "95 %", "target", "",
];
/// The columns with words, which are aligned left; numbers are aligned right.
const WORDS: [usize; 3] = [0, 2, 7];

impl Row {
    fn cells(&self) -> [String; 8] {
        let verdict = match self.verdict {
            Some(Verdict::Met) => "met",
            Some(Verdict::Missed) => "MISSED",
            Some(Verdict::Unsure) => "unsure",
            None => "",
        };
        [
            format!("{} [{}]", self.measure, self.unit),
            short(self.ours),
            self.rival.clone(),
            short(self.theirs),
            format!("{}x", short(self.ratio.median)),
            if self.pairs > 1 {
                format!("{}..{}", short(self.ratio.low), short(self.ratio.high))
            } else {
                "once".to_owned()
            },
            self.target.text(),
            verdict.to_owned(),
        ]
    }
}

/// All rows, and the remarks on them.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Table {
    rows: Vec<Row>,
    unsure: Vec<(String, String)>,
    missing: Vec<(String, String)>,
    notes: Vec<String>,
    #[serde(skip)]
    part: String,
}

impl Table {
    /// Begins a part.
    pub(crate) fn begin(&mut self, part: &str) {
        part.clone_into(&mut self.part);
    }

    pub(crate) fn push(&mut self, row: Row) {
        self.rows.push(Row {
            part: self.part.clone(),
            ..row
        });
    }

    /// Says why a row is unsure.
    pub(crate) fn unsure(&mut self, measure: String, reason: String) {
        self.unsure.push((measure, reason));
    }

    pub(crate) fn missing(&mut self, measure: String, reason: String) {
        self.missing.push((measure, reason));
    }

    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// For a terminal: in columns, the parts apart.
    pub(crate) fn text(&self) -> String {
        let cells: Vec<_> = self.rows.iter().map(Row::cells).collect();
        let header = HEADER.map(str::to_owned);
        let widths: [usize; 8] = std::array::from_fn(|column| {
            let lines = cells.iter().chain([&header]);
            lines
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or_default()
        });
        let line = |cells: &[String; 8]| {
            let mut padded = String::new();
            for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
                // Writing to a string does not fail.
                let _ = if WORDS.contains(&column) {
                    write!(padded, "{cell:<width$}  ")
                } else {
                    write!(padded, "{cell:>width$}  ")
                };
            }
            format!("{}\n", padded.trim_end())
        };
        let mut text = line(&header);
        let mut part = None;
        for (row, cells) in self.rows.iter().zip(&cells) {
            if part.replace(&row.part) != Some(&row.part) {
                text.push('\n');
            }
            text.push_str(&line(cells));
        }
        text.push('\n');
        text.extend(self.remarks().map(|remark| format!("{remark}\n")));
        text
    }

    /// For a document.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String; 8]| format!("| {} |\n", cells.join(" | "));
        let rules: [&str; 8] = std::array::from_fn(|column| {
            if WORDS.contains(&column) {
                "---"
            } else {
                "--:"
            }
        });
        let mut text = line(&HEADER.map(str::to_owned));
        text.push_str(&line(&rules.map(str::to_owned)));
        for row in &self.rows {
            text.push_str(&line(&row.cells()));
        }
        text.push('\n');
        text.extend(self.remarks().map(|remark| format!("- {remark}\n")));
        text
    }

    fn remarks(&self) -> impl Iterator<Item = String> {
        let count = |verdict| {
            let targets = self.rows.iter().filter(|row| row.target != Target::None);
            targets.filter(|row| row.verdict == Some(verdict)).count()
        };
        let verdicts = format!(
            "{} targets met, {} missed, {} unsure",
            count(Verdict::Met),
            count(Verdict::Missed),
            count(Verdict::Unsure)
        );
        let unsure = self.unsure.iter();
        let unsure = unsure.map(|(measure, reason)| format!("unsure: {measure}: {reason}"));
        let missing = self.missing.iter();
        let missing = missing.map(|(measure, reason)| format!("not measured: {measure}: {reason}"));
        [verdicts]
            .into_iter()
            .chain(self.notes.iter().cloned())
            .chain(unsure)
            .chain(missing)
    }
}

/// Three digits that count, and a letter for thousands.
pub(crate) fn short(value: f64) -> String {
    let (scaled, letter) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        0.0 => 0,
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.01 => 3,
        _ => 5,
    };
    let text = format!("{scaled:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{letter}")
}

#[cfg(test)]
mod tests;
