//! Judges the server and the way there.

mod refused;
mod silence;

use std::net::Ipv4Addr;

use teredo::ServerAddress;
use teredo::policy::{DestinationPolicy, is_shared};
use teredo::wire::PORT;

use super::check::{Check, advice_line, id};
use super::rules::packet::{ESTABLISHED, kinds};
use super::rules::walk::{End, Fate, Keeper, Place};
use super::seen::Seen;
use super::shell::sysctl_of_link;
use super::way::{ANY_PORT, Way};
use crate::probe::finding::{Finding, Grade};
use crate::settings::refused_address;
use crate::text::span;
use silence::{SECRET, SILENCES, lossy, second_address, unanswered};

/// Adds 'dns' to the line of the hosts, before a comment. The file may be a link.
const ADD_DNS: &str = r"sed -i --follow-symlinks -E 's/^(\s*hosts:([^#]*[^#[:space:]])?)/\1 dns/'";

pub(super) fn judge(seen: &Seen) -> Vec<Check> {
    let blocked = blocked(seen);
    let is_blocked = blocked.is_trouble();
    vec![
        name(seen),
        address(seen),
        blocked,
        answers(seen, is_blocked),
        conforms(seen),
        secrets(seen),
    ]
}

fn reason(seen: &Seen) -> &str {
    let status = seen.status().filter(|_| !seen.is_qualified());
    let reason = status.and_then(|status| status.reason.as_deref());
    reason.unwrap_or_default()
}

fn name(seen: &Seen) -> Check {
    let id = id::SERVER_NAME;
    if !seen.roles().client {
        return Check::ok(id, "this host needs no server of others");
    }
    let server = &seen.server;
    let Some(name) = server.name.as_deref() else {
        return match seen.status() {
            Some(_) => Check::ok(id, "the service needs no server"),
            None if !seen.settings.mistakes.is_empty() && !seen.settings.has.client => {
                Check::skip(id, "the settings cannot be read, so the server is not known")
            }
            None => Check::fail(id, "no server is configured")
                .why("a client needs the name or the address of a Teredo server; put your server's into this line")
                .fix(seen.set("client", "servers", "[\"teredo.example.net\"]")),
        };
    };
    let lookup = format!("getent ahostsv4 {}", super::shell::quote(name));
    if let Some(found) = &server.address {
        return if found.primary.to_string() == name || name.contains(',') {
            Check::ok(id, format!("the server is given by its address, {name}"))
        } else {
            Check::ok(id, format!("{name} is {}", found.primary))
        };
    }
    // The names of /etc/hosts alone are found.
    let failed = ["name.unknown", "name.silent"];
    if let Some(line) = &server.without_dns
        && failed.iter().any(|id| server.found(id).is_some())
    {
        return Check::fail(id, format!("the name {name} is not looked up in the DNS: '{line}'"))
            .why("/etc/nsswitch.conf leaves 'dns' out, so programs find the names of /etc/hosts alone, whatever 'dig' says")
            .fix(format!("{ADD_DNS} /etc/nsswitch.conf\n{lookup}\n{}", seen.restart("client")));
    }
    if let Some(fault) = &server.resolver
        && failed.iter().any(|id| server.found(id).is_some())
    {
        return Check::fail(id, format!("the name {name} cannot be looked up: {fault}"))
            .why("/etc/resolv.conf names the servers of names, for every program of this host")
            .fix(format!("{}\n{lookup}", resolver(seen, fault)));
    }
    if let Some(finding) = server.found("name.unknown") {
        return Check::fail(id, format!("the name {name} leads nowhere: {}", without_errno(&finding.text)))
            .why("the name service knows no IPv4 address of this name: it is misspelt in 'servers', or the server is gone")
            .fix(format!(
                "{lookup}\n{}",
                seen.set("client", "servers", "[\"THE-RIGHT-NAME\"]"),
            ));
    }
    if let Some(finding) = server.found("name.silent") {
        return Check::fail(
            id,
            format!("the name {name} cannot be looked up: {}", finding.text),
        )
        .why("the name service of this host does not answer; its servers are in /etc/resolv.conf")
        .fix(format!("{lookup}\ncat /etc/resolv.conf"));
    }
    Check::skip(id, "the server was not looked up")
}

