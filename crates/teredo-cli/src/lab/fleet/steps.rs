//! The steps: a cluster, 20 hosts known at both perimeters, rebinds, all that fails, and the end.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::io::Errno;
use rustix::process::{Signal, WaitOptions};
use teredo_lab::until;
use teredo_notify::types::Phase;

use super::cluster::Cluster;
use super::faults;
use super::kills;
use super::members::{self, Members};
use super::network::Network;
use super::plan::{HOSTS, SERVERS, SIDES, Side, host_name};
use super::record::{Open, Record};
use crate::failure::Exit;
use crate::feed::on_end_signal;
use crate::lab::report::{Findings, Progress, Reporter, StepError};

/// A cut that is healed may cost the cluster an election or two, of up to 9 s each.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// The bucket's lease, and the one that hosts have later, to keep the lab short.
pub(super) const LEASE: Duration = Duration::from_secs(15);
pub(super) const SHORT_LEASE: Duration = Duration::from_secs(4);
/// The hosts that rebind at first: on both sides.
const REBINDS: [usize; 6] = [0, 10, 1, 11, 2, 12];

/// Faults at random.
#[derive(Clone, Copy)]
pub(super) struct Kills {
    pub(super) number: u32,
    pub(super) seed: u64,
}

/// All of the lab, in the order in which it is dropped.
pub(super) struct Fleet {
    pub(super) record: Record,
    pub(super) members: Members,
    pub(super) cluster: Cluster,
    pub(super) network: Network,
    _folder: tempfile::TempDir,
}

/// Runs all steps; with `kills`, so many faults at random instead of the story. The fleet stays in `place`, after a step that
/// fails, too.
pub(super) fn run(
    reporter: &mut Reporter,
    kills: Option<Kills>,
    place: &mut Option<Fleet>,
) -> Result<(), StepError> {
    let network = reporter.step("a network", || {
        let network = Network::build()?;
        let line = format!("{HOSTS} hosts, two perimeters, and three servers of NATS");
        Ok((network, Findings::new(line).fact("hosts", HOSTS)))
    })?;
    let fleet = reporter.long_step("a cluster", |progress| cluster(network, progress))?;
    let fleet = place.insert(fleet);
    reporter.long_step("a bucket", |progress| bucket(fleet, progress))?;
    reporter.long_step("20 hosts", |progress| hosts(fleet, progress))?;
    reporter.long_step("rebinds", |progress| rebinds(fleet, progress))?;
    match kills {
        Some(Kills { number, seed }) => reporter.long_step("kills at random", |progress| {
            kills::kills(fleet, number, seed, progress)
        })?,
        None => story(reporter, fleet)?,
    }
    reporter.step("the end", || end(fleet))
}

fn story(reporter: &mut Reporter, fleet: &mut Fleet) -> Result<(), StepError> {
    reporter.long_step("the leader is killed", |progress| {
        faults::leader_killed(fleet, progress)
    })?;
    reporter.long_step("it is started again", |progress| {
        faults::leader_back(fleet, progress)
    })?;
    reporter.long_step("a shorter lease", |progress| {
        faults::shorter_lease(fleet, progress)
    })?;
    reporter.long_step("a perimeter is killed", |progress| {
        faults::perimeter_killed(fleet, progress)
    })?;
    reporter.long_step("it is started again", |progress| {
        faults::perimeter_back(fleet, progress)
    })?;
    reporter.long_step("hosts are killed", |progress| {
        faults::hosts_killed(fleet, progress)
    })?;
    reporter.long_step("they are started again", |progress| {
        faults::hosts_back(fleet, progress)
    })?;
    let minority = reporter.long_step("the network is cut", |progress| {
        faults::cut(fleet, progress)
    })?;
    reporter.long_step("it is healed", |progress| {
        faults::healed(fleet, minority, progress)
    })
}

fn cluster(network: Network, progress: &mut Progress<'_>) -> anyhow::Result<(Fleet, Findings)> {
    let folder = tempfile::Builder::new()
        .prefix("teredo-lab.")
        .tempdir()
        .context("cannot create a folder for the lab")?;
    let path = folder.path().to_owned();
    on_end_signal(move || {
        // Everything else vanishes with this process.
        let _ = std::fs::remove_dir_all(path);
        std::process::exit(Exit::Failed.code().into());
    })
    .map_err(|failure| anyhow::anyhow!("{failure}"))?;
    let cluster = Cluster::start(network.servers.clone(), folder.path().to_owned())?;
    progress.tell("waiting for a leader of the three");
    let leader = until(PATIENCE, "a leader of the cluster", || {
        progress.tell("waiting for a leader of the three");
        cluster.leader()
    })?;
    let fleet = Fleet {
        record: Record::start(SIDES.map(|side| network.perimeter(side)))?,
        members: Members::new(folder.path().to_owned()),
        cluster,
        network,
        _folder: folder,
    };
    let findings = Findings::new(format!(
        "{} agree, and {} leads",
        SERVERS.join(", "),
        SERVERS[leader]
    ))
    .line("with TLS, and the account of 'teredo publish nats-config'")
    .fact("leader", SERVERS[leader]);
    Ok((fleet, findings))
}

