//! Checks `docs/notification-rules.md`: the rules of the notifications and the tests that show them.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::tree;

const TABLE: &str = "docs/notification-rules.md";
const LIST: &str = "docs/conformance.toml";
const C_PROGRAMS: &str = "crates/netioapi/core/tests/c";

/// Fails if a rule has no row, or if a row names a test that does not exist or does not name the rule.
pub(crate) fn check() -> Result<()> {
    let (table, list) = (tree::read(TABLE)?, tree::read(LIST)?);
    let rows: Vec<Row<'_>> = table.lines().filter_map(Row::parse).collect();
    let mut breaches = Vec::new();
    ensure!(rule_ids(&list).next().is_some(), "{LIST} has no rules");
    for id in rule_ids(&list) {
        if rows.iter().all(|row| row.id != id) {
            breaches.push(format!("{id} has no row"));
        }
    }
    for row in &rows {
        breaches.extend(
            row.breaches(|path| tree::read(&path.to_string_lossy()))
                .with_context(|| format!("{TABLE}: {}", row.id))?,
        );
    }
    ensure!(breaches.is_empty(), "{TABLE}:\n  {}", breaches.join("\n  "));
    Ok(())
}

/// A row of the table.
struct Row<'a> {
    id: &'a str,
    rust: &'a str,
    c: &'a str,
}

impl<'a> Row<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", id, _, _, rust, c, ""] = cells[..] else {
            return None;
        };
        id.starts_with("N-").then_some(Self { id, rust, c })
    }

    fn breaches(&self, read: impl Fn(&Path) -> Result<String>) -> Result<Vec<String>> {
        let Self { id, rust, c } = self;
        let mut breaches = Vec::new();
        if quoted(rust).next().is_none() {
            breaches.push(format!("{id} has no test in Rust"));
        }
        for test in quoted(rust) {
            let (file, name) = test
                .split_once("::")
                .with_context(|| format!("`{test}` is no file::test"))?;
            if !names(&read(Path::new(file))?, name, id) {
                breaches.push(format!("{id}: {file} has no test {name} that names it"));
            }
        }
        if quoted(c).next().is_none() && !c.starts_with("none: ") {
            breaches.push(format!("{id} has no test in C, and no reason"));
        }
        for file in quoted(c) {
            if !read(&Path::new(C_PROGRAMS).join(file))?.contains(id) {
                breaches.push(format!("{id}: {file} does not name it"));
            }
        }
        Ok(breaches)
    }
}

/// The IDs of the rules in the list of requirements, where each is the first string of a line.
fn rule_ids(list: &str) -> impl Iterator<Item = &str> {
    list.lines().filter_map(|line| {
        let (id, _) = line.trim().strip_prefix("[\"")?.split_once('"')?;
        id.starts_with("N-").then_some(id)
    })
}

/// The texts between backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Whether the comment of the test `name` has `id` in it.
fn names(source: &str, name: &str, id: &str) -> bool {
    let function = format!("fn {name}(");
    let mut comment = String::new();
    for line in source.lines().map(str::trim) {
        if line.starts_with("///") {
            comment.push_str(line);
        } else if line.contains(&function) {
            return comment.contains(id);
        } else if !line.starts_with("#[") {
            comment.clear();
        }
    }
    false
}

#[cfg(test)]
mod tests;