/// The commands that give this host a server of names again.
fn resolver(seen: &Seen, fault: &str) -> String {
    if fault.contains("/systemd/resolve/") && seen.has_tool("resolvectl") {
        return "systemctl enable --now systemd-resolved".to_owned();
    }
    let router = seen.host.gateways.first();
    let router = router.map_or_else(|| "ADDRESS".to_owned(), ToString::to_string);
    format!(
        "{}\nrm -f /etc/resolv.conf\n{}",
        advice_line("or another server of names than the router"),
        super::shell::write("/etc/resolv.conf", &[&format!("nameserver {router}")])
    )
}

/// Without an error of the system behind it, which getaddrinfo leaves by chance.
pub(super) fn without_errno(text: &str) -> &str {
    match text.rfind(" (os error ") {
        Some(end) => text[..end].rsplit_once(": ").map_or(text, |(head, _)| head),
        None => text,
    }
}

fn address(seen: &Seen) -> Check {
    let id = id::SERVER_ADDRESS;
    if !seen.roles().client
        && let Some(address) = seen.host.absent.first()
    {
        if let Some(check) = behind_nat(seen, *address) {
            return check;
        }
        let link = seen.host.outside.as_deref().unwrap_or("INTERFACE");
        let add = format!(
            "ip address add {address}/32 dev {}",
            super::shell::quote(link)
        );
        let runs = seen.running("server").next().is_some();
        return Check::fail(
            id,
            format!("{address} is no address of this host, and its server is to serve there"),
        )
        .why(
            "a server needs both of its addresses: without one, no client qualifies. Write it into the settings of the \
             network, too",
        )
        .fix(if runs {
            add
        } else {
            format!("{add}\n{}", seen.start("server", "server &"))
        });
    }
    if !seen.roles().client && seen.roles().server {
        return Check::ok(id, "this host has the addresses of its server");
    }
    let reason = reason(seen);
    let Some(found) = &seen.server.address else {
        return Check::skip(id, "no address of a server is known");
    };
    if let Some((secondary, primary)) = reason.split_once(" is the secondary address of server ") {
        let primary = primary.split(':').next().unwrap_or_default();
        return Check::fail(
            id,
            format!("{secondary} is the server's second address; its first is {primary}"),
        )
        .why("a client is configured with the primary address")
        .fix(format!(
            "{}\n{}",
            seen.set("client", "servers", &format!("[\"{primary}\"]")),
            seen.restart("client")
        ));
    }
    if let Some((denied, network)) = denied(seen, found) {
        let others = seen
            .settings
            .client
            .deny
            .iter()
            .filter(|one| **one != network);
        let others: Vec<_> = others
            .map(|(address, length)| format!("\"{address}/{length}\""))
            .collect();
        let (address, length) = network;
        return Check::fail(
            id,
            format!(
                "'deny' of the settings refuses {address}/{length}, and the server has {denied}"
            ),
        )
        .why("the client sends nothing to a network that 'deny' names, its own server included")
        .fix(format!(
            "{}\n{}",
            seen.set("client", "deny", &format!("[{}]", others.join(", "))),
            seen.restart("client")
        ));
    }
    let refused = refused_address(found.primary, Some(seen.settings.client.allow_private));
    let refused = match seen.status() {
        Some(_) => refused.filter(|_| reason.contains("cannot be a server")),
        None => refused,
    };
    let Some(refused) = refused else {
        return Check::ok(
            id,
            format!(
                "{} and {} can be a server's addresses",
                found.primary, found.secondary
            ),
        );
    };
    let check =
        Check::fail(id, format!("a client does not use server {refused}")).why(refused.remedy);
    let gateway = seen.server.way.as_ref().and_then(|way| way.gateway);
    let is_given = seen.server.name.as_deref() == Some(&*found.primary.to_string());
    let is_router =
        gateway == Some(found.primary.into()) || seen.host.gateways.contains(&found.primary);
    if found.primary.is_private() && is_router && !is_given && !seen.server.in_hosts {
        return Check::fail(
            id,
            format!(
                "the name service gives {} as the server's address, and that is this host's own gateway",
                found.primary
            ),
        )
        .why(
            "a network that wants a login first (captive portal), or a router that answers every name, gives false \
             addresses; no Teredo server is there",
        )
        .fix("cat /etc/resolv.conf # log in on a web page, or name another server of names there");
    }
    if found.primary.is_private() && is_looked_up(seen) {
        let name = seen.server.name.as_deref().unwrap_or_default();
        return Check::fail(
            id,
            format!(
                "the name service gives the private address {} for {}",
                found.primary,
                name
            ),
        )
        .why(
            "a name service of one's own network may have another answer than that of the Internet (split horizon), or give \
             false ones. If the server is really there, as in a laboratory: 'allow_private = true' under [client]",
        )
        .fix(format!(
            "getent ahostsv4 {}\ncat /etc/resolv.conf\n{}",
            super::shell::quote(name),
            advice_line(
                "name a server of names there that gives the public address, or write the public address into 'servers'"
            )
        ));
    }
    if found.primary.is_private() {
        check.fix(format!(
            "{}\n{}",
            seen.set("client", "allow_private", "true"),
            seen.restart("client")
        ))
    } else {
        check.fix(format!(
            "{}\n{}",
            seen.set("client", "servers", "[\"teredo.example.net\"]"),
            seen.restart("client")
        ))
    }
}

