//! The environment of a test run: the same for every caller.
//!
//! A caller may have set `RUSTFLAGS` or `LC_ALL`, ignore SIGHUP (`nohup`) or keep others from reading new files. Child
//! processes inherit all of that, and tests of signals, messages and permissions would fail. So the program starts itself
//! once more, with what [`KEPT`] lists, and with every signal at its default.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rustix::fs::Mode;

use crate::command::capture;

/// The caller's variables that the test run needs: where programs and toolchains are, how to reach the network, how to
/// print, and what is built beside the code itself. Cargo itself sets `CARGO` and `CARGO_MANIFEST_DIR`.
const KEPT: &[&str] = &[
    "ALL_PROXY",
    "CARGO",
    "CARGO_BUILD_JOBS",
    "CARGO_HOME",
    "CARGO_INCREMENTAL",
    "CARGO_MANIFEST_DIR",
    "CARGO_NET_OFFLINE",
    "CARGO_PROFILE_DEV_DEBUG",
    "CARGO_TERM_COLOR",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LOGNAME",
    "NO_PROXY",
    "PATH",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "RUST_BACKTRACE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TERM",
    "USER",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// The folder of everything that is built. A test starts cargo from another folder, so the path must be absolute.
const TARGET: &str = "CARGO_TARGET_DIR";

const LOCALE: (&str, &str) = ("LC_ALL", "C.UTF-8");

/// Says that the environment is the test run's.
const MARK: &str = "XTASK_ENVIRONMENT";

/// The variables that a shell sets by itself.
const SHELL: &[&str] = &["OLDPWD", "PWD", "SHLVL", "_"];

/// Who may write a new file: its owner.
const UMASK: u32 = 0o022;

/// Signals 32 and 33, which no program can set: the C library keeps them for its threads.
const RESERVED: u64 = 0b11 << 31;

/// Starts this program once more in the environment of a test run, unless it is there already.
pub(crate) fn enter() -> Result<()> {
    if env::var_os(MARK).is_some() {
        return Ok(());
    }
    rustix::process::umask(Mode::from_raw_mode(UMASK));
    let program = env::current_exe().context("cannot find this program")?;
    let error = clean(&program)?.args(env::args_os().skip(1)).exec();
    Err(error).context("cannot start `env` (package coreutils)")
}

/// `program` in the environment of a test run. No safe function of Rust resets a signal's action; `env` does.
fn clean(program: &Path) -> Result<Command> {
    let mut command = Command::new("env");
    command
        .arg("--default-signal")
        .arg(program)
        .env_clear()
        .envs(kept(env::vars_os()))
        .envs([LOCALE, (MARK, "test")]);
    if let Some(target) = env::var_os(TARGET).filter(|target| !target.is_empty()) {
        let target = std::path::absolute(PathBuf::from(target))
            .with_context(|| format!("{TARGET} is no path"))?;
        command.env(TARGET, target);
    }
    Ok(command)
}

fn kept(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    variables.filter(|(name, _)| KEPT.iter().any(|kept| name == kept))
}

/// Fails if a child process would inherit anything else.
pub(crate) fn check() -> Result<()> {
    let script = "umask && grep -E '^Sig(Ign|Blk):' /proc/self/status && env";
    let report = capture(Command::new("sh").args(["-c", script]))?;
    let mut lines = report.lines();
    let umask = lines.next().unwrap_or_default();
    ensure!(
        u32::from_str_radix(umask, 8) == Ok(UMASK),
        "child processes have the umask {umask}"
    );
    for line in lines {
        if let Some((signals, set)) = line.split_once(":\t") {
            let mask = u64::from_str_radix(set, 16).context("a set of signals is hexadecimal")?;
            ensure!(
                mask & !RESERVED == 0,
                "child processes ignore or block signals: {signals} {set}"
            );
        } else if let Some((name, value)) = line.split_once('=') {
            let known = [KEPT, SHELL, &[TARGET, LOCALE.0, MARK]].concat();
            ensure!(
                known.contains(&name) && (name != TARGET || Path::new(value).is_absolute()),
                "child processes inherit {name}={value}"
            );
        }
    }
    Ok(())
}
