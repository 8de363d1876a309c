//! The state of a client in a file of the state folder: port, address and server, for the next client.
//!
//! The service manager names the folder (`StateDirectory=`, `$STATE_DIRECTORY`); without one nothing is remembered. The
//! file is only ever a help: one that is damaged, of another version or of another machine is not used.

use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use teredo::ServerAddress;
use teredo::client::{Nat, Resumption};
use teredo::wire::TeredoAddress;
use teredo_tunnel::client::ClientPathStatus;

const SCHEMA: &str = "teredo.state/1";
/// The longest file that is read.
pub(super) const LONGEST: u64 = 16 * 1024;
/// How long a mapping is assumed to last without a client. A NAT keeps one for two minutes at least (RFC 4787 REQ-5),
/// and a wrong one costs a round trip.
const LIFETIME: Duration = Duration::from_secs(300);
const MACHINE_ID: &str = "/etc/machine-id";

/// The file of one client.
#[derive(Debug)]
pub(super) struct MemoryFile {
    path: PathBuf,
    /// Whether the last attempt to write failed; that is said once.
    failed: bool,
}

/// The contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    schema: String,
    machine: String,
    /// The servers as configured: those of another configuration do not count.
    servers: Vec<String>,
    /// Seconds since 1970.
    saved: u64,
    pub(super) port: u16,
    primary: Ipv4Addr,
    secondary: Ipv4Addr,
    address: Ipv6Addr,
    nat: String,
    refresh_ms: u64,
}

impl Memory {
    /// `None` for a client that is not qualified.
    pub(super) fn of(status: &ClientPathStatus, servers: &[String]) -> Option<Self> {
        let client = &status.client;
        let server = client.server?;
        Some(Self {
            schema: SCHEMA.to_owned(),
            machine: machine(),
            servers: servers.to_vec(),
            saved: now(),
            port: status.port,
            primary: server.primary,
            secondary: server.secondary,
            address: client.address?,
            nat: client.nat.name().to_owned(),
            refresh_ms: u64::try_from(client.refresh_interval.as_millis()).ok()?,
        })
    }

    /// The address to go on with, if it may still be good: the port was kept, or the memory is fresh.
    pub(super) fn resumption(&self, port_was_kept: bool) -> Option<Resumption> {
        let age = now().checked_sub(self.saved).map(Duration::from_secs);
        if !port_was_kept && age.is_none_or(|age| age > LIFETIME) {
            return None;
        }
        Some(Resumption {
            server: ServerAddress {
                primary: self.primary,
                secondary: self.secondary,
            },
            address: TeredoAddress::from_ipv6(self.address)?,
            nat: [Nat::None, Nat::Restricted]
                .into_iter()
                .find(|nat| nat.name() == self.nat)
                .unwrap_or_default(),
            refresh_interval: Duration::from_millis(self.refresh_ms),
        })
    }

    /// Whether both say the same, whenever they were saved.
    fn is_same(&self, other: &Self) -> bool {
        let saved = other.saved;
        Self {
            saved,
            ..self.clone()
        } == *other
    }
}

impl MemoryFile {
    /// The file for the client on this interface; `None` without a state folder.
    pub(super) fn new(interface: &str) -> Option<Self> {
        let path = state_folder()?.join(format!("client-{interface}.json"));
        let failed = false;
        Some(Self { path, failed })
    }

    /// The state that the client before has left, if it was a client of these servers.
    pub(super) fn read(&self, servers: &[String]) -> Option<Memory> {
        match self.load(servers) {
            Ok(memory) => Some(memory),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let file = self.path.display();
                tracing::info!(%error, %file, "the state of the client before is not used");
                None
            }
        }
    }

    fn load(&self, servers: &[String]) -> io::Result<Memory> {
        let text = crate::file::read(&self.path, LONGEST)?;
        let memory: Memory = serde_json::from_slice(&text)?;
        let fault = if memory.schema != SCHEMA {
            format!("it is of another version: {}", memory.schema)
        } else if memory.machine != machine() {
            String::from("it is of another machine")
        } else if memory.servers != servers {
            String::from("the configuration has other servers now")
        } else if memory.port == 0 {
            String::from("it has no port")
        } else {
            return Ok(memory);
        };
        Err(io::Error::new(io::ErrorKind::InvalidData, fault))
    }

    /// Replaces the file, at once or not at all. A full disk is no reason to end: that is logged, once.
    pub(super) fn write(&mut self, memory: &Memory) {
        match replace(&self.path, memory) {
            Ok(()) => self.failed = false,
            Err(error) if !self.failed => {
                self.failed = true;
                let file = self.path.display();
                tracing::warn!(%error, %file, "the state is not saved: a restart may change the address");
            }
            Err(_) => {}
        }
    }
}

/// Decides when to write: what changed at once, and the time once in a while.
#[derive(Debug, Default)]
pub(super) struct Written(Option<Memory>);

impl Written {
    /// Whether `memory` differs from what was written last, or that is old.
    pub(super) fn is_due(&mut self, memory: &Memory) -> bool {
        let due = self.0.as_ref().is_none_or(|written| {
            let age = memory.saved.saturating_sub(written.saved);
            !written.is_same(memory) || age >= LIFETIME.as_secs() / 5
        });
        if due {
            self.0 = Some(memory.clone());
        }
        due
    }
}

/// The folder of the state, if the service manager has one for this unit.
pub(super) fn state_folder() -> Option<PathBuf> {
    let folders = std::env::var_os("STATE_DIRECTORY")?;
    // Several are separated by colons; ours is the first.
    std::env::split_paths(&folders).next()
}

/// Writes a file, at once or not at all.
pub(super) fn replace(path: &Path, memory: &impl Serialize) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    // With mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut file, memory)?;
    file.write_all(b"\n")?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Names this installation; empty if it has no name.
pub(super) fn machine() -> String {
    let machine = fs::read_to_string(MACHINE_ID).unwrap_or_default();
    machine.trim().to_owned()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
