//! Simulated hosts: each has an address and a port, and writes its entry over one of a few connections.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow};
use async_nats::jetstream::{self, Context};
use futures_util::StreamExt as _;
use teredo_fleet::{Entry, HostKey};

use crate::cluster::Cluster;

/// The connections of all hosts together.
const CONNECTIONS: usize = 8;

/// The entries of one connection that have no acknowledgement yet.
const WINDOW: usize = 256;

/// The hosts of a round.
#[derive(Clone)]
pub(crate) struct Hosts {
    contexts: Arc<Vec<Context>>,
    /// The announcements of each host so far, which make its port.
    sequences: Arc<Vec<AtomicU32>>,
    started: Duration,
    written: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl Hosts {
    pub(crate) async fn new(cluster: &Cluster, count: u32) -> Result<Self> {
        let mut contexts = Vec::new();
        for _ in 0..CONNECTIONS {
            contexts.push(jetstream::new(cluster.connect().await?));
        }
        Ok(Self {
            contexts: Arc::new(contexts),
            sequences: Arc::new((0..count).map(|_| AtomicU32::new(1)).collect()),
            started: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?,
            written: Arc::default(),
            failed: Arc::default(),
        })
    }

    pub(crate) fn count(&self) -> u32 {
        self.sequences.len() as u32
    }

    /// The entries that the bucket has taken, and those that it has not.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.written.load(Relaxed), self.failed.load(Relaxed))
    }

    /// Moves a host to another port.
    pub(crate) fn rebind(&self, host: u32) {
        self.sequences[host as usize].fetch_add(1, Relaxed);
    }

    /// The endpoint of a host now.
    pub(crate) fn endpoint(&self, host: u32) -> SocketAddrV4 {
        // RFC 2544: 198.18.0.0/15.
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + host);
        let sequence = self.sequences[host as usize].load(Relaxed);
        SocketAddrV4::new(address, (1024 + sequence % 60_000) as u16)
    }

    fn entry(&self, host: u32) -> Result<Entry> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        Ok(Entry {
            host: key(host)?,
            address: None,
            local: Some(self.endpoint(host)),
            mapped: Some(self.endpoint(host)),
            sequence: u64::from(self.sequences[host as usize].load(Relaxed)),
            // As Linux has it.
            boot: format!("{host:08x}-0000-4000-8000-{:012x}", self.started.as_secs()),
            time: now,
            uptime: Some(now),
            lease: None,
        })
    }

    /// Writes the entries of these hosts, each until the bucket has taken it.
    pub(crate) async fn write(&self, hosts: impl IntoIterator<Item = u32>) -> Result<()> {
        let mut shares = vec![Vec::new(); CONNECTIONS];
        for host in hosts {
            shares[host as usize % CONNECTIONS].push(host);
        }
        let mut tasks = Vec::new();
        for (index, share) in shares.into_iter().enumerate() {
            let hosts = self.clone();
            tasks.push(tokio::spawn(async move {
                hosts.write_share(index, share).await
            }));
        }
        for task in tasks {
            task.await??;
        }
        Ok(())
    }

    async fn write_share(&self, connection: usize, hosts: Vec<u32>) -> Result<()> {
        let context = &self.contexts[connection];
        let mut writes = futures_util::stream::iter(hosts.into_iter().map(|host| async move {
            for _ in 0..20 {
                let entry = self.entry(host)?;
                let subject = format!("$KV.teredo_ports.{}", entry.host);
                let sent = context.publish(subject, entry.encode().into()).await;
                if let Ok(acknowledgement) = sent
                    && acknowledgement.await.is_ok()
                {
                    self.written.fetch_add(1, Relaxed);
                    return Ok(());
                }
                self.failed.fetch_add(1, Relaxed);
            }
            Err(anyhow!("host {host} cannot write its entry"))
        }))
        .buffer_unordered(WINDOW);
        while let Some(outcome) = writes.next().await {
            outcome?;
        }
        Ok(())
    }
}

fn key(host: u32) -> Result<HostKey> {
    Ok(format!("host-{host}").parse()?)
}
