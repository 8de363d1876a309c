//! The control loop of a client: it takes one input at a time and acts on it, so that a client that says it is qualified
//! has its address on the interface.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;

use teredo::client::{Event, NatTraversal, Reason, State};
use teredo_notify::hub::{Hub, SETTLE_DEADLINE, SettleHook};
use teredo_notify::service::{ControlError, EventBus, Outcome};
use teredo_notify::types::{Detail, Role, Status};
use teredo_tunnel::BindError;
use teredo_tunnel::client::{ClientEvent, ClientHandle, ClientPathStatus};
use teredo_tunnel::lane::Operation;
use teredo_tunnel::net::{NetworkChange, NetworkMonitor, local_address};
use teredo_tunnel::port::{ChangeError, PortChange};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::Connectivity;
use super::account::Account;
use super::gateway::GatewayWatch;
use super::path::PathMonitor;
use crate::control::{Reply, Request, Requests};
use crate::gates::GateWatch;
use crate::kernel::KernelUse;
use crate::names::{Resolution, Resolver};
use crate::rules::RulesWatch;
use crate::start::protect_renamed;
use crate::status::peer;
use crate::upkeep::Upkeep;
use crate::{Protection, RunError, ServerKeys};

/// A message to the control loop. Events and status come through one channel, so a status that is answered is neither
/// older nor newer than the events before it.
#[derive(Debug)]
pub(super) enum Input {
    Lane(ClientEvent),
    Status(Box<ClientPathStatus>, oneshot::Sender<Status>),
    /// From the owner.
    Keys(ServerKeys),
    /// Another client takes over; answered when the router's mapping is taken back.
    Leaving(oneshot::Sender<()>),
}

/// The state of the control loop.
pub(super) struct ControlLoop {
    pub(super) handle: Arc<ClientHandle>,
    pub(super) kernel: Arc<KernelUse>,
    pub(super) gates: GateWatch,
    pub(super) _rules: Option<RulesWatch>,
    pub(super) hub: Hub,
    pub(super) events: EventBus,
    pub(super) path: PathMonitor,
    pub(super) gateway: GatewayWatch,
    pub(super) upkeep: Upkeep,
    pub(super) monitor: NetworkMonitor,
    pub(super) resolver: Resolver,
    pub(super) requests: Option<Requests>,
    pub(super) inputs: mpsc::UnboundedReceiver<Input>,
    /// For answers of the data path.
    pub(super) reports: mpsc::UnboundedSender<Input>,
    /// Woken whenever a gating subscriber has confirmed an announcement.
    pub(super) settled: Arc<Notify>,
    /// Removed with the loop.
    pub(super) _settle_hook: SettleHook,
    pub(super) tell: watch::Sender<Connectivity>,
    pub(super) account: Account,
    pub(super) keys: ServerKeys,
    pub(super) bind: Ipv4Addr,
    pub(super) beside_native: bool,
    pub(super) default_route: bool,
    pub(super) max_peers: usize,
    pub(super) nat_traversal: NatTraversal,
    pub(super) protection: Option<Arc<dyn Protection>>,
}

