//! The RPM packages under a booted systemd: installed by rpm, configured with one line, upgraded and erased.
//!
//! The machine has Debian's files, and a package without files tells RPM's database about them. The programs, scripts and
//! units are those of a machine with RPM.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::machine::Machine;
use super::{NETWORK, REPORT, SERVICES, SETTINGS, Traces, UNITS, in_step, processes};
use crate::command::{capture, run as execute, say};
use crate::package::{Needs, PROGRAM, Release, Stage, owner, rpm};
use crate::{tools, tree};

/// The packages, and Debian's with the same files.
const PACKAGES: &[(&str, &str)] = &[
    ("teredo", "teredo"),
    ("teredo-firewall", "teredo-firewall"),
    ("teredo-libs", "libteredo0"),
    ("teredo-devel", "libteredo-dev"),
];

/// rpm on the machine: Debian's own keeps its database with the user, and asks for another tool.
const RPM: &str = "rpm --dbpath /var/lib/rpm --force-debian";

/// Folders that other packages of a machine with RPM have.
const FOLDERS: &str = "mkdir -p /usr/lib64/pkgconfig /usr/share/licenses";

/// Units that are enabled, by an administrator or in an image. The last one is a further client.
const ENABLED: &str =
    "teredo-client.socket teredo-client teredo-server teredo-relay teredo-firewall teredo-client@b";

/// The traces that the packages leave on purpose: settings that were changed, and the users, as RPM has no purge.
const LEFT: &[&str] = &["/etc/teredo", "/etc/teredo/teredo.toml.rpmsave"];

/// Builds the packages twice, as two revisions, and takes them through their life.
pub(super) fn check() -> Result<()> {
    tools::require("rpm", "rpm", "installs the RPM packages")?;
    tools::require("nft", "nftables", "shows what the firewall agent wrote")?;
    let folder = tempfile::tempdir().context("no place for temporary files")?;
    let stage = rpm::stage(true)?;
    let first = revision(&stage, 1, folder.path())?;
    let second = revision(&stage, 2, folder.path())?;
    for package in &first {
        contents(&stage, package)?;
        scripts(package)?;
    }
    dependencies(&stage, &first)?;
    let debian = debian(&stage, folder.path())?;
    drop(stage);

    let machine = Machine::boot(folder.path())?;
    machine.shell(FOLDERS)?;
    machine.shell("rpm --dbpath /var/lib/rpm --initdb")?;
    apply(&machine, "--install", &[debian])?;
    life(&machine, &first, &second).with_context(|| {
        let report = machine.shell(REPORT).unwrap_or_default();
        format!("the services at that time:\n{report}")
    })?;
    unbooted(&machine, &first)
}

/// From the installation to the erasure.
fn life(machine: &Machine, first: &[PathBuf], second: &[PathBuf]) -> Result<()> {
    machine.shell(NETWORK)?;
    let before = Traces::of(machine)?;
    apply(machine, "--install", first)?;
    verify(machine)?;
    for unit in UNITS {
        let state = machine.shell(&format!(
            "echo $(systemctl is-enabled {unit}) $(systemctl is-active {unit})"
        ))?;
        ensure!(state.trim() == "disabled inactive", "{unit} is {state}");
    }
    machine.shell(SETTINGS)?;
    for service in SERVICES {
        machine.run(&["systemctl", "enable", "--now", service])?;
    }
    in_step(machine)?;
    let log = machine.run(&["journalctl", "--output=cat", "--unit=teredo-*"])?;
    let refused: Vec<_> = log.lines().filter(|line| line.contains(" WARN ")).collect();
    ensure!(refused.is_empty(), "the services warn: {refused:?}");
    say("    installed, one line edited, started: qualified, and the firewall follows the port")?;

    let port = machine.run(&["teredo", "port"])?;
    let settings = machine.shell("cat /etc/teredo/teredo.toml")?;
    let old = processes(machine)?;
    apply(machine, "--upgrade", second)?;
    in_step(machine)?;
    let new = processes(machine)?;
    ensure!(
        old.iter().zip(&new).all(|(old, new)| old != new),
        "not every service was restarted at the upgrade: processes {old:?} before, {new:?} after"
    );
    let kept = machine.run(&["teredo", "port"])?;
    ensure!(kept == port, "the port was {port}, and is now {kept}");
    let kept = machine.shell("cat /etc/teredo/teredo.toml")?;
    ensure!(kept == settings, "the upgrade changed the settings");
    say("    upgraded: every service is new, on the same port, with the same settings")?;

    machine.shell("rm -r /etc/systemd/system/teredo-server.service.d")?;
    machine.shell(
        "cp /etc/teredo/teredo.toml /etc/teredo/b.toml && systemctl enable --now teredo-client@b",
    )?;
    machine.shell("rm /etc/teredo/b.toml")?;
    erase(machine)?;
    let after = Traces::of(machine)?;
    let left: Vec<_> = after
        .0
        .difference(&before.0)
        .filter(|line| !LEFT.contains(&line.as_str()) && !is_user(line))
        .collect();
    ensure!(left.is_empty(), "erased, and this is left: {left:?}");
    say("    erased: changed settings and the users are left, and nothing else")
}

