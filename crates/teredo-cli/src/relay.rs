//! `teredo relay`: between Teredo clients and the IPv6 Internet, or this host alone. A node, its service, and its narration.

use std::net::Ipv4Addr;
use std::pin::pin;

use teredo::policy::DestinationPolicy;
use teredo_node::Relay;
use teredo_notify::hub::Hub;
use teredo_notify::service::{Control as _, EventBus};
use teredo_tunnel::{BindError, SpawnError};

use crate::daemon::inside::Inside;
use crate::daemon::keep::Kept;
use crate::daemon::node::{self, GATE_GRACE, offer_service, run_failure, start_failure};
use crate::daemon::{self, ControlSignal, ControlSignals, EndSignals, counters, privilege};
use crate::failure::{Exit, Failure};
use crate::output::narrate;
use crate::settings::RelaySettings;

/// Relays until a signal ends it.
pub(crate) fn run(settings: RelaySettings) -> Result<Exit, Failure> {
    let kept = Kept::take();
    let policy = policy(&settings)?;
    daemon::runtime()?.block_on(serve(settings, policy, kept))
}

async fn serve(
    settings: RelaySettings,
    policy: DestinationPolicy,
    kept: Kept,
) -> Result<Exit, Failure> {
    let mut end = EndSignals::new()?;
    let mut signals = ControlSignals::new()?;
    // The socket first: a second instance fails there.
    let hub = Hub::new();
    let events = EventBus::new(hub.clone());
    let (control, requests) = teredo_node::control();
    let service = offer_service(
        kept.service,
        &settings.socket,
        settings.group.as_deref(),
        &hub,
        &events,
        control.clone(),
    )
    .await?;
    let inside = Inside {
        protect: settings.protect,
        // A relay forwards for others, who have firewalls of their own.
        forward: false,
    };
    let prepared = Relay::builder()
        .protection(inside.protection())
        .address(settings.address)
        .port(settings.port)
        .host(settings.host)
        .serve(settings.serve)
        .destinations(policy)
        .direct_bubbles(settings.direct_bubbles)
        .lanes(settings.workers)
        .interface(&settings.interface)
        .offload(settings.offload)
        .hub(hub)
        .events(events)
        .requests(requests)
        .gate_grace(GATE_GRACE)
        .prepare()
        .await
        .map_err(|error| start_failure(error, data_path_failure))?;
    privilege::keep_what_is_needed(settings.port.try_into().ok())?;

    let serving = node::serve(service);
    let mut relay = prepared
        .start()
        .await
        .map_err(|error| start_failure(error, data_path_failure))?;
    let address = match settings.address {
        Ipv4Addr::UNSPECIFIED => String::from("this host"),
        address => address.to_string(),
    };
    let port = settings.port;
    narrate(format_args!("relaying on UDP port {port} of {address}"));
    if let Some(trouble) = relay.trouble() {
        narrate(trouble);
    }
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
    let ended = loop {
        tokio::select! {
            () = end.received() => break None,
            signal = signals.received() => match signal {
                ControlSignal::Print => counters::print(&control.status().await),
                ControlSignal::Reload => {
                    narrate("nothing to reload: settings take effect at a restart");
                }
            },
            error = relay.ended() => break Some(error),
            () = &mut tell_open => {}
        }
    };
    daemon::tell_stopping();
    let outcome = match ended {
        Some(error) => {
            // Subscribers hear that the port is gone before the service is (N-11).
            drop(relay);
            Err(error)
        }
        None => relay.shutdown().await,
    };
    serving.end().await;
    if let Some(closed) = closed {
        closed.abort();
    }
    outcome
        .map(|()| Exit::Done)
        .map_err(|error| run_failure(&error, "relay"))
}

/// Where the relay may send; fails where its own address is none that a client could reach.
fn policy(settings: &RelaySettings) -> Result<DestinationPolicy, Failure> {
    let mut policy = DestinationPolicy::default();
    policy.allow_private(settings.allow_private);
    // A host may be behind a NAT; what forwards for others has no use for one.
    if !settings.host && !policy.permits_address(settings.address) {
        let address = settings.address;
        return Err(Failure::new(
            Exit::Failed,
            format!("{address} is not a global unicast address"),
        )
        .hint(if address.is_private() {
            "clients on the Internet cannot reach it; for this host alone, give --host; for a laboratory, --allow-private"
        } else {
            "a relay needs an address that clients on the Internet can reach"
        }));
    }
    for &(net, len) in &settings.deny {
        policy.deny(net, len);
    }
    Ok(policy)
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
