//! `cargo xtask sim`: experiments on the simulated internet of `dev/sim`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::command::{DIST, cargo, run as execute};
use crate::tree;

/// Run experiments on the simulated internet.
#[derive(clap::Subcommand)]
pub(crate) enum Experiment {
    /// Write docs/nat-matrix.md, its picture and its JSON: which NATs meet, which RFC 6081 promises, and which can.
    Matrix(Documents),
    /// Write docs/nat-delay.md, its picture and its JSON: how long it takes until two programs talk.
    Delay(Delay),
    /// Run a million clients for a day, and check that nothing breaks.
    Million(Million),
}

#[derive(clap::Args)]
pub(crate) struct Documents {
    /// The folder to write into [default: docs].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The runs of each cell [default: the number that the documents have].
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
}

#[derive(clap::Args)]
pub(crate) struct Delay {
    #[command(flatten)]
    documents: Documents,
    /// Print JSON instead of the tables.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct Million {
    /// The number of clients [default: a million].
    #[arg(long, value_name = "N")]
    clients: Option<u32>,
    /// The virtual time in hours [default: 24].
    #[arg(long, value_name = "H")]
    hours: Option<f64>,
    /// The threads, which change nothing but the time that it takes [default: 2].
    #[arg(long, value_name = "T")]
    threads: Option<u8>,
    /// The seed: the same seed gives the same hash [default: 1].
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
    /// The folder for the document of the run and its JSON [default: docs, if the run is a whole one].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(experiment: &Experiment) -> Result<()> {
    match experiment {
        Experiment::Matrix(options) => matrix(options),
        Experiment::Delay(options) => delay(options),
        Experiment::Million(options) => million(options),
    }
}

fn million(options: &Million) -> Result<()> {
    let mut command = experiment("teredo-million", DIST);
    let numbers = [
        ("--clients", options.clients.map(|n| n.to_string())),
        ("--hours", options.hours.map(|n| n.to_string())),
        ("--threads", options.threads.map(|n| n.to_string())),
        ("--seed", options.seed.map(|n| n.to_string())),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            command.args([name, &value]);
        }
    }
    if options.json {
        command.arg("--json");
    }
    let is_whole = options.clients.is_none() && options.hours.is_none();
    if is_whole || options.out.is_some() {
        command.arg("--out").arg(folder(options.out.as_deref())?);
    }
    execute(&mut command)
}

fn matrix(options: &Documents) -> Result<()> {
    execute(&mut documenting("teredo-matrix", options)?)
}

fn delay(options: &Delay) -> Result<()> {
    let mut command = documenting("teredo-delay", &options.documents)?;
    if options.json {
        command.arg("--json");
    }
    execute(&mut command)
}

/// An experiment that writes its documents into a folder.
fn documenting(package: &str, options: &Documents) -> Result<Command> {
    let mut command = experiment(package, "release");
    command.arg("--out").arg(folder(options.out.as_deref())?);
    if let Some(seeds) = options.seeds {
        command.args(["--seeds", &seeds.to_string()]);
    }
    Ok(command)
}

/// The folder to write into, by its absolute path.
fn folder(out: Option<&Path>) -> Result<PathBuf> {
    match out {
        // A relative path is the caller's, not the repository's.
        Some(out) => Ok(std::path::absolute(out)?),
        None => Ok(tree::root().join("docs")),
    }
}

fn experiment(package: &str, profile: &str) -> Command {
    let mut command = cargo(&["run", "--locked", "--quiet", "--profile", profile]);
    command.args(["-p", package, "--"]);
    command
}
