//! `teredo client`: the daemon.
//!
//! ```text
//!  names ──> Resolver ──┐                          ┌──> Interface: address and routes
//!  netlink ─> Watcher ──┼──> Daemon (this thread) ─┼──> EventBus ──> monitors
//!  callers ─> Service ──┘       ^        │         └──> sd_notify
//!                        events │        │ commands
//!                            Engine (the data-path thread) ── announces ports ──> Hub ──> Service ──> firewalls
//! ```
//!
//! One task owns everything and takes one thing at a time, so what a caller is told is never ahead of what has
//! been done: a client says that it is qualified when its address is on the interface.

mod main_loop;
mod resolve;
mod secrets;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use teredo::ClientConfig;
use teredo_node::HubAnnouncer;
use teredo_notify::hub::Hub;
use teredo_notify::service::EventBus;
use teredo_tunnel::SpawnError;
use teredo_tunnel::client::{ClientHandle, ClientPathConfig};
use teredo_tunnel::net::interface::{InterfaceConfig, SEGMENTS_PER_SEND};
use teredo_tunnel::net::watch::Watcher;
use tokio::sync::{Notify, mpsc, oneshot};

use self::main_loop::Daemon;
use self::resolve::Resolver;
use self::secrets::Secrets;
use crate::args::NativePolicy;
use crate::daemon::start::{admit_firewalls, offer_service, open_tun, set_up_interface};
use crate::daemon::{self, EndSignals, privilege};
use crate::failure::{Exit, Failure};
use crate::settings::ClientSettings;

/// Runs the client until it is told to end.
pub(crate) fn run(settings: ClientSettings) -> Result<Exit, Failure> {
    let secrets = Secrets::load(&settings)?;
    daemon::runtime()?.block_on(serve(settings, secrets))
}

async fn serve(settings: ClientSettings, secrets: Secrets) -> Result<Exit, Failure> {
    let mut end = EndSignals::new()?;

    // First the socket: it is what tells a second instance.
    let hub = Hub::new();
    let events = EventBus::new(hub.clone());
    let (service, inbox) = offer_service(&settings.socket, &hub, &events).await?;
    let tun = open_tun(&settings.interface).await?;
    let config = InterfaceConfig {
        default_route: settings
            .default_route
            .then_some(InterfaceConfig::default().default_route)
            .flatten(),
        max_segments: Some(SEGMENTS_PER_SEND),
        ..InterfaceConfig::default()
    };
    let interface = set_up_interface(&tun, config).await?;
    let watcher = Watcher::new(Some(tun.index()))
        .await
        .map_err(|error| Failure::new(Exit::Failed, "cannot watch the network").because(error))?;
    privilege::keep_what_is_needed(settings.port)?;

    let (close, closed) = oneshot::channel::<()>();
    let serving = tokio::spawn(service.run(async {
        // Either end of the channel going away means the same.
        let _ = closed.await;
    }));
    admit_firewalls(&hub).await;

    let (sender, engine_events) = mpsc::unbounded_channel();
    let native = match settings.native_ipv6 {
        NativePolicy::Dormant => watcher.native().map(|native| native.address),
        NativePolicy::Ignore => None,
    };
    let engine = ClientHandle::spawn(
        tun,
        engine_config(&settings, native).await,
        Box::new(HubAnnouncer(hub.clone())),
        // The daemon holds the receiver for as long as the engine runs.
        move |event| drop(sender.send(event)),
    )
    .map_err(engine_failure)?;
    let (waker, settled) = (engine.waker(), Arc::new(Notify::new()));
    hub.on_settle({
        let settled = settled.clone();
        move || {
            waker.wake();
            settled.notify_one();
        }
    });
    // For what was settled before there was a hook.
    engine.waker().wake();
    let resolver = Resolver::start(settings.servers.clone());
    daemon::tell_ready();

    let daemon = Daemon {
        settings,
        secrets,
        hub,
        events,
        engine,
        interface,
        settled,
    };
    let ended = daemon
        .run(engine_events, inbox, watcher, resolver, end.received())
        .await;
    daemon::tell_stopping();
    drop(close);
    // The service removes its socket at its end; a panic in it has been reported by the runtime.
    let _ = serving.await;
    ended
}

async fn engine_config(settings: &ClientSettings, native: Option<Ipv6Addr>) -> ClientPathConfig {
    let mut client = ClientConfig {
        local_discovery: settings.local_discovery,
        determine_refresh_interval: settings.determine_refresh,
        ..ClientConfig::default()
    };
    let attached = main_loop::attached().await;
    client.destinations.allow_private(settings.allow_private);
    client.destinations.set_broadcasts(attached.broadcasts);
    ClientPathConfig {
        bind: settings.bind,
        port: settings.port.map(Into::into),
        client,
        subnets: attached.subnets,
        native,
        offload: settings.offload,
        ..ClientPathConfig::default()
    }
}

fn engine_failure(error: SpawnError) -> Failure {
    Failure::new(Exit::Failed, "cannot start the data path")
        .because(error)
        .hint(format!(
            "check --bind: it must be an address of this host, or {}",
            Ipv4Addr::UNSPECIFIED
        ))
}
