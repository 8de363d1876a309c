//! From settings to a running relay.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use teredo::policy::DestinationPolicy;
use teredo::relay::Served;
use teredo::{Prefix, RelayConfig};
use teredo_notify::hub::{Hub, SETTLE_DEADLINE};
use teredo_notify::service::EventBus;
use teredo_notify::types::Role;
use teredo_tunnel::TunQueues;
use teredo_tunnel::kernel::DataPathChoice;
use teredo_tunnel::net::{Interface, InterfaceConfig, NetworkMonitor, local_address};
use teredo_tunnel::offload::Offload;
use teredo_tunnel::relay::{RelayHandle, RelayPathConfig};
use tokio::sync::{mpsc, watch};

use super::Relay;
use super::run::{ControlLoop, forwarding_trouble};
use crate::Protection;
use crate::StartError;
use crate::announcer::HubAnnouncer;
use crate::control::Requests;
use crate::gates::GateWatch;
use crate::kernel::{ELSEWHERE, KernelUse};
use crate::rules::RulesWatch;
use crate::start::{Running, open_tun, protect, wait_for_gates};
use crate::upkeep::Upkeep;

/// The default port of a relay, next to the server's. It is fixed, so that clients keep sending to it across a restart.
pub const DEFAULT_RELAY_PORT: u16 = 3545;

/// The settings of a [`Relay`]; [`Relay::builder`] makes one.
#[derive(Debug)]
#[must_use = "it does nothing until it is started"]
pub struct RelayBuilder {
    address: Ipv4Addr,
    port: u16,
    host: bool,
    serve: Vec<Prefix>,
    destinations: DestinationPolicy,
    direct_bubbles: Option<bool>,
    lanes: NonZeroUsize,
    interface: Option<String>,
    offload: Offload,
    data_path: DataPathChoice,
    hub: Hub,
    events: Option<EventBus>,
    requests: Option<Requests>,
    gate_grace: Duration,
    protection: Option<Arc<dyn Protection>>,
}

/// A relay whose interface exists, and which has no port yet: what needs most privileges is done.
#[derive(Debug)]
#[must_use = "it does nothing until it is started"]
pub struct PreparedRelay {
    builder: RelayBuilder,
    queues: TunQueues,
    interface: Interface,
    monitor: NetworkMonitor,
    kernel: Arc<KernelUse>,
}

impl RelayBuilder {
    pub(super) fn new() -> Self {
        Self {
            address: Ipv4Addr::UNSPECIFIED,
            port: DEFAULT_RELAY_PORT,
            host: false,
            serve: Vec::new(),
            destinations: DestinationPolicy::default(),
            direct_bubbles: None,
            lanes: NonZeroUsize::MIN,
            interface: None,
            offload: Offload::default(),
            data_path: DataPathChoice::default(),
            hub: Hub::new(),
            events: None,
            requests: None,
            gate_grace: Duration::ZERO,
            protection: None,
        }
    }

    /// The IPv4 address that clients reach; by default the routing table decides.
    pub fn address(mut self, address: Ipv4Addr) -> Self {
        self.address = address;
        self
    }

    /// The UDP port; 3545 by default.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Whether to serve this host alone (a host-specific relay, RFC 4380 §5.4.4) and no network; false by default.
    pub fn host(mut self, wanted: bool) -> Self {
        self.host = wanted;
        self
    }

    /// The networks that clients may reach; by default the whole IPv6 Internet.
    pub fn serve(mut self, networks: Vec<Prefix>) -> Self {
        self.serve = networks;
        self
    }

    /// The IPv4 addresses that the relay exchanges datagrams with.
    pub fn destinations(mut self, policy: DestinationPolicy) -> Self {
        self.destinations = policy;
        self
    }

    /// Whether to send bubbles to clients directly as well, which opens the relay's own NAT; by default if the address is
    /// behind one.
    pub fn direct_bubbles(mut self, wanted: Option<bool>) -> Self {
        self.direct_bubbles = wanted;
        self
    }

    /// The number of threads, which share the clients; 1 by default.
    pub fn lanes(mut self, lanes: NonZeroUsize) -> Self {
        self.lanes = lanes;
        self
    }

    /// The name of the tunnel interface; by default the first of `teredo0`, `teredo1`, ... that is free.
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.interface = Some(name.into());
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

    /// The hub that announces the port; by default a new one.
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

    /// How long the port waits for firewall agents to subscribe; not at all by default.
    pub fn gate_grace(mut self, grace: Duration) -> Self {
        self.gate_grace = grace;
        self
    }

    /// The firewall of the tunnel's inside, which is asked to close the interface before that is up; none by default.
    pub fn protection(mut self, protection: Arc<dyn Protection>) -> Self {
        self.protection = Some(protection);
        self
    }

