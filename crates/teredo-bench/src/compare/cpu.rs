//! Cores, and what processes have used of them.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Who has a core of their own where there are enough; otherwise neighbours on the path share one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Sender,
    Near,
    Far,
    Receiver,
}

impl Place {
    fn set(self) -> CpuSet {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut set = CpuSet::new();
        set.set(self as usize * cores.min(4) / 4);
        set
    }

    /// Binds the calling thread, and the threads that it will start.
    pub(crate) fn take(self) -> Result<()> {
        sched_setaffinity(None, &self.set()).context("cannot bind a thread to a core")
    }

    /// Binds all threads of these processes.
    pub(crate) fn give(self, processes: &[u32]) -> Result<()> {
        for process in processes {
            let tasks = fs::read_dir(format!("/proc/{process}/task"))
                .with_context(|| format!("process {process} is gone"))?;
            for task in tasks.flatten() {
                let id = task.file_name().to_string_lossy().parse().ok();
                // It may have ended meanwhile.
                let _ = sched_setaffinity(id.and_then(Pid::from_raw), &self.set());
            }
        }
        Ok(())
    }
}

/// A process and everything that it and its children have started.
pub(crate) fn family(process: u32) -> Vec<u32> {
    let mut family = vec![process];
    let mut next = 0;
    while let Some(&process) = family.get(next) {
        next += 1;
        let tasks = fs::read_dir(format!("/proc/{process}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            // There are none of a thread that has ended.
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let children = children.split_ascii_whitespace();
            family.extend(children.filter_map(|id| id.parse::<u32>().ok()));
        }
    }
    family
}

/// What processes have used so far, in user mode and in the kernel, threads that have ended included.
pub(crate) fn used(processes: &[u32]) -> Result<Duration> {
    let mut ticks = 0;
    for process in processes {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))
            .with_context(|| format!("process {process} is gone"))?;
        // What is between the brackets, the name, may hold anything.
        let (_, fields) = stat
            .rsplit_once(')')
            .context("/proc/PID/stat has no name")?;
        let times = fields.split_ascii_whitespace().skip(11).take(2);
        ticks += times
            .filter_map(|time| time.parse::<u64>().ok())
            .sum::<u64>();
    }
    let second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs(ticks) / u32::try_from(second)?)
}
