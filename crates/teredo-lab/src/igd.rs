//! An Internet Gateway Device: Debian's miniupnpd on the router of a home.
//!
//! It answers UPnP IGD (SSDP and SOAP), PCP and NAT-PMP on the home network, and writes its port mappings into the
//! router's nftables:
//!
//! ```text
//! table inet igd {
//!   chain forward     { type filter hook forward priority filter }
//!   chain prerouting  { type nat hook prerouting priority dstnat }
//!   chain postrouting { type nat hook postrouting priority srcnat }
//! }
//! ```
//!
//! If the NAT is in user space, the chains have no hooks, and a thread reads the port mappings from them.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use teredo_nft::{Batch, Chain, ChainKind, Family, Hook, TableFlags, TableName};

use crate::error::{Attempt, LabError};
use crate::namespace::Namespace;
use crate::process::Process;
use crate::router::{LAN, UPLINK};
use crate::user_space::Granting;

mod follower;

use follower::Follower;

/// The Debian package of the program; the one for iptables has another of the same name.
const PACKAGE: &str = "miniupnpd-nftables";
const PROGRAM: &str = "miniupnpd";
/// The folders of daemons, which the search path of an ordinary user lacks.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];
/// The chain with its port mappings.
const PREROUTING: &str = "prerouting";
/// Its last line before it answers.
const READY: &str = "Listening for NAT-PMP/PCP";
const START: Duration = Duration::from_secs(10);

/// The addresses that an Internet Gateway Device may have outside.
///
/// miniupnpd takes the networks for documentation for private ones, and refuses every mapping if it has an address of
/// them. These addresses are of the network that amateur packet radio keeps for tests and does not route (44.128/16).
pub(crate) const fn is_external(ip: Ipv4Addr) -> bool {
    matches!(ip.octets(), [44, 128, 0, 1..=254])
}

/// The daemon of an Internet Gateway Device, of a home whose kind [gives ports](crate::NatKind::gives_ports).
#[derive(Debug)]
pub struct Igd {
    namespace: Namespace,
    gateway: Ipv4Addr,
    process: Mutex<Option<Process>>,
    /// With a NAT in user space: the address outside, which no interface has, and the follower of its mappings.
    user_space: Option<(Mutex<Ipv4Addr>, Follower)>,
}

impl Igd {
    /// Starts the daemon; with `user_space`, for the NAT there, which has this address outside.
    pub(crate) fn start(
        namespace: &Namespace,
        gateway: Ipv4Addr,
        user_space: Option<(Granting, Ipv4Addr)>,
    ) -> Result<Self, LabError> {
        let user_space = user_space.map(|(granting, external)| {
            let follower = Follower::start(namespace, granting)?;
            Ok::<_, LabError>((Mutex::new(external), follower))
        });
        let igd = Self {
            namespace: namespace.clone(),
            gateway,
            process: Mutex::new(None),
            user_space: user_space.transpose()?,
        };
        igd.restart()?;
        Ok(igd)
    }

    /// Sets the external address that the daemon uses after its next start. Behind the kernel's NAT, the daemon reads it from
    /// an interface instead.
    pub(crate) fn set_external(&self, new: Ipv4Addr) {
        if let Some((external, _)) = &self.user_space {
            *external.lock().unwrap_or_else(PoisonError::into_inner) = new;
        }
    }

    /// Starts the daemon, anew if it runs. It has forgotten all mappings.
    ///
    /// # Errors
    ///
    /// [`LabError::Daemon`] if Debian's package `miniupnpd-nftables` is not installed, for example.
    pub fn restart(&self) -> Result<(), LabError> {
        self.stop();
        self.namespace
            .nftables(|nftables| nftables.execute(&chains(self.user_space.is_none())))
            .map_err(io::Error::from)
            .attempt("set the chains of the gateway device")?;
        *self.process() = Some(self.spawn()?);
        Ok(())
    }

    /// Kills the daemon. Its mappings stay in force, as those of a device whose control plane has crashed.
    pub fn stop(&self) {
        drop(self.process().take());
    }

