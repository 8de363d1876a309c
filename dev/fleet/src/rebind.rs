//! From a rebind to the live rule, beside a bare message from one client of the cluster to another.

use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use async_nats::{Client, Subscriber};
use futures_util::StreamExt as _;
use teredo_fleet::Confirmation;
use teredo_nft::Monitor;

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
    /// From the entry to the bucket's acknowledgement, without a perimeter's part in it.
    pub(crate) written: Vec<Duration>,
    /// From the entry to the kernel's transaction at the perimeter.
    pub(crate) live: Vec<Duration>,
    /// From the entry to the perimeter's confirmation, for which a host waits before it uses its port.
    pub(crate) confirmed: Vec<Duration>,
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
        written: Vec::new(),
        live: Vec::new(),
        confirmed: Vec::new(),
        bare: Vec::new(),
    };
    let mut kernel = Monitor::open(0)?;
    // The perimeter may have to notice the bucket first.
    let first = tokio::time::timeout(BEGIN, confirmations.next()).await;
    first.context("the perimeter does not confirm")?;
    // In turn, so that both have the same machine.
    for round in 0..count {
        times.bare.push(bare(&here, &mut echo).await?);
        hosts.rebind(0);
        let rebind = rebind(&hosts, &mut kernel, &mut confirmations, round + 2);
        let [written, live, confirmed] = tokio::time::timeout(PATIENCE, rebind).await??;
        ensure!(cluster.holds(hosts.endpoint(0))?, "the set lacks the port");
        times.written.push(written);
        times.live.push(live);
        times.confirmed.push(confirmed);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for all in [
        &mut times.written,
        &mut times.live,
        &mut times.confirmed,
        &mut times.bare,
    ] {
        all.sort();
    }
    Ok(times)
}

/// Writes the entry of a host, and waits for all that follows from it.
async fn rebind(
    hosts: &Hosts,
    kernel: &mut Monitor,
    confirmations: &mut Subscriber,
    sequence: u32,
) -> Result<[Duration; 3]> {
    let began = Instant::now();
    let mut write = pin!(hosts.write([0]));
    let (mut written, mut live, mut confirmed) = (None, None, None);
    loop {
        if let (Some(written), Some(live), Some(confirmed)) = (written, live, confirmed) {
            return Ok([written, live, confirmed]);
        }
        tokio::select! {
            biased;
            // The last transaction before the confirmation: another one may renew other hosts.
            change = kernel.changed(), if live.is_none() || confirmed.is_none() => {
                change?;
                live = Some(began.elapsed());
            }
            message = confirmations.next() => {
                let message = message.context("the subscription has ended")?;
                let confirmation = Confirmation::decode(&message.payload).context("no confirmation")?;
                if confirmation.sequence == u64::from(sequence) {
                    confirmed = Some(began.elapsed());
                }
            }
            outcome = &mut write, if written.is_none() => {
                outcome?;
                written = Some(began.elapsed());
            }
        }
    }
}

async fn bare(from: &Client, to: &mut Subscriber) -> Result<Duration> {
    let began = Instant::now();
    from.publish("bare", "x".repeat(300).into()).await?;
    tokio::time::timeout(PATIENCE, to.next())
        .await?
        .context("the subscription has ended")?;
    Ok(began.elapsed())
}
