//! System calls, counted by the kernel for `perf`: in a run of their own, since counting takes time.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::perf::watch;

/// The system calls of processes while `during` ran, and what that returned.
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
