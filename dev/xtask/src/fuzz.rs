//! The fuzz targets in `dev/fuzz/`, one after the other, and the inputs that the repository keeps.

mod kept;

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::command::{self, capture, cargo_of, step, succeeds};
use crate::tree;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long each target runs.
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Write the inputs that reach all covered code to dev/fuzz/kept, for the tests.
    #[arg(long)]
    keep: bool,
    /// Run only these targets.
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

/// An input that takes longer than this, in seconds, is a finding; so is one that takes more memory, in MiB.
const LIMITS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=2048"];

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure_tools()?;
    let listing = capture(&mut cargo_fuzz("list"))?;
    let known: Vec<&str> = listing.split_whitespace().collect();
    for name in &options.targets {
        ensure!(
            known.contains(&name.as_str()),
            "no fuzz target {name}; there are: {}",
            known.join(", ")
        );
    }
    let chosen = |name: &&str| {
        options.targets.is_empty() || options.targets.iter().any(|target| target == name)
    };
    let limit = format!("-max_total_time={}", options.seconds);
    for target in known.iter().copied().filter(chosen) {
        step(&format!("fuzz {target}"), || {
            kept::unpack(target)?;
            let mut command = cargo_fuzz("run");
            command.args([target, "--", &limit]).args(LIMITS);
            command::run(&mut command)
        })?;
        if options.keep {
            step(&format!("keep {target}"), || keep(target))?;
        }
    }
    Ok(())
}

/// Keeps the smallest inputs that together reach all covered code, and some that reach it more or less often.
fn keep(target: &str) -> Result<()> {
    let chosen = tempfile::tempdir().context("cannot make a folder for the inputs")?;
    let merge = |counters: &str| {
        let mut command = cargo_fuzz("run");
        command
            .arg(target)
            .arg(chosen.path())
            .arg(kept::found(target))
            .args(["--", "-merge=1", counters])
            .args(LIMITS);
        command::run(&mut command)?;
        kept::inputs(chosen.path())
    };
    let needed = merge("-use_counters=0")?;
    let others = merge("-use_counters=1")?;
    kept::pack(target, needed, others)
}

fn ensure_tools() -> Result<()> {
    let mut missing = Vec::new();
    if !tree::root().join("dev/fuzz/Cargo.toml").is_file() {
        missing.push("dev/fuzz/Cargo.toml, the targets themselves");
    }
    if !succeeds(nightly().arg("--version")) {
        missing.push("the nightly toolchain: rustup toolchain install nightly");
    }
    if !succeeds(nightly().args(["fuzz", "--version"])) {
        missing.push("cargo-fuzz: cargo install cargo-fuzz");
    }
    ensure!(missing.is_empty(), "missing:\n  {}", missing.join("\n  "));
    Ok(())
}

fn cargo_fuzz(subcommand: &str) -> Command {
    let mut command = nightly();
    command.args(["fuzz", subcommand, "--fuzz-dir", "dev/fuzz"]);
    command
}

fn nightly() -> Command {
    cargo_of("nightly")
}
