//! A default-drop ruleset, in and out. It accepts the tunnel's port through the set `teredo_ports`, and everything
//! inside the tunnel, which the agent's own table filters.
//!
//! ```text
//! table inet filter {
//!     set teredo_ports { type inet_service; flags timeout; }
//!     chain input {
//!         type filter hook input priority filter; policy drop;
//!         iifname "lo" accept
//!         iifname "teredo" accept
//!         udp dport @teredo_ports accept
//!     }
//!     chain output {
//!         type filter hook output priority filter; policy drop;
//!         oifname "lo" accept
//!         oifname "teredo" accept
//!         udp sport @teredo_ports accept
//!     }
//! }
//! ```
//!
//! Behind a router that gives ports, UDP port 5351 of the router is also permitted (PCP, NAT-PMP).

use teredo_lab::Host;
use teredo_nft::{
    Batch, Chain, ChainKind, Family, Hook, KeyType, Netlink, NftError, Policy, Rule, Set,
    TableFlags, TableName,
};

const UDP: u8 = 17;
const FILTER_PRIORITY: i32 = 0;

/// The tunnel interface on both hosts.
pub(super) const INTERFACE: &str = "teredo";

/// The set that the agent keeps, as an argument of `--set`.
pub(super) const SET: &str = "inet filter teredo_ports";
const SET_NAME: &str = "teredo_ports";

fn table() -> TableName {
    TableName::new(Family::Inet, "filter")
}

/// Port 5351 of RFC 6886 and RFC 6887.
const PORT_CONTROL: [u8; 2] = 5351_u16.to_be_bytes();

/// Port 3544 of Teredo servers (RFC 4380 §2.7).
const SERVERS: [u8; 2] = teredo::wire::PORT.to_be_bytes();

/// Lets `teredo probe` through, which asks from ports of its own.
pub(super) fn admit_probe(host: &Host) -> anyhow::Result<()> {
    let udp = || Rule::new().protocol(UDP);
    let [from, to] = [udp().source_port(), udp().destination_port()];
    let mut batch = Batch::new();
    batch
        .add_rule(&table(), "input", from.is(SERVERS).accept())
        .add_rule(&table(), "output", to.is(SERVERS).accept());
    host.namespace()
        .run(|| Netlink::open()?.execute(&batch))??;
    Ok(())
}

/// Loads the ruleset on `host`, for a client that asks its router for the port or not.
pub(super) fn load(host: &Host, asks_router: bool) -> anyhow::Result<()> {
    let ports = Set::new(SET_NAME, KeyType::INET_SERVICE).with_timeouts();
    let chain = |name, hook| {
        Chain::base(name, ChainKind::Filter, hook, FILTER_PRIORITY).policy(Policy::Drop)
    };
    let mut batch = Batch::new();
    batch
        .add_table(&table(), TableFlags::default())
        .add_set(&table(), &ports)
        .add_chain(&table(), &chain("input", Hook::Input))
        .add_chain(&table(), &chain("output", Hook::Output));
    for interface in ["lo", INTERFACE] {
        batch
            .add_rule(&table(), "input", Rule::new().iifname(interface).accept())
            .add_rule(&table(), "output", Rule::new().oifname(interface).accept());
    }
    batch
        .add_rule(
            &table(),
            "input",
            Rule::new()
                .protocol(UDP)
                .destination_port()
                .in_set(SET_NAME)
                .accept(),
        )
        .add_rule(
            &table(),
            "output",
            Rule::new()
                .protocol(UDP)
                .source_port()
                .in_set(SET_NAME)
                .accept(),
        );
    if asks_router {
        let udp = || Rule::new().protocol(UDP);
        let [from, to] = [udp().source_port(), udp().destination_port()];
        batch
            .add_rule(&table(), "input", from.is(PORT_CONTROL).accept())
            .add_rule(&table(), "output", to.is(PORT_CONTROL).accept());
    }
    host.namespace()
        .run(|| Netlink::open()?.execute(&batch))??;
    Ok(())
}

/// The ports that are open on `host` right now.
pub(super) fn open_ports(host: &Host) -> anyhow::Result<Vec<u16>> {
    ports(host, &table(), SET_NAME)
}

/// The ports that the agent's own table opens.
pub(super) fn own_ports(host: &Host) -> anyhow::Result<Vec<u16>> {
    ports(host, &TableName::new(Family::Inet, "teredo"), "port")
}

fn ports(host: &Host, table: &TableName, set: &str) -> anyhow::Result<Vec<u16>> {
    let elements = host
        .namespace()
        .run(|| Netlink::open()?.elements(table, set))??;
    Ok(elements
        .unwrap_or_default()
        .iter()
        .filter_map(|element| element.port())
        .collect())
}

/// Whether `host` has the agent's own table.
pub(super) fn has_own_table(host: &Host) -> anyhow::Result<bool> {
    let own = TableName::new(Family::Inet, "teredo");
    let found: Result<_, NftError> = host.namespace().run(|| Netlink::open()?.table(&own))?;
    Ok(found?.is_some())
}
