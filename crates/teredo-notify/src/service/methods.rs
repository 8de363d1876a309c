//! The methods of the interface.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future;
use serde_json::json;
use tokio::sync::broadcast::{self, error::RecvError};

use super::context::Context;
use super::control::{ControlError, EventBus, Outcome};
use super::permission::Peer;
use super::quota::Seat;
use super::socket::Socket;
use super::subscription::Subscription;
use crate::hub::{Feed, GateOwner, GateReport, GateStatus, Hub, Rank, RegisterError, SettleError};
use crate::types::{Detail, Event, EventName, FirewallStatus, MAX_PEERS, PortKind, Status};
use crate::wire::{DESCRIPTION, INTERFACE, IncomingCall, Reply, error};

/// The longest trouble of a report and name of a backend, in characters, and the most interfaces.
const MAX_TROUBLE: usize = 1000;
const MAX_BACKEND: usize = 100;
const MAX_PROTECTS: usize = 256;

const SERVICE_INTERFACE: &str = "org.varlink.service";
const SERVICE_DESCRIPTION: &str = include_str!("org.varlink.service.varlink");

/// The result of a call.
pub(super) enum Answer {
    Reply(Reply),
    Stream(Stream),
}

/// The stream that a call has opened.
pub(super) enum Stream {
    Subscription(Subscription),
    Monitor(Monitor),
}

/// The sources of a monitor's events; absent if they were not requested.
pub(super) struct Monitor {
    hub: Hub,
    ports: Option<Feed>,
    first: Option<Event>,
    others: Option<broadcast::Receiver<Event>>,
}

/// Answers a call of `peer`, received on `socket`.
pub(super) async fn answer(
    call: IncomingCall,
    peer: Peer,
    seat: &Seat,
    socket: &Arc<Socket>,
    context: &Context,
) -> Answer {
    let reply = match call.method.as_str() {
        "io.teredo.Client.Subscribe" => subscribe(call, peer, seat, socket, context),
        "io.teredo.Client.Monitor" => monitor(call, context).await,
        _ => reply(call, peer, context).await.map(Answer::Reply),
    };
    reply.unwrap_or_else(Answer::Reply)
}

async fn reply(mut call: IncomingCall, peer: Peer, context: &Context) -> Result<Reply, Reply> {
    match call.method.as_str() {
        "io.teredo.Client.GetPort" => match context.hub.snapshot().port {
            0 => Err(Reply::error(error::NOT_READY, json!({}))),
            port => Ok(Reply::new(json!({ "port": port }))),
        },
        "io.teredo.Client.GetStatus" => {
            let mut status = status(context).await;
            // Whom a node talks to is not for everybody.
            if !peer.may_control {
                status.limited.clear();
            }
            Ok(Reply::new(json!({ "status": status })))
        }
        "io.teredo.Client.GetPeers" => {
            let most: Option<usize> = call.parameter("most")?;
            require_permission(peer)?;
            let most = most.unwrap_or(MAX_PEERS).min(MAX_PEERS);
            Ok(Reply::new(
                json!({ "peers": context.control.peers(most).await }),
            ))
        }
        "io.teredo.Client.Settle" => {
            require_permission(peer)?;
            settle(&mut call, &context.hub)
        }
        "io.teredo.Client.Report" => {
            require_permission(peer)?;
            report(&mut call, &context.hub)
        }
        "io.teredo.Client.Rebind" => {
            let port: Option<NonZeroU16> = call.parameter("port")?;
            require_permission(peer)?;
            outcome(context.control.rebind(port.map(NonZeroU16::get)).await)
        }
        "io.teredo.Client.Stop" => {
            require_permission(peer)?;
            outcome(context.control.stop().await)
        }
        "io.teredo.Client.Start" => {
            require_permission(peer)?;
            outcome(context.control.start().await)
        }
        "org.varlink.service.GetInfo" => Ok(Reply::new(json!({
            "vendor": "teredo",
            "product": "teredo client",
            "version": env!("CARGO_PKG_VERSION"),
            "url": "https://www.rfc-editor.org/rfc/rfc4380",
            "interfaces": [SERVICE_INTERFACE, INTERFACE],
        }))),
        "org.varlink.service.GetInterfaceDescription" => {
            let interface: String = call.parameter("interface")?;
            let description = match interface.as_str() {
                INTERFACE => DESCRIPTION,
                SERVICE_INTERFACE => SERVICE_DESCRIPTION,
                _ => return Err(interface_not_found(&interface)),
            };
            Ok(Reply::new(json!({ "description": description })))
        }
        method => Err(match method.rsplit_once('.') {
            Some((INTERFACE | SERVICE_INTERFACE, _)) => {
                Reply::error(error::METHOD_NOT_FOUND, json!({ "method": method }))
            }
            Some((interface, _)) => interface_not_found(interface),
            None => interface_not_found(method),
        }),
    }
}

