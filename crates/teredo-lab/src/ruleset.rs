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
//! The filter matters as much as the translation. Without it a datagram that comes before its mapping
//! exists would be delivered to the router itself and leave a conntrack entry, which occupies the
//! very tuple that the host's answer needs; netfilter would then choose another port, and the mapping
//! would no longer be endpoint-independent. [`NatKind::OpenInput`] does without the filter, to show that.

use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

use netlink_packet_core::{DefaultNla, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_netfilter::conntrack::ConntrackMessage;
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook, HookNumber, InetHookNumber, ListAttribute, NfTablesMessage,
    RuleAttribute, RuleMessage, SetAttribute, SetDescription, SetFlags, SetMessage, TableAttribute,
    TableMessage,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};

use self::expression::{
    Direction, IP_DADDR, IP_SADDR, Rule, UDP_DPORT, UDP_SPORT, accept, ct_address, ct_port,
    ct_state_established, ct_status_dnat, dnat, from, lookup, map, masquerade, protocol, to,
    update, via,
};
use crate::nat::NatKind;
use crate::netlink::{Netlink, Request};

mod expression;

const TABLE: &str = "home";
const MAPPINGS: &str = "mappings";
const PERMITTED: &str = "permitted";
/// The most mappings, and the most permitted peers, that a router remembers.
const SET_SIZE: u32 = 65535;

/// `inet_service` and `ipv4_addr` among nft's data types, and how it joins them to one; the kernel
/// keeps the number for whoever lists the set.
const TYPE_IPV4_ADDR: u32 = 7;
const TYPE_INET_SERVICE: u32 = 13;
const TYPE_BITS: u32 = 6;
/// Each part of a concatenation takes whole registers of four bytes.
const CONCATENATED: u32 = 8;

/// `NFNL_SUBSYS_NFTABLES`: whom a batch is for.
const SUBSYSTEM_NFTABLES: u16 = 10;
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
const PRIORITY_DSTNAT: i32 = -100;
const PRIORITY_FILTER: i32 = 0;
const PRIORITY_SRCNAT: i32 = 100;
/// Behind the translation, where the external port is to be seen.
const PRIORITY_LEARN: i32 = 300;

const IPPROTO_ICMP: u8 = 1;
const IPPROTO_UDP: u8 = 17;

/// The names of a router's two sides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sides<'a> {
    pub(crate) uplink: &'a str,
    pub(crate) lan: &'a str,
}

/// What a router is to do.
#[derive(Debug, Clone)]
pub(crate) struct Ruleset {
    pub(crate) kind: NatKind,
    /// External ports to map to; without, a mapping keeps the host's own port where it is free
    /// (RFC 4787 §4.2.1, port preservation).
    pub(crate) ports: Option<RangeInclusive<u16>>,
    /// How long a mapping lives without outbound traffic (RFC 4787 §4.3).
    pub(crate) lifetime: Duration,
}

impl Ruleset {
    /// Puts the rules in force in one transaction, in place of earlier ones. What had been learned
    /// from outbound traffic is forgotten; connections that are under way are not.
    pub(crate) fn install(&self, netfilter: &mut Netlink, sides: Sides<'_>) -> io::Result<()> {
        if self.kind == NatKind::None {
            return Ok(());
        }
        let mut batch = Batch::default();
        // Removing a table that is not there is an error, so make it first.
        batch.push(NfTablesMessage::NewTable(table()), NLM_F_CREATE);
        batch.push(NfTablesMessage::DeleteTable(table()), 0);
        batch.push(NfTablesMessage::NewTable(table()), NLM_F_CREATE);
        self.translation(&mut batch, sides);
        let open = self.kind == NatKind::OpenInput;
        filter(&mut batch, sides, open);
        netfilter.batch(batch.finish())
    }

    fn translation(&self, batch: &mut Batch, sides: Sides<'_>) {
        let learns = matches!(self.kind, NatKind::Cone | NatKind::Restricted);
        let restricted = self.kind == NatKind::Restricted;
        if learns {
            batch.push(NfTablesMessage::NewSet(self.mappings()), NLM_F_CREATE);
            batch.chain(
                "prerouting",
                "nat",
                InetHookNumber::PreRouting,
                PRIORITY_DSTNAT,
                NF_ACCEPT,
            );
            let mut rule = Rule::new()
                .with(from(sides.uplink))
                .with(protocol(IPPROTO_UDP));
            if restricted {
                batch.push(NfTablesMessage::NewSet(self.permitted()), NLM_F_CREATE);
                rule = rule.with(lookup(&[UDP_DPORT, IP_SADDR], PERMITTED));
            }
            batch.rule(
                "prerouting",
                rule.with(map(UDP_DPORT, MAPPINGS)).with(dnat()),
            );
        }

        batch.chain(
            "postrouting",
            "nat",
            InetHookNumber::PostRouting,
            PRIORITY_SRCNAT,
            NF_ACCEPT,
        );
        let fully_random = self.kind == NatKind::Symmetric;
        batch.rule(
            "postrouting",
            Rule::new()
                .with(to(sides.uplink))
                .with(masquerade(self.ports.as_ref(), fully_random)),
        );

        if learns {
            batch.chain(
                "learn",
                "filter",
                InetHookNumber::PostRouting,
                PRIORITY_LEARN,
                NF_ACCEPT,
            );
            let outbound = || {
                Rule::new()
                    .with(to(sides.uplink))
                    .with(protocol(IPPROTO_UDP))
            };
            for direction in [Direction::Original, Direction::Reply] {
                let host = [ct_address(direction), ct_port(direction)];
                batch.rule(
                    "learn",
                    outbound()
                        .with(via(direction))
                        .with(update(&[UDP_SPORT], &host, MAPPINGS)),
                );
            }
            if restricted {
                batch.rule(
                    "learn",
                    outbound().with(update(&[UDP_SPORT, IP_DADDR], &[], PERMITTED)),
                );
            }
        }
    }

