//! `teredo client`: a node, its service, and its narration.
//!
//! ```text
//!  service ── requests ──> teredo_node::Client ── port ──> hub ──> service ──> firewalls, programs
//!                                │ state ──> bus ──> service ──> monitors
//!                                └ state, port ──> legacy ──> systemd, state folder ──> the next client
//! ```

mod legacy;
#[cfg(feature = "igd")]
mod mapping;
mod memory;
pub(crate) mod secrets;

use std::net::Ipv4Addr;
use std::pin::pin;

use teredo::ClientConfig;
use teredo::client::Reason;
use teredo_node::{Client, ClientBuilder, Connectivity, ServerKeys};
use teredo_notify::service::Control as _;
use teredo_notify::snapshot::Node;
use teredo_notify::types::Role;
use teredo_tunnel::SpawnError;
use teredo_tunnel::kernel::DataPathChoice;
use tokio::sync::watch;

use crate::args::NativePolicy;
use crate::daemon::inside::Inside;
use crate::daemon::keep::{Kept, Store};
use crate::daemon::node::{GATE_GRACE, NodeSession, keep_service, run_failure, start_failure};
use crate::daemon::reload::{self, Next};
use crate::daemon::sandbox::Needs;
use crate::daemon::{self, ControlSignal, counters, privilege, sandbox};
use crate::failure::{Exit, Failure};
use crate::metrics::Endpoint;
use crate::output::narrate;
use crate::settings::{ClientSettings, destinations};
use legacy::{Left, Legacy};

/// Runs the client until a signal ends it. `load` reads the settings, at the start and at each reload.
pub(crate) fn run(load: impl Fn() -> Result<ClientSettings, Failure>) -> Result<Exit, Failure> {
    let first = Setup::read(&load)?;
    daemon::run(serve(first, load))
}

/// The settings, and the secrets that they name.
struct Setup {
    settings: ClientSettings,
    keys: ServerKeys,
}

impl Setup {
    fn read(load: impl Fn() -> Result<ClientSettings, Failure>) -> Result<Self, Failure> {
        let settings = load()?;
        let keys = secrets::load(&settings)?;
        Ok(Self { settings, keys })
    }
}

async fn serve(
    first: Setup,
    load: impl Fn() -> Result<ClientSettings, Failure>,
) -> Result<Exit, Failure> {
    // After the settings: with faulty ones, the process ends before it has taken anything.
    let mut kept = Kept::take();
    let settings = &first.settings;
    let node = NodeSession::new(
        kept.service.take(),
        &settings.socket,
        settings.group.as_deref(),
        settings.metrics,
        Node {
            kept: Store::is_offered(),
            ..Node::default()
        },
    );
    let mut process = Process {
        node: node.await?,
        legacy: Legacy::new(settings),
        left: Left::default(),
        stopped: false,
    };
    process.left = process.legacy.left(kept);
    reload::run(first, async |setup| {
        let outcome = process.client(setup, &load).await;
        process.node.metrics.started(outcome.is_ok());
        outcome
    })
    .await
}

/// The parts of the program that outlive a reload.
struct Process {
    node: NodeSession,
    legacy: Legacy,
    /// The things that the client before has left.
    left: Left,
    /// Whether the client before was stopped, and this one is to be.
    stopped: bool,
}

impl Process {
    /// Runs a client until it ends, or until another one takes its place.
    async fn client(
        &mut self,
        setup: &Setup,
        load: impl Fn() -> Result<ClientSettings, Failure>,
    ) -> Result<Next<Setup>, Failure> {
        let settings = &setup.settings;
        let inside = Inside {
            role: Role::Client,
            protect: settings.protect,
        };
        let refused = |error| start_failure(error, data_path_failure);
        let prepared = builder(setup)
            .predecessor(self.left.predecessor())
            .stopped(self.stopped)
            .hub(self.node.hub.clone())
            .events(self.node.events.clone())
            .requests(self.node.requests())
            .protection(inside.protection())
            .prepare()
            .await
            .map_err(refused)?;
        self.node.serve(|| {
            privilege::keep(privilege::of_a_node(settings.port))?;
            sandbox::enter(&Needs::of_a_node(&settings.socket));
            prepared.announce_left();
            Ok(())
        })?;
        let client = prepared.start().await.map_err(refused)?;
        self.left = Left::default();
        let closed = inside.keep(&settings.interface);
        daemon::tell_ready();
        let new = self.look_after(&client, settings, load).await;
        if let Some(closed) = closed {
            closed.abort();
        }
        match new {
            Some(new) => {
                self.stopped = client.connectivity().borrow().reason == Some(Reason::Stopped);
                self.left = self.legacy.leave(&client, settings, &new.settings).await;
                client.leave().await;
                Ok(Next::Reload(new))
            }
            None => {
                daemon::tell_stopping();
                Ok(Next::End(self.finish(client).await))
            }
        }
    }

