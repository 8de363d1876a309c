//! `teredo server`: a server in the foreground.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;

use anyhow::Context as _;
use caps::Capability;
use teredo::policy::DestinationPolicy;
use teredo::server::{Security, ServerCounters};
use teredo::wire::PORT;
use teredo::{DropCounters, DropReason, KnownClient, KnownClients, ServerAddress, ServerConfig};
use teredo_notify::hub::Hub;
use teredo_notify::service::EventBus;
use teredo_tunnel::kernel::KernelError;
use teredo_tunnel::net::NetworkMonitor;
use teredo_tunnel::server::{ServerDataPath, ServerEvent, ServerHandle, ServerStatus};
use teredo_tunnel::{BindError, SpawnError};
use tokio::sync::mpsc;

use crate::daemon::local_service::LocalService;
use crate::daemon::reload::{self, Next};
use crate::daemon::sandbox::Needs;
use crate::daemon::{self, ControlSignal, Session, privilege, sandbox};
use crate::failure::{Exit, Failure};
use crate::metrics::{self, Endpoint};
use crate::output::narrate;
use crate::secret::{self, Entry, SecretError};
use crate::settings::{ServerSettings, ServerSocket, destinations, refused_address};
use crate::text::bytes;
use status::ServerControl;

#[cfg(test)]
pub(crate) use status::{OTHER_INTERFACE, work};

mod status;

/// The word behind the secret of a client that must get a new one.
const RETIRED: &str = "retired";

/// Serves until SIGINT or SIGTERM. `load` reads the settings, at the start and at each reload.
pub(crate) fn run(load: impl Fn() -> Result<ServerSettings, Failure>) -> Result<Exit, Failure> {
    let first = Setup::read(&load)?;
    daemon::run(async {
        let mut process = Process::new(&first.settings).await?;
        let outcome = reload::run(first, async |setup| process.serve(setup, &load).await).await;
        process.end().await;
        outcome
    })
}

/// The parts of a server's process that outlive a reload.
struct Process {
    session: Session,
    control: ServerControl,
    service: Option<LocalService>,
    /// The metrics over HTTP.
    metrics: Endpoint,
    data_path: ServerDataPath,
}

impl Process {
    /// Offers the service, and gives up what the process no longer needs.
    async fn new(settings: &ServerSettings) -> Result<Self, Failure> {
        let session = Session::new()?;
        let control = ServerControl::new();
        let mut service = offer(&settings.socket, &control).await?;
        // After the service, so that a second instance hears that it is one.
        let mut metrics = Endpoint::bind(settings.metrics)?;
        // Loading programs takes a capability that is given up.
        let data_path = ServerDataPath::prepare(settings.data_path).map_err(no_kernel)?;
        // For raw sockets to the IPv6 Internet and for large receive buffers, which a reload may open again.
        privilege::keep([Capability::CAP_NET_RAW, Capability::CAP_NET_ADMIN])?;
        sandbox::enter(&Needs::of_a_server(settings.socket.path()));
        if let Some(service) = &mut service {
            service.serve(|| Ok(()))?;
        }
        // Without the service, too.
        metrics.show(metrics::control_source(control.clone()));
        Ok(Self {
            session,
            control,
            service,
            metrics,
            data_path,
        })
    }

    async fn end(&mut self) {
        if let Some(service) = &mut self.service {
            service.end().await;
        }
    }

    async fn serve(
        &mut self,
        setup: &Setup,
        load: impl Fn() -> Result<ServerSettings, Failure>,
    ) -> Result<Next<Setup>, Failure> {
        let outcome = serve(self, setup, load).await;
        self.metrics.started(outcome.is_ok());
        outcome
    }
}

/// A server needs no service, so one at a place that nobody has chosen is offered if it can be.
async fn offer(
    socket: &ServerSocket,
    control: &ServerControl,
) -> Result<Option<LocalService>, Failure> {
    let hub = Hub::new();
    let events = EventBus::new(hub.clone());
    let answering = Arc::new(control.clone());
    let path = socket.path();
    let offered = LocalService::bind(None, path, None, (&hub, &events), answering).await;
    match (offered, socket) {
        (Err(failure), ServerSocket::Default(_)) => {
            tracing::info!("'teredo status' cannot ask this server: {failure}");
            Ok(None)
        }
        (offered, _) => offered.map(Some),
    }
}

/// The settings, and what the server makes of them. A reload reads all of it before it ends the server in force.
struct Setup {
    settings: ServerSettings,
    destinations: DestinationPolicy,
    security: Security,
}

impl Setup {
    fn read(load: impl Fn() -> Result<ServerSettings, Failure>) -> Result<Self, Failure> {
        let settings = load()?;
        Ok(Self {
            destinations: policy(&settings)?,
            security: load_secrets(&settings)?,
            settings,
        })
    }
}

