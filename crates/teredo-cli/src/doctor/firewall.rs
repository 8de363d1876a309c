//! Judges the firewall: the agent, the set, the table, and each row of the traffic that Teredo needs (F-1 to F-6).

mod inside;

use std::net::Ipv4Addr;

use teredo_nft::{Family, KeyType, TableName};
use teredo_notify::types::FirewallStatus;

use super::check::{Check, Id, id};
use super::rules::packet::kinds;
use super::rules::walk::{Fate, Keeper, Rules};
use super::seen::Seen;
use super::server::reason_of;
use super::shell::quote;
use super::way::{Way, insert};
use crate::text::plain;
use inside::{icmpv6, inside, open_inside};

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

/// The troubles that agents report, by the check that they belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Set,
    Table,
    /// Datagrams arrived and did not pass.
    Lost,
    /// A chain may drop them, and none came yet.
    Suspected,
    Hangs,
    Other,
}

fn kind(trouble: &str) -> Trouble {
    if trouble.contains("no datagram for the port has passed it yet") {
        Trouble::Suspected
    } else if trouble.contains("arrived and none passed") {
        Trouble::Lost
    } else if trouble.contains("table 'inet teredo' exists") {
        Trouble::Table
    } else if trouble.contains("the set '") {
        Trouble::Set
    } else if trouble.contains("it hangs") {
        Trouble::Hangs
    } else {
        Trouble::Other
    }
}

fn gates(seen: &Seen) -> &[FirewallStatus] {
    seen.status()
        .map_or(&[], |status| status.firewall.as_slice())
}

/// The first trouble of a kind.
fn trouble(seen: &Seen, wanted: Trouble) -> Option<String> {
    let troubles = gates(seen)
        .iter()
        .filter_map(|gate| gate.trouble.as_deref());
    troubles
        .filter(|trouble| kind(trouble) == wanted)
        .map(plain)
        .next()
}

fn agent(seen: &Seen) -> Check {
    let id = id::FIREWALL_AGENT;
    let start = seen.start("firewall", "firewall &");
    let stopped = seen.running("firewall").find(|process| process.stopped);
    let stopped_gate = gates(seen).iter().find_map(|gate| {
        let pid = gate.pid?;
        seen.processes
            .iter()
            .find(|process| process.pid == pid && process.stopped)
    });
    if let Some(process) = stopped.or(stopped_gate) {
        return Check::fail(id, format!("the firewall agent {} is stopped by a signal (SIGSTOP)", process.program()))
            .why("it renews no lease, so the port closes after 15 s, and each change of the port waits for it")
            .fix(format!("kill -CONT {}", process.pid));
    }
    if let Some(status) = seen.status() {
        let problems = status.problems.iter();
        let departed = problems
            .clone()
            .find(|problem| problem.contains("has ended, and no firewall follows the port"));
        if let Some(problem) = departed {
            return Check::fail(
                id,
                "the firewall agent has ended, and nobody follows the port",
            )
            .why(plain(problem))
            .fix(start);
        }
    }
    let name = |gate: &FirewallStatus| {
        let name = plain(gate.command.as_deref().unwrap_or("a firewall"));
        match gate.pid {
            Some(pid) => format!("{name} (pid {pid})"),
            None => name,
        }
    };
    for gate in gates(seen) {
        match gate
            .trouble
            .as_deref()
            .map(|text| (kind(text), plain(text)))
        {
            Some((Trouble::Hangs, text)) => {
                let check =
                    Check::fail(id, format!("the firewall agent {} hangs", name(gate))).why(text);
                return match gate.pid {
                    Some(pid) if !seen.has_unit("teredo-firewall") => {
                        check.fix(format!("kill -KILL {pid}\n{start}"))
                    }
                    _ => check.fix("systemctl restart teredo-firewall"),
                };
            }
            Some((Trouble::Other, text)) => {
                return Check::fail(
                    id,
                    format!("the firewall agent {} reports trouble", name(gate)),
                )
                .why(text)
                .fix(seen.restart("firewall"));
            }
            Some(_) => {
                return Check::ok(
                    id,
                    format!(
                        "{} follows the port, and reports what keeps it from its work",
                        name(gate)
                    ),
                );
            }
            None if !gate.in_sync => {
                return Check::warn(id, format!("the firewall agent {} is behind", name(gate)))
                    .why(match gate.sequence {
                        Some(sequence) => format!(
                            "it has confirmed state {sequence}, and the port's state is {}",
                            seen.status().map_or(0, |status| status.sequence)
                        ),
                        None => "it has confirmed nothing yet".to_owned(),
                    })
                    .fix(seen.restart("firewall"));
            }
            None => {}
        }
    }
    if let Some(gate) = gates(seen).first() {
        return Check::ok(
            id,
            format!("{} follows the port, and is in sync", name(gate)),
        );
    }
    if let Some(process) = seen.running("firewall").next() {
        return match seen.status() {
            Some(_) => Check::fail(id, format!("the firewall agent {} does not follow this service", process.program()))
                .why("it follows another socket, or the service does not let it confirm: it must run as root or in the service's group")
                .fix(format!("kill {}\n{}", process.pid, seen.teredo("firewall &"))),
            None => Check::ok(id, format!("{} waits for the service", process.program())),
        };
    }
    if seen.roles().firewall {
        return Check::fail(
            id,
            "no firewall agent runs, although this host is set up for one",
        )
        .why("nobody opens the port, and after 15 s a port that was open is closed")
        .fix(start);
    }
    Check::ok(
        id,
        "no firewall agent runs; the checks below show whether one is needed",
    )
}

