//! From settings to a running client.

use std::io;
use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::sync::Arc;

use teredo::{ClientConfig, ServerAddress};
use teredo_notify::hub::Hub;
use teredo_tunnel::SpawnError;
use teredo_tunnel::client::{ClientHandle, ClientPathConfig};
use teredo_tunnel::net::interface::{Interface, InterfaceConfig, InterfaceError};
use teredo_tunnel::net::watch::{self, Watcher};
use teredo_tunnel::offload::Offload;
use teredo_tunnel::{OpenError, Tun};
use tokio::sync::mpsc;

use crate::driver::{self, Driver};
use crate::{Client, HubAnnouncer};

/// The settings of a [`Client`]; [`Client::builder`] makes one.
#[derive(Debug, Clone)]
#[must_use = "it does nothing until it is started"]
pub struct Builder {
    servers: Vec<ServerAddress>,
    interface: Option<String>,
    default_route: bool,
    bind: Ipv4Addr,
    port: Option<NonZeroU16>,
    protocol: ClientConfig,
    beside_native: bool,
    offload: Offload,
    hub: Hub,
}

/// Why a client did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no tunnel interface.
    #[error("cannot make the tunnel interface: {0}")]
    Tun(#[from] OpenError),
    /// The interface could not be set up.
    #[error("cannot set the tunnel interface up: {0}")]
    Interface(#[from] InterfaceError),
    /// Changes of the network cannot be followed.
    #[error("cannot watch the network: {0}")]
    Watch(io::Error),
    /// The data path did not start.
    #[error("cannot start the data path: {0}")]
    Engine(#[from] SpawnError),
}

impl Builder {
    pub(crate) fn new(server: ServerAddress) -> Self {
        Self {
            servers: vec![server],
            interface: None,
            default_route: true,
            bind: Ipv4Addr::UNSPECIFIED,
            port: None,
            protocol: ClientConfig::default(),
            beside_native: false,
            offload: Offload::default(),
            hub: Hub::new(),
        }
    }

    /// Another server, to be raced with the first.
    pub fn server(mut self, server: ServerAddress) -> Self {
        self.servers.push(server);
        self
    }

    /// The name of the tunnel interface; without one the first of `teredo0`, `teredo1`, ... that is free.
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.interface = Some(name.into());
        self
    }

    /// Whether IPv6 without any other way goes through the tunnel, which is so unless said otherwise.
    pub fn default_route(mut self, wanted: bool) -> Self {
        self.default_route = wanted;
        self
    }

    /// The IPv4 address to send from; unless said otherwise the routing table decides.
    pub fn bind(mut self, address: Ipv4Addr) -> Self {
        self.bind = address;
        self
    }

    /// The UDP port to begin with; unless said otherwise the kernel chooses.
    pub fn port(mut self, port: NonZeroU16) -> Self {
        self.port = Some(port);
        self
    }

    /// The protocol's settings.
    pub fn protocol(mut self, config: ClientConfig) -> Self {
        self.protocol = config;
        self
    }

    /// Whether the client serves even where the host has native IPv6. Unless said otherwise it is dormant there, without
    /// port and address, until that is gone (RFC 4380 §5.5).
    pub fn beside_native_ipv6(mut self, wanted: bool) -> Self {
        self.beside_native = wanted;
        self
    }

    /// Whether the data path uses the kernel's offloads; unless said otherwise it does, where they are to be had.
    pub fn offload(mut self, offload: Offload) -> Self {
        self.offload = offload;
        self
    }

    /// The hub to announce the port at. Who registers there before the start misses nothing, and a
    /// [`Service`](teredo_notify::service::Service) upon the same hub tells other processes.
    pub fn hub(mut self, hub: Hub) -> Self {
        self.hub = hub;
        self
    }

    /// Makes the interface, binds the port, announces it and begins to qualify. The port is in the hub when this is
    /// ready; where the host has native IPv6 there is none (see [`beside_native_ipv6`](Self::beside_native_ipv6)).
    ///
    /// Must be called within a tokio runtime, in the network namespace that the client is for.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left behind then.
    pub async fn start(self) -> Result<Client, StartError> {
        let tun = Tun::open(self.interface.as_deref())?;
        let defaults = InterfaceConfig::default();
        let config = InterfaceConfig {
            default_route: defaults.default_route.filter(|_| self.default_route),
            ..defaults
        };
        let interface = Interface::set_up(&tun, config).await?;
        let watcher = Watcher::new(Some(tun.index()))
            .await
            .map_err(StartError::Watch)?;

        let mut protocol = self.protocol;
        let attached = watch::attached().await.map_err(StartError::Watch)?;
        protocol.destinations.set_broadcasts(attached.broadcasts);
        let config = ClientPathConfig {
            bind: self.bind,
            port: self.port.map(Into::into),
            servers: self.servers.clone(),
            client: protocol,
            subnets: attached.subnets,
            native: driver::native(&watcher, self.beside_native),
            offload: self.offload,
            ..ClientPathConfig::default()
        };
        let (told, events) = mpsc::unbounded_channel();
        let engine = ClientHandle::spawn(
            tun,
            config,
            Box::new(HubAnnouncer(self.hub.clone())),
            // The driver ends before the engine does, and then nobody needs to know.
            move |event| drop(told.send(event)),
        )?;
        let waker = engine.waker();
        self.hub.on_settle(move || waker.wake());
        // For what was settled before there was a hook.
        engine.waker().wake();
        // The data path announces the port before it answers anything.
        engine.status().await;

        let engine = Arc::new(engine);
        let driver = Driver {
            engine: Arc::clone(&engine),
            interface,
            watcher,
            events,
            bind: self.bind,
            beside_native: self.beside_native,
            server: self.servers[0],
            hub: self.hub.clone(),
        };
        Ok(Client::new(engine, self.hub, driver::start(driver)))
    }
}
