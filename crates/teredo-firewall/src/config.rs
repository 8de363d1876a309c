//! The configuration of the agent.

use std::{fmt, num::NonZeroU16, str::FromStr, time::Duration};

use teredo_nft::{Family, TableName, UnknownFamily};

/// How long an exception outlives an agent that stopped renewing it.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(15);

/// How often the agent renews an exception; also how often it looks for a set that is missing.
pub const DEFAULT_RENEW: Duration = Duration::from_secs(5);

/// The configuration of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// The rules that let the port through.
    pub target: Target,
    /// The firewall programs of the host that have to let the port through, too. Without effect on a set of the
    /// administrator.
    pub backend: Backend,
    /// The name of a tunnel interface to close from the start, at most 15 bytes. The agent closes those of the nodes that
    /// it follows as well.
    pub interface: String,
    /// Whether traffic that a relay forwards out of its tunnel is closed, too. A client's always is.
    pub close_relay_forward: bool,
    /// Unsolicited traffic that may come in through the tunnel.
    pub allow_inbound: Vec<Exception>,
    /// How long an exception outlives an agent that stopped renewing it; at least twice `renew`.
    pub lease: Duration,
    /// How often an exception is renewed.
    pub renew: Duration,
}

impl Default for AgentConfig {
    /// A table of its own, the interface `teredo`, nothing unsolicited, [`DEFAULT_LEASE`] and
    /// [`DEFAULT_RENEW`].
    fn default() -> Self {
        Self {
            target: Target::OwnTable,
            backend: Backend::Auto,
            interface: "teredo".to_owned(),
            allow_inbound: Vec::new(),
            close_relay_forward: false,
            lease: DEFAULT_LEASE,
            renew: DEFAULT_RENEW,
        }
    }
}

impl AgentConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !is_interface_name(&self.interface) {
            return Err(ConfigError::Interface(self.interface.clone()));
        }
        if let Target::AdministratorSet(path) = &self.target
            && path.table == crate::table::name()
        {
            return Err(ConfigError::OwnTable(path.clone()));
        }
        if self.renew.is_zero() || self.lease < self.renew * 2 {
            return Err(ConfigError::Lease {
                lease: self.lease,
                renew: self.renew,
            });
        }
        Ok(())
    }
}

/// Whether an interface can have that name.
pub(crate) fn is_interface_name(name: &str) -> bool {
    matches!(name.len(), 1..=15)
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| c == '/' || c == ':' || c == '\0' || c.is_whitespace())
}

/// A configuration that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No interface can have that name.
    #[error(
        "'{0}' cannot be the name of an interface: \
         expected 1 to 15 bytes without '/', ':' or spaces"
    )]
    Interface(String),
    /// The set is in the agent's own table.
    #[error(
        "the set '{0}' is in the table that the agent keeps itself: leave the set out, or name one of another table"
    )]
    OwnTable(SetPath),
    /// The lease would lapse between two renewals.
    #[error(
        "a lease of {lease:?} cannot be kept by renewals every {renew:?}: \
         expected at least twice that"
    )]
    Lease {
        /// The lease.
        lease: Duration,
        /// The time between renewals.
        renew: Duration,
    },
}

/// The rules that let the port through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Rules in the table `inet teredo`.
    ///
    /// This suits a host on which nothing else drops the traffic: an `accept` there does not override
    /// the drop of another table at the same hook.
    #[default]
    OwnTable,
    /// The administrator's rules, which look in this set. The agent adds and removes its own elements, and no other.
    AdministratorSet(SetPath),
}

/// The programs of a host beside which a table of the agent's own opens the port.
///
/// ```
/// use teredo_firewall::Backend;
///
/// assert_eq!("firewalld".parse(), Ok(Backend::Firewalld));
/// assert_eq!(Backend::default().to_string(), "auto");
/// assert_eq!(
///     "iptables".parse::<Backend>().unwrap_err().to_string(),
///     "'iptables' is no backend: expected auto, nftables, firewalld or ufw",
/// );
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Those that are found, now and later.
    #[default]
    Auto,
    /// None: the agent's table alone.
    Nftables,
    /// firewalld: the agent asks it over D-Bus to open the port in its zones, with a timeout.
    Firewalld,
    /// ufw: the agent marks the datagrams, and a line of the administrator accepts the mark. [`ufw_commands`] says which.
    ///
    /// [`ufw_commands`]: crate::ufw_commands
    Ufw,
}

impl Backend {
    const ALL: [Self; 4] = [Self::Auto, Self::Nftables, Self::Firewalld, Self::Ufw];

    /// Whether the agent works with that program if it is there.
    pub(crate) fn includes(self, program: Self) -> bool {
        self == Self::Auto || self == program
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Nftables => "nftables",
            Self::Firewalld => "firewalld",
            Self::Ufw => "ufw",
        })
    }
}

