//! Names of servers into addresses, again and again until it works.

use std::io;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use teredo::ServerAddress;
use teredo::wire::PORT;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(300);

/// What the names stand for now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Resolution {
    /// Each server, with the name that it was configured by.
    pub(super) servers: Vec<(ServerAddress, String)>,
    /// Why a name has no address, in words.
    pub(super) trouble: Option<String>,
}

/// Resolves in the background: at once, at every [`nudge`](Self::nudge), and with a growing pause for as long as
/// a name has no address.
#[derive(Debug)]
pub(super) struct Resolver {
    results: mpsc::Receiver<Resolution>,
    nudge: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Resolver {
    /// Must be called within a tokio runtime.
    pub(super) fn start(names: Vec<String>) -> Self {
        let (sender, results) = mpsc::channel(1);
        let nudge = Arc::new(Notify::new());
        let task = tokio::spawn(keep_resolving(names.into(), sender, nudge.clone()));
        Self {
            results,
            nudge,
            task,
        }
    }

    /// The next result; pends for ever when there will be none.
    pub(super) async fn next(&mut self) -> Resolution {
        match self.results.recv().await {
            Some(resolution) => resolution,
            None => std::future::pending().await,
        }
    }

    /// The network changed: what failed may work now, and what worked may lead elsewhere.
    pub(super) fn nudge(&self) {
        self.nudge.notify_one();
    }
}

async fn keep_resolving(
    names: Arc<[String]>,
    results: mpsc::Sender<Resolution>,
    nudge: Arc<Notify>,
) {
    let mut backoff = MIN_BACKOFF;
    let mut known: Vec<(ServerAddress, String)> = Vec::new();
    loop {
        let batch = names.clone();
        // getaddrinfo blocks for as long as the name service does.
        let answers = tokio::task::spawn_blocking(move || {
            batch.iter().map(|name| resolve(name)).collect::<Vec<_>>()
        });
        let Ok(answers) = answers.await else { return };
        let resolution = merge(&names, answers, &known);
        let complete = resolution.trouble.is_none();
        known.clone_from(&resolution.servers);
        if results.send(resolution).await.is_err() {
            return;
        }
        if complete {
            backoff = MIN_BACKOFF;
            nudge.notified().await;
        } else {
            match tokio::time::timeout(backoff, nudge.notified()).await {
                Ok(()) => backoff = MIN_BACKOFF,
                Err(_) => backoff = (backoff * 2).min(MAX_BACKOFF),
            }
        }
    }
}

/// A name that fails keeps the addresses that it had: a name service that is down does not end a tunnel.
fn merge(
    names: &[String],
    answers: Vec<io::Result<Vec<ServerAddress>>>,
    known: &[(ServerAddress, String)],
) -> Resolution {
    let mut resolution = Resolution::default();
    for (name, answer) in names.iter().zip(answers) {
        match answer {
            Ok(servers) => resolution
                .servers
                .extend(servers.into_iter().map(|server| (server, name.clone()))),
            Err(error) => {
                resolution.trouble =
                    Some(format!("cannot resolve the server name '{name}': {error}"));
                resolution
                    .servers
                    .extend(known.iter().filter(|(_, known)| known == name).cloned());
            }
        }
    }
    resolution
}

fn resolve(name: &str) -> io::Result<Vec<ServerAddress>> {
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return Ok(vec![ServerAddress::adjacent(address)]);
    }
    let addresses = (name, PORT)
        .to_socket_addrs()?
        .filter_map(|address| match address.ip() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
    let servers = pair(addresses.collect());
    if servers.is_empty() {
        Err(io::Error::other("it has no IPv4 address"))
    } else {
        Ok(servers)
    }
}

/// Servers out of the addresses of a name: an address that follows another one is the other's secondary, as
/// deployed servers publish it.
fn pair(mut addresses: Vec<Ipv4Addr>) -> Vec<ServerAddress> {
    addresses.sort_unstable();
    addresses.dedup();
    let mut servers: Vec<ServerAddress> = Vec::new();
    for address in addresses {
        if servers.last().is_none_or(|last| last.secondary != address) {
            servers.push(ServerAddress::adjacent(address));
        }
    }
    servers
}

#[cfg(test)]
mod tests;
