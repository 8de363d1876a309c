//! The lab's network, and the processes on it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use teredo::client::NatTraversal;
use teredo_lab::{Home, HomeNat, Host, Internet, Process};
use teredo_tunnel::kernel::DataPathChoice;

use super::diagram::Recorder;
use super::{Nats, ruleset};
use crate::failure::Exit;
use crate::feed::on_end_signal;

pub(super) const SERVER: [Ipv4Addr; 2] =
    [Ipv4Addr::new(192, 0, 2, 45), Ipv4Addr::new(192, 0, 2, 46)];
/// Alice's, of an ordinary router and of an Internet Gateway Device.
const ALICE_PUBLIC: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(44, 128, 0, 1)];
const BOB_PUBLIC: [Ipv4Addr; 2] = [Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(44, 128, 0, 2)];
/// How long the set's element outlives alice's agent: short, to keep the lab short.
pub(super) const LEASE: Duration = Duration::from_secs(4);
/// The UDP port that alice lets in through the tunnel.
pub(super) const ALLOWED_PORT: u16 = 7777;

/// Processes and hosts, in the order in which they are dropped.
pub(super) struct Network {
    pub(super) alice_client: Option<Process>,
    pub(super) alice_agent: Option<Process>,
    pub(super) bob_client: Option<Process>,
    pub(super) bob_agent: Option<Process>,
    server_process: Option<Process>,
    alice: Host,
    bob: Host,
    server: Host,
    _homes: [Home; 2],
    _internet: Internet,
    folder: TempDir,
    pub(super) bob_address: Option<Ipv6Addr>,
    nats: Nats,
    /// The option `--data-path` of clients and the server, if it is asked for.
    data_path: Vec<String>,
}

impl Nats {
    /// The public address of alice's router.
    pub(super) fn alice_public(self) -> Ipv4Addr {
        of_router(self.alice, ALICE_PUBLIC)
    }

    /// The public address of bob's router.
    pub(super) fn bob_public(self) -> Ipv4Addr {
        of_router(self.bob, BOB_PUBLIC)
    }
}

fn of_router(nat: HomeNat, [ordinary, igd]: [Ipv4Addr; 2]) -> Ipv4Addr {
    match nat.gives_ports() {
        true => igd,
        false => ordinary,
    }
}

impl Network {
    pub(super) fn build(
        nats: Nats,
        data_path: Option<DataPathChoice>,
        recorder: Option<&mut Recorder>,
    ) -> anyhow::Result<Self> {
        let internet = Internet::new()?;
        let server = internet.host("server", &SERVER)?;
        let alices = internet.home("alices", nats.alice, nats.alice_public())?;
        let bobs = internet.home("bobs", nats.bob, nats.bob_public())?;
        let (alice, bob) = (alices.host("alice")?, bobs.host("bob")?);
        let folder = tempfile::Builder::new()
            .prefix("teredo-lab.")
            .tempdir()
            .context("cannot create a folder for the sockets")?;
        let sockets = folder.path().to_owned();
        on_end_signal(move || {
            // Everything else vanishes with this process.
            let _ = std::fs::remove_dir_all(sockets);
            std::process::exit(Exit::Failed.code().into());
        })
        .map_err(|failure| anyhow::anyhow!("{failure}"))?;
        ruleset::load(&alice, nats.alice.gives_ports())?;
        if let Some(recorder) = recorder {
            let homes = [(&alices, &alice), (&bobs, &bob)];
            recorder.watch(&internet, &server, homes)?;
        }
        Ok(Self {
            alice_client: None,
            alice_agent: None,
            bob_client: None,
            bob_agent: None,
            server_process: None,
            alice,
            bob,
            server,
            _homes: [alices, bobs],
            _internet: internet,
            folder,
            bob_address: None,
            nats,
            data_path: data_path_option(data_path),
        })
    }

    pub(super) const fn nats(&self) -> Nats {
        self.nats
    }

    pub(super) fn alice(&self) -> &Host {
        &self.alice
    }

    pub(super) fn bob(&self) -> &Host {
        &self.bob
    }

    pub(super) fn bob_address(&self) -> Option<Ipv6Addr> {
        self.bob_address
    }

    pub(super) fn alice_socket(&self) -> PathBuf {
        self.folder.path().join("alice.sock")
    }

    pub(super) fn bob_socket(&self) -> PathBuf {
        self.folder.path().join("bob.sock")
    }

