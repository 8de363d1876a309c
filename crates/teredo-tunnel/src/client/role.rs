//! A client's own work on its lane: qualify, stop and start, and sleep beside native IPv6.
//!
//! ```text
//!                native IPv6                          stop
//!  serving ──────────────────────> dormant ──────────────────────> stopped
//!     ^  <────────────────────────    ^  <────────────────────────    │
//!     │     no native IPv6 any more        start, with native IPv6    │
//!     └───────────────────────────────────────────────────────────────┘
//!                              start, without
//! ```
//!
//! A dormant client (R4380-5.5-01) has no port, so its end is announced and firewalls close it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::os::fd::{BorrowedFd, OwnedFd};

use teredo::client::{Event, PeerStatus, Resumption, State};
use teredo::policy::DestinationPolicy;
use teredo::wire::DISCOVERY;
use teredo::{Client, Instant, Keyring, Node, ServerAddress};
use tokio::sync::oneshot;

use super::random::RandomPorts;
use super::sockets::Sockets;
use super::{ClientPathConfig, ClientPathStatus, Predecessor};
use crate::lane::{Lane, LaneEvent, Role};
use crate::net::{Attached, local_address};
use crate::offload::Offload;
use crate::port::{ChangeError, PortFallback, Reply, Target, answer, bind, open};
use crate::udp::ServiceSocket;
use crate::{BindError, clock};

/// A request of the owner to the thread.
pub(super) enum Command {
    SetServers(Vec<ServerAddress>),
    SetKeyring(Keyring),
    NetworkChanged { local: Ipv4Addr, attached: Attached },
    SetAttached(Attached),
    SetNative(Option<Ipv6Addr>),
    ProbePath(Ipv4Addr),
    SetPathLimit(Option<u16>),
    SetDelivers(bool),
    SetUpnpMapping(Option<SocketAddrV4>),
    Rebind(Option<u16>, Reply),
    Start(Reply),
    Stop(Reply),
    Status(Box<dyn FnOnce(ClientPathStatus) + Send>),
    Peers(usize, oneshot::Sender<Vec<PeerStatus>>),
    Socket(oneshot::Sender<Option<OwnedFd>>),
    Leave,
}

/// A client's part of the lane.
pub(super) struct ClientRole {
    /// The first port, until the thread has begun; none for a client that begins dormant or stopped.
    first: Option<(ServiceSocket, Option<PortFallback>)>,
    /// Whether the client begins stopped.
    stopped: bool,
    /// The address to go on with, and the port that it is for.
    resumption: Option<(u16, Resumption)>,
    /// An address of the host's native IPv6.
    native: Option<Ipv6Addr>,
    sockets: Sockets,
    random: RandomPorts,
    servers: Vec<ServerAddress>,
    destinations: DestinationPolicy,
    /// The directed broadcast addresses that were set last.
    broadcasts: Option<Vec<Ipv4Addr>>,
    bind: Ipv4Addr,
    port: Option<u16>,
    offload: Offload,
    /// Whether the client was qualified last.
    qualified: bool,
}

impl Role for ClientRole {
    type Node = Client;
    type Command = Command;

    fn begin(&mut self, lane: &mut Lane<Self>, now: Instant) {
        match self.first.take() {
            Some((socket, fell_back)) => {
                lane.change_port(now, Target::Socket(socket), fell_back, None);
            }
            None if self.stopped => lane.collect(self),
            None => {
                lane.port.set_dormant(true);
                self.set_native(lane, now, self.native);
                lane.collect(self);
            }
        }
    }

