//! The commands that the pages show: the real program must know them.
//!
//! Each one runs with `--help` behind it. So the program parses every word before that, refuses unknown commands, options
//! and values, and does nothing. That an option is missing does not show.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::html::Site;

/// The operators that end a command.
const ENDS: &[&str] = &["|", "||", "&", "&&", ";", "(", ")", "$(", "{", "}"];

/// Words before a command.
const BEFORE: &[&str] = &[
    "$", "sudo", "exec", "if", "while", "until", "then", "do", "!",
];

/// How many different commands there are, and which the program does not know.
pub(super) fn check(site: &Site, program: &Path) -> Result<(usize, Vec<String>)> {
    let mut shown: BTreeMap<Vec<String>, BTreeSet<&Path>> = BTreeMap::new();
    for (path, page) in &site.pages {
        for code in &page.code {
            if matches!(code.language.as_deref(), None | Some("sh" | "console")) {
                for command in commands(&code.text) {
                    shown.entry(command).or_default().insert(path);
                }
            }
        }
    }
    let mut faults = Vec::new();
    for (command, pages) in &shown {
        if let Some(complaint) = complaint(program, command)? {
            let pages: Vec<_> = pages.iter().map(|page| page.to_string_lossy()).collect();
            let command = command.join(" ");
            faults.push(format!(
                "{}: `teredo {command}`: {complaint}",
                pages.join(", ")
            ));
        }
    }
    Ok((shown.len(), faults))
}

/// The objection of the program to the command, if it has one.
fn complaint(program: &Path, command: &[String]) -> Result<Option<String>> {
    let output = Command::new(program)
        .args(command)
        .arg("--help")
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stderr);
    Ok((!output.status.success()).then(|| text.lines().next().unwrap_or_default().to_owned()))
}

/// The arguments of each call of the program in a piece of shell.
fn commands(shell: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in shell.replace("\\\n", " ").lines() {
        for words in words(line).split(|word| ENDS.contains(&word.as_str())) {
            let is_before = |word: &&String| BEFORE.contains(&word.as_str()) || is_assignment(word);
            let mut words = words.iter().skip_while(is_before);
            let is_ours = match words.next().map(String::as_str) {
                Some("teredo") => true,
                // The image has the name of the program, and starts it.
                Some("podman" | "docker") => {
                    words
                        .next()
                        .is_some_and(|word| matches!(word.as_str(), "run" | "exec"))
                        && words.any(|word| word == "teredo")
                }
                _ => false,
            };
            if is_ours {
                let redirection =
                    |word: &&String| word.starts_with(['>', '<']) || word.starts_with("2>");
                found.push(
                    words
                        .take_while(|word| !redirection(word))
                        .cloned()
                        .collect(),
                );
            }
        }
    }
    found
}

fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// The words and operators of a line, without its comment.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '|' | '&' | ';' | '(' | ')') => {
                words.extend(word.take());
                words.push(c.to_string());
            }
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests;
