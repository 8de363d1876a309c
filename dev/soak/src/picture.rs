//! `timeline.svg`: a lane for each kind of fault, and below them what the programs used.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::course::Outcome;
use crate::fault::Role;
use crate::journal::Breach;
use crate::observers::growth::Sample;
use crate::report::{FaultKind, Recovery};

/// Everything that is drawn.
pub(crate) struct Scene<'a> {
    pub(crate) seed: u64,
    pub(crate) length_ms: u64,
    /// Date and machine, in a few words.
    pub(crate) caption: &'a str,
    pub(crate) outcomes: &'a [Outcome],
    pub(crate) kinds: &'a [FaultKind],
    pub(crate) breaches: &'a [Breach],
    pub(crate) samples: &'a BTreeMap<Role, Vec<Sample>>,
}

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 168.0;
const RIGHT: f64 = 1012.0;
const TOP: f64 = 88.0;
const LANE: f64 = 19.0;
const BAR: f64 = 11.0;
const CURVE: f64 = 84.0;
const GAP: f64 = 34.0;
/// The narrowest bar that is seen.
const NARROWEST: f64 = 1.6;
/// The most points of a curve: more are not seen.
const POINTS: usize = 800;

const FAULT: &str = "#e0913a";
const RECOVERY: &str = "#2f7f86";
const BROKEN: &str = "#c22f3d";
const INK: &str = "#22303c";
const FAINT: &str = "#6b7a87";
const RULE: &str = "#e3e8ec";
const STRIPE: &str = "#f6f8f9";

/// A colour for each program that is neither that of a fault nor of a recovery.
const fn colour(role: Role) -> &'static str {
    match role {
        Role::Client => "#3b5bdb",
        Role::Agent => "#9c36b5",
        Role::Relay => "#2b8a3e",
        Role::Server => "#a8641c",
        Role::Peer => "#8a97a3",
    }
}

/// Draws the picture.
pub(crate) fn draw(scene: &Scene<'_>) -> String {
    let lanes = scene.kinds.len().max(1) as f64 * LANE;
    let curves = TOP + lanes + GAP;
    let height = curves + 2.0 * (CURVE + GAP) + 14.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" \
         height=\"{height:.0}\" font-family=\"'DejaVu Sans', 'Helvetica Neue', Arial, sans-serif\" font-size=\"11\" \
         fill=\"{INK}\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let mut canvas = Canvas {
        svg: &mut svg,
        length_ms: scene.length_ms.max(1) as f64,
    };
    canvas.head(scene);
    canvas.axis(TOP + lanes, curves + 2.0 * CURVE + GAP);
    for (number, kind) in scene.kinds.iter().enumerate() {
        canvas.lane(scene, kind, number);
    }
    canvas.breaches(scene.breaches, TOP + lanes);
    canvas.curves(scene.samples, "memory, MiB", curves, |sample| {
        sample.memory_kib / 1024.0
    });
    let below = curves + CURVE + GAP;
    canvas.curves(scene.samples, "descriptors", below, |sample| {
        sample.descriptors
    });
    canvas.legend(below + CURVE + 26.0);
    svg += "</svg>\n";
    svg
}

struct Canvas<'a> {
    svg: &'a mut String,
    length_ms: f64,
}

