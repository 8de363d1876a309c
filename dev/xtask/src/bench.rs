//! `cargo xtask bench`: builds the benchmarks of `dev/bench` in the profile `dist`, and starts them.

mod instructions;

use std::path::PathBuf;

use anyhow::Result;

use crate::command::{DIST, cargo, run as execute, step};
use crate::tools;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Bench {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    compare: CompareOptions,
}

#[derive(clap::Subcommand)]
enum Task {
    /// From the announcement of a port to the callbacks, beside a bare socket.
    Notify(Options),
    /// Cutting super-packets and putting packets together, compared with copying the same bytes.
    Offload(OffloadOptions),
    /// The instructions of the hot functions compared with the kept baseline, on any machine.
    Instructions(instructions::Options),
}

/// Without a subcommand: the data path, the server and the firewall, compared with their rivals.
#[derive(clap::Args)]
struct CompareOptions {
    #[command(flatten)]
    common: Options,
    /// Measure only these parts, such as `flow,server`.
    #[arg(long)]
    only: Option<String>,
    /// The folder for the raw data, the tables and the plots.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

#[derive(clap::Args)]
struct OffloadOptions {
    /// Measure even if the machine is in use. The report then says so.
    #[arg(long)]
    force: bool,
}

#[derive(clap::Args)]
struct Options {
    /// Fewer rounds, and less certain numbers.
    #[arg(long)]
    quick: bool,
    /// Measure even if the machine is in use. The report then says so.
    #[arg(long)]
    force: bool,
}

impl Options {
    fn arguments(&self) -> Vec<String> {
        let given = [(self.quick, "--quick"), (self.force, "--force")];
        let given = given.into_iter().filter(|(given, _)| *given);
        given.map(|(_, option)| option.to_owned()).collect()
    }
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let mut packages = vec!["teredo-bench"];
    let (task, arguments) = match &bench.task {
        Some(Task::Instructions(options)) => return instructions::run(options),
        None => {
            tools::ensure_installed(tools::COMPARE)?;
            tools::ensure_namespaces()?;
            packages.push("teredo-cli");
            let options = &bench.compare;
            let mut arguments = options.common.arguments();
            if let Some(only) = &options.only {
                arguments.extend(["--only".to_owned(), only.clone()]);
            }
            let out = options.out.display().to_string();
            arguments.extend(["--out".to_owned(), out]);
            ("compare", arguments)
        }
        Some(Task::Notify(options)) => ("notify", options.arguments()),
        Some(Task::Offload(OffloadOptions { force })) => {
            let force = force.then(|| "--force".to_owned());
            ("offload", force.into_iter().collect())
        }
    };
    // Before the measurement, so that the compiler does not disturb it.
    let mut build = cargo(&["build", "--quiet", "--locked", "--profile", DIST]);
    for package in &packages {
        build.args(["-p", package]);
    }
    step("building the programs, optimised", || execute(&mut build))?;
    let mut command = cargo(&["run", "--quiet", "--locked", "--profile", DIST]);
    command.args(["-p", "teredo-bench", "--", task]);
    command.args(arguments).env("PATH", tools::search_path());
    execute(&mut command)
}
