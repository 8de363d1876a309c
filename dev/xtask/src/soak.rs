//! `cargo xtask soak`: builds the programs and the soak of `dev/soak`, and starts it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{DIST, build_as_tests, cargo, run as execute, step};
use crate::{tools, tree};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long to go on inflicting faults, in seconds.
    #[arg(long, value_name = "N", default_value_t = 3600)]
    seconds: u64,
    /// The seed of the faults: the same seed gives the same sequence [default: a random one, which is printed].
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// The folder for report.json and timeline.svg [default: target/soak].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The length in the ordinary test run, and in the long one.
const SHORT: u64 = 40;
const LONG: u64 = 300;

/// Runs it with the program as it is installed.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "the soak needs root, for network namespaces; run `cargo xtask soak` as root"
    );
    tools::ensure_installed(tools::SOAK)?;
    tools::ensure_namespaces()?;
    let packages = ["-p", "teredo-cli", "-p", "teredo-soak"];
    let mut build = cargo(&["build", "--quiet", "--locked", "--profile", DIST]);
    build.args(packages);
    step("building the programs, optimised", || execute(&mut build))?;
    start(options, DIST)
}

/// Runs it as a part of the tests, with the programs of the tests.
pub(crate) fn test(long: bool) -> Result<()> {
    // Before the soak, so that the compiler does not disturb it.
    execute(&mut build_as_tests(&[
        "--bin",
        "teredo",
        "--bin",
        "teredo-soak",
    ]))?;
    let options = Options {
        seconds: if long { LONG } else { SHORT },
        seed: None,
        out: None,
    };
    start(&options, "debug")
}

fn start(options: &Options, profile: &str) -> Result<()> {
    let folder = tree::target_dir().join(profile);
    let out = match &options.out {
        // A relative path is the caller's, not the repository's.
        Some(out) => std::path::absolute(out).context("--out is no path")?,
        None => tree::target_dir().join("soak"),
    };
    let mut command = Command::new(folder.join("teredo-soak"));
    command
        .args(["--seconds", &options.seconds.to_string()])
        .arg("--program")
        .arg(folder.join("teredo"))
        .arg("--out")
        .arg(out)
        .env("PATH", tools::search_path());
    if let Some(seed) = options.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    let status = command
        .status()
        .context("cannot start the soak that was just built")?;
    if !status.success() {
        bail!("the soak has failed ({status}): see above");
    }
    Ok(())
}
