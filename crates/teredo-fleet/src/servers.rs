//! The NATS servers, and the right to use them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{
    Client, ClientError, ConnectOptions, Event, ReconnectToServer, ServerAddr, ServerError,
};
use tokio::sync::mpsc;

use crate::HostKey;
use crate::cause::Attempts;
use crate::turns::Turns;

/// How long a server may take to accept a connection, or to answer a request.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest pause between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The attempts of a connection that its owner has given up, before it ends. Its owner gives one up within 10 s
/// (`doubt.rs`), in which there are not as many.
const ATTEMPTS: usize = 30;

/// The messages of a subscription that may wait: twice what a watch asks for.
const ROOM: usize = 8192;

/// Events that wait; those of a connection are few.
const EVENTS: usize = 64;

/// Where the bucket is, and how to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// The addresses of one or more servers of the cluster.
    pub urls: Urls,
    /// A credentials file, or the file of an nkey's seed.
    pub creds: Option<PathBuf>,
    /// The certificates of the authorities that may have signed the server's, in PEM; none: those of the system.
    pub ca: Option<PathBuf>,
}

/// One or more addresses of servers, with commas between.
///
/// ```
/// use teredo_fleet::Urls;
///
/// let urls: Urls = "tls://nats-1.example,tls://nats-2.example:4223".parse()?;
/// assert!(urls.are_encrypted());
/// let urls: Urls = "nats://user:secret@nats.example".parse()?;
/// assert_eq!(urls.to_string(), "nats://nats.example");
/// let error = "ftp://user:secret@nats.example".parse::<Urls>().unwrap_err();
/// assert!(!error.to_string().contains("secret"));
/// # Ok::<(), teredo_fleet::ParseUrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Urls(Vec<String>);

/// A text that names no server. It does not show what may be a user and a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' names no NATS server: expected tls://HOST[:PORT] or nats://HOST[:PORT], more than one with commas between"
)]
pub struct ParseUrlError(String);

impl Urls {
    /// Whether each of them asks for TLS.
    #[must_use]
    pub fn are_encrypted(&self) -> bool {
        self.0
            .iter()
            .filter_map(|url| url.parse::<ServerAddr>().ok())
            .all(|server| server.tls_required())
    }
}

impl FromStr for Urls {
    type Err = ParseUrlError;

    fn from_str(text: &str) -> Result<Self, ParseUrlError> {
        let urls = text.split(',').map(str::trim).map(|url| {
            let parsed = url.parse::<ServerAddr>().ok();
            let is_one = parsed.is_some_and(|server| {
                !server.host().is_empty() && matches!(server.scheme(), "nats" | "tls")
            });
            match is_one {
                true => Ok(url.to_owned()),
                false => Err(ParseUrlError(without_secret(url))),
            }
        });
        urls.collect::<Result<_, _>>().map(Self)
    }
}

/// Without the user and the password that a URL may hold.
impl fmt::Display for Urls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, url) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let scheme = if url.contains("://") { "" } else { "nats://" };
            write!(f, "{comma}{scheme}{}", without_secret(url))?;
        }
        Ok(())
    }
}

/// As they are displayed.
impl fmt::Debug for Urls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Urls({self})")
    }
}

fn without_secret(url: &str) -> String {
    let Some((secret, host)) = url.rsplit_once('@') else {
        return url.to_owned();
    };
    match secret.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://{host}"),
        None => host.to_owned(),
    }
}

/// Why there is no connection, and will be none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file holds no credentials.
    #[error("{} holds neither credentials nor the seed of an nkey", .0.display())]
    Credentials(PathBuf),
    /// A file holds no certificate.
    #[error("{} holds no certificate of an authority", .0.display())]
    Authority(PathBuf),
    /// The options cannot work.
    #[error("cannot connect: {0}")]
    Options(#[from] async_nats::ConnectError),
}

/// A connection, and what happens to it. A [`ClientError`] is in words, and says why there is none.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) events: mpsc::Receiver<Event>,
}

impl Servers {
    /// Whether the connection is encrypted whatever the server says.
    #[must_use]
    pub fn are_encrypted(&self) -> bool {
        self.ca.is_some() || self.urls.are_encrypted()
    }
}

/// Makes one connection after the other.
#[derive(Debug)]
pub(crate) struct Connector {
    servers: Servers,
    /// The name of this program at the servers.
    name: String,
    /// The key whose subjects the answers have.
    key: HostKey,
    /// The time between two signs of life of the server, of which three may be missing.
    ping: Duration,
    /// The messages of a subscription that may wait to be taken.
    room: usize,
    turns: Arc<Turns>,
}

impl Connector {
    pub(crate) fn new(servers: &Servers, name: String, key: &HostKey, ping: Duration) -> Self {
        Self {
            servers: servers.clone(),
            name,
            key: key.clone(),
            ping,
            room: ROOM,
            turns: Arc::default(),
        }
    }

