//! The machine, as the kernel describes it.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

/// The machine of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    /// The kind of core.
    processor: String,
    memory_bytes: u64,
    pub(crate) kernel: String,
    /// Processes that ran or wanted to, on average of the last minute, before the measurement.
    pub(crate) load: f64,
    /// The share of all cores' time that somebody used, or that the host of a virtual machine kept, in the second
    /// before the measurement: the load is as high as that after a compiler has ended.
    busy: f64,
    /// Whether others were using the machine, then or later: then the numbers say little.
    pub(crate) loaded: bool,
}

impl Machine {
    /// The share of its cores' time that an idle machine may show.
    const IDLE: f64 = 0.1;
    /// How long it is watched.
    const WATCHED: Duration = Duration::from_secs(1);

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
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processor
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = memory
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.strip_suffix("kB"));
        let memory: u64 = memory.unwrap_or_default().trim().parse().unwrap_or(0);
        let busy = busy()?;
        Ok(Self {
            cores,
            processor: processor.map_or_else(String::new, |(_, name)| name.trim().to_owned()),
            memory_bytes: memory * 1024,
            kernel: kernel.trim_end().to_owned(),
            load,
            busy,
            loaded: busy > Self::IDLE,
        })
    }

    /// Sees whether others have begun to use the machine.
    pub(crate) fn look_again(&mut self) -> Result<()> {
        self.busy = self.busy.max(busy()?);
        self.loaded = self.busy > Self::IDLE;
        Ok(())
    }

    /// An error on a machine in use, unless that is `forced`.
    pub(crate) fn refuse_if_loaded(&self, forced: bool) -> Result<()> {
        ensure!(
            forced || !self.loaded,
            "the machine is in use ({:.0} % of its cores' time, and at most {:.0} % may be), so that the numbers would \
             say little: wait, or measure nevertheless with --force",
            self.busy * 100.0,
            Self::IDLE * 100.0
        );
        Ok(())
    }

    /// In a line.
    pub(crate) fn text(&self) -> String {
        let kind = Some(&self.processor).filter(|name| !name.is_empty());
        format!(
            "Linux {}, {} cores{}, {} GiB{}",
            self.kernel,
            self.cores,
            kind.map(|kind| format!(" ({kind})")).unwrap_or_default(),
            (self.memory_bytes as f64 / f64::from(1 << 30)).round(),
            if self.loaded {
                format!(
                    "; THE MACHINE WAS IN USE ({:.0} %), the numbers say little",
                    self.busy * 100.0
                )
            } else {
                String::new()
            }
        )
    }
}

/// The share of the cores' time that is used.
fn busy() -> Result<f64> {
    let before = Times::now()?;
    std::thread::sleep(Machine::WATCHED);
    let after = Times::now()?;
    let all = after.all.saturating_sub(before.all).max(1);
    let idle = after.idle.saturating_sub(before.idle);
    Ok(1.0 - idle.min(all) as f64 / all as f64)
}

/// The time of all cores since the boot, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    all: u64,
    idle: u64,
}

impl Times {
    fn now() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("cannot read what the cores do")?;
        Self::read(&stat).context("/proc/stat has no cores")
    }

    fn read(stat: &str) -> Option<Self> {
        let times: Vec<u64> = stat
            .lines()
            .next()?
            .strip_prefix("cpu ")?
            .split_ascii_whitespace()
            .map_while(|time| time.parse().ok())
            .collect();
        // user nice system idle iowait irq softirq steal; the guests' time is part of user.
        let [_, _, _, idle, waiting, ..] = times[..] else {
            return None;
        };
        Some(Self {
            all: times.iter().take(8).sum(),
            idle: idle + waiting,
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

#[cfg(test)]
mod tests;
