//! The memory of a registration: the growth of processes that do nothing else.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use teredo_notify::call::Caller;
use teredo_notify::watcher::Watcher;

use super::announcer::{Announcer as _, Host};
use super::system;
use crate::machine::{raise_file_limit, resident};
use crate::process::Owned;

/// Bytes for a registration.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    /// In the service; each registration has its own connection.
    pub(crate) service: u64,
    /// How many connections that is the mean of.
    pub(crate) service_registrations: usize,
    /// In the library, each after the first of its process.
    pub(crate) library: u64,
    /// How many registrations that is the mean of.
    pub(crate) library_registrations: usize,
    /// In the library, the first of a process: its connection and its threads.
    pub(crate) library_first: u64,
}

/// Registrations before those that are counted, so that one-time costs do not count.
const WARM_UP: usize = 50;
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(crate) struct ServeOptions {
    #[arg(long)]
    folder: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct HoldOptions {
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    registrations: usize,
}

pub(crate) fn measure(folder: &Path, quick: bool) -> Result<Memory> {
    let folder = folder.join("memory");
    std::fs::create_dir(&folder)?;
    let files = raise_file_limit()?;
    let wanted = if quick { 1_000 } else { 3_000 };
    let room = usize::try_from(files)
        .unwrap_or(usize::MAX)
        .saturating_sub(500);
    let service_registrations = wanted.min(room);
    let library_registrations = 10_000;

    let program = std::env::current_exe().context("cannot find this program")?;
    let child = |task: &str| {
        let mut command = Command::new(&program);
        command
            .args([task, "--folder"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command
    };
    let mut service = Owned::start(&mut child("serve"))?;
    await_byte(&mut service)?;
    let service_each = of_service(&mut service, &folder, service_registrations)?;

    let mut holder =
        Owned::start(child("hold").args(["--registrations", &library_registrations.to_string()]))?;
    await_byte(&mut holder)?;
    let before = resident(holder.id())?;
    let step = |holder: &mut Owned, service: &mut Owned| -> Result<u64> {
        say(holder)?;
        await_byte(holder)?;
        // An announcement, so that the memory that a call takes is there.
        say(service)?;
        await_byte(holder)?;
        resident(holder.id())
    };
    let first = step(&mut holder, &mut service)?;
    let all = step(&mut holder, &mut service)?;
    Ok(Memory {
        service: service_each,
        service_registrations,
        library: all.saturating_sub(first) / library_registrations as u64,
        library_registrations,
        library_first: first.saturating_sub(before),
    })
}

/// Registers over connections of its own, as so many processes would, and has one announcement reach them.
fn of_service(service: &mut Owned, folder: &Path, count: usize) -> Result<u64> {
    let socket = system::teredo(folder);
    let mut streams = Vec::new();
    let mut register = |count: usize, service: &mut Owned| -> Result<u64> {
        for _ in 0..count {
            let mut stream = Caller::open(&socket)?.subscribe(true)?;
            stream.next_within(PATIENCE)?;
            streams.push(stream);
        }
        say(service)?;
        for stream in &mut streams {
            stream.next_within(PATIENCE)?;
        }
        resident(service.id())
    };
    let before = register(WARM_UP, service)?;
    let after = register(count, service)?;
    Ok(after.saturating_sub(before) / count as u64)
}

fn say(process: &mut Owned) -> Result<()> {
    let input = process.child().stdin.as_mut().context("no input")?;
    Ok(input.write_all(&[0])?)
}

fn await_byte(process: &mut Owned) -> Result<()> {
    let output = process.child().stdout.as_mut().context("no output")?;
    output.read_exact(&mut [0]).context("a process has ended")
}

/// A service that announces with every byte on its input.
pub(crate) fn serve(options: &ServeOptions) -> Result<()> {
    raise_file_limit()?;
    let mut host = Host::start(&options.folder)?;
    let mut output = std::io::stdout();
    output.write_all(&[0])?;
    output.flush()?;
    let mut input = std::io::stdin();
    for sequence in 1.. {
        if input.read(&mut [0])? == 0 {
            break;
        }
        host.announce(sequence)?;
    }
    Ok(())
}

/// Registers once with the first byte on its input and many times with the second; after each, says so, and
/// says again when an announcement has reached all.
pub(crate) fn hold(options: &HoldOptions) -> Result<()> {
    let watcher = Watcher::new(system::teredo(&options.folder));
    let heard = Arc::new(AtomicUsize::new(0));
    let mut held = Vec::with_capacity(options.registrations + 1);
    let mut output = std::io::stdout();
    let mut reply = || -> Result<()> {
        output.write_all(&[0])?;
        Ok(output.flush()?)
    };
    reply()?;
    let mut input = std::io::stdin();
    for count in [1, options.registrations] {
        input.read_exact(&mut [0])?;
        heard.store(0, Ordering::SeqCst);
        for _ in 0..count {
            let heard = Arc::clone(&heard);
            held.push(watcher.register(false, move |_| {
                heard.fetch_add(1, Ordering::SeqCst);
            })?);
        }
        reply()?;
        let deadline = Instant::now() + PATIENCE;
        while heard.load(Ordering::SeqCst) < held.len() {
            ensure!(Instant::now() < deadline, "not all callbacks were called");
            std::thread::sleep(Duration::from_millis(1));
        }
        reply()?;
    }
    // The memory is looked at while this waits.
    input.read_to_end(&mut Vec::new())?;
    Ok(())
}
