//! `docs/conformance.md`. It names files and items rather than lines, so that it changes only with a statement.

use std::fmt::Write as _;

use super::departure::Departure;
use super::list::{List, Reason, Strength};
use super::source::Mention;
use super::table::{Row, Standing, Table};

/// How many tests of one file a cell names.
const TESTS: usize = 3;

pub(super) fn render(list: &List, table: &Table<'_>, departures: &[Departure]) -> String {
    let mut page = String::new();
    // Writing into a string does not fail.
    let _ = write(&mut page, list, table, departures);
    page
}

fn write(
    page: &mut String,
    list: &List,
    table: &Table<'_>,
    departures: &[Departure],
) -> std::fmt::Result {
    writeln!(
        page,
        "# Conformance\n\n\
         <!-- Made by `cargo xtask conformance` from docs/conformance.toml and the comments in the code. Do not edit. -->\n\n\
         What the RFCs and the contracts ask, where the code does it, and which test shows it.\n\n\
         {}. Where an RFC is departed from on purpose, [the last table](#departures-from-the-rfcs) says so and why.\n\n\
         Levels in CAPITALS are the RFC's key words (RFC 2119), those in small letters stand in its prose. *Inferred* \
         follows from the rest; *doc* is Windows' documents, *ours* a decision of this project, both together the \
         *contract*; *reading* is how an unclear passage is read, *informative* what binds nobody: a *note*.\n",
        table.tally()
    )?;
    summary(page, list, table)?;
    let mut family = "";
    for section in &list.sections {
        let (text, _) = section
            .source
            .split_once(" §")
            .unwrap_or((&section.source, ""));
        if text != family {
            writeln!(page, "\n## {text}")?;
            family = text;
        }
        writeln!(page, "\n### {}\n", section.title)?;
        if section.source != text {
            writeln!(page, "{}.\n", section.source)?;
        }
        writeln!(
            page,
            "| | level | role | requirement | code | shown by |\n|---|---|---|---|---|---|"
        )?;
        for requirement in &section.requirements {
            let row = &table.rows[requirement.id()];
            let departs = departures
                .iter()
                .any(|departure| departure.ids.iter().any(|id| id == requirement.id()));
            writeln!(
                page,
                "| {} | {} | {} | {}{} | {} | {} |",
                requirement.id(),
                requirement.level().word,
                requirement.roles().collect::<Vec<_>>().join(", "),
                cell(requirement.text()),
                if departs {
                    " ([departure](#departures-from-the-rfcs))"
                } else {
                    ""
                },
                places(&row.code, usize::MAX),
                shown_by(row),
            )?;
        }
    }
    writeln!(
        page,
        "\n## Departures from the RFCs\n\n\
         Each is marked `DEVIATION(` where it is made.\n\n\
         | from | what, and why | where |\n|---|---|---|"
    )?;
    for departure in departures {
        writeln!(
            page,
            "| {} | {} | {} |",
            departure.place,
            cell(&departure.text),
            link(&departure.file)
        )?;
    }
    Ok(())
}

/// How many of the requirements of each role and strength are met and shown.
fn summary(page: &mut String, list: &List, table: &Table<'_>) -> std::fmt::Result {
    let strengths = Strength::ALL.map(Strength::name).join(" | ");
    writeln!(
        page,
        "| shown, of all | {strengths} |\n|---|{}",
        "---|".repeat(Strength::ALL.len())
    )?;
    for role in list.roles().into_iter().map(Some).chain([None]) {
        write!(page, "| {} |", role.unwrap_or("**together**"))?;
        for strength in Strength::ALL {
            let counts = |row: &Row<'_>| {
                row.requirement.level().strength == strength
                    && row.standing() != Standing::Reading
                    && role.is_none_or(|role| row.requirement.roles().any(|of| of == role))
            };
            let all = table.count(counts);
            let shown = table.count(|row| counts(row) && row.standing() == Standing::Shown);
            match (shown, all) {
                (_, 0) => write!(page, " |")?,
                _ => write!(page, " {shown} of {all} |")?,
            }
        }
        writeln!(page)?;
    }
    Ok(())
}

fn shown_by(row: &Row<'_>) -> String {
    match row.reason {
        Some(Reason::Given(reason)) => format!("*{}*", cell(reason)),
        Some(Reason::NotYet(what)) => format!("*not there yet: {}*", cell(what)),
        None => places(&row.tests, TESTS),
    }
}

/// Files and the items in them, at most `most` for each file.
fn places(mentions: &[&Mention], most: usize) -> String {
    let mut files: Vec<(&str, Vec<&str>)> = Vec::new();
    for mention in mentions {
        let items = match files.iter_mut().find(|(file, _)| *file == mention.file) {
            Some((_, items)) => items,
            None => {
                files.push((&mention.file, Vec::new()));
                // It was pushed just now.
                &mut files.last_mut().expect("not empty").1
            }
        };
        items.extend(mention.item.as_deref());
    }
    let files = files.into_iter().map(|(file, items)| {
        let mut names: Vec<String> = items
            .iter()
            .take(most)
            .map(|item| format!("`{item}`"))
            .collect();
        if items.len() > most {
            names.push(format!("{} more", items.len() - most));
        }
        format!("{} {}", link(file), names.join(", "))
            .trim_end()
            .to_owned()
    });
    files.collect::<Vec<_>>().join("<br>")
}

/// `[teredo/client/send.rs](../crates/teredo/src/client/send.rs)`.
fn link(file: &str) -> String {
    let short = file
        .strip_prefix("crates/")
        .unwrap_or(file)
        .replacen("/src/", "/", 1);
    format!("[{short}](../{file})")
}

/// Escapes a text for a table, in which a bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