    /// The log of the running daemon so far.
    pub fn log(&self) -> Vec<String> {
        self.process()
            .as_ref()
            .map_or_else(Vec::new, Process::lines)
    }

    fn spawn(&self) -> Result<Process, LabError> {
        // Files in memory: nothing is left behind, even after a kill -9.
        let (settings, identity) = self.files().attempt("write the settings of miniupnpd")?;
        let path = |file: &OwnedFd| {
            PathBuf::from(format!(
                "/proc/{}/fd/{}",
                std::process::id(),
                file.as_raw_fd()
            ))
        };
        let mut command = Command::new(program());
        command
            // In the foreground, with a log.
            .arg("-d")
            .arg("-f")
            .arg(path(&settings))
            // It would remove another file at its end.
            .arg("-P")
            .arg(path(&identity));
        let process = Process::spawn(&self.namespace, PROGRAM, &mut command);
        let process = process.map_err(|error| failed(&error))?;
        // The files have to be there until the daemon has read them.
        process
            .wait_for_line(READY, START)
            .map_err(|error| failed(&error))?;
        Ok(process)
    }

    /// The settings, and a place for the process's ID.
    fn files(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        let mut settings = File::from(memfd_create(PROGRAM, MemfdFlags::CLOEXEC)?);
        settings.write_all(self.settings().as_bytes())?;
        Ok((
            settings.into(),
            memfd_create("miniupnpd.pid", MemfdFlags::CLOEXEC)?,
        ))
    }

    fn settings(&self) -> String {
        let [a, b, c, _] = self.gateway.octets();
        let external = self
            .user_space
            .as_ref()
            .map_or_else(String::new, |(external, _)| {
                let external = external.lock().unwrap_or_else(PoisonError::into_inner);
                format!("ext_ip={external}\n")
            });
        format!(
            "{external}\
             ext_ifname={}\n\
             listening_ip={}\n\
             port=5000\n\
             enable_upnp=yes\n\
             enable_natpmp=yes\n\
             min_lifetime=60\n\
             max_lifetime=86400\n\
             secure_mode=yes\n\
             uuid=4f6e2c1a-70d1-4e3b-9c55-{a:02x}{b:02x}{c:02x}000001\n\
             upnp_table_name=igd\n\
             upnp_nat_table_name=igd\n\
             upnp_forward_chain=forward\n\
             upnp_nat_chain=prerouting\n\
             upnp_nat_postrouting_chain=postrouting\n\
             allow 1024-65535 {a}.{b}.{c}.0/24 1024-65535\n\
             deny 0-65535 0.0.0.0/0 0-65535\n",
            UPLINK.name, LAN.name
        )
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The program by its path, if it is in a folder of daemons.
fn program() -> PathBuf {
    let paths = FOLDERS.iter().map(|folder| Path::new(folder).join(PROGRAM));
    let mut found = paths.filter(|path| path.is_file());
    found.next().unwrap_or_else(|| PROGRAM.into())
}

fn table() -> TableName {
    TableName::new(Family::Inet, "igd")
}

/// The chains that the daemon writes into, with or without an effect.
fn chains(are_hooked: bool) -> Batch {
    let table = table();
    let mut batch = Batch::new();
    batch.replace_table(&table, TableFlags::default());
    for (name, kind, hook, priority) in [
        ("forward", ChainKind::Filter, Hook::Forward, 0),
        (PREROUTING, ChainKind::Nat, Hook::Prerouting, -100),
        ("postrouting", ChainKind::Nat, Hook::Postrouting, 100),
    ] {
        let chain = match are_hooked {
            true => Chain::base(name, kind, hook, priority),
            false => Chain::regular(name),
        };
        batch.add_chain(&table, &chain);
    }
    batch
}

fn failed(error: &dyn std::fmt::Display) -> LabError {
    LabError::Daemon {
        program: PROGRAM,
        package: PACKAGE,
        reason: error.to_string(),
    }
}
