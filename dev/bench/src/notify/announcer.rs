//! The announcing side: the client's process with the real service in it, and the bare socket.

use std::io::Write as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use teredo_notify::hub::Hub;
use teredo_notify::service::{Config, EventBus, ReadOnly, Service};
use tokio::sync::oneshot;

use super::{recorder, system};

/// A source of announcements.
pub(crate) trait Announcer {
    /// Begins to announce a port. It may return before the processes have heard.
    fn announce(&mut self, sequence: u64) -> Result<()>;

    /// When the last announcement began. All processes must have heard it.
    fn announced_at(&self) -> u64;
}

/// The hub, and the service on a thread of its own, as in `teredo client`: one runtime of one thread. The port is
/// published by another one, which is the data path there and the one that announces here, as with every rival.
pub(crate) struct Host {
    hub: Hub,
    announced_at: u64,
    ended: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot make a runtime")?;
        let hub = Hub::new();
        hub.publish(system::port(0));
        let events = EventBus::new(hub.clone());
        let config = Config {
            connections: 100_000,
            ..Config::new(system::teredo(folder))
        };
        let entered = runtime.enter();
        let service = Service::bind(&config, hub.clone(), events, Arc::new(ReadOnly::default()))?;
        drop(entered);
        let (ended, end) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("service".to_owned())
            .spawn(move || runtime.block_on(service.run(async { drop(end.await) })))?;
        Ok(Self {
            hub,
            announced_at: 0,
            ended: Some(ended),
            thread: Some(thread),
        })
    }
}

impl Announcer for Host {
    fn announce(&mut self, sequence: u64) -> Result<()> {
        self.announced_at = recorder::now();
        self.hub.publish(system::port(sequence));
        Ok(())
    }

    fn announced_at(&self) -> u64 {
        self.announced_at
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.ended = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was printed by the thread itself.
            let _ = thread.join();
        }
    }
}

/// The floor: a connected Unix socket for each process, written to in turn.
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
        self.announced_at = recorder::now();
        for peer in &mut self.peers {
            peer.write_all(message.as_bytes())?;
        }
        Ok(())
    }

    fn announced_at(&self) -> u64 {
        self.announced_at
    }
}
