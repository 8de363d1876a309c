//! The table `inet teredo`: the block of the tunnel's inside, and the leases of the exceptions.
//!
//! The block and the exceptions have different lifetimes. The table has no owner, so the block outlives its maker,
//! and ends by `teredo firewall --remove` alone. Each exception is an element with a timeout, which the agent renews. The
//! table's text is always the same; what differs between hosts is in the sets.
//!
//! Its chains run before those of others at the priority `filter`, but that gives its verdicts no more weight than theirs.
//! A `drop` is final in any chain. An `accept` only ends its own chain, and the next base chain at the same hook still
//! sees the packet. So this table can close the inside of the tunnel on any host, but can open the port only if no other
//! table drops it. Otherwise the rules that drop must open it, by looking in a set that the agent fills: see
//! [`Target::AdministratorSet`](crate::Target).

use std::net::Ipv4Addr;

use teredo_nft::{
    Batch, Chain, ChainKind, Condition, CtState, Element, Family, Field, Hook, KeyType, MetaKey,
    Netlink, NftError, PayloadBase, Rule, RuleInfo, Set, TableFlags, TableName, Verdict,
};
use teredo_notify::types::Role;

/// The comment that tells the table from one of the administrator's. `nft list ruleset` writes it, so a restored table
/// still has it.
pub(crate) const MARK: &str =
    "teredo: closes the inside of the tunnel; 'teredo firewall --remove' removes it";

/// Other versions of the program may end the comment differently.
const MARK_PREFIX: &str = "teredo: ";

/// The interfaces from which nothing unsolicited reaches this host. They stay until the table is removed: a name without
/// an interface matches nothing.
pub(crate) const TUNNELS: &str = "tunnels";
/// Those from which nothing unsolicited is forwarded either. A relay forwards for others, so it is not among them.
pub(crate) const CLOSED_FORWARD: &str = "closed_forward";
/// The ports in use.
pub(crate) const PORTS: &str = "port";
/// The ports whose datagrams the kernel does not track: those of relays, because each stranger's datagram would take an
/// entry.
pub(crate) const UNTRACKED: &str = "untracked";
/// The protocols and ports that are open inside the tunnel.
pub(crate) const ALLOWED: &str = "allowed";
/// The agent that renews the leases, by its netlink port.
pub(crate) const AGENTS: &str = "agents";
/// The families of IP in which the packets that the table opens get [`PASS_MARK`]: none without ufw.
pub(crate) const MARKED: &str = "marked";

/// The mark by which rules that cannot look in this table's sets, such as those of iptables, know what it opens: `7e2ed0`
/// looks like "teredo".
pub(crate) const PASS_MARK: u32 = 0x7e_2ed0;

/// The sets whose elements are leases of the agent.
pub(crate) const LEASED: [&str; 5] = [PORTS, UNTRACKED, ALLOWED, AGENTS, MARKED];

/// The chains that count new datagrams for the port before and behind the chains of all others.
pub(crate) const ARRIVING: &str = "arriving";
pub(crate) const PASSED: &str = "passed";

/// Before `filter`, so that the counters show everything that arrived.
const PRIORITY: i32 = -10;
/// Behind the routing decision, which a mark could change.
const MARKS_PRIORITY: i32 = PRIORITY - 1;
/// Before connection tracking, at -200.
const RAW: i32 = -300;
const FIRST: i32 = i32::MIN;
const LAST: i32 = 1000;

/// The most interfaces. A client's name is used again, so only a host with many nodes comes near it.
const MAX_TUNNELS: u32 = 256;

const UDP: u8 = 17;
const IGMP: u8 = 2;
const ICMPV6: u8 = 58;

/// The port of Teredo servers, and of the local discovery (RFC 4380 §2.7, §2.17).
const TEREDO_PORT: u16 = 3544;

/// The group by which clients on one link discover each other (RFC 4380 §2.17).
const DISCOVERY_ADDRESS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 253);

/// The unsolicited ICMPv6 that is let in (F-5): errors, echo, and neighbour discovery.
const ICMPV6_TYPES: [u8; 10] = [1, 2, 3, 4, 128, 129, 133, 134, 135, 136];

