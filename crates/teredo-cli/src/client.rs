//! `teredo client`: a node, its service, and its narration.
//!
//! ```text
//!  service ── requests ──> teredo_node::Client ── port ──> hub ──> service ──> firewalls, programs
//!                                │ state ──> bus ──> service ──> monitors
//!                                └ state, port ──> legacy ──> systemd, state folder ──> the next client
//! ```

mod legacy;
mod memory;
mod secrets;

use std::net::Ipv4Addr;
use std::pin::pin;

use teredo::ClientConfig;
use teredo_node::{Client, ClientBuilder, Connectivity};
use teredo_notify::hub::Hub;
use teredo_notify::service::{Control as _, EventBus};
use teredo_tunnel::SpawnError;
use tokio::sync::watch;

use crate::args::NativePolicy;
use crate::daemon::inside::Inside;
use crate::daemon::keep::Kept;
use crate::daemon::node::{self, GATE_GRACE, offer_service, run_failure, start_failure};
use crate::daemon::{self, ControlSignal, ControlSignals, EndSignals, counters, privilege};
use crate::failure::{Exit, Failure};
use crate::output::narrate;
use crate::settings::ClientSettings;
use legacy::Legacy;

/// Runs the client until a signal ends it.
pub(crate) fn run(settings: ClientSettings) -> Result<Exit, Failure> {
    let kept = Kept::take();
    let builder = builder(&settings)?;
    daemon::runtime()?.block_on(serve(settings, builder, kept))
}

async fn serve(
    settings: ClientSettings,
    builder: ClientBuilder,
    mut kept: Kept,
) -> Result<Exit, Failure> {
    let mut end = EndSignals::new()?;
    let mut signals = ControlSignals::new()?;

    // The socket first: a second instance fails there.
    let hub = Hub::new();
    let events = EventBus::new(hub.clone());
    let (control, requests) = teredo_node::control();
    let service = offer_service(
        kept.service.take(),
        &settings.socket,
        settings.group.as_deref(),
        &hub,
        &events,
        control.clone(),
    )
    .await?;
    let inside = Inside {
        protect: settings.protect,
        forward: true,
    };
    let mut legacy = Legacy::new(&settings);
    let builder = builder
        .predecessor(legacy.predecessor(kept))
        .hub(hub)
        .events(events)
        .requests(requests)
        .protection(inside.protection());
    let prepared = builder
        .prepare()
        .await
        .map_err(|error| start_failure(error, data_path_failure))?;
    legacy.keep_interface(&prepared);
    privilege::keep_what_is_needed(settings.port)?;

    let serving = node::serve(service);
    let mut client = prepared
        .start()
        .await
        .map_err(|error| start_failure(error, data_path_failure))?;
    let closed = inside.keep(&settings.interface);
    legacy.follow(&client);
    legacy.update(&client).await;
    daemon::tell_ready();

    let connectivity = client.connectivity();
    let mut states = pin!(tell_states(connectivity));
    let ended = loop {
        tokio::select! {
            () = legacy.is_due() => legacy.update(&client).await,
            () = end.received() => break None,
            signal = signals.received() => match signal {
                ControlSignal::Print => counters::print(&control.status().await),
                ControlSignal::Reload => reload_secrets(&settings, &client),
            },
            error = client.ended() => break Some(error),
            () = &mut states => {}
        }
    };
    daemon::tell_stopping();
    if let Some(closed) = closed {
        closed.abort();
    }
    let outcome = match ended {
        Some(error) => {
            // Nothing of a broken client is worth going on with.
            legacy.clear();
            // Subscribers hear that the port is gone before the service is (N-11).
            drop(client);
            serving.end().await;
            Err(error)
        }
        None => {
            legacy.update(&client).await;
            if legacy.is_kept() {
                // The port is in use on, so nobody hears of an end. If the unit stops for good, the service manager
                // closes interface and port, and subscribers see the service end.
                serving.break_off().await;
                client.leave().await;
                Ok(())
            } else {
                let outcome = client.shutdown().await;
                serving.end().await;
                outcome
            }
        }
    };
    outcome
        .map(|()| Exit::Done)
        .map_err(|error| run_failure(&error, "client"))
}

/// Reloads the secrets. A faulty file changes nothing.
fn reload_secrets(settings: &ClientSettings, client: &Client) {
    if settings.secret_file.is_none() {
        return narrate(
            "nothing to reload: no --secret-file; other settings take effect at a restart",
        );
    }
    match secrets::load(settings) {
        Ok(keys) => {
            client.set_keys(keys);
            narrate("secrets reloaded; other settings take effect at a restart");
        }
        Err(failure) => narrate(format_args!(
            "secrets not reloaded, the old ones stay in force: {failure}"
        )),
    }
}

/// Reports each state to systemd. Never ready.
async fn tell_states(mut connectivity: watch::Receiver<Connectivity>) {
    let mut told = None;
    loop {
        let state = connectivity.borrow_and_update().state;
        if told.replace(state) != Some(state) {
            daemon::tell_state(state.name());
        }
        if connectivity.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn builder(settings: &ClientSettings) -> Result<ClientBuilder, Failure> {
    let mut protocol = ClientConfig {
        local_discovery: settings.local_discovery,
        refresh_interval: settings.refresh_interval,
        determine_refresh_interval: settings.determine_refresh,
        ..ClientConfig::default()
    };
    protocol.destinations.allow_private(settings.allow_private);
    for &(net, len) in &settings.deny {
        protocol.destinations.deny(net, len);
    }
    // The settings have at least one.
    let (first, others) = settings.servers.split_first().expect("a server");
    let mut builder = Client::builder(first.as_str());
    for server in others {
        builder = builder.server(server.as_str());
    }
    if let Some(port) = settings.port {
        builder = builder.port(port);
    }
    Ok(builder
        .keys(secrets::load(settings)?)
        .interface(&settings.interface)
        .default_route(settings.default_route)
        .bind(settings.bind)
        .protocol(protocol)
        .beside_native_ipv6(settings.native_ipv6 == NativePolicy::Ignore)
        .offload(settings.offload)
        .gate_grace(GATE_GRACE))
}

fn data_path_failure(error: SpawnError) -> Failure {
    Failure::new(Exit::Failed, "cannot start the data path")
        .because(error)
        .hint(format!(
            "check --bind: it must be an address of this host, or {}",
            Ipv4Addr::UNSPECIFIED
        ))
}