/// Whether the server's address is from the DNS.
fn is_looked_up(seen: &Seen) -> bool {
    let name = seen.server.name.as_deref().unwrap_or_default();
    let is_address = name.split(',').all(|part| part.parse::<Ipv4Addr>().is_ok());
    !is_address && !seen.server.in_hosts
}

/// A server whose host has none of its public addresses, and no network that could have them.
fn behind_nat(seen: &Seen, address: Ipv4Addr) -> Option<Check> {
    let is_inside = |own: Ipv4Addr| own.is_private() || is_shared(own);
    let own = seen.host.own.iter();
    let own: Vec<_> = own
        .filter(|(own, _)| !own.is_loopback() && !own.is_link_local())
        .collect();
    let (first, _) = own.first()?;
    let contains = |network: Ipv4Addr, length: u8| {
        let mut policy = DestinationPolicy::default();
        policy.deny(network, length);
        policy.denies(address)
    };
    let fits = own.iter().any(|(own, length)| contains(*own, *length));
    (own.iter().all(|(own, _)| is_inside(*own)) && !is_inside(address) && !fits).then(|| {
        Check::fail(
            id::SERVER_ADDRESS,
            format!("{address} is no address of this host, which has private addresses alone, such as {first}: a NAT has it"),
        )
        .why(
            "a server cannot work behind a NAT, not even behind one that maps each public address to one of this host \
             (1:1 NAT, elastic IP): its addresses are a part of its answers and of its clients' addresses. To add the \
             public address here would not help: packets come for the private one",
        )
        .advise("run the server on a host whose own interface has both public addresses")
    })
}

/// An address of the server that the settings refuse, and the network.
fn denied(seen: &Seen, server: &ServerAddress) -> Option<(Ipv4Addr, (Ipv4Addr, u8))> {
    let addresses = [server.primary, server.secondary];
    let mut networks = seen.settings.client.deny.iter();
    networks.find_map(|&(network, length)| {
        let mut policy = DestinationPolicy::default();
        policy.deny(network, length);
        let found = addresses
            .into_iter()
            .find(|&address| policy.denies(address));
        found.map(|address| (address, (network, length)))
    })
}

