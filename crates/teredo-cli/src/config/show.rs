//! `teredo config show`: each setting, and the file and line, or the variable of the environment, that set it.

mod environment;
mod rows;

use std::fmt;
use std::path::{Path, PathBuf};

use anstyle::Style;
use clap::ValueEnum as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::check::checked;
use crate::args::{DEFAULT_CONFIG, Role};
use crate::failure::{Exit, Failure};
use crate::output::{Output, narrate};
use crate::text::plain;
use environment::Environment;
use rows::rows;

/// Wider values stand out of their column.
const MAX_WIDTH: usize = 44;

pub(super) fn run(
    role: Option<Role>,
    json: bool,
    chosen: Option<&Path>,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let layers = checked(chosen);
    let config = layers.mistakes.none_or(layers.config)?;
    let roles = match role {
        Some(role) => vec![role],
        None => Role::value_variants().to_vec(),
    };
    let section = |role| {
        let name = name(role);
        let rows = rows(role, &config, &Environment::of(name)?);
        Ok::<_, Failure>(Section { name, rows })
    };
    let sections: Result<_, _> = roles.into_iter().map(section).collect();
    let shown = Shown {
        files: layers.files,
        sections: sections?,
    };
    if json {
        output.json(&shown)?;
        return Ok(Exit::Done);
    }
    if !layers.has_main {
        narrate(format_args!("no {DEFAULT_CONFIG}"));
    }
    output.line(shown)?;
    Ok(Exit::Done)
}

/// The name of the section with the settings of a daemon.
fn name(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Server => "server",
        Role::Relay => "relay",
        Role::Firewall => "firewall",
    }
}

/// The object of schema `teredo.config/1`: the files, and a member for each section.
#[derive(Debug)]
struct Shown {
    files: Vec<PathBuf>,
    sections: Vec<Section>,
}

#[derive(Debug)]
struct Section {
    name: &'static str,
    rows: Vec<Row>,
}

/// A setting.
#[derive(Debug)]
struct Row {
    key: &'static str,
    /// Null if there is none.
    value: Value,
    /// The meaning of null.
    none: &'static str,
    /// `default`, `FILE:LINE`, or the name of a variable of the environment.
    source: String,
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let files = self.files.iter().map(|file| file.display().to_string());
        let files: Vec<_> = files.collect();
        let head = [
            ("schema", Value::from("teredo.config/1")),
            ("files", Value::from(files)),
        ];
        let sections = self.sections.iter().map(|section| {
            let settings = section.rows.iter().map(|row| {
                let value = serde_json::json!({ "value": row.value, "source": row.source });
                (row.key.to_owned(), value)
            });
            (section.name, Value::Object(settings.collect()))
        });
        serializer.collect_map(head.into_iter().chain(sections))
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = || self.sections.iter().flat_map(|section| &section.rows);
        let keys = rows().map(|row| row.key.len()).max().unwrap_or(0);
        let widths = rows().map(|row| row.text().chars().count());
        let values = widths
            .filter(|&width| width <= MAX_WIDTH)
            .max()
            .unwrap_or(0);
        for (index, section) in self.sections.iter().enumerate() {
            let bold = Style::new().bold();
            let gap = if index == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{bold}[{}]{bold:#}", section.name)?;
            for row in &section.rows {
                let dim = match row.source.as_str() {
                    rows::DEFAULT => Style::new().dimmed(),
                    _ => Style::new(),
                };
                let (key, text, source) = (row.key, row.text(), &row.source);
                write!(f, "\n{key:keys$}  {text:values$}  {dim}{source}{dim:#}")?;
            }
        }
        Ok(())
    }
}

impl Row {
    /// The value for people, on one line.
    fn text(&self) -> String {
        plain(&words(&self.value, self.none))
    }
}

fn words(value: &Value, none: &str) -> String {
    match value {
        Value::Null => none.to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => none.to_owned(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| words(item, none)).collect();
            items.join(", ")
        }
        Value::Object(parts) => {
            let parts: Vec<_> = parts.values().map(|part| words(part, none)).collect();
            parts.join(" and ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