/// The checks that need no ruleset.
fn without_rules(seen: &Seen, reason: &str) -> Vec<Check> {
    let unseen = |id: Id| {
        if seen.root {
            Check::skip(id, plain(reason))
        } else {
            Check::needs_root(id, "the rules of this host's firewalls")
        }
    };
    let said = |id: Id, wanted: Trouble| match trouble(seen, wanted) {
        Some(text) => Check::fail(id, text).fix("sudo teredo doctor"),
        None => unseen(id),
    };
    let port = match (
        trouble(seen, Trouble::Lost),
        trouble(seen, Trouble::Suspected),
    ) {
        (Some(text), _) => Check::fail(id::FIREWALL_PORT, text).fix("sudo teredo doctor"),
        (None, Some(text)) => Check::warn(id::FIREWALL_PORT, text).fix("sudo teredo doctor"),
        (None, None) => unseen(id::FIREWALL_PORT),
    };
    let inside = match seen.status().and_then(|status| status.protected) {
        Some(true) => Check::ok(
            id::FIREWALL_INSIDE,
            "the inside of the tunnel is closed to what nobody asked for",
        ),
        Some(false) => open_inside(seen),
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
        upnp(),
        unseen(id::FIREWALL_ICMPV6),
        inside,
        unseen(id::FIREWALL_LEGACY),
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
        stale(seen, rules),
        discovery(seen, &way),
        upnp(),
        icmpv6(seen, rules),
        inside(seen, rules),
        legacy(rules),
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
            (Some((place, _)), None) => passes.why(format!("as far as can be told: {place} depends on more than the port")),
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
    if way.set.is_some() && way.contents().is_some() {
        return match way.follow_with_set(packet) {
            Fate::Dropped(place) | Fate::Doubtful(place) if is_shadowed(way, &place) => {
                let what =
                    format!("{place} drops the port's datagrams before the exception is reached");
                let check = Check::fail(id::FIREWALL_SHADOWED, what)
                    .why("the rule that looks in the set comes too late; it must stand before any rule that drops")
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
                    "the set '{}' opens its own table alone. {}",
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
            .collect::<Vec<_>>()
            .join("\n"),
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
            "this host needs the second way, a set that the agent fills: its own rules drop the port",
            "an accept of the table 'inet teredo' does not override the drop of another table. Write the set and the \
             rule into the file of the ruleset, too (such as /etc/nftables.conf)"
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

fn needs_set(way: &Way<'_>) -> Check {
    let set = way
        .set
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    Check::ok(
        id::FIREWALL_WAY,
        format!("this host uses the second way, the set '{set}'"),
    )
}

/// Whether a rule of the place's table looks in the set: then the place is before it.
fn is_shadowed(way: &Way<'_>, place: &super::rules::walk::Place) -> bool {
    let (Some(set), Some(table)) = (&way.set, way.table_of_set()) else {
        return false;
    };
    place.table == set.table.to_string() && table.looks_in(&set.set)
}

fn set(seen: &Seen, way: &Way<'_>) -> Check {
    let id = id::FIREWALL_SET;
    let Some(path) = &way.set else {
        return match trouble(seen, Trouble::Set) {
            Some(text) => Check::fail(id, text).fix(seen.restart("firewall")),
            None => Check::ok(id, "no set of the administrator's is in use"),
        };
    };
    let create = path.create_command();
    let look = look_command(way, path);
    let Some(table) = way.table_of_set() else {
        return Check::fail(
            id,
            format!("the set '{path}' does not exist, nor does its table"),
        )
        .why("the agent waits for it; the ruleset was flushed, or loads from another file")
        .fix(format!("nft add table {}\n{create}\n{look}", path.table));
    };
    let Some(contents) = table.named_set(&path.set) else {
        return Check::fail(id, format!("the set '{path}' does not exist"))
            .why("the agent waits for it, and opens nothing until then; declare it in the file of the ruleset, too")
            .fix(format!("{create}\n{look}"));
    };
    let fault = if contents.map {
        Some("is a map")
    } else if contents.key != KeyType::INET_SERVICE {
        Some("is not of type inet_service")
    } else if contents.intervals {
        Some("has the flag interval")
    } else if contents.constant {
        Some("has the flag constant")
    } else {
        None
    };
    let again = || replace_commands(way, path, &look);
    if let Some(fault) = fault {
        return Check::fail(id, format!("the set '{path}' {fault}, so it cannot hold the port"))
            .why("it must be declared as '{ type inet_service; flags timeout; }', in the file of the ruleset, too")
            .fix(format!("{}\n{}", again(), seen.restart("firewall")));
    }
    let agents: Vec<u32> = seen
        .running("firewall")
        .map(|process| process.pid)
        .collect();
    if let Some(owner) = table.owner.filter(|owner| !agents.contains(owner)) {
        return Check::fail(
            id,
            format!("the table '{}' belongs to the process {owner}", path.table),
        )
        .why("it has the flag owner: the kernel lets no other program fill its sets")
        .fix(format!("ps -p {owner} -o pid,comm,args"));
    }
    if !table.looks_in(&path.set) {
        return Check::fail(
            id,
            format!("no rule looks in the set '{path}', so it opens nothing"),
        )
        .why("the agent puts the port there, and a rule must accept what is in it")
        .fix(look);
    }
    if !contents.timeouts {
        return Check::warn(id, format!("the set '{path}' has no 'flags timeout'"))
            .why("if the agent is killed, the port stays open; declare it so in the file of the ruleset, too")
            .fix(format!("{}\n{}", again(), seen.restart("firewall")));
    }
    Check::ok(
        id,
        format!("the set '{path}' can hold the port, and a rule looks in it"),
    )
}

/// The rule that looks in the set, in the chain that drops, or in the one of the hook.
fn look_command(way: &Way<'_>, path: &teredo_firewall::SetPath) -> String {
    let packet = way.strangers_datagram();
    if let Fate::Dropped(place) = way.follow(&packet)
        && place.table == path.table.to_string()
    {
        return insert(&place, &format!("udp dport @{}", path.set));
    }
    let table = way.table_of_set();
    let chain = table.and_then(|table| {
        let mut chains = table.chains.iter();
        chains.find(|chain| chain.is_at(teredo_nft::Hook::Input))
    });
    match chain {
        Some(chain) => format!(
            "nft insert rule {} {} udp dport @{} accept",
            path.table,
            quote(&chain.name),
            path.set
        ),
        None => format!(
            "nft add chain {} input '{{ type filter hook input priority filter; }}'\nnft insert rule {} input udp dport @{} accept",
            path.table, path.table, path.set
        ),
    }
}

/// Declares the set anew: its rules first, because the kernel keeps a set that a rule looks in.
fn replace_commands(way: &Way<'_>, path: &teredo_firewall::SetPath, look: &str) -> String {
    let mut lines = Vec::new();
    let chains = way
        .table_of_set()
        .into_iter()
        .flat_map(|table| &table.rules);
    for (chain, rules) in chains {
        let looking = rules
            .iter()
            .filter(|rule| rule.sets().any(|used| used == path.set));
        lines.extend(looking.map(|rule| {
            format!(
                "nft delete rule {} {} handle {}",
                path.table,
                quote(chain),
                rule.handle
            )
        }));
    }
    lines.push(format!("nft delete set {path}"));
    lines.push(path.create_command());
    lines.push(look.to_owned());
    lines.join("\n")
}

fn table(seen: &Seen, rules: &Rules) -> Check {
    let id = id::FIREWALL_TABLE;
    let name = TableName::new(Family::Inet, "teredo");
    let restart = if seen.roles().firewall || !gates(seen).is_empty() {
        seen.restart("firewall")
    } else {
        seen.start("firewall", "firewall &")
    };
    let Some(table) = rules.nftables.table(&name) else {
        // Other programs are gates, too, and have no such table.
        let is_agent = |gate: &&FirewallStatus| {
            gate.trouble.is_none() && gate.command.as_deref() == Some("teredo")
        };
        return match gates(seen).iter().find(is_agent) {
            Some(_) => Check::warn(id, "the table 'inet teredo' is gone")
                .why("the agent puts it back within a second; if it does not, it is stuck")
                .fix(restart),
            None => Check::ok(id, "there is no table 'inet teredo'; the agent makes it"),
        };
    };
    if let Some(owner) = table.owner {
        return Check::fail(id, format!("the table 'inet teredo' belongs to the process {owner}"))
            .why("it has the flag owner, which the agent's table has not: another program made it, and the agent leaves it alone")
            .fix(format!("ps -p {owner} -o pid,comm,args"));
    }
    let marked = table
        .comment
        .as_deref()
        .is_some_and(|comment| comment.starts_with("teredo: "));
    if !marked {
        return Check::fail(id, "the table 'inet teredo' is not the agent's: something else made it")
            .why("the agent leaves it as it is, and neither opens the port nor closes the inside; its rules may live in any other table, also in the file that it is loaded from")
            .fix(format!("nft list table inet teredo\nnft delete table inet teredo\n{restart}"));
    }
    if table.dormant {
        return Check::fail(
            id,
            "the table 'inet teredo' is dormant: no packet meets its rules",
        )
        .why("another program has set the flag")
        .fix(format!("nft delete table inet teredo\n{restart}"));
    }
    Check::ok(id, "the table 'inet teredo' is the agent's, and in effect")
}

fn stale(seen: &Seen, rules: &Rules) -> Check {
    let id = id::FIREWALL_STALE;
    let in_use = |port: u16| {
        seen.status().is_some_and(|status| status.port == port)
            || seen.host.udp.iter().any(|(used, _)| *used == port)
    };
    for table in &rules.nftables.tables {
        for (name, set) in &table.sets {
            if set.key != KeyType::INET_SERVICE {
                continue;
            }
            for element in &set.elements {
                let own = element.comment.as_deref() == Some("teredo");
                let Some(port) = element.port().filter(|_| own) else {
                    continue;
                };
                // A lease ends by itself.
                if !element.leased && !in_use(port) {
                    return Check::warn(id, format!("the set '{} {name}' still holds port {port}, which nobody uses", table.name))
                        .why("the agent that put it there was killed, and the set has no 'flags timeout'")
                        .fix(format!(
                            "nft delete element {} {} '{{ {port} }}'",
                            table.name,
                            quote(name)
                        ));
                }
            }
        }
    }
    Check::ok(id, "no exception is left for a port that is not in use")
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
    let packets = [
        (
            kinds::discovery(&way.outside, neighbour),
            "ip daddr 224.0.0.253 udp dport 3544",
        ),
        (kinds::igmp(&way.outside, neighbour), "ip protocol igmp"),
    ];
    for (packet, rule) in packets {
        if let Fate::Dropped(place) = way.follow(&packet) {
            return Check::ok(id, "clients on the same link do not find this one, and go by the server")
                .why(format!(
                    "{place} drops local discovery (UDP 3544 to 224.0.0.253, and IGMP). That matters only if your \
                     router does not hairpin, and other clients are on this link"
                ))
                .fix(match place.keeper {
                    Keeper::Ufw => "ufw allow in proto udp to 224.0.0.253 port 3544".to_owned(),
                    Keeper::Firewalld => "firewall-cmd --permanent --add-rich-rule='rule family=ipv4 destination address=224.0.0.253 port port=3544 protocol=udp accept'\nfirewall-cmd --reload".to_owned(),
                    Keeper::Iptables => "iptables -I INPUT -d 224.0.0.253 -p udp --dport 3544 -j ACCEPT\niptables -I INPUT -p igmp -j ACCEPT".to_owned(),
                    Keeper::IptablesLegacy => "iptables-legacy -I INPUT -d 224.0.0.253 -p udp --dport 3544 -j ACCEPT\niptables-legacy -I INPUT -p igmp -j ACCEPT".to_owned(),
                    _ => insert(&place, rule),
                });
        }
    }
    Check::ok(id, "clients on the same link find this one")
}

fn upnp() -> Check {
    Check::ok(
        id::FIREWALL_UPNP,
        "this client does not use UPnP, so UDP 1900 needs no exception",
    )
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
