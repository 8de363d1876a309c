//! Throughput as lines with marks and intervals, in SVG.

use std::path::Path;

use anyhow::{Context as _, Result};
use plotters::prelude::*;

use super::estimate::Estimate;
use super::row::short;

const SIZE: (u32, u32) = (640, 400);
const COLOURS: [RGBColor; 3] = [
    RGBColor(27, 108, 168),
    RGBColor(85, 155, 90),
    RGBColor(196, 78, 82),
];
const FONT: &str = "sans-serif";
const GRID: RGBColor = RGBColor(221, 221, 221);

/// One line.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, Estimate)>,
}

/// A plot with a logarithmic horizontal axis and a vertical axis that begins at 0.
pub(crate) struct Plot<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    /// The horizontal axis has a tick at each power of it.
    pub(crate) base: f64,
    pub(crate) series: &'a [Series],
}

impl Plot<'_> {
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let svg = self.svg().context("cannot draw a plot")?;
        std::fs::write(path, svg).with_context(|| format!("cannot write {}", path.display()))
    }

    fn svg(&self) -> Result<String> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let least = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
        let most = points().map(|point| point.0).fold(0.0, f64::max);
        let top = points().map(|point| point.1.high).fold(0.0, f64::max);
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let across = (least / 1.1..most * 1.1).log_scale().base(self.base);
        let mut chart = ChartBuilder::on(&area)
            .caption(format!("{}: {}", self.y, self.title), (FONT, 16))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(52)
            .build_cartesian_2d(across, 0.0..top * 1.1)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style((FONT, 12))
            .axis_desc_style((FONT, 13))
            .x_desc(self.x)
            .x_label_formatter(&|x| short(*x))
            .y_label_formatter(&|y| short(*y))
            .y_labels(6)
            .draw()?;
        for (series, colour) in self.series.iter().zip(COLOURS) {
            let medians = series.points.iter().map(|(x, rate)| (*x, rate.median));
            chart
                .draw_series(LineSeries::new(medians, colour.stroke_width(2)))?
                .label(series.name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2))
                });
            chart.draw_series(series.points.iter().map(|(x, rate)| {
                ErrorBar::new_vertical(*x, rate.low, rate.median, rate.high, colour.filled(), 8)
            }))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .label_font((FONT, 12))
            .border_style(GRID)
            .background_style(WHITE)
            .draw()?;
        area.present()?;
        drop(chart);
        drop(area);
        Ok(svg)
    }
}

#[cfg(test)]
mod tests;
