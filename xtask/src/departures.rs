//! The deliberate departures from RFCs: marked in the code, listed in `ARCHITECTURE.md`, and the two must agree.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

use crate::tree;

const LIST: &str = "ARCHITECTURE.md";
const HEADING: &str = "## Departures from the RFCs";
const MARK: &str = "DEVIATION(";

/// Fails where a section is departed from in the code and not in the list, or the other way round.
pub(crate) fn check() -> Result<()> {
    let text = tree::read(LIST)?;
    let listed = listed(&text).with_context(|| format!("{LIST} has no section `{HEADING}`"))?;
    let mut marked = BTreeSet::new();
    for path in tree::rust_files()?
        .iter()
        .filter(|path| path.starts_with("crates"))
    {
        marked.extend(marks(&tree::read(&path.to_string_lossy())?).map(str::to_owned));
    }
    let join = |tags: Vec<&str>| tags.join(", ");
    let unlisted = marked
        .iter()
        .map(String::as_str)
        .filter(|tag| !listed.contains(tag))
        .collect::<Vec<_>>();
    ensure!(
        unlisted.is_empty(),
        "marked in the code, not listed in {LIST}: {}",
        join(unlisted)
    );
    let unmarked = listed
        .into_iter()
        .filter(|tag| !marked.contains(*tag))
        .collect::<Vec<_>>();
    ensure!(
        unmarked.is_empty(),
        "listed in {LIST}, not marked in the code: {}",
        join(unmarked)
    );
    Ok(())
}

/// What stands in the parentheses of each mark: `rfc4380 §5.2.1`.
fn marks(source: &str) -> impl Iterator<Item = &str> {
    source
        .split(MARK)
        .skip(1)
        .filter_map(|rest| rest.split_once("):"))
        .map(|(tag, _)| tag)
        .filter(|tag| tag.starts_with("rfc"))
}

/// The first column of the table under the heading.
fn listed(text: &str) -> Option<BTreeSet<&str>> {
    let (_, section) = text.split_once(HEADING)?;
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows = section
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    Some(rows.filter(|tag| tag.starts_with("rfc")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_in_comments_and_mentions_are_not() {
        let source = "// DEVIATION(rfc4380 §5.3): why.\n/// DEVIATION(rfc6081 §4): why.\n//! marked `DEVIATION(` in the code. (x):";
        assert_eq!(
            marks(source).collect::<Vec<_>>(),
            ["rfc4380 §5.3", "rfc6081 §4"]
        );
    }

    #[test]
    fn the_list_is_the_first_column_under_the_heading() {
        let text = "| rfc1 §1 | no |\n\n## Departures from the RFCs\n\n| where | what |\n|---|---|\n| rfc4380 §5.3 | x |\n\n## Tests\n| rfc2 §2 | no |";
        assert_eq!(
            listed(text).unwrap().into_iter().collect::<Vec<_>>(),
            ["rfc4380 §5.3"]
        );
        assert!(listed("").is_none());
    }
}
