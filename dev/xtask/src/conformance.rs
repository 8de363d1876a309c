//! `cargo xtask conformance`: what the RFCs and the contracts ask, where the code does it, and which test shows it.
//!
//! `docs/conformance.toml` lists the requirements. An ID in a comment says that the code beside it meets the requirement;
//! in a test it says that the test shows it. `docs/conformance.md` shows both, and the deliberate departures from an RFC,
//! which are marked in the code.

mod departure;
mod list;
mod page;
mod source;
mod table;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::command::say;
use crate::tree;
use list::List;
use source::{Mention, Reader};
use table::Table;

const LIST: &str = "docs/conformance.toml";
const PAGE: &str = "docs/conformance.md";

/// Where an ID means a requirement. The tests of this program have IDs of their own.
const OURS: &[&str] = &["crates", "dev/bench", "dev/fuzz", "dev/sim"];

/// Where an ID names a requirement that others break, such as packets of a capture file.
const OTHERS: &[&str] = &[
    "crates/teredo-trace",
    "crates/teredo-cli/src/trace.rs",
    "crates/teredo-cli/src/trace",
];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write nothing, and fail if the page is stale.
    #[arg(long)]
    check: bool,
}

/// Writes the page, or compares it; fails if a requirement is left open.
pub(crate) fn run(options: &Options) -> Result<()> {
    let toml = tree::read(LIST)?;
    let list = List::parse(&toml).context(LIST)?;
    let found = read_sources()?;
    let table = Table::new(&list, &found.mentions);
    let page = page::render(&list, &table, &found.departures);
    if !options.check {
        fs::write(tree::root().join(PAGE), &page)
            .with_context(|| format!("cannot write {PAGE}"))?;
    }
    say(format_args!("    {}", table.tally()))?;
    let faults = table.faults(&list, &found);
    ensure!(faults.is_empty(), "\n  {}", faults.join("\n  "));
    ensure!(
        !options.check || fs::read_to_string(tree::root().join(PAGE)).is_ok_and(|old| old == page),
        "{PAGE} is stale: run `cargo xtask conformance`"
    );
    Ok(())
}

/// `cargo xtask conformance --check`.
pub(crate) fn check() -> Result<()> {
    run(&Options { check: true })
}

/// Everything found in the sources.
#[derive(Debug, Default)]
struct Found {
    mentions: Vec<Mention>,
    departures: Vec<departure::Departure>,
    /// Marks of departures that cannot be read.
    broken: Vec<String>,
}

fn read_sources() -> Result<Found> {
    let mut files = Vec::new();
    for path in tree::entries()? {
        let is_source = path
            .extension()
            .is_some_and(|extension| extension == "rs" || extension == "c");
        let is_in = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
        let is_ours = is_in(OURS) && !is_in(OTHERS);
        if is_source && is_ours && tree::root().join(&path).is_file() {
            let text = tree::read(&path.to_string_lossy())?;
            files.push((path, text));
        }
    }
    read(&files)
}

fn read(files: &[(impl AsRef<Path>, impl AsRef<str>)]) -> Result<Found> {
    let mut found = Found::default();
    let mut reader = Reader::default();
    for (path, text) in files {
        reader
            .note_test_modules(path.as_ref(), text.as_ref())
            .with_context(|| format!("cannot parse {}", path.as_ref().display()))?;
    }
    for (path, text) in files {
        let (path, text) = (path.as_ref(), text.as_ref());
        found.mentions.extend(reader.mentions(path, text)?);
        if path.extension().is_some_and(|extension| extension == "rs") {
            for departure in departure::departures(path, text) {
                match departure {
                    Ok(departure) => found.departures.push(departure),
                    Err(fault) => found.broken.push(fault),
                }
            }
        }
    }
    found.mentions.sort();
    found.departures.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
