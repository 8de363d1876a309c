//! The configuration of nats-server for a fleet: an account for each host, which can write the host's own key and nothing else.
//!
//! ```text
//!  account TEREDO                                    account TEREDO-web
//!    the bucket ── exports each key as a service ──>   imports the service of its own key
//!    perimeters, readers                               the user of the host
//! ```
//!
//! Permissions alone would not do. NATS checks no reply subject, and the server itself writes its answer there: to another
//! host's key, or to a request that empties the bucket. In an account of its own, such a subject leads nowhere.

use std::fmt::Write as _;

use nkeys::KeyPair;

use crate::bucket::{API, BUCKET, MAX_BYTES, PREFIX, STREAM};
use crate::confirm::{ASK, CONFIRMED};
use crate::servers::inbox_prefix;
use crate::{HostKey, MAX_ENTRY};

/// A user of the account, with a key pair.
#[derive(Debug)]
pub struct User {
    /// The host, or the perimeter.
    pub name: HostKey,
    /// The user's rights.
    pub role: FleetRole,
    pair: KeyPair,
}

/// The rights of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FleetRole {
    /// Write one key.
    Host,
    /// Read all keys, create the bucket, and confirm.
    Perimeter,
    /// Read all keys.
    Reader,
}

/// A seed that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no seed of a user's nkey")]
pub struct SeedError;

impl User {
    /// A user with a new key pair.
    #[must_use]
    pub fn generate(name: HostKey, role: FleetRole) -> Self {
        Self {
            name,
            role,
            pair: KeyPair::new_user(),
        }
    }

    /// A user with the pair of this seed.
    ///
    /// # Errors
    ///
    /// [`SeedError`]
    pub fn with_seed(name: HostKey, role: FleetRole, seed: &str) -> Result<Self, SeedError> {
        let seed = seed.trim();
        if !seed.starts_with("SU") {
            return Err(SeedError);
        }
        let pair = KeyPair::from_seed(seed).map_err(|_| SeedError)?;
        Ok(Self { name, role, pair })
    }

    /// The secret, for `--creds` of this user alone.
    ///
    /// # Errors
    ///
    /// [`SeedError`], which a pair with a seed does not give.
    pub fn seed(&self) -> Result<String, SeedError> {
        self.pair.seed().map_err(|_| SeedError)
    }

    fn publish(&self) -> Vec<String> {
        let name = &self.name;
        match self.role {
            // Without the usual question, the server would not answer that there is no JetStream.
            FleetRole::Host => services(name.as_str())
                .into_iter()
                .map(|(_, own)| own)
                .chain([format!("$JS.API.STREAM.INFO.{STREAM}")])
                .collect(),
            FleetRole::Perimeter => [
                watching(),
                vec![
                    format!("$JS.API.STREAM.CREATE.{STREAM}"),
                    format!("{CONFIRMED}.*.{name}"),
                ],
            ]
            .concat(),
            FleetRole::Reader => watching(),
        }
    }

    fn subscribe(&self) -> Vec<String> {
        let name = &self.name;
        let inbox = format!("{}.>", inbox_prefix(name));
        match self.role {
            FleetRole::Host => vec![inbox, format!("{CONFIRMED}.{name}.*")],
            FleetRole::Perimeter => vec![inbox, format!("{ASK}.*")],
            FleetRole::Reader => vec![inbox],
        }
    }

    /// Appends the user to the configuration.
    fn write(&self, text: &mut String) {
        let role = match self.role {
            FleetRole::Host => "host",
            FleetRole::Perimeter => "perimeter",
            FleetRole::Reader => "reader",
        };
        let list = |subjects: Vec<String>| {
            let quoted: Vec<_> = subjects
                .iter()
                .map(|subject| format!("\"{subject}\""))
                .collect();
            quoted.join(", ")
        };
        let _ = writeln!(
            text,
            "      # {role} {}\n      {{ nkey: {}, permissions: {{\n          publish: {{ allow: [{}] }}\n          \
             subscribe: {{ allow: [{}] }} }} }}",
            self.name,
            self.pair.public_key(),
            list(self.publish()),
            list(self.subscribe()),
        );
    }
}

/// The subjects that a watch of the bucket needs.
fn watching() -> Vec<String> {
    vec![
        format!("$JS.API.STREAM.INFO.{STREAM}"),
        format!("$JS.API.CONSUMER.CREATE.{STREAM}"),
        format!("$JS.API.CONSUMER.CREATE.{STREAM}.>"),
        format!("$JS.API.CONSUMER.INFO.{STREAM}.>"),
        format!("$JS.API.CONSUMER.DELETE.{STREAM}.>"),
        format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.>"),
        format!("$JS.API.DIRECT.GET.{STREAM}"),
        format!("$JS.API.DIRECT.GET.{STREAM}.>"),
        format!("$JS.FC.{STREAM}.>"),
    ]
}

