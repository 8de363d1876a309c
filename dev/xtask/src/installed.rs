//! The Debian packages under a booted systemd: installed, configured with one line, upgraded and purged.

mod machine;
mod rpm;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::command::{run as execute, say, step};
use crate::package::{PACKAGES, Release, Stage, build_deb, stage_deb};
use crate::tools;
use machine::Machine;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only packages of this kind
    #[arg(long)]
    kind: Option<Kind>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Deb,
    Rpm,
}

/// Tries the packages that the options name.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.kind != Some(Kind::Rpm) {
        step("Debian packages under a booted systemd", check)?;
    }
    if options.kind != Some(Kind::Deb) {
        step("RPM packages under a booted systemd", rpm::check)?;
    }
    Ok(())
}

/// The services that this machine runs.
const SERVICES: [&str; 3] = ["teredo-server", "teredo-firewall", "teredo-client"];

/// Everything that could be enabled.
const UNITS: &[&str] = &[
    "teredo-client.service",
    "teredo-client.socket",
    "teredo-server.service",
    "teredo-relay.service",
    "teredo-firewall.service",
    "teredo-hooks.service",
    "teredo-publish.service",
    "teredo-perimeter.service",
    "teredo-announce@relay.service",
    "teredo-announce@server.service",
];

/// The Internet of the client is a bridge, with a server and a peer in network namespaces.
const NETWORK: &str = "set -e
ip link add wire type bridge
ip address add 198.51.100.9/24 dev wire
ip link set wire up
for host in server peer; do
    ip netns add $host
    ip link add wire-$host type veth peer name wire netns $host
    ip link set wire-$host master wire up
    ip -n $host link set lo up
    ip -n $host link set wire up
done
ip -n server address add 198.51.100.1/24 dev wire
ip -n server address add 198.51.100.2/24 dev wire
ip -n peer address add 198.51.100.10/24 dev wire
mkdir -p /etc/systemd/system/teredo-server.service.d
printf '[Service]\\nNetworkNamespacePath=/run/netns/server\\n' > /etc/systemd/system/teredo-server.service.d/here.conf";

/// For each part one line of the settings.
const SETTINGS: &str = r#"set -e
cd /etc/teredo
sed -i 's/^# servers = .*/servers = ["198.51.100.1"]/' teredo.toml
sed -i '0,/^# address = .*/s//address = "198.51.100.1"/' teredo.toml
sed -i 's/^# allow_inbound = .*/allow_inbound = ["5001\/udp"]/' teredo.toml
teredo config check
# Each of the other lines of the file would do, too.
sed 's/^# \([a-z_]* = \)/\1/' teredo.toml > /tmp/all.toml
grep -q '^protect = ' /tmp/all.toml
teredo config check /tmp/all.toml"#;

/// A peer whose datagrams the client's host sends back, a hundred a second.
const STREAM: &str = "set -e
systemd-run --quiet --unit=echo python3 STREAM echo 5001
systemd-run --quiet --unit=peer --property=NetworkNamespacePath=/run/netns/peer \
    teredo --socket /run/peer/peer.sock client --server 198.51.100.1 --interface peer
until teredo --socket /run/peer/peer.sock status --json | grep -q '\"state\":\"qualified\"'; do sleep 0.1; done
address=$(teredo status --json | sed -E 's/.*\"address\":\"([^\"]*)\".*/\\1/')
systemd-run --quiet --unit=stream --property=NetworkNamespacePath=/run/netns/peer \
    --property=StandardOutput=file:/tmp/streamed --remain-after-exit python3 STREAM send $address 5001 /tmp/stop";

/// Another client of this machine, which the peer reaches, too.
const FURTHER: &str = "set -e
cp /etc/teredo/teredo.toml /etc/teredo/b.toml
systemctl start teredo-client@b
status() { teredo --socket /run/teredo/b.sock status --json; }
until status | grep -q '\"protected\":true'; do sleep 0.1; done
address=$(status | sed -E 's/.*\"address\":\"([^\"]*)\".*/\\1/')
touch /tmp/one
ip netns exec peer python3 STREAM send $address 5001 /tmp/one | grep 'sent 1, returned 1,'
systemctl stop teredo-client@b
rm /tmp/one /etc/teredo/b.toml";