fn interface_not_found(interface: &str) -> Reply {
    Reply::error(
        error::INTERFACE_NOT_FOUND,
        json!({ "interface": interface }),
    )
}

fn require_permission(peer: Peer) -> Result<(), Reply> {
    if peer.may_control {
        Ok(())
    } else {
        Err(Reply::error(error::PERMISSION_DENIED, json!({})))
    }
}

fn expect_more(call: &IncomingCall) -> Result<(), Reply> {
    // A oneway call cannot have a stream either.
    if call.more && !call.oneway {
        Ok(())
    } else {
        Err(Reply::error(error::EXPECTED_MORE, json!({})))
    }
}

/// `Settle`; the caller has checked the permission.
pub(super) fn settle(call: &mut IncomingCall, hub: &Hub) -> Result<Reply, Reply> {
    let subscription: u64 = call.parameter("subscription")?;
    let sequence: u64 = call.parameter("sequence")?;
    let random: Option<u64> = call.parameter("random")?;
    let settled = hub.settle(subscription, sequence);
    let admitted = |random| hub.admit(subscription, random);
    match settled.and_then(|()| random.map_or(Ok(()), admitted)) {
        Ok(()) => Ok(Reply::new(json!({}))),
        Err(SettleError::UnknownSubscription(_)) => Err(Reply::error(
            error::UNKNOWN_SUBSCRIPTION,
            json!({ "subscription": subscription }),
        )),
        Err(SettleError::NotAnnounced { .. }) => Err(Reply::invalid_parameter("sequence")),
    }
}

/// `Report`; the caller has checked the permission.
fn report(call: &mut IncomingCall, hub: &Hub) -> Result<Reply, Reply> {
    let subscription: u64 = call.parameter("subscription")?;
    let mut trouble: Option<String> = call.parameter("trouble")?;
    let mut protects: Vec<String> = call.parameter("protects")?;
    let mut backend: Option<String> = call.parameter("backend")?;
    let mut random_trouble: Option<String> = call.parameter("random_trouble")?;
    let valid: u64 = call.parameter("valid_ms")?;
    // The hub keeps the report as long as the gate.
    for trouble in [&mut trouble, &mut random_trouble].into_iter().flatten() {
        *trouble = trouble.chars().take(MAX_TROUBLE).collect();
    }
    if let Some(backend) = &mut backend {
        *backend = backend.chars().take(MAX_BACKEND).collect();
    }
    protects.truncate(MAX_PROTECTS);
    let report = GateReport {
        trouble,
        protects,
        backend,
        random_trouble,
        valid: Duration::from_millis(valid),
    };
    hub.report(subscription, report)
        .map(|()| Reply::new(json!({})))
        .map_err(|_| {
            Reply::error(
                error::UNKNOWN_SUBSCRIPTION,
                json!({ "subscription": subscription }),
            )
        })
}

fn outcome(outcome: Result<Outcome, ControlError>) -> Result<Reply, Reply> {
    match outcome {
        Ok(Outcome { port, settled }) => {
            Ok(Reply::new(json!({ "port": port, "settled": settled })))
        }
        Err(ControlError::PortInUse(port)) => {
            Err(Reply::error(error::PORT_IN_USE, json!({ "port": port })))
        }
        Err(ControlError::NotReady) => Err(Reply::error(error::NOT_READY, json!({}))),
        Err(ControlError::Failed(reason)) => Err(failed(&reason)),
    }
}

