//! The nftables rules that make a home router, and the conntrack flush that makes it forget.
//!
//! In nft's own words, with the lines of the kinds that they apply to:
//!
//! ```text
//! table ip home {
//!   map mappings  { type inet_service : ipv4_addr . inet_service; flags dynamic,timeout }  # cone, restricted
//!   set permitted { type inet_service . ipv4_addr;                flags dynamic,timeout }  # restricted
//!   chain prerouting {
//!     type nat hook prerouting priority dstnat
//!     iifname uplink meta l4proto udp dnat to udp dport map @mappings                      # cone
//!     iifname uplink meta l4proto udp udp dport . ip saddr @permitted dnat to …            # restricted
//!   }
//!   chain postrouting {
//!     type nat hook postrouting priority srcnat
//!     oifname uplink masquerade                      # all but symmetric, port-preserving
//!     oifname uplink masquerade to :FIRST-LAST       # all but symmetric, after a change of mappings
//!     oifname uplink masquerade fully-random         # symmetric
//!   }
//!   chain learn {                                    # cone, restricted: what has left, and as what
//!     type filter hook postrouting priority 300
//!     oifname uplink meta l4proto udp ct direction original
//!       update @mappings { udp sport : ct original ip saddr . ct original proto-src }
//!     oifname uplink meta l4proto udp ct direction reply
//!       update @mappings { udp sport : ct reply ip saddr . ct reply proto-src }
//!     oifname uplink meta l4proto udp update @permitted { udp sport . ip daddr }           # restricted
//!   }
//!   chain input {
//!     type filter hook input priority filter; policy drop
//!     ct state established,related accept; meta l4proto icmp accept
//!     iifname lan accept; iifname lo accept
//!     iifname uplink accept                          # open-input
//!   }
//!   chain forward {
//!     type filter hook forward priority filter; policy drop
//!     ct state established,related accept; iifname lan accept; ct status dnat accept
//!   }
//! }
//! ```
//!
//! The filter matters as much as the translation. Without it, a datagram that comes before its mapping exists is
//! delivered to the router itself and leaves a conntrack entry. That entry occupies the very tuple that the host's
//! answer needs, so netfilter chooses another port, and the mapping is no longer endpoint-independent.
//! [`NatKind::OpenInput`] leaves the filter out, to show that.

use std::ops::RangeInclusive;
use std::time::Duration;

use teredo_nft::{
    Batch, Chain, ChainKind, CtDirection, CtKey, CtState, CtStatus, Family, Field, Hook, KeyType,
    Masquerade, Netlink, NftError, Policy, Rule, Set, TableFlags, TableName,
};

use crate::nat::NatKind;

const MAPPINGS: &str = "mappings";
const PERMITTED: &str = "permitted";
/// The most mappings, and the most permitted peers, that a router remembers.
const SET_SIZE: u32 = 65535;

const PRIORITY_DSTNAT: i32 = -100;
const PRIORITY_FILTER: i32 = 0;
const PRIORITY_SRCNAT: i32 = 100;
/// Behind the translation, where the external port can be seen.
const PRIORITY_LEARN: i32 = 300;

const IPPROTO_ICMP: u8 = 1;
const IPPROTO_UDP: u8 = 17;

/// The names of a router's two sides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sides<'a> {
    pub(crate) uplink: &'a str,
    pub(crate) lan: &'a str,
}

/// The behaviour of a router.
#[derive(Debug, Clone)]
pub(crate) struct Ruleset {
    pub(crate) kind: NatKind,
    /// External ports to map to. Without them, a mapping keeps the host's own port if it is free
    /// (RFC 4787 §4.2.1, port preservation).
    pub(crate) ports: Option<RangeInclusive<u16>>,
    /// How long a mapping lives without outbound traffic (RFC 4787 §4.3).
    pub(crate) lifetime: Duration,
}

impl Ruleset {
    /// Puts the rules in force in one transaction, in place of earlier ones. The router forgets what it learned from
    /// outbound traffic, and keeps the connections that are under way.
    pub(crate) fn install(&self, netlink: &mut Netlink, sides: Sides<'_>) -> Result<(), NftError> {
        if self.kind == NatKind::None {
            return Ok(());
        }
        let mut batch = Batch::new();
        batch.replace_table(&table(), TableFlags::default());
        self.translation(&mut batch, sides);
        filter(&mut batch, sides, self.kind == NatKind::OpenInput);
        netlink.execute(&batch)
    }

