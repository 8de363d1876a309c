//! From the event to the rule: one transaction of the agent's netlink layer, beside starting `nft`.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use teredo_lab::Namespace;
use teredo_nft::{Batch, Element, Family, KeyType, Netlink, Set, TableFlags, TableName};

use super::estimate::median;
use super::row::Target::AtMost;
use super::session::Session;

const SET: &str = "teredo_ports";
const LEASE: Duration = Duration::from_secs(30);
/// Ports of a batch.
const MANY: u16 = 1000;
const FIRST_PORT: u16 = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contestant {
    Ours,
    Nft,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Run {
    ports: u16,
    /// The median of as many changes.
    microseconds: f64,
    changes: usize,
}

pub(crate) fn measure(session: &mut Session) -> Result<()> {
    let namespace = Namespace::new()?;
    namespace.run(|| inside(session))?
}

/// In a network namespace with a ruleset of its own.
fn inside(session: &mut Session) -> Result<()> {
    let table = TableName::new(Family::Inet, "filter");
    let mut netlink = Netlink::open()?;
    let mut batch = Batch::new();
    let set = Set::new(SET, KeyType::INET_SERVICE).with_timeouts();
    batch
        .add_table(&table, TableFlags::default())
        .add_set(&table, &set);
    netlink.execute(&batch)?;
    for (ports, changes, measure, limit) in [
        (1, 40, "event to live rule", 0.01),
        (MANY, 3, "batch of 1,000 rules", 0.2),
    ] {
        let mut times = [Vec::new(), Vec::new()];
        for pair in 0..session.pairs() {
            session.progress(measure, pair);
            for (contestant, times) in [Contestant::Ours, Contestant::Nft]
                .into_iter()
                .zip(&mut times)
            {
                let mut all = Vec::new();
                for change in 0..changes {
                    // Never the ports that are there already.
                    let parity = u16::from((change + pair) % 2 == 0);
                    let first = FIRST_PORT + parity * MANY + (contestant as u16) * 2 * MANY;
                    let elapsed = match contestant {
                        Contestant::Ours => by_netlink(&mut netlink, &table, first..first + ports)?,
                        Contestant::Nft => by_nft(session, first..first + ports)?,
                    };
                    all.push(elapsed.as_secs_f64() * 1e6);
                    holds(&mut netlink, &table, first..first + ports)?;
                }
                let microseconds = median(&all).context("no change was made")?;
                let name = match contestant {
                    Contestant::Ours => "teredo",
                    Contestant::Nft => "nft",
                };
                let run = Run {
                    ports,
                    microseconds,
                    changes,
                };
                session.keep(measure, name, pair, &run)?;
                times.push(microseconds);
            }
        }
        let rival = if ports == 1 { "nft process" } else { "nft -f" };
        session.row(measure, "us", rival, [&times[0], &times[1]], AtMost(limit));
    }
    Ok(())
}

/// The agent's work for each change: the set then holds these ports and no others.
fn by_netlink(
    netlink: &mut Netlink,
    table: &TableName,
    ports: std::ops::Range<u16>,
) -> Result<Duration> {
    let start = Instant::now();
    let elements = ports.map(|port| Element::port(port).with_timeout(LEASE));
    let mut batch = Batch::new();
    batch
        .flush_set(table, SET)
        .add_elements(table, SET, elements);
    netlink.execute(&batch)?;
    Ok(start.elapsed())
}

fn by_nft(session: &Session, ports: std::ops::Range<u16>) -> Result<Duration> {
    let mut commands = format!("flush set inet filter {SET}\nadd element inet filter {SET} {{ ");
    let many = ports.len() > 1;
    for port in ports {
        // Writing to a string does not fail.
        let _ = write!(commands, "{port} timeout 30s, ");
    }
    commands.push_str("}\n");
    let mut command = Command::new("nft");
    if many {
        let file = session.path("batch.nft");
        fs::write(&file, &commands)?;
        command.arg("-f").arg(file);
    } else {
        command.arg(&commands);
    }
    command.stdin(Stdio::null());
    let start = Instant::now();
    let status = command.status().context("nft (package nftables)")?;
    let elapsed = start.elapsed();
    ensure!(status.success(), "nft failed");
    Ok(elapsed)
}

/// Fails unless the set holds these ports.
fn holds(netlink: &mut Netlink, table: &TableName, expected: std::ops::Range<u16>) -> Result<()> {
    let elements = netlink.elements(table, SET)?.context("the set is gone")?;
    let mut ports: Vec<_> = elements
        .iter()
        .filter_map(|element| element.port())
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ensure!(
        ports.iter().copied().eq(expected.clone()),
        "the set does not hold {expected:?}"
    );
    Ok(())
}
