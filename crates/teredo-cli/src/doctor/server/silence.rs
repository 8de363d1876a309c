//! A server that does not answer: where its answers get lost.

use std::net::Ipv4Addr;

use teredo::wire::PORT;

use crate::doctor::check::{Check, advice_line, id};
use crate::doctor::host::is_full;
use crate::doctor::seen::{Neighbour, Seen};
use crate::doctor::shell::quote;

pub(super) fn second_address(primary: Ipv4Addr, secondary: Ipv4Addr) -> String {
    format!(
        "ask the server's operator for its second address; if it is not {secondary}, name both under [client]: \
         servers = [\"{primary},SECOND\"]"
    )
}

pub(super) const SECRET: &str = "compare the line in the client's 'secret_file' with that in the server's; if it was added of late, \
                                 the server may not have read it: 'systemctl reload teredo-server' there; then \
                                 'systemctl reload teredo-client'";

const OTHER: &str = "ask the server's operator, or name another one under 'servers'";

/// The findings about a server that does not answer, in the order in which one of them is the cause.
pub(super) const SILENCES: [&str; 13] = [
    "server.blocked-here",
    "server.own-address",
    "server.not-teredo",
    "server.no-process",
    "server.secret",
    "server.mute",
    "server.prohibited",
    "server.unreachable",
    "server.impossible-address",
    "primary.is-secondary",
    "secondary.silent",
    "primary.silent",
    "server.silent",
];

pub(super) fn unanswered(seen: &Seen, primary: Ipv4Addr, secondary: Ipv4Addr) -> Check {
    let id = id::SERVER_ANSWERS;
    let finding = SILENCES.iter().find_map(|id| seen.server.found(id));
    // A host on the way that answers proves that the way is open.
    const QUIET: [&str; 4] = [
        "server.silent",
        "server.unreachable",
        "server.blocked-here",
        "primary.silent",
    ];
    if finding.is_none_or(|finding| QUIET.contains(&finding.id))
        && let Some(check) = here(seen, primary, secondary)
    {
        return check;
    }
    const ON_THE_WAY: [&str; 2] = ["server.mute", "server.prohibited"];
    if finding.is_some_and(|finding| ON_THE_WAY.contains(&finding.id))
        && let Some(check) = by_vpn(seen, primary, secondary)
    {
        return check;
    }
    let Some(finding) = finding else {
        return match &seen.server.probe {
            Some(_) => Check::fail(id, format!("not every answer of {primary} came in time"))
                .fix(format!("teredo probe {}", quote(&primary.to_string()))),
            None => Check::skip(id, "the server was not asked"),
        };
    };
    let has_secret = seen.settings.client.secret_file.is_some();
    let text = &finding.text;
    let check = |why: &str| Check::fail(id, text).why(why);
    match finding.id {
        "server.no-process" => Check::fail(
            id,
            format!("no server runs on {primary}, or it rejects this host: its UDP port {PORT} is closed"),
        )
        .why(format!(
            "the host itself says so (ICMP port unreachable), so the way there is open. The process is missing, or a \
             firewall there, such as fail2ban, rejects this host's public address: {text}"
        ))
        .advise(format!(
            "on {primary}, as root: 'systemctl enable --now teredo-server', and 'teredo doctor' if it runs; or {OTHER}"
        )),
        "server.secret" | "server.mute" | "server.silent" if has_secret => {
            Check::fail(id, format!("server {primary} does not answer: {text}"))
                .why("a server that does not know the identifier of 'secret_file' with its secret keeps silent")
                .advise(SECRET)
        }
        "server.secret" => check("the server is private: it answers only those whose secret it has (RFC 4380 §5.2.2)").advise(
            "ask the server's operator for a secret, write it into /etc/teredo/secret, and set \
             secret_file = \"/etc/teredo/secret\" under [client]",
        ),
        "server.mute" => check(
            "the host answers on other ports. The server wants a secret or serves only some, or a firewall at the server or \
             on the way drops UDP port 3544; this host's own rules let it through",
        )
        .advise(format!(
            "on {primary}, as root: let UDP port {PORT} in, and look at its counters with 'kill -USR1'; for a private \
             server: a 'secret_file'; or {OTHER}"
        )),
        "server.own-address" => check(
            "a server does not answer what comes from its own addresses (RFC 4380 §5.3.1), so no client qualifies on the \
             server's host",
        )
        .advise("run the client on another host, or name another server under 'servers'"),
        "server.not-teredo" => check(
            "another program has UDP port 3544 there, or a host on the way forges datagrams; 'teredo probe' shows what came",
        )
        .advise(format!("on {primary}, as root: ss -lunp 'sport = :{PORT}'; or {OTHER}")),
        "server.prohibited" => check("a router or a firewall on the way says so: neither this host nor the server's process is to blame")
            .fix(format!(
                "{}\n{}",
                advice_line(&format!("let UDP port {PORT} pass there; this shows the way")),
                trace(seen, primary)
            )),
        "server.unreachable" => check("a router says so, or this host itself: there is no way to the address")
            .fix(format!("ip route get {primary}\n{}", trace(seen, primary))),
        "server.blocked-here" if is_full(seen) => Check::skip(
            id,
            "the kernel has no room for another connection, so it does not send (host.conntrack)",
        ),
        "server.blocked-here" => check("the kernel does not let the doctor's own datagram out")
            .fix(seen.as_root("nft monitor trace")),
        "secondary.silent" => check(
            "a client asks both, to tell a symmetric NAT. The second address is not on the server, is another one, or a \
             firewall drops it",
        )
        .advise(second_address(primary, secondary)),
        "server.silent" => {
            let check = Check::fail(id, format!("nothing comes back from {primary}, and nobody says why"));
            let (hint, fix) = origin(seen).unzip();
            check
                .why(format!(
                    "{}a router or a firewall on the way drops UDP (port {PORT} or all of it), or the host is off, or the \
                     address is wrong; this host's own rules let it through",
                    hint.unwrap_or_default()
                ))
                .fix(fix.unwrap_or_else(|| trace(seen, primary)))
        }
        _ => check("a client does not qualify with it").advise(finding.fix),
    }
}

