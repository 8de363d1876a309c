//! `teredo server`: a server in the foreground.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context as _;
use teredo::policy::DestinationPolicy;
use teredo::wire::PORT;
use teredo::{DropCounters, ServerAddress, ServerConfig};
use teredo_tunnel::BindError;
use teredo_tunnel::server::{ServeError, ServerHandle, ServerStatus};
use teredo_tunnel::watch::{self, Watcher};

use crate::daemon::{self, EndSignals};
use crate::failure::{Exit, Failure};
use crate::output::narrate;
use crate::settings::ServerSettings;

/// How often to look whether the data path still runs; it ends by itself only where the kernel fails it.
const HEALTH_CHECK: Duration = Duration::from_secs(5);

/// Serves until SIGINT or SIGTERM.
pub(crate) fn run(settings: ServerSettings) -> Result<Exit, Failure> {
    let policy = policy(&settings)?;
    daemon::runtime()?.block_on(serve(settings, policy))
}

async fn serve(settings: ServerSettings, destinations: DestinationPolicy) -> Result<Exit, Failure> {
    let ServerSettings {
        primary, secondary, ..
    } = settings;
    let mut end = EndSignals::new()?;
    let config = ServerConfig {
        destinations,
        ..ServerConfig::new(ServerAddress { primary, secondary })
    };
    let server = ServerHandle::spawn(config).map_err(refusal)?;
    let mut network = Watcher::new(None)
        .await
        .context("cannot watch the network's addresses")?;
    server.set_broadcasts(
        watch::broadcasts()
            .await
            .context("cannot read the network's addresses")?,
    );

    narrate(format_args!(
        "serving on {primary} and {secondary}, UDP port {PORT}"
    ));
    daemon::tell_ready();
    let mut health = tokio::time::interval(HEALTH_CHECK);
    loop {
        tokio::select! {
            () = end.received() => break,
            changed = network.changed() => {
                let change = changed.context("cannot watch the network's addresses")?;
                tracing::debug!(?change, "the network changed");
                server.set_broadcasts(watch::broadcasts().await.context("cannot read the network's addresses")?);
            }
            _ = health.tick() => if server.is_finished() {
                return Err(Failure::new(Exit::Failed, "the server ended by itself").hint("its log says why"));
            }
        }
    }
    daemon::tell_stopping();
    let status = server.status().await;
    server.shutdown();
    if let Some(status) = status {
        narrate(summary(&status));
    }
    Ok(Exit::Done)
}

/// Where the server may send; fails where its own addresses are none that a client could reach.
fn policy(settings: &ServerSettings) -> Result<DestinationPolicy, Failure> {
    let mut policy = DestinationPolicy::default();
    policy.allow_private(settings.allow_private);
    for address in [settings.primary, settings.secondary] {
        if !policy.permits_address(address) {
            return Err(Failure::new(
                Exit::Failed,
                format!("{address} is not a global unicast address"),
            )
            .hint(if address.is_private() {
                "clients on the Internet cannot reach it; for a laboratory, give --allow-private"
            } else {
                "a server needs two addresses that clients on the Internet can reach"
            }));
        }
    }
    Ok(policy)
}

fn refusal(error: ServeError) -> Failure {
    let (exit, hint) = match &error {
        ServeError::Bind(BindError::InUse { .. }) => (
            Exit::Failed,
            format!("another server runs here: 'ss -lunp sport = :{PORT}' names it"),
        ),
        ServeError::Bind(BindError::AddressNotAvailable { address }) => {
            (Exit::Failed, how_to_add(*address))
        }
        ServeError::Bind(BindError::NotPermitted { .. }) => (
            Exit::NotPermitted,
            format!("a security policy forbids UDP port {PORT}"),
        ),
        _ => (Exit::Failed, String::from("--verbose may say more")),
    };
    Failure::new(exit, "cannot serve").because(error).hint(hint)
}

fn how_to_add(address: Ipv4Addr) -> String {
    format!(
        "a server needs two addresses of its own: 'ip address add {address}/32 dev INTERFACE' adds one"
    )
}

/// One line of what was done, at the end.
fn summary(status: &ServerStatus) -> String {
    let served = &status.served;
    let mut text = format!(
        "served {} solicitations and {} echo requests, passed on {} packets to clients and {} to the IPv6 Internet",
        served.advertisements, served.echo_replies, served.forwarded, served.to_native
    );
    // Writing to a `String` cannot fail.
    let _ = write!(text, "; dropped {}", dropped(&status.drops));
    text
}

fn dropped(drops: &DropCounters) -> String {
    let named: Vec<_> = drops
        .iter()
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    let total = drops
        .iter()
        .fold(0_u64, |sum, (_, count)| sum.saturating_add(count));
    if named.is_empty() {
        String::from("none")
    } else {
        format!("{total} ({})", named.join(", "))
    }
}

#[cfg(test)]
mod tests;
