//! Settings that are no mistake, because the command line may have the rest, and that will not do alone.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::unistd::Group;
use teredo::client::NatTraversal;
use teredo_firewall::Backend;
use teredo_node::ServerName;

use super::{Config, Place};
use crate::metrics::is_exposed;
use crate::settings::refused_address;
use crate::text::plain;

/// A doubt, and the line that gives rise to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    pub(super) place: Place,
    what: String,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Every doubt about these settings.
pub(super) fn doubts(config: &Config) -> Vec<Doubt> {
    let Config {
        client,
        server,
        relay,
        firewall,
    } = config;
    let mut doubts = Vec::new();
    let mut add = |place: Option<&Place>, what: String| {
        doubts.extend(place.cloned().map(|place| Doubt { place, what }));
    };

    let servers = client.servers.iter().flatten();
    let addresses = servers.filter_map(|name| ServerName::from(name.as_str()).address());
    for address in addresses {
        if let Some(refused) = refused_address(address.primary, client.allow_private) {
            let what = format!("a client does not use server {refused}");
            add(client.places.get("servers"), what);
        }
    }
    let names = client.servers.iter().flatten();
    let mut known = BTreeSet::new();
    for name in names.map(|name| ServerName::from(name.as_str())) {
        if !known.insert(name.clone()) {
            add(
                client.places.get("servers"),
                format!("server {} is named twice", plain(name.as_str())),
            );
        }
    }
    if client.igd == Some(true) && client.nat_traversal == Some(NatTraversal::Rfc4380) {
        // RFC 6081 §5.3 is one of the extensions.
        let what = "'igd' brings nothing with 'nat_traversal' = \"rfc4380\": peers that could use the router's port are \
                    not met";
        add(client.places.get("igd"), String::from(what));
    }
    if client.servers.is_none() {
        add(client.places.first(), lacks("client", "servers"));
    }

    let pairs = server.pairs.iter().flatten();
    let pairs = pairs.flat_map(|pair| [Some(pair.address), pair.secondary]);
    let pairs = pairs.map(|address| ("pairs", address));
    let single = [("address", server.address), ("secondary", server.secondary)];
    for (key, address) in single.into_iter().chain(pairs) {
        let refused = address.and_then(|address| refused_address(address, server.allow_private));
        if let Some(refused) = refused {
            let what = format!("a server does not start at {refused}");
            add(server.places.get(key), what);
        }
    }
    if server.address.is_none() && server.pairs.is_none() {
        add(server.places.first(), lacks("server", "address"));
    }

    if relay.host != Some(true) {
        let refused = relay.address;
        let refused = refused.and_then(|address| refused_address(address, relay.allow_private));
        if let Some(refused) = refused {
            let what = format!("a relay does not start at {refused}");
            add(relay.places.get("address"), what);
        }
        if relay.address.is_none() {
            add(relay.places.first(), lacks("relay", "address"));
        }
    }

    for (group, places) in [
        (&client.group, &client.places),
        (&relay.group, &relay.places),
    ] {
        let unknown = |name: &&String| matches!(Group::from_name(name), Ok(None));
        if let Some(name) = group.as_ref().filter(unknown) {
            let what = format!("this host has no group '{name}'");
            add(places.get("group"), what);
        }
    }

    if firewall.set.is_some()
        && let Some(backend) = firewall.backend.filter(|one| *one != Backend::Auto)
    {
        let what = format!(
            "'backend' = \"{backend}\" has no effect: 'set' is the administrator's own way"
        );
        add(firewall.places.get("backend"), what);
    }

    let mut served: Vec<(&str, SocketAddr)> = Vec::new();
    for (section, metrics, places) in [
        ("client", client.metrics, &client.places),
        ("server", server.metrics, &server.places),
        ("relay", relay.metrics, &relay.places),
        ("firewall", firewall.metrics, &firewall.places),
    ] {
        let Some(address) = metrics else {
            continue;
        };
        if is_exposed(address) {
            let what =
                format!("anyone who reaches {address} can read the metrics, without a password");
            add(places.get("metrics"), what);
        }
        if let Some((other, _)) = served.iter().find(|(_, one)| collide(*one, address)) {
            let what = format!(
                "[{other}] has its metrics at this port, too: only one of both starts on a host"
            );
            add(places.get("metrics"), what);
        }
        served.push((section, address));
    }
    doubts
}

/// Whether a host has room for one of both only.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let all = |address: SocketAddr| address.ip().is_unspecified();
    one.port() == other.port() && (one.ip() == other.ip() || all(one) || all(other))
}

/// A file that anybody may write to decides what root's daemons do.
pub(super) fn of_file(file: &Path) -> Option<String> {
    let mode = fs::metadata(file).ok()?.permissions().mode();
    let what = "anybody may write to it, and so decide what the daemons do: 'chmod o-w' it";
    (mode & 0o002 != 0).then(|| format!("{}: {what}", file.display()))
}

fn lacks(section: &str, key: &str) -> String {
    format!("[{section}] does not set '{key}', so the command line must")
}