/// An image is made where no systemd runs. Its units may be enabled, and nothing is left of that either.
fn unbooted(machine: &Machine, packages: &[PathBuf]) -> Result<()> {
    machine.shell("rm -r /etc/teredo")?;
    let before = Traces::of(machine)?;
    let inside: Vec<String> = packages
        .iter()
        .map(|package| machine.path(package))
        .collect::<Result<_>>()?;
    let names: Vec<_> = PACKAGES.iter().map(|(name, _)| *name).collect();
    machine.shell(&format!(
        "unshare --mount sh -c 'set -e
mount -t tmpfs tmpfs /run/systemd
{RPM} --install {}
systemctl enable {ENABLED}
{RPM} --erase {}'
systemctl daemon-reload",
        inside.join(" "),
        names.join(" ")
    ))?;
    let after = Traces::of(machine)?;
    let left: Vec<_> = after.0.difference(&before.0).collect();
    ensure!(
        left.is_empty(),
        "enabled and erased without systemd, and this is left: {left:?}"
    );
    say("    enabled and erased without a running systemd: nothing is left")
}

fn revision(stage: &Stage, number: u32, folder: &Path) -> Result<Vec<PathBuf>> {
    let folder = folder.join(number.to_string());
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    rpm::build(stage, &Release::new(number)?, true, &folder)
}

/// Checks that a package has the files that Debian's has, and that they are root's.
fn contents(stage: &Stage, package: &Path) -> Result<()> {
    let name = query(package, "%{NAME}")?;
    let debian = PACKAGES.iter().find(|(ours, _)| *ours == name);
    let (_, debian) = debian.with_context(|| format!("the package {name} is not in the list"))?;
    let staged = stage.files()?;
    let expected: BTreeSet<String> = staged
        .iter()
        .filter(|path| owner(path) == *debian)
        .map(|path| format!("/{}", path.display()))
        .collect();
    let mut found = BTreeSet::new();
    let entry = "[%{FILEMODES:perms}\t%{FILEUSERNAME}:%{FILEGROUPNAME}\t%{FILENAMES}\n]";
    for line in query(package, entry)?.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [mode, account, path] = fields[..] else {
            bail!("rpm lists a file as '{line}'");
        };
        ensure!(account == "root:root", "{path} belongs to {account}");
        let is_link = mode.starts_with('l');
        ensure!(
            is_link || !mode.get(5..).is_some_and(|others| others.contains('w')),
            "{path} can be written by others: {mode}"
        );
        if !mode.starts_with('d') && !path.starts_with("/usr/share/licenses/") {
            found.insert(path.to_owned());
        }
    }
    let differ: Vec<_> = expected.symmetric_difference(&found).collect();
    ensure!(
        differ.is_empty(),
        "{name} and Debian's {debian} have not the same files: {differ:?}"
    );
    Ok(())
}

/// Checks that the shell can read each script: rpm runs the rest of a broken one, and installs the package all the same.
fn scripts(package: &Path) -> Result<()> {
    for part in ["PREIN", "POSTIN", "PREUN", "POSTUN"] {
        let script = query(package, &format!("%|{part}?{{%{{{part}}}}}:{{}}|"))?;
        let mut parse = Command::new("sh");
        parse.args(["-n", "-c", &script]);
        execute(&mut parse)
            .with_context(|| format!("the script {part} of {}", package.display()))?;
    }
    Ok(())
}

