//! `teredo relay`: between Teredo clients and the IPv6 Internet, or this host alone.
//!
//! ```text
//!  netlink ─> Watcher, Ipv6Watcher ──┐
//!  callers ─> Service ───────────────┴──> Daemon (this thread) ── commands ──> RelayHandle (the data-path threads)
//!                                            ^                                     │ announces its port
//!                                            └───────────── events ────────────────┴──> Hub ──> Service ──> firewalls
//! ```

mod main_loop;

use std::net::{Ipv4Addr, SocketAddrV4};

use teredo::RelayConfig;
use teredo::policy::DestinationPolicy;
use teredo::relay::Served;
use teredo_notify::hub::{Hub, SETTLE_DEADLINE};
use teredo_notify::service::EventBus;
use teredo_tunnel::BindError;
use teredo_tunnel::SpawnError;
use teredo_tunnel::net::interface::InterfaceConfig;
use teredo_tunnel::net::watch::{self, Ipv6Watcher, Watcher};
use teredo_tunnel::relay::{RelayHandle, RelayPathConfig};
use tokio::sync::{mpsc, oneshot};

use self::main_loop::Daemon;
use crate::daemon::start::{
    admit_firewalls, interface_failure, offer_service, open_queues, set_up_interface,
};
use crate::daemon::{self, EndSignals, privilege};
use crate::failure::{Exit, Failure};
use crate::output::narrate;
use crate::settings::RelaySettings;
use teredo_node::HubAnnouncer;

/// Any address that is reached by the default route, for a look at what a datagram there would leave from.
const SOMEWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// Relays until it is told to end.
pub(crate) fn run(settings: RelaySettings) -> Result<Exit, Failure> {
    let policy = policy(&settings)?;
    daemon::runtime()?.block_on(serve(settings, policy))
}

async fn serve(settings: RelaySettings, policy: DestinationPolicy) -> Result<Exit, Failure> {
    let mut end = EndSignals::new()?;
    let hub = Hub::new();
    let events = EventBus::new(hub.clone());
    let (service, inbox) = offer_service(&settings.socket, &hub, &events).await?;
    let queues = open_queues(&settings.interface, settings.workers).await?;
    let config = InterfaceConfig {
        default_route: None,
        ..InterfaceConfig::default()
    };
    let interface = set_up_interface(queues.first(), config).await?;
    let watch_failure =
        |error| Failure::new(Exit::Failed, "cannot watch the network").because(error);
    let watcher = Watcher::new(Some(queues.first().index()))
        .await
        .map_err(watch_failure)?;
    let ipv6_watcher = Ipv6Watcher::new().map_err(watch_failure)?;
    privilege::keep_what_is_needed(settings.port.try_into().ok())?;

    let (close, closed) = oneshot::channel::<()>();
    let serving = tokio::spawn(service.run(async {
        // Either end of the channel going away means the same.
        let _ = closed.await;
    }));
    admit_firewalls(&hub).await;

    let (sender, path_events) = mpsc::unbounded_channel();
    let relay = RelayHandle::spawn(
        queues,
        path_config(&settings, policy).await,
        Box::new(HubAnnouncer(hub.clone())),
        // The daemon holds the receiver for as long as the relay runs.
        move |event| drop(sender.send(event)),
    )
    .map_err(refusal)?;
    let waker = relay.waker();
    hub.on_settle(move || waker.wake());
    // For what was settled before there was a hook.
    relay.waker().wake();
    interface.set_routes().await.map_err(interface_failure)?;

    narrate(format_args!(
        "relaying on UDP port {} of {}",
        settings.port,
        if settings.address.is_unspecified() {
            String::from("this host")
        } else {
            settings.address.to_string()
        }
    ));
    if let Some(trouble) = main_loop::forwarding_trouble(&settings) {
        narrate(format_args!("{trouble}"));
    }
    daemon::tell_ready();
    let daemon = Daemon {
        settings,
        hub,
        events,
        relay,
        interface,
    };
    let ended = daemon
        .run(path_events, inbox, watcher, ipv6_watcher, end.received())
        .await;
    daemon::tell_stopping();
    drop(close);
    // The service removes its socket at its end; a panic in it has been reported by the runtime.
    let _ = serving.await;
    ended
}

async fn path_config(settings: &RelaySettings, mut policy: DestinationPolicy) -> RelayPathConfig {
    let local = match settings.address {
        Ipv4Addr::UNSPECIFIED => watch::local_address(SOMEWHERE).unwrap_or(Ipv4Addr::UNSPECIFIED),
        address => address,
    };
    let behind_nat = !DestinationPolicy::default().permits_address(local);
    policy.set_broadcasts(daemon::broadcasts().await);
    let native = main_loop::native_addresses().await;
    RelayPathConfig {
        bind: settings.address,
        port: settings.port,
        relay: RelayConfig {
            error_source: native.first().copied(),
            direct_bubbles: settings.direct_bubbles.unwrap_or(behind_nat),
            destinations: policy,
            ..RelayConfig::new(
                SocketAddrV4::new(settings.address, settings.port),
                if settings.host {
                    Served::Host(native)
                } else {
                    Served::Networks(settings.serve.clone())
                },
            )
        },
        settle_deadline: SETTLE_DEADLINE,
        offload: settings.offload,
    }
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

fn refusal(error: SpawnError) -> Failure {
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
