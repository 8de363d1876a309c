//! The internet of the run, in a mount namespace of its own, so that nothing is left behind whatever happens.
//!
//! ```text
//!  alice ── NAT ─┐        ┌─ server, and where it moves to
//!   client       │        ├─ relay
//!   firewall     ├─ core ─┼─ native host
//!  bob ──── NAT ─┘        └─ resolver
//!   client
//! ```

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use teredo_lab::{Home, Host, Internet, NatKind};

use crate::spawning;

/// The ruleset that the README gives to an administrator.
pub(crate) const ADMINISTRATOR: &str =
    include_str!("../../../crates/teredo-firewall/administrator.nft");
/// The administrator's set, for `--set`.
pub(crate) const SET: &str = "inet filter teredo_ports";
/// The name of the server.
pub(crate) const NAME: &str = "teredo.example";
pub(crate) const SERVERS: [[Ipv4Addr; 2]; 2] = [
    [Ipv4Addr::new(192, 0, 2, 45), Ipv4Addr::new(192, 0, 2, 46)],
    [Ipv4Addr::new(192, 0, 2, 145), Ipv4Addr::new(192, 0, 2, 146)],
];
pub(crate) const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
/// The addresses that the provider gives to Alice's router by turns.
pub(crate) const PUBLIC: [Ipv4Addr; 2] = [
    Ipv4Addr::new(198, 51, 100, 1),
    Ipv4Addr::new(198, 51, 100, 9),
];
pub(crate) const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);

/// The size of the state folder: small, so that it is full at once.
const STATE_SIZE: &str = "size=256k,mode=0755";

/// Moves this process into a mount namespace of its own. Call it before there is another thread.
pub(crate) fn enter_own_mounts() -> Result<()> {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none))
        .context("cannot make a mount namespace; the soak needs root")
}

/// The hosts, and the folders of their programs.
pub(crate) struct World {
    pub(crate) alice: Host,
    pub(crate) bob: Host,
    pub(crate) relay: Host,
    /// Where the server runs by turns.
    pub(crate) servers: [Host; 2],
    pub(crate) native: Host,
    pub(crate) resolver: Host,
    pub(crate) home: Home,
    _bobs: Home,
    pub(crate) internet: Internet,
    folder: Folder,
}

impl World {
    /// Builds it; no program runs yet.
    pub(crate) fn build() -> Result<Self> {
        let folder = Folder::new()?;
        let internet = Internet::new()?;
        let native = |name: &str, ipv4: &[Ipv4Addr], number: u16| {
            let address = Ipv6Addr::new(0x2001, 0xdb8, number, 0, 0, 0, 0, 1);
            internet.native_host(name, ipv4, address)
        };
        let servers = [
            native("server", &SERVERS[0], 1)?,
            native("moved", &SERVERS[1], 3)?,
        ];
        let relay = native("relay", &[RELAY], 2)?;
        internet.announce(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, &relay)?;
        let native = native("native", &[], 6)?;
        let resolver = internet.host("resolver", &[RESOLVER])?;
        let home = internet.home("alices", NatKind::PortRestricted, PUBLIC[0])?;
        let bobs = internet.home(
            "bobs",
            NatKind::PortRestricted,
            Ipv4Addr::new(203, 0, 113, 1),
        )?;
        let world = Self {
            alice: home.host("alice")?,
            bob: bobs.host("bob")?,
            relay,
            servers,
            native,
            resolver,
            home,
            _bobs: bobs,
            internet,
            folder,
        };
        world.load_rules("administrator.nft", ADMINISTRATOR)?;
        Ok(world)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path.join(name)
    }

    /// Alice's state folder, of few bytes.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Loads a ruleset on Alice's host with the real `nft`.
    pub(crate) fn load_rules(&self, name: &str, rules: &str) -> Result<()> {
        let file = self.path(name);
        fs::write(&file, rules).context("cannot write a ruleset")?;
        run(
            self.alice.namespace(),
            Command::new("nft").arg("-f").arg(&file),
        )
        .map(drop)
    }
}

/// Runs a program in a namespace to its end, and returns its output.
pub(crate) fn run(namespace: &teredo_lab::Namespace, command: &mut Command) -> Result<String> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let started = spawning::ordinary(|| namespace.spawn(command));
    let program = command.get_program().to_string_lossy().into_owned();
    let child = started.with_context(|| format!("cannot start {program} {}", package(&program)))?;
    let output = child.wait_with_output().context("cannot read the output")?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a line of words.
pub(crate) fn run_words(namespace: &teredo_lab::Namespace, line: &str) -> Result<String> {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    run(namespace, command.args(words))
}

fn package(program: &str) -> &'static str {
    match program {
        "nft" => "(package nftables)",
        "ip" | "tc" => "(package iproute2)",
        _ => "",
    }
}

/// A folder in memory, and what is mounted in it and for it.
struct Folder {
    path: PathBuf,
    state: PathBuf,
    place: Option<tempfile::TempDir>,
}

impl Folder {
    fn new() -> Result<Self> {
        let place = tempfile::Builder::new()
            .prefix("teredo-soak.")
            .tempdir()
            .context("no place for temporary files")?;
        let path = place.path().to_path_buf();
        let state = path.join("state");
        let folder = Self {
            path,
            state,
            place: Some(place),
        };
        tmpfs(&folder.path, "mode=0755")?;
        fs::create_dir(&folder.state).context("cannot make the state folder")?;
        tmpfs(&folder.state, STATE_SIZE)?;
        // One attempt of a second, so that a silent resolver is noticed soon.
        let text = format!("nameserver {RESOLVER}\noptions timeout:1 attempts:1\n");
        let file = folder.path.join("resolv.conf");
        fs::write(&file, text).context("cannot write resolv.conf")?;
        let none = None::<&str>;
        mount(
            Some(&file),
            "/etc/resolv.conf",
            none,
            MsFlags::MS_BIND,
            none,
        )
        .context("cannot put another file in the place of /etc/resolv.conf")?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The mounts end with the mount namespace at the latest; the empty folder would stay.
        for path in [&self.state, &self.path] {
            let _ = umount2(path, MntFlags::MNT_DETACH);
        }
        drop(self.place.take());
    }
}

fn tmpfs(path: &Path, options: &str) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(options))
        .with_context(|| format!("cannot mount a file system in {}", path.display()))
}
