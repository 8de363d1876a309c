//! One program, from its start to the end of everything that it started.

use std::collections::HashSet;
use std::fs;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, getpid, kill_process,
    kill_process_group, pidfd_open, set_child_subreaper, waitid,
};

use crate::text::plain;

/// The time between SIGTERM and SIGKILL.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// How long to wait for processes that were killed. Only the kernel can hold them up.
const LAST: Duration = Duration::from_secs(1);

/// How often to look for processes that the program left behind.
const PERIOD: Duration = Duration::from_millis(5);

/// The most output of one run, in bytes, and the longest line.
pub(super) const OUTPUT: usize = 64 * 1024;
const LINE: usize = 1024;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, with this exit code.
    Exited(i32),
    /// By this signal of another.
    Killed(i32),
    /// It ran too long.
    TimedOut,
    /// The caller ends.
    Interrupted,
}

/// A run that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) end: End,
    /// Processes that it left behind, and that were ended with it.
    pub(super) left_behind: usize,
    /// Bytes of output beyond the bound.
    pub(super) unsaid: usize,
}

/// Makes this process the parent of everything that its programs leave behind, so that nothing escapes it. Nothing else
/// in this process may wait for a child.
pub(super) fn adopt() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Runs a program in a process group of its own, for at most `limit`, or until the other end of `stop` is closed. Each
/// line from `output` goes to `say`.
pub(super) fn run(
    command: &mut Command,
    output: Option<PipeReader>,
    limit: Duration,
    stop: impl AsFd,
    say: impl FnMut(&str),
) -> io::Result<Outcome> {
    let mut output = Output::new(output, say)?;
    let child = command.process_group(0).spawn();
    // The command holds the other end of its output.
    command.stdout(std::process::Stdio::null());
    command.stderr(std::process::Stdio::null());
    let leader = Pid::from_child(&child?);
    // The kernel reuses neither the number nor the group before the leader is waited for.
    let handle = match pidfd_open(leader, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(error) => {
            sweep(leader);
            return Err(error.into());
        }
    };
    let deadline = Instant::now().checked_add(limit);
    let interrupted = loop {
        match wait(&handle, Some(stop.as_fd()), &mut output, deadline)? {
            Woken::Ended => break None,
            Woken::Stopped => break Some(End::Interrupted),
            Woken::TimedOut => break Some(End::TimedOut),
            Woken::Said => {}
        }
    };
    let left_behind = end(leader, &handle, &mut output)?;
    let status = waitid(WaitId::Pid(leader), WaitIdOptions::EXITED)?;
    output.finish();
    Ok(Outcome {
        end: interrupted.unwrap_or_else(|| ended(status)),
        left_behind,
        unsaid: output.unsaid,
    })
}

fn ended(status: Option<WaitIdStatus>) -> End {
    let exit = status.as_ref().and_then(WaitIdStatus::exit_status);
    let signal = status.as_ref().and_then(WaitIdStatus::terminating_signal);
    match (exit, signal) {
        (Some(code), _) => End::Exited(code),
        (None, signal) => End::Killed(signal.unwrap_or_default()),
    }
}

/// Why [`wait`] returned.
enum Woken {
    Ended,
    Stopped,
    TimedOut,
    Said,
}

fn wait(
    handle: &OwnedFd,
    stop: Option<std::os::fd::BorrowedFd<'_>>,
    output: &mut Output<impl FnMut(&str)>,
    deadline: Option<Instant>,
) -> io::Result<Woken> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    if left.is_some_and(|left| left.is_zero()) {
        return Ok(Woken::TimedOut);
    }
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    let handle = handle.as_fd();
    let mut descriptors = vec![PollFd::from_borrowed_fd(handle, PollFlags::IN)];
    // Without a descriptor the first one stands in, and is not looked at.
    descriptors.push(PollFd::from_borrowed_fd(
        stop.unwrap_or(handle),
        PollFlags::IN,
    ));
    if let Some(pipe) = &output.pipe {
        descriptors.push(PollFd::new(pipe, PollFlags::IN));
    }
    match poll(&mut descriptors, left.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let ready: Vec<bool> = descriptors
        .iter()
        .map(|fd| !fd.revents().is_empty())
        .collect();
    drop(descriptors);
    if ready.get(2) == Some(&true) {
        output.read();
    }
    Ok(match ready[..] {
        [true, ..] => Woken::Ended,
        [_, true, ..] if stop.is_some() => Woken::Stopped,
        _ => Woken::Said,
    })
}

