//! The daemon's loop: one thing at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use teredo::client::{Event, Reason, State};
use teredo_notify::hub::{Hub, SETTLE_DEADLINE};
use teredo_notify::service::{ControlError, EventBus, Outcome};
use teredo_notify::types::{Counters, Detail, Peers, Phase, Role, Status, rfc3339};
use teredo_tunnel::BindError;
use teredo_tunnel::client::{ClientEvent, ClientHandle, ClientPathStatus};
use teredo_tunnel::lane::Operation;
use teredo_tunnel::net::interface::Interface;
use teredo_tunnel::net::watch::{self, Attached, NativeIpv6, NetworkChange, Watcher};
use teredo_tunnel::port::{ChangeError, PortChange};
use tokio::sync::{Notify, mpsc};

use super::resolve::{Resolution, Resolver};
use super::secrets::Secrets;
use crate::args::NativePolicy;
use crate::daemon::control::{Reply, Request};
use crate::failure::{Exit, Failure};
use crate::settings::ClientSettings;

/// Everything that the client's process owns but its inputs.
pub(super) struct Daemon {
    pub(super) settings: ClientSettings,
    pub(super) secrets: Secrets,
    pub(super) hub: Hub,
    pub(super) events: EventBus,
    pub(super) engine: ClientHandle,
    pub(super) interface: Interface,
    /// Told whenever a gating subscriber has confirmed something.
    pub(super) settled: Arc<Notify>,
}

/// What a person is told: what has been done, not what the engine is about to say.
struct Account {
    started: Instant,
    since: SystemTime,
    state: State,
    reason: Option<Reason>,
    address: Option<Ipv6Addr>,
    mapped: Option<SocketAddrV4>,
    resolution: Resolution,
    /// The gating subscribers that have opened the port when it was in use already, and the state that they opened.
    late_firewalls: BTreeSet<(u64, Option<u64>)>,
    /// Why the address is not on the interface.
    interface_trouble: Option<String>,
    /// Why the port is not the one that was asked for.
    fallback: Option<String>,
    /// The servers that say that the key for them is no longer valid.
    retired_keys: BTreeSet<Ipv4Addr>,
    /// Why datagrams do not leave, as the kernel put it.
    trouble: Option<String>,
}

