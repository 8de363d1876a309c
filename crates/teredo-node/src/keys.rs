//! The client's identifiers and secrets, by the names of the servers (RFC 4380 §5.2.2).

use std::collections::BTreeMap;
use std::sync::Arc;

use teredo::{Credentials, Keyring, ServerAddress};

/// Credentials for all servers, and for single ones by their names in the configuration. The addresses behind a name may
/// change.
#[derive(Clone, Debug, Default)]
pub struct ServerKeys {
    everywhere: Option<Arc<Credentials>>,
    servers: BTreeMap<String, Arc<Credentials>>,
}

impl ServerKeys {
    /// Sets the credentials for every server that has none of its own. Returns whether there were some before.
    pub fn set_everywhere(&mut self, credentials: Credentials) -> bool {
        self.everywhere.replace(Arc::new(credentials)).is_some()
    }

    /// Sets the credentials for the server that is configured as `name`. Returns whether there were some before.
    pub fn set(&mut self, name: impl Into<String>, credentials: Credentials) -> bool {
        let before = self.servers.insert(name.into(), Arc::new(credentials));
        before.is_some()
    }

    /// The keys for the current addresses of the names.
    pub fn keyring<'a>(
        &self,
        servers: impl IntoIterator<Item = (ServerAddress, &'a str)>,
    ) -> Keyring {
        let mut keyring = Keyring::default();
        if let Some(credentials) = &self.everywhere {
            keyring.set_everywhere(Arc::clone(credentials));
        }
        for (server, name) in servers {
            if let Some(credentials) = self.servers.get(name) {
                keyring.set(server.primary, Arc::clone(credentials));
            }
        }
        keyring
    }
}
