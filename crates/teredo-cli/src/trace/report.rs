//! The trace for a person: the nodes, the ladder, the findings, and a count of the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anstyle::{AnsiColor, Style};
use teredo_trace::{Finding, Grade, Ladder, Node, Packet, Role, Trace};

use crate::text::plain;

/// Long lines are wrapped here.
const WIDTH: usize = 100;
/// The most findings that are listed; JSON has all.
const MOST_FINDINGS: usize = 200;
/// The most packets that are named for one finding.
const MOST_NUMBERS: usize = 10;
/// The most warnings that the heading names.
const MOST_NAMED: usize = 3;
/// The node that stands for all ends beyond the limit.
const OTHERS: &str = "others";
/// The most nodes that are listed.
const MOST_NODES: usize = 50;

/// A trace as text.
pub(super) struct Report<'a>(pub(super) &'a Trace);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace = self.0;
        self.heading(f)?;
        if !trace.packets.is_empty() {
            f.write_str("\n\n")?;
            nodes(&trace.nodes, f)?;
            write!(f, "\n\n{}", Ladder::new(trace).text())?;
            self.findings(f)?;
        }
        for note in &trace.notes {
            f.write_str("\n\n  ")?;
            wrapped(note, 2, f)?;
        }
        if let Some(damage) = &trace.damage {
            let yellow = Style::new().fg_color(Some(AnsiColor::Yellow.into()));
            write!(f, "\n\n{yellow}!{yellow:#} {damage}")?;
        }
        Ok(())
    }
}

impl Report<'_> {
    fn heading(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace = self.0;
        let breaches = trace.count(Grade::Fail);
        let (colour, verdict) = match (trace.packets.len(), breaches, trace.stalls.len()) {
            (0, ..) => (AnsiColor::Yellow, String::from("no Teredo")),
            (_, 0, 0) => match self.warnings() {
                None => (AnsiColor::Green, String::from("no requirement is broken")),
                Some(warnings) => (
                    AnsiColor::Yellow,
                    format!("no requirement is broken, {warnings}"),
                ),
            },
            (_, breaches, stalls) => {
                let said = [
                    (breaches, "breach", "breaches"),
                    (stalls, "stall", "stalls"),
                ];
                let said: Vec<_> = (said.into_iter())
                    .filter(|(count, ..)| *count > 0)
                    .map(|(count, one, many)| {
                        format!("{count} {}", if count == 1 { one } else { many })
                    })
                    .collect();
                let colour = if breaches > 0 {
                    AnsiColor::Red
                } else {
                    AnsiColor::Yellow
                };
                (colour, said.join(", "))
            }
        };
        let dot = Style::new().fg_color(Some(colour.into()));
        let bold = Style::new().bold();
        write!(
            f,
            "{dot}●{dot:#} {bold}{}{bold:#}  {dot}{verdict}{dot:#}    {}",
            counted(trace.packets.len() as u64 + trace.left_out, "Teredo packet"),
            match trace.not_teredo {
                0 => String::from("no other frame"),
                1 => String::from("1 frame is not Teredo"),
                count => format!("{count} frames are not Teredo"),
            }
        )?;
        if trace.fragments > 0 {
            write!(f, ", {}", counted(trace.fragments, "IPv4 fragment"))?;
        }
        if let Some(start) = &trace.start {
            write!(f, "    {start}")?;
        }
        if trace.left_out > 0 {
            write!(
                f,
                "\n  the last {} are counted, and not shown",
                counted(trace.left_out, "packet")
            )?;
        }
        if trace.undecided > 0 {
            write!(
                f,
                "\n  {} more may be Teredo: too many others came before them to tell",
                counted(trace.undecided, "frame")
            )?;
        }
        for unreadable in &trace.unreadable {
            write!(
                f,
                "\n  {} of {} cannot be read",
                counted(unreadable.frames, "frame"),
                unreadable.layer
            )?;
        }
        Ok(())
    }

    /// The warnings by their identifiers: `2 warnings (R4380-5.2.6-03)`.
    fn warnings(&self) -> Option<String> {
        let found = self.0.packets.iter().flat_map(|packet| &packet.findings);
        let warnings = found.filter(|finding| finding.grade == Grade::Warn);
        let ids: BTreeSet<&str> = warnings.map(|finding| finding.id).collect();
        let named: Vec<&str> = ids.iter().copied().take(MOST_NAMED).collect();
        let more = if ids.len() > MOST_NAMED { ", …" } else { "" };
        (!ids.is_empty()).then(|| {
            let count = counted(self.0.count(Grade::Warn) as u64, "warning");
            format!("{count} ({}{more})", named.join(", "))
        })
    }

    fn findings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = |packet: &'_ Packet| packet.findings.len();
        let count: usize = self.0.packets.iter().map(found).sum();
        if count == 0 {
            return Ok(());
        }
        let bold = Style::new().bold();
        write!(f, "\n\n{bold}Findings{bold:#}")?;
        let groups = groups(&self.0.packets);
        for (numbers, finding) in groups.iter().take(MOST_FINDINGS) {
            one(numbers, finding, f)?;
        }
        if groups.len() > MOST_FINDINGS {
            write!(
                f,
                "\n  {} more; --json has all",
                groups.len() - MOST_FINDINGS
            )?;
        }
        Ok(())
    }
}

