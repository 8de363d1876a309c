//! The instructions of the hot functions, compared with a kept baseline. This shows a regression even on a machine that is
//! too busy to measure time.
//!
//! Valgrind counts the instructions of `dev/bench/benches/instructions`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::command::{DIST, capture, cargo, compiler, run as execute, say, step};
use crate::{tools, tree};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fail if a function takes 5 % more instructions than its baseline.
    #[arg(long)]
    check: bool,
    /// Keep these counts as the new baseline.
    #[arg(long, conflicts_with = "check")]
    keep: bool,
}

/// How often the benchmark calls each function.
const CALLS: u64 = 100;
/// In percent. The same binary varies by less than one.
const TOLERANCE: f64 = 5.0;
const KEPT: &str = "dev/bench/benches/instructions/kept.toml";
const LIBRARY: &str = "gungraun";
const RUNNER: &str = "gungraun-runner";

/// Instructions for a call of each function.
type Counts = BTreeMap<String, u64>;

/// The content of [`KEPT`].
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    compiler: String,
    instructions: Counts,
}

pub(super) fn run(options: &Options) -> Result<()> {
    tools::ensure_installed(tools::INSTRUCTIONS)?;
    let runner = runner()?;
    let bench = |arguments: &[&str]| {
        let mut command = cargo(&["bench", "--quiet", "--locked", "--profile", DIST]);
        command
            .args(["-p", "teredo-bench"])
            .args(["--bench", "instructions"])
            .args(arguments)
            .env("GUNGRAUN_RUNNER", &runner)
            .env("PATH", tools::search_path());
        command
    };
    execute(&mut bench(&["--no-run"]))?;
    let (version, host) = compiler()?;
    let counted = Kept {
        compiler: format!("{version} for {host}"),
        instructions: counts(&capture(&mut bench(&["--", "--output-format=json"]))?)?,
    };
    let file = tree::root().join(KEPT);
    if options.keep {
        let text = format!(
            "# Instructions for a call of each function. Made by `cargo xtask bench instructions --keep`.\n\n{}",
            toml::to_string(&counted)?
        );
        return fs::write(&file, text).with_context(|| format!("cannot write {KEPT}"));
    }
    let kept: Kept =
        toml::from_str(&tree::read(KEPT)?).with_context(|| format!("cannot read {KEPT}"))?;
    let (table, worse) = compare(&counted.instructions, &kept.instructions);
    say(table.trim_end())?;
    if counted.compiler != kept.compiler {
        say(format_args!(
            "\nThe baseline comes from {}, and these counts from {}: the compiler may explain a change.",
            kept.compiler, counted.compiler
        ))?;
    }
    ensure!(
        !options.check || worse.is_empty(),
        "more than {TOLERANCE} % above the baseline, or without counterpart: {}",
        worse.join(", ")
    );
    Ok(())
}

/// The program that starts valgrind. It must have the version of the library, so it is installed for this repository only.
fn runner() -> Result<PathBuf> {
    if let Some(runner) = std::env::var_os("GUNGRAUN_RUNNER") {
        return Ok(runner.into());
    }
    let version = locked(&tree::read("Cargo.lock")?)?;
    let folder = tree::target_dir().join(format!("{RUNNER}-{version}"));
    let runner = folder.join("bin").join(RUNNER);
    if !runner.is_file() {
        step(&format!("{RUNNER} {version}, once: some minutes"), || {
            install(&version, &folder)
        })?;
    }
    Ok(runner)
}

fn install(version: &str, folder: &Path) -> Result<()> {
    let package = format!("{RUNNER}@={version}");
    // Its own speed does not matter, but the time to compile it does.
    let mut command = cargo(&["install", "--quiet", "--locked", "--debug", &package]);
    execute(command.arg("--root").arg(folder))
}

/// The version of the library.
fn locked(lock: &str) -> Result<String> {
    let lock: toml::Table = lock.parse().context("cannot read Cargo.lock")?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let version = packages.into_iter().flatten().find_map(|package| {
        (package.get("name")?.as_str()? == LIBRARY).then(|| package.get("version")?.as_str())?
    });
    let version = version.with_context(|| format!("Cargo.lock names no {LIBRARY}"))?;
    Ok(version.to_owned())
}

/// Parses the output of gungraun: an object for each function, each on a line.
fn counts(output: &str) -> Result<Counts> {
    let count = |line: &str| {
        let summary: Value = serde_json::from_str(line).ok()?;
        let name = summary["function_name"].as_str()?.to_owned();
        let total = &summary["profiles"][0]["data"]["total"]["metrics"];
        // After an earlier run, both counts are there.
        let values = &total["Ir"]["values"];
        let both = values.get("both").and_then(|both| both.get(0));
        let count = values.get("new").or(both)?.as_u64()?;
        Some((name, count / CALLS))
    };
    let lines = output.lines().filter(|line| line.starts_with('{'));
    let counts: Option<Counts> = lines.map(count).collect();
    let counts = counts.context("gungraun did not write its summaries")?;
    ensure!(!counts.is_empty(), "gungraun counted nothing");
    Ok(counts)
}

/// The table, and the functions that are worse than their baseline or have no counterpart.
fn compare(counted: &Counts, kept: &Counts) -> (String, Vec<String>) {
    let names: BTreeSet<&String> = counted.keys().chain(kept.keys()).collect();
    let [name, count, baseline, change] = ["function", "instructions", "baseline", "change"];
    let widths = names.iter().map(|name| name.len());
    let width = widths.fold(name.len(), usize::max);
    let mut worse = Vec::new();
    let mut table = format!("{name:<width$}  {count:>12}  {baseline:>12}  {change:>8}\n");
    for name in names {
        let cell = |counts: &Counts| {
            counts
                .get(name)
                .map_or_else(|| "-".to_owned(), u64::to_string)
        };
        let (change, verdict) = match (counted.get(name), kept.get(name)) {
            (Some(&now), Some(&before)) => {
                let change = 100.0 * (now as f64 - before as f64) / before as f64;
                let verdict = match change {
                    _ if change > TOLERANCE => "WORSE",
                    _ if change < -TOLERANCE => "better",
                    _ => "",
                };
                (format!("{change:+.1} %"), verdict)
            }
            (Some(_), None) => ("-".to_owned(), "NOT KEPT"),
            (None, _) => ("-".to_owned(), "NOT COUNTED"),
        };
        if verdict.contains(char::is_uppercase) {
            worse.push(name.clone());
        }
        let (count, baseline) = (cell(counted), cell(kept));
        let line = format!("{name:<width$}  {count:>12}  {baseline:>12}  {change:>8}  {verdict}");
        // Writing to a string does not fail.
        let _ = writeln!(table, "{}", line.trim_end());
    }
    (table, worse)
}

#[cfg(test)]
mod tests;
