//! The programs of the run: who runs where, with which options.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context as _, Result};
use teredo_lab::{Host, Process, until};
use teredo_notify::call::Caller;
use teredo_notify::types::{Peer, Phase, Status};

use crate::fault::Role;
use crate::journal::Journal;
use crate::spawning;
use crate::store::Store;
use crate::supervisor::Unit;
use crate::world::{NAME, RELAY, SERVERS, SET, World};

/// More peers than there are.
const PEERS: usize = 16;

/// All programs, under their supervisor.
pub(crate) struct Cast {
    pub(crate) client: Arc<Unit>,
    pub(crate) agent: Arc<Unit>,
    pub(crate) relay: Arc<Unit>,
    pub(crate) server: Arc<Unit>,
    pub(crate) peer: Arc<Unit>,
    pub(crate) store: Store,
    /// Which of the two hosts the server is on.
    pub(crate) place: Arc<AtomicUsize>,
    /// The client's socket, and the peer's.
    pub(crate) socket: PathBuf,
    pub(crate) peer_socket: PathBuf,
}

impl Cast {
    /// Starts all of them.
    pub(crate) fn start(
        program: &Path,
        world: &Arc<World>,
        journal: &Arc<Journal>,
    ) -> Result<Self> {
        let program = program.to_owned();
        let store = Store::listen(&world.path("notify.sock"))?;
        let place = Arc::new(AtomicUsize::new(0));
        let socket = world.path("alice.sock");
        let peer_socket = world.path("bob.sock");
        for folder in ["server-0", "server-1", "peer", "relay"] {
            fs::create_dir(world.path(folder)).context("cannot make a folder")?;
        }
        let unit = |role, start| Unit::new(role, Arc::clone(journal), start);
        // The units must not keep the internet alive after its end.
        let weak = Arc::downgrade(world);

        let (own, binary, at) = (weak.clone(), program.clone(), Arc::clone(&place));
        let server = unit(
            Role::Server,
            Box::new(move || {
                let world = alive(&own)?;
                let place = at.load(Ordering::Acquire);
                let address = SERVERS[place][0].to_string();
                let mut command = teredo(&binary, &["server", "--address", &address]);
                command.env("RUNTIME_DIRECTORY", world.path(&format!("server-{place}")));
                spawn(&world.servers[place], "server", &mut command)
            }),
        )?;
        let (own, binary) = (weak.clone(), program.clone());
        let relay = unit(
            Role::Relay,
            Box::new(move || {
                let world = alive(&own)?;
                let mut command = teredo(&binary, &["relay", "--address", &RELAY.to_string()]);
                let socket = world.path("relay.sock");
                command.arg("--socket").arg(socket);
                command.env("STATE_DIRECTORY", world.path("relay"));
                spawn(&world.relay, "relay", &mut command)
            }),
        )?;
        let (own, binary) = (weak.clone(), program.clone());
        let agent = unit(
            Role::Agent,
            Box::new(move || {
                let world = alive(&own)?;
                let mut command = teredo(&binary, &["firewall", "--set", SET]);
                command.arg("--socket").arg(world.path("alice.sock"));
                spawn(&world.alice, "firewall", &mut command)
            }),
        )?;
        let (own, binary, kept) = (weak.clone(), program.clone(), store.clone());
        let client = unit(
            Role::Client,
            Box::new(move || {
                let world = alive(&own)?;
                let mut command = teredo(&binary, &["client", "--server", NAME, "--protect"]);
                command.arg("--socket").arg(world.path("alice.sock"));
                command.env("STATE_DIRECTORY", world.state());
                let namespace = world.alice.namespace();
                let start = |command: &mut Command| Process::spawn(namespace, "client", command);
                Ok(spawning::alone(|| kept.hand_over(&command, start))??)
            }),
        )?;
        let peer = unit(
            Role::Peer,
            Box::new(move || {
                let world = alive(&weak)?;
                let mut command = teredo(&program, &["client", "--server", NAME]);
                command.arg("--socket").arg(world.path("bob.sock"));
                command.env("STATE_DIRECTORY", world.path("peer"));
                spawn(&world.bob, "peer", &mut command)
            }),
        )?;
        Ok(Self {
            client,
            agent,
            relay,
            server,
            peer,
            store,
            place,
            socket,
            peer_socket,
        })
    }

    pub(crate) fn unit(&self, role: Role) -> &Arc<Unit> {
        match role {
            Role::Client => &self.client,
            Role::Agent => &self.agent,
            Role::Relay => &self.relay,
            Role::Server => &self.server,
            Role::Peer => &self.peer,
        }
    }

    pub(crate) fn units(&self) -> Vec<Arc<Unit>> {
        Role::ALL.map(|role| Arc::clone(self.unit(role))).to_vec()
    }

    /// The client's own word on itself, for people who read a report.
    pub(crate) fn status(socket: &Path) -> Option<Status> {
        let caller = Caller::open_within(socket, Duration::from_secs(2));
        caller.ok()?.get_status().ok()
    }

    /// The peers of the client with this socket; none while it does not answer.
    pub(crate) fn peers(socket: &Path) -> Option<Vec<Peer>> {
        let caller = Caller::open_within(socket, Duration::from_secs(2));
        caller.ok()?.get_peers(PEERS).ok()
    }

    /// Waits until both clients are qualified.
    pub(crate) fn wait_until_qualified(&self, limit: Duration) -> Result<()> {
        for socket in [&self.socket, &self.peer_socket] {
            until(limit, "qualified clients", || {
                Self::status(socket).filter(|status| status.state == Phase::Qualified)
            })?;
        }
        Ok(())
    }

    /// Ends all of them.
    pub(crate) fn end(&self) {
        for unit in self.units() {
            unit.end();
        }
    }
}

fn alive(world: &Weak<World>) -> Result<Arc<World>> {
    world.upgrade().context("the internet is gone")
}

/// The program, without the machine's configuration.
fn teredo(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--config", "/dev/null"])
        .args(arguments)
        .env_remove("TEREDO_SOCKET")
        .env_remove("RUST_LOG")
        .env_remove("NOTIFY_SOCKET");
    command
}

fn spawn(host: &Host, name: &str, command: &mut Command) -> Result<Process> {
    Ok(spawning::ordinary(|| {
        Process::spawn(host.namespace(), name, command)
    })?)
}
