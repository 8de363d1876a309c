//! Cores, their time, and the CPU time of processes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Pid;
use rustix::thread::{CpuSet, gettid, sched_setaffinity};

use crate::machine::processor_time;

/// A place on the path. Each has a core if there are four; otherwise neighbours share one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Sender,
    Near,
    Far,
    Receiver,
}

impl Place {
    pub(crate) fn core(self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self as usize * cores.min(4) / 4
    }

    fn set(self) -> CpuSet {
        let mut set = CpuSet::new();
        set.set(self.core());
        set
    }

    /// Binds the calling thread, and the threads that it will start.
    pub(crate) fn take(self) -> Result<()> {
        sched_setaffinity(None, &self.set()).context("cannot bind a thread to a core")
    }

    /// A command whose process has one core from its start, and makes no more threads than that is good for.
    pub(crate) fn command(self, program: &Path) -> Command {
        let mut command = Command::new("taskset");
        command
            .args(["--cpu-list", &self.core().to_string()])
            .arg(program);
        command
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

/// The priority of a thread among those that want the same core.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// At once.
    First,
    /// If the core is idle.
    Last,
}

impl Turn {
    /// For the calling thread.
    pub(crate) fn take(self) -> Result<()> {
        let mut command = Command::new("chrt");
        command.args(match self {
            Self::First => ["--fifo", "--pid", "10"],
            Self::Last => ["--idle", "--pid", "0"],
        });
        command.arg(gettid().to_string()).stdin(Stdio::null());
        let output = command.output().context("chrt (package util-linux)")?;
        ensure!(
            output.status.success(),
            "chrt: {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
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

/// The CPU time of processes from here on, in user mode and in the kernel, to the nanosecond.
pub(crate) struct Usage {
    processes: Vec<u32>,
    before: u64,
}

impl Usage {
    pub(crate) fn of(processes: Vec<u32>) -> Self {
        let before = total(&processes);
        Self { processes, before }
    }

    /// The time so far. An error if a thread has ended meanwhile, because its time is lost.
    pub(crate) fn so_far(&self) -> Result<Duration> {
        let used = total(&self.processes).checked_sub(self.before);
        let used = used.filter(|used| *used > 0 || self.processes.is_empty());
        Ok(Duration::from_nanos(used.context(
            "a process is gone, or the kernel does not count what processes use",
        )?))
    }
}

fn total(processes: &[u32]) -> u64 {
    processes
        .iter()
        .map(|process| processor_time(*process))
        .sum()
}

/// The time that cores are in use from here on, by whatever: programs, the kernel for them, and the kernel by itself.
pub(crate) struct Busy {
    /// One of them; without it all.
    core: Option<usize>,
    start: Instant,
    unused: u64,
}

impl Busy {
    /// A core that a part of the path has for itself.
    pub(crate) fn core(place: Place) -> Result<Self> {
        Self::of(Some(place.core()))
    }

    pub(crate) fn machine() -> Result<Self> {
        Self::of(None)
    }

    fn of(core: Option<usize>) -> Result<Self> {
        Ok(Self {
            core,
            start: Instant::now(),
            unused: unused(core)?,
        })
    }

    /// The time so far, to a tick or two of the kernel's clock.
    pub(crate) fn so_far(&self) -> Result<Duration> {
        let cores = match self.core {
            Some(_) => 1,
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let ticks = unused(self.core)? - self.unused;
        let unused = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
        let used = self.start.elapsed().as_secs_f64() * cores as f64 - unused;
        Ok(Duration::from_secs_f64(used.max(0.0)))
    }
}

/// The ticks that a core, or all, were idle, or belonged to the host of a virtual machine.
fn unused(core: Option<usize>) -> Result<u64> {
    let stat = fs::read_to_string("/proc/stat").context("cannot read what the cores do")?;
    unused_of(&stat, core).context("/proc/stat has no such core")
}

fn unused_of(stat: &str, core: Option<usize>) -> Option<u64> {
    let name = core.map_or_else(|| "cpu".to_owned(), |core| format!("cpu{core}"));
    let mut fields = stat.lines().map(str::split_ascii_whitespace);
    let mut fields = fields.find_map(|mut fields| (fields.next()? == name).then_some(fields))?;
    // user nice system IDLE IOWAIT irq softirq STEAL
    let mut next = |skipped| fields.nth(skipped)?.parse::<u64>().ok();
    Some(next(3)? + next(0)? + next(2)?)
}

#[cfg(test)]
mod tests;
