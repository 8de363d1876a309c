//! Lines in a picture: SVG, which any browser shows.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::row::short;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const COLOURS: [&str; 4] = ["#1b6ca8", "#c44e52", "#55a868", "#8172b2"];
const STEPS: u32 = 5;

/// One line.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A picture; its horizontal axis is logarithmic, its vertical one begins at 0.
pub(crate) struct Plot<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    pub(crate) series: &'a [Series],
}

impl Plot<'_> {
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.svg()).with_context(|| format!("cannot write {}", path.display()))
    }

    fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let mut xs: Vec<f64> = points().map(|point| point.0).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        let (least, most) = (
            xs.first().copied().unwrap_or(1.0),
            xs.last().copied().unwrap_or(1.0),
        );
        let top = points().map(|point| point.1).fold(0.0, f64::max).max(1.0) * 1.1;
        let across = |x: f64| {
            let share = (x / least).ln() / (most / least).ln().max(f64::MIN_POSITIVE);
            LEFT + share * (WIDTH - LEFT - RIGHT)
        };
        let down = |y: f64| HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM);
        let mut svg = String::new();
        let mut line = |text: std::fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            let _ = writeln!(svg, "{text}");
        };
        line(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
        ));
        line(format_args!(
            "<text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{}: {}</text>",
            self.y, self.title
        ));
        for step in 0..=STEPS {
            let value = top * f64::from(step) / f64::from(STEPS);
            let y = down(value);
            line(format_args!(
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                short(value)
            ));
        }
        for x in xs {
            line(format_args!(
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                across(x),
                HEIGHT - BOTTOM + 18.0,
                short(x)
            ));
        }
        line(format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            WIDTH / 2.0,
            HEIGHT - 10.0,
            self.x
        ));
        for ((number, series), colour) in self.series.iter().enumerate().zip(COLOURS) {
            let path: Vec<String> = series
                .points
                .iter()
                .map(|(x, y)| format!("{:.1},{:.1}", across(*x), down(*y)))
                .collect();
            line(format_args!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.join(" ")
            ));
            line(format_args!(
                "<text x=\"{}\" y=\"{}\" fill=\"{colour}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                TOP + 14.0 * (number as f64 + 1.0),
                series.name
            ));
        }
        line(format_args!("</svg>"));
        svg
    }
}

#[cfg(test)]
mod tests;