/// The result of a search for the table's name in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// A table with the mark.
    Ours,
    /// A table without it, and the netlink port of the program that owns it, if one does.
    Foreign(Option<u32>),
}

pub(crate) fn name() -> TableName {
    TableName::new(Family::Inet, "teredo")
}

pub(crate) fn find(netlink: &mut Netlink) -> Result<Found, NftError> {
    Ok(match netlink.table(&name())? {
        None => Found::Nothing,
        Some(info) if info.owner.is_some() => Found::Foreign(info.owner),
        Some(info) if is_marked(info.comment.as_deref()) => Found::Ours,
        Some(_) => Found::Foreign(None),
    })
}

fn is_marked(comment: Option<&str>) -> bool {
    comment.is_some_and(|text| text.starts_with(MARK_PREFIX))
}

/// The table's chains and rules, in a form that is the same for two tables that do the same.
pub(crate) fn text(netlink: &mut Netlink) -> Result<Vec<String>, NftError> {
    let table = name();
    let mut text = Vec::new();
    let info = netlink.table(&table)?;
    if info.is_some_and(|info| info.dormant) {
        text.push("dormant".to_owned());
    }
    for chain in netlink.chains(table.family)? {
        if chain.table == table.name {
            text.push(format!("{} {:?}", chain.name, chain.base));
        }
    }
    text.sort_unstable();
    let mut rules = netlink.rules(&table, None)?.unwrap_or_default();
    // The order within a chain stays.
    rules.sort_by(|one, other| one.chain.cmp(&other.chain));
    text.extend(
        rules
            .iter()
            .map(|rule| format!("{}: {}", rule.chain, rule.content)),
    );
    Ok(text)
}

