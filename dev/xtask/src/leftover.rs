//! Processes that outlive their test: each test ends what it has started.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// In the command line of each process that a test of the program starts with a folder of its own.
const FOLDERS: [&str; 2] = ["/teredo-e2e.", "/teredo-lab."];

/// How long a process may take to end after it was killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs tests, and fails if they leave a process behind.
pub(crate) fn none_after(tests: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = running()?;
    tests()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut left = running()?;
        left.retain(|id, _| !before.contains_key(id));
        if left.is_empty() {
            return Ok(());
        }
        let commands: Vec<String> = left
            .iter()
            .map(|(id, command)| format!("{id}: {command}"))
            .collect();
        ensure!(
            Instant::now() < deadline,
            "a test has left processes behind; 'kill -9' ends them:\n  {}",
            commands.join("\n  ")
        );
        thread::yield_now();
    }
}

/// The processes of such tests, by their numbers.
fn running() -> Result<BTreeMap<u32, String>> {
    let processes = fs::read_dir("/proc")?.filter_map(|entry| {
        let id = entry.ok()?.file_name().to_str()?.parse().ok()?;
        // It may end at any moment.
        let command = fs::read(format!("/proc/{id}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let is_tests = FOLDERS.iter().any(|folder| command.contains(folder));
        is_tests.then(|| (id, command.trim_end().to_owned()))
    });
    Ok(processes.collect())
}

#[cfg(test)]
mod tests;
