//! House rules that neither the compiler nor clippy knows.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::tree;

/// A file that is longer holds more than one concept.
const LONGEST: usize = 800;

/// Names that say nothing of what is inside.
const NAMELESS: &[&str] = &[
    "util", "utils", "helper", "helpers", "common", "misc", "manager",
];

/// The crates that may contain `unsafe`.
const UNSAFE: &[&str] = &[
    "crates/teredo-tunnel",
    "crates/teredo-notify",
    "crates/netioapi",
];

/// Documents, and the files that they show: what is tested is what is read.
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
    for path in tree::rust_files()? {
        let text = tree::read(&path.to_string_lossy())?;
        breaches.extend(
            source(&path, &text)
                .into_iter()
                .map(|breach| format!("{}: {breach}", path.display())),
        );
    }
    for (document, file) in SHOWN {
        if !tree::read(document)?.contains(&tree::read(file)?) {
            breaches.push(format!("{document} does not show {file} as it is"));
        }
    }
    ensure!(breaches.is_empty(), "\n  {}", breaches.join("\n  "));
    Ok(())
}

fn nameless(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    NAMELESS.contains(&stem).then(|| {
        format!(
            "{}: the name says nothing of what is inside",
            path.display()
        )
    })
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
    if is_root
        && !UNSAFE.iter().any(|folder| path.starts_with(folder))
        && !text.contains("#![forbid(unsafe_code)]")
    {
        breaches.push("no #![forbid(unsafe_code)]".to_owned());
    }
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("#[ignore") {
            breaches.push(format!("line {number}: an ignored test"));
        }
    }
    breaches
}

#[cfg(test)]
mod tests;
