//! House rules that neither the compiler nor clippy checks.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, ensure};
use proc_macro2::{TokenStream, TokenTree};

use crate::tree;

/// The most lines of a file: a longer one holds more than one concept.
const LONGEST: usize = 800;

/// Words that hide the subject of a sentence, in two parts so that this line has none.
const HARD: [&str; 2] = [concat!("Who", "ever "), concat!("somebody", "'s")];

/// Names that do not say what is inside.
const NAMELESS: &[&str] = &[
    "util", "utils", "helper", "helpers", "common", "misc", "manager",
];

/// The crates that contain `unsafe`, and no others do. C needs it, and the system calls that no safe wrapper covers.
const UNSAFE: &[&str] = &[
    "crates/teredo-tunnel",
    "crates/teredo-notify",
    "crates/netioapi",
];

/// Documents, and the files that they must show unchanged, because the tests run the files.
const SHOWN: &[(&str, &str)] = &[
    ("README.md", "crates/teredo-firewall/administrator.nft"),
    (
        "docs/notifications.md",
        "crates/teredo-notify/examples/follow.rs",
    ),
    (
        "docs/notifications.md",
        "crates/teredo-node/examples/embedded.rs",
    ),
];

/// Checks every file of the repository; the error lists all breaches.
pub(crate) fn check() -> Result<()> {
    let mut breaches: Vec<String> = tree::entries()?
        .iter()
        .filter_map(|path| nameless(path))
        .collect();
    breaches.extend(tree::rust_files()?.iter().filter_map(|path| mod_rs(path)));
    let mut with_unsafe = BTreeSet::new();
    for path in tree::rust_files()? {
        let text = tree::read(&path.to_string_lossy())?;
        let found = source(&path, &text);
        breaches.extend(
            found
                .into_iter()
                .map(|breach| format!("{}: {breach}", path.display())),
        );
        if let Some(folder) = may_be_unsafe(&path)
            && has_unsafe(&text)
        {
            with_unsafe.insert(folder);
        }
    }
    for folder in UNSAFE
        .iter()
        .filter(|&folder| !with_unsafe.contains(folder))
    {
        breaches.push(format!(
            "{folder} has no unsafe code any more: take it off the list in dev/xtask/src/lint.rs"
        ));
    }
    for (document, file) in SHOWN {
        if !tree::read(document)?.contains(&tree::read(file)?) {
            breaches.push(format!("{document} does not show {file} as it is"));
        }
    }
    ensure!(breaches.is_empty(), "\n  {}", breaches.join("\n  "));
    Ok(())
}

/// `foo.rs` stands beside `foo/`, so that editors and reviews show `foo.rs`, and not one of many `mod.rs`. Cargo would
/// take `tests/support.rs` for a test, so what tests share is in `tests/support/mod.rs`.
fn mod_rs(path: &Path) -> Option<String> {
    let folder = path.parent()?;
    let is_shared_by_tests = folder
        .parent()
        .is_some_and(|tests| tests.ends_with("tests"))
        && !path.components().any(|part| part.as_os_str() == "src");
    (path.ends_with("mod.rs") && !is_shared_by_tests)
        .then(|| format!("{}: move it to {}.rs", path.display(), folder.display()))
}

/// The folder of the list that a file is in.
fn may_be_unsafe(path: &Path) -> Option<&'static str> {
    UNSAFE
        .iter()
        .copied()
        .find(|folder| path.starts_with(folder))
}

/// Whether `unsafe` is a word of the program, rather than of a comment or a text.
fn has_unsafe(source: &str) -> bool {
    fn among(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(word) => word == "unsafe",
            TokenTree::Group(group) => among(group.stream()),
            _ => false,
        })
    }
    // What does not parse does not compile either.
    source.parse().is_ok_and(among)
}

fn nameless(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    NAMELESS
        .contains(&stem)
        .then(|| format!("{}: the name does not say what is inside", path.display()))
}

fn source(path: &Path, text: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    let length = text.lines().count();
    if length > LONGEST {
        breaches.push(format!(
            "{length} lines, more than {LONGEST}: split it by concept"
        ));
    }
    let is_root = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
    if may_be_unsafe(path).is_none() {
        if is_root && !text.contains("#![forbid(unsafe_code)]") {
            breaches.push("no #![forbid(unsafe_code)]".to_owned());
        }
        // The attribute covers the crate, and not its tests, examples and benchmarks.
        if has_unsafe(text) {
            breaches.push(format!("unsafe code outside of {}", UNSAFE.join(", ")));
        }
    }
    let mut in_doc = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        if line.starts_with("#[ignore") {
            breaches.push(format!("line {number}: an ignored test"));
        }
        if let Some(word) = HARD.into_iter().find(|word| line.contains(word)) {
            breaches.push(format!(
                "line {number}: \"{}\": say who or what it is",
                word.trim()
            ));
        }
        let doc = doc_text(line);
        if !in_doc && doc.is_some_and(is_clause) {
            breaches.push(format!(
                "line {number}: a doc comment begins with \"What\": name the thing, or say what it does"
            ));
        }
        in_doc = doc.is_some();
    }
    breaches
}

/// The text of a line that belongs to a doc comment.
fn doc_text(line: &str) -> Option<&str> {
    line.strip_prefix("///")
        .or_else(|| line.strip_prefix("//!"))
        .map(str::trim_start)
}

/// Whether a comment begins with a clause, as in "What a name is", and so without a noun or a verb that says more.
/// `teredo --help` shows one that begins with "What to do".
fn is_clause(doc: &str) -> bool {
    doc.starts_with("What ") && !doc.starts_with("What to do")
}

#[cfg(test)]
mod tests;
