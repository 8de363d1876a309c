//! Where the kernel sends IPv6 packets of this host.

use std::net::{IpAddr, Ipv6Addr};

use teredo::Prefix;
use teredo_tunnel::net::{Decision, Decisions};

use super::host::read;
use crate::doctor::rules::packet::{SOMEBODY, STRANGER6};
use crate::doctor::seen::{Seen, Ways};

pub(super) fn look(seen: &Seen, decisions: &Decisions) -> Ways {
    let ask = |to: Ipv6Addr, from: Option<Ipv6Addr>| {
        decisions.decide(to.into(), from.map(IpAddr::from)).ok()
    };
    let own = seen.status().and_then(|status| status.address);
    let from_own = |to| own.and_then(|own| ask(to, Some(own)));
    let tunnel = seen.interface();
    let tunnel = seen.host.links.iter().find(|link| link.name == tunnel);
    let tunnel = tunnel.map(|link| link.index);
    let is_served = |network: &Prefix| {
        let has = |address: &Ipv6Addr| network.contains(*address);
        // The first address may be that of all routers (RFC 4291 §2.6.1).
        let one = Ipv6Addr::from_bits(network.first().to_bits() | 1);
        let to = ask(one, None);
        seen.host.addresses.iter().any(has)
            || to.is_some_and(|way| way.link.is_some() && way.link != tunnel && is_special(&way))
    };
    Ways {
        native: ask(STRANGER6, None),
        teredo: ask(SOMEBODY, None),
        native_own: from_own(STRANGER6),
        teredo_own: from_own(SOMEBODY),
        served: seen.networks().iter().copied().filter(is_served).collect(),
        deaf: deaf(seen),
    }
}

/// Whether the route is about less than the whole Internet.
fn is_special(way: &Decision) -> bool {
    way.destination.is_none_or(|(_, length)| length > 3)
}

/// A host that forwards takes no route of a router with `accept_ra` = 1 (ip-sysctl).
fn deaf(seen: &Seen) -> Vec<String> {
    let is_on = |link: &str, key: &str| {
        let text = read(&format!("/proc/sys/net/ipv6/conf/{link}/{key}"));
        text.as_deref() == Some("1")
    };
    // No router is behind these.
    let is_tunnel = |name: &str| {
        let mut tunnels = seen.host.tun_holders.iter().map(|(link, _)| link);
        name == seen.interface() || tunnels.any(|link| link == name)
    };
    let names = seen.host.links.iter().map(|link| &link.name);
    let names = names.filter(|name| !name.contains('/') && *name != "lo" && !is_tunnel(name));
    let is_deaf = |name: &&String| is_on(name, "forwarding") && is_on(name, "accept_ra");
    names.filter(is_deaf).cloned().collect()
}