    pub(super) fn start_server(&mut self) -> anyhow::Result<()> {
        let mut arguments = vec![
            "server".to_owned(),
            "--address".to_owned(),
            SERVER[0].to_string(),
        ];
        arguments.extend_from_slice(&self.data_path);
        let socket = self.folder.path().join("server.sock");
        let process = spawn(&self.server, "server", Some(&socket), &arguments)?;
        process.wait_for_line("serving", Duration::from_secs(10))?;
        self.server_process = Some(process);
        Ok(())
    }

    /// The agent on alice's host keeps the administrator's set.
    pub(super) fn start_alice_agent(&mut self) -> anyhow::Result<()> {
        let arguments = [
            "firewall".to_owned(),
            "--set".to_owned(),
            ruleset::SET.to_owned(),
            "--lease".to_owned(),
            LEASE.as_secs().to_string(),
            "--allow-inbound".to_owned(),
            format!("{ALLOWED_PORT}/udp"),
        ];
        self.alice_agent = Some(spawn(
            &self.alice,
            "alice's agent",
            Some(&self.alice_socket()),
            &arguments,
        )?);
        Ok(())
    }

    /// The agent on bob's host has a table of its own.
    pub(super) fn start_bob_agent(&mut self) -> anyhow::Result<()> {
        self.bob_agent = Some(spawn(
            &self.bob,
            "bob's agent",
            Some(&self.bob_socket()),
            &[
                "firewall".to_owned(),
                "--lease".to_owned(),
                LEASE.as_secs().to_string(),
            ],
        )?);
        Ok(())
    }

    pub(super) fn start_alice_client(&mut self) -> anyhow::Result<()> {
        let (socket, nat) = (self.alice_socket(), self.nats.alice);
        let (way, path) = (self.nats.traversal, &self.data_path);
        let name = "alice's client";
        self.alice_client = Some(client(&self.alice, name, &socket, nat, way, path)?);
        Ok(())
    }

    pub(super) fn start_bob_client(&mut self) -> anyhow::Result<()> {
        let (socket, nat) = (self.bob_socket(), self.nats.bob);
        let (way, path) = (self.nats.traversal, &self.data_path);
        let name = "bob's client";
        self.bob_client = Some(client(&self.bob, name, &socket, nat, way, path)?);
        Ok(())
    }

    /// Restarts the processes that a step killed, or would have started.
    pub(super) fn restart_killed(&mut self) -> anyhow::Result<()> {
        if self.server_process.is_none() {
            self.start_server()?;
        }
        if self.alice_client.is_none() {
            self.start_alice_client()?;
        }
        if self.alice_agent.is_none() {
            self.start_alice_agent()?;
        }
        if self.bob_client.is_none() {
            self.start_bob_client()?;
        }
        if self.bob_agent.is_none() {
            self.start_bob_agent()?;
        }
        Ok(())
    }
}

/// Starts a client; it asks a router that gives ports.
fn client(
    host: &Host,
    name: &str,
    socket: &Path,
    nat: HomeNat,
    way: Option<NatTraversal>,
    data_path: &[String],
) -> anyhow::Result<Process> {
    let mut arguments = vec![
        "client".to_owned(),
        "--server".to_owned(),
        SERVER[0].to_string(),
    ];
    if nat.gives_ports() {
        arguments.push("--igd".to_owned());
    }
    if let Some(way) = way {
        arguments.extend(["--nat-traversal".to_owned(), way.to_string()]);
    }
    arguments.extend_from_slice(data_path);
    spawn(host, name, Some(socket), &arguments)
}

/// The option of clients and the server.
fn data_path_option(choice: Option<DataPathChoice>) -> Vec<String> {
    let option = choice.map(|choice| ["--data-path".to_owned(), choice.to_string()]);
    option.into_iter().flatten().collect()
}

/// Starts this program on a host of the lab.
pub(super) fn spawn(
    host: &Host,
    name: &str,
    socket: Option<&Path>,
    arguments: &[String],
) -> anyhow::Result<Process> {
    let mut command = command(socket, arguments)?;
    Ok(Process::spawn(host.namespace(), name, &mut command)?)
}

/// This program, with these arguments.
pub(super) fn command(socket: Option<&Path>, arguments: &[String]) -> anyhow::Result<Command> {
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_remove("TEREDO_SOCKET")
        .env_remove("RUST_LOG")
        .env_remove("NOTIFY_SOCKET");
    // The lab must not read the machine's configuration.
    command.arg("--config").arg("/dev/null");
    if let Some(socket) = socket {
        command.arg("--socket").arg(socket);
    }
    Ok(command)
}
