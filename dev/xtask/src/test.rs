//! `cargo xtask test`: the one command that says whether the repository is sound.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};

use crate::background::{Share, Work};
use crate::command::{cargo, run as execute, say, step};
use crate::suites::Suite;
use crate::{
    conformance, environment, leftover, license, lint, no_io, publish, rules, site, soak, tools,
    tree, units,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave out the documentation, the packages of the crates and the site, and try 32 cases of each property instead of 256.
    #[arg(long)]
    quick: bool,
    /// Run without root, and leave out the tests that need a network namespace.
    #[arg(long)]
    unprivileged: bool,
    /// Run the whole matrix of implementations and NATs, 10,000,000 changes of the port, 4096 cases of each property, and
    /// five minutes of random faults; compile each package of the crates by itself. Takes half an hour more.
    #[arg(long, conflicts_with_all = ["quick", "unprivileged"])]
    long: bool,
    /// Run only the steps with one of these words in their titles, such as `clippy,packages`.
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    only: Vec<String>,
}

/// The crates that `cargo test` tests in the root of the repository.
const DEFAULT: &[&str] = &["teredo", "teredo-cli", "teredo-nat", "teredo-sim"];

/// The crates whose unit tests talk to the kernel's network, in namespaces that only root may make, or load programs into it.
const KERNEL: &[&str] = &[
    "teredo-bpf",
    "teredo-firewall",
    "teredo-lab",
    "teredo-nft",
    "teredo-tunnel",
];

/// The folders of crates whose tests compute and do not look at a clock. They take the time that the tests of the program
/// leave, which mostly wait.
const COMPUTING: &[&str] = &[
    "crates/teredo",
    "crates/teredo-nat",
    "crates/teredo-trace",
    "dev/delay",
    "dev/matrix",
    "dev/million",
    "dev/segmentation",
    "dev/sim",
];

/// The work that has begun and goes on beside the steps.
static BESIDE: Mutex<Vec<Work>> = Mutex::new(Vec::new());

/// The tests that `cargo test` runs only if they are named: they need root or installed programs.
const PROGRAM: &[&str] = &["--test", "cli", "--test", "e2e", "--test", "matrix"];

/// The end-to-end tests whose data goes through the tunnel, and that need no other implementation.
const DATA: &[&str] = &["order::", "relay::", "transfer::", "tunnel::"];

/// Those that show more of what user space does alone if no path in the kernel helps it.
const MOVING: &[&str] = &[
    "birthday::",
    "discovery::",
    "garbage::",
    "interval::",
    "native::",
    "random_ports::",
    "rebind::",
    "several::",
    "status::",
    "two_nats::",
];

/// How much `--long` tries, by the variables that the tests look at.
const LONG: &[(&str, &str)] = &[
    ("TEREDO_LONG", "1"),
    ("PROPTEST_CASES", "4096"),
    ("TEREDO_STRESS_CHANGES", "10000000"),
    ("NETIOAPI_ROUNDS", "1000000"),
    ("NETIOAPI_VALGRIND_ROUNDS", "20000"),
];

/// The crate of others (`vendor/`). Its examples want a server, and cargo runs those of `doctest = false`, too.
const FOREIGN: &str = "teredo-async-nats";

/// A part of the test run.
struct Step {
    title: &'static str,
    needs: Needs,
    work: fn(&Options) -> Result<()>,
}

/// A step's need. An option may exclude the steps that have it.
#[derive(PartialEq, Eq)]
enum Needs {
    Nothing,
    /// Not with `--quick`.
    Time,
    /// Not with `--unprivileged`.
    Root,
}

const fn part(title: &'static str, needs: Needs, work: fn(&Options) -> Result<()>) -> Step {
    Step { title, needs, work }
}

