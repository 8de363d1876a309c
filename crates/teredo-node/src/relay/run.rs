//! The control loop of a relay.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use teredo::relay::Served;
use teredo_notify::hub::{Hub, SettleHook};
use teredo_notify::service::{ControlError, EventBus};
use teredo_notify::types::{Detail, Lane, Peers, Phase, Role, Status};
use teredo_tunnel::net::{NetworkChange, NetworkMonitor, local_address, way_to};
use teredo_tunnel::relay::{RelayEvent, RelayHandle};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::control::{Request, Requests};
use crate::gates::GateWatch;
use crate::kernel::{ELSEWHERE, KernelUse};
use crate::rules::RulesWatch;
use crate::start::protect_renamed;
use crate::status::{Times, set_traffic, traffic};
use crate::upkeep::Upkeep;
use crate::{Protection, RunError};

/// Whether the kernel forwards IPv6 packets.
const FORWARDING: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

/// The state of the control loop.
pub(super) struct ControlLoop {
    pub(super) handle: Arc<RelayHandle>,
    pub(super) kernel: Arc<KernelUse>,
    pub(super) gates: GateWatch,
    pub(super) _rules: Option<RulesWatch>,
    pub(super) hub: Hub,
    pub(super) events: EventBus,
    pub(super) upkeep: Upkeep,
    pub(super) monitor: NetworkMonitor,
    pub(super) requests: Option<Requests>,
    pub(super) inputs: mpsc::UnboundedReceiver<RelayEvent>,
    pub(super) address: Ipv4Addr,
    pub(super) port: u16,
    pub(super) host: bool,
    /// Removed with the loop.
    pub(super) _settle_hook: SettleHook,
    /// Whether the port is settled.
    pub(super) open: watch::Sender<bool>,
    pub(super) protection: Option<Arc<dyn Protection>>,
}

/// The relay's account of itself.
struct Account {
    times: Times,
    state: Phase,
    /// Why datagrams do not leave: the kernel's reason.
    trouble: Option<String>,
    /// The address that datagrams left from at that time,
    local: Option<Ipv4Addr>,
    /// and the time.
    refused: Instant,
    /// How datagrams leave, if there is a path in the kernel.
    way: Option<Option<(u32, Option<Ipv4Addr>)>>,
}

/// How long a refusal is believed. It may have been about one destination, or for a moment.
const REFUSAL: Duration = Duration::from_secs(60);

impl ControlLoop {
    /// Runs until `end` is dropped or the relay ends by itself.
    pub(super) async fn run(mut self, mut end: oneshot::Receiver<()>) -> Result<(), RunError> {
        let mut account = Account {
            times: Times::now(),
            state: Phase::Probe,
            trouble: None,
            local: None,
            refused: Instant::now(),
            way: self.way(),
        };
        loop {
            tokio::select! {
                _ = &mut end => break,
                event = self.inputs.recv() => match event {
                    Some(RelayEvent::InterfaceLost) => {
                        return Err(RunError::InterfaceDeleted(self.upkeep.name().to_owned()));
                    }
                    Some(RelayEvent::Ended) | None => return Err(RunError::DataPathEnded),
                    Some(event) => self.handle_event(event, &mut account),
                },
                request = Requests::next(&mut self.requests) => self.handle_request(request, &account).await,
                change = self.monitor.changed() => self.network_changed(&change, &mut account).await,
                () = self.upkeep.due() => self.look_at_interface(&mut account).await,
                () = self.gates.due() => {}
            }
        }
        tracing::info!("ending");
        if let Err(error) = self.upkeep.clear_routes().await {
            tracing::debug!(%error, "the interface goes with its routes");
        }
        Ok(())
    }

    fn handle_event(&self, event: RelayEvent, account: &mut Account) {
        match event {
            RelayEvent::PortBound { port, .. } => {
                tracing::info!(port, "port in use");
                account.times.enter_state();
                account.state = Phase::Qualified;
                self.publish(account);
                self.open.send_replace(true);
            }
            RelayEvent::SettleMissed { sequence, port, .. } => {
                // The hub names and counts those that were late.
                self.hub.expire(sequence);
                tracing::debug!(port, "went on without a gating subscriber");
            }
            RelayEvent::IoError { operation, message } => {
                let operation = operation.name();
                account.trouble = Some(format!("the kernel refuses: {operation}: {message}"));
                account.local = local_address(ELSEWHERE).ok();
                account.refused = Instant::now();
            }
            other => tracing::debug!(?other, "data path"),
        }
    }

    async fn network_changed(&mut self, change: &NetworkChange, account: &mut Account) {
        if !change.changes.is_empty() {
            tracing::info!(%change, "the network changed");
        }
        if change.attached {
            account.trouble = None;
            self.handle.reroute();
            self.handle
                .set_broadcasts(self.monitor.attached().broadcasts);
        }
        if change.ipv6 {
            let native = self.monitor.global_addresses();
            let source = native.first().copied();
            let served = self.host.then_some(Served::Host(native));
            self.handle.set_native(source, served);
        }
        if change.own {
            self.look_at_interface(account).await;
        }
    }

