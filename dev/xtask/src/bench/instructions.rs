//! The instructions that the hot functions take, beside those that are kept: a regression shows on a machine on which no
//! time can be measured.
//!
//! `dev/bench/benches/instructions` is what is counted; valgrind counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::command::{DIST, capture, cargo, run as execute, say, step};
use crate::{tools, tree};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fail where a function takes 5 % more instructions than are kept of it.
    #[arg(long)]
    check: bool,
    /// Keep what is counted, for others to be compared with.
    #[arg(long, conflicts_with = "check")]
    keep: bool,
}

/// How often the benchmark calls each function.
const CALLS: u64 = 100;
/// In percent; what is not compiled anew varies by less than one.
const TOLERANCE: f64 = 5.0;
const KEPT: &str = "dev/bench/benches/instructions/kept.toml";
const LIBRARY: &str = "gungraun";
const RUNNER: &str = "gungraun-runner";

/// Instructions for a call of each function.
type Counts = BTreeMap<String, u64>;

/// What is kept in [`KEPT`].
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
    let counted = Kept {
        compiler: compiler()?,
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
            "\nThe baseline is of {}, and this is {}: a change may be the compiler's.",
            kept.compiler, counted.compiler
        ))?;
    }
    ensure!(
        !options.check || worse.is_empty(),
        "more than {TOLERANCE} % above what is kept, or not comparable: {}",
        worse.join(", ")
    );
    Ok(())
}

/// The program that starts valgrind has to be of the library's version, so it is installed for this repository alone.
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
    // Nobody waits for it while it runs, but everybody for the compiler.
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

/// The compiler and what it compiles for, in a line.
fn compiler() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let text = capture(Command::new(rustc).arg("-vV"))?;
    let version = text.lines().next().context("rustc -vV says nothing")?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc -vV names no host")?;
    Ok(format!("{version} for {host}"))
}

/// Takes what gungraun writes apart: an object for each function, a line each.
fn counts(output: &str) -> Result<Counts> {
    let count = |line: &str| {
        let summary: Value = serde_json::from_str(line).ok()?;
        let name = summary["function_name"].as_str()?.to_owned();
        let total = &summary["profiles"][0]["data"]["total"]["metrics"];
        // Where there was a run before, both are there.
        let values = &total["Ir"]["values"];
        let both = values.get("both").and_then(|both| both.get(0));
        let count = values.get("new").or(both)?.as_u64()?;
        Some((name, count / CALLS))
    };
    let lines = output.lines().filter(|line| line.starts_with('{'));
    let counts: Option<Counts> = lines.map(count).collect();
    let counts = counts.context("gungraun has written something else than its summaries")?;
    ensure!(!counts.is_empty(), "gungraun has counted nothing");
    Ok(counts)
}

/// The table, and the functions that are worse than what is kept of them, or are only on one side.
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