/// Checks that RPM has read the needs of the program from it.
fn dependencies(stage: &Stage, packages: &[PathBuf]) -> Result<()> {
    let mut needs = Needs::default();
    needs.add(&stage.root().join(PROGRAM))?;
    let (major, minor) = needs.glibc.context("the program needs no glibc")?;
    let needed = format!("libc.so.6(GLIBC_{major}.{minor})");
    let program = packages
        .iter()
        .find(|package| query(package, "%{NAME}").is_ok_and(|name| name == "teredo"))
        .context("there is no package of the program")?;
    let requires = query(program, "[%{REQUIRENAME}\n]")?;
    ensure!(
        requires.lines().any(|line| line.starts_with(&needed)),
        "teredo does not require {needed}, but: {requires}"
    );
    Ok(())
}

fn query(package: &Path, format: &str) -> Result<String> {
    let mut query = Command::new("rpm");
    query.args(["--query", "--package", "--queryformat", format]);
    capture(query.arg(package))
}

/// The package that stands for Debian's files.
fn debian(stage: &Stage, folder: &Path) -> Result<PathBuf> {
    let files = stage.files()?;
    let mut linked = Command::new("ldd");
    for file in files.iter().filter(|path| {
        path.ends_with(PROGRAM) || path.extension().is_some_and(|extension| extension == "so")
    }) {
        linked.arg(stage.root().join(file));
    }
    let linked = capture(&mut linked)?;
    let libraries: BTreeSet<String> = linked
        .split_whitespace()
        .filter(|word| word.starts_with("/lib") || word.starts_with("/usr/lib"))
        // RPM reads no link.
        .filter_map(|path| std::fs::canonicalize(path).ok())
        .map(|path| format!("{}\n", path.display()))
        .collect();
    let list = folder.join("libraries");
    std::fs::write(&list, String::from_iter(libraries)).context("no place for a list")?;
    let mut provides = Command::new("sh");
    provides.arg("-c").arg("/usr/lib/rpm/find-provides <\"$1\"");
    let provides = capture(provides.arg("sh").arg(&list))?;
    let list = folder.join("provides");
    std::fs::write(&list, provides).context("no place for a list")?;
    let mut build = Command::new("rpmbuild");
    build
        .args(["-bb", "--quiet"])
        .arg(tree::root().join("dev/xtask/src/installed/debian.spec"));
    for (name, value) in [
        ("_topdir", folder.join("debian").display().to_string()),
        ("_rpmdir", folder.display().to_string()),
        ("_rpmfilename", "debian.rpm".to_owned()),
        ("debian_provides", list.display().to_string()),
    ] {
        build.arg("--define").arg(format!("{name} {value}"));
    }
    execute(&mut build)?;
    Ok(folder.join("debian.rpm"))
}

fn apply(machine: &Machine, action: &str, packages: &[PathBuf]) -> Result<()> {
    let inside: Vec<String> = packages
        .iter()
        .map(|package| machine.path(package))
        .collect::<Result<_>>()?;
    quiet(
        machine,
        &format!("{RPM} --nosignature {action} {}", inside.join(" ")),
    )
}

fn erase(machine: &Machine) -> Result<()> {
    let names: Vec<_> = PACKAGES.iter().map(|(name, _)| *name).collect();
    quiet(machine, &format!("{RPM} --erase {}", names.join(" ")))
}

/// Runs rpm, which warns that a script failed, and succeeds all the same.
fn quiet(machine: &Machine, command: &str) -> Result<()> {
    let said = machine.shell(&format!(
        "said=$({command} 2>&1) || {{ echo \"$said\" >&2; exit 1; }}; echo \"$said\""
    ))?;
    let warning = said.lines().find(|line| {
        line.contains("warning:") && !line.contains(".rpmsave") || line.contains("scriptlet failed")
    });
    ensure!(warning.is_none(), "`{command}`: {said}");
    Ok(())
}

/// The files are as the packages have them.
fn verify(machine: &Machine) -> Result<()> {
    let names: Vec<_> = PACKAGES.iter().map(|(name, _)| *name).collect();
    let verify = format!("{RPM} --verify {}", names.join(" "));
    machine.shell(&verify).map(drop)
}

fn is_user(line: &str) -> bool {
    line.starts_with("teredo:x:") || line.starts_with("teredo-firewall:x:")
}