    /// Creates the interface and sets it up, which needs CAP_NET_ADMIN, and CAP_BPF for the path in the kernel and for more
    /// than one lane. The caller may
    /// drop privileges afterwards, all but CAP_NET_ADMIN for routes.
    ///
    /// Call it within a tokio runtime, in the network namespace that the relay is for.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left behind.
    pub async fn prepare(self) -> Result<PreparedRelay, StartError> {
        let queues = open_tun(|| TunQueues::open(self.interface.as_deref(), self.lanes)).await?;
        let config = InterfaceConfig {
            default_route: None,
            group: Role::Relay.interface_group(),
            ..InterfaceConfig::default()
        };
        let tun = queues.first();
        protect(
            &self.hub,
            Role::Relay,
            tun.name(),
            tun.index(),
            self.protection.as_deref(),
        )?;
        let interface = Interface::set_up(queues.first(), config).await?;
        let monitor = NetworkMonitor::for_relay(queues.first().index())
            .await
            .map_err(StartError::Monitor)?;
        let most_peers = self.path_config(&monitor).relay.max_peers;
        let kernel = KernelUse::prepare(self.data_path, None, queues.first(), most_peers)?;
        Ok(PreparedRelay {
            builder: self,
            queues,
            interface,
            monitor,
            kernel: Arc::new(kernel),
        })
    }

    /// [Prepares](Self::prepare) the relay and [starts](PreparedRelay::start) it.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left behind.
    pub async fn start(self) -> Result<Relay, StartError> {
        self.prepare().await?.start().await
    }

    fn path_config(&self, monitor: &NetworkMonitor) -> RelayPathConfig {
        let local = match self.address {
            Ipv4Addr::UNSPECIFIED => local_address(ELSEWHERE).unwrap_or(Ipv4Addr::UNSPECIFIED),
            address => address,
        };
        let behind_nat = !DestinationPolicy::default().permits_address(local);
        let mut destinations = self.destinations.clone();
        destinations.set_broadcasts(monitor.attached().broadcasts);
        let native = monitor.global_addresses();
        RelayPathConfig {
            bind: self.address,
            port: self.port,
            relay: RelayConfig {
                error_source: native.first().copied(),
                direct_bubbles: self.direct_bubbles.unwrap_or(behind_nat),
                destinations,
                ..RelayConfig::new(
                    SocketAddrV4::new(self.address, self.port),
                    if self.host {
                        Served::Host(native)
                    } else {
                        Served::Networks(self.serve.clone())
                    },
                )
            },
            settle_deadline: SETTLE_DEADLINE,
            offload: self.offload,
            kernel: None,
        }
    }
}

impl PreparedRelay {
    /// Binds the port, announces it, and serves when the announcement is settled.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left behind.
    pub async fn start(self) -> Result<Relay, StartError> {
        let Self {
            builder,
            queues,
            mut interface,
            monitor,
            kernel,
        } = self;
        let hub = builder.hub.clone();
        let gates = GateWatch::new(&hub, kernel.path());
        let rules = kernel.path().map(RulesWatch::of_a_node);
        kernel.attach(ELSEWHERE);
        wait_for_gates(&hub, builder.gate_grace).await;

        let (sender, inputs) = mpsc::unbounded_channel();
        let handle = RelayHandle::spawn(
            queues,
            RelayPathConfig {
                kernel: kernel.path().cloned(),
                ..builder.path_config(&monitor)
            },
            Box::new(HubAnnouncer(hub.clone(), gates.clone())),
            // The control loop may end before the data path does.
            move |event| drop(sender.send(event)),
        )?;
        let waker = handle.waker();
        let settle_hook = hub.on_settle(move || waker.wake());
        // For announcements that were settled before there was a hook.
        handle.waker().wake();
        interface.set_routes().await?;

        let handle = Arc::new(handle);
        let (set_open, open) = watch::channel(false);
        let control_loop = ControlLoop {
            handle: Arc::clone(&handle),
            kernel: Arc::clone(&kernel),
            gates,
            _rules: rules,
            hub: hub.clone(),
            events: builder.events.unwrap_or_else(|| EventBus::new(hub.clone())),
            upkeep: Upkeep::periodic(interface),
            monitor,
            requests: builder.requests,
            inputs,
            address: builder.address,
            port: builder.port,
            host: builder.host,
            _settle_hook: settle_hook,
            open: set_open,
            protection: builder.protection,
        };
        Ok(Relay {
            handle,
            kernel,
            hub,
            running: Running::start(|end| control_loop.run(end)),
            trouble: forwarding_trouble(builder.host),
            open,
        })
    }
}
