//! The clients that a server knows, out of the file of secrets.

use std::sync::Arc;

use teredo::server::Security;
use teredo::{KnownClient, KnownClients};

use crate::failure::Failure;
use crate::secret::{self, Entry, SecretError};
use crate::settings::ServerSettings;

/// What stands behind the secret of a client that has to obtain a new one.
const RETIRED: &str = "retired";

/// Reads the file, where there is one.
pub(super) fn load(settings: &ServerSettings) -> Result<Security, Failure> {
    let Some(path) = &settings.secret_file else {
        return Ok(Security::Open);
    };
    let clients = clients(secret::read(path)?)
        .map_err(|(line, problem)| SecretError::syntax(path, line, problem))?;
    let clients = Arc::new(clients);
    Ok(if settings.allow_plain {
        Security::Optional(clients)
    } else {
        Security::Required(clients)
    })
}

/// Fails with the line that is wrong.
fn clients(entries: Vec<Entry>) -> Result<KnownClients, (usize, String)> {
    let mut clients = KnownClients::default();
    for entry in entries {
        let retired = match entry.word.as_deref() {
            None => false,
            Some(RETIRED) => true,
            Some(_) => {
                let problem = "what may follow the secret of a client is 'retired'";
                return Err((entry.line, problem.to_owned()));
            }
        };
        let name = entry.identifier.to_string();
        let secret = entry.secret;
        let before = clients.insert(entry.identifier, KnownClient { secret, retired });
        if before.is_some() {
            return Err((entry.line, format!("'{name}' is there already")));
        }
    }
    Ok(clients)
}

/// A line for a person: who is served.
pub(super) fn told(security: &Security) -> Option<String> {
    match security {
        Security::Optional(clients) => Some(format!(
            "clients with a secret: {}; others are served as well",
            clients.len()
        )),
        Security::Required(clients) => Some(format!(
            "clients with a secret: {}; no others are served",
            clients.len()
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
