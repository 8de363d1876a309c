//! From a rebind to the live rule, beside a bare message from one client of the cluster to another.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use async_nats::Client;
use futures_util::StreamExt as _;
use teredo_fleet::Confirmation;

use crate::cluster::Cluster;
use crate::hosts::Hosts;

/// The hosts of the fleet meanwhile.
const HOSTS: u32 = 20;

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the first may take.
const BEGIN: Duration = Duration::from_secs(30);

/// The times of both, sorted.
#[derive(Debug)]
pub(crate) struct Times {
    /// From the entry to the perimeter's confirmation, which follows the kernel's.
    pub(crate) rebinds: Vec<Duration>,
    /// From a publication to its receipt by another connection.
    pub(crate) bare: Vec<Duration>,
}

impl Times {
    pub(crate) fn quantile(sorted: &[Duration], quantile: f64) -> Duration {
        let index = ((sorted.len() - 1) as f64 * quantile).round() as usize;
        sorted[index]
    }
}

pub(crate) async fn measure(cluster: &Cluster, count: u32) -> Result<Times> {
    let hosts = Hosts::new(cluster, HOSTS).await?;
    let (here, there) = (cluster.connect().await?, cluster.connect().await?);
    cluster.create_bucket(Duration::from_secs(15)).await?;
    let mut confirmations = here.subscribe("teredo.confirmed.host-0.fw").await?;
    let mut echo = there.subscribe("bare").await?;
    here.flush().await?;
    there.flush().await?;
    hosts.write(0..HOSTS).await?;
    let mut times = Times {
        rebinds: Vec::new(),
        bare: Vec::new(),
    };
    // The perimeter may have to notice the bucket first.
    let first = tokio::time::timeout(BEGIN, confirmations.next()).await;
    first.context("the perimeter does not confirm")?;
    // In turn, so that both have the same machine.
    for round in 0..count {
        times.bare.push(bare(&here, &mut echo).await?);
        hosts.rebind(0);
        let began = Instant::now();
        hosts.write([0]).await?;
        loop {
            let message = tokio::time::timeout(PATIENCE, confirmations.next()).await?;
            let message = message.context("the subscription has ended")?;
            let confirmation = Confirmation::decode(&message.payload).context("no confirmation")?;
            if confirmation.sequence == u64::from(round) + 2 {
                break;
            }
        }
        times.rebinds.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times.rebinds.sort();
    times.bare.sort();
    Ok(times)
}

async fn bare(from: &Client, to: &mut async_nats::Subscriber) -> Result<Duration> {
    let began = Instant::now();
    from.publish("bare", "x".repeat(300).into()).await?;
    tokio::time::timeout(PATIENCE, to.next())
        .await?
        .context("the subscription has ended")?;
    Ok(began.elapsed())
}
