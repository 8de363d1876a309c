//! `teredo server`: a server in the foreground.

mod account;
mod secrets;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context as _;
use teredo::policy::DestinationPolicy;
use teredo::server::Security;
use teredo::wire::PORT;
use teredo::{ServerAddress, ServerConfig};
use teredo_tunnel::BindError;
use teredo_tunnel::net::watch::{self, Watcher};
use teredo_tunnel::server::{ServeError, ServerHandle};
use tokio::signal::unix::{Signal, SignalKind};

use crate::daemon::{self, EndSignals};
use crate::failure::{Exit, Failure};
use crate::output::narrate;
use crate::settings::ServerSettings;

/// How often to look whether the data path still runs; it ends by itself only where the kernel fails it.
const HEALTH_CHECK: Duration = Duration::from_secs(5);

/// Serves until SIGINT or SIGTERM.
pub(crate) fn run(settings: ServerSettings) -> Result<Exit, Failure> {
    let policy = policy(&settings)?;
    let security = secrets::load(&settings)?;
    daemon::runtime()?.block_on(serve(settings, policy, security))
}

async fn serve(
    settings: ServerSettings,
    destinations: DestinationPolicy,
    security: Security,
) -> Result<Exit, Failure> {
    let reloads = settings.secret_file.is_some();
    let mut end = if reloads {
        EndSignals::without_hangup()?
    } else {
        EndSignals::new()?
    };
    let mut ask = daemon::listen(SignalKind::user_defined1())?;
    let mut reload = reloads
        .then(|| daemon::listen(SignalKind::hangup()))
        .transpose()?;
    let pairs = settings.pairs.iter().map(|&address| ServerConfig {
        destinations: destinations.clone(),
        security: security.clone(),
        limits: settings.limits,
        ..ServerConfig::new(address)
    });
    let server = ServerHandle::spawn(pairs.collect(), settings.workers).map_err(refusal)?;
    let mut network = Watcher::new(None)
        .await
        .context("cannot watch the network's addresses")?;
    server.set_broadcasts(
        watch::broadcasts()
            .await
            .context("cannot read the network's addresses")?,
    );

    for ServerAddress { primary, secondary } in &settings.pairs {
        narrate(format_args!(
            "serving on {primary} and {secondary}, UDP port {PORT}"
        ));
    }
    if let Some(told) = secrets::told(&security) {
        narrate(told);
    }
    daemon::tell_ready();
    let mut health = tokio::time::interval(HEALTH_CHECK);
    loop {
        tokio::select! {
            () = end.received() => break,
            _ = ask.recv() => if let Some(status) = server.status().await {
                account::tell(&status);
            },
            () = hangup(&mut reload) => reload_secrets(&settings, &server).await,
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
        account::tell(&status);
    }
    Ok(Exit::Done)
}

/// The next SIGHUP that asks for the secrets to be read again; never where there are none.
async fn hangup(reload: &mut Option<Signal>) {
    match reload {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Reads the secrets again, and says so when they count. A file with a fault changes nothing.
async fn reload_secrets(settings: &ServerSettings, server: &ServerHandle) {
    match secrets::load(settings) {
        Ok(security) => {
            let told = secrets::told(&security);
            server.set_security(security);
            // Workers do one thing after the other: they answer this when they have the secrets.
            if server.status().await.is_some()
                && let Some(told) = told
            {
                narrate(told);
            }
        }
        Err(failure) => narrate(format_args!("the secrets stay as they were: {failure}")),
    }
}

/// Where the server may send; fails where its own addresses are none that a client could reach.
fn policy(settings: &ServerSettings) -> Result<DestinationPolicy, Failure> {
    let mut policy = DestinationPolicy::default();
    policy.allow_private(settings.allow_private);
    for address in settings
        .pairs
        .iter()
        .flat_map(|pair| [pair.primary, pair.secondary])
    {
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

#[cfg(test)]
mod tests;