/// F-1: to the server and back.
fn blocked(seen: &Seen) -> Check {
    let id = id::SERVER_BLOCKED;
    if !seen.roles().client {
        return serving(seen);
    }
    let refused = seen.server.found("server.blocked-here").is_some();
    let rules = match &seen.rules {
        Ok(rules) => rules,
        Err(_) if refused && seen.server.neighbour.is_none() && !seen.is_qualified() => {
            return Check::fail(id, "a rule of this host drops datagrams to the server")
                .why("the kernel does not let them out: \"Operation not permitted\"")
                .fix(seen.as_root("nft list ruleset"));
        }
        Err(reason) if seen.root => return Check::skip(id, reason),
        Err(_) => return Check::needs_root(id, "the rules of this host's firewalls"),
    };
    let Some(server) = seen.server.address else {
        return Check::skip(id, "no address of a server is known");
    };
    let way = Way::new(seen, rules);
    let (local, port) = way.here;
    for address in [server.primary, server.secondary] {
        let to = (address, PORT);
        let out = kinds::from_port(&way.outside, (local, port), to, seen.service.uid);
        let back = kinds::to_port(&way.outside, to, (local, port), ESTABLISHED);
        let directions = [("datagrams to", out), ("the answers of", back)];
        for (direction, packet) in directions {
            match rules.follow(&packet, None) {
                Fate::Passes => {}
                Fate::Doubtful(_) if seen.is_qualified() => {}
                // A port that the set should hold is a matter of the set.
                Fate::Dropped(_) if seen.is_qualified() && way.passes_with_set(&packet) => {}
                Fate::Dropped(place) => {
                    return Check::fail(
                        id,
                        format!("this host drops {direction} the server {address}: {place}"),
                    )
                    .why(reason_of(&place))
                    .fix(way.open_server(&place, &packet));
                }
                Fate::Doubtful(place) if is_silent(seen) => {
                    return Check::warn(id, format!("this host may drop {direction} the server {address}: {place}"))
                        .why("no answer comes, and whether this rule drops it cannot be told from outside")
                        .fix(way.open_server(&place, &packet));
                }
                Fate::Doubtful(_) => {}
            }
        }
    }
    Check::ok(
        id,
        "the rules of this host let the server's datagrams through, both ways",
    )
}

fn is_silent(seen: &Seen) -> bool {
    !seen.is_qualified() && seen.server.round_trips().is_none()
}

pub(super) fn reason_of(place: &Place) -> String {
    match place.keeper {
        Keeper::Administrator | Keeper::Teredo => {
            "a drop is final, whatever the table 'inet teredo' accepts; write the line into the file of the ruleset, \
             too (such as /etc/nftables.conf)"
                .to_owned()
        }
        Keeper::Firewalld => "firewalld keeps its own table, and rewrites it at each reload".to_owned(),
        Keeper::Ufw => "ufw keeps these rules".to_owned(),
        Keeper::Iptables | Keeper::IptablesLegacy => {
            "the rules of iptables are gone after a restart, unless something saves them (netfilter-persistent save)".to_owned()
        }
    }
}

/// F-1 for a server: everybody reaches its port.
fn serving(seen: &Seen) -> Check {
    let id = id::SERVER_BLOCKED;
    let Ok(rules) = &seen.rules else {
        return Check::needs_root(id, "the rules of this host's firewalls");
    };
    if let Some((address, link, out)) = seen.host.strict.first() {
        return Check::fail(
            id,
            format!("the kernel drops what clients send to {address}: rp_filter of {link} is strict (1)"),
        )
        .why(format!(
            "packets come by {link}, and answers to them leave by {out}; strict filtering takes only packets whose answers leave \
             by the same interface (RFC 3704). A line in /etc/sysctl.d keeps the loose one"
        ))
        .fix(seen.sysctl(&[(&sysctl_of_link("ipv4", link, "rp_filter"), "2")]));
    }
    let way = Way::new(seen, rules);
    let addresses = seen.serves();
    for address in &addresses {
        let mut doors = seen.host.doors.iter();
        let door = doors.find(|(served, _)| served == address);
        let packet = kinds::to_port(
            door.map_or(&way.outside, |(_, link)| link),
            (way.stranger(), ANY_PORT),
            (*address, PORT),
            super::rules::packet::NEW,
        );
        if let Fate::Dropped(place) = rules.follow(&packet, None) {
            return Check::fail(
                id,
                format!("this host drops what clients send to its server {address}: {place}"),
            )
            .why(reason_of(&place))
            .fix(match place.end {
                // Connections that are known go where they went.
                End::Rule {
                    redirects: true, ..
                } => format!(
                    "{}\nconntrack -D -p udp --dport {PORT}",
                    way.open_fixed(&place, PORT, true)
                ),
                _ => way.open_fixed(&place, PORT, true),
            });
        }
    }
    if addresses.is_empty() {
        Check::ok(id, "this host has no server, and needs none")
    } else {
        let check = Check::ok(
            id,
            "clients reach the server of this host through its rules",
        );
        match refused::sources(&way, &addresses) {
            Some((note, fix)) => check.why(note).fix(fix),
            None => check,
        }
    }
}

