//! Judges the NAT and the path.

use teredo::client::NatTraversal;
use teredo::policy::is_shared;
use teredo::wire::MTU;

use super::check::{Check, Id, id};
use super::seen::Seen;
use super::shell::quote;
use crate::probe::nat::{Filtering, Mapping};
use crate::status::reach::Reach;

/// IPv4 and UDP.
const OUTER_HEADERS: u16 = 20 + 8;

pub(super) fn judge(seen: &Seen) -> Vec<Check> {
    vec![
        mapping(seen),
        filtering(seen),
        port(seen),
        hairpin(seen),
        lifetime(seen),
        carrier(seen),
        mtu(seen),
        offload(seen),
    ]
}

fn probe(seen: &Seen) -> String {
    match &seen.server.name {
        Some(name) => format!("teredo probe {}", quote(name)),
        None => "teredo probe SERVER".to_owned(),
    }
}

/// Who is reached, in one line.
fn in_words(reach: &Reach) -> String {
    let lines = reach.lines().into_iter().map(|(label, text)| match label {
        "" => text,
        label => format!("{}: {text}", label.to_ascii_lowercase()),
    });
    lines.collect::<Vec<_>>().join("; ")
}

fn mapping(seen: &Seen) -> Check {
    let id = id::NAT_MAPPING;
    let status = seen.status();
    let reason = status.and_then(|status| status.reason.as_deref());
    let said = reason.filter(|reason| reason.contains("symmetric NAT"));
    let finding = |id| seen.server.found(id).map(|finding| finding.text.as_str());
    let found = finding("nat.symmetric").or_else(|| finding("nat.several-addresses"));
    const ROUTER: &str = "look on the router for 'endpoint-independent mapping', 'full cone' or 'consistent NAT'; on a \
                          Linux router, masquerade without 'random' and 'fully-random'; a provider's NAT cannot be changed: \
                          use a VPN";
    if seen.is_qualified() && status.and_then(|status| status.nat.as_deref()) == Some("symmetric") {
        let reach = status.and_then(Reach::of).map(|reach| in_words(&reach));
        let reach = reach.unwrap_or_else(|| String::from("some peers are not reached"));
        return Check::warn(
            id,
            "the NAT is symmetric: it maps the port anew for each destination",
        )
        .why(reach)
        .advise(ROUTER);
    }
    if !seen.is_qualified()
        && let Some(mappings) = said.or(found)
    {
        let check = Check::fail(id, format!("the NAT is symmetric: {mappings}"));
        if seen.settings.client.nat_traversal == NatTraversal::Rfc4380 || said.is_some() {
            return check
                .why("by RFC 4380 alone, a client has no address behind such a NAT; by RFC 6081 it has")
                .fix(format!(
                    "{}\n{}",
                    seen.set("client", "nat_traversal", "\"rfc6081\""),
                    seen.restart("client")
                ));
        }
        return Check::warn(id, format!("the NAT is symmetric: {mappings}"))
            .why(
                "a client will have an address, and meet peers without a NAT or behind cone and address-restricted ones, \
                 and native hosts through relays of this program; not those behind port-restricted and symmetric NATs",
            )
            .advise(ROUTER);
    }
    let probed = seen
        .server
        .probe
        .as_ref()
        .filter(|probe| probe.nat.mapping == Some(Mapping::EndpointIndependent));
    let mapped = status
        .and_then(|status| status.mapped)
        .or_else(|| probed.and_then(|probe| probe.mapped));
    match mapped {
        Some(mapped) => Check::ok(id, format!("one mapping for all destinations: {mapped}")),
        None => Check::skip(id, "the server does not say how the NAT maps the port"),
    }
}

fn unknown(seen: &Seen, id: Id, field: &str) -> Check {
    let nat = seen.server.probe.as_ref().map(|probe| &probe.nat);
    match nat.and_then(|nat| nat.unknown.get(field)) {
        Some(reason) => Check::skip(id, format!("not known: {reason}")),
        None => Check::skip(id, "not found out"),
    }
}

fn filtering(seen: &Seen) -> Check {
    let id = id::NAT_FILTERING;
    let kind = seen
        .server
        .probe
        .as_ref()
        .and_then(|probe| probe.nat.filtering);
    let said = seen.status().and_then(|status| status.nat.as_deref());
    match (kind, said) {
        (Some(Filtering::EndpointIndependent), _) => {
            Check::ok(id, "everybody gets in once the mapping is open (full cone)")
        }
        (Some(Filtering::AddressDependent), _) => Check::ok(
            id,
            "those get in to whose address something was sent (restricted)",
        ),
        (Some(Filtering::AddressAndPortDependent), _) => Check::ok(
            id,
            "those get in to whose address and port something was sent (port-restricted)",
        ),
        (None, Some(nat)) => {
            Check::skip(id, format!("not tested; the client says of the NAT: {nat}"))
        }
        (None, None) => unknown(seen, id, "filtering"),
    }
}

