//! The configuration file and its drop-ins.
//!
//! Reads `/etc/teredo/teredo.toml`, then `/etc/teredo/teredo.toml.d/*.toml` in the order of their names. A key in a
//! later file replaces the same key of an earlier one, and the command line replaces both. An unknown key is an error:
//! a setting without effect is worse than a service that does not start.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use teredo::Prefix;
use teredo_firewall::{Exception, SetPath};
use teredo_tunnel::offload::Offload;

use crate::args::{DEFAULT_CONFIG, NativePolicy};
use crate::failure::{Exit, Failure};
use crate::nearest::nearest;

mod field;

/// All settings that a file may hold; `None` means that the file does not set it.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) client: ClientSection,
    pub(crate) server: ServerSection,
    pub(crate) relay: RelaySection,
    pub(crate) firewall: FirewallSection,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClientSection {
    #[serde(deserialize_with = "field::hosts")]
    pub(crate) servers: Option<Vec<String>>,
    #[serde(deserialize_with = "field::interface")]
    pub(crate) interface: Option<String>,
    pub(crate) bind: Option<Ipv4Addr>,
    #[serde(deserialize_with = "field::port")]
    pub(crate) port: Option<NonZeroU16>,
    pub(crate) default_route: Option<bool>,
    pub(crate) allow_private: Option<bool>,
    #[serde(deserialize_with = "field::networks")]
    pub(crate) deny: Option<Vec<(Ipv4Addr, u8)>>,
    pub(crate) secret_file: Option<PathBuf>,
    pub(crate) protect: Option<bool>,
    pub(crate) local_discovery: Option<bool>,
    #[serde(deserialize_with = "field::refresh_interval")]
    pub(crate) refresh_interval: Option<Duration>,
    pub(crate) determine_refresh: Option<bool>,
    pub(crate) native_ipv6: Option<NativePolicy>,
    #[serde(deserialize_with = "field::parsed")]
    pub(crate) offload: Option<Offload>,
    pub(crate) group: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerSection {
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) secondary: Option<Ipv4Addr>,
    /// Further pairs of addresses.
    pub(crate) pairs: Option<Vec<Pair>>,
    pub(crate) allow_private: Option<bool>,
    #[serde(deserialize_with = "field::prefixes")]
    pub(crate) serve: Option<Vec<Prefix>>,
    #[serde(deserialize_with = "field::networks")]
    pub(crate) deny: Option<Vec<(Ipv4Addr, u8)>>,
    pub(crate) secret_file: Option<PathBuf>,
    pub(crate) allow_plain: Option<bool>,
    #[serde(deserialize_with = "field::workers")]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Packets per second forwarded to one destination; 0 means no limit.
    pub(crate) relay_rate: Option<u32>,
    /// Packets per second forwarded in total; 0 means no limit.
    pub(crate) relay_total: Option<u32>,
    /// Router advertisements per second to one address; 0 means no limit.
    pub(crate) advertisement_rate: Option<u32>,
}

/// The two addresses of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pair {
    pub(crate) address: Ipv4Addr,
    /// By default the address plus one.
    #[serde(default)]
    pub(crate) secondary: Option<Ipv4Addr>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RelaySection {
    pub(crate) address: Option<Ipv4Addr>,
    #[serde(deserialize_with = "field::port")]
    pub(crate) port: Option<NonZeroU16>,
    pub(crate) host: Option<bool>,
    #[serde(deserialize_with = "field::prefixes")]
    pub(crate) serve: Option<Vec<Prefix>>,
    #[serde(deserialize_with = "field::networks")]
    pub(crate) deny: Option<Vec<(Ipv4Addr, u8)>>,
    pub(crate) direct_bubbles: Option<bool>,
    #[serde(deserialize_with = "field::workers")]
    pub(crate) workers: Option<NonZeroUsize>,
    #[serde(deserialize_with = "field::interface")]
    pub(crate) interface: Option<String>,
    pub(crate) protect: Option<bool>,
    pub(crate) allow_private: Option<bool>,
    #[serde(deserialize_with = "field::parsed")]
    pub(crate) offload: Option<Offload>,
    pub(crate) group: Option<String>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FirewallSection {
    #[serde(deserialize_with = "field::parsed")]
    pub(crate) set: Option<SetPath>,
    #[serde(deserialize_with = "field::inbound")]
    pub(crate) allow_inbound: Option<Vec<Exception>>,
    #[serde(deserialize_with = "field::interface")]
    pub(crate) interface: Option<String>,
    #[serde(deserialize_with = "field::duration")]
    pub(crate) lease: Option<Duration>,
    /// Further sockets.
    pub(crate) follow: Option<Vec<PathBuf>>,
    pub(crate) close_relay_forward: Option<bool>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}:{line}: {message}", path.display())]
    Syntax {
        path: PathBuf,
        line: usize,
        message: String,
    },
    #[error("{}:{line}: unknown key '{key}'", path.display())]
    UnknownKey {
        path: PathBuf,
        line: usize,
        key: String,
        known: Vec<String>,
    },
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let hint = match &error {
            ConfigError::UnknownKey { key, known, .. } => {
                match nearest(key, known.iter().map(String::as_str)) {
                    Some(word) => format!("did you mean '{word}'?"),
                    None => format!("known keys: {}", known.join(", ")),
                }
            }
            ConfigError::Read { .. } => {
                String::from("check that the file exists and that this user may read it")
            }
            ConfigError::Syntax { .. } => {
                String::from("correct the line, then try 'teredo config check'")
            }
        };
        let what = error.to_string();
        let failure = match error {
            ConfigError::Read { source, .. } => Self::new(Exit::Failed, what).because(source),
            ConfigError::Syntax { .. } | ConfigError::UnknownKey { .. } => {
                Self::new(Exit::Failed, what)
            }
        };
        failure.hint(hint)
    }
}

