//! The steps in which a part fails: a server, a perimeter, a host, the network.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use teredo_lab::until;

use super::plan::{HOSTS, HOSTS_EACH, SERVERS, SIDES, Side, host_name};
use super::record::Open;
use super::steps::{Fleet, LEASE, PATIENCE, SHORT_LEASE, milliseconds};
use crate::lab::report::{Findings, Progress};

type Told = anyhow::Result<((), Findings)>;

/// How much later than its lease the end of a port may be seen: a busy machine.
const LATE: Duration = Duration::from_millis(300);
/// How long a port may be closed after the election of a leader: the entry is written again after 2 s, and the perimeters'
/// watches begin again. NATS takes 4 to 9 s for the election, and on a busy machine more than a lease.
const AFTER_ELECTION: Duration = Duration::from_secs(6);
/// The hosts that rebind while a part fails, and afterwards.
const DURING: usize = 3;
const AFTERWARDS: usize = 13;
/// A host that is killed, and one whose publisher alone is.
const KILLED: usize = 19;
const SILENT: usize = 9;

/// The leader of the bucket is killed, and with it the entries that it was about to take.
pub(super) fn leader_killed(fleet: &mut Fleet, progress: &mut Progress<'_>) -> Told {
    let old = fleet
        .cluster
        .bucket()
        .context("the bucket has no leader")?
        .leader;
    let others = fleet.endpoints((0..HOSTS).filter(|host| ![DURING, AFTERWARDS].contains(host)))?;
    let killed = Instant::now();
    fleet.cluster.kill(old)?;
    let during = fleet.rebind(DURING)?;
    let leader = until(PATIENCE, "another leader", || {
        progress.tell("waiting for another leader");
        let bucket = fleet.cluster.bucket()?;
        (bucket.leader != old).then_some(bucket.leader)
    })?;
    let elected = killed.elapsed();
    let opened = fleet.opened(&during, progress)?;
    let closed = opened - during.begun;
    ensure!(
        closed <= LEASE.max(elected + AFTER_ELECTION),
        "the port of {} was closed for {} ms, and another server led after {} ms",
        host_name(DURING),
        closed.as_millis(),
        elected.as_millis()
    );
    fleet.all_right(progress)?;
    let after = fleet.settle_a_rebind(AFTERWARDS, progress)?;
    let gap = fleet.gap(&SIDES, &others, killed);
    ensure!(
        gap.is_zero(),
        "a port that did not move was closed for {} ms",
        gap.as_millis()
    );
    let findings = Findings::new(format!(
        "kill -9 of {}: {} leads after {:.1} s",
        SERVERS[old],
        SERVERS[leader],
        elected.as_secs_f64()
    ))
    .line(format!(
        "a rebind meanwhile went on after {:.0} ms,",
        milliseconds(during.took)
    ))
    .line(format!(
        "and its port was open at both after {:.1} s",
        closed.as_secs_f64()
    ))
    .line(format!(
        "the next one was open at both after {:.1} ms",
        milliseconds(after)
    ))
    .line(format!(
        "the {} ports that did not move were open all the time",
        others.len()
    ))
    .fact("killed", SERVERS[old])
    .fact("leader", SERVERS[leader])
    .fact("elected_ms", milliseconds(elected))
    .fact("went_on_ms", milliseconds(during.took))
    .fact("followed_ms", milliseconds(closed))
    .fact("open_ms", milliseconds(after))
    .fact("closed_ms", milliseconds(gap));
    Ok(((), findings))
}

pub(super) fn leader_back(fleet: &mut Fleet, progress: &mut Progress<'_>) -> Told {
    let all = fleet.endpoints(0..HOSTS)?;
    let begun = Instant::now();
    let stopped = (0..SERVERS.len())
        .find(|server| !fleet.cluster.runs(*server))
        .context("all servers run")?;
    fleet.cluster.start_server(stopped)?;
    until(PATIENCE, "three servers with all entries", || {
        progress.tell("waiting for it to catch up");
        let bucket = fleet.cluster.bucket()?;
        (bucket.current == SERVERS.len()).then_some(())
    })?;
    let took = begun.elapsed();
    fleet.all_right(progress)?;
    let gap = fleet.gap(&SIDES, &all, begun);
    ensure!(
        gap.is_zero(),
        "a port was closed for {} ms",
        gap.as_millis()
    );
    let findings = Findings::new(format!(
        "{} has all entries again after {:.1} s; no port was closed",
        SERVERS[stopped],
        took.as_secs_f64()
    ))
    .fact("current_ms", milliseconds(took))
    .fact("closed_ms", milliseconds(gap));
    Ok(((), findings))
}

