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
use teredo_node::{Client, ClientBuilder, Connectivity, NodeControl, ServerKeys, StartError};
use teredo_notify::hub::Hub;
use teredo_notify::service::{Control as _, EventBus};
use teredo_notify::snapshot::Node;
use teredo_tunnel::SpawnError;
use tokio::sync::watch;

use crate::args::NativePolicy;
use crate::daemon::inside::Inside;
use crate::daemon::keep::{Kept, Store};
use crate::daemon::node::{self, GATE_GRACE, Serving, offer_service, run_failure, start_failure};
use crate::daemon::sandbox::Needs;
use crate::daemon::{
    self, ControlSignal, ControlSignals, EndSignals, Watchdog, counters, privilege, reload, sandbox,
};
use crate::failure::{Exit, Failure};
use crate::output::narrate;
use crate::settings::ClientSettings;
use legacy::Legacy;

/// Runs the client until a signal ends it. `load` reads the settings, at the start and at each reload.
pub(crate) fn run(load: impl Fn() -> Result<ClientSettings, Failure>) -> Result<Exit, Failure> {
    let kept = Kept::take();
    let setup = Setup::read(&load)?;
    daemon::runtime()?.block_on(serve(setup, kept, load))
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
    mut setup: Setup,
    mut kept: Kept,
    load: impl Fn() -> Result<ClientSettings, Failure>,
) -> Result<Exit, Failure> {
    let end = EndSignals::new()?;
    let signals = ControlSignals::new()?;

    // The socket first: a second instance fails there.
    let hub = Hub::new();
    hub.set_node(Node {
        kept: Store::is_offered(),
        ..Node::default()
    });
    let events = EventBus::new(hub.clone());
    let (control, mut requests) = teredo_node::control();
    let service = offer_service(
        kept.service.take(),
        &setup.settings.socket,
        setup.settings.group.as_deref(),
        &hub,
        &events,
        control.clone(),
    )
    .await?;
    let mut session = Session {
        end,
        signals,
        watchdog: Watchdog::new(),
        control,
        legacy: Legacy::new(&setup.settings),
    };
    let mut left = session.legacy.left(kept);
    let mut service = Some(service);
    let mut serving = None;
    // The settings to go back to, if the new ones fail.
    let mut proven: Option<Setup> = None;
    loop {
        let settings = &setup.settings;
        let inside = Inside {
            protect: settings.protect,
            forward: true,
        };
        let attempt = async {
            let prepared = builder(&setup)
                .predecessor(left.predecessor())
                .hub(hub.clone())
                .events(events.clone())
                .requests(requests)
                .protection(inside.protection())
                .prepare()
                .await?;
            if let Some(service) = service.take() {
                privilege::keep(privilege::of_a_node(settings.port)).map_err(Refusal::Privilege)?;
                sandbox::enter(&Needs::of_a_node(&settings.socket));
                prepared.announce_left();
                serving = Some(node::serve(service));
            }
            prepared.start().await.map_err(Refusal::Start)
        };
        let client = match (attempt.await, proven.take()) {
            (Ok(client), _) => client,
            (Err(refusal), Some(old)) => {
                reload::refuse(&refusal.into_failure());
                requests = session.control.renew();
                setup = old;
                continue;
            }
            (Err(refusal), None) => return Err(refusal.into_failure()),
        };
        drop(left);
        let closed = inside.keep(&settings.interface);
        daemon::tell_ready();
        let next = session.run(&client, settings, &load).await;
        if let Some(closed) = closed {
            closed.abort();
        }
        match next {
            Next::Reload(new) => {
                left = session.legacy.leave(&client, settings, &new.settings).await;
                client.leave().await;
                requests = session.control.renew();
                proven = Some(std::mem::replace(&mut setup, *new));
            }
            Next::End => {
                daemon::tell_stopping();
                return finish(session, client, serving).await;
            }
        }
    }
}

/// Why a client did not start.
enum Refusal {
    Start(StartError),
    Privilege(Failure),
}

