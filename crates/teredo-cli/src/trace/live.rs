//! Reads a capture while it is made. Ctrl-C goes to the whole pipeline: it ends the capture, not the trace of it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::file;

/// The bytes that are read at once.
const CHUNK: usize = 64 * 1024;
/// The chunks that wait.
const WAITING: usize = 16;
/// After Ctrl-C, the other program has this time to write its last bytes.
const GRACE: Duration = Duration::from_secs(1);

/// The pipe.
#[derive(Debug)]
pub(super) enum Source {
    StandardInput,
    Pipe(PathBuf),
}

impl Source {
    fn open(self) -> io::Result<File> {
        match self {
            Self::StandardInput => Ok(File::from(rustix::io::dup(rustix::stdio::stdin())?)),
            // Waits until another program writes to it.
            Self::Pipe(path) => File::open(path),
        }
    }
}

/// The bytes of a pipe until it ends, or until SIGINT; fails if there are more than `limit`.
pub(super) fn read(source: Source, limit: u64) -> io::Result<Vec<u8>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (sender, mut chunks) = mpsc::channel(WAITING);
        // A read cannot be cancelled, so the thread may outlive this function; the process ends soon after.
        thread::spawn(move || forward(source, &sender));
        let mut bytes = Vec::new();
        let mut is_ending = false;
        loop {
            let next = if is_ending {
                match timeout(GRACE, chunks.recv()).await {
                    Ok(next) => next,
                    Err(_) => return Ok(bytes),
                }
            } else {
                tokio::select! {
                    next = chunks.recv() => next,
                    _ = interrupt.recv() => {
                        is_ending = true;
                        continue;
                    }
                }
            };
            match next {
                None => return Ok(bytes),
                Some(chunk) => bytes.extend_from_slice(&chunk?),
            }
            if bytes.len() as u64 > limit {
                return Err(file::too_large(limit));
            }
        }
    })
}

/// Reads until the end or a failure; ends early if nobody wants more.
fn forward(source: Source, sender: &mpsc::Sender<io::Result<Vec<u8>>>) {
    let mut input = match source.open() {
        Ok(input) => input,
        Err(error) => {
            let _ = sender.blocking_send(Err(error));
            return;
        }
    };
    loop {
        let mut chunk = vec![0; CHUNK];
        let read = match input.read(&mut chunk) {
            Ok(0) => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read,
        };
        let chunk = read.map(|length| {
            chunk.truncate(length);
            chunk
        });
        let failed = chunk.is_err();
        if sender.blocking_send(chunk).is_err() || failed {
            return;
        }
    }
}