/// Whether the kernel, as it is now, drops unsolicited traffic from the interface, known by its name or by a `group`
/// other than 0: traffic to this host and, if `forward`, to others.
///
/// It looks at the rules that matter and not at the whole text, because another version of the program may have written
/// the table.
pub(crate) fn closes(
    netlink: &mut Netlink,
    interface: &str,
    group: u32,
    forward: bool,
) -> Result<bool, NftError> {
    let table = name();
    if find(netlink)? != Found::Ours || netlink.table(&table)?.is_none_or(|info| info.dormant) {
        return Ok(false);
    }
    let chains = netlink.chains(table.family)?;
    let rules = netlink.rules(&table, None)?.unwrap_or_default();
    let of =
        |name: &str| -> Vec<&RuleInfo> { rules.iter().filter(|rule| rule.chain == name).collect() };
    let inside = of("inside");
    // One more, or one without a condition, may accept everything before the last one drops it.
    let drops = inside.split_last().is_some_and(|(last, accepting)| {
        last.drops_everything()
            && accepting.len() == INSIDE_RULES - 1
            && accepting.iter().all(|rule| !rule.conditions().is_empty())
    });
    if !drops {
        return Ok(false);
    }
    let hooks = [
        ("input", Hook::Input, TUNNELS),
        ("forward", Hook::Forward, CLOSED_FORWARD),
    ];
    for (name, hook, set) in hooks.into_iter().take(1 + usize::from(forward)) {
        let hooked = chains.iter().any(|chain| {
            chain.table == table.name
                && chain.name == name
                && chain.base.is_some_and(|base| base.hook == hook)
        });
        let named = interfaces(netlink, set)?.iter().any(|one| one == interface);
        // Another condition would let some packets by.
        let leads = |rule: &&RuleInfo| match rule.conditions().as_slice() {
            [Condition::InterfaceIn(used)] => named && used == set,
            [Condition::InterfaceGroup(known)] => group != 0 && *known == group,
            _ => false,
        };
        // No rule ahead of it may accept.
        let rules = of(name);
        let to_inside = |rule: &&&RuleInfo| rule.target() == Some("inside");
        if !hooked || !rules.iter().take_while(to_inside).any(leads) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Executes a batch; the table's text after it, unless another program changed the ruleset meanwhile. Its change would
/// pass for the text that is right.
pub(crate) fn execute(
    netlink: &mut Netlink,
    batch: &Batch,
) -> Result<Option<Vec<String>>, NftError> {
    let before = netlink.generation()?;
    netlink.execute(batch)?;
    let text = text(netlink)?;
    Ok((netlink.generation()? == before.wrapping_add(1)).then_some(text))
}

/// The interfaces in a set of the table; none if there is no such set.
pub(crate) fn interfaces(netlink: &mut Netlink, set: &str) -> Result<Vec<String>, NftError> {
    let elements = netlink.elements(&name(), set)?.unwrap_or_default();
    let names = elements.iter().filter_map(|element| element.interface());
    Ok(names.map(str::to_owned).collect())
}

/// Adds the requests that make the table right, whether it exists or not. Elements stay, and no packet meets a table
/// without its rules.
pub(crate) fn declare(batch: &mut Batch) {
    let table = name();
    let base = |name, hook, priority| Chain::base(name, ChainKind::Filter, hook, priority);
    let set = |name, key| Set::new(name, key);
    let tunnels = |name| set(name, KeyType::IFNAME).with_size(MAX_TUNNELS);
    batch.add_table_with_comment(&table, TableFlags::default(), MARK);
    for set in [
        tunnels(TUNNELS),
        tunnels(CLOSED_FORWARD),
        set(PORTS, KeyType::INET_SERVICE).with_timeouts(),
        set(UNTRACKED, KeyType::INET_SERVICE).with_timeouts(),
        set(ALLOWED, KeyType::INET_PROTO.then(KeyType::INET_SERVICE)).with_timeouts(),
        set(AGENTS, KeyType::MARK).with_timeouts(),
        set(MARKED, KeyType::NF_PROTO).with_timeouts(),
    ] {
        batch.add_set(&table, &set);
    }
    let chains = [
        ("inside", None),
        ("input", Some((Hook::Input, PRIORITY))),
        ("forward", Some((Hook::Forward, PRIORITY))),
        ("output", Some((Hook::Output, PRIORITY))),
        ("marks", Some((Hook::Input, MARKS_PRIORITY))),
        ("raw_in", Some((Hook::Prerouting, RAW))),
        ("raw_out", Some((Hook::Output, RAW))),
        (ARRIVING, Some((Hook::Input, FIRST))),
        (PASSED, Some((Hook::Input, LAST))),
    ];
    for (name, place) in chains {
        let chain = match place {
            Some((hook, priority)) => base(name, hook, priority),
            None => Chain::regular(name),
        };
        batch.add_chain(&table, &chain).flush_chain(&table, name);
    }
    add_inside(batch, &table);
    let inside = |rule: Rule| rule.verdict(Verdict::Goto("inside".to_owned()));
    for (chain, set) in [("input", TUNNELS), ("forward", CLOSED_FORWARD)] {
        let rule = Rule::new().meta(MetaKey::Iifname).in_set(set);
        batch.add_rule(&table, chain, inside(rule));
    }
    // Under a name that is new, an interface is known by its group.
    for (chain, role) in [
        ("input", Role::Client),
        ("forward", Role::Client),
        ("input", Role::Relay),
    ] {
        let group = role.interface_group().to_ne_bytes();
        let rule = Rule::new().meta(MetaKey::Iifgroup).is(group);
        batch.add_rule(&table, chain, inside(rule));
    }
    add_outside(batch, &table);
    add_marks(batch, &table);
    add_untracked(batch, &table);
}

/// The elements of a set of leases.
pub(crate) fn leases(batch: &mut Batch, set: &str, elements: impl IntoIterator<Item = Element>) {
    batch.flush_set(&name(), set);
    let elements: Vec<_> = elements.into_iter().collect();
    if !elements.is_empty() {
        batch.add_elements(&name(), set, elements);
    }
}

/// How many rules [`add_inside`] adds.
const INSIDE_RULES: usize = 4;

/// Traffic out of the tunnel, to this host or through it (F-5, F-6, R4380-7.1-01, R6169-4.3-01, W-03).
fn add_inside(batch: &mut Batch, table: &TableName) {
    batch
        .add_rule(
            table,
            "inside",
            Rule::new()
                .ct_state(CtState::ESTABLISHED | CtState::RELATED)
                .counter()
                .accept(),
        )
        .add_rule(
            table,
            "inside",
            Rule::new()
                .ipv6()
                .protocol(ICMPV6)
                .payload(PayloadBase::Transport, 0, 1)
                .among(KeyType::ICMPV6_TYPE, ICMPV6_TYPES.map(|kind| [kind]))
                .counter()
                .accept(),
        )
        .add_rule(
            table,
            "inside",
            Rule::new()
                .load([Field::Meta(MetaKey::L4Proto), Field::DESTINATION_PORT])
                .in_set(ALLOWED)
                .counter()
                .accept(),
        )
        .add_rule(
            table,
            "inside",
            Rule::new().counter().drop().comment("unsolicited"),
        );
}

/// The traffic that carries the tunnel: the announced port (F-1, F-2), and the fixed one of local discovery, which is
/// never announced (F-3, N-09).
fn add_outside(batch: &mut Batch, table: &TableName) {
    let udp = || Rule::new().protocol(UDP);
    let igmp = || igmp(Rule::new()).counter().accept();
    let server = TEREDO_PORT.to_be_bytes();
    let discovery = || discovery(Rule::new());
    let arrived = || {
        // Not the traffic inside the tunnel, which this table drops itself.
        Rule::new()
            .ipv4()
            .protocol(UDP)
            .destination_port()
            .in_set(PORTS)
            .ct_state(CtState::NEW | CtState::UNTRACKED)
            .counter()
    };
    let to_port = || udp().destination_port().in_set(PORTS).counter().accept();
    let from_port = || udp().source_port().in_set(PORTS).counter().accept();
    batch
        .add_rule(
            table,
            "input",
            udp()
                .source_port()
                .is(server)
                .destination_port()
                .in_set(PORTS)
                .counter()
                .accept()
                .comment("from the server"),
        )
        .add_rule(table, "input", to_port().comment("from peers"))
        .add_rule(
            table,
            "input",
            discovery().counter().accept().comment("local discovery"),
        )
        .add_rule(table, "input", igmp())
        .add_rule(
            table,
            "output",
            udp()
                .source_port()
                .in_set(PORTS)
                .destination_port()
                .is(server)
                .counter()
                .accept()
                .comment("to the server"),
        )
        .add_rule(table, "output", from_port().comment("to peers"))
        .add_rule(table, "output", igmp())
        .add_rule(table, ARRIVING, arrived())
        .add_rule(table, PASSED, arrived());
}

/// The protocol field of the IPv4 header.
fn igmp(rule: Rule) -> Rule {
    rule.ipv4().payload(PayloadBase::Network, 9, 1).is([IGMP])
}

fn discovery(rule: Rule) -> Rule {
    rule.ipv4()
        .ipv4_destination(DISCOVERY_ADDRESS)
        .protocol(UDP)
        .destination_port()
        .is(TEREDO_PORT.to_be_bytes())
}

/// The packets that the table opens, outside and inside the tunnel, get the mark.
fn add_marks(batch: &mut Batch, table: &TableName) {
    let marked = || Rule::new().meta(MetaKey::Nfproto).in_set(MARKED);
    let ports = marked().ipv4().protocol(UDP);
    let inside = marked()
        .meta(MetaKey::Iifname)
        .in_set(TUNNELS)
        .load([Field::Meta(MetaKey::L4Proto), Field::DESTINATION_PORT])
        .in_set(ALLOWED);
    for rule in [
        ports.destination_port().in_set(PORTS),
        discovery(marked()),
        igmp(marked()),
        inside,
    ] {
        batch.add_rule(table, "marks", rule.counter().set_mark(PASS_MARK));
    }
}

/// Without this, a relay's strangers fill the host's table of connections.
fn add_untracked(batch: &mut Batch, table: &TableName) {
    let udp = || Rule::new().ipv4().protocol(UDP);
    batch
        .add_rule(
            table,
            "raw_in",
            udp().destination_port().in_set(UNTRACKED).notrack(),
        )
        .add_rule(
            table,
            "raw_out",
            udp().source_port().in_set(UNTRACKED).notrack(),
        );
}

#[cfg(test)]
mod tests;
