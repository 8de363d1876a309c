//! Looks at this host. Nothing here judges, and nothing here changes anything.

mod host;
mod processes;
mod reach;
mod service;
mod units;

use std::path::Path;
use std::thread;

use caps::{CapSet, Capability};
use teredo::ServerAddress;
use teredo_tunnel::net::{local_address, path_limit};

use super::rules::legacy::Legacy;
use super::rules::packet::Link;
use super::rules::ruleset::Ruleset;
use super::rules::walk::Rules;
use super::seen::{Seen, Server, Service, Settings};

/// Gathers everything. `chosen` is the file of `--config`, `socket` that of the service.
pub(crate) fn gather(settings: Settings, socket: &Path, socket_is_default: bool) -> Seen {
    let root = caps::has_cap(None, CapSet::Effective, Capability::CAP_NET_ADMIN).unwrap_or(false);
    let service = service::look(socket, socket_is_default);
    let (server, processes, units, rules) = thread::scope(|scope| {
        // The server takes the longest to answer.
        let server = scope.spawn(|| look_at_server(&settings, &service));
        let processes = processes::all();
        let units = units::all();
        let rules = rules();
        let server = server.join().unwrap_or_default();
        (server, processes, units, rules)
    });
    let host = host::look(&processes);
    Seen {
        root,
        settings,
        host,
        service,
        processes,
        units,
        server,
        rules,
    }
}

fn look_at_server(settings: &Settings, service: &Service) -> Server {
    let status = service.status.as_deref().ok();
    let configured = settings.client.servers.first().cloned();
    let name = status
        .and_then(|status| status.server.clone())
        .or(configured);
    let Some(name) = name else {
        return Server::default();
    };
    let address = match status.and_then(|status| status.server_address) {
        // A name may have several servers; this is the one in use.
        Some(primary) => match reach::resolve(&name) {
            Ok(found) if found.primary == primary => Ok(found),
            _ => Ok(ServerAddress::adjacent(primary)),
        },
        None => reach::resolve(&name),
    };
    let mut server = Server {
        name: Some(name),
        address: Some(address.clone()),
        ..Server::default()
    };
    let Ok(address) = address else {
        return server;
    };
    let local = local_address(address.primary).map_err(|error| error.to_string());
    server.outside = local.as_ref().ok().and_then(|local| {
        let addresses = nix::ifaddrs::getifaddrs().ok()?;
        let name = addresses.filter(|one| {
            let own = one.address.as_ref().and_then(|own| own.as_sockaddr_in().map(|own| own.ip()));
            own == Some(*local)
        });
        let name = name.map(|one| one.interface_name).next()?;
        Some(host::link(&name, 1))
    });
    let reaches = local.is_ok();
    server.local = Some(local);
    if reaches {
        server.reached = Some(reach::ask(address, settings.client.bind));
        server.path_limit = path_limit(address.primary).ok().flatten();
    }
    server
}

fn rules() -> Result<Rules, String> {
    let nftables = Ruleset::read().map_err(|error| error.to_string())?;
    let legacy = host::legacy_rules().map_or_else(Legacy::default, |[ipv4, ipv6]| {
        Legacy::parse(&ipv4, &ipv6)
    });
    Ok(Rules { nftables, legacy })
}

/// An interface that stands for the one outside where there is no route.
pub(crate) fn any_link() -> Link {
    Link {
        name: "eth0".to_owned(),
        index: 2,
        group: 0,
        kind: 1,
    }
}