/// The findings with the numbers of their packets; the same finding about several packets is one.
fn groups(packets: &[Packet]) -> Vec<(Vec<u64>, &Finding)> {
    let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut groups: Vec<(Vec<u64>, &Finding)> = Vec::new();
    for packet in packets {
        for finding in &packet.findings {
            let place = *places
                .entry((finding.id, &finding.text))
                .or_insert(groups.len());
            match groups.get_mut(place) {
                Some((numbers, _)) => numbers.push(packet.n),
                None => groups.push((vec![packet.n], finding)),
            }
        }
    }
    groups
}

fn one(numbers: &[u64], finding: &Finding, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (mark, colour) = match finding.grade {
        Grade::Fail => ("✗", AnsiColor::Red),
        Grade::Warn => ("!", AnsiColor::Yellow),
        Grade::Note => ("·", AnsiColor::Cyan),
    };
    let style = Style::new().fg_color(Some(colour.into()));
    let first = numbers.first().copied().unwrap_or_default();
    write!(f, "\n{first:>5} {style}{mark} {:<18}{style:#} ", finding.id)?;
    let mut text = plain(&finding.text);
    let others: Vec<_> = (numbers.iter().skip(1).take(MOST_NUMBERS))
        .map(ToString::to_string)
        .collect();
    if !others.is_empty() {
        let more = if numbers.len() > others.len() + 1 {
            ", …"
        } else {
            ""
        };
        text.push_str(&format!(" (also {}{more})", others.join(", ")));
    }
    wrapped(&text, 27, f)
}

/// The nodes, one a line, with the evidence about their NATs below.
fn nodes(nodes: &[Node], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let bold = Style::new().bold();
    let others = nodes.iter().skip(MOST_NODES).find(|node| node.id == OTHERS);
    for (at, node) in nodes.iter().take(MOST_NODES).chain(others).enumerate() {
        if at > 0 {
            f.write_str("\n")?;
        }
        write!(f, "  {bold}{:<11}{bold:#} ", node.id.replace('-', " "))?;
        match node.role {
            _ if node.id == OTHERS => {
                write!(
                    f,
                    "all further ends: {} from them, {} to them",
                    counted(node.sent, "packet"),
                    node.received
                )?;
            }
            Role::Server => {
                let addresses: Vec<_> = node.addresses.iter().map(ToString::to_string).collect();
                write!(f, "{}", addresses.join(", "))?;
            }
            _ => {
                if let Some(end) = node.end() {
                    write!(f, "{end}")?;
                }
                if let (Some(local), Some(mapped)) = (node.local, node.mapped)
                    && local != mapped
                {
                    write!(f, ", mapped to {mapped}")?;
                }
            }
        }
        if node.is_relay {
            f.write_str(", also a relay")?;
        }
        for address in node.teredo.iter().rev().take(2) {
            write!(f, "\n              {address}")?;
        }
        if let Some(nat) = &node.nat {
            write!(f, "\n              {nat}")?;
            for reason in &nat.evidence {
                f.write_str("\n              - ")?;
                wrapped(reason, 16, f)?;
            }
        }
    }
    let hidden = nodes.len().saturating_sub(MOST_NODES) - usize::from(others.is_some());
    if hidden > 0 {
        write!(
            f,
            "\n  {}; --json has all",
            counted(hidden as u64, "more node")
        )?;
    }
    Ok(())
}

fn wrapped(text: &str, indent: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let lines = textwrap::wrap(text, WIDTH.saturating_sub(indent));
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            write!(f, "\n{:indent$}", "")?;
        }
        f.write_str(line)?;
    }
    Ok(())
}

fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}
