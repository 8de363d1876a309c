//! The client's identifiers and secrets, from the file of secrets, for the servers that it is configured with.

use teredo::Credentials;
use teredo_node::ServerKeys;

use crate::secret::{self, Entry, SecretError};
use crate::settings::ClientSettings;

/// Reads the file, if one is configured.
pub(crate) fn load(settings: &ClientSettings) -> Result<ServerKeys, SecretError> {
    let Some(path) = &settings.secret_file else {
        return Ok(ServerKeys::default());
    };
    keys(secret::read(path)?, &settings.servers)
        .map_err(|(line, problem)| SecretError::syntax(path, line, problem))
}

/// Fails with the line that is wrong.
fn keys(entries: Vec<Entry>, servers: &[String]) -> Result<ServerKeys, (usize, String)> {
    let mut keys = ServerKeys::default();
    for entry in entries {
        let credentials = Credentials {
            identifier: entry.identifier,
            secret: entry.secret,
        };
        let before = match entry.word {
            None => keys.set_everywhere(credentials),
            // A secret that is never used is a mistake.
            Some(server) if !servers.contains(&server) => {
                let problem = format!("'{}' is not one of the servers", server.escape_default());
                return Err((entry.line, problem));
            }
            Some(server) => keys.set(server, credentials),
        };
        if before {
            let problem = "there is a secret for the same servers already";
            return Err((entry.line, problem.to_owned()));
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests;