/// The end of the stream, and its account.
const STREAMED: &str = "set -e
touch /tmp/stop
until [ -s /tmp/streamed ]; do sleep 0.1; done
cat /tmp/streamed
systemctl stop stream peer echo
rm /tmp/stop /tmp/streamed";

/// firewalld lets the unit's user open the port, and keeps nothing of it. The agent finds it by itself.
const FIREWALLD: &str = "set -e
rules() { nft list chain inet firewalld filter_IN_public_post; }
open() { rules | grep -q \"udp dport $(teredo port) accept\"; }
systemctl start firewalld
until open && teredo status --json | grep -q '\"in_sync\":true.*\"backend\":\"firewalld (zone public)\"'; do sleep 0.1; done
teredo rebind
open
firewall-cmd --reload
until open; do sleep 0.1; done
systemctl stop teredo-firewall
if rules | grep -q 'udp dport'; then exit 1; fi
systemctl start teredo-firewall
until open; do sleep 0.1; done
systemctl stop firewalld";

/// A reload of faulty settings fails, and changes nothing.
const FAULT: &str = "set -e
mkdir /etc/teredo/teredo.toml.d
echo 'nonsense = 1' > /etc/teredo/teredo.toml.d/fault.toml
if systemctl reload teredo-client; then exit 1; fi
journalctl --sync
journalctl --output=cat --unit=teredo-client | grep -q 'fault.toml:1: unknown'
systemctl is-active teredo-client
# Nor is a unit started again and again.
rm -r /etc/teredo/teredo.toml.d
echo 'nonsense = 1' > /etc/teredo/faulty.toml
if systemctl start teredo-client@faulty; then exit 1; fi
systemctl show teredo-client@faulty --property=ActiveState,NRestarts,ExecMainStatus > /tmp/faulty
grep -q ActiveState=failed /tmp/faulty
grep -q NRestarts=0 /tmp/faulty
grep -q ExecMainStatus=78 /tmp/faulty
rm /etc/teredo/faulty.toml /tmp/faulty
systemctl reset-failed teredo-client@faulty";

/// The journal has each line with its priority and its fields, and faults as errors.
const JOURNAL: &str = r#"set -e
journalctl --sync
of() { journalctl --output=json --unit=teredo-client "$@"; }
of TEREDO_ROLE=client TEREDO_PORT=$(teredo port) PRIORITY=6 | grep -q '"MESSAGE":"port in use port='
of TEREDO_ROLE=client | grep -q '"TEREDO_ADDRESS":"2001:'
journalctl --unit=teredo-server TEREDO_ROLE=server --output=cat | grep -q ."#;

/// A hook that writes who it is, and the port, to a folder of its own; and one that wants to gain rights.
const HOOK: &str = r#"set -e
cat > /etc/teredo/hooks.d/10-who <<'END'
#!/bin/sh
echo "port $TEREDO_PORT"
id -u > "$STATE_DIRECTORY/user"
echo "$TEREDO_EVENT $TEREDO_PORT $TEREDO_ADDRESS" > "$STATE_DIRECTORY/last"
if echo x > /etc/teredo/written; then exit 1; fi
if kill -0 1; then exit 1; fi
END
chmod 755 /etc/teredo/hooks.d/10-who
systemctl enable --now teredo-hooks"#;

/// The hook has run for the client's address.
const HOOKED: &str = r#"set -e
address=$(teredo status --json | sed -E 's/.*"address":"([^"]*)".*/\1/')
[ "$(cat /var/lib/private/teredo-hooks/last)" = "address $(teredo port) $address" ]
[ "$(cat /var/lib/private/teredo-hooks/user)" -ge 61184 ]
journalctl --sync
journalctl --output=cat --unit=teredo-hooks TEREDO_HOOK=10-who | grep -q "^port $(teredo port) hook=""#;

/// No run failed. It is heard when the client is gone, and goes on to follow the next one.
const NO_HOOK: &str = r#"set -e
[ -z "$(journalctl --output=cat --unit=teredo-hooks --priority=warning)" ]
systemctl show teredo-hooks --property=StatusText | grep -q ' runs, 0 failed'"#;

/// How things stand, for the message of a failure.
const REPORT: &str = "teredo 2>&1
nft list set inet teredo port 2>&1
systemctl --no-pager --lines=20 status 'teredo-*' 2>&1
:";

/// Files that dpkg and the tools for users write for themselves.
const BOOKKEEPING: &[&str] = &[
    "/etc/.pwd.lock",
    "/etc/group-",
    "/etc/gshadow-",
    "/etc/ld.so.cache",
    "/etc/ld.so.cache~",
    "/etc/passwd-",
    "/etc/shadow-",
    "/etc/subgid-",
    "/etc/subuid-",
];

/// Builds the packages twice, as two revisions, and takes them through their life.
fn check() -> Result<()> {
    tools::require("systemctl", "systemd", "runs the services")?;
    tools::require("lintian", "lintian", "judges the packages")?;
    tools::require("nft", "nftables", "shows what the firewall agent wrote")?;
    tools::require("python3", "python3", "sends a stream through the tunnel")?;
    tools::require("firewalld", "firewalld", "is asked to open the port")?;
    let folder = tempfile::tempdir().context("no place for temporary files")?;
    let stage = stage_deb(true)?;
    let first = revision(&stage, 1, folder.path())?;
    let second = revision(&stage, 2, folder.path())?;
    ensure!(
        contents(&first)? == contents(&revision(&stage, 1, &folder.path().join("again"))?)?,
        "the same packages, packed twice, differ"
    );
    judge(&first)?;
    drop(stage);

    let stream = folder.path().join("stream.py");
    std::fs::write(&stream, include_str!("installed/stream.py")).context("no place for a file")?;
    let machine = Machine::boot(folder.path())?;
    life(&machine, &first, &second, &machine.path(&stream)?).with_context(|| {
        let report = machine.shell(REPORT).unwrap_or_default();
        format!("the services at that time:\n{report}")
    })
}

/// From the installation to the purge.
fn life(machine: &Machine, first: &[PathBuf], second: &[PathBuf], stream: &str) -> Result<()> {
    let before = Traces::of(machine)?;
    machine.shell(NETWORK)?;

    install(machine, first)?;
    for unit in UNITS {
        let enabled = machine.shell(&format!("systemctl is-enabled {unit} || :"))?;
        ensure!(enabled.trim() == "disabled", "{unit} is {enabled}");
        let active = machine.shell(&format!("systemctl is-active {unit} || :"))?;
        ensure!(active.trim() == "inactive", "{unit} is {active}");
    }
    machine.shell(SETTINGS)?;
    for service in SERVICES {
        machine.run(&["systemctl", "enable", "--now", service])?;
    }
    in_step(machine)?;
    // The programs restrict themselves, which a unit may refuse them by mistake.
    let journal = ["journalctl", "--output=cat", "--unit=teredo-*"];
    let refused = machine.run(&[&journal[..], &["--priority=warning"]].concat())?;
    ensure!(refused.trim().is_empty(), "the services warn: {refused}");
    machine.shell(JOURNAL)?;
    machine.shell(HOOK)?;
    machine.wait_for(Duration::from_secs(10), HOOKED)?;
    machine.shell(NO_HOOK)?;
    say("    the journal has priorities and fields, and a hook ran as a user of its own")?;
    say("    installed, one line edited, started: qualified, and the firewall follows the port")?;
    machine.shell(&STREAM.replace("STREAM", stream))?;

    let port = machine.run(&["teredo", "port"])?;
    let old = processes(machine)?;
    install(machine, second)?;
    in_step(machine)?;
    let new = processes(machine)?;
    ensure!(
        old.iter().zip(&new).all(|(old, new)| old != new),
        "not every service was restarted at the upgrade: processes {old:?} before, {new:?} after"
    );
    for service in SERVICES {
        machine.run(&["systemctl", "reload", service])?;
    }
    machine.shell(FAULT)?;
    machine.run(&["systemctl", "restart", "teredo-client"])?;
    in_step(machine)?;
    machine.run(&["systemctl", "kill", "--signal=KILL", "teredo-client"])?;
    in_step(machine)?;
    let kept = machine.run(&["teredo", "port"])?;
    ensure!(kept == port, "the port was {port}, and is now {kept}");
    machine.shell(&FURTHER.replace("STREAM", stream))?;
    let streamed = machine.shell(STREAMED)?;
    let counts: Vec<&str> = streamed.split([' ', ',']).collect();
    ensure!(
        matches!(counts[..], ["sent", sent, "", "returned", returned, ..] if sent == returned),
        "the stream through the tunnel lost datagrams: {streamed}"
    );
    say(format!(
        "    upgraded, reloaded, restarted and killed: on the same port; of a stream, {}",
        streamed.trim()
    ))?;

    machine.shell(FIREWALLD)?;
    in_step(machine)?;
    say("    firewalld: the agent's unit opens the port there, and takes it back")?;

    // The agent asks at once, and would start the client.
    machine.run(&["systemctl", "stop", "teredo-firewall", "teredo-client"])?;
    machine.run(&["systemctl", "start", "teredo-client.socket"])?;
    machine.run(&["teredo", "port", "--wait", "--timeout", "10"])?;
    machine.run(&["systemctl", "start", "teredo-firewall"])?;
    in_step(machine)?;
    say("    started by the first program that asked for the port")?;

    let mut purge = vec!["dpkg", "--purge"];
    purge.extend(PACKAGES);
    machine.shell("rm -r /etc/systemd/system/teredo-server.service.d")?;
    machine.run(&purge)?;
    let after = Traces::of(machine)?;
    let left: Vec<_> = after.0.difference(&before.0).collect();
    ensure!(left.is_empty(), "purged, and this is left: {left:?}");
    say("    purged: no file, user, process, interface or rule is left")
}

fn revision(stage: &Stage, number: u32, folder: &Path) -> Result<Vec<PathBuf>> {
    let folder = folder.join(number.to_string());
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    build_deb(stage, &Release::new(number)?, true, &folder)
}

fn contents(packages: &[PathBuf]) -> Result<Vec<Vec<u8>>> {
    let read = packages.iter().map(std::fs::read);
    read.collect::<Result<_, _>>()
        .context("cannot read the packages")
}

/// Fails at errors of lintian, and not at warnings.
fn judge(packages: &[PathBuf]) -> Result<()> {
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--fail-on", "error"]);
    // Its advice is for packages of the distribution.
    lintian.args(["--display-level", "error"]);
    execute(lintian.args(packages))
}

fn install(machine: &Machine, packages: &[PathBuf]) -> Result<()> {
    let mut arguments = vec!["dpkg", "--force-unsafe-io", "--install"];
    let inside: Vec<String> = packages
        .iter()
        .map(|package| machine.path(package))
        .collect::<Result<_>>()?;
    arguments.extend(inside.iter().map(String::as_str));
    machine.run(&arguments).map(drop)
}

/// The main processes of the services.
fn processes(machine: &Machine) -> Result<Vec<String>> {
    let process = |service: &&str| {
        machine.run(&[
            "systemctl",
            "show",
            "--property=MainPID",
            "--value",
            service,
        ])
    };
    SERVICES.iter().map(process).collect()
}

/// Waits until the client is qualified, and nftables has its port.
fn in_step(machine: &Machine) -> Result<()> {
    let port =
        "port=$(teredo port) && nft list set inet teredo port | grep -q \"elements = { $port \"";
    let script = format!("teredo status --json | grep -q '\"state\":\"qualified\"' && {port}");
    machine
        .wait_for(Duration::from_secs(20), &script)
        .context("the client is not qualified, or the firewall does not follow its port")
}

/// The traces that a package could leave on a machine, a line for each.
struct Traces(BTreeSet<String>);

impl Traces {
    fn of(machine: &Machine) -> Result<Self> {
        let script = "
find /etc /opt /usr /var -path /var/cache -prune -o -path /var/log -prune -o -path /var/lib/dpkg -prune -o -path /var/lib/rpm -prune \
    -o -path /var/lib/systemd -prune -o -name 'systemd-private-*' -prune -o -print
find /run -name '*teredo*'
getent passwd
getent group
nft list tables
ip -brief link
systemctl list-units --all --plain --no-legend 'teredo*'
ps -e -o comm= | grep teredo || :";
        let lines = machine.shell(script)?;
        let lines = lines.lines().filter(|line| !BOOKKEEPING.contains(line));
        // The wires are the test's own.
        let lines = lines.filter(|line| !line.starts_with("wire"));
        Ok(Self(lines.map(str::to_owned).collect()))
    }
}
