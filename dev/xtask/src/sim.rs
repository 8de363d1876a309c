//! `cargo xtask sim`: experiments on the simulated internet of `dev/sim`.

use anyhow::Result;

use crate::command::{cargo, run as execute};
use crate::tree;

/// Run experiments on the simulated internet.
#[derive(clap::Subcommand)]
pub(crate) enum Experiment {
    /// Write docs/nat-matrix.md, its picture and its JSON: which NATs meet, which RFC 6081 promises, and which can.
    Matrix(Matrix),
}

#[derive(clap::Args)]
pub(crate) struct Matrix {
    /// The folder to write into [default: docs].
    #[arg(long, value_name = "DIR")]
    out: Option<std::path::PathBuf>,
    /// The runs of each cell [default: the number that the documents have].
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
}

pub(crate) fn run(experiment: &Experiment) -> Result<()> {
    match experiment {
        Experiment::Matrix(options) => matrix(options),
    }
}

fn matrix(options: &Matrix) -> Result<()> {
    let out = match &options.out {
        // A relative path is the caller's, not the repository's.
        Some(out) => std::path::absolute(out)?,
        None => tree::root().join("docs"),
    };
    let mut command = cargo(&["run", "--locked", "--release", "--quiet"]);
    command
        .args(["-p", "teredo-matrix", "--", "--out"])
        .arg(out);
    if let Some(seeds) = options.seeds {
        command.args(["--seeds", &seeds.to_string()]);
    }
    execute(&mut command)
}