/// Each publisher is replaced by one with another lease, without a word.
pub(super) fn shorter_lease(fleet: &mut Fleet, progress: &mut Progress<'_>) -> Told {
    let all = fleet.endpoints(0..HOSTS)?;
    let begun = Instant::now();
    for host in 0..HOSTS {
        fleet.members.kill_publisher(host)?;
        fleet
            .members
            .start_publisher(&fleet.network, host, Some(SHORT_LEASE))?;
        progress.tell(format_args!("{} of {HOSTS} publishers", host + 1));
    }
    for host in 0..HOSTS {
        progress.tell(format_args!("{host} of {HOSTS} in step"));
        let publisher = fleet.members.publisher(host)?;
        publisher.wait_for_line("the fleet knows the port", PATIENCE)?;
    }
    fleet.all_right(progress)?;
    let gap = fleet.gap(&SIDES, &all, begun);
    ensure!(
        gap.is_zero(),
        "a port was closed for {} ms",
        gap.as_millis()
    );
    let findings = Findings::new(format!(
        "each publisher killed and started again, with {} s from now on",
        SHORT_LEASE.as_secs()
    ))
    .line("no port was closed")
    .fact("lease_ms", SHORT_LEASE.as_millis() as u64)
    .fact("closed_ms", milliseconds(gap));
    Ok(((), findings))
}

/// The exception dies with its maker, and the hosts go on and name who is missing.
pub(super) fn perimeter_killed(fleet: &mut Fleet, progress: &mut Progress<'_>) -> Told {
    let side = Side::East;
    let name = side.perimeter();
    let all = fleet.endpoints(0..HOSTS)?;
    let killed = Instant::now();
    fleet.members.kill_perimeter(side)?;
    let moved = fleet.rebind(DURING)?;
    ensure!(!moved.settled, "{name} confirmed a port after its end");
    let words = format!("{name} did not confirm port");
    let trouble = until(PATIENCE, format_args!("{name} in a status"), || {
        let status = fleet.members.status(DURING)?;
        let mut troubles = status
            .firewall
            .iter()
            .filter_map(|gate| gate.trouble.clone());
        troubles.find(|trouble| trouble.starts_with(&words))
    })?;
    let closed = fleet.closed(side, &all, killed, progress)?;
    let findings = Findings::new(format!(
        "kill -9 of {name}: its last port closed after {:.1} s",
        closed.as_secs_f64()
    ))
    .line(format!(
        "a rebind went on after {:.0} ms; the status of its host says:",
        milliseconds(moved.took)
    ))
    .line(format!("\"{trouble}\""))
    .fact("closed_ms", milliseconds(closed))
    .fact("went_on_ms", milliseconds(moved.took))
    .fact("trouble", trouble);
    Ok(((), findings))
}

pub(super) fn perimeter_back(fleet: &mut Fleet, progress: &mut Progress<'_>) -> Told {
    let begun = Instant::now();
    fleet.members.start_perimeter(&fleet.network, Side::East)?;
    fleet.all_right(progress)?;
    let took = begun.elapsed();
    let rebind = fleet.settle_a_rebind(AFTERWARDS, progress)?;
    let findings = Findings::new(format!(
        "all {HOSTS} ports and every host in step after {:.1} s, by itself",
        took.as_secs_f64()
    ))
    .line(format!(
        "the next rebind was open at both after {:.1} ms",
        milliseconds(rebind)
    ))
    .fact("right_ms", milliseconds(took))
    .fact("open_ms", milliseconds(rebind));
    Ok(((), findings))
}

/// A host that dies, and one whose publisher alone does: nobody believes in their ports longer than the lease.
pub(super) fn hosts_killed(fleet: &mut Fleet, progress: &mut Progress<'_>) -> Told {
    let gone = fleet.endpoints([KILLED, SILENT])?;
    let others = fleet.endpoints((0..HOSTS).filter(|host| ![KILLED, SILENT].contains(host)))?;
    let killed = Instant::now();
    fleet.members.kill_client(KILLED)?;
    fleet.members.kill_publisher(KILLED)?;
    fleet.members.kill_publisher(SILENT)?;
    let mut longest = Duration::ZERO;
    for side in SIDES {
        longest = longest.max(fleet.closed(side, &gone, killed, progress)?);
    }
    let gap = fleet.gap(&SIDES, &others, killed);
    ensure!(
        gap.is_zero(),
        "the port of another host was closed for {} ms",
        gap.as_millis()
    );
    let findings = Findings::new(format!(
        "kill -9 of {}, and of the publisher alone of {}",
        host_name(KILLED),
        host_name(SILENT)
    ))
    .line(format!(
        "closed at both after {:.1} s; the other ports stayed open",
        longest.as_secs_f64()
    ))
    .fact("closed_ms", milliseconds(longest));
    Ok(((), findings))
}

pub(super) fn hosts_back(fleet: &mut Fleet, progress: &mut Progress<'_>) -> Told {
    let begun = Instant::now();
    for host in [KILLED, SILENT] {
        fleet
            .members
            .start_publisher(&fleet.network, host, Some(SHORT_LEASE))?;
    }
    fleet.members.start_client(&fleet.network, KILLED)?;
    fleet.all_right(progress)?;
    let took = begun.elapsed();
    let line = format!(
        "all {HOSTS} ports are open at both after {:.1} s",
        took.as_secs_f64()
    );
    Ok(((), Findings::new(line).fact("right_ms", milliseconds(took))))
}

