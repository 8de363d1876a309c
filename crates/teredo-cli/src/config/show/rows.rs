//! The effective settings of each daemon.
//!
//! The settings are taken apart field by field, so that the compiler names a new one that is missing here. A test compares
//! the keys with those that a file may have.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum as _;
use serde_json::{Value, json};
use teredo::Prefix;
use teredo::server::Rate;
use teredo_firewall::Target;
use teredo_tunnel::offload::Offload;

use super::{Environment, Row};
use crate::args::Role;
use crate::config::{Config, Pair, Places};
use crate::settings::{
    ClientSettings, FirewallSettings, RelaySettings, ServerSettings, ServerSocket, next_address,
};

/// The source of a value that neither a file nor the environment sets.
pub(super) const DEFAULT: &str = "default";

const CHOSEN: &str = "chosen by the system";
const NONE: &str = "none";
const REQUIRED: &str = "none, but required";
const GROUP: &str = "teredo, if it exists";
const INTERNET: &str = "the IPv6 Internet";

pub(super) fn rows(role: Role, config: &Config, environment: &Environment) -> Vec<Row> {
    match role {
        Role::Client => client(config, environment),
        Role::Server => server(config, environment),
        Role::Relay => relay(config, environment),
        Role::Firewall => firewall(config, environment),
    }
}

fn client(config: &Config, environment: &Environment) -> Vec<Row> {
    let section = config.client.clone();
    let places = section.places.clone();
    let ClientSettings {
        servers,
        interface,
        bind,
        port,
        default_route,
        allow_private,
        deny,
        secret_file,
        protect,
        local_discovery,
        refresh_interval,
        determine_refresh,
        nat_traversal,
        igd,
        native_ipv6,
        offload,
        data_path,
        group,
        metrics,
        socket: _,
    } = ClientSettings::of(environment.args(), section, PathBuf::new());
    let native_ipv6 = native_ipv6.to_possible_value();
    let native_ipv6 = native_ipv6.map(|value| value.get_name().to_owned());
    let rows = [
        ("servers", json!(servers), REQUIRED),
        ("interface", json!(interface), NONE),
        ("group", json!(group), GROUP),
        ("bind", address(bind), CHOSEN),
        ("port", json!(port), CHOSEN),
        ("default_route", json!(default_route), NONE),
        ("allow_private", json!(allow_private), NONE),
        ("deny", networks(&deny), NONE),
        ("secret_file", json!(secret_file), NONE),
        ("protect", json!(protect), NONE),
        ("local_discovery", json!(local_discovery), NONE),
        ("refresh_interval", seconds(refresh_interval), NONE),
        ("determine_refresh", json!(determine_refresh), NONE),
        ("nat_traversal", json!(nat_traversal.name()), NONE),
        ("igd", json!(igd), NONE),
        ("native_ipv6", json!(native_ipv6), NONE),
        ("offload", switch(offload), NONE),
        ("data_path", json!(data_path.name()), NONE),
        ("metrics", json!(metrics), NONE),
    ];
    with_sources(rows, &places, environment)
}

fn server(config: &Config, environment: &Environment) -> Vec<Row> {
    let section = config.server.clone();
    let places = section.places.clone();
    let first = section.address;
    let secondary = section.secondary.or_else(|| next_address(first?));
    let further: Vec<_> = section.pairs.iter().flatten().map(pair).collect();
    let ServerSettings {
        pairs: _,
        allow_private,
        serve,
        deny,
        secret_file,
        allow_plain,
        workers,
        limits,
        data_path,
        metrics,
        socket: _,
    } = ServerSettings::of(environment.args(), section, ServerSocket::new(None));
    let required = if further.is_empty() { REQUIRED } else { NONE };
    let rows = [
        ("address", json!(first), required),
        ("secondary", json!(secondary), "the address plus one"),
        ("pairs", json!(further), NONE),
        ("allow_private", json!(allow_private), NONE),
        ("serve", prefixes(&serve), INTERNET),
        ("deny", networks(&deny), NONE),
        ("secret_file", json!(secret_file), NONE),
        ("allow_plain", json!(allow_plain), NONE),
        ("workers", json!(workers), NONE),
        ("relay_rate", rate(limits.per_destination), NONE),
        ("relay_total", rate(limits.total), NONE),
        ("advertisement_rate", rate(limits.advertisements), NONE),
        ("data_path", json!(data_path.name()), NONE),
        ("metrics", json!(metrics), NONE),
    ];
    with_sources(rows, &places, environment)
}

