//! The report for a person, in the form of `teredo status`.

use std::fmt;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::drawing::Drawing;
use super::finding::{Finding, Grade};
use super::lifetime::Lifetime;
use super::nat::{Filtering, Kind, Mapping};
use super::report::{Endpoint, Report};
use crate::text::{plain, span};

/// Long lines are wrapped here.
const WIDTH: usize = 100;
/// Where the text behind a label begins.
const INDENT: &str = "              ";

/// A report as text.
pub(super) struct Text<'a>(pub(super) &'a Report);

impl Text<'_> {
    fn heading(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            server,
            answers,
            qualifies,
            primary,
            ..
        } = self.0;
        let (colour, state) = match (answers, qualifies) {
            (_, true) => (AnsiColor::Green, "a client qualifies"),
            (true, false) => (AnsiColor::Yellow, "answers, but no client qualifies"),
            (false, false) => (AnsiColor::Red, "does not answer"),
        };
        let dot = Style::new().fg_color(Some(colour.into()));
        let bold = Style::new().bold();
        let name = plain(server);
        write!(f, "{dot}●{dot:#} {bold}{name}{bold:#}  {dot}{state}{dot:#}")?;
        match primary {
            Some(primary) if !name.starts_with(&primary.address.to_string()) => {
                write!(f, "    server {}", primary.address)
            }
            _ => Ok(()),
        }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let Report {
            primary,
            secondary,
            nat,
            ..
        } = self.0;
        let mut rows = Vec::new();
        for (label, end) in [("Primary", primary), ("Secondary", secondary)] {
            if let Some(end) = end {
                rows.push((label, endpoint(end)));
            }
        }
        if !self.0.answers {
            return rows;
        }
        if let (Some(mapped), Some(local)) = (self.0.mapped, self.0.local) {
            rows.push(("Mapped", format!("{mapped}    from {local}")));
        }
        let unknown = |field: &str| match nat.unknown.get(field) {
            Some(reason) => format!("unknown: {reason}"),
            None => String::from("unknown"),
        };
        rows.push(("NAT", self.kind()));
        rows.push((
            "Mapping",
            nat.mapping.map_or_else(|| unknown("mapping"), mapping),
        ));
        rows.push((
            "Filtering",
            nat.filtering
                .map_or_else(|| unknown("filtering"), filtering),
        ));
        let yes = |value: Option<bool>, field: &str| match value {
            Some(true) => String::from("yes"),
            Some(false) => String::from("no"),
            None => unknown(field),
        };
        rows.push(("Port kept", yes(nat.port_preserving, "port_preserving")));
        rows.push(("Hairpin", yes(nat.hairpin, "hairpin")));
        if let Some(found) = self.0.lifetime_s {
            rows.push(("Lifetime", lifetime(found)));
        } else if let Some(reason) = self.0.lifetime_unknown {
            rows.push(("Lifetime", format!("unknown: {reason}")));
        }
        rows
    }

    fn kind(&self) -> String {
        let nat = &self.0.nat;
        let words = match nat.kind {
            Some(Kind::None) => "none: this host has the public address itself",
            Some(Kind::Cone) => "cone: everybody who knows the port may send to it",
            Some(Kind::Restricted) => {
                "restricted: addresses that this host has sent to may send to it"
            }
            Some(Kind::PortRestricted) => {
                "port-restricted: only the very endpoints that this host has sent to may send to it"
            }
            Some(Kind::OpenInput) => {
                "open-input: as port-restricted, and a datagram that comes too early costs the port"
            }
            Some(Kind::Symmetric) => "symmetric: another port for each destination",
            None if nat.mapping == Some(Mapping::EndpointIndependent)
                && nat.stops_strangers == Some(true) =>
            {
                "restricted or port-restricted"
            }
            None => "unknown",
        };
        String::from(words)
    }
}

fn endpoint(end: &Endpoint) -> String {
    match end.rtt_us {
        Some(micros) => {
            let rtt = Duration::from_micros(micros);
            format!("{:<15}  answers in {}", end.address.to_string(), span(rtt))
        }
        None => format!("{:<15}  no answer", end.address.to_string()),
    }
}

fn mapping(mapping: Mapping) -> String {
    String::from(match mapping {
        Mapping::EndpointIndependent => "endpoint-independent",
        Mapping::AddressAndPortDependent => "address-and-port-dependent",
    })
}

fn filtering(filtering: Filtering) -> String {
    String::from(match filtering {
        Filtering::EndpointIndependent => "endpoint-independent",
        Filtering::AddressDependent => "address-dependent",
        Filtering::AddressAndPortDependent => "address-and-port-dependent",
    })
}

fn lifetime(Lifetime { lower, upper }: Lifetime) -> String {
    match upper {
        Some(upper) => format!("{lower} to {upper} s without traffic"),
        None => format!("more than {lower} s without traffic"),
    }
}

fn finding(f: &mut fmt::Formatter<'_>, finding: &Finding) -> fmt::Result {
    let (colour, word) = match finding.grade {
        Grade::Fail => (AnsiColor::Red, "Fail"),
        Grade::Warn => (AnsiColor::Yellow, "Warning"),
        Grade::Note => (AnsiColor::Cyan, "Note"),
    };
    let style = Style::new().fg_color(Some(colour.into()));
    write!(f, "\n{style}{word:>12}{style:#}: ")?;
    wrapped(f, &format!("{} ({})", plain(&finding.text), finding.id))?;
    if finding.fix != "nothing" {
        write!(f, "\n{INDENT}")?;
        wrapped(f, &format!("next: {}", finding.fix))?;
    }
    Ok(())
}

/// Writes text from the column behind a label on.
fn wrapped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let lines = textwrap::wrap(text, WIDTH - INDENT.len());
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            write!(f, "\n{INDENT}")?;
        }
        f.write_str(line)?;
    }
    Ok(())
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.heading(f)?;
        for (label, text) in self.rows() {
            write!(f, "\n{label:>12}: ")?;
            wrapped(f, &text)?;
        }
        let drawing = Drawing(self.0);
        if !drawing.is_empty() {
            write!(f, "\n\n{drawing}")?;
        }
        if !self.0.findings.is_empty() {
            writeln!(f)?;
        }
        for each in &self.0.findings {
            finding(f, each)?;
        }
        let bold = Style::new().bold();
        write!(f, "\n\n{bold}")?;
        for (index, line) in textwrap::wrap(&plain(&self.0.verdict), WIDTH)
            .iter()
            .enumerate()
        {
            if index > 0 {
                writeln!(f)?;
            }
            f.write_str(line)?;
        }
        write!(f, "{bold:#}")
    }
}

#[cfg(test)]
mod tests;
