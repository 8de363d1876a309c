//! Which host may name which addresses.

use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::{HostKey, ParseKeyError};

/// An IPv4 network that entries may name: of all hosts, or of one.
///
/// ```
/// use teredo_fleet::Grant;
///
/// let grant: Grant = "web=192.0.2.7/32".parse()?;
/// assert_eq!(grant.host.unwrap().as_str(), "web");
/// # Ok::<(), teredo_fleet::ParseGrantError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The host; none: any host without a grant of its own.
    pub host: Option<HostKey>,
    /// An address of the network.
    pub network: Ipv4Addr,
    /// The length of its prefix, at most 32.
    pub length: u8,
}

/// A text that is no [`Grant`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseGrantError {
    /// It is no network.
    #[error(
        "'{0}' is no network: expected NET/LEN or HOST=NET/LEN, such as 192.0.2.0/24 or web=192.0.2.7/32"
    )]
    Network(String),
    /// The part before '=' is no key.
    #[error(transparent)]
    Key(#[from] ParseKeyError),
}

impl FromStr for Grant {
    type Err = ParseGrantError;

    fn from_str(text: &str) -> Result<Self, ParseGrantError> {
        let (host, network) = match text.split_once('=') {
            Some((host, network)) => (Some(host.parse()?), network),
            None => (None, text),
        };
        let (address, length) = network.split_once('/').unwrap_or((network, "32"));
        let parsed = address.parse().ok().zip(length.parse().ok());
        match parsed {
            Some((network, length @ ..=32)) => Ok(Self {
                host,
                network,
                length,
            }),
            _ => Err(ParseGrantError::Network(text.to_owned())),
        }
    }
}

impl Grant {
    fn covers(&self, address: Ipv4Addr) -> bool {
        let shift = 32 - u32::from(self.length);
        let prefix = |address: Ipv4Addr| u32::from(address).checked_shr(shift).unwrap_or_default();
        prefix(self.network) == prefix(address)
    }
}

/// The addresses that hosts may name.
///
/// A permission of NATS binds a host to its key, and not to its address. Without grants, each host could open the ports of
/// each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(Vec<Grant>);

impl Grants {
    /// No grant permits every address to every host.
    #[must_use]
    pub fn new(grants: Vec<Grant>) -> Self {
        Self(grants)
    }

    /// Whether every host may name every address.
    #[must_use]
    pub fn permit_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether that host may name that address. If it has grants of its own, only these count. Otherwise those for all count,
    /// if no narrower one gives the address to another host.
    #[must_use]
    pub fn permit(&self, host: &HostKey, address: Ipv4Addr) -> bool {
        let mut own = self
            .0
            .iter()
            .filter(|grant| grant.host.as_ref() == Some(host))
            .peekable();
        if own.peek().is_some() {
            return own.any(|grant| grant.covers(address));
        }
        let longest = |is_shared: bool| {
            let grants = self.0.iter().filter(|grant| grant.covers(address));
            grants
                .filter(|grant| grant.host.is_none() == is_shared)
                .map(|grant| grant.length)
                .max()
        };
        self.permit_all() || longest(true).is_some_and(|shared| longest(false) <= Some(shared))
    }
}

#[cfg(test)]
mod tests;