impl From<StartError> for Refusal {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl Refusal {
    fn into_failure(self) -> Failure {
        match self {
            Self::Start(error) => start_failure(error, data_path_failure),
            Self::Privilege(failure) => failure,
        }
    }
}

/// The successor of a client.
enum Next {
    /// Another one with these settings, which goes on with its port and interface.
    Reload(Box<Setup>),
    /// Nothing.
    End,
}

/// The parts of the program that outlive a reload.
struct Session {
    end: EndSignals,
    signals: ControlSignals,
    watchdog: Watchdog,
    control: NodeControl,
    legacy: Legacy,
}

impl Session {
    /// Looks after a client until it ends, or is to be another one.
    async fn run(
        &mut self,
        client: &Client,
        settings: &ClientSettings,
        load: impl Fn() -> Result<ClientSettings, Failure>,
    ) -> Next {
        self.legacy.follow(client);
        self.legacy.update(client).await;
        let mut ended = client.connectivity();
        let mut states = pin!(tell_states(client.connectivity()));
        loop {
            tokio::select! {
                () = self.end.received() => return Next::End,
                () = self.watchdog.due() => {
                    // Through the control loop and the data path: if either hangs, this does.
                    let status = self.control.status().await;
                    self.watchdog.feed(status.interface.is_some());
                }
                () = self.legacy.is_due() => self.legacy.update(client).await,
                signal = self.signals.received() => match signal {
                    ControlSignal::Print => counters::print(&self.control.status().await),
                    ControlSignal::Reload => {
                        if let Some(new) = read_again(client, settings, &load) {
                            return Next::Reload(Box::new(new));
                        }
                    }
                },
                // Its sender goes with the control loop.
                _ = ended.wait_for(|_| false) => return Next::End,
                () = &mut states => {}
            }
        }
    }
}

/// Ends the program, in a way that another client can go on if the service manager has kept the port.
async fn finish(
    mut session: Session,
    mut client: Client,
    serving: Option<Serving>,
) -> Result<Exit, Failure> {
    let legacy = &mut session.legacy;
    let outcome = if client.has_ended() {
        let error = client.ended().await;
        // Nothing of a broken client is worth going on with.
        legacy.clear();
        // Subscribers hear that the port is gone before the service is (N-11).
        drop(client);
        end(serving).await;
        Err(error)
    } else {
        legacy.update(&client).await;
        if legacy.is_kept() {
            // The port stays in use, so nobody hears of an end. If the unit stops for good, the service manager closes
            // interface and port, and subscribers see that the service has ended.
            if let Some(serving) = serving {
                serving.break_off().await;
            }
            client.leave().await;
            Ok(())
        } else {
            let outcome = client.shutdown().await;
            end(serving).await;
            outcome
        }
    };
    outcome
        .map(|()| Exit::Done)
        .map_err(|error| run_failure(&error, "client"))
}

async fn end(serving: Option<Serving>) {
    if let Some(serving) = serving {
        serving.end().await;
    }
}

/// Reads the settings again. A faulty file changes nothing; other secrets alone need no other client.
fn read_again(
    client: &Client,
    settings: &ClientSettings,
    load: impl Fn() -> Result<ClientSettings, Failure>,
) -> Option<Setup> {
    let mut setup = reload::read(|| Setup::read(&load))?;
    let new = &mut setup.settings;
    if (&new.socket, &new.group) != (&settings.socket, &settings.group) {
        narrate("the socket and its group take effect at a restart");
        new.socket.clone_from(&settings.socket);
        new.group.clone_from(&settings.group);
    }
    if new == settings {
        client.set_keys(setup.keys);
        match settings.secret_file {
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
    builder
        .keys(keys.clone())
        .interface(&settings.interface)
        .default_route(settings.default_route)
        .bind(settings.bind)
        .protocol(protocol)
        .beside_native_ipv6(settings.native_ipv6 == NativePolicy::Ignore)
        .offload(settings.offload)
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