impl ControlLoop {
    /// Runs until `end` is dropped or the client ends by itself.
    pub(super) async fn run(mut self, mut end: oneshot::Receiver<()>) -> Result<(), RunError> {
        loop {
            let server = self.account.resolution.addresses().next();
            self.gateway.follow(
                self.hub.snapshot().port,
                server.map(|server| server.primary),
            );
            if let Some(mapping) = self.gateway.new_mapping() {
                self.handle.set_upnp_mapping(mapping);
            }
            self.hold_servers();
            // In random order, so that no input starves the others.
            tokio::select! {
                _ = &mut end => break,
                input = self.inputs.recv() => match input {
                    Some(Input::Lane(ClientEvent::InterfaceLost)) => {
                        return Err(RunError::InterfaceDeleted(self.account.interface));
                    }
                    Some(Input::Lane(ClientEvent::Ended)) | None => return Err(RunError::DataPathEnded),
                    Some(Input::Lane(event)) => self.handle_event(event).await,
                    Some(Input::Keys(keys)) => {
                        self.keys = keys;
                        let keyring = self.keys.keyring(self.account.resolution.named());
                        self.handle.set_keyring(keyring);
                    }
                    Some(Input::Leaving(reply)) => {
                        self.gateway.end().await;
                        // The owner waits.
                        let _ = reply.send(());
                    }
                    Some(Input::Status(path, reply)) => {
                        let mut status = self.account.status(Some(&path), &self.kernel, self.max_peers);
                        status.nat_traversal = Some(self.nat_traversal.name().to_owned());
                        status.gateway = self.gateway.status(status.mapped);
                        if let Some(nat) = &mut status.nat_behaviour {
                            nat.igd = self.gateway.mapping().is_some();
                        }
                        status.protected = self
                            .protection
                            .as_ref()
                            .and_then(|protection| protection.is_closed(&self.account.interface));
                        // The caller may have gone.
                        let _ = reply.send(status);
                    }
                },
                () = self.gateway.changed() => {}
                limit = self.path.measured() => self.path_measured(limit).await,
                request = Requests::next(&mut self.requests) => self.handle_request(request),
                () = self.settled.notified() => self.gate_settled(),
                resolution = self.resolver.next() => self.servers_resolved(resolution).await,
                change = self.monitor.changed() => self.network_changed(&change).await,
                () = self.upkeep.due() => self.look_at_interface().await,
                () = self.gates.due() => {}
            }
            let connectivity = self.account.connectivity();
            self.tell.send_if_modified(|told| {
                let differs = *told != connectivity;
                *told = connectivity;
                differs
            });
        }
        tracing::info!("ending");
        // The router's mapping is of no use from now on, and is taken back meanwhile (R6081-5.3.5-01).
        let taken_back = self.gateway.end();
        // Subscribers hear of the end before the service is gone (N-11).
        if let Err(error) = self.handle.stop().await {
            tracing::debug!(%error, "there was nothing to stop");
        }
        if let Err(error) = self.upkeep.clear_address().await {
            tracing::debug!(%error, "the interface goes with its address");
        }
        taken_back.await;
        Ok(())
    }

