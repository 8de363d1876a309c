//! Daemons of both makes, as they are started.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use teredo_lab::{Host, Process, until};
use teredo_notify::call::Caller;
use teredo_notify::types::Status;

use super::cpu::{Place, family};
use super::session::Session;

/// The tunnel interface of all of them.
pub(crate) const INTERFACE: &str = "teredo";
/// The port of relays.
pub(crate) const RELAY_PORT: u16 = 3545;
const PATIENCE: Duration = Duration::from_secs(10);

/// The data path that a daemon of ours is told to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataPath {
    /// The default: in the kernel if it can be had.
    Auto,
    User,
}

/// Whose daemons these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    Ours(DataPath),
    Miredo,
}

impl Make {
    /// All of them; the default of ours is the first.
    pub(crate) const ALL: [Self; 3] = [
        Self::Ours(DataPath::Auto),
        Self::Ours(DataPath::User),
        Self::Miredo,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours(DataPath::Auto) => "teredo",
            Self::Ours(DataPath::User) => "teredo in user space",
            Self::Miredo => "miredo",
        }
    }
}

/// The data path in a daemon's status.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct InUse {
    in_use: String,
    reason: Option<String>,
    packets: Packets,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Packets {
    kernel: u64,
    user: u64,
}

impl InUse {
    /// The least share of the packets that a figure of the kernel's path is for. One packet of each of 10,000 peers asks the
    /// stack in each run.
    const SHARE: f64 = 0.8;

    pub(crate) fn is_kernel(&self) -> bool {
        self.in_use == "kernel"
    }

    /// Why the figures since `before` are not those of the kernel's path, if they are not.
    pub(crate) fn obstacle(&self, before: &Self) -> Option<String> {
        if !self.is_kernel() {
            let reason = self.reason.as_deref().unwrap_or("no reason is given");
            return Some(format!("the path in the kernel was not in use: {reason}"));
        }
        let since = |now: u64, before: u64| now.saturating_sub(before) as f64;
        let kernel = since(self.packets.kernel, before.packets.kernel);
        let share = kernel / (kernel + since(self.packets.user, before.packets.user)).max(1.0);
        (share < Self::SHARE).then(|| {
            format!(
                "the kernel carried {:.0} % of the packets only",
                share * 100.0
            )
        })
    }
}

/// A running daemon; it ends with this.
pub(crate) struct Daemon {
    process: Process,
    /// Of ours.
    socket: PathBuf,
    teredo: PathBuf,
    make: Make,
}

impl Daemon {
    /// Starts a client, which is not qualified yet.
    pub(crate) fn client(
        session: &Session,
        make: Make,
        host: &Host,
        server: Ipv4Addr,
        place: Place,
    ) -> Result<Self> {
        match make {
            Make::Ours(path) => ours(
                session,
                host,
                (place, path),
                &["client", "--server", &server.to_string()],
            ),
            Make::Miredo => {
                let settings = format!("InterfaceName {INTERFACE}\nServerAddress {server}\n");
                miredo(session, host, "miredo", &settings)
            }
        }
    }

    /// Starts a relay on a host with one IPv4 address, and waits until it relays.
    pub(crate) fn relay(session: &Session, make: Make, host: &Host, place: Place) -> Result<Self> {
        let address = host.ipv4();
        match make {
            Make::Ours(path) => {
                let relay = ours(
                    session,
                    host,
                    (place, path),
                    &["relay", "--address", &address.to_string()],
                )?;
                relay.process.wait_for_line("relaying", PATIENCE)?;
                Ok(relay)
            }
            Make::Miredo => {
                let settings = format!(
                    "RelayType cone\nInterfaceName {INTERFACE}\nBindAddress {address}\nBindPort {RELAY_PORT}\n"
                );
                let relay = miredo(session, host, "miredo", &settings)?;
                let routed = || {
                    let routes = read(host, "ipv6_route").ok()?;
                    let is_teredo = |route: &str| {
                        route.starts_with("20010000") && route.trim_end().ends_with(INTERFACE)
                    };
                    routes.lines().any(is_teredo).then_some(())
                };
                until(PATIENCE, "the route of the relay", routed)?;
                Ok(relay)
            }
        }
    }

