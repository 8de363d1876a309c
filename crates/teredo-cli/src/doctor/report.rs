//! The checks for people: one line each, and more for those that need attention.

use std::fmt;

use anstyle::{AnsiColor, Style};

use super::check::{Check, Verdict};

/// The widest line.
const WIDTH: usize = 100;
/// Where the text of a check begins.
const INDENT: usize = 10;

/// All checks as text.
pub(super) struct Report<'a> {
    checks: &'a [Check],
}

impl<'a> Report<'a> {
    pub(super) const fn new(checks: &'a [Check]) -> Self {
        Self { checks }
    }

    fn entry(&self, f: &mut fmt::Formatter<'_>, index: usize, check: &Check) -> fmt::Result {
        let style = style(check.result);
        let number = index + 1;
        let result = check.result.name();
        let bold = if check.is_trouble() {
            Style::new().bold()
        } else {
            Style::new()
        };
        let longest = self.checks.iter().map(|check| check.id.len()).max();
        let name = format!("{:1$}  ", check.id, longest.unwrap_or_default());
        let text = wrapped(&check.what, &name);
        writeln!(
            f,
            "{number:>3} {style}{result:<4}{style:#}  {bold}{text}{bold:#}"
        )?;
        let noted = check.result == Verdict::Ok || check.result == Verdict::Skip;
        if !check.why.is_empty() {
            let label = if noted { "note: " } else { "why:  " };
            writeln!(f, "{:INDENT$}{}", "", wrapped(&check.why, label))?;
        }
        if check.fix.is_empty() || noted && check.why.is_empty() {
            return Ok(());
        }
        // The state itself points to its cause.
        let earlier = self.checks[..index]
            .iter()
            .position(|other| other.id != super::id::SERVICE_STATE.name && other.fix == check.fix);
        if let Some(earlier) = earlier {
            return writeln!(f, "{:INDENT$}mend: as for {}", "", earlier + 1);
        }
        // A reader finds the cause behind the state, and its mend there.
        let later = self.checks[index + 1..]
            .iter()
            .position(|other| other.fix == check.fix);
        if let Some(later) = later.filter(|_| check.id == super::id::SERVICE_STATE.name) {
            return writeln!(f, "{:INDENT$}mend: as for {}", "", index + later + 2);
        }
        for (line, text) in check.fix.lines().enumerate() {
            let label = if line == 0 { "mend: " } else { "      " };
            // A command stays in one piece, so that it can be copied.
            writeln!(f, "{:INDENT$}{label}{text}", "")?;
        }
        Ok(())
    }

    /// The last line: the sum, and the first thing to do.
    fn summary(&self) -> (Verdict, String) {
        let count = |result| {
            let found = self.checks.iter().filter(|check| check.result == result);
            found.count()
        };
        let plural = |count: usize, one: &str, many: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {many}"),
        };
        let (fails, warnings, skipped) = (
            count(Verdict::Fail),
            count(Verdict::Warn),
            count(Verdict::Skip),
        );
        let worst = if fails > 0 {
            Verdict::Fail
        } else {
            Verdict::Warn
        };
        let first = first(self.checks).map(|index| (index, &self.checks[index]));
        let left_out = match skipped {
            0 => String::new(),
            count => format!(" ({count} not checked)"),
        };
        let Some((index, check)) = first else {
            return (Verdict::Ok, format!("All is well{left_out}."));
        };
        let sum = match (fails, warnings) {
            (0, warnings) => plural(warnings, "warning", "warnings"),
            (fails, 0) => plural(fails, "failure", "failures"),
            (fails, warnings) => format!(
                "{}, {}",
                plural(fails, "failure", "failures"),
                plural(warnings, "warning", "warnings")
            ),
        };
        (
            worst,
            format!("{sum}{left_out}. Begin with {}, {}.", index + 1, check.id),
        )
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, check) in self.checks.iter().enumerate() {
            self.entry(f, index, check)?;
        }
        let (worst, text) = self.summary();
        let style = style(worst).bold();
        write!(f, "\n{style}{text}{style:#}")
    }
}

/// The check to begin with: the worst, and of those the nearest to a cause.
pub(super) fn first(checks: &[Check]) -> Option<usize> {
    let troubles = checks.iter().filter(|check| check.is_trouble());
    let worst = troubles.map(|check| check.result).max()?;
    let troubles = checks.iter().enumerate();
    let troubles = troubles.filter(|(_, check)| check.result == worst);
    troubles
        .min_by_key(|(_, check)| consequence(check.id))
        .map(|(index, _)| index)
}

/// How far a check is from a cause: a daemon that does not run may be kept from it by something else, and so may a port
/// that is closed.
fn consequence(name: &str) -> u8 {
    const FOLLOWING: [super::check::Id; 6] = [
        super::id::SERVICE_UNIT,
        super::id::SERVICE_SOCKET,
        super::id::FIREWALL_AGENT,
        super::id::FIREWALL_WAY,
        super::id::FIREWALL_PORT,
        super::id::RELAY_ANSWERS,
    ];
    if name == super::id::SERVICE_STATE.name {
        2
    } else {
        u8::from(FOLLOWING.iter().any(|id| id.name == name))
    }
}

fn style(result: Verdict) -> Style {
    let colour = match result {
        Verdict::Ok => AnsiColor::Green,
        Verdict::Warn => AnsiColor::Yellow,
        Verdict::Fail => AnsiColor::Red,
        Verdict::Skip => return Style::new().dimmed(),
    };
    Style::new().fg_color(Some(colour.into()))
}

fn wrapped(text: &str, label: &str) -> String {
    let indent = " ".repeat(INDENT + label.len());
    let options = textwrap::Options::new(WIDTH)
        .initial_indent(&indent)
        .subsequent_indent(&indent);
    let filled = textwrap::fill(text, options);
    format!("{label}{}", filled.trim_start())
}

#[cfg(test)]
mod tests;