impl Canvas<'_> {
    fn x(&self, ms: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (ms / self.length_ms).clamp(0.0, 1.0)
    }

    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        // A string has room.
        let _ = self.svg.write_fmt(element);
        self.svg.push('\n');
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, colour: &str, text: &str) {
        let text = escaped(text);
        self.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>"
        ));
    }

    fn head(&mut self, scene: &Scene<'_>) {
        let (count, broken) = (scene.outcomes.len(), scene.breaches.len());
        let verdict = match broken {
            0 => String::from("no invariant broken"),
            1 => String::from("1 invariant broken"),
            many => format!("{many} invariants broken"),
        };
        let title = format!(
            "{} of bad luck: {count} episodes, {verdict}",
            time(scene.length_ms)
        );
        let (title, colour) = (escaped(&title), if broken == 0 { INK } else { BROKEN });
        self.put(format_args!(
            "<text x=\"24\" y=\"34\" font-size=\"19\" font-weight=\"bold\" fill=\"{colour}\">{title}</text>"
        ));
        let caption = format!("seed {}; {}", scene.seed, scene.caption);
        self.text(24.0, 54.0, "start", FAINT, &caption);
        for (x, text) in [(1058.0, "times"), (1118.0, "back p50"), (1180.0, "p99")] {
            self.text(x, TOP - 10.0, "end", FAINT, text);
        }
    }

    /// Lines of time through lanes and curves, with a clock between them.
    fn axis(&mut self, lanes: f64, bottom: f64) {
        let step = step_ms(self.length_ms);
        let mut at = 0.0;
        while at <= self.length_ms {
            let x = self.x(at);
            self.put(format_args!(
                "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" stroke=\"{RULE}\"/>"
            ));
            self.text(x, lanes + 16.0, "middle", FAINT, &time(at as u64));
            at += step;
        }
    }

    fn lane(&mut self, scene: &Scene<'_>, kind: &FaultKind, number: usize) {
        let y = TOP + number as f64 * LANE;
        if number.is_multiple_of(2) {
            self.put(format_args!(
                "<rect x=\"16\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{LANE}\" fill=\"{STRIPE}\" style=\"mix-blend-mode:multiply\"/>",
                WIDTH - 32.0
            ));
        }
        let middle = y + LANE / 2.0 + 4.0;
        self.text(LEFT - 12.0, middle, "end", INK, kind.kind);
        let Recovery { p50, p99, .. } = kind.recovery_ms;
        let values = [kind.count.to_string(), short(p50), short(p99)];
        for (x, value) in [1058.0, 1118.0, 1180.0].into_iter().zip(values) {
            self.text(x, middle, "end", INK, &value);
        }
        let top = y + (LANE - BAR) / 2.0;
        for outcome in scene.outcomes.iter().filter(|one| one.kind == kind.kind) {
            let [began, lifted, back] =
                [outcome.began_ms, outcome.lifted_ms, outcome.back_ms].map(|ms| self.x(ms as f64));
            let colour = if outcome.in_time { RECOVERY } else { BROKEN };
            let says = escaped(&format!(
                "{} at {}: back after {}",
                outcome.faults.join(" + "),
                time(outcome.began_ms),
                short(outcome.recovery_ms())
            ));
            self.put(format_args!("<g><title>{says}</title>"));
            self.bar(began, lifted, top, FAULT);
            self.bar(lifted.max(began + NARROWEST), back, top, colour);
            self.put(format_args!("</g>"));
        }
    }

    fn bar(&mut self, from: f64, to: f64, top: f64, colour: &str) {
        let width = (to - from).max(NARROWEST);
        self.put(format_args!(
            "<rect x=\"{from:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"1\" fill=\"{colour}\"/>"
        ));
    }

    /// A red line through all lanes for each breach.
    fn breaches(&mut self, breaches: &[Breach], bottom: f64) {
        for breach in breaches {
            let x = self.x(breach.at_ms as f64);
            let says = escaped(&format!("{:?}: {}", breach.invariant, breach.text));
            self.put(format_args!(
                "<g><title>{says}</title><line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" \
                 stroke=\"{BROKEN}\" stroke-dasharray=\"3 2\"/><circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{BROKEN}\"/></g>",
                TOP - 8.0,
                TOP - 8.0
            ));
        }
    }

    fn curves(
        &mut self,
        samples: &BTreeMap<Role, Vec<Sample>>,
        title: &str,
        top: f64,
        value: impl Fn(&Sample) -> f64,
    ) {
        let most = samples
            .values()
            .flatten()
            .map(&value)
            .fold(1.0_f64, f64::max);
        let most = round_up(most);
        let bottom = top + CURVE;
        let y = |value: f64| bottom - CURVE * (value / most);
        self.text(LEFT - 12.0, top + CURVE / 2.0 + 4.0, "end", INK, title);
        for share in [0.0, 0.5, 1.0] {
            let at = y(most * share);
            self.put(format_args!(
                "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{RIGHT}\" y2=\"{at:.1}\" stroke=\"{RULE}\"/>"
            ));
            self.text(RIGHT + 8.0, at + 4.0, "start", FAINT, &number(most * share));
        }
        for (&role, samples) in samples {
            let lives = samples.chunk_by(|one, next| one.life == next.life);
            let step = samples.len().div_ceil(POINTS).max(1);
            for life in lives {
                let points: Vec<String> = life
                    .iter()
                    .step_by(step)
                    .map(|sample| {
                        format!("{:.1},{:.1}", self.x(sample.at * 1000.0), y(value(sample)))
                    })
                    .collect();
                self.put(format_args!(
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.2\"/>",
                    points.join(" "),
                    colour(role)
                ));
            }
        }
    }

    fn legend(&mut self, y: f64) {
        let mut x = LEFT;
        let bars = [
            (FAULT, "fault"),
            (RECOVERY, "until service is back"),
            (BROKEN, "broken"),
        ];
        for (colour, text) in bars {
            self.put(format_args!(
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"14\" height=\"{BAR}\" rx=\"1\" fill=\"{colour}\"/>",
                y - 9.0
            ));
            self.text(x + 20.0, y, "start", FAINT, text);
            x += 44.0 + text.len() as f64 * 6.2;
        }
        x += 16.0;
        for role in Role::ALL {
            self.put(format_args!(
                "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{}\" stroke-width=\"2\"/>",
                y - 4.0,
                x + 16.0,
                y - 4.0,
                colour(role)
            ));
            self.text(x + 22.0, y, "start", FAINT, role.name());
            x += 46.0 + role.name().len() as f64 * 6.2;
        }
    }
}

/// A time of the clock, such as `1:05:00` or `4:30`.
fn time(ms: u64) -> String {
    let seconds = ms / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// A duration in a few letters.
fn short(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{:.1} s", ms as f64 / 1000.0),
        _ => format!("{:.0} s", ms as f64 / 1000.0),
    }
}

/// The step of the clock: at most twelve lines.
fn step_ms(length_ms: f64) -> f64 {
    const STEPS: [f64; 10] = [
        5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0,
    ];
    let steps = STEPS.map(|seconds| seconds * 1000.0);
    let fits = |step: &f64| length_ms / step <= 12.0;
    steps.into_iter().find(fits).unwrap_or(length_ms / 12.0)
}

/// The next number of the form 1, 2 or 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10.0_f64.powf(value.max(f64::MIN_POSITIVE).log10().floor());
    let forms = [1.0, 2.0, 5.0, 10.0].map(|form| form * power);
    forms
        .into_iter()
        .find(|&form| form >= value)
        .unwrap_or(10.0 * power)
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
