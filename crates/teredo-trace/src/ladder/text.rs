//! The ladder for a terminal.

use std::fmt;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::{Arrow, Column, Ladder, Row, Tone, shortened};

/// The least distance of two columns, in characters.
const CLOSEST: usize = 16;
/// The most characters of a label.
const LONGEST: usize = 120;
/// The characters before the first line of the ladder: number, time, and spaces.
const MARGIN: usize = 16;

/// A ladder as text, with colours as ANSI escape sequences. It has one line for each row, and no newline at its end.
struct Text<'a>(&'a Ladder);

impl Ladder {
    /// The ladder as text, with colours as ANSI escape sequences; a program removes them if its output is no terminal.
    pub fn text(&self) -> impl fmt::Display + '_ {
        Text(self)
    }
}

/// Where the columns are.
struct Places(Vec<usize>);

impl Places {
    fn new(columns: &[Column]) -> Self {
        let mut places = Vec::new();
        let mut at = 0_usize;
        let mut previous: Option<usize> = None;
        for column in columns {
            let half = width(column).div_ceil(2);
            at = match previous {
                None => half,
                Some(previous) => at + (previous + half + 2).max(CLOSEST),
            };
            previous = Some(half);
            places.push(at);
        }
        Self(places)
    }

    fn of(&self, column: usize) -> usize {
        self.0.get(column).copied().unwrap_or_default()
    }

    /// A place between two columns, in halves.
    fn of_halves(&self, halves: usize) -> usize {
        (self.of(halves / 2) + self.of(halves.div_ceil(2))) / 2
    }

    /// The length of a row.
    fn end(&self) -> usize {
        self.0.last().map_or(0, |last| last + 1)
    }
}

fn width(column: &Column) -> usize {
    let lines = column.lines.iter().map(|line| line.chars().count());
    lines
        .chain([column.title.chars().count()])
        .max()
        .unwrap_or(0)
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ladder {
            columns,
            rows,
            left_out,
        } = self.0;
        let places = Places::new(columns);
        let bold = Style::new().bold();
        let dim = Style::new().dimmed();
        let length = places.end();
        // The heads reach beyond the last line.
        let half = columns.last().map_or(0, width);
        let line = |text: &dyn Fn(&Column) -> Option<&str>| {
            let mut canvas = Canvas::new(length + half);
            for (at, column) in columns.iter().enumerate() {
                canvas.centred(places.of(at), text(column).unwrap_or_default());
            }
            canvas.finish()
        };
        write!(
            f,
            "{:MARGIN$}{bold}{}{bold:#}",
            "",
            line(&|column| Some(&column.title))
        )?;
        let deepest = columns.iter().map(|column| column.lines.len()).max();
        for depth in 0..deepest.unwrap_or(0) {
            let text = line(&|column| column.lines.get(depth).map(String::as_str));
            write!(f, "\n{:MARGIN$}{text}", "")?;
        }
        for row in rows {
            match row {
                Row::Gap(pause) => {
                    let mut canvas = Canvas::new(length);
                    for at in 0..columns.len() {
                        canvas.put(places.of(at), '·');
                    }
                    let pause = format!("{} pass", span(*pause));
                    write!(
                        f,
                        "\n{:MARGIN$}{dim}{}  {pause}{dim:#}",
                        "",
                        canvas.padded()
                    )?;
                }
                Row::Arrow(arrow) => {
                    let canvas = draw(arrow, columns, &places, length);
                    let colour = style(arrow.tone);
                    let time = arrow.at.as_secs_f64();
                    let mark = match arrow.tone {
                        Tone::Plain => "",
                        Tone::Note => " ·",
                        Tone::Warn | Tone::Fail => " !",
                    };
                    write!(
                        f,
                        "\n{dim}{:>5} {time:>8.3}{dim:#}  {}  {colour}{}{mark}{colour:#}",
                        arrow.n.map(|n| n.to_string()).unwrap_or_default(),
                        canvas.padded(),
                        shortened(&arrow.label, LONGEST)
                    )?;
                    if let Some(crossing) = &arrow.crossing {
                        let red = style(Tone::Fail);
                        let reason = shortened(&crossing.reason, LONGEST);
                        write!(f, "  {red}✗ {reason}{red:#}")?;
                    }
                }
            }
        }
        if *left_out > 0 {
            write!(f, "\n{:MARGIN$}{left_out} packets more", "")?;
        }
        Ok(())
    }
}

fn draw(arrow: &Arrow, columns: &[Column], places: &Places, length: usize) -> Canvas {
    let mut canvas = Canvas::new(length);
    for (at, column) in columns.iter().enumerate() {
        canvas.put(places.of(at), if column.is_nat { '┆' } else { '│' });
    }
    let (from, to) = (places.of(arrow.from), places.of(arrow.to));
    if from == to {
        canvas.put(from + 1, '↺');
        return canvas;
    }
    let goes_right = from < to;
    let stop = match &arrow.crossing {
        Some(crossing) => places.of_halves(crossing.halves),
        None => to,
    };
    let (low, high) = (from.min(stop), from.max(stop));
    for at in low + 1..high {
        canvas.put(at, '─');
    }
    for &nat in &arrow.via {
        let at = places.of(nat);
        if low < at && at < high {
            canvas.put(at, '┼');
        }
    }
    let (start, back) = if goes_right {
        ('├', '<')
    } else {
        ('┤', '>')
    };
    canvas.put(from, start);
    if arrow.both {
        canvas.put(from, '│');
        canvas.put(if goes_right { from + 1 } else { from - 1 }, back);
    }
    if arrow.crossing.is_some() {
        canvas.put(stop, '✗');
    } else {
        let tip = if goes_right { '>' } else { '<' };
        canvas.put(if goes_right { to - 1 } else { to + 1 }, tip);
    }
    canvas
}

const fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Note => Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan))),
        Tone::Warn => Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow))),
        Tone::Fail => Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red))),
    }
}

/// A pause for people: `8.5 s`, `4 min`.
pub(super) fn span(pause: Duration) -> String {
    let seconds = pause.as_secs_f64();
    if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{:.0} min", seconds / 60.0)
    }
}

/// A line of characters to draw on.
struct Canvas(Vec<char>);

impl Canvas {
    fn new(length: usize) -> Self {
        Self(vec![' '; length])
    }

    fn put(&mut self, at: usize, character: char) {
        if let Some(place) = self.0.get_mut(at) {
            *place = character;
        }
    }

    fn centred(&mut self, centre: usize, text: &str) {
        let start = centre.saturating_sub(text.chars().count() / 2);
        for (offset, character) in text.chars().enumerate() {
            self.put(start + offset, character);
        }
    }

    fn padded(&self) -> String {
        self.0.iter().collect()
    }

    fn finish(&self) -> String {
        self.padded().trim_end().to_owned()
    }
}
