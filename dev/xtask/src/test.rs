//! `cargo xtask test`: the one command that says whether the repository is sound.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{cargo, run as execute, say, step};
use crate::{conformance, license, lint, no_io, rules, tools};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave the documentation out and try 32 cases of each property instead of 256.
    #[arg(long)]
    quick: bool,
    /// Run without root what can be run without it: no test that needs a network namespace.
    #[arg(long)]
    unprivileged: bool,
    /// Run the whole matrix of implementations and NATs, and try harder where trying is random: 10,000,000 changes of
    /// the port, 4096 cases of each property. Half an hour more.
    #[arg(long, conflicts_with_all = ["quick", "unprivileged"])]
    long: bool,
}

/// The crates whose unit tests talk to the kernel's network, in namespaces that only root may make.
const KERNEL: &[&str] = &[
    "teredo-firewall",
    "teredo-lab",
    "teredo-nft",
    "teredo-tunnel",
];

/// The end-to-end tests whose data goes through the tunnel, and that need no other implementation.
const DATA: &[&str] = &["order::", "relay::", "transfer::", "tunnel::"];

/// How much `--long` tries, by the variables that the tests look at.
const LONG: &[(&str, &str)] = &[
    ("TEREDO_LONG", "1"),
    ("PROPTEST_CASES", "4096"),
    ("TEREDO_STRESS_CHANGES", "10000000"),
    ("NETIOAPI_ROUNDS", "1000000"),
    ("NETIOAPI_VALGRIND_ROUNDS", "20000"),
];

/// The steps, in order. The test runner comes last and nothing is printed after it, unless something was left out.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !options.unprivileged && !rustix::process::geteuid().is_root() {
        bail!(
            "the end-to-end tests need root, for network namespaces; run `cargo xtask test` as root, \
             or `cargo xtask test --unprivileged` to leave them out"
        );
    }
    if !options.unprivileged {
        step("programs and namespaces that the tests need", || {
            tools::ensure_installed(tools::TEST)?;
            tools::ensure_namespaces()
        })?;
    }
    step("formatting", || {
        execute(&mut cargo(&["fmt", "--all", "--check"]))
    })?;
    step("clippy", || {
        execute(&mut cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    if !options.quick {
        step("documentation", || {
            execute(
                cargo(&["doc", "--workspace", "--no-deps", "--locked"])
                    .env("RUSTDOCFLAGS", "-D warnings"),
            )
        })?;
    }
    step("the protocol does no I/O", no_io::check)?;
    step("licences of the dependencies", license::check)?;
    step("house rules", lint::check)?;
    step("conformance", conformance::check)?;
    step("rules of the notifications", rules::check)?;
    step("the hub under a model checker", model)?;
    tests(options)
}

/// Under `--cfg shuttle` the hub is built with the model checker's threads and locks. That build has a folder of its
/// own, so that the ordinary one is not made anew.
fn model() -> Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    execute(
        cargo(&["test", "--locked", "-p", "teredo-notify", "--test", "model"])
            .arg("--target-dir")
            .arg(Path::new(&target).join("shuttle"))
            .env("RUSTFLAGS", "--cfg shuttle"),
    )
}

fn tests(options: &Options) -> Result<()> {
    if options.unprivileged {
        step("tests of the protocol and the simulator", || {
            execute(&mut prepared(
                cargo(&["test", "--locked", "-p", "teredo", "-p", "teredo-sim"]),
                options,
            ))
        })?;
        step("unit tests of the other crates", || {
            let mut command = cargo(&["test", "--locked", "--workspace", "--lib", "--bins"]);
            for name in no_io::PURE.iter().chain(KERNEL) {
                command.args(["--exclude", name]);
            }
            execute(&mut prepared(command, options))
        })?;
    } else {
        say(if options.long {
            "==> tests, in their long form"
        } else {
            "==> tests; of the matrix of implementations and NATs every pair, not every cell (--long)"
        })?;
        execute(&mut prepared(
            cargo(&["test", "--workspace", "--locked"]),
            options,
        ))?;
        without_offloads(options)?;
    }
    for left_out in left_out(options) {
        say(format_args!("left out: {left_out}"))?;
    }
    Ok(())
}

/// The end-to-end tests once more, in which every packet goes its way alone. Chosen by the name of the test rather than of
/// the crate, which keeps the dependencies' features, and so the build, as they are.
fn without_offloads(options: &Options) -> Result<()> {
    let mut command = cargo(&["test", "--workspace", "--locked", "--test", "e2e", "--"]);
    if options.long {
        say("==> end-to-end tests without offloads")?;
    } else {
        say(format_args!(
            "==> end-to-end tests without offloads: {} (--long: all)",
            DATA.join(" ")
        ))?;
        command.args(DATA);
    }
    execute(prepared(command, options).env("TEREDO_OFFLOAD", "off"))
}

fn prepared(mut command: Command, options: &Options) -> Command {
    command.env("PATH", tools::search_path());
    if options.quick {
        command.env("PROPTEST_CASES", "32");
    }
    if options.long {
        for (name, value) in LONG {
            command.env(name, value);
        }
    }
    command
}

/// What a run with these options did not do, so that nobody takes it for the whole.
fn left_out(options: &Options) -> Vec<&'static str> {
    let mut left_out = Vec::new();
    if options.unprivileged {
        left_out.push("everything that needs a network namespace: the tests of teredo-node, teredo-firewall, \
             teredo-lab, teredo-nft and teredo-tunnel, and the end-to-end and interoperability tests; the programs in C (--unprivileged)");
    }
    if options.quick {
        left_out.push("documentation, and 224 of 256 cases of each property (--quick)");
    }
    left_out
}