fn relay(config: &Config, environment: &Environment) -> Vec<Row> {
    let section = config.relay.clone();
    let places = section.places.clone();
    let RelaySettings {
        address: bind,
        port,
        host,
        serve,
        deny,
        direct_bubbles,
        workers,
        interface,
        protect,
        allow_private,
        offload,
        data_path,
        group,
        metrics,
        socket: _,
    } = RelaySettings::of(environment.args(), section, PathBuf::new());
    let (no_address, served) = match host {
        true => (CHOSEN, "this host"),
        false => (REQUIRED, INTERNET),
    };
    let rows = [
        ("address", address(bind), no_address),
        ("port", json!(port), NONE),
        ("host", json!(host), NONE),
        ("serve", prefixes(&serve), served),
        ("deny", networks(&deny), NONE),
        (
            "direct_bubbles",
            json!(direct_bubbles),
            "if the address is private",
        ),
        ("workers", json!(workers), NONE),
        ("interface", json!(interface), NONE),
        ("group", json!(group), GROUP),
        ("protect", json!(protect), NONE),
        ("allow_private", json!(allow_private), NONE),
        ("offload", switch(offload), NONE),
        ("data_path", json!(data_path.name()), NONE),
        ("metrics", json!(metrics), NONE),
    ];
    with_sources(rows, &places, environment)
}

fn firewall(config: &Config, environment: &Environment) -> Vec<Row> {
    let section = config.firewall.clone();
    let places = section.places.clone();
    let follow = section.follow.clone().unwrap_or_default();
    let FirewallSettings { agent, metrics, .. } =
        FirewallSettings::new(environment.args(), section, PathBuf::new());
    let set = match &agent.target {
        Target::OwnTable => None,
        Target::AdministratorSet(set) => Some(set.to_string()),
    };
    let inbound: Vec<_> = agent
        .allow_inbound
        .iter()
        .map(ToString::to_string)
        .collect();
    let rows = [
        ("set", json!(set), "none: the table 'inet teredo'"),
        ("backend", json!(agent.backend.to_string()), NONE),
        ("allow_inbound", json!(inbound), NONE),
        ("interface", json!(agent.interface), NONE),
        ("lease", seconds(agent.lease), NONE),
        ("follow", json!(follow), NONE),
        (
            "close_relay_forward",
            json!(agent.close_relay_forward),
            NONE,
        ),
        ("metrics", json!(metrics), NONE),
    ];
    with_sources(rows, &places, environment)
}

fn with_sources<const N: usize>(
    rows: [(&'static str, Value, &'static str); N],
    places: &Places,
    environment: &Environment,
) -> Vec<Row> {
    let source = |key| {
        let variable = environment.source(key).map(str::to_owned);
        let place = || places.get(key).map(ToString::to_string);
        variable
            .or_else(place)
            .unwrap_or_else(|| DEFAULT.to_owned())
    };
    rows.into_iter()
        .map(|(key, value, none)| Row {
            key,
            value,
            none,
            source: source(key),
        })
        .collect()
}

fn address(address: Ipv4Addr) -> Value {
    match address {
        Ipv4Addr::UNSPECIFIED => Value::Null,
        address => json!(address),
    }
}

fn pair(pair: &Pair) -> Value {
    let Pair { address, secondary } = *pair;
    json!({ "address": address, "secondary": secondary.or_else(|| next_address(address)) })
}

fn networks(networks: &[(Ipv4Addr, u8)]) -> Value {
    let text = |(address, len): &(Ipv4Addr, u8)| format!("{address}/{len}");
    json!(networks.iter().map(text).collect::<Vec<_>>())
}

fn prefixes(prefixes: &[Prefix]) -> Value {
    json!(prefixes.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// Whole seconds as an integer.
fn seconds(time: Duration) -> Value {
    match time.subsec_nanos() {
        0 => json!(time.as_secs()),
        _ => json!(time.as_secs_f64()),
    }
}

/// Packets per second; 0 means no limit, as in a file.
fn rate(rate: Option<Rate>) -> Value {
    json!(rate.map_or(0, |rate| rate.per_second.get()))
}

fn switch(offload: Offload) -> Value {
    Value::from(match offload {
        Offload::Auto => "auto",
        Offload::Off => "off",
    })
}