    /// How datagrams leave, if there is a path in the kernel; `None` if the kernel does not say.
    fn way(&self) -> Option<Option<(u32, Option<Ipv4Addr>)>> {
        let _ = self.kernel.path()?;
        way_to(ELSEWHERE).ok()
    }

    /// Compares the interface with what it should be, mends it, and reports what cannot be mended.
    async fn look_at_interface(&mut self, account: &mut Account) {
        let way = self.way();
        if account.way != way {
            account.way = way;
            self.kernel.attach(ELSEWHERE);
            self.handle.reroute();
        }
        // A refusal was about the route that was there then; a relay does not hear of routes.
        let is_old = |account: &Account| {
            account.refused.elapsed() >= REFUSAL || local_address(ELSEWHERE).ok() != account.local
        };
        if account.trouble.is_some() && is_old(account) {
            account.trouble = None;
            self.handle
                .set_broadcasts(self.monitor.attached().broadcasts);
        }
        let before = (self.upkeep.name().to_owned(), self.upkeep.quarrel());
        let usable = self.upkeep.trouble().is_none();
        self.upkeep.look().await;
        self.handle.set_delivers(!self.upkeep.is_elsewhere());
        if before.0 != self.upkeep.name() {
            let protection = self.protection.as_deref();
            protect_renamed(&self.hub, Role::Relay, self.upkeep.name(), protection);
        }
        let news = self.upkeep.trouble().is_none() != usable;
        if news {
            account.times.enter_state();
        }
        if news || before != (self.upkeep.name().to_owned(), self.upkeep.quarrel()) {
            self.publish(account);
        }
    }

    /// The state that others see: without a usable interface a relay does not serve.
    fn phase(&self, account: &Account) -> Phase {
        match account.state {
            Phase::Qualified if self.upkeep.trouble().is_some() => Phase::Offline,
            state => state,
        }
    }

    fn publish(&self, account: &Account) {
        self.events.publish(Detail::State {
            state: self.phase(account),
            reason: self.reason(account),
            address: None,
            mapped: None,
            nat: None,
            server: None,
        });
    }

    async fn handle_request(&self, request: Request, account: &Account) {
        match request {
            Request::Status(reply) => {
                // The caller may have gone.
                let _ = reply.send(self.status(account).await);
            }
            // A million clients, and no more of each than an address and two times.
            Request::Peers(_, reply) => drop(reply.send(Vec::new())),
            Request::Rebind(_, reply) | Request::Stop(reply) | Request::Start(reply) => {
                let refused = "a relay keeps its port for as long as it runs: end it, or start it with --port N";
                let _ = reply.send(Err(ControlError::Failed(refused.to_owned())));
            }
        }
    }

    async fn status(&self, account: &Account) -> Status {
        let mut status = Status {
            role: Role::Relay,
            configured_port: Some(self.port),
            interface: Some(self.upkeep.name().to_owned()),
            protected: self
                .protection
                .as_ref()
                .and_then(|protection| protection.is_closed(self.upkeep.name())),
            ..account
                .times
                .status(self.phase(account), self.reason(account))
        };
        if let Some(path) = self.handle.status().await {
            let peers = path.relay;
            status.local = Some(SocketAddrV4::new(self.address, self.port));
            status.peers = Peers {
                total: (peers.trusted_peers + peers.underway) as u64,
                trusted: peers.trusted_peers as u64,
                capacity: peers.capacity as u64,
            };
            set_traffic(&mut status, &path.counters, &self.kernel, &path.drops);
            let lanes = path.lanes.iter().map(|lane| Lane {
                peers: Some(lane.relay.trusted_peers as u64),
                counters: traffic(&lane.counters),
            });
            status.lanes = lanes.collect();
            let relayed = &path.relayed;
            let [to_clients, to_native] = self.kernel.carried();
            for (name, count) in [
                ("relayed_to_clients", relayed.to_clients + to_clients),
                ("relayed_to_native", relayed.to_native + to_native),
                ("relay_bubbles", relayed.bubbles),
                ("relay_bubbles_received", relayed.bubbles_received),
            ] {
                status.data_path.counters.insert(name.to_owned(), count);
            }
        }
        status
    }

    /// Returns the reason why the relay does not work as it should.
    fn reason(&self, account: &Account) -> Option<String> {
        let of_interface = self.upkeep.trouble().map(str::to_owned);
        of_interface
            .or_else(|| self.upkeep.quarrel())
            .or_else(|| account.trouble.clone())
            .or_else(|| forwarding_trouble(self.host))
    }
}

/// Returns why the host is no router, if the relay needs one; a relay for this `host` alone needs none. The
/// administrator decides whether the host forwards.
pub(super) fn forwarding_trouble(host: bool) -> Option<String> {
    let off = fs::read_to_string(FORWARDING).is_ok_and(|value| value.trim() == "0");
    (off && !host).then(|| {
        String::from(
            "this host forwards no IPv6 packets: 'sysctl -w net.ipv6.conf.all.forwarding=1' enables it; for this host \
             alone, use --host",
        )
    })
}
