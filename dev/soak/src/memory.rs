//! A limit of a process' memory: a memory cgroup, or the limit of its data segment where there is none.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// How much more a process may take, from nearly nothing. The kernel charges its own structures, too.
const MORE: [u64; 4] = [16 << 10, 48 << 10, 128 << 10, 384 << 10];

/// A limit in force; it ends with this.
pub(crate) struct Limit {
    id: u32,
    means: Means,
}

enum Means {
    /// A group with the process in it, and the group that it came from.
    Group { own: PathBuf, before: PathBuf },
    /// The limit before.
    Data(Rlimit),
}

impl Limit {
    /// Puts it in force; `form` chooses how narrow it is.
    pub(crate) fn new(id: u32, form: u8) -> Result<Self> {
        let more = MORE[usize::from(form) % MORE.len()];
        let means = match Self::group(id, more) {
            Ok(means) => means,
            Err(_) => Self::data(id, more)?,
        };
        Ok(Self { id, means })
    }

    /// The means, for the report.
    pub(crate) fn name(&self) -> &'static str {
        match self.means {
            Means::Group { .. } => "memory cgroup",
            Means::Data(_) => "RLIMIT_DATA",
        }
    }

    fn group(id: u32, more: u64) -> Result<Means> {
        let membership = fs::read_to_string(format!("/proc/{id}/cgroup"))?;
        let (before, file) = parent(&membership).context("no memory cgroup")?;
        let own = before.join(format!("teredo-soak-{id}"));
        fs::create_dir(&own)?;
        let means = Means::Group {
            own: own.clone(),
            before,
        };
        let limited = fs::write(own.join(file), more.to_string())
            .and_then(|()| fs::write(own.join("cgroup.procs"), id.to_string()));
        if let Err(error) = limited {
            // It is empty.
            let _ = fs::remove_dir(&own);
            return Err(error.into());
        }
        Ok(means)
    }

    fn data(id: u32, more: u64) -> Result<Means> {
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let used = status
            .lines()
            .find_map(|line| line.strip_prefix("VmData:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
            .context("the kernel does not tell the size of its data")?;
        let limit = Rlimit {
            current: Some(used * 1024 + more),
            maximum: None,
        };
        let before = prlimit(pid(id), Resource::Data, limit)?;
        Ok(Means::Data(before))
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        match &self.means {
            Means::Group { own, before } => {
                // The process may be dead.
                let _ = fs::write(before.join("cgroup.procs"), self.id.to_string());
                let _ = fs::remove_dir(own);
            }
            Means::Data(before) => {
                let _ = prlimit(pid(self.id), Resource::Data, *before);
            }
        }
    }
}

fn pid(id: u32) -> Option<Pid> {
    Pid::from_raw(id.try_into().ok()?)
}

/// The group of memory that a process is in, and the file of its limit: of version 1 or 2.
fn parent(membership: &str) -> Option<(PathBuf, &'static str)> {
    let path = |root: &str, rest: &str| Path::new(root).join(rest.trim_start_matches('/'));
    let old = membership
        .lines()
        .find_map(|line| line.split_once(":memory:"));
    if let Some((_, rest)) = old {
        let folder = path("/sys/fs/cgroup/memory", rest);
        return Some((folder, "memory.limit_in_bytes"));
    }
    let rest = membership
        .lines()
        .find_map(|line| line.strip_prefix("0::"))?;
    Some((path("/sys/fs/cgroup", rest), "memory.max"))
}
