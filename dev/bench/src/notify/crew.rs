//! The processes that have registrations, as their starter sees them.

use std::io::{PipeReader, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::system::{System, Venue};
use crate::machine::processor_time;
use crate::process::Owned;

/// How long anything may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(15);

/// Processes with the same number of registrations each.
pub(crate) struct Crew {
    processes: Vec<Owned>,
    controls: Vec<UnixStream>,
    acknowledgements: PipeReader,
    registrations: usize,
}

impl Crew {
    /// Starts them; they have registered with everybody when this returns.
    pub(crate) fn start(venue: &Venue, count: usize, registrations: usize) -> Result<Self> {
        let path = venue.control();
        let listener = UnixListener::bind(&path).context("cannot listen")?;
        let program = std::env::current_exe().context("cannot find this program")?;
        let (acknowledgements, writer) = std::io::pipe().context("no pipe")?;
        let mut processes = Vec::new();
        for _ in 0..count {
            let mut command = Command::new(&program);
            command
                .args(["receive", "--folder"])
                .arg(&venue.folder)
                .args(["--registrations", &registrations.to_string()])
                .stdin(Stdio::null())
                .stdout(writer.try_clone()?);
            processes.push(Owned::start(&mut command)?);
        }
        let mut controls = Vec::new();
        for _ in 0..count {
            await_readable(&listener).context("a process did not start")?;
            controls.push(listener.accept()?.0);
        }
        std::fs::remove_file(&path)?;
        for control in &mut controls {
            control.set_read_timeout(Some(PATIENCE))?;
            control
                .read_exact(&mut [0])
                .context("a process did not register with everybody")?;
        }
        Ok(Self {
            processes,
            controls,
            acknowledgements,
            registrations,
        })
    }

    pub(crate) fn registrations(&self) -> usize {
        self.registrations
    }

    pub(crate) fn len(&self) -> usize {
        self.processes.len()
    }

    /// Waits until every callback of every process has been called for an announcement.
    pub(crate) fn await_all_heard(&mut self) -> Result<()> {
        let mut missing = self.len();
        let mut bytes = [0; 1024];
        while missing > 0 {
            await_readable(&self.acknowledgements)
                .with_context(|| format!("{missing} processes have not heard"))?;
            let read = self.acknowledgements.read(&mut bytes)?;
            ensure!(
                (1..=missing).contains(&read),
                "some have heard twice, or all have ended"
            );
            missing -= read;
        }
        Ok(())
    }

    /// When the callbacks were called, for each system, by process.
    pub(crate) fn collect(&mut self) -> Result<[Vec<Vec<u64>>; System::ALL.len()]> {
        let mut stamps = System::ALL.map(|_| Vec::new());
        for control in &mut self.controls {
            control.write_all(&[0])?;
            for system in &mut stamps {
                let mut word = [0; 8];
                control.read_exact(&mut word)?;
                let length = usize::try_from(u64::from_le_bytes(word))?;
                let mut bytes = vec![0; length * 8];
                control.read_exact(&mut bytes)?;
                system.push(
                    bytes
                        .as_chunks()
                        .0
                        .iter()
                        .copied()
                        .map(u64::from_le_bytes)
                        .collect(),
                );
            }
        }
        Ok(stamps)
    }

    /// Nanoseconds that the processes have been on a processor.
    pub(crate) fn processor_time(&self) -> u64 {
        self.processes
            .iter()
            .map(|process| processor_time(process.id()))
            .sum()
    }
}

fn await_readable(what: &impl AsFd) -> Result<()> {
    let timeout = Timespec::try_from(PATIENCE)?;
    let ready = poll(&mut [PollFd::new(what, PollFlags::IN)], Some(&timeout))?;
    ensure!(ready > 0, "nothing came within {} s", PATIENCE.as_secs());
    Ok(())
}