impl FromStr for Backend {
    type Err = ParseBackendError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|backend| backend.to_string() == text)
            .ok_or_else(|| ParseBackendError(text.to_owned()))
    }
}

/// A text that names no backend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no backend: expected auto, nftables, firewalld or ufw")]
pub struct ParseBackendError(String);

/// A set by its family, table and name: `inet filter teredo_ports`.
///
/// ```
/// use teredo_firewall::SetPath;
///
/// let path: SetPath = "inet filter teredo_ports".parse()?;
/// assert_eq!(path.set, "teredo_ports");
/// assert_eq!(
///     "filter teredo_ports".parse::<SetPath>().unwrap_err().to_string(),
///     "'filter teredo_ports' names no set: \
///      expected 'FAMILY TABLE SET', for example 'inet filter teredo_ports'",
/// );
/// # Ok::<(), teredo_firewall::ParseSetError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SetPath {
    /// The table that the set is in.
    pub table: TableName,
    /// The name of the set.
    pub set: String,
}

/// The limit of nftables (`NFT_NAME_MAXLEN` less the NUL).
const MAX_NAME: usize = 255;

impl SetPath {
    /// The command that creates such a set as the agent needs it, and its table if that is missing, too.
    #[must_use]
    pub fn create_command(&self) -> String {
        let table = &self.table;
        format!(
            "nft add table {table} && nft add set {self} '{{ type inet_service; flags timeout; }}'"
        )
    }
}

impl fmt::Display for SetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.table, self.set)
    }
}

impl FromStr for SetPath {
    type Err = ParseSetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [family, table, set] = words[..] else {
            return Err(ParseSetError::Shape(text.to_owned()));
        };
        let family: Family = family.parse()?;
        if let Some(name) = [table, set]
            .into_iter()
            .find(|name| name.len() > MAX_NAME || name.contains('\0'))
        {
            return Err(ParseSetError::Name(name.to_owned()));
        }
        Ok(Self {
            table: TableName::new(family, table),
            set: set.to_owned(),
        })
    }
}

/// A text that names no set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseSetError {
    /// There are not three words.
    #[error(
        "'{0}' names no set: expected 'FAMILY TABLE SET', for example 'inet filter teredo_ports'"
    )]
    Shape(String),
    /// The first word is no family.
    #[error(transparent)]
    Family(#[from] UnknownFamily),
    /// A name is none.
    #[error("'{0}' cannot be a name in nftables: expected at most 255 bytes without NUL")]
    Name(String),
}

/// Traffic that may come in through the tunnel unsolicited: `22/tcp`.
///
/// ```
/// use teredo_firewall::{Exception, Protocol};
///
/// let exception: Exception = "22/tcp".parse()?;
/// assert_eq!((exception.port.get(), exception.protocol), (22, Protocol::Tcp));
/// assert_eq!(
///     "ssh".parse::<Exception>().unwrap_err().to_string(),
///     "'ssh' is no exception: expected PORT/PROTO, for example 22/tcp",
/// );
/// # Ok::<(), teredo_firewall::ParseExceptionError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Exception {
    /// The destination port.
    pub port: NonZeroU16,
    /// The transport protocol.
    pub protocol: Protocol,
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

impl FromStr for Exception {
    type Err = ParseExceptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (port, protocol) = text
            .split_once('/')
            .ok_or_else(|| ParseExceptionError::Shape(text.to_owned()))?;
        let protocol = Protocol::ALL
            .into_iter()
            .find(|known| protocol.eq_ignore_ascii_case(known.name()))
            .ok_or_else(|| ParseExceptionError::Protocol(protocol.to_owned()))?;
        let port = port
            .parse()
            .map_err(|_| ParseExceptionError::Port(port.to_owned()))?;
        Ok(Self { port, protocol })
    }
}

/// A text that is no exception.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseExceptionError {
    /// The slash is missing.
    #[error("'{0}' is no exception: expected PORT/PROTO, for example 22/tcp")]
    Shape(String),
    /// The part before the slash is no port.
    #[error("'{0}' is no port: expected a number from 1 to 65535")]
    Port(String),
    /// The part behind the slash is no protocol with ports.
    #[error("'{0}' is no protocol with ports: expected tcp, udp, sctp or dccp")]
    Protocol(String),
}

/// A transport protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
    /// DCCP
    Dccp,
}

impl Protocol {
    const ALL: [Self; 4] = [Self::Tcp, Self::Udp, Self::Sctp, Self::Dccp];

    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
            Self::Dccp => "dccp",
        }
    }

    /// The IANA number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
            Self::Dccp => 33,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