/// The first perimeter makes the bucket.
fn bucket(fleet: &mut Fleet, progress: &mut Progress<'_>) -> anyhow::Result<((), Findings)> {
    for side in SIDES {
        fleet.members.start_perimeter(&fleet.network, side)?;
    }
    let bucket = until(PATIENCE, "a bucket that both perimeters follow", || {
        progress.tell("waiting for both perimeters to follow it");
        let bucket = fleet.cluster.bucket()?;
        let is_up = bucket.current == SERVERS.len() && fleet.members.are_following();
        is_up.then_some(bucket)
    })?;
    ensure!(
        bucket.replicas == 3,
        "the bucket has {} replicas",
        bucket.replicas
    );
    let findings = Findings::new("fw1 and fw2 follow 'teredo_ports', of three replicas")
        .line(format!(
            "{} leads it; an entry ends after {} s",
            SERVERS[bucket.leader],
            LEASE.as_secs()
        ))
        .fact("replicas", bucket.replicas)
        .fact("leader", SERVERS[bucket.leader])
        .fact("lease_ms", LEASE.as_millis() as u64);
    Ok(((), findings))
}

fn hosts(fleet: &mut Fleet, progress: &mut Progress<'_>) -> anyhow::Result<((), Findings)> {
    let (members, network) = (&mut fleet.members, &fleet.network);
    members.start_teredo(network)?;
    for host in 0..HOSTS {
        members.start_publisher(network, host, None)?;
        members.start_client(network, host)?;
        progress.tell(format_args!("{} of {HOSTS} started", host + 1));
    }
    let known = Instant::now();
    fleet.all_right(progress)?;
    for host in 0..HOSTS {
        fleet.qualified(host)?;
    }
    let findings = Findings::new("a client and a publisher each; all of them are qualified")
        .line(format!("both sets hold the {HOSTS} ports, and no other"))
        .fact("hosts", HOSTS)
        .fact("known_ms", milliseconds(known.elapsed()));
    Ok(((), findings))
}

/// N-16 across the network: a port is open at both perimeters before its first datagram.
fn rebinds(fleet: &mut Fleet, progress: &mut Progress<'_>) -> anyhow::Result<((), Findings)> {
    let drops = fleet.network.drops()?;
    let mut times = Vec::new();
    for (number, host) in REBINDS.into_iter().enumerate() {
        progress.tell(format_args!("{number} of {}", REBINDS.len()));
        let moved = fleet.rebind(host)?;
        ensure!(
            moved.settled,
            "{} went on before both perimeters had confirmed",
            host_name(host)
        );
        times.push(moved.settle);
        fleet.qualified(host)?;
    }
    let dropped = fleet.network.drops()? - drops;
    ensure!(dropped == 0, "the perimeters dropped {dropped} datagrams");
    times.sort();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    let findings = Findings::new(format!(
        "open at both {:.1} ms after the announcement (at most {:.1} ms)",
        milliseconds(median),
        milliseconds(longest)
    ))
    .line(format!(
        "then the first datagram left; {} rebinds, no datagram dropped",
        times.len()
    ))
    .fact("rebinds", times.len())
    .fact("open_ms", milliseconds(median))
    .fact("longest_ms", milliseconds(longest))
    .fact("dropped", dropped);
    Ok(((), findings))
}

fn end(fleet: &mut Fleet) -> anyhow::Result<((), Findings)> {
    let record = &fleet.record;
    let mut ended = fleet.members.end(|| {
        until(SHORT_LEASE, "empty sets", || {
            SIDES
                .into_iter()
                .all(|side| record.now(side).is_empty())
                .then_some(())
        })?;
        Ok(())
    })?;
    // After SIGTERM, nats-server ends with 1.
    ended += members::end(fleet.cluster.take(), Signal::INT)?;
    let children = rustix::process::wait(WaitOptions::NOHANG);
    ensure!(
        children.is_err_and(|error| error == Errno::CHILD),
        "a process is left"
    );
    let findings = Findings::new(format!("{ended} processes ended as they should"))
        .line("both sets were empty at once, and nothing is left")
        .fact("ended", ended);
    Ok(((), findings))
}

