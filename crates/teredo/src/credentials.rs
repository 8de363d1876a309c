//! Who a client is to a server (RFC 4380 §5.2.2), and which client has which secret for which server.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::wire::Secret;

/// The name of a client, which both sides are configured with (RFC 4380 §5.2.2): 1 to 255 bytes. No secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identifier(Box<[u8]>);

impl Identifier {
    /// The longest that the element has room for, in bytes (RFC 4380 §5.1.1).
    pub const MAX_LEN: usize = 255;

    /// `None` where `bytes` is empty or longer than [`Self::MAX_LEN`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=Self::MAX_LEN)
            .contains(&bytes.len())
            .then(|| Self(bytes.into()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Identifier {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// What a client proves to a server who it is with.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The name that the server knows it by.
    pub identifier: Identifier,
    /// What only the two of them know.
    pub secret: Secret,
}

/// A client's credentials for its servers. A server without any is asked with a nonce alone.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    everywhere: Option<Arc<Credentials>>,
    servers: BTreeMap<Ipv4Addr, Arc<Credentials>>,
}

impl Keyring {
    /// The credentials for every server that has none of its own.
    pub fn set_everywhere(&mut self, credentials: Arc<Credentials>) {
        self.everywhere = Some(credentials);
    }

    /// The credentials for the server with this primary address.
    pub fn set(&mut self, server: Ipv4Addr, credentials: Arc<Credentials>) {
        self.servers.insert(server, credentials);
    }

    /// The credentials for the server with this primary address.
    pub fn get(&self, server: Ipv4Addr) -> Option<&Credentials> {
        let own = self.servers.get(&server);
        own.or(self.everywhere.as_ref()).map(AsRef::as_ref)
    }
}

/// The clients that a server knows.
#[derive(Clone, Debug, Default)]
pub struct KnownClients(BTreeMap<Identifier, KnownClient>);

/// One of them.
#[derive(Clone, Debug)]
pub struct KnownClient {
    /// What only the two of them know.
    pub secret: Secret,
    /// Whether the client is told to obtain a new key (RFC 4380 §5.2.2). It is served all the same.
    pub retired: bool,
}

impl KnownClients {
    /// Adds a client; returns the one that had the identifier before.
    pub fn insert(&mut self, identifier: Identifier, client: KnownClient) -> Option<KnownClient> {
        self.0.insert(identifier, client)
    }

    /// The client with this identifier.
    pub fn get(&self, identifier: &[u8]) -> Option<&KnownClient> {
        self.0.get(identifier)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;