async fn serve(
    process: &mut Process,
    setup: &Setup,
    load: impl Fn() -> Result<ServerSettings, Failure>,
) -> Result<Next<Setup>, Failure> {
    let Process {
        session,
        control,
        metrics,
        data_path,
        ..
    } = process;
    let Setup {
        settings,
        destinations,
        security,
    } = setup;
    let pairs = settings.pairs.iter().map(|&address| ServerConfig {
        destinations: destinations.clone(),
        serve: settings.serve.clone(),
        security: security.clone(),
        limits: settings.limits,
        ..ServerConfig::new(address)
    });
    let (sender, mut path_events) = mpsc::unbounded_channel();
    // The loop below holds the receiver for as long as the server runs.
    let events = move |event| drop(sender.send(event));
    let server = ServerHandle::spawn(pairs.collect(), settings.workers, data_path, events)
        .map_err(refusal)?;
    let server = Arc::new(server);
    control.serve(&server, &settings.pairs, security);
    let mut network = NetworkMonitor::for_server()
        .await
        .context("cannot monitor the network's addresses")?;
    server.set_broadcasts(network.attached().broadcasts);
    introduce(settings, security);
    daemon::tell_ready();
    let next = loop {
        tokio::select! {
            () = session.end.received() => break None,
            () = session.watchdog.due() => session.watchdog.feed(server.status().await.is_some()),
            signal = session.signals.received() => match signal {
                ControlSignal::Print => if let Some(status) = server.status().await {
                    print_counters(&status);
                },
                ControlSignal::Reload => if let Some(mut new) = reload::read(|| Setup::read(&load)) {
                    if new.settings.data_path != settings.data_path {
                        narrate("'data_path' takes effect at a restart");
                        new.settings.data_path = settings.data_path;
                    }
                    let Some(moved) = metrics.reload(settings.metrics, &mut new.settings.metrics) else {
                        continue;
                    };
                    if new.settings == *settings {
                        control.set_security(&new.security);
                        use_secrets(new, &server, moved).await;
                        continue;
                    }
                    reload::tell_changed();
                    break Some(new);
                }
            },
            change = network.changed() => {
                tracing::debug!(%change, "the network changed");
                server.set_broadcasts(network.attached().broadcasts);
            }
            event = path_events.recv() => if matches!(event, Some(ServerEvent::Ended) | None) {
                let failure = Failure::new(Exit::Failed, "the server ended by itself")
                    .hint("the log shows the reason; start the server again");
                return Ok(Next::End(Err(failure)));
            }
        }
    };
    let status = server.status().await;
    if next.is_none() {
        daemon::tell_stopping();
    }
    drop(server);
    if let Some(status) = status {
        print_counters(&status);
    }
    Ok(next.map_or(Next::End(Ok(Exit::Done)), Next::Reload))
}

/// Says where the server is, and which clients it serves.
fn introduce(settings: &ServerSettings, security: &Security) {
    for pair in &settings.pairs {
        let ServerAddress { primary, secondary } = pair;
        narrate(format_args!(
            "serving on {primary} and {secondary}, UDP port {PORT}"
        ));
        if let Some(advice) = how_to_name(*pair) {
            narrate(advice);
        }
    }
    if let Some(line) = describe_secrets(security) {
        narrate(line);
    }
}

/// Takes new secrets, and reports when they are in force.
async fn use_secrets(setup: Setup, server: &ServerHandle, moved: bool) {
    if moved {
        reload::tell_changed();
    }
    if setup.settings.secret_file.is_none() {
        if !moved {
            reload::tell_unchanged();
        }
        return;
    }
    let line = describe_secrets(&setup.security);
    server.set_security(setup.security);
    // A worker takes requests in order, so once it answers this one it has the secrets.
    if server.status().await.is_some()
        && let Some(line) = line
    {
        narrate(line);
    }
}

/// Where the server may send. Fails if clients could not reach its own addresses.
fn policy(settings: &ServerSettings) -> Result<DestinationPolicy, Failure> {
    for address in settings
        .pairs
        .iter()
        .flat_map(|pair| [pair.primary, pair.secondary])
    {
        if let Some(refused) = refused_address(address, Some(settings.allow_private)) {
            return Err(refused.into());
        }
    }
    Ok(destinations(settings.allow_private, &settings.deny))
}

/// The operator wants answers of the kernel, which cannot be had.
fn no_kernel(error: KernelError) -> Failure {
    daemon::node::no_kernel(error, "with --data-path auto, user space answers")
}

