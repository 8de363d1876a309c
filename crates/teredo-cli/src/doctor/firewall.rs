//! Judges the firewall: the agent, the set, the table, and each row of the traffic that Teredo needs (F-1 to F-6).

mod agent;
mod allowed;
mod inside;
pub(super) mod panic;
mod set;
mod tunnel;

use std::net::Ipv4Addr;

use agent::{Trouble, agent, gates, trouble};
use inside::{icmpv6, inside, open_inside};
use set::{set, stale, table};

use super::check::{Check, Id, id};
use super::opening::{Direction, Opening, Rich, is_denied};
use super::rules::packet::kinds;
use super::rules::walk::{End, Fate, Keeper, Rules};
use super::seen::Seen;
use super::server::reason_of;
use super::way::Way;

pub(super) fn judge(seen: &Seen) -> Vec<Check> {
    let agent = agent(seen);
    let rest = match &seen.rules {
        Ok(rules) => with_rules(seen, rules),
        Err(reason) => without_rules(seen, reason),
    };
    let mut checks = vec![agent];
    checks.extend(rest);
    checks
}

/// The checks as far as the service tells, without the ruleset.
fn without_rules(seen: &Seen, reason: &str) -> Vec<Check> {
    let unseen = |id: Id| {
        if seen.root {
            Check::skip(id, reason)
        } else {
            Check::needs_root(id, "the rules of this host's firewalls")
        }
    };
    let said = |id: Id, wanted: Trouble| match trouble(seen, wanted) {
        Some(text) => Check::fail(id, text).fix(seen.as_root("nft list ruleset")),
        None => unseen(id),
    };
    let port = match (
        trouble(seen, Trouble::Lost),
        trouble(seen, Trouble::Suspected),
    ) {
        (Some(text), _) => {
            Check::fail(id::FIREWALL_PORT, text).fix(seen.as_root("nft list ruleset"))
        }
        (None, Some(text)) => {
            Check::warn(id::FIREWALL_PORT, text).fix(seen.as_root("nft list ruleset"))
        }
        (None, None) => unseen(id::FIREWALL_PORT),
    };
    let inside = match seen.status().and_then(|status| status.protected) {
        Some(true) => Check::ok(
            id::FIREWALL_INSIDE,
            "the inside of the tunnel is closed to what nobody asked for",
        ),
        Some(false) => {
            agent::elsewhere(seen, id::FIREWALL_INSIDE).unwrap_or_else(|| open_inside(seen))
        }
        None => unseen(id::FIREWALL_INSIDE),
    };
    vec![
        unseen(id::FIREWALL_WAY),
        said(id::FIREWALL_SET, Trouble::Set),
        said(id::FIREWALL_TABLE, Trouble::Table),
        port,
        unseen(id::FIREWALL_SHADOWED),
        unseen(id::FIREWALL_STALE),
        unseen(id::FIREWALL_DISCOVERY),
        upnp(seen),
        unseen(id::FIREWALL_ICMPV6),
        inside,
        unseen(id::FIREWALL_LEGACY),
        unseen(id::FIREWALL_TUNNEL),
    ]
}

fn with_rules(seen: &Seen, rules: &Rules) -> Vec<Check> {
    let roles = seen.roles();
    let way = Way::new(seen, rules);
    let [which, port, shadowed] = if roles.client || roles.relay {
        outside(seen, &way)
    } else {
        [id::FIREWALL_WAY, id::FIREWALL_PORT, id::FIREWALL_SHADOWED]
            .map(|id| Check::ok(id, "this host has no port that changes"))
    };
    vec![
        which,
        set(seen, &way),
        table(seen, rules),
        port,
        shadowed,
        stale(seen, rules, &way),
        discovery(seen, &way),
        upnp(seen),
        icmpv6(seen, rules),
        inside(seen, rules),
        legacy(rules),
        tunnel::traffic(seen, rules),
    ]
}

