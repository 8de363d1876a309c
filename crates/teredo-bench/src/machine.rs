//! The machine, as the kernel tells of it.

use std::fs;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

/// Where the numbers come from.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    /// Processes that ran or wanted to, on average of the last minute, before the measurement.
    pub(crate) load: f64,
    /// Whether others were using the machine: then the numbers say little.
    pub(crate) loaded: bool,
}

impl Machine {
    /// What a machine that does nothing else may show for load, per core.
    const IDLE: f64 = 0.3;

    pub(crate) fn look() -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let load = fs::read_to_string("/proc/loadavg").context("cannot read the load")?;
        let load: f64 = load
            .split(' ')
            .next()
            .unwrap_or_default()
            .parse()
            .context("/proc/loadavg has no load")?;
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Ok(Self {
            cores,
            kernel: kernel.trim_end().to_owned(),
            load,
            loaded: load > Self::IDLE * cores as f64,
        })
    }
}

/// Nanoseconds on a processor of all threads of a process; 0 once it has ended.
pub(crate) fn processor_time(pid: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0;
    };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// The resident memory of a process in bytes.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("cannot see the memory of process {pid}"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
    let kibibytes: u64 = line.context("no VmRSS")?.trim().parse()?;
    Ok(kibibytes * 1024)
}

/// Lets this process and its children have as many files open as the hard limit allows.
pub(crate) fn raise_file_limit() -> Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}