fn refusal(error: SpawnError) -> Failure {
    let (exit, hint) = match &error {
        SpawnError::Kernel(_) => (
            Exit::Failed,
            String::from("with --data-path auto, user space answers"),
        ),
        SpawnError::Bind(BindError::InUse { .. }) => (
            Exit::Failed,
            format!("find the program that uses it: 'ss -lunp sport = :{PORT}'"),
        ),
        SpawnError::Bind(BindError::AddressNotAvailable { address }) => {
            (Exit::Failed, how_to_add(*address))
        }
        SpawnError::Bind(BindError::NotPermitted { .. }) => (
            Exit::NotPermitted,
            format!(
                "a security policy of this host forbids UDP port {PORT}; run the server as root"
            ),
        ),
        _ => (
            Exit::Failed,
            String::from("run it with --verbose for details"),
        ),
    };
    Failure::new(exit, "cannot serve").because(error).hint(hint)
}

/// The option that clients need if the secondary address is not the next one, which they would try.
fn how_to_name(pair: ServerAddress) -> Option<String> {
    let ServerAddress { primary, secondary } = pair;
    let expected = ServerAddress::adjacent(primary).secondary;
    (secondary != expected).then(|| {
        format!(
            "clients need '--server {primary},{secondary}': with {primary} alone they try {expected} as well"
        )
    })
}

fn how_to_add(address: Ipv4Addr) -> String {
    format!(
        "a server needs two addresses of this host; add one with 'ip address add {address}/32 dev INTERFACE'"
    )
}

/// Whether this host has the address: only then does the kernel let a socket have it.
pub(crate) fn is_own(address: Ipv4Addr) -> bool {
    let bound = UdpSocket::bind((address, 0));
    !matches!(bound, Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable)
}

/// Reads the secret file, if there is one.
pub(crate) fn load_secrets(settings: &ServerSettings) -> Result<Security, SecretError> {
    let Some(path) = &settings.secret_file else {
        return Ok(Security::Open);
    };
    let clients = clients(secret::read(path)?)
        .map_err(|(line, problem)| SecretError::syntax(path, line, problem))?;
    let clients = Arc::new(clients);
    Ok(if settings.allow_plain {
        Security::Optional(clients)
    } else {
        Security::Required(clients)
    })
}

/// The known clients; the error names the faulty line.
fn clients(entries: Vec<Entry>) -> Result<KnownClients, (usize, String)> {
    let mut clients = KnownClients::default();
    for entry in entries {
        let retired = match entry.word.as_deref() {
            None => false,
            Some(RETIRED) => true,
            Some(_) => {
                let problem = "only the word 'retired' may follow a secret";
                return Err((entry.line, problem.to_owned()));
            }
        };
        let name = entry.identifier.to_string();
        let secret = entry.secret;
        let before = clients.insert(entry.identifier, KnownClient { secret, retired });
        if before.is_some() {
            return Err((entry.line, format!("the name '{name}' appears twice")));
        }
    }
    Ok(clients)
}

/// Tells the operator which clients are served.
fn describe_secrets(security: &Security) -> Option<String> {
    match security {
        Security::Optional(clients) => Some(format!(
            "clients with a secret: {}; clients without one are served too",
            clients.len()
        )),
        Security::Required(clients) => Some(format!(
            "clients with a secret: {}; no other clients are served",
            clients.len()
        )),
        _ => None,
    }
}

/// Prints the counters on standard error: at SIGUSR1 and at the end.
fn print_counters(status: &ServerStatus) {
    for line in counter_lines(status) {
        narrate(line);
    }
}

/// Totals and traffic, then each pair and each worker if there are several.
fn counter_lines(status: &ServerStatus) -> Vec<String> {
    let traffic = &status.traffic;
    let mut lines = vec![
        summary(&status.served, &status.drops),
        format!(
            "received {} datagrams ({}), sent {} ({}); not sent: {} refused by the kernel, {} without a route to the IPv6 Internet",
            traffic.udp.rx_datagrams,
            bytes(traffic.udp.rx_bytes),
            traffic.udp.tx_datagrams,
            bytes(traffic.udp.tx_bytes),
            status.drops.get(DropReason::SendRefused)
                + status.drops.get(DropReason::SendBufferFull),
            status.drops.get(DropReason::NoNativePath)
        ),
    ];
    if status.pairs.len() > 1 {
        for pair in &status.pairs {
            let summary = summary(&pair.served, &pair.drops);
            lines.push(format!("{}: {summary}", pair.address.primary));
        }
    }
    if status.workers.len() > 1 {
        let shares = status
            .workers
            .iter()
            .map(|worker| worker.udp.rx_datagrams.to_string());
        let shares: Vec<_> = shares.collect();
        lines.push(format!(
            "the {} workers received {} datagrams",
            shares.len(),
            shares.join(", ")
        ));
    }
    lines
}

fn summary(served: &ServerCounters, drops: &DropCounters) -> String {
    let mut text = format!(
        "served {} solicitations and {} echo requests, forwarded {} packets to clients and {} to the IPv6 Internet",
        served.advertisements, served.echo_replies, served.forwarded, served.to_native
    );
    // Writing to a `String` cannot fail.
    let _ = write!(text, "; dropped {}", dropped(drops));
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