/// The way that this host needs, the port, and the rules before the exception.
fn outside(seen: &Seen, way: &Way<'_>) -> [Check; 3] {
    let shadowed = |text: &str| Check::ok(id::FIREWALL_SHADOWED, text);
    let inbound = way.strangers_datagram();
    let outbound = way.datagram_to_peer();
    let port = way.here.1;
    let known = seen.port().is_some();
    let lost = trouble(seen, Trouble::Lost);
    // The way in first: it is the one that an exception is for.
    let fates = [
        (way.follow(&inbound), &inbound),
        (way.follow(&outbound), &outbound),
    ];
    let dropped = fates.iter().find_map(|(fate, packet)| match fate {
        Fate::Dropped(place) => Some((place.clone(), *packet)),
        _ => None,
    });
    let Some((place, packet)) = dropped else {
        let doubt = fates.iter().find_map(|(fate, packet)| match fate {
            Fate::Doubtful(place) => Some((place.clone(), *packet)),
            _ => None,
        });
        let named = if known {
            format!("port {port}")
        } else {
            "any port".to_owned()
        };
        let which = match &way.set {
            Some(set) => Check::ok(
                id::FIREWALL_WAY,
                format!("the set '{set}' lets the port through"),
            ),
            None => Check::ok(
                id::FIREWALL_WAY,
                "the table 'inet teredo' suffices: no other rules drop the port",
            ),
        };
        let passes = Check::ok(
            id::FIREWALL_PORT,
            format!("datagrams from anybody get through to {named}"),
        );
        let check = match (doubt, lost) {
            // Seen by the agent, whatever the rules look like.
            (Some((place, packet)), Some(text)) => Check::fail(
                id::FIREWALL_PORT,
                format!("datagrams for {named} are dropped: {place}"),
            )
            .why(text)
            .fix(way.open(&place, packet)),
            (None, Some(text)) => Check::fail(id::FIREWALL_PORT, format!("datagrams for {named} arrive and do not pass"))
                .why(format!("{text}. No rule could be found that does it: a rule of another namespace, eBPF or a module may"))
                .fix("nft monitor trace"),
            (Some((place, _)), None) => passes.why(format!("as far as can be told: a rule depends on more than the port: {place}")),
            (None, None) => passes,
        };
        return [
            which,
            check,
            shadowed("no rule stands before the exception"),
        ];
    };
    let direction = if packet.arrives() { "for" } else { "from" };
    let named = if known {
        port.to_string()
    } else {
        "of Teredo".to_owned()
    };
    let what = format!("datagrams {direction} port {named} are dropped: {place}");
    if way.set.is_some() && way.contents().is_none() {
        return [
            needs_set(way),
            Check::skip(
                id::FIREWALL_PORT,
                "closed, because the set that opens it does not exist (firewall.set)",
            ),
            shadowed("no rule stands before the exception"),
        ];
    }
    if way.set.is_some() && way.contents().is_some() {
        return match way.follow_with_set(packet) {
            Fate::Dropped(place) | Fate::Doubtful(place) if is_shadowed(way, &place) => {
                let (what, why) = match place.end {
                    // All rules were asked.
                    End::Policy => (
                        format!(
                            "the rule that looks in the set does not take the port's datagrams: {place}"
                        ),
                        "a rule must accept UDP datagrams to a port of the set; this one is about others, such as TCP",
                    ),
                    End::Rule { .. } => (
                        format!(
                            "the port's datagrams are dropped before they reach the exception: {place}"
                        ),
                        "the rule that looks in the set comes too late; it must stand before any rule that drops",
                    ),
                };
                let check = Check::fail(id::FIREWALL_SHADOWED, what)
                    .why(why)
                    .fix(way.open(&place, packet));
                let port = Check::skip(
                    id::FIREWALL_PORT,
                    "a rule stands before the exception (firewall.shadowed)",
                );
                [needs_set(way), port, check]
            }
            // Another table than that of the set.
            Fate::Dropped(place) => {
                let fix = way.open(&place, packet);
                let check = Check::fail(
                    id::FIREWALL_PORT,
                    format!("datagrams {direction} port {named} are dropped: {place}"),
                )
                .why(format!(
                    "the set '{}' opens its own table alone; {}",
                    way.set
                        .as_ref()
                        .map(ToString::to_string)
                        .unwrap_or_default(),
                    reason_of(&place)
                ))
                .fix(fix);
                [
                    needs_set(way),
                    check,
                    shadowed("no rule of the set's own table stands before the exception"),
                ]
            }
            _ if !known => [
                needs_set(way),
                Check::skip(
                    id::FIREWALL_PORT,
                    "there is no port now; with one, the agent opens it in the set",
                ),
                shadowed("no rule stands before the exception"),
            ],
            _ => {
                let check = Check::fail(id::FIREWALL_PORT, format!("port {port} is closed: the set does not hold it"))
                    .why(format!("{place}; the agent fills the set, and it does not run, is behind or fills another one"))
                    .fix(seen.restart("firewall"));
                [
                    needs_set(way),
                    check,
                    shadowed("no rule stands before the exception"),
                ]
            }
        };
    }
    let droppers = way.droppers(packet);
    let own_rules_alone = droppers
        .iter()
        .all(|place| place.keeper == Keeper::Administrator);
    let fix = match droppers.as_slice() {
        [one] => way.open(one, packet),
        several if own_rules_alone || several.is_empty() => way.open(&place, packet),
        several => several
            .iter()
            .map(|place| way.open_fixed(place, port, packet.arrives()))
            .fold(String::new(), together),
    };
    // Answers pass a firewall that tracks connections, and bubbles open the way for peers, more slowly and not from all.
    let follows = !gates(seen).is_empty() || seen.roles().firewall;
    let make = |id: Id, what: String| match (follows || lost.is_some(), known || follows) {
        (true, _) => Check::fail(id, what),
        (false, _) => Check::warn(id, what),
    };
    let keeper = place.keeper;
    let (how, why) = match keeper {
        Keeper::Administrator => (
            "this host needs a set that the agent fills: its own rules drop the port",
            "an accept of the table 'inet teredo' does not override the drop of another table. Write the set and the \
             rule into the file of the ruleset, too (such as /etc/nftables.conf)"
                .to_owned(),
        ),
        Keeper::Ufw if is_denied(&place) => (
            "a rule of this host's firewall denies the port before the line that accepts what the agent marks",
            "'ufw status numbered' shows the rule, and 'ufw delete N' deletes it; these lines accept the agent's mark \
             before all rules"
                .to_owned(),
        ),
        Keeper::Firewalld if is_denied(&place) => (
            "a rich rule of this host's firewall denies the port before what the agent adds",
            "the agent asks firewalld to open the port, and a rule that drops or rejects comes first: take the one of \
             the list away"
                .to_owned(),
        ),
        Keeper::Ufw => (
            "this host needs a line in the rules of its firewall, which accepts what the agent marks",
            "the agent marks what may pass while the port is in use, and the line opens nothing without it".to_owned(),
        ),
        Keeper::Firewalld if seen.running("firewall").next().is_none() => (
            "this host needs the agent, which asks its firewall to open the port",
            "what the agent opens there ends with it".to_owned(),
        ),
        _ => (
            "this host needs a fixed port: its firewall cannot look in a set of nftables",
            reason_of(&place),
        ),
    };
    let how = match keeper {
        Keeper::Administrator => how.to_owned(),
        keeper => format!("{how} ({keeper})"),
    };
    let consequence = if packet.arrives() {
        "only answers to this client's own datagrams get in, so peers reach it late or not at all"
    } else {
        "the client reaches no peer"
    };
    [
        make(id::FIREWALL_WAY, how).why(why).fix(fix.clone()),
        make(id::FIREWALL_PORT, what)
            .why(match lost {
                Some(text) => format!("{consequence}; the agent has seen it: {text}"),
                None => consequence.to_owned(),
            })
            .fix(fix),
        shadowed("no exception stands behind a rule that drops"),
    ]
}