/// The outcome of a rebind.
pub(super) struct Rebind {
    pub(super) endpoint: SocketAddrV4,
    /// Whether both perimeters had confirmed it before it was used.
    pub(super) settled: bool,
    /// How long that took from the announcement.
    pub(super) settle: Duration,
    /// How long the command took.
    pub(super) took: Duration,
    /// When it began.
    pub(super) begun: Instant,
}

impl Fleet {
    /// Moves a host to another port.
    pub(super) fn rebind(&self, host: usize) -> anyhow::Result<Rebind> {
        let before = self.members.endpoint(host);
        let begun = Instant::now();
        let outcome = self.members.caller(host)?.rebind(None)?;
        let took = begun.elapsed();
        let status = self.members.status(host).context("the client is silent")?;
        let endpoint = self.members.endpoint(host).context("there is no port")?;
        ensure!(
            before != Some(endpoint) && endpoint.port() == outcome.port,
            "{} has not moved from {before:?}",
            host_name(host)
        );
        let settle = status
            .firewall
            .iter()
            .filter_map(|gate| gate.settle_us)
            .max();
        Ok(Rebind {
            endpoint,
            settled: outcome.settled,
            settle: Duration::from_micros(settle.unwrap_or_default()),
            took,
            begun,
        })
    }

    /// Waits until a host has an address with its port: its datagrams came through both perimeters, and the answers, too.
    pub(super) fn qualified(&self, host: usize) -> anyhow::Result<()> {
        let name = host_name(host);
        until(PATIENCE, format_args!("the address of {name}"), || {
            let status = self.members.status(host)?;
            let mapped = status.mapped.map(|mapped| mapped.port());
            (status.state == Phase::Qualified && mapped == Some(status.port)).then_some(())
        })?;
        Ok(())
    }

    /// Waits until an endpoint is open at both perimeters, and says when that was.
    pub(super) fn opened(
        &self,
        moved: &Rebind,
        progress: &mut Progress<'_>,
    ) -> anyhow::Result<Instant> {
        let at = until(PATIENCE, "a port that is open at both perimeters", || {
            progress.tell("waiting for the perimeters to follow");
            self.record.opened(moved.endpoint, moved.begun)
        })?;
        Ok(at)
    }

    /// The endpoints of these hosts.
    pub(super) fn endpoints(&self, hosts: impl IntoIterator<Item = usize>) -> anyhow::Result<Open> {
        hosts
            .into_iter()
            .map(|host| {
                let endpoint = self.members.endpoint(host);
                endpoint.with_context(|| format!("{} has no port", host_name(host)))
            })
            .collect()
    }

    /// Waits until the gates of all hosts are in step, both sets hold their ports and no other, and both perimeters follow the
    /// bucket: one that reads the entries one by one confirms too late for a new port.
    pub(super) fn all_right(&self, progress: &mut Progress<'_>) -> anyhow::Result<()> {
        for host in 0..HOSTS {
            until(
                PATIENCE,
                format_args!("{} in step", host_name(host)),
                || {
                    progress.tell(format_args!("{host} of {HOSTS} in step"));
                    let status = self.members.status(host)?;
                    let mut gates = status.firewall.iter();
                    let is_well = !status.firewall.is_empty()
                        && gates.all(|gate| gate.in_sync && gate.trouble.is_none());
                    is_well.then_some(())
                },
            )
            .with_context(|| {
                let status = self.members.status(host);
                let said = self.members.publisher(host).map(|process| process.lines());
                let last = said.ok().and_then(|mut lines| lines.pop());
                let gates = status.map(|status| status.firewall);
                format!("its gates: {gates:?}; its publisher said last: {last:?}")
            })?;
        }
        for side in SIDES {
            let wanted = self.endpoints(0..HOSTS)?;
            until(PATIENCE, "a set with the ports of all hosts", || {
                (self.record.now(side) == wanted).then_some(())
            })
            .with_context(|| self.difference(side, &wanted))?;
        }
        until(PATIENCE, "perimeters that follow the bucket", || {
            self.members.are_following().then_some(())
        })?;
        Ok(())
    }

    fn difference(&self, side: Side, wanted: &Open) -> String {
        let now = self.record.now(side);
        format!(
            "{} lacks {:?}, and has beyond it {:?}",
            side.perimeter(),
            wanted.difference(&now).collect::<Vec<_>>(),
            now.difference(wanted).collect::<Vec<_>>()
        )
    }
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}
