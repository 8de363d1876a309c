//! `teredo relay`: between Teredo clients and the IPv6 Internet, or this host alone. A node, its service, and its narration.

use std::net::Ipv4Addr;
use std::pin::pin;

use caps::Capability;
use teredo::policy::DestinationPolicy;
use teredo_node::Relay;
use teredo_notify::service::Control as _;
use teredo_notify::snapshot::Node;
use teredo_notify::types::Role;
use teredo_tunnel::{BindError, SpawnError};

use crate::daemon::inside::Inside;
use crate::daemon::keep::Kept;
use crate::daemon::node::{GATE_GRACE, NodeSession, keep_service, run_failure, start_failure};
use crate::daemon::reload::{self, Next};
use crate::daemon::sandbox::Needs;
use crate::daemon::{self, ControlSignal, counters, privilege, sandbox};
use crate::failure::{Exit, Failure};
use crate::metrics::Endpoint;
use crate::output::narrate;
use crate::settings::{RelaySettings, destinations, refused_address};

/// Relays until a signal ends it. `load` reads the settings, at the start and at each reload.
pub(crate) fn run(load: impl Fn() -> Result<RelaySettings, Failure>) -> Result<Exit, Failure> {
    let first = load()?;
    policy(&first)?;
    daemon::run(serve(first, load))
}

async fn serve(
    first: RelaySettings,
    load: impl Fn() -> Result<RelaySettings, Failure>,
) -> Result<Exit, Failure> {
    let node = NodeSession::new(
        Kept::take().service,
        &first.socket,
        first.group.as_deref(),
        first.metrics,
        Node::default(),
    );
    let mut node = node.await?;
    let outcome = reload::run(first, async |settings| {
        let outcome = relay(&mut node, settings, &load).await;
        node.metrics.started(outcome.is_ok());
        outcome
    });
    let outcome = outcome.await;
    node.end().await;
    outcome
}

/// Relays until the end, or until another relay takes its place.
async fn relay(
    node: &mut NodeSession,
    settings: &RelaySettings,
    load: impl Fn() -> Result<RelaySettings, Failure>,
) -> Result<Next<RelaySettings>, Failure> {
    let policy = policy(settings)?;
    let inside = Inside {
        role: Role::Relay,
        protect: settings.protect,
    };
    let prepared = Relay::builder()
        .protection(inside.protection())
        .address(settings.address)
        .port(settings.port)
        .host(settings.host)
        .serve(settings.serve.clone())
        .destinations(policy)
        .direct_bubbles(settings.direct_bubbles)
        .lanes(settings.workers)
        .interface(&settings.interface)
        .offload(settings.offload)
        .data_path(settings.data_path)
        .hub(node.hub.clone())
        .events(node.events.clone())
        .requests(node.requests())
        .gate_grace(GATE_GRACE)
        .prepare()
        .await
        .map_err(|error| start_failure(error, data_path_failure))?;
    node.serve(|| {
        let mut kept = privilege::of_a_node(settings.port.try_into().ok());
        // A reload may load the program again that steers datagrams to threads.
        kept.push(Capability::CAP_BPF);
        privilege::keep(kept)?;
        sandbox::enter(&Needs::of_a_relay(&settings.socket));
        Ok(())
    })?;
    let mut relay = prepared
        .start()
        .await
        .map_err(|error| start_failure(error, data_path_failure))?;
    introduce(settings, &relay);
    let closed = inside.keep(&settings.interface);
    daemon::tell_ready();

    let mut open = relay.open();
    let tell_open = async {
        if open.wait_for(|open| *open).await.is_ok() {
            daemon::tell_state("relaying");
        }
        std::future::pending::<()>().await;
    };
    let mut tell_open = pin!(tell_open);
    let session = &mut node.session;
    let next = loop {
        tokio::select! {
            () = session.end.received() => break None,
            () = session.watchdog.due() => session.watchdog.feed(relay.status().await.is_some()),
            signal = session.signals.received() => match signal {
                ControlSignal::Print => counters::print(&node.control.status().await),
                ControlSignal::Reload => if let Some(new) = read_again(settings, &load, &mut node.metrics) {
                    break Some(new);
                }
            },
            error = relay.ended() => {
                // Subscribers hear that the port is gone before the service is (N-11).
                drop(relay);
                if let Some(closed) = closed {
                    closed.abort();
                }
                return Ok(Next::End(Err(run_failure(&error, "relay"))));
            }
            () = &mut tell_open => {}
        }
    };
    if next.is_none() {
        daemon::tell_stopping();
    }
    let outcome = relay.shutdown().await;
    if let Some(closed) = closed {
        closed.abort();
    }
    let outcome = outcome
        .map(|()| Exit::Done)
        .map_err(|error| run_failure(&error, "relay"));
    Ok(next.map_or(Next::End(outcome), Next::Reload))
}

/// Reads the settings again; `None` if they are faulty, or the same.
fn read_again(
    settings: &RelaySettings,
    load: impl Fn() -> Result<RelaySettings, Failure>,
    metrics: &mut Endpoint,
) -> Option<RelaySettings> {
    let mut new = reload::read(|| {
        let new = load()?;
        policy(&new)?;
        Ok(new)
    })?;
    keep_service(
        (&settings.socket, &settings.group),
        (&mut new.socket, &mut new.group),
    );
    let moved = metrics.reload(settings.metrics, &mut new.metrics)?;
    if new == *settings {
        match moved {
            true => reload::tell_changed(),
            false => reload::tell_unchanged(),
        }
        return None;
    }
    reload::tell_changed();
    Some(new)
}

fn introduce(settings: &RelaySettings, relay: &Relay) {
    let address = match settings.address {
        Ipv4Addr::UNSPECIFIED => String::from("this host"),
        address => address.to_string(),
    };
    let port = settings.port;
    narrate(format_args!("relaying on UDP port {port} of {address}"));
    if let Some(trouble) = relay.trouble() {
        narrate(trouble);
    }
}

/// Where the relay may send. Fails if clients could not reach its own address.
fn policy(settings: &RelaySettings) -> Result<DestinationPolicy, Failure> {
    let refused = refused_address(settings.address, Some(settings.allow_private));
    // A host may be behind a NAT; what forwards for others has no use for one.
    if let Some(refused) = refused.filter(|_| !settings.host) {
        let remedy = refused.remedy;
        return Err(
            Failure::from(refused).hint(format!("{remedy}; for this host alone, give --host"))
        );
    }
    Ok(destinations(settings.allow_private, &settings.deny))
}

fn data_path_failure(error: SpawnError) -> Failure {
    let (exit, hint) = match &error {
        SpawnError::Bind(BindError::InUse { port, .. }) => (
            Exit::Failed,
            format!("'ss -lunp sport = :{port}' names who has it; --port N chooses another one"),
        ),
        SpawnError::Bind(BindError::AddressNotAvailable { address }) => (
            Exit::Failed,
            format!(
                "give an address of this host: 'ip address add {address}/32 dev INTERFACE' adds one"
            ),
        ),
        SpawnError::Bind(BindError::NotPermitted { .. }) => (
            Exit::NotPermitted,
            String::from("run it as root, or choose a port above 1023"),
        ),
        _ => (Exit::Failed, String::from("--verbose may say more")),
    };
    Failure::new(exit, "cannot relay").because(error).hint(hint)
}

#[cfg(test)]
mod tests;