    async fn handle_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Node(event) => self.handle_client_event(event).await,
            ClientEvent::PortBound { port, fell_back } => {
                self.account.fallback = fell_back.map(|fallback| fallback.to_string());
                tracing::info!(port, "port in use");
            }
            ClientEvent::SettleMissed { sequence, port, .. } => {
                // The hub names and counts those that were late.
                self.hub.expire(sequence);
                tracing::debug!(port, "went on without a gating subscriber");
            }
            ClientEvent::LongPackets => self.path.begin(),
            ClientEvent::IoError { operation, message } => {
                // The optional sockets keep nothing from leaving.
                if matches!(operation, Operation::Discover | Operation::Determine) {
                    return;
                }
                let trouble = Some(format!("{}: {message}", operation.name()));
                if self.account.trouble != trouble {
                    self.account.trouble = trouble;
                    if self.account.state == State::Probe {
                        self.publish().await;
                    }
                }
            }
            other => tracing::debug!(?other, "data path"),
        }
    }

    async fn handle_client_event(&mut self, event: Event) {
        match event {
            Event::AddressUp {
                address,
                mapped,
                server,
                ..
            } => {
                self.upkeep.set_address(address).await;
                let account = &mut self.account;
                if account.mapped.is_some_and(|before| before != mapped) {
                    // A router that has restarted has forgotten what it gave, too.
                    self.gateway.look();
                }
                account.set_interface_trouble(self.upkeep.trouble());
                (account.address, account.mapped) = (Some(address), Some(mapped));
                if self.upkeep.trouble().is_none() {
                    tracing::info!(%address, %mapped, server = %server.primary, "Teredo address up");
                }
                if account.state == State::Qualified {
                    self.publish().await;
                }
            }
            Event::AddressDown { address } => {
                if let Err(error) = self.upkeep.clear_address().await {
                    tracing::warn!(%error, %address, "the address cannot be removed");
                }
                self.account.set_interface_trouble(None);
                (self.account.address, self.account.mapped) = (None, None);
                tracing::info!(%address, "Teredo address down");
            }
            Event::StateChanged { state, reason } => {
                self.account.enter_state(state, reason);
                // The interface of a client before this one may still have that one's.
                let serves = matches!(state, State::Qualified | State::Probe);
                if !serves
                    && self.account.address.is_none()
                    && let Err(error) = self.upkeep.clear_address().await
                {
                    tracing::warn!(%error, "the address that was left cannot be removed");
                }
                // A probe under way was about the former path.
                self.path.end();
                // The server may have another address by now.
                if reason.is_some_and(is_about_the_server) {
                    self.resolver.nudge();
                }
                tracing::info!(%state, reason = self.account.explanation(), "state");
                self.publish().await;
            }
            Event::KeyValidity { server, valid } => {
                if valid {
                    self.account.retired_keys.remove(&server);
                    tracing::info!(%server, "the key is valid again");
                } else {
                    self.account.retired_keys.insert(server);
                    tracing::warn!(%server, "the key is no longer valid: obtain a new one");
                }
                if self.account.state == State::Qualified {
                    self.publish().await;
                }
            }
            other => tracing::debug!(?other, "client"),
        }
    }

    async fn publish(&self) {
        let path = self.handle.status().await;
        let (address, mapped) = self.account.in_use();
        let server = path.as_ref().and_then(|path| path.client.server);
        self.events.publish(Detail::State {
            state: self.account.phase(),
            reason: self.account.explanation(),
            address,
            mapped,
            nat: path.map(|path| path.client.nat.name().to_owned()),
            server: self.account.server(server.map(|server| server.primary)),
        });
    }

    /// The MTU of the path is too small, or large enough again.
    async fn path_measured(&mut self, limit: Option<u16>) {
        self.handle.set_path_limit(limit);
        if self.account.path_limit == limit {
            return;
        }
        self.account.path_limit = limit;
        match limit {
            Some(limit) => {
                tracing::warn!(
                    limit,
                    "the path to the server takes no longer packets: TCP segments are limited"
                );
            }
            None => tracing::info!("the path to the server takes all packets again"),
        }
        if self.account.state == State::Qualified {
            self.publish().await;
        }
    }

    fn handle_request(&self, request: Request) {
        match request {
            Request::Status(reply) => {
                let reports = self.reports.clone();
                // The loop may end before the answer comes; then the caller gets none.
                self.handle.report_status(move |status| {
                    let _ = reports.send(Input::Status(Box::new(status), reply));
                });
            }
            Request::Peers(most, reply) => {
                let peers = self.handle.peers(most);
                tokio::spawn(async move {
                    // The caller may have lost interest.
                    let _ = reply.send(peers.await.iter().map(peer).collect());
                });
            }
            Request::Rebind(port, reply) => forward(self.handle.rebind(port), reply),
            Request::Stop(reply) => forward(self.handle.stop(), reply),
            Request::Start(reply) => forward(self.handle.start(), reply),
        }
    }

    async fn servers_resolved(&mut self, resolution: Resolution) {
        if let Some(trouble) = &resolution.trouble {
            tracing::warn!("{trouble}");
        }
        let servers: Vec<_> = resolution
            .servers
            .iter()
            .map(|(server, _)| *server)
            .collect();
        self.monitor
            .follow(servers.iter().map(|server| server.primary));
        self.kernel.attach(resolution.destination());
        // The key for a server that the client no longer uses does not matter.
        let retired = &mut self.account.retired_keys;
        retired.retain(|key| servers.iter().any(|server| server.primary == *key));
        let news = resolution.trouble != self.account.resolution.trouble;
        self.account.resolution = resolution;
        if !servers.is_empty() {
            let keyring = self.keys.keyring(self.account.resolution.named());
            self.handle.set_keyring(keyring);
            if !self.gateway.holds_servers() {
                self.handle.set_servers(servers);
            }
        } else if news {
            self.publish().await;
        }
    }

    /// The servers are asked when the router has answered, or has not in time (R6081-5.6.3-01).
    fn hold_servers(&mut self) {
        let held = std::mem::replace(&mut self.account.asks_router, self.gateway.holds_servers());
        if held && !self.account.asks_router {
            let servers: Vec<_> = self.account.resolution.addresses().collect();
            if !servers.is_empty() {
                self.handle.set_servers(servers);
            }
        }
    }

    /// A firewall that came after the port was in use has just opened it. What was sent before was dropped, so the client
    /// asks again rather than wait for the time-out.
    fn gate_settled(&mut self) {
        let gates = self.hub.gates();
        // Those that the port did not wait for, or not as long as they took.
        let late = gates.iter().filter(|gate| {
            gate.in_sync && gate.settle_time.is_none_or(|took| took > SETTLE_DEADLINE)
        });
        let late: BTreeSet<_> = late.map(|gate| (gate.id, gate.settled)).collect();
        let news = !late.is_subset(&self.account.late_firewalls);
        self.account.late_firewalls = late;
        if news && self.account.state == State::Probe {
            tracing::info!("a firewall has opened the port, asking the server again");
            self.ask_again();
        }
    }

    async fn network_changed(&mut self, change: &NetworkChange) {
        if !change.changes.is_empty() {
            tracing::info!(%change, "the network changed");
        }
        if change.ipv6 {
            // A node with native IPv6 must not be a client (RFC 4380 §5.5).
            if !self.beside_native {
                let native = self.monitor.native();
                self.handle.set_native(native.map(|native| native.address));
            }
            self.set_limits().await;
        }
        if change.ipv4 {
            // An error of the kernel was about the network before.
            self.account.trouble = None;
            self.gateway.network_changed();
            self.ask_again();
            self.resolver.nudge();
        } else if change.attached {
            self.handle.set_attached(self.monitor.attached());
        }
        if change.own {
            self.look_at_interface().await;
        }
    }

    /// Compares the interface with what it should be, mends it, and reports what cannot be mended.
    async fn look_at_interface(&mut self) {
        self.upkeep.look().await;
        self.handle.set_delivers(!self.upkeep.is_elsewhere());
        let renamed = self.account.interface != self.upkeep.name();
        if renamed {
            self.account.interface = self.upkeep.name().to_owned();
            let protection = self.protection.as_deref();
            protect_renamed(&self.hub, Role::Client, self.upkeep.name(), protection);
        }
        let news = self.account.set_interface_trouble(self.upkeep.trouble());
        let qualified = self.account.state == State::Qualified;
        if renamed || news && qualified {
            tracing::info!(
                state = self.account.phase().name(),
                reason = self.account.explanation(),
                "state"
            );
            self.publish().await;
        }
        self.set_limits().await;
    }

    /// Says what limits the client though it is qualified.
    async fn set_limits(&mut self) {
        let preferred = self.monitor.preferred().filter(|_| self.default_route);
        let preferred = preferred.map(|interface| {
            format!(
                "IPv6 leaves by {interface}, whose default route is preferred; only packets from the Teredo address use \
                 the tunnel"
            )
        });
        let limits = [self.upkeep.quarrel(), preferred];
        if self.account.limits != limits {
            let before = self.account.explanation();
            self.account.limits = limits;
            if self.account.state == State::Qualified && self.account.explanation() != before {
                self.publish().await;
            }
        }
    }

    fn ask_again(&self) {
        self.kernel.attach(self.account.resolution.destination());
        let local = match self.account.resolution.servers.first() {
            _ if !self.bind.is_unspecified() => self.bind,
            Some((server, _)) => local_address(server.primary).unwrap_or(Ipv4Addr::UNSPECIFIED),
            None => Ipv4Addr::UNSPECIFIED,
        };
        self.handle.network_changed(local, self.monitor.attached());
    }
}