    fn handle_command(&mut self, lane: &mut Lane<Self>, now: Instant, command: Command) {
        match command {
            Command::SetServers(servers) => self.set_servers(lane, now, servers),
            Command::SetKeyring(keyring) => lane.path.node.set_keyring(keyring),
            Command::NetworkChanged { local, attached } => {
                self.network_changed(lane, now, local, attached);
            }
            Command::SetAttached(attached) => {
                self.set_attached(lane, attached);
                if lane.port.serving().is_some() {
                    let local = self.local(lane, None);
                    self.sockets.follow_link(lane, now, local);
                }
                self.wake_up(lane, now);
            }
            Command::ProbePath(to) => {
                if let Some(socket) = lane.port.serving()
                    && let Err(error) = socket.probe_path(to)
                {
                    // Too long for the first link, or no way at all, which solicitations report.
                    tracing::debug!(%error, %to, "the path was not probed");
                }
            }
            Command::SetPathLimit(limit) => lane.path.set_path_limit(limit),
            Command::SetDelivers(delivers) => lane.path.set_delivers(delivers),
            Command::SetUpnpMapping(external) => lane.path.node.set_upnp_mapping(external),
            Command::SetNative(native) => self.set_native(lane, now, native),
            Command::Rebind(port, reply) => self.rebind(lane, now, port, reply),
            Command::Start(reply) => self.start(lane, now, reply),
            Command::Stop(reply) => self.stop(lane, now, reply),
            Command::Leave => lane.port.leave(),
            Command::Status(reply) => reply(status(lane)),
            Command::Peers(most, reply) => {
                let mut peers = lane.path.node.peers(now, most);
                if let Some(kernel) = lane.path.kernel() {
                    kernel.add_carried(&mut peers);
                }
                // The caller may have lost interest.
                let _ = reply.send(peers);
            }
            Command::Socket(reply) => {
                let socket = lane.port.serving();
                let descriptor = socket.and_then(|socket| socket.descriptor().ok());
                // The caller may have lost interest.
                let _ = reply.send(descriptor);
            }
        }
    }

    fn port_changed(&mut self, lane: &mut Lane<Self>, now: Instant, has_port: bool) {
        if has_port {
            // Without it, a bubble that ends too early is only noticed by the silence of the peer.
            if let Some(Err(error)) = lane.port.serving().map(ServiceSocket::report_errors) {
                tracing::debug!(%error, "no ICMP errors are reported");
            }
            self.qualify(lane, now);
        }
    }

    fn handle_event(&mut self, lane: &mut Lane<Self>, event: Event) {
        match event {
            Event::SecondaryPort { wanted } => {
                let address = *self.local(lane, None).ip();
                self.sockets.set_secondary(lane, wanted, self.bind, address);
            }
            Event::RandomPort {
                port,
                wanted: false,
            } => self.random.close(port),
            Event::RandomPort { port, wanted: true } => {
                let (now, bind) = (clock::now(), self.bind);
                self.random.open(lane, now, port, bind, self.offload);
            }
            Event::OpenPortBlock => {
                let (now, bind) = (clock::now(), self.bind);
                self.random.open_block(lane, now, bind, self.offload);
            }
            Event::ClosePortBlock { keep } => {
                self.random.close_block(keep);
                let mut sockets = self.random.sockets().iter();
                if let Some(kept) = sockets.find(|socket| Some(socket.local().port()) == keep) {
                    lane.path.watch(kept);
                }
            }
            event => {
                if let Event::StateChanged { state, .. } = event {
                    let qualified = state == State::Qualified;
                    let was = std::mem::replace(&mut self.qualified, qualified);
                    if qualified || was {
                        // While qualified an error is about a peer, and otherwise about a server.
                        lane.troubles.clear_all();
                    }
                    if qualified {
                        lane.path.watch_long_packets();
                    }
                }
                lane.report(LaneEvent::Node(event));
            }
        }
    }

    fn sockets(&self) -> [Option<&ServiceSocket>; 2] {
        self.sockets.all()
    }

    fn receive(&mut self, lane: &mut Lane<Self>, now: Instant, index: usize) {
        self.sockets.receive(lane, now, index);
    }

    fn random_sockets(&self) -> &[ServiceSocket] {
        self.random.sockets()
    }

    fn block_sockets(&self) -> &[ServiceSocket] {
        self.random.block_sockets()
    }

    fn block_descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.random.block_descriptor()
    }

    fn ready_of_block(&self) -> Vec<u16> {
        self.random.ready_of_block()
    }

    fn receive_of_block(&mut self, lane: &mut Lane<Self>, now: Instant, port: u16) {
        self.random.receive_of_block(lane, now, port);
    }

    fn receive_random(&mut self, lane: &mut Lane<Self>, now: Instant, index: usize) {
        self.random.receive(lane, now, index);
    }

    fn deadline(&self) -> Option<Instant> {
        self.random.deadline()
    }

    fn poll(&mut self, lane: &mut Lane<Self>, now: Instant) {
        self.random.poll(lane, now);
    }

    fn flush(&mut self, lane: &mut Lane<Self>) {
        self.sockets.flush(lane);
        self.random.flush(lane);
    }

    fn end(&mut self, lane: &mut Lane<Self>, now: Instant) {
        lane.path.node.stop(now);
        self.random.close_all(lane);
    }
}

