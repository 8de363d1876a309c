//! The administrator's set, the table `inet teredo`, and exceptions that are left.

use teredo_firewall::SetPath;
use teredo_nft::{Family, KeyType, TableName};
use teredo_notify::types::FirewallStatus;

use super::agent::{Trouble, gates, trouble};
use crate::doctor::check::{Check, id};
use crate::doctor::opening::insert;
use crate::doctor::rules::walk::{Fate, Rules};
use crate::doctor::seen::Seen;
use crate::doctor::shell::quote;
use crate::doctor::way::Way;

pub(super) fn set(seen: &Seen, way: &Way<'_>) -> Check {
    let id = id::FIREWALL_SET;
    let Some(path) = &way.set else {
        return match trouble(seen, Trouble::Set) {
            Some(text) => Check::fail(id, text).fix(seen.restart("firewall")),
            None => Check::ok(id, "no set of the administrator's is in use"),
        };
    };
    let create = path.create_command();
    let look = look_command(way, path);
    let is_there = way
        .table_of_set()
        .is_some_and(|table| table.named_set(&path.set).is_some());
    let elsewhere = seen
        .rules
        .as_ref()
        .ok()
        .and_then(|rules| same_name(rules, path));
    if let (false, Some(other)) = (is_there, elsewhere) {
        return Check::fail(
            id,
            format!(
                "the set '{path}' does not exist; there is one of this name in the table '{}'",
                other.table
            ),
        )
        .why("the agent was given another table than the set is in, so it opens nothing")
        .fix(way.agent_for(&other.to_string()));
    }
    let Some(table) = way.table_of_set() else {
        return Check::fail(
            id,
            format!("the set '{path}' does not exist, nor does its table"),
        )
        .why("the agent waits for it; the ruleset was flushed, or loads from another file")
        .fix(format!("{create}\n{look}"));
    };
    let Some(contents) = table.named_set(&path.set) else {
        // The agent may have been given a name that is almost right.
        let used = table.sets.iter().find(|(name, set)| {
            set.key == KeyType::INET_SERVICE && set.timeouts && table.looks_in(name)
        });
        if let Some((name, _)) = used {
            return Check::fail(
                id,
                format!("the set '{path}' does not exist; the rules look in '{name}'"),
            )
            .why("the agent was given another name than the rules have, so it opens nothing")
            .fix(way.agent_for(&format!("{} {name}", path.table)));
        }
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

/// A fit set of this name in another table, in which a rule looks.
fn same_name(rules: &Rules, path: &SetPath) -> Option<SetPath> {
    let mut tables = rules.nftables.tables.iter();
    let table = tables.find(|table| {
        let set = table.named_set(&path.set);
        table.name != path.table
            && set.is_some_and(|set| set.key == KeyType::INET_SERVICE && !set.map)
            && table.looks_in(&path.set)
    })?;
    Some(SetPath {
        table: table.name.clone(),
        set: path.set.clone(),
    })
}

/// The rule that looks in the set, in the chain that drops, or in the one of the hook.
fn look_command(way: &Way<'_>, path: &SetPath) -> String {
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
fn replace_commands(way: &Way<'_>, path: &SetPath, look: &str) -> String {
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

pub(super) fn table(seen: &Seen, rules: &Rules) -> Check {
    let id = id::FIREWALL_TABLE;
    let name = TableName::new(Family::Inet, "teredo");
    let restart = if seen.roles().firewall || !gates(seen).is_empty() {
        seen.restart("firewall")
    } else {
        seen.start("firewall", "firewall &")
    };
    let Some(table) = rules.nftables.table(&name) else {
        // Other programs are gates, too, and have no such table.
        let is_agent = |gate: &&&FirewallStatus| {
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

pub(super) fn stale(seen: &Seen, rules: &Rules, way: &Way<'_>) -> Check {
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
                let path = SetPath {
                    table: table.name.clone(),
                    set: name.clone(),
                };
                let is_agents = way.set.as_ref() == Some(&path);
                let Some(port) = element.port().filter(|_| own || is_agents) else {
                    continue;
                };
                if !own && !in_use(port) {
                    return Check::warn(id, format!("the set '{path}' holds port {port}, which is not the agent's and which nobody uses"))
                        .why("it was added without a timeout, so it stays open for the next program that gets the port")
                        .fix(format!("nft delete element {} {} '{{ {port} }}'", table.name, quote(name)));
                }
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
