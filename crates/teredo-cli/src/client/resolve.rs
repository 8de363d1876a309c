//! Names of servers into addresses, again and again until it works.

use std::io;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use teredo::ServerAddress;
use teredo::wire::PORT;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(300);
/// How long the names that have an address wait for those that are still looked up.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the name service said of one name.
type Answer = io::Result<Vec<ServerAddress>>;

/// What the names stand for now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Resolution {
    /// Each server, with the name that it was configured by.
    pub(super) servers: Vec<(ServerAddress, String)>,
    /// Why a name has no address, in words.
    pub(super) trouble: Option<String>,
}

/// Resolves in the background: at once, at every [`nudge`](Self::nudge), and with a growing pause for as long as
/// a name has no address. A name whose name service is silent does not hold the others up.
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
        let task = tokio::spawn(keep_resolving(names.into(), sender, nudge.clone(), resolve));
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
    resolve: fn(&str) -> Answer,
) {
    let mut backoff = MIN_BACKOFF;
    let mut known: Vec<(ServerAddress, String)> = Vec::new();
    loop {
        let mut lookups = look_up(&names, resolve);
        let mut answers: Vec<Option<Answer>> = names.iter().map(|_| None).collect();
        let mut patience = pin!(tokio::time::sleep(PATIENCE));
        let mut patient = true;
        loop {
            tokio::select! {
                answer = lookups.recv() => match answer {
                    Some((index, answer)) => answers[index] = Some(answer),
                    None => break,
                },
                () = &mut patience, if patient => patient = false,
            }
            let so_far = merge(&names, &answers, &known);
            if !patient && !so_far.servers.is_empty() && results.send(so_far).await.is_err() {
                return;
            }
        }
        let resolution = merge(&names, &answers, &known);
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

/// Looks every name up at the same time; the answers come with the name's index, and then the channel ends.
///
/// getaddrinfo blocks for as long as the name service does, and nothing ends it. On threads of its own and not on
/// the runtime's, it keeps nobody waiting who wants the client to end.
fn look_up(
    names: &Arc<[String]>,
    resolve: fn(&str) -> Answer,
) -> mpsc::UnboundedReceiver<(usize, Answer)> {
    let (sender, answers) = mpsc::unbounded_channel();
    for index in 0..names.len() {
        let (names, answer) = (names.clone(), sender.clone());
        let started = thread::Builder::new()
            .name(String::from("resolve"))
            .spawn(move || {
                // The receiver may be gone, and then nobody minds.
                let _ = answer.send((index, resolve(&names[index])));
            });
        if let Err(error) = started {
            // The receiver is below.
            let _ = sender.send((index, Err(error)));
        }
    }
    answers
}

/// A name that fails keeps the addresses that it had: a name service that is down does not end a tunnel. So does
/// one that has no answer yet.
fn merge(
    names: &[String],
    answers: &[Option<Answer>],
    known: &[(ServerAddress, String)],
) -> Resolution {
    let mut resolution = Resolution::default();
    for (name, answer) in names.iter().zip(answers) {
        if let Some(Ok(servers)) = answer {
            let servers = servers.iter().map(|server| (*server, name.clone()));
            resolution.servers.extend(servers);
            continue;
        }
        if let Some(Err(error)) = answer {
            resolution.trouble = Some(format!("cannot resolve the server name '{name}': {error}"));
        }
        let before = known.iter().filter(|(_, known)| known == name);
        resolution.servers.extend(before.cloned());
    }
    resolution
}

fn resolve(name: &str) -> Answer {
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
/// deployed servers publish it (R4380-MS-04).
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
