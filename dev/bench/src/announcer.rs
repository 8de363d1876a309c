//! Those who announce: the client's process with the real service in it, and what a rival's would be.

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use teredo_notify::hub::Hub;
use teredo_notify::service::{
    Config, Control, ControlError, ControlFuture, EventBus, Outcome, Service,
};
use teredo_notify::types::Status;
use tokio::sync::oneshot;

use crate::{clock, system};

/// One that tells the processes of a new port.
pub(crate) trait Announcer {
    /// Begins to tell everybody; may return before they have heard.
    fn announce(&mut self, sequence: u64) -> Result<()>;

    /// When the last announcement began. It has to have been heard of.
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
        let service = Service::bind(&config, hub.clone(), events, Arc::new(Fixed))?;
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
        self.announced_at = clock::now();
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

/// Nobody asks it for anything.
struct Fixed;

impl Control for Fixed {
    fn status(&self) -> ControlFuture<'_, Status> {
        Box::pin(async { Status::default() })
    }

    fn rebind(&self, _: Option<u16>) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        Box::pin(async { Err(ControlError::NotReady) })
    }

    fn stop(&self) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        Box::pin(async { Err(ControlError::NotReady) })
    }

    fn start(&self) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        Box::pin(async { Err(ControlError::NotReady) })
    }
}
