//! The look-up of server names, repeated until it succeeds.

use std::fmt;
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

use crate::kernel::ELSEWHERE;

const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(300);
/// When a name is looked up again.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// The shortest pause between two look-ups.
    pause: Duration,
    /// How long an answer is good for.
    lifetime: Duration,
}

impl Pace {
    /// getaddrinfo does not tell the time to live, and a resolver of our own would bypass /etc/hosts and nsswitch.conf.
    /// Five minutes is a usual time to live of a name that may move; a look-up also follows each loss of the server.
    const USUAL: Self = Self {
        pause: Duration::from_secs(1),
        lifetime: Duration::from_secs(300),
    };
}

/// How long the names that have an address wait for the others.
const PATIENCE: Duration = Duration::from_secs(1);

/// The answer of the name service for one name.
type Answer = io::Result<Vec<ServerAddress>>;

/// A server as it is configured: a DNS name, an IPv4 address, or the two addresses of a server whose secondary address
/// is not the one after its primary address, as `192.0.2.1,198.51.100.1`.
///
/// ```
/// use teredo::ServerAddress;
/// use teredo_node::ServerName;
///
/// assert_eq!(ServerName::from("teredo.example.net").to_string(), "teredo.example.net");
/// let pair = ServerAddress { primary: [192, 0, 2, 1].into(), secondary: [198, 51, 100, 1].into() };
/// assert_eq!(ServerName::from(pair).to_string(), "192.0.2.1,198.51.100.1");
/// assert_eq!(ServerName::from("192.0.2.1,198.51.100.1").address(), Some(pair));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerName(String);

impl ServerName {
    /// The address, if the name is one and needs no look-up.
    pub fn address(&self) -> Option<ServerAddress> {
        match self.0.split_once(',') {
            Some((primary, secondary)) => Some(ServerAddress {
                primary: primary.trim().parse().ok()?,
                secondary: secondary.trim().parse().ok()?,
            }),
            None => self.0.parse().ok().map(ServerAddress::adjacent),
        }
    }

    /// The servers behind the name, by the system's name service, which may take its time.
    ///
    /// # Errors
    /// The name service does not know the name or does not answer, or the name has no IPv4 address.
    pub fn look_up(&self) -> io::Result<Vec<ServerAddress>> {
        resolve(self)
    }

    /// The name as it was configured.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for ServerName {
    fn from(name: String) -> Self {
        Self(name)
    }
}

impl From<&str> for ServerName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl From<ServerAddress> for ServerName {
    fn from(server: ServerAddress) -> Self {
        let ServerAddress { primary, secondary } = server;
        Self(if server == ServerAddress::adjacent(primary) {
            primary.to_string()
        } else {
            format!("{primary},{secondary}")
        })
    }
}

/// The current addresses of the names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolution {
    /// Each server, with the name that it was configured by.
    pub(crate) servers: Vec<(ServerAddress, ServerName)>,
    /// Why a name has no address, in words.
    pub(crate) trouble: Option<String>,
}

impl Resolution {
    /// The servers that are configured by address.
    pub(crate) fn without_look_up(names: &[ServerName]) -> Self {
        let servers = names
            .iter()
            .filter_map(|name| Some((name.address()?, name.clone())));
        Self {
            servers: servers.collect(),
            trouble: None,
        }
    }

    /// Each server.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = ServerAddress> {
        self.servers.iter().map(|(server, _)| *server)
    }

    /// A destination in the Internet: the first server, if one has an address by now.
    pub(crate) fn destination(&self) -> Ipv4Addr {
        let first = self.servers.first();
        first.map_or(ELSEWHERE, |(server, _)| server.primary)
    }

    /// Each server with its name.
    pub(crate) fn named(&self) -> impl Iterator<Item = (ServerAddress, &str)> {
        let servers = self.servers.iter();
        servers.map(|(server, name)| (*server, name.as_str()))
    }
}

/// Resolves in the background: at once, at every [`nudge`](Self::nudge), every five minutes, and with growing pauses
/// while a name has no address. A silent name service for one name does not delay the answers for the others, but it
/// delays the next round.
#[derive(Debug)]
pub(crate) struct Resolver {
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
    pub(crate) fn start(names: Vec<ServerName>) -> Self {
        let (sender, results) = mpsc::channel(1);
        let nudge = Arc::new(Notify::new());
        let task = tokio::spawn(keep_resolving(
            names.into(),
            sender,
            nudge.clone(),
            resolve,
            Pace::USUAL,
        ));
        Self {
            results,
            nudge,
            task,
        }
    }

    /// The next result; pending for ever if there will be none.
    pub(super) async fn next(&mut self) -> Resolution {
        match self.results.recv().await {
            Some(resolution) => resolution,
            None => std::future::pending().await,
        }
    }

    /// The network changed or the server is silent: a look-up that failed may work now, and one that worked may have
    /// another result.
    pub(crate) fn nudge(&self) {
        self.nudge.notify_one();
    }
}

async fn keep_resolving(
    names: Arc<[ServerName]>,
    results: mpsc::Sender<Resolution>,
    nudge: Arc<Notify>,
    resolve: fn(&ServerName) -> Answer,
    pace: Pace,
) {
    let mut backoff = MIN_BACKOFF;
    let mut known: Vec<(ServerAddress, ServerName)> = Vec::new();
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
        if names.iter().all(|name| name.address().is_some()) {
            // Addresses do not change.
            return;
        }
        // Whatever nudges does so in bursts.
        tokio::time::sleep(pace.pause).await;
        if complete {
            backoff = MIN_BACKOFF;
            // Either way it is time.
            let _ = tokio::time::timeout(pace.lifetime, nudge.notified()).await;
        } else {
            match tokio::time::timeout(backoff, nudge.notified()).await {
                Ok(()) => backoff = MIN_BACKOFF,
                Err(_) => backoff = (backoff * 2).min(MAX_BACKOFF),
            }
        }
    }
}

/// Looks up all names at the same time; each answer comes with the name's index, and then the channel ends.
///
/// getaddrinfo blocks as long as the name service does, and cannot be cancelled. It runs on threads of its own and not on
/// the runtime's, which would wait for it at the end.
fn look_up(
    names: &Arc<[ServerName]>,
    resolve: fn(&ServerName) -> Answer,
) -> mpsc::UnboundedReceiver<(usize, Answer)> {
    let (sender, answers) = mpsc::unbounded_channel();
    for index in 0..names.len() {
        let (names, answer) = (names.clone(), sender.clone());
        let started = thread::Builder::new()
            .name(String::from("resolve"))
            .spawn(move || {
                // The receiver may be gone.
                let _ = answer.send((index, resolve(&names[index])));
            });
        if let Err(error) = started {
            // The receiver is below.
            let _ = sender.send((index, Err(error)));
        }
    }
    answers
}

/// A name that fails, or has no answer yet, keeps the addresses that it had: a tunnel outlives its name service.
fn merge(
    names: &[ServerName],
    answers: &[Option<Answer>],
    known: &[(ServerAddress, ServerName)],
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

fn resolve(name: &ServerName) -> Answer {
    if let Some(address) = name.address() {
        return Ok(vec![address]);
    }
    let addresses = (name.as_str(), PORT)
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

/// Groups the addresses of a name into servers: an address that follows another one is its secondary address, as deployed
/// servers publish it (R4380-MS-04).
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
