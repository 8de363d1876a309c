//! From settings to a running client.

use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use teredo::ClientConfig;
use teredo_notify::hub::{Hub, SETTLE_DEADLINE};
use teredo_notify::service::EventBus;
use teredo_notify::types::Role;
use teredo_tunnel::Tun;
use teredo_tunnel::client::{ClientHandle, ClientPathConfig};
use teredo_tunnel::kernel::DataPathChoice;
use teredo_tunnel::net::{Interface, InterfaceConfig, NetworkMonitor, SEGMENTS_PER_SEND};
use teredo_tunnel::offload::Offload;
use tokio::sync::{Notify, mpsc, watch};

use super::account::Account;
use super::gateway::{GatewayConfig, GatewayWatch};
use super::path::PathMonitor;
use super::predecessor::Predecessor;
use super::run::{ControlLoop, Input};
use super::{Client, Connectivity};
use crate::Protection;
use crate::announcer::HubAnnouncer;
use crate::control::Requests;
use crate::gates::GateWatch;
use crate::kernel::KernelUse;
use crate::names::{Resolution, Resolver, ServerName};
use crate::rules::RulesWatch;
use crate::start::{Running, open_tun, protect, wait_for_gates};
use crate::upkeep::Upkeep;
use crate::{ServerKeys, StartError};

/// The settings of a [`Client`]; [`Client::builder`] makes one.
#[derive(Debug)]
#[must_use = "it does nothing until it is started"]
pub struct ClientBuilder {
    pub(super) servers: Vec<ServerName>,
    pub(super) keys: ServerKeys,
    interface: Option<String>,
    default_route: bool,
    pub(super) bind: Ipv4Addr,
    pub(super) port: Option<NonZeroU16>,
    pub(super) protocol: ClientConfig,
    pub(super) beside_native: bool,
    offload: Offload,
    data_path: DataPathChoice,
    hub: Hub,
    events: Option<EventBus>,
    requests: Option<Requests>,
    gate_grace: Duration,
    protection: Option<Arc<dyn Protection>>,
    predecessor: Predecessor,
    stopped: bool,
    gateway: GatewayConfig,
}

/// A client whose interface exists, and which has no port yet: what needs privileges is done.
#[derive(Debug)]
#[must_use = "it does nothing until it is started"]
pub struct PreparedClient {
    builder: ClientBuilder,
    tun: Tun,
    interface: Interface,
    monitor: NetworkMonitor,
    kernel: Arc<KernelUse>,
}

impl ClientBuilder {
    pub(super) fn new(server: ServerName) -> Self {
        Self {
            servers: vec![server],
            keys: ServerKeys::default(),
            interface: None,
            default_route: true,
            bind: Ipv4Addr::UNSPECIFIED,
            port: None,
            protocol: ClientConfig::default(),
            beside_native: false,
            offload: Offload::default(),
            data_path: DataPathChoice::default(),
            hub: Hub::new(),
            events: None,
            requests: None,
            gate_grace: Duration::ZERO,
            protection: None,
            predecessor: Predecessor::default(),
            stopped: false,
            gateway: GatewayConfig::default(),
        }
    }

    /// Another server, to be raced with the first.
    pub fn server(mut self, server: impl Into<ServerName>) -> Self {
        self.servers.push(server.into());
        self
    }

    /// The identifiers and secrets; none by default.
    pub fn keys(mut self, keys: ServerKeys) -> Self {
        self.keys = keys;
        self
    }