fn failed(reason: &str) -> Reply {
    Reply::error(error::FAILED, json!({ "reason": reason }))
}

fn too_many(error: &RegisterError) -> Reply {
    failed(&error.to_string())
}

/// How often a status is taken again because the port changed meanwhile. A change needs a round trip to the node, so one
/// repetition is the rule.
const STATUS_ATTEMPTS: usize = 4;

pub(super) async fn status(context: &Context) -> Status {
    let mut state = context.hub.snapshot();
    let mut status = context.control.status().await;
    // The port may have changed meanwhile, and then the two are of different moments.
    for _ in 0..STATUS_ATTEMPTS {
        let now = context.hub.snapshot();
        if now.sequence == state.sequence {
            break;
        }
        state = now;
        status = context.control.status().await;
    }
    let firewall: Vec<_> = context
        .hub
        .gates()
        .into_iter()
        .map(FirewallStatus::from)
        .collect();
    let mut status = Status {
        port: state.port,
        sequence: state.sequence,
        random_ports: context.hub.random_ports().ports.len() as u64,
        firewall,
        notifications: context.hub.notifications(),
        ..status
    };
    add_problems(&mut status, &context.hub);
    status
}

/// Adds the troubles that firewalls report, and two that they cannot report: an interface that no firewall protects,
/// and a port that no firewall follows any more.
fn add_problems(status: &mut Status, hub: &Hub) {
    let mut problems = Vec::new();
    if let Some(interface) = &status.interface {
        let protects = |gate: &FirewallStatus| gate.protects.contains(interface);
        // The node has read it from the kernel, or the firewalls say it.
        let protected = status
            .protected
            .unwrap_or_else(|| status.firewall.iter().any(protects));
        status.protected = Some(protected);
        if !protected {
            problems.push(format!(
                "anybody reaches this host through {interface}: no firewall closes the inside of the tunnel; run \
                 'teredo firewall', or the node with --protect"
            ));
        }
    }
    for gate in &status.firewall {
        if let Some(trouble) = &gate.trouble {
            let name = gate.command.as_deref().unwrap_or("a firewall");
            let pid = gate
                .pid
                .map_or_else(String::new, |pid| format!(" (pid {pid})"));
            problems.push(format!("{name}{pid}: {trouble}"));
        }
    }
    if let Some(owner) = hub.departed_firewall() {
        problems.push(format!(
            "{} has ended, and no firewall follows the port: the exception closes with its lease; run 'teredo firewall' again",
            named(&owner, "a firewall")
        ));
    }
    if let Some(owner) = hub.departed_publisher() {
        problems.push(format!(
            "{} has ended, and the fleet's perimeters learn of no new port: they close this one, with its lease at the latest; run 'teredo \
             publish' again",
            named(&owner, "a publisher")
        ));
    }
    problems.append(&mut status.problems);
    status.problems = problems;
}

fn named(owner: &GateOwner, otherwise: &str) -> String {
    let name = owner.command.as_deref().unwrap_or(otherwise);
    let pid = owner.pid.map(|pid| format!(" (pid {pid})"));
    format!("{name}{}", pid.unwrap_or_default())
}

impl From<GateStatus> for FirewallStatus {
    fn from(gate: GateStatus) -> Self {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self {
            subscription: gate.id,
            pid: gate.owner.pid,
            command: gate.owner.command,
            in_sync: gate.in_sync,
            sequence: gate.settled,
            settle_us: gate.settle_time.map(micros),
            missed: gate.missed,
            trouble: gate.trouble,
            protects: gate.protects,
            backend: gate.backend,
            random_trouble: gate.random_trouble,
        }
    }
}

