//! The NAT as a picture: which arrows pass it, and which it stops.

use std::fmt::{self, Write as _};
use std::net::SocketAddrV4;

use anstyle::{AnsiColor, Style};

use super::nat::{Filtering, Kind};
use super::report::Report;

const MARGIN: &str = "   ";

/// A drawing of what a report says, if there is something to draw.
pub(super) struct Drawing<'a>(pub(super) &'a Report);

/// The fate of a datagram from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Passes,
    Stopped,
    Unknown,
}

impl From<Option<bool>> for Fate {
    fn from(passes: Option<bool>) -> Self {
        match passes {
            Some(true) => Self::Passes,
            Some(false) => Self::Stopped,
            None => Self::Unknown,
        }
    }
}

impl Drawing<'_> {
    /// Whether there is something to draw.
    pub(super) fn is_empty(&self) -> bool {
        self.parts().is_none()
    }

    /// This host, and the server's addresses with the mapping towards each.
    fn parts(&self) -> Option<(SocketAddrV4, Vec<(String, SocketAddrV4)>)> {
        let Report {
            primary, secondary, ..
        } = self.0;
        let ends = [(*primary)?, (*secondary)?];
        let ends: Vec<_> = ends
            .into_iter()
            .filter_map(|end| Some((end.address.to_string(), end.mapped?)))
            .collect();
        (!ends.is_empty()).then_some((self.0.local?, ends))
    }

    /// Who sends, and what becomes of it.
    fn inbound(&self) -> Vec<(&'static str, Fate)> {
        let nat = &self.0.nat;
        let other_port = match (nat.filtering, nat.stops_strangers) {
            (Some(filtering), _) => Some(filtering != Filtering::AddressAndPortDependent),
            (None, Some(false)) => Some(true),
            (None, _) => None,
        };
        let mut rows = vec![
            ("the server, which was asked", Fate::Passes),
            ("the same address, another port", other_port.into()),
            ("a stranger", nat.stops_strangers.map(|stops| !stops).into()),
        ];
        if nat.kind != Some(Kind::None) {
            rows.push(("a neighbour, by the public address", nat.hairpin.into()));
        }
        rows
    }
}

impl fmt::Display for Drawing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((local, ends)) = self.parts() else {
            return Ok(());
        };
        let local = local.to_string();
        let nat = self.0.nat.kind != Some(Kind::None);
        let wide = ends
            .iter()
            .map(|(_, mapped)| mapped.to_string().len())
            .max()
            .unwrap_or(0);
        let left = local.len().max("this host".len());
        let bold = Style::new().bold();
        let middle = if nat { "NAT" } else { "" };
        let gap = if nat { 9 } else { 1 };
        writeln!(
            f,
            "{MARGIN}{bold}{:<left$}{:gap$}{middle:<wide$}{:9}server{bold:#}",
            "this host", "", ""
        )?;
        let one = ends.iter().all(|(_, mapped)| *mapped == ends[0].1);
        for (index, (address, mapped)) in ends.iter().enumerate() {
            let host = if index == 0 { local.as_str() } else { "" };
            let mut line = format!("{MARGIN}{host:<left$}");
            let first = index == 0;
            let alone = ends.len() == 1;
            // Where the way forks: behind the NAT if one mapping serves both.
            let (inner, outer, shown) = match (nat, one, first) {
                (false, _, true) => (
                    "",
                    if alone {
                        "────>"
                    } else {
                        "─┬──>"
                    },
                    String::new(),
                ),
                (false, _, false) => ("", " └──>", String::new()),
                (true, true, true) => (
                    " ─────>  ",
                    if alone {
                        "────>"
                    } else {
                        "─┬──>"
                    },
                    mapped.to_string(),
                ),
                (true, true, false) => ("         ", " └──>", String::new()),
                (true, false, true) => (" ─┬───>  ", "────>", mapped.to_string()),
                (true, false, false) => ("  └───>  ", "────>", mapped.to_string()),
            };
            let fill = if nat { "" } else { "─" };
            if nat {
                let _ = write!(line, "{inner}{shown:<wide$}  {outer}  {address}");
            } else if first {
                let _ = write!(line, " {}{outer}  {address}", fill.repeat(wide + 2));
            } else {
                let _ = write!(line, " {:width$}{outer}  {address}", "", width = wide + 2);
            }
            writeln!(f, "{line}")?;
        }
        writeln!(f)?;
        // From the left edge to the addresses of the server.
        let length = left + gap + wide + 7;
        for (index, (who, fate)) in self.inbound().into_iter().enumerate() {
            // Below the NAT, if there is one.
            let wall = left + gap;
            let (arrow, word, colour) = match fate {
                Fate::Passes => (
                    format!("<{}", "─".repeat(length - 1)),
                    "comes in",
                    AnsiColor::Green,
                ),
                Fate::Stopped => (
                    format!("{:wall$}✗ {}", "", "─".repeat(length - wall - 2)),
                    "stopped",
                    AnsiColor::Red,
                ),
                Fate::Unknown => (
                    format!("{:wall$}? {}", "", "─".repeat(length - wall - 2)),
                    "unknown",
                    AnsiColor::Yellow,
                ),
            };
            let style = Style::new().fg_color(Some(colour.into()));
            if index > 0 {
                writeln!(f)?;
            }
            write!(
                f,
                "{MARGIN}{style}{arrow}{style:#}  {who:<35}  {style}{word}{style:#}"
            )?;
        }
        Ok(())
    }
}
