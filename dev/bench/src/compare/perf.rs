//! `perf`: the system calls of processes, and the shares of their time.
//!
//! Between namespaces a packet passes bridge, NAT and routers up to the next socket within the system call that sent it.
//! The kernel counts that as the sender's time, although on real networks other machines would spend it.
//!
//! Both take time themselves, so the runs that they watch are not measured.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use teredo_lab::until;

use super::session::Session;
use crate::process::Owned;

const PATIENCE: Duration = Duration::from_secs(10);
/// Functions on the stack if the kernel works for the network and not for the caller.
const PATH: [&str; 4] = [
    "handle_softirqs",
    "__do_softirq",
    "net_rx_action",
    "__napi_poll",
];

/// The lowest address of the kernel's half.
const KERNEL: u64 = 1 << 63;

/// The system calls of processes while `during` ran, and its result.
pub(crate) fn count<T>(
    processes: &[u32],
    file: &Path,
    during: impl FnOnce() -> Result<T>,
) -> Result<(u64, T)> {
    let arguments = ["stat", "-x,", "-e", "raw_syscalls:sys_enter"];
    let result = watch(&arguments, processes, file, during)?;
    let text = fs::read_to_string(file).context("perf has written nothing")?;
    let line = text.lines().find(|line| line.contains("raw_syscalls"));
    let calls = line.and_then(|line| line.split(',').next()?.parse().ok());
    ensure!(calls.is_some(), "perf did not count system calls: {text}");
    Ok((calls.unwrap_or_default(), result))
}

/// Parts of a daemon's processor time, which are 1 together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Shares {
    /// In its own code.
    pub(crate) user: f64,
    /// In its system calls, as far as these do its work.
    pub(crate) kernel: f64,
    /// In the network between the hosts.
    pub(crate) path: f64,
}

/// A core has nothing to do.
const IDLE: [&str; 4] = [
    "pv_native_safe_halt",
    "default_idle",
    "acpi_safe_halt",
    "intel_idle",
];

/// The shares of a contestant's processes while `during` ran, which are also kept and noted; `None` where they could
/// not be had.
pub(crate) fn sample<T>(
    session: &mut Session,
    measure: &str,
    contestant: &str,
    processes: &[u32],
    during: impl FnOnce() -> Result<T>,
) -> Result<Option<Shares>> {
    match shares(processes, &session.path("samples"), during) {
        Ok(shares) => {
            session.keep(measure, contestant, 0, &shares)?;
            let Shares { user, kernel, path } = shares;
            session.note(format!(
                "{measure}: of {contestant}'s time {:.0} % is in its own code, {:.0} % in the kernel for it, {:.0} % in \
                 the network between the hosts",
                user * 100.0,
                kernel * 100.0,
                path * 100.0
            ));
            Ok(Some(shares))
        }
        Err(error) => {
            session.missing(measure, format!("{error:#}"));
            Ok(None)
        }
    }
}

/// How many functions a note names.
const HOTTEST: usize = 12;

/// Notes the functions that take most of the time of cores, of one or of all, which are no process's alone.
pub(crate) fn note_hottest<T>(
    session: &mut Session,
    measure: &str,
    contestant: &str,
    core: Option<usize>,
    during: impl FnOnce() -> Result<T>,
) {
    match hottest(core, &session.path("samples"), during) {
        Ok(text) => session.note(format!("{measure}: {contestant}: {text}")),
        Err(error) => session.missing(format!("{measure}: a profile"), format!("{error:#}")),
    }
}

fn hottest<T>(
    core: Option<usize>,
    file: &Path,
    during: impl FnOnce() -> Result<T>,
) -> Result<String> {
    let core = core.map_or_else(|| "-a".to_owned(), |core| format!("-C{core}"));
    let arguments = ["record", "-q", "-e", "cpu-clock", "-F", "1999"];
    watch_what(&[&core], &arguments, file, during)?;
    let output = Command::new("perf")
        .args(["script", "-F", "ip,sym", "-i"])
        .arg(file)
        .output()
        .context("package linux-perf")?;
    ensure!(output.status.success(), "perf cannot read its samples");
    most_frequent(&String::from_utf8_lossy(&output.stdout)).context("perf has taken no samples")
}

