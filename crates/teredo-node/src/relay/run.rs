//! The control loop of a relay.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use teredo::relay::Served;
use teredo_notify::hub::{Hub, SettleHook};
use teredo_notify::service::{ControlError, EventBus};
use teredo_notify::types::{Detail, Peers, Phase, Role, Status};
use teredo_tunnel::net::{Interface, NetworkChange, NetworkMonitor};
use teredo_tunnel::relay::{RelayEvent, RelayHandle};
use tokio::sync::{mpsc, oneshot, watch};

use crate::control::{Request, Requests};
use crate::status::{Times, set_traffic};
use crate::{Protection, RunError};

/// Whether the kernel forwards IPv6 packets.
const FORWARDING: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

/// What the control loop owns.
pub(super) struct ControlLoop {
    pub(super) handle: Arc<RelayHandle>,
    pub(super) hub: Hub,
    pub(super) events: EventBus,
    pub(super) interface: Interface,
    /// The interface's name.
    pub(super) name: String,
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
}

impl ControlLoop {
    /// Runs until `end` is dropped or the relay ends by itself.
    pub(super) async fn run(mut self, mut end: oneshot::Receiver<()>) -> Result<(), RunError> {
        let mut account = Account {
            times: Times::now(),
            state: Phase::Probe,
            trouble: None,
        };
        loop {
            tokio::select! {
                _ = &mut end => break,
                event = self.inputs.recv() => match event {
                    Some(RelayEvent::InterfaceLost) => {
                        return Err(RunError::InterfaceDeleted(self.name));
                    }
                    Some(RelayEvent::Ended) | None => return Err(RunError::DataPathEnded),
                    Some(event) => self.handle_event(event, &mut account),
                },
                request = Requests::next(&mut self.requests) => self.handle_request(request, &account).await,
                change = self.monitor.changed() => {
                    let change = change.map_err(RunError::Monitor)?;
                    self.network_changed(&change, &mut account);
                }
            }
        }
        tracing::info!("ending");
        if let Err(error) = self.interface.clear_routes().await {
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
            }
            other => tracing::debug!(?other, "data path"),
        }
    }

    fn network_changed(&self, change: &NetworkChange, account: &mut Account) {
        tracing::info!(%change, "the network changed");
        if change.ipv4 {
            account.trouble = None;
            self.handle
                .set_broadcasts(self.monitor.attached().broadcasts);
        }
        if change.ipv6 {
            let native = self.monitor.global_addresses();
            let source = native.first().copied();
            let served = self.host.then_some(Served::Host(native));
            self.handle.set_native(source, served);
        }
    }

    fn publish(&self, account: &Account) {
        self.events.publish(Detail::State {
            state: account.state,
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
            interface: Some(self.name.clone()),
            protected: self
                .protection
                .as_ref()
                .and_then(|protection| protection.is_closed(&self.name)),
            ..account.times.status(account.state, self.reason(account))
        };
        if let Some(path) = self.handle.status().await {
            let peers = path.relay;
            status.local = Some(SocketAddrV4::new(self.address, self.port));
            status.peers = Peers {
                total: (peers.trusted_peers + peers.underway) as u64,
                trusted: peers.trusted_peers as u64,
                capacity: peers.capacity as u64,
            };
            set_traffic(&mut status, &path.counters, &path.drops);
        }
        status
    }

    /// What the relay lacks.
    fn reason(&self, account: &Account) -> Option<String> {
        let trouble = account.trouble.clone();
        trouble.or_else(|| forwarding_trouble(self.host))
    }
}

/// What keeps the host from being a router, if it is to be one. The administrator decides whether it is one.
pub(super) fn forwarding_trouble(host: bool) -> Option<String> {
    let off = fs::read_to_string(FORWARDING).is_ok_and(|value| value.trim() == "0");
    (off && !host).then(|| {
        String::from(
            "this host forwards no IPv6 packets: 'sysctl -w net.ipv6.conf.all.forwarding=1' enables it; for this host \
             alone, use --host",
        )
    })
}