/// Ends whatever is left: asks, and after a while kills. Returns how many processes the leader left behind.
///
/// The leader stays a zombie, so that its group's number stays its own.
fn end(leader: Pid, handle: &OwnedFd, output: &mut Output<impl FnMut(&str)>) -> io::Result<usize> {
    let is_over = |handle: &OwnedFd| {
        let mut descriptors = [PollFd::new(handle, PollFlags::IN)];
        matches!(poll(&mut descriptors, Some(&Timespec::default())), Ok(1..))
    };
    let mut seen = HashSet::new();
    let mut asked = false;
    let deadline = Instant::now() + GRACE;
    loop {
        let left = others(leader);
        seen.extend(left.iter().copied());
        if is_over(handle) && left.is_empty() {
            output.read();
            return Ok(seen.len());
        }
        if !asked {
            asked = true;
            // A group that is gone needs no signal.
            let _ = kill_process_group(leader, Signal::TERM);
            for &pid in &left {
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        if Instant::now() >= deadline {
            break;
        }
        output.read();
        thread::sleep(PERIOD);
    }
    seen.extend(sweep(leader));
    output.read();
    Ok(seen.len())
}

/// Kills the group of `leader` and every other child, until none is left but the leader's zombie.
fn sweep(leader: Pid) -> HashSet<Pid> {
    let deadline = Instant::now() + LAST;
    let mut killed = HashSet::new();
    loop {
        let _ = kill_process_group(leader, Signal::KILL);
        let left = others(leader);
        for &pid in &left {
            // Not waited for yet, so the number is its own.
            let _ = kill_process(pid, Signal::KILL);
        }
        killed.extend(left.iter().copied());
        let is_gone = waitid(
            WaitId::Pid(leader),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT,
        );
        let is_gone = !matches!(is_gone, Ok(None));
        if (is_gone && left.is_empty()) || Instant::now() >= deadline {
            return killed;
        }
        thread::sleep(PERIOD);
    }
}

/// The living children of this process but for `leader`; the dead ones are waited for.
fn others(leader: Pid) -> Vec<Pid> {
    let mut living = Vec::new();
    // Bounded, because a program may start others as fast as they die.
    for _ in 0..64 {
        let children = children();
        let is_living = |pid: Pid| {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            matches!(waitid(WaitId::Pid(pid), options), Ok(None))
        };
        let others = children.into_iter().filter(|&pid| pid != leader);
        let dead: Vec<_>;
        (living, dead) = others.partition(|&pid| is_living(pid));
        // The children of one that died after the list was read are in the next list.
        if dead.is_empty() {
            break;
        }
    }
    living
}

/// The children of this process (proc_pid_task(5)). The kernel gives those of processes that ended to any of its threads.
fn children() -> Vec<Pid> {
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    let lists = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let pids: Vec<i32> = lists
        .flat_map(|list| {
            let pids = list.split_whitespace().map(str::parse);
            pids.filter_map(Result::ok).collect::<Vec<_>>()
        })
        .collect();
    pids.into_iter().filter_map(Pid::from_raw).collect()
}

/// The output of a run, cut into lines.
struct Output<F> {
    /// `None`: it goes elsewhere, or is over.
    pipe: Option<PipeReader>,
    say: F,
    line: Vec<u8>,
    /// How much more may be said.
    left: usize,
    unsaid: usize,
}

impl<F: FnMut(&str)> Output<F> {
    fn new(pipe: Option<PipeReader>, say: F) -> io::Result<Self> {
        if let Some(pipe) = &pipe {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok(Self {
            pipe,
            say,
            line: Vec::new(),
            left: OUTPUT,
            unsaid: 0,
        })
    }

    /// Reads what is there, and no more than a pipe holds: a program that never stops writing must not keep this here.
    fn read(&mut self) {
        for _ in 0..16 {
            let Some(pipe) = &mut self.pipe else {
                return;
            };
            let mut chunk = [0; 4096];
            match pipe.read(&mut chunk) {
                Ok(0) => self.pipe = None,
                Ok(length) => self.take(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.pipe = None,
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let (said, unsaid) = bytes.split_at(bytes.len().min(self.left));
        self.left -= said.len();
        self.unsaid += unsaid.len();
        for &byte in said {
            if byte == b'\n' || self.line.len() >= LINE {
                self.end_line();
            }
            if byte != b'\n' {
                self.line.push(byte);
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = plain(String::from_utf8_lossy(&line).trim_end());
        if !line.is_empty() {
            (self.say)(&line);
        }
    }

    fn finish(&mut self) {
        self.read();
        self.end_line();
    }
}

#[cfg(test)]
mod tests;