/// The steps in their order. The tests come late, because they take longest; the site waits for mdbook, which is built beside
/// them.
const STEPS: &[Step] = &[
    part("environment", Needs::Nothing, |_| environment::check()),
    part(
        "programs and namespaces that the tests need",
        Needs::Root,
        |_| {
            tools::ensure_installed(tools::TEST)?;
            tools::ensure_namespaces()
        },
    ),
    part("formatting", Needs::Nothing, |_| {
        execute(&mut cargo(&["fmt", "--all", "--check"]))
    }),
    part("clippy", Needs::Nothing, |_| clippy()),
    part("the workspace without its features", Needs::Nothing, |_| {
        without_features()
    }),
    part("documentation", Needs::Time, |_| {
        let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
        execute(doc.env("RUSTDOCFLAGS", "-D warnings"))
    }),
    part("the protocol does no I/O", Needs::Nothing, |_| {
        no_io::check()
    }),
    part("licences of the dependencies", Needs::Nothing, |_| {
        license::check()
    }),
    part("house rules", Needs::Nothing, |_| lint::check()),
    part("conformance", Needs::Nothing, |_| conformance::check()),
    part("rules of the notifications", Needs::Nothing, |_| {
        rules::check()
    }),
    part("the oldest Rust", Needs::Nothing, |_| publish::oldest()),
    part("packages of the crates", Needs::Time, |options| {
        publish::package(options.long)
    }),
    part("units of systemd", Needs::Nothing, |_| units::check()),
    part("the hub under a model checker", Needs::Nothing, model),
    part("mdbook for the site", Needs::Time, mdbook),
    part("build of the tests", Needs::Root, |_| {
        Suite::build().map(drop)
    }),
    part(
        "packages installed under a booted systemd",
        Needs::Root,
        |_| installed(),
    ),
    part("tests", Needs::Nothing, tests),
    part("tests of the program", Needs::Root, program),
    part(
        "end-to-end tests without the path in the kernel",
        Needs::Root,
        in_user_space,
    ),
    part(
        "end-to-end tests without offloads",
        Needs::Root,
        without_offloads,
    ),
    part("endurance", Needs::Root, endurance),
    part("what ran beside these steps", Needs::Root, |_| finish()),
    part(
        "site",
        Needs::Time,
        |_| site::run(&site::Options::default()),
    ),
];

/// Runs the steps, and stops at the first failure.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !options.unprivileged && !rustix::process::geteuid().is_root() {
        bail!(
            "the end-to-end tests need root, for network namespaces; run `cargo xtask test` as root, \
             or `cargo xtask test --unprivileged` to leave them out"
        );
    }
    let is_wanted = |step: &&Step| {
        let word_fits = |word: &String| step.title.contains(word.as_str());
        (options.only.is_empty() || options.only.iter().any(word_fits))
            && !(options.quick && step.needs == Needs::Time)
            && !(options.unprivileged && step.needs == Needs::Root)
    };
    let steps: Vec<&Step> = STEPS.iter().filter(is_wanted).collect();
    if steps.is_empty() {
        let titles: Vec<&str> = STEPS.iter().map(|step| step.title).collect();
        bail!("these options leave no step of: {}", titles.join(", "));
    }
    let outcome = steps
        .into_iter()
        .try_for_each(|part| step(part.title, || (part.work)(options)));
    if outcome.is_err() {
        clean_up()?;
    }
    outcome?;
    // Some of these options may have left out the step that waits for it.
    finish()?;
    for left_out in left_out(options) {
        say(format_args!("left out: {left_out}"))?;
    }
    Ok(())
}

/// `--all-targets` skips the tests that `cargo test` does not run by itself.
fn clippy() -> Result<()> {
    for targets in [&["--all-targets"][..], PROGRAM] {
        let mut clippy = cargo(&["clippy", "--workspace", "--locked"]);
        execute(clippy.args(targets).args(["--", "-D", "warnings"]))?;
    }
    Ok(())
}

/// An item that only a feature uses is a warning here. With the whole workspace and its tests, the dependencies keep the
/// features that clippy has checked them with; alone, the program would have them checked again.
fn without_features() -> Result<()> {
    execute(&mut cargo(&[
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--no-default-features",
        "--",
        "-D",
        "warnings",
    ]))
}

/// Under `--cfg shuttle` the hub is built with the model checker's threads and locks. That build has a folder of its
/// own, so that the ordinary one is not built again.
fn model(options: &Options) -> Result<()> {
    let mut model = cargo(&["test", "--locked", "-p", "teredo-notify", "--test", "model"]);
    model
        .arg("--target-dir")
        .arg(tree::target_dir().join("shuttle"))
        .env("RUSTFLAGS", "--cfg shuttle");
    if options.unprivileged {
        return execute(&mut model);
    }
    begin("the hub under a model checker", Share::Rest, vec![model])
}

/// Installs it beside the steps before the site, where it is missing.
fn mdbook(options: &Options) -> Result<()> {
    match tools::mdbook_if_missing()? {
        Some(mut install) if options.unprivileged => execute(&mut install),
        Some(install) => begin("mdbook for the site", Share::Rest, vec![install]),
        None => Ok(()),
    }
}

/// Without root, `cargo test` as everyone can run it, and the unit tests of the other crates.
fn tests(options: &Options) -> Result<()> {
    if !options.unprivileged {
        return all_tests(options);
    }
    execute(&mut prepared(cargo(&["test", "--locked"]), options))?;
    let mut command = cargo(&["test", "--locked", "--workspace", "--lib", "--bins"]);
    for name in DEFAULT.iter().chain(KERNEL) {
        command.args(["--exclude", name]);
    }
    execute(&mut prepared(command, options))
}

