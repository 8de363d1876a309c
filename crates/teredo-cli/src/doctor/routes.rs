//! Judges where the kernel sends the tunnel's packets.

use teredo_notify::types::{Phase, Role};
use teredo_tunnel::net::Decision;

use super::check::{Check, id};
use super::seen::Seen;
use super::shell::{quote, sysctl_of_link};

pub(super) fn judge(seen: &Seen) -> Vec<Check> {
    vec![client(seen), relay(seen), serve(seen)]
}

/// The index of the tunnel's interface.
fn tunnel(seen: &Seen) -> Option<u32> {
    let name = seen.interface();
    let mut links = seen.host.links.iter();
    links.find(|link| link.name == name).map(|link| link.index)
}

fn name_of(seen: &Seen, index: u32) -> String {
    let mut links = seen.host.links.iter();
    let link = links.find(|link| link.index == index);
    link.map_or_else(|| format!("interface {index}"), |link| link.name.clone())
}

/// Whether the interface is a tunnel of Teredo, such as that of another client.
fn is_teredo(seen: &Seen, index: u32) -> bool {
    let name = name_of(seen, index);
    seen.host.teredo_links.iter().any(|(link, _)| *link == name)
}

fn client(seen: &Seen) -> Check {
    let id = id::HOST_ROUTE6;
    let status = seen.status();
    let Some(status) = status.filter(|status| status.role == Role::Client) else {
        return if seen.roles().client {
            Check::skip(id, "no client answers")
        } else {
            Check::ok(id, "this host has no client")
        };
    };
    if status.state != Phase::Qualified {
        return Check::skip(id, "the client has no address now");
    }
    let Some(tunnel) = tunnel(seen).filter(|_| !seen.is_elsewhere()) else {
        return Check::skip(id, "the tunnel is not here");
    };
    let ways = &seen.ways;
    let (internet, clients) = ("the IPv6 Internet", "other clients");
    let own = " from the client's address";
    let everything = seen.settings.client.default_route;
    let cases = [
        (&ways.native_own, internet, own, true),
        (&ways.teredo_own, clients, own, true),
        // Native IPv6 has the first choice.
        (
            &ways.native,
            internet,
            "",
            everything && seen.host.native.is_none(),
        ),
        (&ways.teredo, clients, "", true),
    ];
    let astray = cases.into_iter().find_map(|(way, to, from, matters)| {
        let way = way.as_ref().filter(|_| matters)?;
        let right = way
            .link
            .is_some_and(|link| link == tunnel || (from.is_empty() && is_teredo(seen, link)));
        (!right).then_some((way, to, from))
    });
    let Some((way, to, from)) = astray else {
        return Check::ok(
            id,
            "packets to the IPv6 Internet and to other clients take the tunnel",
        );
    };
    let what = format!(
        "packets to {to}{from} do not take the tunnel: {}",
        taken(seen, way)
    );
    let fix = mend(seen, way, "ip -6").unwrap_or_else(|| seen.restart("client"));
    match way.link {
        None => Check::fail(id, what).why(
            "they go nowhere, though the client is qualified; a VPN or a script against leaks may have left this behind",
        ),
        Some(_) if !from.is_empty() => Check::fail(id, what)
            .why("they leave with a source address that does not belong there, and no answer comes"),
        Some(_) => Check::warn(id, what)
            .why("programs of this host do not use Teredo; if that is meant, such as for a VPN, all is well"),
    }
    .fix(fix)
}

/// The rule or route that takes the packets, in words.
pub(super) fn taken(seen: &Seen, way: &Decision) -> String {
    let by_rule = match way.rule {
        Some(rule) if way.is_detour() => {
            format!(
                "the rule of priority {rule} leads to table {}, where ",
                way.table
            )
        }
        Some(rule) if way.is_refused_by_rule() => {
            return format!("the rule of priority {rule} is '{}'", way.kind);
        }
        _ => String::new(),
    };
    match (way.link, &way.destination) {
        (Some(link), _) => format!("{by_rule}they go to {}", name_of(seen, link)),
        (None, Some(_)) => format!("{by_rule}the route '{}' takes them", route(way)),
        (None, None) => "there is no route".to_owned(),
    }
}

/// A route as `ip` names it.
fn route(way: &Decision) -> String {
    let destination = way
        .destination
        .map_or_else(String::new, |(address, length)| {
            if length == 0 {
                "default".to_owned()
            } else {
                format!("{address}/{length}")
            }
        });
    let kind = match way.kind {
        "unicast" => String::new(),
        kind => format!("{kind} "),
    };
    format!("{kind}{destination} metric {}", way.metric)
        .trim_end_matches(" metric 0")
        .to_owned()
}