/// The consumers for which the account has room: one a perimeter or reader, and the next one of each before the last has gone.
const SPARE_CONSUMERS: usize = 16;

/// The bytes of all watches, which keep no entries.
const WATCHES: i64 = 64 << 20;

/// The longest message of any client, in bytes: an entry, and the requests of the library.
const MAX_PAYLOAD: usize = 16 * MAX_ENTRY;

/// The connections of a host: one, and those of publishers that it has given up.
const MAX_CONNECTIONS: usize = 8;

/// The subscriptions of one connection.
const MAX_SUBSCRIPTIONS: usize = 64;

/// The file to be included in `nats-server.conf`.
///
/// ```
/// use teredo_fleet::{FleetRole, User, account};
///
/// let users = [User::generate("web".parse()?, FleetRole::Host)];
/// assert!(account(&users).contains("\"$KV.teredo_ports.web\""));
/// # Ok::<(), teredo_fleet::ParseKeyError>(())
/// ```
#[must_use]
pub fn account(users: &[User]) -> String {
    let readers = users
        .iter()
        .filter(|user| user.role != FleetRole::Host)
        .count();
    let consumers = readers * 4 + SPARE_CONSUMERS;
    let mut text = format!(
        "# The accounts of a Teredo fleet, written by 'teredo publish nats-config'.\n\
         # In nats-server.conf, next to 'jetstream' and 'tls': include \"teredo-fleet.conf\"\n\
         \n\
         # A client can send no longer message, and hold no more subscriptions.\n\
         max_payload: {MAX_PAYLOAD}\n\
         max_subscriptions: {MAX_SUBSCRIPTIONS}\n\
         \n\
         accounts {{\n\
         \x20 {ACCOUNT} {{\n\
         \x20   # The bucket '{BUCKET}' alone: it takes one entry a key, of at most {MAX_ENTRY} bytes each. Watches are in memory.\n\
         \x20   jetstream {{ max_memory: {}, max_store: {}, max_streams: 1, max_consumers: {consumers} }}\n\
         \x20   exports: [\n",
        WATCHES,
        // Of each replica.
        MAX_BYTES * 3 + (64 << 20)
    );
    // Writing to a text does not fail.
    for (service, _) in services("*") {
        // An answer that nobody can give, because the request names a strange reply subject, is not waited for.
        let _ = writeln!(
            text,
            "      {{ service: \"{service}\", response_threshold: \"5s\" }}"
        );
    }
    let _ = writeln!(text, "      {{ stream: \"{CONFIRMED}.*.*\" }}\n    ]");
    let (hosts, others): (Vec<_>, Vec<_>) =
        users.iter().partition(|user| user.role == FleetRole::Host);
    let _ = writeln!(text, "    users: [");
    for user in others {
        user.write(&mut text);
    }
    text += "    ]\n  }\n";
    for host in hosts {
        let name = &host.name;
        let _ = writeln!(
            text,
            "  \"{ACCOUNT}-{name}\" {{\n    limits {{ max_connections: {MAX_CONNECTIONS} }}\n    imports: ["
        );
        for (service, own) in services(name.as_str()) {
            let _ = writeln!(
                text,
                "      {{ service: {{ account: {ACCOUNT}, subject: \"{service}\" }}, to: \"{own}\" }}"
            );
        }
        let _ = writeln!(
            text,
            "      {{ stream: {{ account: {ACCOUNT}, subject: \"{CONFIRMED}.{name}.*\" }} }}\n    ]\n    users: ["
        );
        host.write(&mut text);
        text += "    ]\n  }\n";
    }
    text + "}\n"
}

/// The account with the bucket.
const ACCOUNT: &str = "TEREDO";

/// The subjects that a host asks the bucket's account for, there and in its own account; `*` stands for all hosts.
fn services(host: &str) -> [(String, String); 3] {
    let key = format!("{PREFIX}{host}");
    let ask = format!("{ASK}.{host}");
    let info = format!("STREAM.INFO.{STREAM}");
    [
        (key.clone(), key),
        (ask.clone(), ask),
        (format!("$JS.API.{info}"), format!("{API}.{info}")),
    ]
}

#[cfg(test)]
mod tests;