    /// The name of the tunnel interface; by default the first of `teredo0`, `teredo1`, ... that is free.
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.interface = Some(name.into());
        self
    }

    /// Whether IPv6 without any other route goes through the tunnel; true by default.
    pub fn default_route(mut self, wanted: bool) -> Self {
        self.default_route = wanted;
        self
    }

    /// The IPv4 address to send from; by default the routing table decides.
    pub fn bind(mut self, address: Ipv4Addr) -> Self {
        self.bind = address;
        self
    }

    /// The UDP port to begin with; by default the kernel chooses.
    pub fn port(mut self, port: NonZeroU16) -> Self {
        self.port = Some(port);
        self
    }

    /// The protocol's settings.
    pub fn protocol(mut self, config: ClientConfig) -> Self {
        self.protocol = config;
        self
    }

    /// Whether the client serves even if the host has native IPv6. By default it is dormant then, without port and
    /// address, until native IPv6 is gone (RFC 4380 §5.5).
    pub fn beside_native_ipv6(mut self, wanted: bool) -> Self {
        self.beside_native = wanted;
        self
    }

    /// Whether to use kernel offloads; [`Offload::Auto`] by default.
    pub fn offload(mut self, offload: Offload) -> Self {
        self.offload = offload;
        self
    }

    /// Who carries the packets of known peers; [`DataPathChoice::Auto`] by default. Offloads of user space have no part
    /// in it.
    pub fn data_path(mut self, choice: DataPathChoice) -> Self {
        self.data_path = choice;
        self
    }

    /// The hub that announces the port; by default a new one. Register callbacks before the start to miss nothing. A
    /// [service](teredo_notify::service::Service) on the same hub serves other processes.
    pub fn hub(mut self, hub: Hub) -> Self {
        self.hub = hub;
        self
    }

    /// The bus of the service's monitors; by default one without monitors.
    pub fn events(mut self, events: EventBus) -> Self {
        self.events = Some(events);
        self
    }

    /// The requests of a service (see [`control`](crate::control())).
    pub fn requests(mut self, requests: Requests) -> Self {
        self.requests = Some(requests);
        self
    }

    /// How long the first port waits for firewall agents to subscribe; not at all by default.
    pub fn gate_grace(mut self, grace: Duration) -> Self {
        self.gate_grace = grace;
        self
    }

    /// The firewall of the tunnel's inside, which is asked to close the interface before that is up; none by default.
    pub fn protection(mut self, protection: Arc<dyn Protection>) -> Self {
        self.protection = Some(protection);
        self
    }

    /// Goes on with what a client before this one has left, as far as it fits; nothing by default.
    pub fn predecessor(mut self, predecessor: Predecessor) -> Self {
        self.predecessor = predecessor;
        self
    }

    /// Whether the client begins stopped, without a port, until it is [started](Client::start); false by default.
    pub fn stopped(mut self, stopped: bool) -> Self {
        self.stopped = stopped;
        self
    }

    /// Asks the router for a mapping of the service port (RFC 6081 §5.3) if `wanted`; not asked by default. `store` keeps the
    /// mapping for the next process. What it has from the one before is taken back in any case.
    #[cfg(feature = "igd")]
    pub fn gateway(mut self, wanted: bool, store: Box<dyn teredo_gateway::MappingStore>) -> Self {
        self.gateway = GatewayConfig::new(wanted, store);
        self
    }

    /// Creates the interface and sets it up, which needs CAP_NET_ADMIN, and loads the path in the kernel, which also needs
    /// CAP_BPF. The caller may drop privileges afterwards, all but CAP_NET_ADMIN for addresses and routes.
    ///
    /// Call it within a tokio runtime, in the network namespace that the client is for.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left behind.
    pub async fn prepare(mut self) -> Result<PreparedClient, StartError> {
        let defaults = InterfaceConfig::default();
        let config = InterfaceConfig {
            default_route: defaults.default_route.filter(|_| self.default_route),
            max_segments: Some(SEGMENTS_PER_SEND),
            group: Role::Client.interface_group(),
            ..defaults
        };
        let protection = self.protection.as_deref();
        let name = self.interface.as_deref();
        let left = self
            .predecessor
            .take_interface(name, config, &self.hub, protection)
            .await?;
        let (tun, interface) = match left {
            Some(left) => left,
            None => {
                let tun = open_tun(|| Tun::open(name)).await?;
                protect(&self.hub, Role::Client, tun.name(), tun.index(), protection)?;
                let interface = Interface::set_up(&tun, config).await?;
                (tun, interface)
            }
        };
        let monitor = NetworkMonitor::for_client(Some(tun.index()))
            .await
            .map_err(StartError::Monitor)?;
        let kernel = KernelUse::prepare(
            self.data_path,
            self.predecessor.kernel.take(),
            &tun,
            self.protocol.max_peers,
        )?;
        Ok(PreparedClient {
            builder: self,
            tun,
            interface,
            monitor,
            kernel: Arc::new(kernel),
        })
    }

    /// [Prepares](Self::prepare) the client and [starts](PreparedClient::start) it.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left behind.
    pub async fn start(self) -> Result<Client, StartError> {
        self.prepare().await?.start().await
    }
}