fn subscribe(
    mut call: IncomingCall,
    peer: Peer,
    seat: &Seat,
    socket: &Arc<Socket>,
    context: &Context,
) -> Result<Answer, Reply> {
    let initial: bool = call.parameter("initial")?;
    let gating: bool = call.parameter("gate")?;
    let network: Option<u64> = call.parameter("network")?;
    let random: Option<bool> = call.parameter("random")?;
    let random = gating && random == Some(true);
    expect_more(&call)?;
    if gating {
        require_permission(peer)?;
        check_network(network, peer, context)?;
    }
    // The feed first: the gate must not delay an announcement that the feed does not deliver.
    let hub = &context.hub;
    let feed = match (gating, random) {
        (true, true) => hub.subscribe_random(initial),
        (true, false) => hub.subscribe_as(Rank::Gating, initial),
        (false, _) => hub.subscribe(initial),
    };
    let feed = feed.map_err(|error| too_many(&error))?;
    let gate = gating
        .then(|| match random {
            true => hub.register_random_gate(owner(peer)),
            false => hub.register_gate(owner(peer)),
        })
        .transpose()
        .map_err(|error| too_many(&error))?;
    let subscription = Subscription::new(feed, gate, Arc::clone(socket), seat, context);
    Ok(Answer::Stream(Stream::Subscription(subscription)))
}

/// A firewall of another network namespace would open the port there, where the client is not.
fn check_network(network: Option<u64>, peer: Peer, context: &Context) -> Result<(), Reply> {
    match (network, context.network) {
        (Some(subscriber), Some(client)) if subscriber != client => {
            tracing::warn!(
                pid = peer.pid,
                "refused a firewall that runs in another network namespace than this node"
            );
            Err(Reply::error(
                error::OTHER_NETWORK,
                json!({ "client": client, "subscriber": subscriber }),
            ))
        }
        _ => Ok(()),
    }
}

fn owner(peer: Peer) -> GateOwner {
    let pid = peer.pid;
    let command = pid
        .and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok())
        .map(|command| command.trim_end().to_owned());
    GateOwner { pid, command }
}

async fn monitor(mut call: IncomingCall, context: &Context) -> Result<Answer, Reply> {
    let mut events: Vec<EventName> = call.parameter("events")?;
    expect_more(&call)?;
    if events.is_empty() {
        events = EventName::ALL.to_vec();
    }
    let ports = events
        .contains(&EventName::Port)
        .then(|| context.hub.subscribe(true))
        .transpose()
        .map_err(|error| too_many(&error))?;
    let (others, first) = if events.contains(&EventName::State) {
        // In this order, so that the bus has every change after the status.
        let bus = EventBus::subscribe(&context.events);
        (
            Some(bus),
            Some(state_event(context.control.status().await, &context.hub)),
        )
    } else {
        (None, None)
    };
    let hub = context.hub.clone();
    Ok(Answer::Stream(Stream::Monitor(Monitor {
        hub,
        ports,
        first,
        others,
    })))
}

fn state_event(status: Status, hub: &Hub) -> Event {
    let Status {
        state,
        reason,
        address,
        mapped,
        nat,
        server,
        ..
    } = status;
    let detail = Detail::State {
        state,
        reason,
        address,
        mapped,
        nat,
        server,
    };
    Event::now(hub.snapshot().sequence, detail)
}

impl Stream {
    /// The number of the gate, if this is one.
    pub(super) fn gate(&self) -> Option<u64> {
        match self {
            Self::Subscription(subscription) => subscription.gate(),
            Self::Monitor(_) => None,
        }
    }
}

impl Monitor {
    /// The next reply. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Reply {
        Reply::new(json!({ "event": self.event().await })).continued()
    }

    async fn event(&mut self) -> Event {
        let Self {
            hub,
            ports,
            first,
            others,
        } = self;
        let port = async {
            match ports {
                Some(ports) => ports.next().await,
                None => future::pending().await,
            }
        };
        let other = async {
            if let Some(event) = first.take() {
                return event;
            }
            let Some(others) = others else {
                return future::pending().await;
            };
            match others.recv().await {
                Ok(event) => event,
                Err(RecvError::Lagged(count)) => {
                    Event::now(hub.snapshot().sequence, Detail::Lost { count })
                }
                // The service holds a sender as long as it runs.
                Err(RecvError::Closed) => future::pending().await,
            }
        };
        tokio::select! {
            biased;
            notification = port => {
                let kind = PortKind::from(notification.kind);
                let port = notification.state.port;
                Event::now(notification.state.sequence, Detail::Port { kind, port })
            }
            event = other => event,
        }
    }
}
