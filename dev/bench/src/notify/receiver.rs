//! A process that has registrations with every system, and says when they were called.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use teredo_notify::call::Caller;
use teredo_notify::watcher::Watcher;

use super::recorder::Recorder;
use super::system::{self, System, Venue};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) venue: Venue,
    /// Registrations of this process with each system.
    #[arg(long)]
    pub(crate) registrations: usize,
}

/// Registers with everybody, then does as the control connection says, until that ends.
///
/// A byte on standard output says that all registrations have heard of an announcement. On the control
/// connection, one says that everything is in place; each that comes asks for what was recorded.
pub(crate) fn run(options: &Options) -> Result<()> {
    let Options {
        venue,
        registrations,
    } = options;
    let mut control = UnixStream::connect(venue.control()).context("no control connection")?;
    let recorders = System::ALL.map(|_| Arc::new(Recorder::new(*registrations, acknowledge)));
    let watcher = Watcher::new(venue.teredo());
    let mut watches = Vec::new();
    for (system, recorder) in System::ALL.into_iter().zip(&recorders) {
        let recorder = Arc::clone(recorder);
        match system {
            System::Teredo => {
                for _ in 0..*registrations {
                    let recorder = Arc::clone(&recorder);
                    watches.push(watcher.register(false, move |_| recorder.heard())?);
                }
            }
            System::Stream => stream(&system::teredo(&venue.stream()), recorder)?,
            System::Socket => socket(&venue.socket(), recorder)?,
        }
    }
    control.write_all(&[0])?;
    while control.read(&mut [0])? > 0 {
        for recorder in &recorders {
            let stamps = recorder.take();
            let count = u64::try_from(stamps.len())?;
            let bytes: Vec<u8> = std::iter::once(count)
                .chain(stamps)
                .flat_map(u64::to_le_bytes)
                .collect();
            control.write_all(&bytes)?;
        }
    }
    Ok(())
}

/// Reads the service's stream.
fn stream(path: &Path, recorder: Arc<Recorder>) -> Result<()> {
    let mut replies = Caller::open(path)?.subscribe(true)?;
    replies.next_within(Duration::from_secs(10))?;
    thread::Builder::new()
        .name("stream".to_owned())
        .spawn(move || {
            for _ in replies.map_while(Result::ok) {
                recorder.all_hear();
            }
        })?;
    Ok(())
}

/// Reads the bare socket, on which each message ends with a zero byte.
fn socket(path: &Path, recorder: Arc<Recorder>) -> Result<()> {
    let mut stream = UnixStream::connect(path).context("no bare socket")?;
    thread::Builder::new()
        .name("socket".to_owned())
        .spawn(move || {
            let mut chunk = [0; 8 * 1024];
            while let Ok(length @ 1..) = stream.read(&mut chunk) {
                for _ in chunk[..length].iter().filter(|byte| **byte == 0) {
                    recorder.all_hear();
                }
            }
        })?;
    Ok(())
}

fn acknowledge() {
    // Should this fail, the other side waits in vain and says so.
    let _ = rustix::io::write(rustix::stdio::stdout(), &[0]);
}