/// Whether another server, or another address of this one, may mend it.
fn is_about_the_server(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ServerLost(_)
            | Reason::ServerSilent(_)
            | Reason::ServerSilentToSecret(_)
            | Reason::PrimarySilent(_)
            | Reason::SecondarySilent(_)
            | Reason::ServerRefused(_)
            | Reason::ServerDenied(_)
            | Reason::NotPrimary { .. }
            | Reason::Unauthenticated(_)
    )
}

/// Lets the caller wait for the data path while the control loop goes on.
fn forward(
    change: impl Future<Output = Result<PortChange, ChangeError>> + Send + 'static,
    reply: Reply,
) {
    tokio::spawn(async move {
        let outcome = match change.await {
            Ok(change) => Ok(Outcome {
                port: change.port,
                settled: change.settled,
            }),
            Err(ChangeError::Stopped) => Err(ControlError::NotReady),
            Err(ChangeError::Bind(BindError::InUse { port, .. })) => {
                Err(ControlError::PortInUse(port))
            }
            Err(error @ ChangeError::Dormant(_)) => Err(ControlError::Failed(format!(
                "{error}; '--native-ipv6 ignore' keeps it active"
            ))),
            Err(error) => Err(ControlError::Failed(error.to_string())),
        };
        // The caller may have gone.
        let _ = reply.send(outcome);
    });
}
