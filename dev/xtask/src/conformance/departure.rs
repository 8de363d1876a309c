//! Deliberate departures from an RFC, as they are marked in the code: `DEVIATION(rfc4380 §5.2.1): what, and why.`
//!
//! The mark opens a paragraph of a comment. It has to be understood where it stands and in the table.

use std::path::Path;

use super::list::ids;

const MARK: &str = "DEVIATION(";

/// A departure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Departure {
    /// `rfc4380`.
    rfc: String,
    /// The numbers of its section, in the order in which sections are read.
    section: Vec<u32>,
    /// `RFC 4380 §5.2.1`.
    pub(super) place: String,
    /// The substitute, and the reason.
    pub(super) text: String,
    /// The requirements that are not met literally.
    pub(super) ids: Vec<String>,
    /// The file.
    pub(super) file: String,
}

/// The departures that are marked in a Rust file. A mark without a section or a text is an error.
pub(super) fn departures(
    path: &Path,
    source: &str,
) -> impl Iterator<Item = Result<Departure, String>> {
    let file = path.to_string_lossy().into_owned();
    let lines: Vec<&str> = source.lines().collect();
    let begins = |line: &str| comment(line).is_some_and(|text| text.starts_with(MARK));
    let marks = (0..lines.len()).filter(|&at| begins(lines[at]));
    let paragraphs: Vec<String> = marks
        .map(|at| {
            let more = lines[at + 1..].iter().map_while(|line| comment(line));
            let more = more.take_while(|text| !text.is_empty() && !text.starts_with(MARK));
            let first = comment(lines[at]).into_iter();
            first.chain(more).collect::<Vec<_>>().join(" ")
        })
        .collect();
    paragraphs
        .into_iter()
        .map(move |paragraph| parse(&file, &paragraph))
}

fn parse(file: &str, paragraph: &str) -> Result<Departure, String> {
    let broken = || format!("{file}: `{paragraph}` is not DEVIATION(rfcNNNN §N): what, and why");
    let (tag, text) = paragraph
        .strip_prefix(MARK)
        .and_then(|rest| rest.split_once("): "))
        .ok_or_else(broken)?;
    let (rfc, section) = tag.split_once(" §").ok_or_else(broken)?;
    let number = rfc.strip_prefix("rfc").ok_or_else(broken)?;
    let numbers: Result<Vec<u32>, _> = section.split('.').map(str::parse).collect();
    // The requirements stand at the end in parentheses, for the table of them; the text is without.
    let named: Vec<String> = ids(text).map(str::to_owned).collect();
    let text = match text.rsplit_once(" (") {
        Some((text, list)) if ids(list).next().is_some() => {
            text.to_owned() + list.rsplit(')').next().unwrap_or("")
        }
        _ => text.to_owned(),
    };
    Ok(Departure {
        rfc: rfc.to_owned(),
        section: numbers.map_err(|_| broken())?,
        place: format!("RFC {number} §{section}"),
        text: capitalised(&text),
        ids: named,
        file: file.to_owned(),
    })
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(characters)
        .collect()
}

/// The text of a line that holds only a comment.
fn comment(line: &str) -> Option<&str> {
    let text = line.trim_start().strip_prefix("//")?;
    Some(text.trim_start_matches(['/', '!']).trim())
}
