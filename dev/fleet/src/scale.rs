//! All hosts join at once, renew and change for a while, and come back after a power cut.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::hosts::Hosts;
use crate::usage;

/// The lease of the bucket, and the time between renewals.
const LEASE: Duration = Duration::from_secs(15);
const RENEW: Duration = Duration::from_secs(5);

/// How long hosts renew.
const WATCHED: Duration = Duration::from_secs(30);

/// The hosts that change their port in a minute: one in so many.
const CHURN: u32 = 100;

/// How long the perimeter may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// The steps in which renewals are spread over their period.
const SLOTS: u32 = 50;

/// One round.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) hosts: u32,
    /// From the first entry to the set with all of them.
    pub(crate) joined: Duration,
    /// The share of a core that the perimeter and the three servers take while the hosts renew.
    pub(crate) perimeter_load: f64,
    pub(crate) servers_load: f64,
    /// The renewals that were written in time, as a share.
    pub(crate) renewed: f64,
    /// The elements at the fewest moment of the renewals, as a share of all.
    pub(crate) fewest: f64,
    /// From the power cut to an empty set.
    pub(crate) emptied: Duration,
    /// From the first entry after it to the set with all.
    pub(crate) rejoined: Duration,
    pub(crate) perimeter_memory: u64,
    pub(crate) server_memory: u64,
    /// The kernel's memory for one element.
    pub(crate) element_memory: f64,
}

pub(crate) async fn measure(cluster: &Cluster, count: u32) -> Result<Round> {
    let hosts = Hosts::new(cluster, count).await?;
    let all = count as usize;
    let slab = usage::slab()?;
    cluster.create_bucket(LEASE).await?;
    let began = Instant::now();
    eprintln!("{count} hosts join");
    hosts.write(0..count).await?;
    until(|| Ok(cluster.elements()? >= all)).await?;
    let joined = began.elapsed();
    let element_memory = usage::slab()?.saturating_sub(slab) as f64 / f64::from(count);

    let (perimeter_before, servers_before) = loads(cluster)?;
    let (written, _) = hosts.totals();
    let fewest = renew(cluster, &hosts).await?;
    let (perimeter, servers) = loads(cluster)?;
    let share =
        |after: Duration, before: Duration| (after - before).as_secs_f64() / WATCHED.as_secs_f64();
    let expected = f64::from(count) * WATCHED.as_secs_f64() / RENEW.as_secs_f64();
    let renewed = (hosts.totals().0 - written) as f64 / expected;

    eprintln!("power cut of {count} hosts");
    let cut = Instant::now();
    until(|| Ok(cluster.elements()? == 0)).await?;
    let emptied = cut.elapsed();
    let began = Instant::now();
    hosts.write(0..count).await?;
    until(|| Ok(cluster.elements()? >= all)).await?;
    let rejoined = began.elapsed();
    let mut server_memory = 0;
    for server in &cluster.servers {
        server_memory = server_memory.max(usage::peak_memory(server.id())?);
    }
    Ok(Round {
        hosts: count,
        joined,
        perimeter_load: share(perimeter, perimeter_before),
        servers_load: share(servers, servers_before),
        renewed,
        fewest: fewest as f64 / f64::from(count),
        emptied,
        rejoined,
        perimeter_memory: usage::peak_memory(cluster.perimeter.id())?,
        server_memory,
        element_memory,
    })
}

/// Renews all hosts, spread over the period, and moves one in [`CHURN`] a minute. Returns the fewest elements seen.
async fn renew(cluster: &Cluster, hosts: &Hosts) -> Result<usize> {
    let count = hosts.count();
    let start = Instant::now();
    let mut fewest = usize::MAX;
    let mut slot = 0;
    let mut writing = Vec::new();
    let moves = f64::from(count) / f64::from(CHURN) / 60.0 * RENEW.as_secs_f64() / f64::from(SLOTS);
    let mut due = 0.0;
    while start.elapsed() < WATCHED {
        due += moves;
        while due >= 1.0 {
            due -= 1.0;
            hosts.rebind(fastrand::u32(0..count));
        }
        let now = slot % SLOTS;
        let (task, share) = (
            hosts.clone(),
            (0..count).filter(move |host| host % SLOTS == now),
        );
        writing.push(tokio::spawn(async move { task.write(share).await }));
        slot += 1;
        if slot % SLOTS == 0 {
            fewest = fewest.min(cluster.elements()?);
        }
        tokio::time::sleep_until((start + RENEW * slot / SLOTS).into()).await;
    }
    for task in writing {
        task.await??;
    }
    Ok(fewest)
}

fn loads(cluster: &Cluster) -> Result<(Duration, Duration)> {
    let mut servers = Duration::ZERO;
    for server in &cluster.servers {
        servers += usage::processor_time(server.id())?;
    }
    Ok((usage::processor_time(cluster.perimeter.id())?, servers))
}

/// Looks often enough for seconds, and seldom enough not to disturb.
async fn until(condition: impl Fn() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !condition()? {
        ensure!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