impl ClientRole {
    /// Binds the first port, unless the client begins dormant or stopped.
    pub(super) fn new(config: ClientPathConfig) -> Result<Self, BindError> {
        let first = match config.native {
            None if !config.stopped => Some(first_port(&config)?),
            _ => None,
        };
        Ok(Self {
            first,
            stopped: config.stopped,
            resumption: config.predecessor.port.zip(config.predecessor.resumption),
            native: config.native,
            sockets: Sockets::new(config.client.local_discovery, config.subnets),
            random: RandomPorts::default(),
            servers: config.servers,
            destinations: config.client.destinations,
            broadcasts: None,
            bind: config.bind,
            port: config.port,
            qualified: false,
            offload: config.offload,
        })
    }

    fn rebind(&mut self, lane: &mut Lane<Self>, now: Instant, port: Option<u16>, reply: Reply) {
        if lane.port.is_closed() {
            let native = self.native.filter(|_| lane.port.is_dormant());
            let error = native.map_or(ChangeError::Stopped, ChangeError::Dormant);
            return answer(reply, Err(error));
        }
        let port = port.filter(|&port| port != 0);
        if port.is_some() && port == lane.port.changes_to() {
            return lane.port.join(reply);
        }
        if port == Some(lane.port.number()) {
            if lane.port.serving().is_some() {
                // The port is announced and settled; only the mapping may be another one.
                self.qualify(lane, now);
                return answer(reply, Ok(lane.port.at_rest()));
            }
            return lane.change_port(now, Target::Old, None, Some(reply));
        }
        if port == Some(DISCOVERY.port()) {
            // The socket of local discovery is in the way; it gives way here as at the start.
            self.sockets.leave_link();
        }
        // A client that is asked for a port has one, or is about to, so it can refuse.
        match open(self.bind, port.unwrap_or(0), self.offload) {
            // Nothing leaves from here on, not even from the old port.
            Ok(next) => lane.change_port(now, Target::Socket(next), None, Some(reply)),
            Err(error) => {
                if lane.port.serving().is_some() {
                    let local = self.local(lane, None);
                    self.sockets.follow_link(lane, now, local);
                }
                answer(reply, Err(error.into()));
            }
        }
    }

    /// Starting a stopped client beside native IPv6 makes it dormant.
    fn start(&mut self, lane: &mut Lane<Self>, now: Instant, reply: Reply) {
        if !lane.port.is_closed() {
            return lane.port.join(reply);
        }
        if let Some(native) = self.native {
            lane.port.set_dormant(true);
            lane.path.node.sleep(now, native);
            return answer(reply, Err(ChangeError::Dormant(native)));
        }
        match bind(self.bind, self.port, self.offload) {
            Ok((next, fell_back)) => {
                lane.change_port(now, Target::Socket(next), fell_back, Some(reply));
            }
            Err(error) => answer(reply, Err(error.into())),
        }
    }

    /// Stopping a dormant client keeps it from starting when native IPv6 is gone.
    fn stop(&mut self, lane: &mut Lane<Self>, now: Instant, reply: Reply) {
        if !lane.port.is_closed() {
            lane.path.node.stop(now);
            self.sockets.forget_link(lane, now);
            self.random.close_all(lane);
            return lane.change_port(now, Target::Stopped, None, Some(reply));
        }
        if lane.port.is_dormant() {
            lane.port.set_dormant(false);
            lane.path.node.stop(now);
        }
        lane.port.join(reply);
    }

    fn set_native(&mut self, lane: &mut Lane<Self>, now: Instant, native: Option<Ipv6Addr>) {
        self.native = native;
        match native {
            Some(address) if !lane.port.is_closed() => {
                lane.path.node.sleep(now, address);
                self.sockets.forget_link(lane, now);
                self.random.close_all(lane);
                lane.change_port(now, Target::Dormant, None, None);
            }
            Some(address) if lane.port.is_dormant() => lane.path.node.sleep(now, address),
            _ => self.wake_up(lane, now),
        }
    }