    /// Looks after a client until it ends, or until there are other settings.
    async fn look_after(
        &mut self,
        client: &Client,
        settings: &ClientSettings,
        load: impl Fn() -> Result<ClientSettings, Failure>,
    ) -> Option<Setup> {
        self.legacy.follow(client);
        self.legacy.update(client).await;
        let mut ended = client.connectivity();
        let mut states = pin!(tell_states(client.connectivity()));
        let session = &mut self.node.session;
        loop {
            tokio::select! {
                () = session.end.received() => return None,
                () = session.watchdog.due() => {
                    // Through the control loop and the data path: if either hangs, this does.
                    let status = self.node.control.status().await;
                    session.watchdog.feed(status.interface.is_some());
                }
                () = self.legacy.is_due() => self.legacy.update(client).await,
                signal = session.signals.received() => match signal {
                    ControlSignal::Print => counters::print(&self.node.control.status().await),
                    ControlSignal::Reload => {
                        let new = read_again(client, settings, &load, &mut self.node.metrics);
                        if new.is_some() {
                            return new;
                        }
                    }
                },
                // Its sender goes with the control loop.
                _ = ended.wait_for(|_| false) => return None,
                () = &mut states => {}
            }
        }
    }

    /// Ends the program, in a way that another client can go on if the service manager has kept the port.
    async fn finish(&mut self, mut client: Client) -> Result<Exit, Failure> {
        if client.has_ended() {
            let error = client.ended().await;
            // Nothing of a broken client is worth going on with.
            self.legacy.clear();
            // Subscribers hear that the port is gone before the service is (N-11).
            drop(client);
            self.node.end().await;
            return Err(run_failure(&error, "client"));
        }
        self.legacy.update(&client).await;
        if self.legacy.is_kept() {
            // The port stays in use, so nobody hears of an end. If the unit stops for good, the service manager closes
            // interface and port, and subscribers see that the service has ended.
            self.node.break_off().await;
            client.leave().await;
            return Ok(Exit::Done);
        }
        let outcome = client.shutdown().await;
        self.node.end().await;
        outcome
            .map(|()| Exit::Done)
            .map_err(|error| run_failure(&error, "client"))
    }
}

/// Reads the settings again; `None` if they are faulty, or the same. Other secrets alone need no other client.
fn read_again(
    client: &Client,
    settings: &ClientSettings,
    load: impl Fn() -> Result<ClientSettings, Failure>,
    metrics: &mut Endpoint,
) -> Option<Setup> {
    let mut setup = reload::read(|| Setup::read(&load))?;
    let new = &mut setup.settings;
    keep_service(
        (&settings.socket, &settings.group),
        (&mut new.socket, &mut new.group),
    );
    let is_loaded = client.kernel_path().is_some();
    if new.data_path != settings.data_path && new.data_path != DataPathChoice::User && !is_loaded {
        // It is loaded before the privileges are given up.
        narrate("'data_path' takes effect at a restart: the path in the kernel is not loaded");
        new.data_path = settings.data_path;
    }
    let moved = metrics.reload(settings.metrics, &mut new.metrics)?;
    if new == settings {
        client.set_keys(setup.keys);
        match settings.secret_file {
            _ if moved => reload::tell_changed(),
            Some(_) => narrate("secrets reloaded; no other setting has changed"),
            None => reload::tell_unchanged(),
        }
        return None;
    }
    reload::tell_changed();
    Some(setup)
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

fn builder(setup: &Setup) -> ClientBuilder {
    let Setup { settings, keys } = setup;
    let protocol = ClientConfig {
        destinations: destinations(settings.allow_private, &settings.deny),
        local_discovery: settings.local_discovery,
        refresh_interval: settings.refresh_interval,
        determine_refresh_interval: settings.determine_refresh,
        nat_traversal: settings.nat_traversal,
        ..ClientConfig::default()
    };
    // The settings have at least one.
    let (first, others) = settings.servers.split_first().expect("a server");
    let mut builder = Client::builder(first.as_str());
    for server in others {
        builder = builder.server(server.as_str());
    }
    if let Some(port) = settings.port {
        builder = builder.port(port);
    }
    #[cfg(feature = "igd")]
    {
        let store = Box::new(mapping::MappingFile::new(&settings.interface));
        builder = builder.gateway(settings.igd, store);
    }
    builder
        .keys(keys.clone())
        .interface(&settings.interface)
        .default_route(settings.default_route)
        .bind(settings.bind)
        .protocol(protocol)
        .beside_native_ipv6(settings.native_ipv6 == NativePolicy::Ignore)
        .offload(settings.offload)
        .data_path(settings.data_path)
        .gate_grace(GATE_GRACE)
}

fn data_path_failure(error: SpawnError) -> Failure {
    Failure::new(Exit::Failed, "cannot start the data path")
        .because(error)
        .hint(format!(
            "check --bind: it must be an address of this host, or {}",
            Ipv4Addr::UNSPECIFIED
        ))
}
