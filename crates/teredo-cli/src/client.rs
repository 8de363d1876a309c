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

mod control;
mod main_loop;
mod privilege;
mod resolve;
mod secrets;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use teredo::ClientConfig;
use teredo_client::HubAnnouncer;
use teredo_notify::hub::Hub;
use teredo_notify::service::{BindError, Config, EventBus, Service};
use teredo_tunnel::engine::{Engine, EngineConfig, SpawnError};
use teredo_tunnel::interface::{Interface, InterfaceConfig, InterfaceError};
use teredo_tunnel::watch::Watcher;
use teredo_tunnel::{OpenError, Tun};
use tokio::sync::{Notify, mpsc, oneshot};

use self::control::Requests;
use self::main_loop::Daemon;
use self::resolve::Resolver;
use self::secrets::Secrets;
use crate::args::NativePolicy;
use crate::daemon::{self, EndSignals};
use crate::failure::{Exit, Failure};
use crate::settings::ClientSettings;

/// The group whose members may steer the client, where there is one.
const GROUP: &str = "teredo";
/// How long the first port waits for firewall agents to come.
const ADMISSION: Duration = Duration::from_millis(25);
const ADMISSION_STEP: Duration = Duration::from_millis(1);

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
    let (requests, inbox) = mpsc::channel(64);
    let group = nix::unistd::Group::from_name(GROUP)
        .ok()
        .flatten()
        .map(|group| group.gid.as_raw());
    let config = Config {
        group,
        ..Config::new(&settings.socket)
    };
    let requests = Arc::new(Requests(requests));
    let service = daemon::outlast(
        || Service::bind(&config, hub.clone(), events.clone(), requests.clone()),
        |error| matches!(error, BindError::AlreadyRunning { .. }),
    )
    .await
    .map_err(service_failure)?;

    let tun = daemon::outlast(
        || Tun::open(Some(&settings.interface)),
        |error| matches!(error, OpenError::NameTaken { .. }),
    )
    .await
    .map_err(tun_failure)?;
    let config = InterfaceConfig {
        default_route: settings
            .default_route
            .then_some(InterfaceConfig::default().default_route)
            .flatten(),
        ..InterfaceConfig::default()
    };
    let interface = Interface::set_up(&tun, config)
        .await
        .map_err(interface_failure)?;
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
    let engine = Engine::spawn(
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

/// Lets firewall agents that wait for the service subscribe before the first port is announced, so that they gate
/// it like every later one (N-16). They watch for the socket and need a few milliseconds; one that comes later is
/// seen to by the main loop.
async fn admit_firewalls(hub: &Hub) {
    let current = hub.snapshot().sequence;
    let admitted = async {
        while !hub.gates().iter().any(|gate| gate.settled >= Some(current)) {
            tokio::time::sleep(ADMISSION_STEP).await;
        }
    };
    // Running out of time means that there is no agent.
    let _ = tokio::time::timeout(ADMISSION, admitted).await;
}

async fn engine_config(settings: &ClientSettings, native: Option<Ipv6Addr>) -> EngineConfig {
    let mut client = ClientConfig {
        local_discovery: settings.local_discovery,
        determine_refresh_interval: settings.determine_refresh,
        ..ClientConfig::default()
    };
    let attached = main_loop::attached().await;
    client.destinations.allow_private(settings.allow_private);
    client.destinations.set_broadcasts(attached.broadcasts);
    EngineConfig {
        bind: settings.bind,
        port: settings.port.map(Into::into),
        client,
        subnets: attached.subnets,
        native,
        ..EngineConfig::default()
    }
}

fn service_failure(error: BindError) -> Failure {
    let exit = match &error {
        BindError::Folder { source, .. } | BindError::Create { source, .. }
            if source.kind() == ErrorKind::PermissionDenied =>
        {
            Exit::NotPermitted
        }
        _ => Exit::Failed,
    };
    Failure::new(exit, "cannot offer the local service").because(error)
}

fn tun_failure(error: OpenError) -> Failure {
    let exit = match &error {
        OpenError::NotPermitted => Exit::NotPermitted,
        _ => Exit::Failed,
    };
    let failure = Failure::new(exit, "cannot make the tunnel interface");
    match &error {
        OpenError::NotPermitted => failure
            .because(error)
            .hint("run it as root, or give it CAP_NET_ADMIN"),
        OpenError::NameTaken { .. } => failure.because(error).hint(
            "'teredo status' shows a running client; --interface NAME names another interface",
        ),
        _ => failure.because(error),
    }
}

fn interface_failure(error: InterfaceError) -> Failure {
    let exit = match &error {
        InterfaceError::NotPermitted { .. } => Exit::NotPermitted,
        _ => Exit::Failed,
    };
    Failure::new(exit, "cannot set the tunnel interface up").because(error)
}

fn engine_failure(error: SpawnError) -> Failure {
    Failure::new(Exit::Failed, "cannot start the data path")
        .because(error)
        .hint(format!(
            "check --bind: it must be an address of this host, or {}",
            Ipv4Addr::UNSPECIFIED
        ))
}