impl Daemon {
    /// Serves until `shutdown` is ready or the interface is gone.
    pub(super) async fn run(
        mut self,
        mut engine_events: mpsc::UnboundedReceiver<ClientEvent>,
        mut requests: mpsc::Receiver<Request>,
        mut watcher: Watcher,
        mut resolver: Resolver,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Exit, Failure> {
        let mut shutdown = pin!(shutdown);
        let mut account = Account {
            started: Instant::now(),
            since: SystemTime::now(),
            state: State::Offline,
            reason: Some(Reason::NoServer),
            address: None,
            mapped: None,
            resolution: Resolution::default(),
            late_firewalls: BTreeSet::new(),
            interface_trouble: None,
            fallback: None,
            retired_keys: BTreeSet::new(),
            trouble: None,
        };
        loop {
            tokio::select! {
                // What the engine said comes before what others ask.
                biased;
                () = &mut shutdown => break,
                event = engine_events.recv() => match event {
                    Some(ClientEvent::InterfaceLost) | None => {
                        return Err(Failure::new(Exit::Failed, format!("interface {} was deleted", self.settings.interface))
                            .hint("start the client again"));
                    }
                    Some(event) => self.note(event, &mut account).await,
                },
                Some(request) = requests.recv() => {
                    let mut engine = self.engine.status().await;
                    // Until it says nothing in between, so that both tell of the same moment.
                    for _ in 0..8 {
                        let before = engine_events.len();
                        while let Ok(event) = engine_events.try_recv() {
                            self.note(event, &mut account).await;
                        }
                        if before == 0 {
                            break;
                        }
                        engine = self.engine.status().await;
                    }
                    self.answer(request, engine, &account);
                }
                () = self.settled.notified() => self.firewall_settled(&mut account).await,
                resolution = resolver.next() => self.resolved(resolution, &mut account).await,
                change = watcher.changed() => match change {
                    Ok(change) => {
                        self.native_changed(watcher.native());
                        self.network_changed(&change, &mut account).await;
                        if change.ipv4 {
                            resolver.nudge();
                        }
                    }
                    Err(error) => {
                        return Err(Failure::new(Exit::Failed, "cannot watch the network any more").because(error));
                    }
                },
            }
        }
        tracing::info!("ending");
        // Subscribers hear of the end before the service is gone (N-11).
        if let Err(error) = self.engine.stop().await {
            tracing::debug!(%error, "the engine had nothing to stop");
        }
        if let Err(error) = self.interface.clear_address().await {
            tracing::debug!(%error, "the interface goes with its address");
        }
        drop(self.engine);
        Ok(Exit::Done)
    }

    async fn note(&mut self, event: ClientEvent, account: &mut Account) {
        match event {
            ClientEvent::Node(Event::AddressUp {
                address,
                mapped,
                server,
                ..
            }) => {
                let placed = self.interface.set_address(address).await;
                account.interface_trouble = placed.err().map(|error| error.to_string());
                if let Some(trouble) = &account.interface_trouble {
                    tracing::error!(%address, "the address cannot be used: {trouble}");
                }
                (account.address, account.mapped) = (Some(address), Some(mapped));
                if account.interface_trouble.is_none() {
                    tracing::info!(%address, %mapped, server = %server.primary, "Teredo address up");
                }
                if account.state == State::Qualified {
                    self.publish(account).await;
                }
            }
            ClientEvent::Node(Event::AddressDown { address }) => {
                if let Err(error) = self.interface.clear_address().await {
                    tracing::warn!(%error, %address, "the address cannot be taken off");
                }
                (account.address, account.mapped) = (None, None);
                tracing::info!(%address, "Teredo address down");
            }
            ClientEvent::Node(Event::StateChanged { state, reason }) => {
                if account.state != state {
                    account.since = SystemTime::now();
                }
                (account.state, account.reason) = (state, reason);
                if state == State::Qualified {
                    account.trouble = None;
                }
                tracing::info!(%state, reason = account.explanation(), "state");
                self.publish(account).await;
                crate::daemon::tell_state(state.name());
            }
            ClientEvent::Node(Event::KeyValidity { server, valid }) => {
                if valid {
                    account.retired_keys.remove(&server);
                    tracing::info!(%server, "the key is valid again");
                } else {
                    account.retired_keys.insert(server);
                    tracing::warn!(%server, "the key is no longer valid: obtain a new one");
                }
                if account.state == State::Qualified {
                    self.publish(account).await;
                }
            }
            ClientEvent::PortBound { port, fell_back } => {
                account.fallback = fell_back.map(|fallback| fallback.to_string());
                tracing::info!(port, "port in use");
            }
            ClientEvent::SettleMissed { port, .. } => {
                // The hub names and counts those who were late.
                self.hub.expire(self.hub.snapshot().sequence);
                tracing::debug!(port, "went on without a gating subscriber");
            }
            ClientEvent::IoError { operation, message } => {
                // What is optional keeps nothing from leaving.
                if matches!(operation, Operation::Discover | Operation::Determine) {
                    return;
                }
                let trouble = Some(format!("{}: {message}", operation.name()));
                if account.trouble != trouble {
                    account.trouble = trouble;
                    if account.state == State::Probe {
                        self.publish(account).await;
                    }
                }
            }
            other => tracing::debug!(?other, "engine"),
        }
    }

    async fn publish(&self, account: &Account) {
        let nat = self
            .engine
            .status()
            .await
            .map(|status| status.client.nat.name().to_owned());
        let (address, mapped) = account.in_use();
        self.events.publish(Detail::State {
            state: phase(account.state),
            reason: account.explanation(),
            address,
            mapped,
            nat,
            server: account.server(None),
        });
    }

    fn answer(&mut self, request: Request, engine: Option<ClientPathStatus>, account: &Account) {
        match request {
            Request::Status(reply) => {
                // Whoever asked may have gone.
                let _ = reply.send(self.status(engine, account));
            }
            Request::Rebind(port, reply) => forward(self.engine.rebind(port), reply),
            Request::Stop(reply) => forward(self.engine.stop(), reply),
            Request::Start(reply) => forward(self.engine.start(), reply),
        }
    }

    fn status(&self, engine: Option<ClientPathStatus>, account: &Account) -> Status {
        let (address, mapped) = account.in_use();
        let mut status = Status {
            role: Role::Client,
            state: phase(account.state),
            reason: account.explanation(),
            since: Some(rfc3339(account.since)),
            uptime_ms: u64::try_from(account.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            configured_port: self.settings.port.map(Into::into),
            address,
            mapped,
            interface: Some(self.settings.interface.clone()),
            ..Status::default()
        };
        if let Some(engine) = engine {
            let primary = engine.client.server.map(|server| server.primary);
            status.server = account.server(primary);
            status.server_address = primary;
            status.local = engine.client.local;
            status.nat = Some(engine.client.nat.name().to_owned());
            status.refresh_ms = u64::try_from(engine.client.refresh_interval.as_millis()).ok();
            status.peers = Peers {
                total: engine.client.peers as u64,
                trusted: engine.client.trusted_peers as u64,
                capacity: teredo::ClientConfig::default().max_peers as u64,
            };
            status.counters = Counters {
                rx_packets: engine.counters.udp.rx_datagrams,
                rx_bytes: engine.counters.udp.rx_bytes,
                tx_packets: engine.counters.udp.tx_datagrams,
                tx_bytes: engine.counters.udp.tx_bytes,
            };
            status.drops = engine
                .drops
                .iter()
                .map(|(reason, count)| (reason.name().to_owned(), count))
                .collect::<BTreeMap<_, _>>();
        }
        if status.server.is_none() {
            status.server = self.settings.servers.first().cloned();
        }
        status
    }

    async fn resolved(&mut self, resolution: Resolution, account: &mut Account) {
        if let Some(trouble) = &resolution.trouble {
            tracing::warn!("{trouble}");
        }
        let servers: Vec<_> = resolution
            .servers
            .iter()
            .map(|(server, _)| *server)
            .collect();
        let told = resolution.trouble != account.resolution.trouble;
        account.resolution = resolution;
        if !servers.is_empty() {
            let named = account.resolution.servers.iter();
            let named = named.map(|(server, name)| (*server, name.as_str()));
            self.engine.set_keyring(self.secrets.keyring(named));
            self.engine.set_servers(servers);
        } else if told {
            self.publish(account).await;
        }
    }

    /// A firewall that came after the port was taken into use has opened it just now: what was sent before was
    /// dropped, so ask again rather than wait for the time-out.
    async fn firewall_settled(&mut self, account: &mut Account) {
        let gates = self.hub.gates();
        // Nothing was held back for it, so there is no time that it took; or not for as long as it took.
        let late = gates.iter().filter(|gate| {
            gate.in_sync && gate.settle_time.is_none_or(|took| took > SETTLE_DEADLINE)
        });
        let late: BTreeSet<_> = late.map(|gate| (gate.id, gate.settled)).collect();
        let news = !late.is_subset(&account.late_firewalls);
        account.late_firewalls = late;
        if news && account.state == State::Probe {
            tracing::info!("a firewall has opened the port, asking the server again");
            self.ask_again(account).await;
        }
    }

    /// A node with IPv6 by other means must not be a client (RFC 4380 §5.5).
    fn native_changed(&self, native: Option<NativeIpv6>) {
        if self.settings.native_ipv6 == NativePolicy::Dormant {
            self.engine.set_native(native.map(|native| native.address));
        }
    }

    async fn network_changed(&mut self, change: &NetworkChange, account: &mut Account) {
        tracing::info!(%change, "the network changed");
        if !change.ipv4 {
            return;
        }
        // What the kernel said of the network that was.
        account.trouble = None;
        self.ask_again(account).await;
    }

    async fn ask_again(&mut self, account: &Account) {
        let local = match account.resolution.servers.first() {
            _ if !self.settings.bind.is_unspecified() => self.settings.bind,
            Some((server, _)) => {
                watch::local_address(server.primary).unwrap_or(Ipv4Addr::UNSPECIFIED)
            }
            None => Ipv4Addr::UNSPECIFIED,
        };
        self.engine.network_changed(local, attached().await);
    }
}

impl Account {
    /// Why the client is not qualified, down to the stage that fails; or what it is short of although it is.
    fn explanation(&self) -> Option<String> {
        let Some(reason) = self.reason else {
            // The verdict on the server takes 12 s; what keeps datagrams from leaving is known now.
            if let (State::Probe, Some(trouble)) = (self.state, &self.trouble) {
                return Some(format!("the kernel refuses: {trouble}"));
            }
            let qualified = self.state == State::Qualified;
            return self
                .interface_trouble
                .clone()
                .or_else(|| self.fallback.clone())
                .or_else(|| self.retired_key().filter(|_| qualified));
        };
        match (reason, &self.resolution.trouble, &self.trouble) {
            (Reason::NoServer, Some(trouble), _) => Some(trouble.clone()),
            (Reason::NoServer, None, _) => Some("looking the server's address up".to_owned()),
            (Reason::ServerSilent(_) | Reason::ServerLost(_), _, Some(trouble)) => {
                Some(format!("{reason} ({trouble})"))
            }
            _ => Some(reason.to_string()),
        }
    }

    /// What to do about a key that a server accepts no longer than it has to (RFC 4380 §5.2.2).
    fn retired_key(&self) -> Option<String> {
        let server = self.retired_keys.first()?;
        Some(format!(
            "the key is no longer valid, says server {server}: obtain a new one for --secret-file"
        ))
    }

    /// The address and the mapping that are good now. While the client asks for them anew the interface keeps the
    /// old address, but nobody should count on it.
    fn in_use(&self) -> (Option<Ipv6Addr>, Option<SocketAddrV4>) {
        match self.state {
            State::Qualified => (self.address, self.mapped),
            _ => (None, None),
        }
    }

    /// The server's name as it was configured.
    fn server(&self, primary: Option<Ipv4Addr>) -> Option<String> {
        let mut servers = self.resolution.servers.iter();
        servers
            .find(|(server, _)| primary.is_none_or(|primary| server.primary == primary))
            .map(|(_, name)| name.clone())
    }
}

/// The attached networks: neighbours are looked for there, and nothing may be sent to their broadcast addresses
/// (RFC 4380 §5.2.4).
pub(super) async fn attached() -> Attached {
    watch::attached().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the attached networks are not known");
        Attached::default()
    })
}

/// Lets the caller wait for the engine while the daemon goes on.
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
                "{error}; '--native-ipv6 ignore' has it go on"
            ))),
            Err(error) => Err(ControlError::Failed(error.to_string())),
        };
        // Whoever asked may have gone.
        let _ = reply.send(outcome);
    });
}

fn phase(state: State) -> Phase {
    match state {
        State::Offline => Phase::Offline,
        State::Probe => Phase::Probe,
        State::Dormant => Phase::Dormant,
        State::Qualified => Phase::Qualified,
    }
}
