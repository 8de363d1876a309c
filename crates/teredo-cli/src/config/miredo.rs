//! `teredo config import-miredo`: translates a configuration of miredo, or of its server.
//!
//! Each directive becomes a setting, or a remark on standard error says why not. What is printed is valid: each setting is
//! read as a file of teredo before it is written.

mod directive;
mod number;
mod translation;

use std::fs::File;
use std::path::Path;

use super::MAX_FILE;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::output::{Output, narrate};
use crate::text::plain;
use directive::Source;
use translation::Translation;

pub(super) fn run(path: &Path, output: &mut Output) -> Result<Exit, Failure> {
    let name = plain(&path.display().to_string());
    let bytes = File::open(path)
        .and_then(|file| file::read_open(file, MAX_FILE))
        .map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot read {name}"))
                .because(error)
                .hint("check that the file exists and that this user may read it")
        })?;
    let source = Source::parse(&bytes).map_err(|error| {
        let hint = if error.may_be_toml() {
            format!("'teredo config check {name}' checks a configuration of teredo")
        } else {
            String::from(
                "name a miredo.conf or a miredo-server.conf, such as /etc/miredo/miredo.conf",
            )
        };
        Failure::new(
            Exit::Failed,
            format!("{name} is no configuration of miredo"),
        )
        .because(error)
        .hint(hint)
    })?;
    let translation = Translation::of(source);
    output.line(format_args!("# Translated from {name}\n{translation}"))?;
    for remark in &translation.remarks {
        match remark.line {
            Some(line) => narrate(format_args!("{name}:{line}: {}", remark.text)),
            None => narrate(format_args!("{name}: {}", remark.text)),
        }
    }
    Ok(Exit::Done)
}

/// A directive without a translation, or with a partial one, and the reason.
#[derive(Debug, PartialEq, Eq)]
struct Remark {
    line: Option<usize>,
    text: String,
}

impl Remark {
    fn new(line: usize, text: impl AsRef<str>) -> Self {
        Self {
            line: Some(line),
            text: plain(text.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests;