    /// Starts a dormant client if native IPv6 is gone. If no port is available, because the network is just coming up,
    /// the client tries again with the next change of the network.
    fn wake_up(&mut self, lane: &mut Lane<Self>, now: Instant) {
        if !lane.port.is_dormant() || self.native.is_some() {
            return;
        }
        match bind(self.bind, self.port, self.offload) {
            Ok((next, fell_back)) => {
                lane.change_port(now, Target::Socket(next), fell_back, None);
            }
            Err(error) => tracing::warn!(%error, "the client stays dormant"),
        }
    }

    fn set_servers(&mut self, lane: &mut Lane<Self>, now: Instant, servers: Vec<ServerAddress>) {
        self.servers = servers;
        // Otherwise they are used when the port is.
        if lane.port.serving().is_some() {
            // The route to the new servers may begin at another address.
            let local = self.local(lane, None);
            if lane.path.node.status().local != Some(local) {
                lane.path.node.handle_network_change(now, local);
                self.sockets.follow_link(lane, now, local);
            }
            lane.path.node.set_servers(now, &self.servers);
        }
    }

    fn network_changed(
        &mut self,
        lane: &mut Lane<Self>,
        now: Instant,
        local: Ipv4Addr,
        attached: Attached,
    ) {
        lane.troubles.clear_all();
        lane.path.reroute();
        self.set_attached(lane, attached);
        if lane.port.serving().is_some() {
            let local = self.local(lane, Some(local));
            lane.path.node.handle_network_change(now, local);
            self.sockets.follow_link(lane, now, local);
        }
        self.wake_up(lane, now);
    }

    fn set_attached(&mut self, lane: &mut Lane<Self>, attached: Attached) {
        // The node walks all its peers.
        if self.broadcasts.as_ref() != Some(&attached.broadcasts) {
            self.destinations
                .set_broadcasts(attached.broadcasts.clone());
            lane.path.node.set_destinations(self.destinations.clone());
            self.broadcasts = Some(attached.broadcasts);
        }
        lane.path.node.set_links(attached.subnets.clone());
        self.sockets.set_subnets(attached.subnets);
    }

    fn qualify(&mut self, lane: &mut Lane<Self>, now: Instant) {
        let local = self.local(lane, None);
        // For the first port only; later there is nothing to go on with.
        match self.resumption.take() {
            Some((port, earlier)) if port == local.port() => {
                lane.path.node.resume(now, local, &self.servers, earlier);
            }
            _ => lane.path.node.start(now, local, &self.servers),
        }
        self.sockets.follow_link(lane, now, local);
        lane.collect(self);
    }

    /// The service port's address on this host; unspecified if there is no route to a server.
    fn local(&self, lane: &Lane<Self>, known: Option<Ipv4Addr>) -> SocketAddrV4 {
        let by_route = || {
            let mut servers = self.servers.iter();
            servers.find_map(|server| local_address(server.primary).ok())
        };
        let address = Some(self.bind)
            .filter(|bind| !bind.is_unspecified())
            .or_else(|| known.filter(|address| !address.is_unspecified()))
            .or_else(by_route)
            .unwrap_or(Ipv4Addr::UNSPECIFIED);
        SocketAddrV4::new(address, lane.port.number())
    }
}

/// The port of the client before, if it was left and fits, or else one as configured.
fn first_port(
    config: &ClientPathConfig,
) -> Result<(ServiceSocket, Option<PortFallback>), BindError> {
    let Predecessor { socket, port, .. } = &config.predecessor;
    let wanted = config.port.unwrap_or(0);
    if let Some(socket) = socket {
        let left = socket.try_clone();
        match left.and_then(|left| ServiceSocket::take_over(left, config.bind, wanted)) {
            Ok(mut socket) => {
                if config.offload == Offload::Off {
                    socket.disable_offloads();
                }
                return Ok((socket, None));
            }
            Err(error) => tracing::info!(%error, "the port that was left is not used"),
        }
    }
    if let (0, Some(port)) = (wanted, *port)
        && let Ok(socket) = open(config.bind, port, config.offload)
    {
        return Ok((socket, None));
    }
    bind(config.bind, config.port, config.offload)
}

fn status(lane: &Lane<ClientRole>) -> ClientPathStatus {
    ClientPathStatus {
        client: lane.path.node.status(),
        drops: lane.path.node.drops().clone(),
        port: lane.port.number(),
        counters: lane.path.counters,
    }
}
