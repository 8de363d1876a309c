//! The licences of all dependencies, held against the list in `deny.toml`.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::command::{capture, cargo, run, succeeds};
use crate::tree;

/// Checks every package that a build for this machine links or runs, the model checker included.
pub(crate) fn check() -> Result<()> {
    let allowed = allowed(&tree::read("deny.toml")?)?;
    let mut metadata = cargo(&[
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        &host()?,
    ]);
    let metadata = capture(metadata.env("RUSTFLAGS", "--cfg shuttle"))?;
    let metadata: Value =
        serde_json::from_str(&metadata).context("cannot read the output of cargo metadata")?;
    let used: Vec<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .context("cargo metadata names no dependency graph")?
        .iter()
        .filter_map(|node| node["id"].as_str())
        .collect();
    let mut refused = Vec::new();
    for package in metadata["packages"]
        .as_array()
        .context("cargo metadata names no packages")?
    {
        if !package["id"].as_str().is_some_and(|id| used.contains(&id)) {
            continue;
        }
        let name = package["name"].as_str().unwrap_or("?");
        let Some(expression) = package["license"].as_str() else {
            refused.push(format!("{name} names no licence"));
            continue;
        };
        if !satisfied(expression, &allowed).with_context(|| format!("the licence of {name}"))? {
            refused.push(format!("{name}: {expression}"));
        }
    }
    ensure!(
        refused.is_empty(),
        "not in deny.toml's list of licences: {}",
        refused.join("; ")
    );

    if succeeds(&mut cargo(&["deny", "--version"])) {
        // The advisories are a matter of the day, not of the change: they would need the network.
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

/// The target that rustc builds for by default.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = capture(std::process::Command::new(rustc).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// Whether an SPDX expression can be met with the `allowed` licences alone.
///
/// `AND` binds stronger than `OR`; a `/` is the `OR` of old manifests; what stands after `WITH` is an exception
/// that only ever adds permissions, so the licence before it decides. SPDX 3 has the operators all in capitals or all in
/// small letters.
fn satisfied(expression: &str, allowed: &[String]) -> Result<bool> {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let capital = |word| match word {
        "and" => "AND",
        "or" => "OR",
        "with" => "WITH",
        other => other,
    };
    let words: Vec<&str> = spaced.split_whitespace().map(capital).collect();
    let mut parser = Parser {
        words: &words,
        allowed,
    };
    let met = parser.any()?;
    ensure!(
        parser.words.is_empty(),
        "`{expression}` is no SPDX expression"
    );
    Ok(met)
}

struct Parser<'a> {
    words: &'a [&'a str],
    allowed: &'a [String],
}

impl Parser<'_> {
    fn any(&mut self) -> Result<bool> {
        let mut met = self.all()?;
        while self.take("OR") {
            met |= self.all()?;
        }
        Ok(met)
    }

    fn all(&mut self) -> Result<bool> {
        let mut met = self.one()?;
        while self.take("AND") {
            met &= self.one()?;
        }
        Ok(met)
    }

    fn one(&mut self) -> Result<bool> {
        if self.take("(") {
            let met = self.any()?;
            ensure!(self.take(")"), "a parenthesis is not closed");
            return Ok(met);
        }
        let name = match self.words.split_first() {
            Some((&name, rest)) if !["AND", "OR", "WITH", ")"].contains(&name) => {
                self.words = rest;
                name
            }
            _ => bail!("a licence is missing"),
        };
        if self.take("WITH") {
            let (_, rest) = self
                .words
                .split_first()
                .context("an exception is missing after WITH")?;
            self.words = rest;
        }
        Ok(self.allowed.iter().any(|allowed| allowed == name))
    }

    fn take(&mut self, word: &str) -> bool {
        match self.words.split_first() {
            Some((&first, rest)) if first == word => {
                self.words = rest;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