    fn translation(&self, batch: &mut Batch, sides: Sides<'_>) {
        let learns = matches!(self.kind, NatKind::Cone | NatKind::Restricted);
        let restricted = self.kind == NatKind::Restricted;
        if learns {
            let service = KeyType::INET_SERVICE;
            let address = KeyType::IPV4_ADDR;
            let mappings = Set::map(MAPPINGS, service, address.then(service));
            batch.add_set(&table(), &self.learned(mappings));
            add_chain(
                batch,
                "prerouting",
                ChainKind::Nat,
                Hook::Prerouting,
                PRIORITY_DSTNAT,
            );
            let mut inbound = Rule::new().iifname(sides.uplink).protocol(IPPROTO_UDP);
            if restricted {
                let permitted = Set::new(PERMITTED, service.then(address));
                batch.add_set(&table(), &self.learned(permitted));
                inbound = inbound
                    .load([Field::DESTINATION_PORT, Field::IPV4_SOURCE])
                    .in_set(PERMITTED);
            }
            let translated = inbound.destination_port().dnat_ipv4_to_map(MAPPINGS);
            batch.add_rule(&table(), "prerouting", translated);
        }

        add_chain(
            batch,
            "postrouting",
            ChainKind::Nat,
            Hook::Postrouting,
            PRIORITY_SRCNAT,
        );
        let masquerade = Masquerade {
            ports: self.ports.clone(),
            fully_random: self.kind == NatKind::Symmetric,
        };
        let rule = Rule::new()
            .oifname(sides.uplink)
            .masquerade_with(&masquerade);
        batch.add_rule(&table(), "postrouting", rule);

        if learns {
            add_chain(
                batch,
                "learn",
                ChainKind::Filter,
                Hook::Postrouting,
                PRIORITY_LEARN,
            );
            let outbound = || Rule::new().oifname(sides.uplink).protocol(IPPROTO_UDP);
            for direction in [CtDirection::Original, CtDirection::Reply] {
                let host = [CtKey::Ipv4Source(direction), CtKey::SourcePort(direction)];
                let rule = outbound()
                    .ct_direction(direction)
                    .source_port()
                    .update_map(MAPPINGS, host.map(Field::Ct));
                batch.add_rule(&table(), "learn", rule);
            }
            if restricted {
                let rule = outbound()
                    .load([Field::SOURCE_PORT, Field::IPV4_DESTINATION])
                    .update_set(PERMITTED);
                batch.add_rule(&table(), "learn", rule);
            }
        }
    }

    /// A set that the router's rules fill.
    fn learned(&self, set: Set) -> Set {
        set.with_default_timeout(self.lifetime)
            .with_size(SET_SIZE)
            .dynamic()
    }
}

/// With `open`, the router's own input is not filtered.
fn filter(batch: &mut Batch, sides: Sides<'_>, open: bool) {
    for (chain, hook) in [("input", Hook::Input), ("forward", Hook::Forward)] {
        let base = Chain::base(chain, ChainKind::Filter, hook, PRIORITY_FILTER);
        let state = CtState::ESTABLISHED | CtState::RELATED;
        batch
            .add_chain(&table(), &base.policy(Policy::Drop))
            .add_rule(&table(), chain, Rule::new().ct_state(state).accept());
    }
    let inside = |name| Rule::new().iifname(name).accept();
    batch
        .add_rule(
            &table(),
            "input",
            Rule::new().protocol(IPPROTO_ICMP).accept(),
        )
        .add_rule(&table(), "input", inside(sides.lan))
        .add_rule(&table(), "input", inside("lo"));
    if open {
        batch.add_rule(&table(), "input", inside(sides.uplink));
    }
    batch
        .add_rule(&table(), "forward", inside(sides.lan))
        .add_rule(
            &table(),
            "forward",
            Rule::new().ct_status(CtStatus::DNAT).accept(),
        );
}

fn table() -> TableName {
    TableName::new(Family::Ip, "home")
}

fn add_chain(batch: &mut Batch, name: &str, kind: ChainKind, hook: Hook, priority: i32) {
    batch.add_chain(&table(), &Chain::base(name, kind, hook, priority));
}

#[cfg(test)]
mod tests;