    fn mappings(&self) -> SetMessage {
        let mut set = self.set(MAPPINGS, 1, SetFlags::Map);
        set.attributes.extend([
            SetAttribute::KeyType(TYPE_INET_SERVICE),
            SetAttribute::KeyLen(2),
            SetAttribute::DataType(TYPE_IPV4_ADDR << TYPE_BITS | TYPE_INET_SERVICE),
            SetAttribute::DataLen(CONCATENATED),
        ]);
        set
    }

    fn permitted(&self) -> SetMessage {
        let mut set = self.set(PERMITTED, 2, SetFlags::empty());
        set.attributes.extend([
            SetAttribute::KeyType(TYPE_INET_SERVICE << TYPE_BITS | TYPE_IPV4_ADDR),
            SetAttribute::KeyLen(CONCATENATED),
        ]);
        set
    }

    fn set(&self, name: &str, id: u32, flags: SetFlags) -> SetMessage {
        let timeout = u64::try_from(self.lifetime.as_millis()).unwrap_or(u64::MAX);
        SetMessage {
            attributes: vec![
                SetAttribute::Table(TABLE.into()),
                SetAttribute::Name(name.into()),
                SetAttribute::Id(id),
                SetAttribute::Flags(flags | SetFlags::Timeout | SetFlags::Eval),
                SetAttribute::Timeout(timeout),
                SetAttribute::Description(vec![SetDescription::Size(SET_SIZE)]),
            ],
        }
    }
}

/// Removes every conntrack entry, and with it every mapping that is under way.
pub(crate) fn flush_conntrack(netfilter: &mut Netlink) -> io::Result<()> {
    let header = NetfilterHeader::new(NetfilterProtoFamily::IPv4, 0, 0);
    netfilter.request(
        NetfilterMessage::new(header, ConntrackMessage::Delete(Vec::new())),
        0,
    )
}

/// With `open`, the router's own input is not filtered.
fn filter(batch: &mut Batch, sides: Sides<'_>, open: bool) {
    let state = || Rule::new().with(ct_state_established()).with(accept());
    let inside = |name| Rule::new().with(from(name)).with(accept());

    batch.chain(
        "input",
        "filter",
        InetHookNumber::LocalIn,
        PRIORITY_FILTER,
        NF_DROP,
    );
    batch.rule("input", state());
    batch.rule(
        "input",
        Rule::new().with(protocol(IPPROTO_ICMP)).with(accept()),
    );
    batch.rule("input", inside(sides.lan));
    batch.rule("input", inside("lo"));
    if open {
        batch.rule("input", inside(sides.uplink));
    }

    batch.chain(
        "forward",
        "filter",
        InetHookNumber::Forward,
        PRIORITY_FILTER,
        NF_DROP,
    );
    batch.rule("forward", state());
    batch.rule("forward", inside(sides.lan));
    batch.rule("forward", Rule::new().with(ct_status_dnat()).with(accept()));
}

fn table() -> TableMessage {
    TableMessage {
        attributes: vec![TableAttribute::Name(TABLE.into())],
    }
}

/// A transaction: all of it takes effect at once, or none.
#[derive(Default)]
struct Batch {
    requests: Vec<Request<NetfilterMessage>>,
}

impl Batch {
    fn push(&mut self, message: NfTablesMessage, flags: u16) {
        let header = NetfilterHeader::new(NetfilterProtoFamily::IPv4, 0, 0);
        let message = NetfilterMessage::new(header, message);
        self.requests.push(Request {
            message,
            flags: flags | NLM_F_ACK,
        });
    }

    fn chain(&mut self, name: &str, kind: &str, hook: InetHookNumber, priority: i32, policy: u32) {
        let message = ChainMessage {
            attributes: vec![
                ChainAttribute::Table(TABLE.into()),
                ChainAttribute::Name(name.into()),
                ChainAttribute::Hook(vec![
                    Hook::Number(HookNumber::Inet(hook)),
                    Hook::Priority(priority.cast_unsigned()),
                ]),
                ChainAttribute::Type(kind.into()),
                ChainAttribute::Policy(policy),
            ],
        };
        self.push(NfTablesMessage::NewChain(message), NLM_F_CREATE);
    }

    fn rule(&mut self, chain: &str, rule: Rule) {
        let expressions = rule
            .into_expressions()
            .into_iter()
            .map(ListAttribute::from)
            .collect();
        let message = RuleMessage {
            attributes: vec![
                RuleAttribute::Table(TABLE.into()),
                RuleAttribute::Chain(chain.into()),
                RuleAttribute::Expressions(expressions),
            ],
        };
        self.push(
            NfTablesMessage::NewRule(message),
            NLM_F_CREATE | NLM_F_APPEND,
        );
    }

    fn finish(self) -> impl Iterator<Item = Request<NetfilterMessage>> {
        let bracket = |message: ControlMessage| {
            let family = NetfilterProtoFamily::Unspec;
            let header = NetfilterHeader::new(family, 0, SUBSYSTEM_NFTABLES);
            let message = NetfilterMessage::new(header, NetfilterMessageInner::from(message));
            Request { message, flags: 0 }
        };
        std::iter::once(bracket(ControlMessage::BatchBegin))
            .chain(self.requests)
            .chain(std::iter::once(bracket(ControlMessage::BatchEnd)))
    }
}

/// An attribute whose value the netlink crate has no type for.
fn attribute(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}

#[cfg(test)]
mod tests;
