//! The rules of a perimeter: it forwards UDP only from and to the endpoints that the agent keeps, and counts the rest.
//!
//! ```text
//! table inet filter {
//!     set teredo_hosts { type ipv4_addr . inet_service; flags timeout; }
//!     chain forward {
//!         type filter hook forward priority filter; policy drop;
//!         ip daddr 192.0.2.0/27 meta l4proto tcp accept
//!         ip saddr 192.0.2.0/27 meta l4proto tcp accept
//!         meta l4proto udp ip saddr . udp sport @teredo_hosts accept
//!         meta l4proto udp ip daddr . udp dport @teredo_hosts accept
//!         meta l4proto udp counter drop
//!     }
//! }
//! ```

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::Context as _;
use teredo_lab::Namespace;
use teredo_nft::{
    Batch, Chain, ChainKind, Family, Field, Hook, KeyType, Netlink, NftError, Policy, Rule, Set,
    TableFlags, TableName,
};

use super::plan::BACKBONE;

const TCP: u8 = 6;
const UDP: u8 = 17;
const FILTER_PRIORITY: i32 = 0;
/// Before everything else.
const FIRST: i32 = -300;

/// The administrator's set, as an argument of `--set`.
pub(super) const SET: &str = "inet filter teredo_hosts";
const SET_NAME: &str = "teredo_hosts";

fn table() -> TableName {
    TableName::new(Family::Inet, "filter")
}

/// Loads the ruleset of a perimeter.
pub(super) fn load(perimeter: &Namespace) -> anyhow::Result<()> {
    let endpoints = KeyType::IPV4_ADDR.then(KeyType::INET_SERVICE);
    let hosts = Set::new(SET_NAME, endpoints).with_timeouts();
    let forward = Chain::base("forward", ChainKind::Filter, Hook::Forward, FILTER_PRIORITY)
        .policy(Policy::Drop);
    let mut batch = Batch::new();
    batch
        .add_table(&table(), TableFlags::default())
        .add_set(&table(), &hosts)
        .add_chain(&table(), &forward);
    let mask = u32::MAX << (32 - BACKBONE.1);
    for field in [Field::IPV4_DESTINATION, Field::IPV4_SOURCE] {
        let rule = Rule::new().ipv4().protocol(TCP).load([field]);
        let rule = rule.mask(mask.to_be_bytes()).is(BACKBONE.0.octets());
        batch.add_rule(&table(), "forward", rule.accept());
    }
    for endpoint in [
        [Field::IPV4_SOURCE, Field::SOURCE_PORT],
        [Field::IPV4_DESTINATION, Field::DESTINATION_PORT],
    ] {
        let rule = Rule::new().ipv4().protocol(UDP).load(endpoint);
        batch.add_rule(&table(), "forward", rule.in_set(SET_NAME).accept());
    }
    let rest = Rule::new().protocol(UDP).counter().drop();
    batch.add_rule(&table(), "forward", rest);
    perimeter.run(|| Netlink::open()?.execute(&batch))??;
    Ok(())
}

/// The datagrams that a perimeter has dropped.
pub(super) fn drops(perimeter: &Namespace) -> anyhow::Result<u64> {
    let rules = perimeter.run(|| Netlink::open()?.rules(&table(), Some("forward")))??;
    let counted = rules.iter().flatten().filter_map(|rule| rule.packets).sum();
    Ok(counted)
}

/// The endpoints that are open at a perimeter right now.
pub(super) fn open(netlink: &mut Netlink) -> Result<BTreeSet<SocketAddrV4>, NftError> {
    let elements = netlink.elements(&table(), SET_NAME)?;
    let endpoints = elements.iter().flatten();
    Ok(endpoints
        .filter_map(|element| endpoint(&element.key))
        .collect())
}

fn endpoint(key: &[u8]) -> Option<SocketAddrV4> {
    let [a, b, c, d, high, low, ..] = *key else {
        return None;
    };
    let address = Ipv4Addr::new(a, b, c, d);
    Some(SocketAddrV4::new(address, u16::from_be_bytes([high, low])))
}

fn cut_table() -> TableName {
    TableName::new(Family::Inet, "cut")
}

/// Lets nothing pass any more between the interfaces of the two lists, and says nothing about it.
pub(super) fn cut(router: &Namespace, halves: [&[String]; 2]) -> anyhow::Result<()> {
    let table = cut_table();
    let mut batch = Batch::new();
    let chain = Chain::base("forward", ChainKind::Filter, Hook::Forward, FIRST);
    batch
        .add_table(&table, TableFlags::default())
        .add_chain(&table, &chain);
    for [from, to] in [[halves[0], halves[1]], [halves[1], halves[0]]] {
        for (from, to) in from
            .iter()
            .flat_map(|from| to.iter().map(move |to| (from, to)))
        {
            let rule = Rule::new().iifname(from).oifname(to);
            batch.add_rule(&table, "forward", rule.drop());
        }
    }
    router
        .run(|| Netlink::open()?.execute(&batch))?
        .context("cannot cut the network")
}

/// Lets nothing in from an interface.
pub(super) fn deafen(router: &Namespace, interface: &str) -> anyhow::Result<()> {
    let table = cut_table();
    let mut batch = Batch::new();
    let chain = Chain::base("prerouting", ChainKind::Filter, Hook::Prerouting, FIRST);
    batch
        .add_table(&table, TableFlags::default())
        .add_chain(&table, &chain)
        .add_rule(&table, "prerouting", Rule::new().iifname(interface).drop());
    router
        .run(|| Netlink::open()?.execute(&batch))?
        .context("cannot cut a cable")
}

/// Takes a cut back.
pub(super) fn heal(router: &Namespace) -> anyhow::Result<()> {
    let mut batch = Batch::new();
    batch.delete_table(&cut_table());
    router
        .run(|| Netlink::open()?.execute(&batch))?
        .context("cannot heal the network")
}

/// The table that cuts one cable.
fn cable_table(interface: &str) -> TableName {
    TableName::new(Family::Inet, format!("cut-{interface}"))
}

/// Lets nothing in from an interface, and nothing out by it, and says nothing about it.
pub(super) fn sever(router: &Namespace, interface: &str) -> anyhow::Result<()> {
    let table = cable_table(interface);
    let mut batch = Batch::new();
    batch.add_table(&table, TableFlags::default());
    let ways = [
        (
            "prerouting",
            Hook::Prerouting,
            Rule::new().iifname(interface),
        ),
        (
            "postrouting",
            Hook::Postrouting,
            Rule::new().oifname(interface),
        ),
    ];
    for (name, hook, rule) in ways {
        batch
            .add_chain(&table, &Chain::base(name, ChainKind::Filter, hook, FIRST))
            .add_rule(&table, name, rule.drop());
    }
    router
        .run(|| Netlink::open()?.execute(&batch))?
        .with_context(|| format!("cannot cut {interface}"))
}

/// Takes that back.
pub(super) fn mend(router: &Namespace, interface: &str) -> anyhow::Result<()> {
    let mut batch = Batch::new();
    batch.delete_table(&cable_table(interface));
    router
        .run(|| Netlink::open()?.execute(&batch))?
        .with_context(|| format!("cannot mend {interface}"))
}
