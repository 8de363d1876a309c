//! The things that a client leaves to the next one: descriptors with the service manager, and a file.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use teredo::client::Resumption;
use teredo_node::{Client, Connectivity, Predecessor};
use teredo_notify::hub::Registration;
use teredo_tunnel::kernel::KernelPath;
use tokio::sync::{Notify, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::memory::{Memory, MemoryFile, Written};
use crate::daemon::keep::{Kept, Store};
use crate::settings::ClientSettings;

/// How often the file is looked after, besides each change.
const PERIOD: Duration = Duration::from_secs(60);

/// The inheritance of a client, kept up to date.
pub(super) struct Legacy {
    servers: Vec<String>,
    file: Option<MemoryFile>,
    written: Written,
    store: Store,
    /// The port that is kept; 0 for none.
    kept: u16,
    port_changed: Arc<Notify>,
    registration: Option<Registration>,
    connectivity: Option<watch::Receiver<Connectivity>>,
    period: Interval,
}

/// The things that a client has left.
#[derive(Default)]
pub(super) struct Left {
    interface: Option<OwnedFd>,
    socket: Option<OwnedFd>,
    port: Option<u16>,
    resumption: Option<Resumption>,
    kernel: Option<KernelPath>,
}

impl Left {
    /// The same for a builder, as often as one is tried.
    pub(super) fn predecessor(&self) -> Predecessor {
        let copy = |descriptor: &Option<OwnedFd>| descriptor.as_ref()?.try_clone().ok();
        Predecessor {
            interface: copy(&self.interface),
            socket: copy(&self.socket),
            port: self.port,
            resumption: self.resumption,
            kernel: self.kernel.clone(),
        }
    }
}

fn names(settings: &ClientSettings) -> Vec<String> {
    settings.servers.iter().map(ToString::to_string).collect()
}

impl Legacy {
    /// Must be called within a runtime.
    pub(super) fn new(settings: &ClientSettings) -> Self {
        let mut period = interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            servers: names(settings),
            file: MemoryFile::new(&settings.interface),
            written: Written::default(),
            store: Store::default(),
            kept: 0,
            port_changed: Arc::new(Notify::new()),
            registration: None,
            connectivity: None,
            period,
        }
    }

    /// The things that the process before has left.
    pub(super) fn left(&self, kept: Kept) -> Left {
        let memory = self.file.as_ref().and_then(|file| file.read(&self.servers));
        let resumption = memory
            .as_ref()
            .and_then(|memory| memory.resumption(kept.port.is_some()));
        Left {
            interface: kept.interface,
            socket: kept.port,
            port: memory.map(|memory| memory.port),
            resumption,
            kernel: None,
        }
    }

    /// The things that this client leaves to one with other settings in the same process.
    pub(super) async fn leave(
        &mut self,
        client: &Client,
        old: &ClientSettings,
        settings: &ClientSettings,
    ) -> Left {
        let status = client.status().await;
        let memory = status.and_then(|status| Memory::of(&status, &self.servers));
        let servers = names(settings);
        // The address belongs to a server.
        let same_servers = self.servers == servers;
        // Routes that are no longer wanted go with the interface.
        let same_interface = old.default_route == settings.default_route;
        let left = Left {
            interface: client
                .interface_descriptor()
                .ok()
                .filter(|_| same_interface),
            socket: client.socket().await,
            port: memory.as_ref().map(|memory| memory.port),
            resumption: memory
                .filter(|_| same_servers)
                .and_then(|memory| memory.resumption(true)),
            kernel: client.kernel_path().cloned(),
        };
        if !same_interface {
            // Another one can have its name only when it is gone.
            self.store.let_interface_go();
        }
        self.servers = servers;
        self.file = MemoryFile::new(&settings.interface);
        self.written = Written::default();
        left
    }

    /// Has the interface kept from now on, and follows the client's port and state, for [`is_due`](Self::is_due).
    pub(super) fn follow(&mut self, client: &Client) {
        match client.interface_descriptor() {
            Ok(descriptor) => self.store.keep_interface(&descriptor),
            Err(error) => tracing::warn!(%error, "a restart makes a new interface"),
        }
        let changed = Arc::clone(&self.port_changed);
        let registration = client.hub().register(false, move |_| changed.notify_one());
        self.registration = registration.ok();
        self.connectivity = Some(client.connectivity());
    }

    /// Waits until [`update`](Self::update) has something to do. Cancel safe.
    pub(super) async fn is_due(&mut self) {
        let connectivity = async {
            let changed = match &mut self.connectivity {
                Some(connectivity) => connectivity.changed().await.is_ok(),
                None => false,
            };
            if !changed {
                // The client has ended.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.port_changed.notified() => {}
            () = connectivity => {}
            _ = self.period.tick() => {}
        }
    }

    /// Leaves what the client has now.
    pub(super) async fn update(&mut self, client: &Client) {
        let Some(status) = client.status().await else {
            return;
        };
        if status.port != self.kept {
            let socket = client.socket().await;
            self.kept = if socket.is_some() { status.port } else { 0 };
            self.store.keep_port(socket.as_ref());
        }
        if let (Some(file), Some(memory)) = (&mut self.file, Memory::of(&status, &self.servers))
            && self.written.is_due(&memory)
        {
            file.write(&memory);
        }
    }

    /// Whether interface and port outlive this process.
    pub(super) fn is_kept(&self) -> bool {
        self.kept != 0 && self.store.is_complete()
    }

    /// Leaves nothing with the service manager.
    pub(super) fn clear(&mut self) {
        self.store.clear();
    }
}