/// Shows the way to the server, by a program that is here.
fn trace(seen: &Seen, primary: Ipv4Addr) -> String {
    if seen.has_tool("traceroute") {
        format!("traceroute -n -U -p {PORT} {primary}")
    } else if seen.has_tool("tracepath") {
        format!("tracepath -n {primary}")
    } else {
        format!(
            "ping -c 3 {primary} # the package 'traceroute' shows the way: traceroute -n -U -p {PORT} {primary}"
        )
    }
}

/// Faults of this host on the way to the server, which no answer could tell.
fn here(seen: &Seen, primary: Ipv4Addr, secondary: Ipv4Addr) -> Option<Check> {
    let id = id::SERVER_ANSWERS;
    let link = seen
        .server
        .outside
        .as_ref()
        .map_or("its link", |link| &link.name);
    if let Some((hop, Neighbour::Fixed(hardware))) = &seen.server.neighbour {
        return Some(
            Check::fail(
                id,
                format!(
                    "nothing comes back from {primary}, and the hardware address of the neighbour {hop} was set by hand: {hardware}"
                ),
            )
            .why(
                "a permanent entry stays when the router is replaced, and then all packets go to a device that is gone. \
                 Without it, the kernel asks (ARP)",
            )
            .fix(format!("ip neigh del {hop} dev {}", quote(link))),
        );
    }
    if let Some((hop, Neighbour::Deaf)) = seen.server.neighbour {
        if hop == primary
            && let Some(check) = overlap(seen, primary, secondary)
        {
            return Some(check);
        }
        let who = if hop == primary { "server" } else { "gateway" };
        return Some(
            Check::fail(id, format!("the {who} {hop} does not answer on {link}"))
                .why(
                    "this host asks there for its hardware address (ARP) and hears nothing: the address of the gateway in \
                     the network's settings is wrong, or the host is off, or the cable or the Wi-Fi leads elsewhere. No \
                     firewall rule is to blame; 'ip route replace default via GATEWAY' corrects it until the next start",
                )
                .fix(format!(
                    "ip -4 route\nip neigh show dev {}",
                    quote(link)
                )),
        );
    }
    if let Some(check) = by_vpn(seen, primary, secondary) {
        return Some(check);
    }
    let way = seen.server.way.as_ref()?;
    let rule = way.rule.filter(|_| way.is_detour())?;
    let by = if way.link.is_some() {
        format!("leave by {link}")
    } else {
        "go nowhere".to_owned()
    };
    Some(
        Check::fail(
            id,
            format!(
                "nothing comes back from {primary}: packets to it {by}, because the rule of priority {rule} leads to table {}",
                way.table
            ),
        )
        .why(
            "a VPN that has ended may have left the rule, or one that runs does not carry this UDP; without the rule, the \
             usual routes apply. The VPN's own settings take it away; if nothing made it, 'ip rule del' with all its words",
        )
        .fix(format!("ip rule show priority {rule}\nip route show table {}", way.table)),
    )
}