fn port(seen: &Seen) -> Check {
    let id = id::NAT_PORT;
    let ends = seen
        .status()
        .and_then(|status| Some((status.local?, status.mapped?)));
    match ends {
        Some((local, mapped)) if local == mapped => {
            Check::ok(id, "there is no NAT: the address is this host's own")
        }
        Some((local, mapped)) if local.port() == mapped.port() => {
            Check::ok(id, format!("the NAT keeps the port, {}", local.port()))
        }
        Some((local, mapped)) => Check::ok(
            id,
            format!("the NAT maps port {} to {}", local.port(), mapped.port()),
        ),
        None => match seen
            .server
            .probe
            .as_ref()
            .and_then(|probe| probe.nat.port_preserving)
        {
            Some(true) => Check::ok(id, "the NAT keeps ports"),
            Some(false) => Check::ok(id, "the NAT gives other ports"),
            None => unknown(seen, id, "port_preserving"),
        },
    }
}

fn hairpin(seen: &Seen) -> Check {
    let id = id::NAT_HAIRPIN;
    match seen
        .server
        .probe
        .as_ref()
        .and_then(|probe| probe.nat.hairpin)
    {
        Some(true) => Check::ok(
            id,
            "hosts behind the NAT reach each other by its public address",
        ),
        Some(false) => Check::ok(
            id,
            "hosts behind the NAT do not reach each other by its public address",
        )
        .why("clients on one link find each other by local discovery, which is on by default"),
        None => unknown(seen, id, "hairpin"),
    }
}

fn lifetime(seen: &Seen) -> Check {
    Check::skip(id::NAT_LIFETIME, "not measured, because that takes minutes")
        .why(format!("'{} --lifetime' measures it", probe(seen)))
}

fn carrier(seen: &Seen) -> Check {
    let id = id::NAT_CARRIER;
    let local = seen
        .server
        .local
        .as_ref()
        .and_then(|local| local.as_ref().ok());
    let mapped = seen.status().and_then(|status| status.mapped);
    match (local, mapped) {
        (Some(local), _) if is_shared(*local) => Check::ok(id, format!("this host is behind its provider's NAT: {local}"))
            .why("addresses of 100.64.0.0/10 are shared among customers. Teredo works while the NAT keeps one mapping"),
        (_, Some(mapped)) if is_shared(*mapped.ip()) => {
            Check::ok(id, format!("the server is in the provider's own network: {mapped}"))
        }
        (Some(_), _) => Check::ok(id, "no sign of a provider's NAT at this host"),
        (None, _) => Check::skip(id, "no way to a server is known"),
    }
}

fn mtu(seen: &Seen) -> Check {
    let id = id::PATH_MTU;
    let reason = seen.status().and_then(|status| status.reason.as_deref());
    let said = reason.and_then(|reason| {
        let (_, rest) = reason.split_once("takes packets of up to ")?;
        rest.split(' ').next()?.parse::<u16>().ok()
    });
    let Some(limit) = said.or(seen.server.path_limit) else {
        return match &seen.server.local {
            Some(Ok(_)) => Check::ok(
                id,
                format!("tunnel packets of {MTU} bytes travel in one piece, as far as is known"),
            ),
            _ => Check::skip(id, "no way to a server is known"),
        };
    };
    let outer = limit.saturating_add(OUTER_HEADERS);
    let whole = MTU as u16 + OUTER_HEADERS;
    // Otherwise a link behind the first router is to blame.
    let own = seen.server.link_limit.is_some();
    let link = seen.server.outside.as_ref().filter(|_| own);
    let link = link.map(|link| link.name.as_str());
    let server = seen.server.address;
    let check = Check::warn(id, format!("the path to the server takes {outer} bytes, and a full tunnel packet has {whole}"))
        .why(
            "longer packets travel in IPv4 fragments, which some routers drop. TCP adapts; long UDP packets, such as \
             those of QUIC, may get lost. The small link may be this host's own or one behind it (PPPoE, a VPN): raise its \
             MTU to 1308 or more, or let its router pass IPv4 fragments",
        );
    match link {
        Some(name) => check.fix(format!("ip link set {} mtu 1500", quote(name))),
        None => match server {
            Some(server) if seen.has_tool("tracepath") => {
                check.fix(format!("tracepath -n {}", server.primary))
            }
            Some(server) => check.fix(format!(
                "ping -c 3 -M do -s 1280 {} # the package 'iputils-tracepath' shows the link: tracepath -n {0}",
                server.primary
            )),
            None => check.advise("raise the MTU of the small link to 1308 or more"),
        },
    }
}

fn offload(seen: &Seen) -> Check {
    let id = id::PATH_OFFLOAD;
    if seen.settings.client.offload == teredo_tunnel::offload::Offload::Off {
        return Check::ok(id, "offloads are turned off in the settings");
    }
    match seen.host.offload {
        [true, true] => Check::ok(
            id,
            "the kernel cuts and joins datagrams (UDP_SEGMENT, UDP_GRO)",
        ),
        [segment, _] => Check::warn(
            id,
            format!(
                "the kernel refuses {}",
                if segment { "UDP_GRO" } else { "UDP_SEGMENT" }
            ),
        )
        .why("the client works packet by packet, which costs speed alone; Linux has both since 5.0")
        .fix("uname -r"),
    }
}

#[cfg(test)]
mod tests;