/// The tests of each crate, and those that compute beside the steps from here on.
fn all_tests(options: &Options) -> Result<()> {
    let is_computing = |suite: &Suite| COMPUTING.iter().any(|folder| suite.is_of(folder));
    let (computing, others): (Vec<_>, Vec<_>) = Suite::build()?.into_iter().partition(is_computing);
    let computing = computing
        .iter()
        .map(|suite| prepared(suite.command(), options));
    begin("the tests that compute", Share::Rest, computing.collect())?;
    for suite in others {
        say(suite.title())?;
        execute(&mut prepared(suite.command(), options))?;
    }
    let documented = cargo(&[
        "test",
        "--workspace",
        "--exclude",
        FOREIGN,
        "--locked",
        "--doc",
    ]);
    execute(&mut prepared(documented, options))
}

/// The packages, beside the tests: half of the time they wait.
fn installed() -> Result<()> {
    // The build of the tests has replaced the file of this program.
    let check = cargo(&[
        "run",
        "--quiet",
        "--locked",
        "--package",
        "xtask",
        "--",
        "installed",
    ]);
    let title = "packages installed under a booted systemd";
    begin(title, Share::Full, vec![check])
}

fn begin(title: &'static str, share: Share, commands: Vec<Command>) -> Result<()> {
    let work = Work::start(title, share, commands)?;
    BESIDE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(work);
    Ok(())
}

fn begun() -> Vec<Work> {
    std::mem::take(&mut *BESIDE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Waits for all that has begun.
fn finish() -> Result<()> {
    begun().into_iter().try_for_each(Work::finish)
}

/// After a failure, waits for what cleans up at its end, and passes on how that went.
fn clean_up() -> Result<()> {
    for work in begun() {
        if work.share == Share::Full
            && let Err(error) = work.finish()
        {
            say(format_args!("    {error:#}"))?;
        }
    }
    Ok(())
}

/// The tests of the whole system, which need root and the packages of [`tools::TEST`].
fn program(options: &Options) -> Result<()> {
    if !options.long {
        say("    of the matrix of implementations and NATs every pair, not every cell (--long)")?;
    }
    let mut command = cargo(&["test", "--workspace", "--locked"]);
    command
        .args(PROGRAM)
        .args(["--", "--test-threads", &threads()]);
    leftover::none_after(|| execute(&mut prepared(command, options)))
}

/// The end-to-end tests once more, with the daemons' own data path. If this machine permits BPF, they had that in the
/// kernel before.
fn in_user_space(options: &Options) -> Result<()> {
    let mut command = once_more(options, &[DATA, MOVING].concat())?;
    command.env("TEREDO_DATA_PATH", "user");
    leftover::none_after(|| execute(&mut command))
}

/// The end-to-end tests once more, each packet on its own.
fn without_offloads(options: &Options) -> Result<()> {
    let mut command = once_more(options, DATA)?;
    command.env("TEREDO_DATA_PATH", "user");
    command.env("TEREDO_OFFLOAD", "off");
    leftover::none_after(|| execute(&mut command))
}

/// These end-to-end tests, or all with `--long`. The workspace is tested, not the crate alone, so that nothing is built
/// anew with other features.
fn once_more(options: &Options, tests: &[&str]) -> Result<Command> {
    let mut command = cargo(&["test", "--workspace", "--locked", "--test", "e2e", "--"]);
    command.args(["--test-threads", &threads()]);
    if !options.long {
        say(format_args!("    {} (--long: all)", tests.join(" ")))?;
        command.args(tests);
    }
    Ok(prepared(command, options))
}

/// The end-to-end tests at a time: three for two cores, because each of them waits for more than half of its time.
fn threads() -> String {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    (cores * 3 / 2).max(1).to_string()
}

/// Random faults, for less than a minute or for five.
fn endurance(options: &Options) -> Result<()> {
    if !options.long {
        say("    40 s of bad luck, not five minutes (--long)")?;
    }
    soak::test(options.long)
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

/// Lists the parts that a run with these options leaves out, so that it does not pass for the whole.
fn left_out(options: &Options) -> Vec<&'static str> {
    let mut left_out = Vec::new();
    if options.unprivileged {
        left_out.push("everything that needs a network namespace: the tests of teredo-node, teredo-firewall, \
             teredo-lab, teredo-nft and teredo-tunnel, and the end-to-end and interoperability tests; the programs in C; the packages under a booted systemd; endurance (--unprivileged)");
    }
    if options.quick {
        left_out.push(
            "the documentation, the packages of the crates, the site, and 224 of 256 cases of each property (--quick)",
        );
    }
    if !options.only.is_empty() {
        left_out.push("all other steps (--only)");
    }
    left_out
}