/// The east is cut off, with one server that leads nothing.
pub(super) fn cut(
    fleet: &mut Fleet,
    progress: &mut Progress<'_>,
) -> anyhow::Result<(usize, Findings)> {
    let (west, east) = (Side::West, Side::East);
    let minority = until(PATIENCE, "a server that leads nothing", || {
        let leaders = [fleet.cluster.leader()?, fleet.cluster.bucket()?.leader];
        (0..SERVERS.len()).find(|server| !leaders.contains(server))
    })?;
    let [cut_off, theirs] = [
        fleet.endpoints(HOSTS_EACH..HOSTS)?,
        fleet.endpoints((0..HOSTS_EACH).filter(|host| *host != DURING))?,
    ];
    let at_east = fleet.endpoints(0..HOSTS)?;
    let begun = Instant::now();
    fleet.network.cut(minority)?;
    let moved = fleet.rebind(DURING)?;
    ensure!(
        !moved.settled,
        "a perimeter that is cut off confirmed a port"
    );
    let other_side = fleet.closed(west, &cut_off, begun, progress)?;
    let own_side = fleet.closed(east, &at_east, begun, progress)?;
    let gap = fleet.gap(&[west], &theirs, begun);
    ensure!(
        gap <= SHORT_LEASE,
        "a port of the majority was closed for {} ms",
        gap.as_millis()
    );
    let findings = Findings::new(format!(
        "{}, fw2 and host11..20 on one side, the rest on the other",
        SERVERS[minority]
    ))
    .line(format!(
        "the cut half: closed at fw1 after {:.1} s, at fw2 after {:.1} s",
        other_side.as_secs_f64(),
        own_side.as_secs_f64()
    ))
    .line(match gap.is_zero() {
        true => "the other half: open at fw1 all the time".to_owned(),
        false => format!(
            "the other half: closed at fw1 for {:.1} s at most",
            gap.as_secs_f64()
        ),
    })
    .fact("minority", SERVERS[minority])
    .fact("closed_ms", milliseconds(other_side))
    .fact("cut_off_closed_ms", milliseconds(own_side))
    .fact("majority_closed_ms", milliseconds(gap))
    .fact("went_on_ms", milliseconds(moved.took));
    Ok((minority, findings))
}

pub(super) fn healed(fleet: &mut Fleet, minority: usize, progress: &mut Progress<'_>) -> Told {
    let begun = Instant::now();
    fleet.network.heal()?;
    fleet.all_right(progress)?;
    let took = begun.elapsed();
    until(PATIENCE, "three servers with all entries", || {
        progress.tell(format_args!("waiting for {}", SERVERS[minority]));
        let bucket = fleet.cluster.bucket()?;
        (bucket.current == SERVERS.len()).then_some(())
    })?;
    let drops = fleet.network.drops()?;
    let rebind = fleet.settle_a_rebind(AFTERWARDS, progress)?;
    fleet.qualified(AFTERWARDS)?;
    let dropped = fleet.network.drops()? - drops;
    ensure!(dropped == 0, "the perimeters dropped {dropped} datagrams");
    let findings = Findings::new(format!(
        "all {HOSTS} ports and every host in step after {:.1} s, by itself",
        took.as_secs_f64()
    ))
    .line(format!(
        "the next rebind was open at both after {:.1} ms",
        milliseconds(rebind)
    ))
    .fact("right_ms", milliseconds(took))
    .fact("open_ms", milliseconds(rebind))
    .fact("dropped", dropped);
    Ok(((), findings))
}

impl Fleet {
    /// A rebind that both perimeters confirm in time, and how long that takes.
    fn settle_a_rebind(
        &self,
        host: usize,
        progress: &mut Progress<'_>,
    ) -> anyhow::Result<Duration> {
        let moved = self.rebind(host)?;
        ensure!(
            moved.settled,
            "{} went on before both perimeters had confirmed",
            host_name(host)
        );
        self.opened(&moved, progress)?;
        Ok(moved.settle)
    }

    /// The longest time for which one of these was closed at one of the perimeters.
    fn gap(&self, sides: &[Side], endpoints: &Open, since: Instant) -> Duration {
        let gaps = sides
            .iter()
            .map(|side| self.record.longest_gap(*side, endpoints, since));
        gaps.max().unwrap_or_default()
    }

    /// Waits until a perimeter has none of these, and says how long it took: no longer than the lease.
    fn closed(
        &self,
        side: Side,
        endpoints: &Open,
        since: Instant,
        progress: &mut Progress<'_>,
    ) -> anyhow::Result<Duration> {
        let name = side.perimeter();
        let at = until(PATIENCE, format_args!("closed ports at {name}"), || {
            progress.tell(format_args!("waiting for the end of leases at {name}"));
            self.record.closed(side, endpoints, since)
        })?;
        let took = at - since;
        ensure!(
            took <= SHORT_LEASE + LATE,
            "a port was open at {name} for {} ms, and the lease is {} ms",
            took.as_millis(),
            SHORT_LEASE.as_millis()
        );
        Ok(took)
    }
}
