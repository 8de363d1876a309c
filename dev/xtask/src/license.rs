//! The licences of all dependencies, checked against the list in `deny.toml`.

use std::collections::HashSet;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::MetadataCommand;
use spdx::{Expression, ParseMode};

use crate::command::{capture, cargo, compiler, run, succeeds};
use crate::tree;

/// Checks every package that a build for this machine links or runs, the model checker included.
pub(crate) fn check() -> Result<()> {
    let allowed = allowed(&tree::read("deny.toml")?)?;
    let (_, host) = compiler()?;
    let mut metadata = cargo(&[
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        &host,
    ]);
    let metadata = capture(metadata.env("RUSTFLAGS", "--cfg shuttle"))?;
    let metadata =
        MetadataCommand::parse(metadata).context("cannot read the output of cargo metadata")?;
    let graph = metadata
        .resolve
        .context("cargo metadata names no dependency graph")?;
    let used: HashSet<_> = graph.nodes.into_iter().map(|node| node.id).collect();
    let mut refused = Vec::new();
    for package in metadata.packages {
        if !used.contains(&package.id) {
            continue;
        }
        let name = package.name;
        let Some(expression) = package.license else {
            refused.push(format!("{name} names no licence"));
            continue;
        };
        if !satisfied(&expression, &allowed).with_context(|| format!("the licence of {name}"))? {
            refused.push(format!("{name}: {expression}"));
        }
    }
    ensure!(
        refused.is_empty(),
        "not in deny.toml's list of licences: {}",
        refused.join("; ")
    );

    if succeeds(&mut cargo(&["deny", "--version"])) {
        // Advisories need the network, and change without a change here.
        run(&mut cargo(&[
            "deny",
            "--offline",
            "--locked",
            "check",
            "bans",
            "licenses",
            "sources",
        ]))?;
    }
    Ok(())
}

/// The licences that `deny.toml` allows.
fn allowed(deny: &str) -> Result<Vec<String>> {
    let deny: toml::Table = deny.parse().context("cannot read deny.toml")?;
    let list = deny
        .get("licenses")
        .and_then(|licenses| licenses.get("allow"))
        .and_then(toml::Value::as_array);
    let list = list.context("deny.toml has no licenses.allow")?;
    Ok(list
        .iter()
        .filter_map(toml::Value::as_str)
        .map(str::to_owned)
        .collect())
}

/// Whether the `allowed` licences alone meet an SPDX expression, in any of the spellings of crates.io.
///
/// An exception (`WITH`) only adds permissions, so the licence before it decides.
fn satisfied(expression: &str, allowed: &[String]) -> Result<bool> {
    let parsed = Expression::parse_mode(expression, ParseMode::LAX)
        .with_context(|| format!("`{expression}` is no SPDX expression"))?;
    Ok(parsed.evaluate(|required| {
        let id = required.license.id();
        id.is_some_and(|id| allowed.iter().any(|allowed| allowed == id.name))
    }))
}

#[cfg(test)]
mod tests;
