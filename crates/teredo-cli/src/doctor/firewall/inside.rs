//! The inside of the tunnel (F-5, F-6).

use std::net::Ipv6Addr;

use teredo_notify::types::Status;

use super::agent::{elsewhere, gates};
use crate::doctor::check::{Check, id};
use crate::doctor::opening::{Direction, Opening, Rich};
use crate::doctor::rules::packet::{Link, TCP, UDP, kinds};
use crate::doctor::rules::walk::{Fate, Keeper, Rules};
use crate::doctor::seen::Seen;
use crate::doctor::shell::quote;

pub(super) fn tunnel(seen: &Seen) -> Option<(Link, Ipv6Addr)> {
    let name = seen.interface();
    let index = seen.host.links.iter().find(|link| link.name == name)?.index;
    let group = seen
        .status()
        .map_or(0, |status| status.role.interface_group());
    let own = seen.host.teredo_links.iter().find(|(link, _)| link == name);
    let address = own.map_or(
        Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 1),
        |(_, address)| *address,
    );
    Some((
        Link {
            name: name.to_owned(),
            index,
            group,
            kind: 65_534,
        },
        address,
    ))
}

/// F-5. Errors belong to connections, so a firewall that tracks them lets them in.
pub(super) fn icmpv6(seen: &Seen, rules: &Rules) -> Check {
    let id = id::FIREWALL_ICMPV6;
    const RELATED: u32 = 4;
    const TOO_BIG: u8 = 2;
    const ECHO: u8 = 128;
    let Some((link, address)) = tunnel(seen) else {
        return Check::skip(id, "there is no tunnel now");
    };
    let opening = Opening {
        direction: Direction::In,
        ipv6: true,
        nft: format!("iifname \"{}\" meta l4proto ipv6-icmp", link.name),
        iptables: vec![format!("-i {} -p ipv6-icmp", quote(&link.name))],
        ufw: Some(format!(
            "ip6tables -I ufw6-before-input -i {} -p ipv6-icmp -j ACCEPT",
            quote(&link.name)
        )),
        firewalld: vec![Rich::Other("protocol value=ipv6-icmp".to_owned())],
    };
    let mut too_big = kinds::icmpv6(&link, address, TOO_BIG);
    too_big.state = RELATED;
    if let Fate::Dropped(place) = rules.follow(&too_big, None) {
        return Check::warn(
            id,
            format!("ICMPv6 errors do not get in from the tunnel: {place}"),
        )
        .why("without 'packet too big', connections hang when a path takes shorter packets only")
        .fix(opening.commands(&place));
    }
    let echo = kinds::icmpv6(&link, address, ECHO);
    if let Fate::Dropped(place) = rules.follow(&echo, None) {
        return Check::ok(
            id,
            "ICMPv6 errors get in from the tunnel, echo requests do not",
        )
        .why(format!(
            "{place}; nobody can ping this host's Teredo address"
        ))
        .fix(opening.commands(&place));
    }
    Check::ok(id, "ICMPv6 gets in from the tunnel")
}

/// F-6. The rules of any table may close it.
pub(super) fn inside(seen: &Seen, rules: &Rules) -> Check {
    let id = id::FIREWALL_INSIDE;
    if let Some(check) = elsewhere(seen, id) {
        return check;
    }
    let protected = seen.status().and_then(|status: &Status| status.protected);
    let Some((link, address)) = tunnel(seen) else {
        return match protected {
            Some(false) => open_inside(seen),
            Some(true) => Check::ok(
                id,
                "the inside of the tunnel is closed to what nobody asked for",
            ),
            None => Check::skip(id, "there is no tunnel now"),
        };
    };
    // No service is on it, and nobody lets it in by name.
    const PORT: u16 = 47_011;
    let fates = [TCP, UDP]
        .map(|protocol| rules.follow(&kinds::inside(&link, address, protocol, PORT), None));
    match &fates {
        [Fate::Dropped(place), Fate::Dropped(_)] => Check::ok(
            id,
            "the inside of the tunnel is closed to what nobody asked for",
        )
        .why(match place.keeper {
            Keeper::Teredo => String::new(),
            _ => place.to_string(),
        }),
        _ if protected == Some(true) && !fates.contains(&Fate::Passes) => Check::ok(
            id,
            "the inside of the tunnel is closed to what nobody asked for",
        ),
        _ => open_inside(seen),
    }
}

pub(super) fn open_inside(seen: &Seen) -> Check {
    let name = seen.interface();
    Check::fail(
        id::FIREWALL_INSIDE,
        format!("the inside of the tunnel is open: anybody on the IPv6 Internet reaches this host through {name}"),
    )
    .why(
        "a NAT no longer stands before the services of this host. The agent closes it, and opens single ports with \
         'allow_inbound'; so does 'protect = true' under [client]",
    )
    .fix(if gates(seen).is_empty() {
        seen.start("firewall", "firewall &")
    } else {
        seen.restart("firewall")
    })
}