impl Config {
    /// Loads the file of `--config`, or the default file if it exists, and its drop-ins.
    pub(crate) fn load(chosen: Option<&Path>) -> Result<Self, ConfigError> {
        let main = match chosen {
            Some(path) => vec![path.to_owned()],
            None if Path::new(DEFAULT_CONFIG).exists() => vec![PathBuf::from(DEFAULT_CONFIG)],
            None => Vec::new(),
        };
        let drop_ins = drop_ins(chosen.unwrap_or_else(|| Path::new(DEFAULT_CONFIG)))?;
        let mut config = Self::default();
        for path in main.iter().chain(&drop_ins) {
            config = Self::read(path)?.over(config);
        }
        Ok(config)
    }

    /// Reads one file without drop-ins.
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start).min(text.len());
            let line = 1 + text.as_bytes()[..start]
                .iter()
                .filter(|&&byte| byte == b'\n')
                .count();
            match unknown_key(error.message()) {
                Some((key, known)) => ConfigError::UnknownKey {
                    path: path.to_owned(),
                    line,
                    key,
                    known,
                },
                None => ConfigError::Syntax {
                    path: path.to_owned(),
                    line,
                    message: error.message().to_owned(),
                },
            }
        })
    }

    /// `self`, with unset keys taken from `earlier`.
    fn over(self, earlier: Self) -> Self {
        Self {
            client: self.client.over(earlier.client),
            server: self.server.over(earlier.server),
            relay: self.relay.over(earlier.relay),
            firewall: self.firewall.over(earlier.firewall),
        }
    }
}

impl ClientSection {
    fn over(self, earlier: Self) -> Self {
        Self {
            servers: self.servers.or(earlier.servers),
            interface: self.interface.or(earlier.interface),
            bind: self.bind.or(earlier.bind),
            port: self.port.or(earlier.port),
            default_route: self.default_route.or(earlier.default_route),
            allow_private: self.allow_private.or(earlier.allow_private),
            deny: self.deny.or(earlier.deny),
            secret_file: self.secret_file.or(earlier.secret_file),
            protect: self.protect.or(earlier.protect),
            local_discovery: self.local_discovery.or(earlier.local_discovery),
            refresh_interval: self.refresh_interval.or(earlier.refresh_interval),
            determine_refresh: self.determine_refresh.or(earlier.determine_refresh),
            native_ipv6: self.native_ipv6.or(earlier.native_ipv6),
            offload: self.offload.or(earlier.offload),
            group: self.group.or(earlier.group),
        }
    }
}

impl ServerSection {
    fn over(self, earlier: Self) -> Self {
        Self {
            address: self.address.or(earlier.address),
            secondary: self.secondary.or(earlier.secondary),
            pairs: self.pairs.or(earlier.pairs),
            allow_private: self.allow_private.or(earlier.allow_private),
            serve: self.serve.or(earlier.serve),
            deny: self.deny.or(earlier.deny),
            secret_file: self.secret_file.or(earlier.secret_file),
            allow_plain: self.allow_plain.or(earlier.allow_plain),
            workers: self.workers.or(earlier.workers),
            relay_rate: self.relay_rate.or(earlier.relay_rate),
            relay_total: self.relay_total.or(earlier.relay_total),
            advertisement_rate: self.advertisement_rate.or(earlier.advertisement_rate),
        }
    }
}

impl RelaySection {
    fn over(self, earlier: Self) -> Self {
        Self {
            address: self.address.or(earlier.address),
            port: self.port.or(earlier.port),
            host: self.host.or(earlier.host),
            serve: self.serve.or(earlier.serve),
            deny: self.deny.or(earlier.deny),
            direct_bubbles: self.direct_bubbles.or(earlier.direct_bubbles),
            workers: self.workers.or(earlier.workers),
            interface: self.interface.or(earlier.interface),
            protect: self.protect.or(earlier.protect),
            allow_private: self.allow_private.or(earlier.allow_private),
            offload: self.offload.or(earlier.offload),
            group: self.group.or(earlier.group),
        }
    }
}

impl FirewallSection {
    fn over(self, earlier: Self) -> Self {
        Self {
            set: self.set.or(earlier.set),
            allow_inbound: self.allow_inbound.or(earlier.allow_inbound),
            interface: self.interface.or(earlier.interface),
            lease: self.lease.or(earlier.lease),
            follow: self.follow.or(earlier.follow),
            close_relay_forward: self.close_relay_forward.or(earlier.close_relay_forward),
        }
    }
}

/// The files in `FILE.d` that end in `.toml`, sorted by name; none if there is no such directory.
pub(crate) fn drop_ins(file: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let mut directory = OsString::from(file);
    directory.push(".d");
    let directory = PathBuf::from(directory);
    let failed = |source| ConfigError::Read {
        path: directory.clone(),
        source,
    };
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The unknown key and the known ones, from the text of [`serde::de::Error::unknown_field`], which is all that toml
/// gives.
fn unknown_key(message: &str) -> Option<(String, Vec<String>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (key, expected) = rest.split_once('`')?;
    let known = expected
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    Some((key.to_owned(), known))
}

#[cfg(test)]
mod tests;
