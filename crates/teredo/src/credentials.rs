//! The identifiers and secrets of secure qualification (RFC 4380 §5.2.2), on either side.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::wire::Secret;

/// The name of a client, configured on both sides (RFC 4380 §5.2.2): 1 to 255 bytes. It is not secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identifier(Box<[u8]>);

impl Identifier {
    /// The most bytes that fit into the element (RFC 4380 §5.1.1).
    pub const MAX_LEN: usize = 255;

    /// `None` if `bytes` is empty or longer than [`Self::MAX_LEN`].
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

/// The identity of a client, and its proof.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The name by which the server knows the client.
    pub identifier: Identifier,
    /// The secret that only client and server know.
    pub secret: Secret,
}

/// A client's credentials for its servers. Other servers are asked with a nonce alone.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    everywhere: Option<Arc<Credentials>>,
    servers: BTreeMap<Ipv4Addr, Arc<Credentials>>,
}

impl Keyring {
    /// Sets the credentials for every server that has none of its own.
    pub fn set_everywhere(&mut self, credentials: Arc<Credentials>) {
        self.everywhere = Some(credentials);
    }

    /// Sets the credentials for the server with this primary address.
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

/// A known client.
#[derive(Clone, Debug)]
pub struct KnownClient {
    /// The secret that only client and server know.
    pub secret: Secret,
    /// Whether to ask the client to obtain a new key (RFC 4380 §5.2.2). It is served either way.
    pub retired: bool,
}

impl KnownClients {
    /// Adds a client; returns an earlier one with the same identifier.
    pub fn insert(&mut self, identifier: Identifier, client: KnownClient) -> Option<KnownClient> {
        self.0.insert(identifier, client)
    }

    /// The client with this identifier.
    pub fn get(&self, identifier: &[u8]) -> Option<&KnownClient> {
        self.0.get(identifier)
    }

    /// The number of clients.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no clients.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;