    /// One whose subscriptions let so many messages wait. More are dropped.
    pub(crate) fn with_room_for(self, messages: usize) -> Self {
        Self {
            room: messages,
            ..self
        }
    }

    /// Connects now or later: servers that are not there are no error.
    pub(crate) async fn connect(&self) -> Result<Connection, ConnectError> {
        let (sender, events) = mpsc::channel(EVENTS);
        let attempts = Arc::new(Attempts::default());
        tokio::spawn(Arc::clone(&attempts).tell(sender.clone()));
        let (shown, turns, owner) = (
            Arc::clone(&attempts),
            Arc::clone(&self.turns),
            sender.clone(),
        );
        let mut options = ConnectOptions::new()
            .name(&self.name)
            .custom_inbox_prefix(inbox_prefix(&self.key))
            .retry_on_initial_connect()
            // The library goes on after its client is gone.
            .max_reconnects(ATTEMPTS)
            // A server in a cluster names the addresses of all its interfaces. Those that count are configured.
            .ignore_discovered_servers()
            .connection_timeout(PATIENCE)
            .request_timeout(Some(PATIENCE))
            .ping_interval(self.ping)
            .subscription_capacity(self.room)
            .reconnect_delay_callback(|attempts| {
                let pause = Duration::from_millis(50).saturating_mul(1 << attempts.min(6));
                pause.min(LONGEST_PAUSE)
            })
            // The library shows the servers with their last errors.
            .reconnect_to_server_callback(move |servers, _info| {
                shown.note_servers(&servers);
                let addresses: Vec<_> = servers.into_iter().map(|server| server.addr).collect();
                // A connection that was given up takes no turn of the next one.
                let next = (!owner.is_closed()).then(|| turns.next(&addresses));
                let chosen = next.flatten();
                std::future::ready(chosen.map(|addr| ReconnectToServer { addr, delay: None }))
            })
            .event_callback(move |event| {
                match event {
                    Event::Connected => attempts.note_connection(true),
                    Event::Disconnected => attempts.note_connection(false),
                    // The kind of the error alone.
                    Event::ClientError(ClientError::Other(_)) => return std::future::ready(()),
                    _ => {}
                }
                // A full channel holds news enough.
                drop(sender.try_send(event));
                std::future::ready(())
            });
        if let Some(path) = &self.servers.creds {
            options = authenticate(options, path)?;
        }
        if let Some(path) = &self.servers.ca {
            // The library reads the file later, and its error names no path.
            if !read(path)?.contains("-----BEGIN CERTIFICATE-----") {
                return Err(ConnectError::Authority(path.clone()));
            }
            options = options.add_root_certificates(path.clone());
        }
        options = options.require_tls(self.servers.are_encrypted());
        let client = options.connect(self.servers.urls.0.as_slice()).await?;
        Ok(Connection { client, events })
    }
}

/// The first version of nats-server that no host can end with a single message (nats-server #3862: an answer to a wildcard).
const SOUND: (u32, u32, u32) = (2, 9, 15);

/// Warns of a server that any host can end.
pub(crate) fn judge(client: &Client) {
    let version = client.server_info().version;
    if is_fragile(&version) {
        tracing::warn!(
            version,
            "any host with a key can end this server: nats-server 2.9.15 or later is safe from that"
        );
    }
}

fn is_fragile(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map(|part| part.parse().ok());
    let mut next = || numbers.next().flatten();
    // One of an unknown form is not judged.
    matches!((next(), next(), next()), (Some(major), Some(minor), Some(patch)) if (major, minor, patch) < SOUND)
}

/// The prefix of the subjects of answers: a permission for it is one for a host's own answers alone.
pub(crate) fn inbox_prefix(key: &HostKey) -> String {
    format!("_INBOX_{key}")
}

/// The words of a server's refusal. A permission is missing if the key is not that of `owner`.
pub(crate) fn refusal(error: &ServerError, owner: &str) -> String {
    let words = error.to_string();
    if words.contains("Permissions Violation") {
        format!("the key of --creds is not that of {owner}: {words}")
    } else {
        words
    }
}

fn read(path: &Path) -> Result<String, ConnectError> {
    std::fs::read_to_string(path).map_err(|source| ConnectError::File {
        path: path.to_owned(),
        source,
    })
}

/// A file with a JWT is one of a server with operators; a seed alone is for a server with nkeys in its configuration.
fn authenticate(options: ConnectOptions, path: &Path) -> Result<ConnectOptions, ConnectError> {
    let text = read(path)?;
    let wrong = || ConnectError::Credentials(path.to_owned());
    if text.contains("BEGIN NATS USER JWT") {
        return options.credentials(&text).map_err(|_| wrong());
    }
    let seed = text
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("SU"))
        .ok_or_else(wrong)?;
    nkeys::KeyPair::from_seed(seed).map_err(|_| wrong())?;
    Ok(options.nkey(seed.to_owned()))
}

#[cfg(test)]
mod tests;