/// The command that takes the rule or the route away.
pub(super) fn mend(seen: &Seen, way: &Decision, ip: &str) -> Option<String> {
    match way.rule {
        Some(rule) if way.is_detour() || way.is_refused_by_rule() => {
            // Another rule may have the same priority.
            let selector: Vec<_> = way.selector.split_whitespace().map(quote).collect();
            Some(format!(
                "{ip} rule del priority {rule} {}",
                selector.join(" ")
            ))
        }
        _ => {
            way.destination?;
            let device = way.link.map_or_else(String::new, |link| {
                format!(" dev {}", quote(&name_of(seen, link)))
            });
            let named = route(way);
            let (head, metric) = named.rsplit_once(" metric ").unwrap_or((&named, "0"));
            // IPv4 has routes without a metric.
            let metric = match metric {
                "0" => String::new(),
                metric => format!(" metric {metric}"),
            };
            let delete = format!("{ip} route del {head}{device}{metric}");
            // Otherwise the route is back with the next advertisement.
            let again = way.link.filter(|_| way.announced).map(|link| {
                let key = sysctl_of_link("ipv6", &name_of(seen, link), "accept_ra_defrtr");
                seen.sysctl(&[(&key, "0")])
            });
            Some(match again {
                Some(stop) => format!("{stop}\n{delete}"),
                None => delete,
            })
        }
    }
}

fn relay(seen: &Seen) -> Check {
    let id = id::RELAY_ROUTE;
    let is_relay = seen
        .status()
        .is_some_and(|status| status.role == Role::Relay);
    if !is_relay {
        return if seen.roles().relay {
            Check::skip(id, "no relay answers")
        } else {
            Check::ok(id, "this host is no relay")
        };
    }
    let Some(tunnel) = tunnel(seen).filter(|_| !seen.is_elsewhere()) else {
        return Check::skip(id, "the tunnel is not here");
    };
    let right = |way: &Decision| {
        way.link
            .is_some_and(|link| link == tunnel || is_teredo(seen, link))
    };
    if let Some(way) = seen.ways.teredo.as_ref().filter(|way| !right(way)) {
        return Check::fail(
            id,
            format!("packets to clients (2001::/32) do not take the relay's tunnel: {}", taken(seen, way)),
        )
        .why(
            "hosts of the IPv6 Internet reach no client through this relay; a script against bogons may have made it: \
             2001::/32 is none on a relay",
        )
        .fix(mend(seen, way, "ip -6").unwrap_or_else(|| seen.restart("relay")));
    }
    let Some(native) = &seen.ways.native else {
        return Check::skip(id, "the kernel does not say where packets go");
    };
    // A relay for networks of its own needs no way to all others.
    if native.link.is_some() || !seen.networks().is_empty() {
        return Check::ok(
            id,
            "packets to clients take the tunnel, and others leave by the host's own routes",
        );
    }
    let check = Check::fail(
        id,
        format!(
            "the relay has no way to the IPv6 Internet: {}",
            taken(seen, native)
        ),
    );
    match (seen.ways.deaf.first(), mend(seen, native, "ip -6")) {
        (Some(link), None) => check
            .why(format!(
                "{} takes no default route of its router: accept_ra is 1, and that ends if a host forwards \
                 (forwarding = 1); a line in /etc/sysctl.d keeps it. The route comes with the router's next \
                 advertisement, within minutes",
                link
            ))
            .fix(seen.sysctl(&[(&sysctl_of_link("ipv6", link, "accept_ra"), "2")])),
        (_, Some(mend)) => check
            .why("what clients send to native hosts is lost")
            .fix(mend),
        (None, None) => check
            .why("what clients send to native hosts is lost: the host needs a default route, of its router or by hand")
            .fix("ip -6 route\nip -6 address"),
    }
}

fn serve(seen: &Seen) -> Check {
    let id = id::RELAY_SERVE;
    let networks = seen.networks();
    let shown: Vec<_> = networks.iter().map(ToString::to_string).collect();
    let shown = shown.join(", ");
    if networks.is_empty() {
        return Check::ok(id, "no network is left out");
    }
    let drops = seen
        .status()
        .and_then(|status| status.drops.get("not_served"));
    let lost = drops.copied().unwrap_or(0);
    let [own, ..] = seen.host.addresses.as_slice() else {
        return Check::ok(id, format!("clients reach {shown}"));
    };
    if lost == 0 || !seen.ways.served.is_empty() {
        return Check::ok(id, format!("clients reach {shown}"));
    }
    let daemon = match seen.status().map(|status| status.role) {
        Some(Role::Server) => "server",
        _ => "relay",
    };
    let network = teredo::Prefix::new(*own, 64);
    Check::warn(
        id,
        format!("'serve' has {shown}, and this host is in {network}: no network of 'serve' is here"),
    )
    .why(format!(
        "{lost} packets were dropped because their network is not served (not_served); after a change of the \
         network's number, 'serve' must follow"
    ))
    .fix(format!(
        "{}\n{}",
        seen.set(daemon, "serve", &format!("[\"{network}\"]")),
        seen.restart(daemon)
    ))
}

#[cfg(test)]
mod tests;