/// Adds lines that are not there yet.
fn together(mut lines: String, more: String) -> String {
    for line in more.lines() {
        if !lines.lines().any(|known| known == line) {
            if !lines.is_empty() {
                lines.push('\n');
            }
            lines.push_str(line);
        }
    }
    lines
}

fn needs_set(way: &Way<'_>) -> Check {
    let set = way
        .set
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    Check::ok(
        id::FIREWALL_WAY,
        format!("the agent fills the set '{set}' of this host"),
    )
}

/// Whether a rule of the place's table looks in the set: then the place is before it.
fn is_shadowed(way: &Way<'_>, place: &super::rules::walk::Place) -> bool {
    let (Some(set), Some(table)) = (&way.set, way.table_of_set()) else {
        return false;
    };
    place.table == set.table.to_string() && table.looks_in(&set.set)
}

/// F-3. A host without it works, except for clients on its own link.
fn discovery(seen: &Seen, way: &Way<'_>) -> Check {
    let id = id::FIREWALL_DISCOVERY;
    let settings = &seen.settings.client;
    if !seen.roles().client || !settings.local_discovery {
        return Check::ok(id, "local discovery is off");
    }
    let [a, b, c, _] = way.here.0.octets();
    let neighbour = Ipv4Addr::new(a, b, c, 254);
    let opening = Opening {
        direction: Direction::In,
        ipv6: false,
        nft: String::new(),
        iptables: vec![
            "-d 224.0.0.253 -p udp --dport 3544".to_owned(),
            "-p igmp".to_owned(),
        ],
        ufw: Some("ufw allow in proto udp to 224.0.0.253 port 3544".to_owned()),
        firewalld: vec![
            Rich::Other("destination address=224.0.0.253 port port=3544 protocol=udp".to_owned()),
            Rich::Other("protocol value=igmp".to_owned()),
        ],
    };
    let packets = [
        (
            kinds::discovery(&way.outside, neighbour),
            "ip daddr 224.0.0.253 udp dport 3544",
        ),
        (kinds::igmp(&way.outside, neighbour), "ip protocol igmp"),
    ];
    for (packet, rule) in packets {
        if let Fate::Dropped(place) = way.follow(&packet) {
            let nft = rule.to_owned();
            return Check::ok(id, "clients on the same link do not find this one, and go by the server")
                .why(format!(
                    "local discovery is dropped (UDP 3544 to 224.0.0.253, and IGMP): {place}. That matters only if your \
                     router does not hairpin, and other clients are on this link"
                ))
                .fix(Opening { nft, ..opening }.commands(&place));
        }
    }
    Check::ok(id, "clients on the same link find this one")
}

fn upnp(seen: &Seen) -> Check {
    let text = match seen.settings.client.igd {
        false => "this client does not use UPnP, so UDP 1900 needs no exception",
        true => "this client asks its router first, so the answers need no exception",
    };
    Check::ok(id::FIREWALL_UPNP, text)
}

fn legacy(rules: &Rules) -> Check {
    let id = id::FIREWALL_LEGACY;
    if rules.legacy.is_in_use() {
        Check::ok(
            id,
            "iptables-legacy has rules, which the checks above have followed, too",
        )
        .why("'nft list ruleset' does not show them; 'iptables-legacy-save' does")
    } else {
        Check::ok(id, "iptables-legacy has no rules")
    }
}

#[cfg(test)]
mod tests;
