//! `docs/nat-delay.svg`: a panel for each event, with the time over the delay, both logarithmic.

use anyhow::Result;
use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;

use crate::event::Event;
use crate::table::{Cell, DELAYS_MS, Table};

const SIZE: (u32, u32) = (900, 710);
const FONT: &str = "sans-serif";
const GRID: RGBColor = RGBColor(226, 231, 235);
const INK: RGBColor = RGBColor(34, 48, 60);
/// The times that are shown, in milliseconds.
const TIMES: std::ops::Range<f64> = 1.0..30_000.0;

/// The length of a dash, and of a gap.
const DASH: u32 = 6;

/// A line of every panel.
struct Line {
    name: &'static str,
    colour: RGBColor,
    width: u32,
    /// Another line may be below it.
    dashed: bool,
    loss: f64,
    value: fn(&Cell) -> Option<f64>,
}

const LINES: [Line; 7] = [
    Line {
        name: "miredo's timers, p99 at 5 % loss",
        colour: RGBColor(194, 47, 61),
        width: 2,
        dashed: false,
        loss: 0.05,
        value: |cell| cell.miredo.p99_ms,
    },
    Line {
        name: "RFC 4380's timers, p99 at 5 % loss",
        colour: RGBColor(224, 145, 58),
        width: 2,
        dashed: false,
        loss: 0.05,
        value: |cell| cell.rfc4380.p99_ms,
    },
    Line {
        name: "teredo, p99 at 5 % loss",
        colour: RGBColor(47, 127, 134),
        width: 2,
        dashed: true,
        loss: 0.05,
        value: |cell| cell.teredo.p99_ms,
    },
    Line {
        name: "teredo, p50 without loss",
        colour: RGBColor(47, 127, 134),
        width: 4,
        dashed: false,
        loss: 0.0,
        value: |cell| cell.teredo.p50_ms,
    },
    Line {
        name: "eager, p99 at 5 % loss",
        colour: RGBColor(112, 72, 152),
        width: 2,
        dashed: true,
        loss: 0.05,
        value: |cell| cell.eager.p99_ms,
    },
    Line {
        name: "eager, p50 without loss",
        colour: RGBColor(112, 72, 152),
        width: 2,
        dashed: false,
        loss: 0.0,
        value: |cell| cell.eager.p50_ms,
    },
    Line {
        name: "the bound",
        colour: RGBColor(34, 48, 60),
        width: 2,
        dashed: true,
        loss: 0.0,
        value: |cell| Some(cell.bound_ms),
    },
];

/// A warm start takes no time, which a logarithmic axis does not have.
const PANELS: [Event; 4] = [
    Event::Cold,
    Event::ClientToClient,
    Event::ClientToNative,
    Event::NativeToClient,
];

/// The picture of a table.
///
/// # Errors
///
/// If it cannot be drawn, which is not known to happen.
pub fn picture(table: &Table) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (legend, panels) = area.split_vertically(66);
        draw_legend(&legend)?;
        for (event, panel) in PANELS.into_iter().zip(panels.split_evenly((2, 2))) {
            draw_panel(table, event, &panel)?;
        }
        area.present()?;
    }
    svg.push('\n');
    Ok(svg)
}

fn draw_legend(area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<()> {
    for (number, line) in LINES.iter().enumerate() {
        let (x, y) = (
            24 + (number % 3) as i32 * 290,
            16 + (number / 3) as i32 * 20,
        );
        let style = line.colour.stroke_width(line.width);
        let points = [(x, y), (x + 28, y)];
        if line.dashed {
            area.draw(&DashedPathElement::new(points, DASH, DASH, style))?;
        } else {
            area.draw(&PathElement::new(points, style))?;
        }
        let text = (FONT, 13).into_font().color(&INK);
        area.draw(&Text::new(line.name, (x + 36, y - 7), text))?;
    }
    Ok(())
}

fn draw_panel(
    table: &Table,
    event: Event,
    area: &DrawingArea<SVGBackend<'_>, Shift>,
) -> Result<()> {
    let mut chart = ChartBuilder::on(area)
        .caption(event.name(), (FONT, 16).into_font().color(&INK))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d((0.9..340.0_f64).log_scale(), TIMES.log_scale())?;
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .label_style((FONT, 12))
        .axis_desc_style((FONT, 13))
        .x_desc("one way, ms")
        .y_desc("until the answer, ms")
        .x_label_formatter(&|x| format!("{x}"))
        .y_label_formatter(&|y| format!("{y}"))
        .draw()?;
    for line in &LINES {
        let points = DELAYS_MS.into_iter().filter_map(|delay| {
            let value = (line.value)(table.cell(event, delay, line.loss)?)?;
            Some((delay as f64, value))
        });
        let style = line.colour.stroke_width(line.width);
        if line.dashed {
            chart.draw_series(DashedLineSeries::new(points, DASH, DASH, style))?;
        } else {
            chart.draw_series(LineSeries::new(points, style))?;
        }
    }
    Ok(())
}
