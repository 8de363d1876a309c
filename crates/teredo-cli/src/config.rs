//! The configuration file and its drop-ins.
//!
//! ```text
//!  layers.rs    which files there are, and which of them sets a key last
//!  document.rs  one file: what it sets, and every mistake in it
//!  mistake.rs   a mistake: where it is, what is wrong, what to do
//!  doubt.rs     what is no mistake, and will not do alone
//!  check.rs, show.rs, miredo.rs  the commands under 'teredo config'
//! ```
//!
//! Reads `/etc/teredo/teredo.toml`, then `/etc/teredo/teredo.toml.d/*.toml` in the order of their names. A key in a
//! later file replaces the same key of an earlier one, and the command line replaces both. An unknown key is an error:
//! a setting without effect is worse than a service that does not start.
//!
//! The types below are the one list of keys: the files are read through them, key by key.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use teredo::Prefix;
use teredo::client::NatTraversal;
use teredo_firewall::{Backend, Exception, SetPath};
use teredo_tunnel::kernel::DataPathChoice;
use teredo_tunnel::offload::Offload;

use crate::args::{ConfigCommand, NativePolicy};
use crate::failure::{Exit, Failure};
use crate::output::Output;

pub(crate) use check::examine;
#[cfg(test)]
pub(crate) use document::{keys, sections};
pub(crate) use layers::drop_ins;
pub(crate) use mistake::{EmptySecrets, Mistakes};
pub(crate) use place::{Place, Places};

use layers::Layers;
use mistake::Mistake;

mod check;
mod document;
mod doubt;
mod field;
mod layers;
mod miredo;
mod mistake;
mod place;
mod show;

/// More than any real configuration, and little memory.
const MAX_FILE: u64 = 1 << 20;

/// Runs `teredo config`; `chosen` is the file of `--config`.
pub(crate) fn run(
    command: &ConfigCommand,
    chosen: Option<&Path>,
    output: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Check { file } => check::run(file.as_deref().or(chosen), output),
        ConfigCommand::Show { role, json } => show::run(*role, *json, chosen, output),
        ConfigCommand::ImportMiredo { file } => miredo::run(file, output),
    }
}

/// All settings that a file may hold; `None` means that the file does not set it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) client: ClientSection,
    pub(crate) server: ServerSection,
    pub(crate) relay: RelaySection,
    pub(crate) firewall: FirewallSection,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
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
    #[serde(deserialize_with = "field::parsed")]
    pub(crate) nat_traversal: Option<NatTraversal>,
    pub(crate) igd: Option<bool>,
    pub(crate) native_ipv6: Option<NativePolicy>,
    #[serde(deserialize_with = "field::parsed")]
    pub(crate) offload: Option<Offload>,
    #[serde(deserialize_with = "field::parsed")]
    pub(crate) data_path: Option<DataPathChoice>,
    pub(crate) group: Option<String>,
    #[serde(deserialize_with = "field::metrics")]
    pub(crate) metrics: Option<SocketAddr>,
    #[serde(skip)]
    pub(crate) places: Places,
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
    #[serde(deserialize_with = "field::rate")]
    pub(crate) relay_rate: Option<u32>,
    /// Packets per second forwarded in total; 0 means no limit.
    #[serde(deserialize_with = "field::rate")]
    pub(crate) relay_total: Option<u32>,
    /// Router advertisements per second to one address; 0 means no limit.
    #[serde(deserialize_with = "field::rate")]
    pub(crate) advertisement_rate: Option<u32>,
    #[serde(deserialize_with = "field::parsed")]
    pub(crate) data_path: Option<DataPathChoice>,
    #[serde(deserialize_with = "field::metrics")]
    pub(crate) metrics: Option<SocketAddr>,
    #[serde(skip)]
    pub(crate) places: Places,
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

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
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
    #[serde(deserialize_with = "field::parsed")]
    pub(crate) data_path: Option<DataPathChoice>,
    pub(crate) group: Option<String>,
    #[serde(deserialize_with = "field::metrics")]
    pub(crate) metrics: Option<SocketAddr>,
    #[serde(skip)]
    pub(crate) places: Places,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FirewallSection {
    #[serde(deserialize_with = "field::parsed")]
    pub(crate) set: Option<SetPath>,
    #[serde(deserialize_with = "field::parsed")]
    pub(crate) backend: Option<Backend>,
    #[serde(deserialize_with = "field::inbound")]
    pub(crate) allow_inbound: Option<Vec<Exception>>,
    #[serde(deserialize_with = "field::interface")]
    pub(crate) interface: Option<String>,
    #[serde(deserialize_with = "field::duration")]
    pub(crate) lease: Option<Duration>,
    /// Further sockets.
    pub(crate) follow: Option<Vec<PathBuf>>,
    pub(crate) close_relay_forward: Option<bool>,
    #[serde(deserialize_with = "field::metrics")]
    pub(crate) metrics: Option<SocketAddr>,
    #[serde(skip)]
    pub(crate) places: Places,
}

impl Config {
    /// Loads the file of `--config`, or the default file if it exists, and its drop-ins.
    ///
    /// May be called again at any time. The error holds every mistake in every file.
    pub(crate) fn load(chosen: Option<&Path>) -> Result<Self, Mistakes> {
        let layers = Layers::read(chosen);
        layers.mistakes.none_or(layers.config)
    }
}

#[cfg(test)]
mod tests;