fn answers(seen: &Seen, blocked: bool) -> Check {
    let id = id::SERVER_ANSWERS;
    if !seen.roles().client {
        return Check::ok(id, "this host needs no server of others");
    }
    let Some(server) = seen.server.address else {
        return Check::skip(id, "no address of a server can be asked");
    };
    let (primary, secondary) = (server.primary, server.secondary);
    let reason = reason(seen);
    if reason.contains("valid authentication") {
        return Check::fail(
            id,
            format!("server {primary} answers, but it does not have our secret"),
        )
        .why(reason)
        .advise(SECRET);
    }
    if let Some([one, other]) = seen.server.round_trips() {
        if reason.contains("does not know our identifier") {
            return Check::fail(
                id,
                format!("server {primary} answers strangers, and not our secret"),
            )
            .why(reason)
            .advise(SECRET);
        }
        if let Some(check) = lossy(seen, primary) {
            return check;
        }
        let times = format!(
            "{primary} answers in {}, {secondary} in {}",
            span(one),
            span(other)
        );
        return Check::ok(id, times);
    }
    if let Some(check) = lossy(seen, primary) {
        return check;
    }
    if seen.is_qualified() {
        return match seen.server.silent_half() {
            Some(silent) => {
                let other = if silent == primary {
                    secondary
                } else {
                    primary
                };
                Check::warn(id, format!("{silent} does not answer, {other} does"))
                    .why(
                        "a client asks both addresses when it starts: this one stays qualified, and the next start will fail",
                    )
                    .advise(second_address(primary, secondary))
            }
            None => Check::ok(id, format!("server {primary} answers the client")),
        };
    }
    if blocked {
        return Check::skip(
            id,
            "this host's own rules drop the question or the answer (server.blocked)",
        );
    }
    if matches!(seen.server.local, Some(Err(_))) {
        return Check::skip(id, "there is no way to it (host.route)");
    }
    unanswered(seen, primary, secondary)
}

fn secrets(seen: &Seen) -> Check {
    let id = id::SERVER_SECRETS;
    let loaded = seen.status().and_then(|status| status.known_clients);
    match (loaded, seen.host.secrets) {
        (Some(loaded), Some(found)) if loaded != found => Check::warn(
            id,
            format!("the server knows {loaded} of the {found} clients in its file of secrets"),
        )
        .why("it reads the file when it starts, and when it is told to; clients that it does not know get no answer")
        .fix(match seen.running("server").next() {
            Some(process) if process.unit.is_none() => format!("kill -HUP {}", process.pid),
            _ => "systemctl reload teredo-server".to_owned(),
        }),
        (Some(loaded), _) => Check::ok(id, format!("the server knows {loaded} clients")),
        (None, _) => Check::ok(id, "no server of this host has a file of secrets"),
    }
}

fn conforms(seen: &Seen) -> Check {
    let id = id::SERVER_CONFORMS;
    let Some(probe) = &seen.server.probe else {
        return Check::skip(id, "no server is known");
    };
    if !probe.answers {
        return Check::skip(id, "no answer to judge");
    }
    let of_server = |finding: &&Finding| {
        !finding.id.starts_with("nat.")
            && !SILENCES.contains(&finding.id)
            && finding.id != "server.private-address"
    };
    let mut findings = probe.findings.iter().filter(of_server);
    let worst = findings
        .clone()
        .find(|finding| finding.grade == Grade::Fail);
    let more = format!("teredo probe {}", super::shell::quote(&probe.server));
    match worst {
        Some(finding) if !seen.is_qualified() => Check::fail(id, &finding.text)
            .why("a client refuses such an answer")
            .advise(finding.fix),
        Some(finding) => Check::warn(id, &finding.text).advise(finding.fix),
        None => match findings.next() {
            Some(finding) => Check::ok(id, "its answers are good enough for a client")
                .why(format!("{}; '{more}' tells more", finding.text)),
            None => Check::ok(id, "its answers follow RFC 4380"),
        },
    }
}

#[cfg(test)]
mod tests;