/// The most frequent functions of lines with an address and a function, with their shares; the idle loop does not count.
fn most_frequent(script: &str) -> Option<String> {
    let mut counts = BTreeMap::new();
    let symbols = script
        .lines()
        .filter_map(|line| line.trim().split_once(' '));
    for (_, symbol) in symbols.filter(|(_, symbol)| !IDLE.contains(symbol)) {
        *counts.entry(symbol).or_insert(0_u32) += 1;
    }
    let all: u32 = counts.values().sum();
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let share = |(symbol, count): &(&str, u32)| {
        format!(
            "{symbol} {:.0} %",
            100.0 * f64::from(*count) / f64::from(all)
        )
    };
    let named: Vec<String> = counts.iter().take(HOTTEST).map(share).collect();
    (all > 0).then(|| named.join(", "))
}

fn shares<T>(processes: &[u32], file: &Path, during: impl FnOnce() -> Result<T>) -> Result<Shares> {
    let arguments = ["record", "-q", "-e", "cpu-clock", "-F", "1999", "-g"];
    watch(&arguments, processes, file, during)?;
    let output = Command::new("perf")
        .args(["script", "-F", "ip,sym", "-i"])
        .arg(file)
        .output()
        .context("package linux-perf")?;
    ensure!(output.status.success(), "perf cannot read its samples");
    divide(&String::from_utf8_lossy(&output.stdout)).context("perf has taken no samples")
}

/// Samples are stacks, innermost first, with an empty line behind each.
fn divide(script: &str) -> Option<Shares> {
    let mut counts = [0_u32; 3];
    let stacks = script
        .split("\n\n")
        .filter(|stack| !stack.trim().is_empty());
    for stack in stacks {
        let mut frames = stack.lines().filter_map(|line| {
            let (address, symbol) = line.trim().split_once(' ')?;
            Some((u64::from_str_radix(address, 16).ok()?, symbol))
        });
        let Some(innermost) = frames.next() else {
            continue;
        };
        let place = if innermost.0 < KERNEL {
            0
        } else if [innermost]
            .into_iter()
            .chain(frames)
            .any(|(_, symbol)| PATH.contains(&symbol))
        {
            2
        } else {
            1
        };
        counts[place] += 1;
    }
    let all = counts.iter().sum::<u32>();
    let [user, kernel, path] = counts.map(|count| f64::from(count) / f64::from(all));
    (all > 0).then_some(Shares { user, kernel, path })
}

/// Runs `during` while `perf` watches the processes and writes to `file`.
fn watch<T>(
    arguments: &[&str],
    processes: &[u32],
    file: &Path,
    during: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let ids: Vec<String> = processes.iter().map(u32::to_string).collect();
    watch_what(&["-p", &ids.join(",")], arguments, file, during)
}

/// The same, of processes or of cores.
fn watch_what<T>(
    what: &[&str],
    arguments: &[&str],
    file: &Path,
    during: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let mut command = Command::new("perf");
    command
        .args(arguments)
        .arg("-o")
        .arg(file)
        .args(what)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut perf = Owned::start(&mut command)?;
    let folder = format!("/proc/{}/fd", perf.id());
    let watching = || {
        let mut files = fs::read_dir(&folder).ok()?.flatten();
        let is_counter = |file: &fs::DirEntry| {
            fs::read_link(file.path())
                .is_ok_and(|link| link.to_string_lossy().contains("perf_event"))
        };
        files.any(|file| is_counter(&file)).then_some(())
    };
    until(PATIENCE, "perf's counter", watching).context("package linux-perf")?;
    let result = during()?;
    let pid = Pid::from_child(perf.child());
    kill_process(pid, Signal::INT).context("cannot stop perf")?;
    until(PATIENCE, "the end of perf", || {
        perf.child().try_wait().ok().flatten()
    })?;
    Ok(result)
}

#[cfg(test)]
mod tests;
