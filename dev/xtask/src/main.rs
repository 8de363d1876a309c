//! The tasks of the repository: the test run, fuzzing, benchmarks, the table of requirements, the installation, the
//! packages, and the site.

#![forbid(unsafe_code)]

mod background;
mod bench;
mod command;
mod conformance;
mod environment;
mod fuzz;
mod install;
mod installed;
mod leftover;
mod license;
mod lint;
mod no_io;
mod package;
mod publish;
mod rules;
mod sim;
mod site;
mod soak;
mod suites;
mod test;
mod tools;
mod tree;
mod units;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(
    bin_name = "cargo xtask",
    about = "The tasks of the repository",
    version
)]
enum Task {
    /// Run everything that must hold before a change lands; stop at the first failure.
    Test(test::Options),
    /// Run each fuzz target for a while, with nightly and cargo-fuzz.
    Fuzz(fuzz::Options),
    /// Measure this system and its rivals, on an idle machine.
    Bench(bench::Bench),
    /// Write docs/conformance.md: where each requirement is met, and which test shows it. Fail if one is left open.
    Conformance(conformance::Options),
    /// Install the program, the C libraries with their headers, and the manual pages.
    Install(install::Options),
    /// Make the Debian and RPM packages, and install, use, upgrade and purge them under a booted systemd.
    Installed(installed::Options),
    /// Make packages: for Debian, for RPM, a container image, or a program that needs no library.
    Package(package::Options),
    /// Run an experiment on the simulated internet, and write its document.
    #[command(subcommand)]
    Sim(sim::Experiment),
    /// Build the documentation site, and check its links and commands.
    Site(site::Options),
    /// Run everything under random faults from one seed, and watch what must hold meanwhile. Fail if it does not.
    Soak(soak::Options),
}

fn main() -> ExitCode {
    let outcome = match Task::parse() {
        Task::Test(options) => environment::enter().and_then(|()| test::run(&options)),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Bench(bench) => bench::run(&bench),
        Task::Conformance(options) => conformance::run(&options),
        Task::Install(options) => install::run(&options),
        Task::Installed(options) => environment::enter().and_then(|()| installed::run(&options)),
        Task::Package(options) => package::run(&options),
        Task::Sim(experiment) => sim::run(&experiment),
        Task::Site(options) => site::run(&options),
        Task::Soak(options) => environment::enter().and_then(|()| soak::run(&options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
