//! A machine with a booted systemd: in namespaces of its own, over this machine's files, which it cannot change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::command::capture;
use crate::tree;

/// The program that becomes the machine, from the root of the repository.
const SCRIPT: &str = "dev/xtask/boot.sh";

/// Where the machine shows the folder that it was given.
const SHOWN: &str = "/srv";

/// Control groups of version 1, each with a hierarchy of its own; those of version 2 have one.
const HIERARCHIES: &[&str] = &["systemd", "unified", "pids", "memory", "cpu", "devices"];
const GROUPS: &str = "/sys/fs/cgroup";

/// A machine takes a second to boot here, and longer if others are busy.
const BOOT: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(50);

/// The machine; it ends with this value, and leaves nothing.
pub(super) struct Machine {
    outer: Child,
    init: String,
    shown: PathBuf,
    groups: Vec<PathBuf>,
    _root: tempfile::TempDir,
}

impl Machine {
    /// Boots a machine that shows `shown`.
    pub(super) fn boot(shown: &Path) -> Result<Self> {
        let root = tempfile::tempdir().context("no place for temporary files")?;
        let groups = groups()?;
        let log = shown.join("boot.log");
        let console = fs::File::create(&log).context("no place for the log of the machine")?;
        let mut start = Command::new(tree::root().join(SCRIPT));
        start
            .args([Path::new("enter"), root.path(), shown])
            .args(&groups)
            .stdin(Stdio::null())
            .stdout(console.try_clone().context("no log of the machine")?)
            .stderr(console);
        let outer = start.spawn();
        let outer = outer.with_context(|| format!("cannot start {SCRIPT}"))?;
        let mut machine = Self {
            outer,
            init: String::new(),
            shown: shown.to_owned(),
            groups,
            _root: root,
        };
        let booted = machine.wait_for_systemd();
        booted.with_context(|| {
            let log = fs::read_to_string(log).unwrap_or_default();
            format!("systemd does not boot in namespaces here: {log}")
        })?;
        Ok(machine)
    }

    fn wait_for_systemd(&mut self) -> Result<()> {
        let outer = self.outer.id();
        until(BOOT, || {
            let ended = self.outer.try_wait().ok().flatten();
            ensure!(ended.is_none(), "it ended");
            let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children"))?;
            let child = children.trim();
            let name = fs::read_to_string(format!("/proc/{child}/comm"))?;
            ensure!(name.trim() == "systemd", "{name} has not become systemd");
            self.init = child.to_owned();
            Ok(())
        })?;
        // Units of this machine that fail in there are none of the test's business.
        let script =
            "case $(systemctl is-system-running) in running | degraded) ;; *) false ;; esac";
        self.wait_for(BOOT, script)
    }

    /// Runs a command as root, and returns its output.
    pub(super) fn run(&self, command: &[&str]) -> Result<String> {
        let mut inside = Command::new("nsenter");
        inside
            .args(["--target", &self.init])
            .args(["--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup"])
            .arg("--")
            .args(command)
            .current_dir("/")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        capture(&mut inside)
    }

    pub(super) fn shell(&self, script: &str) -> Result<String> {
        self.run(&["sh", "-c", script])
    }

    /// Waits until `script` succeeds.
    pub(super) fn wait_for(&self, limit: Duration, script: &str) -> Result<()> {
        until(limit, || self.shell(script).map(drop))
    }

    /// The path inside of a file in the folder that is shown.
    pub(super) fn path(&self, file: &Path) -> Result<String> {
        let inside = file.strip_prefix(&self.shown);
        let inside = inside.with_context(|| format!("{} is not shown", file.display()))?;
        Ok(format!("{SHOWN}/{}", inside.display()))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The kernel kills the rest with the first process of its namespace.
        let _ = self.outer.kill();
        let _ = self.outer.wait();
        for group in &self.groups {
            let _ = until(Duration::from_secs(5), || Ok(remove(group)?));
        }
    }
}

/// Tries until it succeeds; the error is that of the last time.
fn until(limit: Duration, mut attempt: impl FnMut() -> Result<()>) -> Result<()> {
    let started = Instant::now();
    loop {
        match attempt() {
            Err(_) if started.elapsed() < limit => std::thread::sleep(PERIOD),
            outcome => return outcome,
        }
    }
}

/// A control group for the machine in each hierarchy.
fn groups() -> Result<Vec<PathBuf>> {
    let top = Path::new(GROUPS);
    let mut parents = vec![top.to_owned()];
    if !top.join("cgroup.procs").exists() {
        parents = HIERARCHIES.iter().map(|name| top.join(name)).collect();
        parents.retain(|parent| parent.exists());
    }
    let name = format!("teredo-test-{}", std::process::id());
    let groups: Vec<_> = parents.iter().map(|parent| parent.join(&name)).collect();
    for group in &groups {
        fs::create_dir(group).with_context(|| format!("cannot create {}", group.display()))?;
    }
    Ok(groups)
}

/// Removes a control group and those in it; its files go with it.
fn remove(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}