/// The commands that send both addresses of the server to a router, and the interface of that; none: no router is known.
fn by_router(seen: &Seen, primary: Ipv4Addr, secondary: Ipv4Addr) -> Option<String> {
    let mut routers = seen.host.routers.iter();
    let (router, link) = routers.find(|(router, link)| {
        *router != primary && *router != secondary && !seen.host.vpns.contains(link)
    })?;
    let lines = [primary, secondary].map(|address| {
        format!(
            "ip route replace {address}/32 via {router} dev {}",
            quote(link)
        )
    });
    Some(lines.join("\n"))
}

/// The server's address is in a network of this host by mistake, so no gateway is asked.
fn overlap(seen: &Seen, primary: Ipv4Addr, secondary: Ipv4Addr) -> Option<Check> {
    let way = seen.server.way.as_ref()?;
    let (network, length) = way.destination.filter(|_| way.gateway.is_none())?;
    let fix = by_router(seen, primary, secondary)?;
    let link = seen.server.outside.as_ref()?;
    Some(
        Check::fail(
            id::SERVER_ANSWERS,
            format!(
                "no gateway is asked for {primary}: it is in {network}/{length}, a network of this host's own interface {}",
                link.name
            ),
        )
        .why(
            "this host looks for the server on that link, and nobody there has the address. Give the bridge of the \
             containers or the VPN another network, or the interface its right prefix length; until then, these routes \
             lead to the server",
        )
        .fix(fix),
    )
}

/// A VPN that carries what goes to the server.
fn by_vpn(seen: &Seen, primary: Ipv4Addr, secondary: Ipv4Addr) -> Option<Check> {
    let link = &seen.server.outside.as_ref()?.name;
    (seen.host.vpns.contains(link) && link != seen.interface()).then_some(())?;
    let check = Check::fail(
        id::SERVER_ANSWERS,
        format!(
            "nothing comes back from {primary}, and the way there is the VPN {link}"
        ),
    )
    .why(format!(
        "the far end of a VPN may drop UDP or port {PORT}, which this host cannot see. These routes lead past the VPN, if it \
         may be so; else let the port pass at its far end"
    ));
    Some(match by_router(seen, primary, secondary) {
        Some(routes) => check.fix(routes),
        None => check.fix(format!("ip route get {primary}")),
    })
}

/// Where the address comes from, if that may be the mistake, and the commands that show and change it.
fn origin(seen: &Seen) -> Option<(String, String)> {
    let name = seen.server.name.as_deref()?;
    if seen.server.in_hosts {
        return Some((
            format!("the address of {name} is from /etc/hosts, and may be an old one; or "),
            format!("grep -n {name} /etc/hosts", name = quote(name)),
        ));
    }
    let place = seen.settings.servers_place.as_deref()?;
    Some((
        format!("the server {name} is set in {place}, which comes after the main file; or "),
        format!(
            "cat {}",
            quote(place.rsplit_once(':').map_or(place, |(file, _)| file))
        ),
    ))
}

/// Only a part of the questions was answered: neither end is to blame.
pub(super) fn lossy(seen: &Seen, primary: Ipv4Addr) -> Option<Check> {
    let [sent, lost] = seen.server.probe.as_ref()?.lost;
    // One may get lost on any day.
    (lost >= 2 && lost * 4 >= sent).then_some(())?;
    Some(
        Check::warn(
            id::SERVER_ANSWERS,
            format!("{lost} of {sent} datagrams to server {primary} were lost, they or their answers"),
        )
        .why(
            "the path loses packets, such as a weak Wi-Fi or a line that is full: the client qualifies late, loses its \
             state now and then, and is slow",
        )
        .fix(format!("ping -c 20 -i 0.2 {primary}")),
    )
}
