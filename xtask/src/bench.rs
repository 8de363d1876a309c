//! `cargo xtask bench`: starts the benchmarks of `crates/teredo-bench`, as they must be built.

use anyhow::Result;

use crate::command::{cargo, run as execute};
use crate::tools;

#[derive(clap::Subcommand)]
pub(crate) enum Bench {
    /// From the announcement of a port to the callbacks, beside D-Bus, NATS and a bare socket.
    Notify(Options),
    /// Cutting super-packets and putting packets together, beside copying the same bytes.
    Offload(OffloadOptions),
}

#[derive(clap::Args)]
pub(crate) struct OffloadOptions {
    /// Measure on a machine that others use; the report says that it was.
    #[arg(long)]
    force: bool,
}

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fewer rounds: half a minute at most, and less certain numbers.
    #[arg(long)]
    quick: bool,
    /// Measure on a machine that others use; the report says that it was.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let (task, options) = match bench {
        Bench::Notify(Options { quick, force }) => {
            tools::ensure_installed(tools::BENCH)?;
            ("notify", [(*quick, "--quick"), (*force, "--force")])
        }
        Bench::Offload(OffloadOptions { force }) => ("offload", [(*force, "--force"), (false, "")]),
    };
    // Built on its own: the load of the compiler is not part of the measurement, but the load average is.
    let package = ["--release", "--locked", "-p", "teredo-bench"];
    execute(cargo(&["build", "--quiet"]).args(package))?;
    let mut command = cargo(&["run", "--quiet"]);
    command.args(package).args(["--", task]);
    command.env("PATH", tools::search_path());
    for (given, option) in options {
        if given {
            command.arg(option);
        }
    }
    execute(&mut command)
}