impl PreparedClient {
    /// Announces the port of the [predecessor](ClientBuilder::predecessor) whose socket was left, if the client will use
    /// that. Call it before a service answers, so that no subscriber hears of a moment without a port.
    pub fn announce_left(&self) {
        let builder = &self.builder;
        let dormant = self.monitor.native().is_some() && !builder.beside_native;
        let closed = dormant || builder.stopped;
        let wanted = builder.port.map(NonZeroU16::get);
        if let Some(port) = builder.predecessor.left_port(builder.bind)
            && !closed
            && wanted.is_none_or(|wanted| wanted == port)
        {
            builder.hub.publish(port);
        }
    }

    /// Binds the port, announces it and begins to qualify. When this is ready the hub has the port; if the host has
    /// native IPv6 there is none (see [`beside_native_ipv6`](ClientBuilder::beside_native_ipv6)).
    ///
    /// # Errors
    /// [`StartError`]; nothing is left behind.
    pub async fn start(self) -> Result<Client, StartError> {
        let Self {
            builder,
            tun,
            interface,
            mut monitor,
            kernel,
        } = self;
        let native = monitor.native().filter(|_| !builder.beside_native);
        let hub = builder.hub.clone();
        let events = builder.events.clone();
        let events = events.unwrap_or_else(|| EventBus::new(hub.clone()));
        let gates = GateWatch::new(&hub, kernel.path());
        let rules = kernel.path().map(RulesWatch::of_a_node);
        let resolution = Resolution::without_look_up(&builder.servers);
        // Before the gates, and so before there is a peer.
        kernel.attach(resolution.destination());
        wait_for_gates(&hub, builder.gate_grace).await;

        let name = tun.name().to_owned();
        let descriptor = tun.descriptor();
        // A client that goes on with an address does not wait for the router.
        let fresh = builder.predecessor.resumption.is_none();
        let gateway = GatewayWatch::start(builder.gateway, builder.bind, fresh);
        let asks_router = gateway.holds_servers();
        monitor.follow(resolution.servers.iter().map(|(server, _)| server.primary));
        let mut protocol = builder.protocol.clone();
        let attached = monitor.attached();
        protocol.destinations.set_broadcasts(attached.broadcasts);
        let config = ClientPathConfig {
            bind: builder.bind,
            port: builder.port.map(Into::into),
            servers: match asks_router {
                true => Vec::new(),
                false => resolution.addresses().collect(),
            },
            keyring: builder.keys.keyring(resolution.named()),
            client: protocol,
            subnets: attached.subnets,
            native: native.map(|native| native.address),
            stopped: builder.stopped,
            predecessor: builder.predecessor.into_port(),
            kernel: kernel.path().cloned(),
            offload: builder.offload,
            ..ClientPathConfig::new(SETTLE_DEADLINE)
        };
        let (sender, inputs) = mpsc::unbounded_channel();
        let (reports, commands) = (sender.clone(), sender.clone());
        let handle = ClientHandle::spawn(
            tun,
            config,
            Box::new(HubAnnouncer(hub.clone(), gates.clone())),
            // The control loop may end before the data path does.
            move |event| drop(sender.send(Input::Lane(event))),
        )?;
        let (waker, settled) = (handle.waker(), Arc::new(Notify::new()));
        let settle_hook = hub.on_settle({
            let settled = settled.clone();
            move || {
                waker.wake();
                settled.notify_one();
            }
        });
        // For announcements that were settled before there was a hook.
        handle.waker().wake();
        // The data path announces the port before it answers.
        handle.status().await;

        let handle = Arc::new(handle);
        let (tell, connectivity) = watch::channel(Connectivity::default());
        let control_loop = ControlLoop {
            handle: Arc::clone(&handle),
            kernel: Arc::clone(&kernel),
            gates,
            _rules: rules,
            hub: hub.clone(),
            events: events.clone(),
            path: PathMonitor::new(Arc::clone(&handle)),
            gateway,
            upkeep: Upkeep::on_change(interface),
            monitor,
            resolver: Resolver::start(builder.servers.clone()),
            requests: builder.requests,
            inputs,
            reports,
            settled,
            _settle_hook: settle_hook,
            tell,
            account: Account::new(
                name,
                resolution,
                builder.servers,
                builder.port,
                builder.stopped,
                asks_router,
            ),
            keys: builder.keys,
            bind: builder.bind,
            beside_native: builder.beside_native,
            default_route: builder.default_route,
            max_peers: builder.protocol.max_peers,
            nat_traversal: builder.protocol.nat_traversal,
            protection: builder.protection,
        };
        Ok(Client {
            handle,
            kernel,
            hub,
            events,
            connectivity,
            running: Running::start(|end| control_loop.run(end)),
            inputs: commands,
            interface: descriptor,
        })
    }
}
