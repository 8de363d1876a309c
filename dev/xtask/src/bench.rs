//! `cargo xtask bench`: starts the benchmarks of `dev/bench`, as they must be built.

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
    /// Cutting super-packets and putting packets together, beside copying the same bytes.
    Offload(OffloadOptions),
    /// The instructions of the hot functions beside those that are kept, on any machine.
    Instructions(instructions::Options),
}

/// Without a subcommand: the data path, the server and the firewall, beside their rivals.
#[derive(clap::Args)]
struct CompareOptions {
    #[command(flatten)]
    common: Options,
    /// Measure these parts alone, such as `flow,server`.
    #[arg(long)]
    only: Option<String>,
    /// Where the raw data, the tables and the plots are kept.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

#[derive(clap::Args)]
struct OffloadOptions {
    /// Measure on a machine that others use; the report says that it was.
    #[arg(long)]
    force: bool,
}

#[derive(clap::Args)]
struct Options {
    /// Fewer rounds, and less certain numbers.
    #[arg(long)]
    quick: bool,
    /// Measure on a machine that others use; the report says that it was.
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
    // Built on its own: the compiler is no part of what is measured.
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
