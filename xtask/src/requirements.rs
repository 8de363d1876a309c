//! Which test shows which requirement.
//!
//! `docs/requirements.txt` lists the requirements, one a line: `ID | role | level | summary`. Tests name the IDs
//! that they show. `docs/requirements-exceptions.txt` lists the ones that no test can or need show: `ID | reason`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use anyhow::{Context as _, Result, ensure};

use crate::command::say;
use crate::tree;

const LIST: &str = "docs/requirements.txt";
const EXCEPTIONS: &str = "docs/requirements-exceptions.txt";

/// Prints the table; fails as [`check`] does.
pub(crate) fn run() -> Result<()> {
    report(|_| true)
}

/// Fails where a requirement has neither a test nor an exception, and where an exception is stale; prints what fails.
pub(crate) fn check() -> Result<()> {
    report(|shown| matches!(shown, ShownBy::Nothing(_)))
}

fn report(is_shown: impl Fn(&ShownBy<'_>) -> bool) -> Result<()> {
    let list = tree::read(LIST)?;
    let exceptions = tree::read(EXCEPTIONS)?;
    let names = named_by_tests()?;
    let table = Table::new(&list, &exceptions, &names)?;
    for row in table.rows.iter().filter(|row| is_shown(&row.shown_by)) {
        say(format_args!("{:<18} {}", row.id, row.shown_by))?;
    }
    let missing = table.count(|shown| matches!(shown, ShownBy::Nothing(_)));
    say(format_args!(
        "{} requirements: {} named by a test, {} excepted, {missing} neither",
        table.rows.len(),
        table.count(|shown| matches!(shown, ShownBy::Tests(_))),
        table.count(|shown| matches!(shown, ShownBy::Exception(_))),
    ))?;
    ensure!(
        table.stale.is_empty(),
        "{EXCEPTIONS}: {}",
        table.stale.join("; ")
    );
    ensure!(
        missing == 0,
        "{missing} requirements have neither a test nor a line in {EXCEPTIONS}: see `no test` above"
    );
    Ok(())
}

/// Each ID with the test files that name it.
type Names = BTreeMap<String, BTreeSet<String>>;

fn named_by_tests() -> Result<Names> {
    let mut names = Names::new();
    for path in tree::rust_files()?
        .iter()
        .filter(|path| path.starts_with("crates") && is_test(path))
    {
        let file = path.to_string_lossy();
        for id in ids(&tree::read(&file)?) {
            names
                .entry(id.to_owned())
                .or_default()
                .insert(file.clone().into_owned());
        }
    }
    Ok(names)
}

/// Whether a file holds tests: `tests.rs`, or anything in a folder whose name begins with `tests`.
fn is_test(path: &Path) -> bool {
    path.components().any(|part| match part {
        Component::Normal(name) => name.to_str().is_some_and(|name| name.starts_with("tests")),
        _ => false,
    })
}

/// The requirement IDs in a text.
fn ids(text: &str) -> impl Iterator<Item = &str> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    text.split(move |c: char| !part(c))
        .map(|word| word.trim_matches(['-', '.']))
        .filter(|word| is_id(word))
}

/// `N-01`, `F-1`, `L-01`, `W-01`, `R4380-5.2.1-03`, `R4380-GU-01`, `R-OLD-01`: a letter of the family, and a number at the end.
fn is_id(word: &str) -> bool {
    let Some((family, rest)) = word.split_once('-') else {
        return false;
    };
    let number = rest.rsplit('-').next().unwrap_or(rest);
    let numbered = (1..=2).contains(&number.len()) && number.chars().all(|c| c.is_ascii_digit());
    let of_a_text = family
        .strip_prefix('R')
        .is_some_and(|text| text.chars().all(|c| c.is_ascii_digit()));
    numbered
        && if of_a_text {
            rest.contains('-')
        } else {
            ["N", "F", "L", "W"].contains(&family) && rest == number
        }
}

struct Table<'a> {
    rows: Vec<Row<'a>>,
    /// Exceptions that are needed no more, and why.
    stale: Vec<String>,
}

struct Row<'a> {
    id: &'a str,
    shown_by: ShownBy<'a>,
}

enum ShownBy<'a> {
    Tests(&'a BTreeSet<String>),
    Exception(&'a str),
    Nothing(&'a str),
}

impl std::fmt::Display for ShownBy<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tests(files) => f.write_str(
                &files
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
            Self::Exception(reason) => write!(f, "(excepted: {reason})"),
            Self::Nothing(summary) => write!(f, "no test: {summary}"),
        }
    }
}

impl<'a> Table<'a> {
    fn new(list: &'a str, exceptions: &'a str, names: &'a Names) -> Result<Self> {
        let mut exceptions: BTreeMap<&str, &str> = records::<2>(exceptions)
            .map(|record| record.map(|[id, reason]| (id, reason)))
            .collect::<Result<_>>()
            .context(EXCEPTIONS)?;
        let mut rows: Vec<Row<'a>> = Vec::new();
        let mut stale = Vec::new();
        for record in records::<4>(list) {
            let [id, _role, _level, summary] = record.context(LIST)?;
            ensure!(is_id(id), "{LIST}: `{id}` is no requirement ID");
            ensure!(
                rows.iter().all(|row| row.id != id),
                "{LIST}: {id} is listed twice"
            );
            let shown_by = match (names.get(id), exceptions.remove(id)) {
                (Some(files), None) => ShownBy::Tests(files),
                (Some(files), Some(_)) => {
                    stale.push(format!("{id} has a test by now"));
                    ShownBy::Tests(files)
                }
                (None, Some(reason)) => ShownBy::Exception(reason),
                (None, None) => ShownBy::Nothing(summary),
            };
            rows.push(Row { id, shown_by });
        }
        stale.extend(exceptions.keys().map(|id| format!("{id} is not in {LIST}")));
        Ok(Self { rows, stale })
    }

    fn count(&self, wanted: impl Fn(&ShownBy<'_>) -> bool) -> usize {
        self.rows.iter().filter(|row| wanted(&row.shown_by)).count()
    }
}

/// The lines of a table with `N` columns parted by ` | `; `#` begins a comment line.
fn records<const N: usize>(text: &str) -> impl Iterator<Item = Result<[&str; N]>> {
    text.lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| {
            let columns: Vec<&str> = line.split(" | ").map(str::trim).collect();
            let count = columns.len();
            <[&str; N]>::try_from(columns)
                .ok()
                .with_context(|| format!("`{line}` has {count} columns instead of {N}"))
        })
}

#[cfg(test)]
mod tests;
