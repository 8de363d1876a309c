//! Running programs. A failure names the exact command, ready to be repeated by hand.

use std::fmt::Display;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use crate::tree;

/// The profile of programs that are installed or measured: link-time optimisation, and line numbers.
pub(crate) const DIST: &str = "dist";

/// The starts of the variables by which cargo tells a program of its package.
const OF_PACKAGE: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];

/// The cargo that runs this program, in the root of the repository.
///
/// It does not inherit what another cargo said of this package: the build script of `ring` looks at that, so `ring` and all
/// that depends on it would be compiled anew after each change of the caller.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(tree::root()).args(arguments);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if OF_PACKAGE.iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    command
}

/// A build of these targets of the workspace, with the features that `cargo test --workspace` gives the dependencies, so that
/// none is built twice: those that all packages want together, and, because of the example, those for tests.
pub(crate) fn build_as_tests(targets: &[&str]) -> Command {
    let mut command = cargo(&["build", "--quiet", "--locked", "--workspace"]);
    command.args(["--example", "follow"]).args(targets);
    command
}

/// The cargo of another toolchain, in the root of the repository.
pub(crate) fn cargo_of(toolchain: &str) -> Command {
    let mut command = Command::new("rustup");
    command
        .current_dir(tree::root())
        .args(["run", toolchain, "cargo"]);
    // The cargo that runs this program sets these, and they would override the toolchain.
    for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(variable);
    }
    command
}

/// The compiler that cargo uses.
pub(crate) fn rustc(arguments: &[&str]) -> Command {
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// The version of the compiler, such as `rustc 1.95.0 (...)`, and the target that it builds for by default.
pub(crate) fn compiler() -> Result<(String, String)> {
    let text = capture(&mut rustc(&["-vV"]))?;
    let version = text.lines().next().context("rustc -vV prints nothing")?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc -vV names no host")?;
    Ok((version.to_owned(), host.to_owned()))
}

/// Runs `command` without input, and passes its output on.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    ensure!(status.success(), "`{}`: {status}", line(command));
    Ok(())
}

/// Runs `command` and returns its standard output. An error quotes its standard error.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    if !output.status.success() {
        bail!(
            "`{}`: {}\n{}",
            line(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` did not write UTF-8", line(command)))
}

/// Whether `command` can be started and succeeds.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Announces a step, runs it, and says how long it took.
pub(crate) fn step(title: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    say(format_args!("==> {title}"))?;
    let started = Instant::now();
    work().with_context(|| format!("{title}, after {:.1} s", started.elapsed().as_secs_f64()))?;
    say(format_args!("    {:.1} s", started.elapsed().as_secs_f64()))
}

/// A line on standard output; a closed pipe is an error, not a panic.
pub(crate) fn say(text: impl Display) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("cannot write to standard output")
}

/// `command` as a user would type it in the root of the repository.
pub(crate) fn line(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        let (name, value) = (name.to_string_lossy(), value?.to_string_lossy());
        (name != "PATH").then(|| format!("{name}={}", quoted(&value)))
    });
    let program = Path::new(command.get_program());
    let program = program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy();
    let arguments = command
        .get_args()
        .map(|argument| quoted(&argument.to_string_lossy()));
    variables
        .chain([program.into_owned()])
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:+,@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests;
