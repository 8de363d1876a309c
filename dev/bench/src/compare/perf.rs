//! `perf`, which counts and samples what processes do in the kernel.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use teredo_lab::until;

use crate::process::Owned;

const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `during` while `perf` watches the processes, and leaves what it saw in `file`.
pub(super) fn watch<T>(
    arguments: &[&str],
    processes: &[u32],
    file: &Path,
    during: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let ids: Vec<String> = processes.iter().map(u32::to_string).collect();
    let mut command = Command::new("perf");
    command
        .args(arguments)
        .arg("-o")
        .arg(file)
        .args(["-p", &ids.join(",")])
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
