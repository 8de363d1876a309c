//! The client's identifiers and secrets, out of the file of secrets, for the servers that it is configured with.

use std::collections::BTreeMap;
use std::sync::Arc;

use teredo::{Credentials, Keyring, ServerAddress};

use crate::failure::Failure;
use crate::secret::{self, Entry, SecretError};
use crate::settings::ClientSettings;

/// What the client has for its servers, by the names that they were configured with.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets {
    everywhere: Option<Arc<Credentials>>,
    servers: BTreeMap<String, Arc<Credentials>>,
}

impl Secrets {
    /// Reads the file, where there is one.
    pub(super) fn load(settings: &ClientSettings) -> Result<Self, Failure> {
        let Some(path) = &settings.secret_file else {
            return Ok(Self::default());
        };
        let secrets = Self::new(secret::read(path)?, &settings.servers)
            .map_err(|(line, problem)| SecretError::syntax(path, line, problem))?;
        Ok(secrets)
    }

    /// Fails with the line that is wrong.
    fn new(entries: Vec<Entry>, servers: &[String]) -> Result<Self, (usize, String)> {
        let mut secrets = Self::default();
        for entry in entries {
            let credentials = Arc::new(Credentials {
                identifier: entry.identifier,
                secret: entry.secret,
            });
            let before = match entry.word {
                None => secrets.everywhere.replace(credentials),
                // A secret that is never used is a slip of the finger.
                Some(server) if !servers.contains(&server) => {
                    let problem =
                        format!("'{}' is not one of the servers", server.escape_default());
                    return Err((entry.line, problem));
                }
                Some(server) => secrets.servers.insert(server, credentials),
            };
            if before.is_some() {
                let problem = "there is a secret for the same servers already";
                return Err((entry.line, problem.to_owned()));
            }
        }
        Ok(secrets)
    }

    /// The keys for the addresses that the names stand for now.
    pub(super) fn keyring<'a>(
        &self,
        servers: impl Iterator<Item = (ServerAddress, &'a str)>,
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

#[cfg(test)]
mod tests;
