//! Settings that are valid one by one, but not together.

use std::net::Ipv4Addr;

use crate::config::{Config, Place};

/// Why settings cannot be used together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Conflict {
    #[error(
        "'host' and 'serve' under [relay] contradict each other: with 'host', the relay serves this host alone"
    )]
    HostServes,
    #[error("--allow-plain ('allow_plain') needs a secret file")]
    PlainWithoutSecrets,
    #[error("{primary} has no next address to be the secondary one")]
    NoNextAddress {
        key: &'static str,
        primary: Ipv4Addr,
    },
    #[error("a server needs two addresses, but both are {primary}")]
    OneAddress {
        key: &'static str,
        primary: Ipv4Addr,
    },
    #[error("{address} is in two pairs")]
    InTwoPairs {
        key: &'static str,
        address: Ipv4Addr,
    },
}

impl Conflict {
    pub(crate) const fn section(&self) -> &'static str {
        match self {
            Self::HostServes => "relay",
            _ => "server",
        }
    }

    /// One of the keys that take part.
    pub(crate) const fn key(&self) -> &'static str {
        match self {
            Self::HostServes => "host",
            Self::PlainWithoutSecrets => "allow_plain",
            Self::NoNextAddress { key, .. }
            | Self::OneAddress { key, .. }
            | Self::InTwoPairs { key, .. } => key,
        }
    }

    /// Where a file sets this key.
    pub(crate) fn place(&self, config: &Config) -> Option<Place> {
        let places = match self {
            Self::HostServes => &config.relay.places,
            _ => &config.server.places,
        };
        places.get(self.key()).cloned()
    }

    /// The next step.
    pub(crate) const fn remedy(&self) -> &'static str {
        match self {
            Self::HostServes => "remove one of the two keys",
            Self::PlainWithoutSecrets => {
                "add --secret-file FILE ('secret_file'); without either the server serves every client"
            }
            Self::NoNextAddress { .. } => "give --secondary B ('secondary')",
            Self::OneAddress { .. } => {
                "clients use the second address to detect a symmetric NAT (RFC 4380 §5.2.1)"
            }
            Self::InTwoPairs { .. } => {
                "without --secondary ('secondary'), the secondary address is the primary address plus one"
            }
        }
    }
}
