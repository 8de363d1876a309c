//! The table: what was measured, beside whom, and what was promised.

use std::fmt::Write as _;

use serde::Serialize;

use super::estimate::{Estimate, median};

/// What a ratio of ours to the rival's has to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// Shown, and promised nothing about.
    None,
}

impl Target {
    fn met(self, ratio: f64) -> Option<bool> {
        match self {
            Self::AtLeast(bound) => Some(ratio >= bound),
            Self::AtMost(bound) => Some(ratio <= bound),
            Self::None => None,
        }
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
    measure: String,
    unit: &'static str,
    ours: f64,
    rival: String,
    theirs: f64,
    /// Ours over the rival's, pair by pair.
    ratio: Estimate,
    target: Target,
    met: Option<bool>,
    pairs: usize,
}

impl Row {
    /// From pairs that were measured one right after the other. None of no pairs.
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
            measure: measure.into(),
            unit,
            ours: median(ours)?,
            rival: rival.into(),
            theirs: median(theirs)?,
            ratio,
            target,
            met: target.met(ratio.median),
            pairs: ratios.len(),
        })
    }
}

/// The table, with a line for what could not be measured.
pub(crate) fn table(rows: &[Row], missing: &[(String, String)]) -> String {
    let header = [
        "measure", "ours", "rival", "theirs", "ratio", "95 %", "target", "",
    ];
    let mut lines = vec![header.map(str::to_owned)];
    for row in rows {
        let verdict = match row.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        lines.push([
            format!("{} [{}]", row.measure, row.unit),
            short(row.ours),
            row.rival.clone(),
            short(row.theirs),
            format!("{}x", short(row.ratio.median)),
            format!("{}..{}", short(row.ratio.low), short(row.ratio.high)),
            row.target.text(),
            verdict.to_owned(),
        ]);
    }
    let widths: [usize; 8] = std::array::from_fn(|column| {
        let width = |line: &[String; 8]| line[column].chars().count();
        lines.iter().map(width).max().unwrap_or_default()
    });
    let mut text = String::new();
    for line in &lines {
        let mut padded = String::new();
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            // Writing to a string does not fail.
            let _ = match column {
                0 | 2 | 7 => write!(padded, "{cell:<width$}  "),
                _ => write!(padded, "{cell:>width$}  "),
            };
        }
        text.push_str(padded.trim_end());
        text.push('\n');
    }
    for (measure, reason) in missing {
        let _ = writeln!(text, "not measured: {measure}: {reason}");
    }
    text
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