    /// Starts a server on a host with two IPv4 addresses, and waits until it serves.
    pub(crate) fn server(session: &Session, make: Make, host: &Host, place: Place) -> Result<Self> {
        let address = host.ipv4();
        let server = match make {
            Make::Ours(path) => ours(
                session,
                host,
                (place, path),
                &["server", "--address", &address.to_string()],
            )?,
            Make::Miredo => {
                let settings = format!("ServerBindAddress {address}\n");
                miredo(session, host, "miredo-server", &settings)?
            }
        };
        // 3544, as the kernel writes it.
        let bound = || {
            let sockets = read(host, "udp").ok()?;
            (sockets.matches(":0DD8 ").count() >= 2).then_some(())
        };
        until(PATIENCE, "the server's sockets", bound)?;
        Ok(server)
    }

    /// Everything that belongs to it.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mut family = family(self.process.id());
        if self.make == Make::Miredo {
            // `unshare` and the shell, which wait.
            family.drain(..2.min(family.len()));
        }
        family
    }

    pub(crate) fn pin(&self, place: Place) -> Result<()> {
        place.give(&self.processes())
    }

    /// The status of one of ours.
    pub(crate) fn status(&self) -> Result<Status> {
        let mut connection = Caller::open(&self.socket)?;
        Ok(connection.get_status()?)
    }

    /// The data path of one of ours, and what it has carried so far.
    pub(crate) fn data_path(&self) -> Result<InUse> {
        #[derive(Deserialize)]
        struct Fields {
            #[serde(default)]
            data_path: serde_json::Value,
        }
        let output = Command::new(&self.teredo)
            .args(["status", "--json", "--socket"])
            .arg(&self.socket)
            .env_remove("TEREDO_SOCKET")
            .output()
            .context("cannot ask for the status")?;
        let status: Fields = serde_json::from_slice(&output.stdout).context("no status")?;
        // A program without such a path says nothing of it, or has other fields there.
        let in_use: InUse = serde_json::from_value(status.data_path).unwrap_or_default();
        Ok(if in_use.in_use.is_empty() {
            let reason = Some("the program has none".to_owned());
            InUse { reason, ..in_use }
        } else {
            in_use
        })
    }
}

impl Drop for Daemon {
    /// The kernel ends a namespace of processes with its first one; `unshare` waits for that.
    fn drop(&mut self) {
        if self.make == Make::Miredo
            && let Some(&first) = family(self.process.id()).get(1)
        {
            if let Some(first) = Pid::from_raw(first as i32) {
                let _ = kill_process(first, Signal::KILL);
            }
            // Killed if it does not end.
            let _ = self.process.wait(Duration::from_secs(1));
        }
    }
}

fn ours(
    session: &Session,
    host: &Host,
    (place, path): (Place, DataPath),
    arguments: &[&str],
) -> Result<Daemon> {
    let role = arguments.first().copied().unwrap_or_default();
    let suffix = match path {
        DataPath::Auto => "",
        DataPath::User => "-user",
    };
    let socket = session.path(&format!("{}-{role}{suffix}.sock", host.name()));
    // Of an earlier one.
    let _ = fs::remove_file(&socket);
    let mut command = place.command(&session.teredo);
    command
        .args(["--config", "/dev/null"])
        .args(arguments)
        .env_remove("TEREDO_SOCKET")
        .env_remove("RUST_LOG")
        .env_remove("TEREDO_DATA_PATH")
        .arg("--socket")
        .arg(&socket);
    if path == DataPath::User {
        command.env("TEREDO_DATA_PATH", "user");
    }
    Ok(Daemon {
        process: Process::spawn(host.namespace(), role, &mut command)?,
        socket,
        teredo: session.teredo.clone(),
        make: Make::Ours(path),
    })
}

fn miredo(session: &Session, host: &Host, program: &str, settings: &str) -> Result<Daemon> {
    let [file, pid] =
        ["conf", "pid"].map(|suffix| session.path(&format!("{}.{suffix}", host.name())));
    fs::write(&file, settings).context("cannot write miredo's settings")?;
    let mut command = Command::new("setpriv");
    // Each kills the next when it is killed itself. The shell is there because `miredo` would shake that off.
    command
        .args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork"])
        .args(["--kill-child", "--", "sh", "-c", "\"$@\"; exit $?", "sh"])
        .args([program, "--foreground", "--user", "nobody", "--config"])
        .arg(file)
        .arg("--pidfile")
        .arg(pid);
    Ok(Daemon {
        process: Process::spawn(host.namespace(), program, &mut command)?,
        socket: PathBuf::new(),
        teredo: PathBuf::new(),
        make: Make::Miredo,
    })
}

/// A table of the host's kernel.
pub(crate) fn read(host: &Host, table: &str) -> Result<String> {
    let path = format!("/proc/thread-self/net/{table}");
    Ok(host.namespace().run(|| fs::read_to_string(path))??)
}
