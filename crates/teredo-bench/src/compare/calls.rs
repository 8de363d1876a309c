//! System calls, counted by the kernel for `perf`: in a run of their own, since counting takes time.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use teredo_lab::until;

use crate::process::Owned;

const PATIENCE: Duration = Duration::from_secs(5);

/// The system calls of processes while `during` ran, and what that returned.
pub(crate) fn count<T>(
    processes: &[u32],
    file: &Path,
    during: impl FnOnce() -> Result<T>,
) -> Result<(u64, T)> {
    let ids: Vec<String> = processes.iter().map(u32::to_string).collect();
    let mut command = Command::new("perf");
    command
        .args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-o"])
        .arg(file)
        .args(["-p", &ids.join(",")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut perf = Owned::start(&mut command)?;
    let folder = format!("/proc/{}/fd", perf.id());
    let counting = || {
        let mut files = fs::read_dir(&folder).ok()?.flatten();
        let is_counter = |file: &fs::DirEntry| {
            fs::read_link(file.path())
                .is_ok_and(|link| link.to_string_lossy().contains("perf_event"))
        };
        files.any(|file| is_counter(&file)).then_some(())
    };
    until(PATIENCE, "perf's counter", counting).context("package linux-perf")?;
    let result = during()?;
    let pid = Pid::from_child(perf.child());
    kill_process(pid, Signal::INT).context("cannot stop perf")?;
    until(PATIENCE, "the end of perf", || {
        perf.child().try_wait().ok().flatten()
    })?;
    let text = fs::read_to_string(file).context("perf has written nothing")?;
    let line = text.lines().find(|line| line.contains("raw_syscalls"));
    let calls = line.and_then(|line| line.split(',').next()?.parse().ok());
    ensure!(calls.is_some(), "perf did not count system calls: {text}");
    Ok((calls.unwrap_or_default(), result))
}
