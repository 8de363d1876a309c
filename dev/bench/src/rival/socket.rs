//! The floor: a connected Unix socket for each process, nothing else.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result};

use crate::announcer::Announcer;
use crate::recorder::Recorder;
use crate::{clock, system};

/// Writes to everybody in turn.
pub(crate) struct Writer {
    peers: Vec<UnixStream>,
    announced_at: u64,
}

impl Writer {
    /// Accepts `count` connections that are there already.
    pub(crate) fn accept(listener: &UnixListener, count: usize) -> Result<Self> {
        let peers = (0..count)
            .map(|_| Ok(listener.accept()?.0))
            .collect::<Result<_>>()?;
        Ok(Self {
            peers,
            announced_at: 0,
        })
    }
}

impl Announcer for Writer {
    fn announce(&mut self, sequence: u64) -> Result<()> {
        let message = format!("{}\0", system::message(sequence));
        self.announced_at = clock::now();
        for peer in &mut self.peers {
            peer.write_all(message.as_bytes())?;
        }
        Ok(())
    }

    fn announced_at(&self) -> u64 {
        self.announced_at
    }
}

pub(crate) fn receive(path: &Path, recorder: Arc<Recorder>) -> Result<()> {
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
