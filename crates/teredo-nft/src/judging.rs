//! The expressions of a rule that judge single packets, and those that judge flows.
//!
//! A flow is all datagrams of one peer in one direction: equal in their addresses, ports and interfaces, without IP options,
//! no fragments, sent to this host alone. The addresses are those of IP: the frames of one peer may come from two routers, or
//! from anyone on the link. The list is of those that judge flows; what is not on it counts as a judge of packets.

use netlink_packet_netfilter::nftables::MetaKey;

use crate::{CtKey, Expression, Field, PayloadBase, Xt};

/// The expression as an administrator knows it, if it judges single packets; `rest` are those behind it.
pub(crate) fn judges_packets(expression: &Expression, rest: &[Expression]) -> Option<String> {
    match expression {
        Expression::Load { field, register } => match field {
            Field::Meta(key) => judges_meta(*key),
            Field::Ct(_) => None,
            Field::Payload {
                base,
                offset,
                length,
            } => match rest.first() {
                Some(Expression::Mask { from, mask, .. })
                    if from == register && is_flow_masked(*base, *offset, mask) =>
                {
                    None
                }
                _ => judges_payload(*base, *offset, *length),
            },
        },
        Expression::XtMatch(xt) => judges_xt(xt).then(|| of_iptables(xt)),
        Expression::XtTarget(xt) => {
            (!XT_TARGETS.contains(&xt.name.as_str())).then(|| of_iptables(xt))
        }
        Expression::Other(name) => match name.as_str() {
            "dynset" => Some("a limit or quota of a set".to_owned()),
            "connlimit" => Some("ct count".to_owned()),
            name => (!FLOW_EXPRESSIONS.contains(&name)).then(|| name.to_owned()),
        },
        Expression::Fib { .. }
        | Expression::Constant { .. }
        | Expression::Mask { .. }
        | Expression::Compare { .. }
        | Expression::Range { .. }
        | Expression::Lookup { .. }
        | Expression::SetMark { .. }
        | Expression::Verdict(_)
        | Expression::Reject
        | Expression::Neutral(_) => None,
    }
}

/// The same at the egress of a device, and in the output of a bridge, which is one. A packet that the kernel carries has the
/// socket of the program that sent it there, or none, and no connection; the samples have the node's socket and a connection.
/// The rule may judge the former unlike the latter.
pub(crate) fn judges_packets_at_egress(
    expression: &Expression,
    rest: &[Expression],
) -> Option<String> {
    let name = match expression {
        Expression::Load {
            field: Field::Meta(key),
            ..
        } => match key {
            MetaKey::SocketUserId => "meta skuid",
            MetaKey::SocketGroupId => "meta skgid",
            MetaKey::Cgroup => "meta cgroup",
            // A rule for the inner packet may have set it.
            MetaKey::Secmark => "meta secmark",
            _ => return judges_packets(expression, rest),
        },
        Expression::Load {
            field: Field::Ct(key),
            ..
        } => match key {
            CtKey::State => "ct state",
            CtKey::Direction => "ct direction",
            CtKey::Status => "ct status",
            CtKey::Mark => "ct mark",
            CtKey::Ipv4Source(_) => "ct saddr",
            CtKey::SourcePort(_) => "ct proto-src",
        },
        Expression::Other(name) if name == "socket" || name.starts_with("ct ") => name,
        Expression::XtMatch(xt) if XT_OF_SAMPLES.contains(&xt.name.as_str()) => {
            return Some(of_iptables(xt));
        }
        other => return judges_packets(other, rest),
    };
    Some(name.to_owned())
}

/// Expressions without a type of their own that judge flows, and statements. `exthdr` finds IP options, which no datagram of
/// a flow has, and options of TCP.
const FLOW_EXPRESSIONS: [&str; 23] = [
    "bitwise",
    "byteorder",
    "ct daddr",
    "ct event",
    "ct helper",
    "ct id",
    "ct l3proto",
    "ct label",
    "ct proto-dst",
    "ct proto-src",
    "ct protocol",
    "ct saddr",
    "ct secmark",
    "ct zone",
    "exthdr",
    "fwd",
    "masq",
    "nat",
    "redir",
    "rt",
    "secmark",
    "socket",
    "tproxy",
];

fn judges_meta(key: MetaKey) -> Option<String> {
    let name = match key {
        MetaKey::EtherTypeProtocol
        | MetaKey::Mark
        | MetaKey::Iif
        | MetaKey::Oif
        | MetaKey::Iifname
        | MetaKey::Oifname
        | MetaKey::Iftype
        | MetaKey::Oiftype
        | MetaKey::SocketUserId
        | MetaKey::SocketGroupId
        | MetaKey::NftraceBit
        | MetaKey::Rtclassid
        | MetaKey::Secmark
        | MetaKey::Nfproto
        | MetaKey::L4Proto
        | MetaKey::BriIifname
        | MetaKey::BriOifname
        // The programs in the kernel take packets to this host alone.
        | MetaKey::PacketType
        | MetaKey::Iifgroup
        | MetaKey::Oifgroup
        | MetaKey::Cgroup
        | MetaKey::Iifkind
        | MetaKey::Oifkind
        | MetaKey::BriIifpvid
        | MetaKey::BriIifvproto
        | MetaKey::Sdif
        | MetaKey::Sdifname
        | MetaKey::BriIifhwaddr => return None,
        MetaKey::Length => "length",
        MetaKey::Priority => "priority",
        MetaKey::Cpu => "cpu",
        MetaKey::PseudoRandom => "random",
        MetaKey::Secpath => "secpath",
        MetaKey::TimeNs => "time",
        MetaKey::TimeDay => "day",
        MetaKey::TimeHour => "hour",
        other => return Some(format!("meta key {}", u32::from(other))),
    };
    Some(format!("meta {name}"))
}

/// Fields by their place in the headers of Ethernet, IPv4 and UDP.
fn judges_payload(base: PayloadBase, offset: u32, length: u32) -> Option<String> {
    const NAMES: [(PayloadBase, u32, &str); 12] = [
        (PayloadBase::Link, 0, "ether daddr"),
        (PayloadBase::Link, 6, "ether saddr"),
        (PayloadBase::Link, 12, "the header of the frame"),
        (PayloadBase::Network, 1, "ip dscp"),
        (PayloadBase::Network, 2, "ip length"),
        (PayloadBase::Network, 4, "ip id"),
        (PayloadBase::Network, 6, "ip frag-off"),
        (PayloadBase::Network, 8, "ip ttl"),
        (PayloadBase::Network, 10, "ip checksum"),
        (PayloadBase::Transport, 4, "udp length"),
        (PayloadBase::Transport, 6, "udp checksum"),
        (PayloadBase::Transport, 8, "the contents of the datagram"),
    ];
    let end = offset.saturating_add(length);
    let is_of_the_flow = match base {
        // The type alone.
        PayloadBase::Link => offset >= 12 && end <= 14,
        PayloadBase::Network => {
            (offset, length) == (0, 1) || (offset, length) == (9, 1) || (offset >= 12 && end <= 20)
        }
        PayloadBase::Transport => end <= 4,
    };
    if is_of_the_flow {
        return None;
    }
    let named = NAMES
        .iter()
        .rev()
        .find(|(of, from, _)| *of == base && *from <= offset);
    let name = named.map_or("the contents of the packet", |(_, _, name)| name);
    Some(name.to_owned())
}

/// Whether the bits that are left say whether the packet is a fragment, which none of a flow is.
fn is_flow_masked(base: PayloadBase, offset: u32, mask: &[u8]) -> bool {
    const DO_NOT_FRAGMENT_AND_RESERVED: u8 = 0xc0;
    (base, offset) == (PayloadBase::Network, 6)
        && matches!(mask, [first, _] if first & DO_NOT_FRAGMENT_AND_RESERVED == 0)
}

fn of_iptables(xt: &Xt) -> String {
    format!("{} of iptables", xt.name)
}

/// Matches of iptables about what the samples alone have at the egress of a device.
const XT_OF_SAMPLES: [&str; 8] = [
    "cgroup",
    "connlabel",
    "connmark",
    "conntrack",
    "helper",
    "owner",
    "socket",
    "state",
];

/// Matches of iptables that judge flows, besides `conntrack`. `physdev` is none: a peer's datagrams may come in by any port of
/// a bridge, as those with any address of the link.
const XT_MATCHES: [&str; 25] = [
    "addrtype",
    "ah",
    "cgroup",
    "comment",
    "connlabel",
    "connmark",
    "dccp",
    "devgroup",
    "esp",
    "helper",
    "icmp",
    "icmp6",
    "iprange",
    "mark",
    "multiport",
    "owner",
    "pkttype",
    "realm",
    "rpfilter",
    "sctp",
    "set",
    "socket",
    "state",
    "tcp",
    "udp",
];

fn judges_xt(xt: &Xt) -> bool {
    if xt.name == "conntrack" {
        const EXPIRES: u16 = 1 << 7;
        return conntrack_flags(xt).is_none_or(|(flags, ..)| flags & EXPIRES != 0);
    }
    // `-m set --packets-gt`
    let counts = xt.name == "set" && xt.revision >= 3 && compares_counters(xt);
    counts || !XT_MATCHES.contains(&xt.name.as_str())
}

/// `struct xt_set_info_match_v3` and `_v4`: the operators of the comparisons for packets and bytes.
fn compares_counters(xt: &Xt) -> bool {
    let operators = match xt.revision {
        3 => [8, 24],
        _ => [16, 32],
    };
    operators
        .into_iter()
        .any(|place: usize| xt.data.get(place).is_none_or(|operator| *operator != 0))
}

/// The flags of `struct xt_conntrack_mtinfo3`, those of them that are inverted, and the states.
pub(crate) fn conntrack_flags(xt: &Xt) -> Option<(u16, u16, u16)> {
    const MATCH_FLAGS: usize = 146;
    if !(1..=3).contains(&xt.revision) {
        return None;
    }
    let short = |offset: usize| {
        let bytes = xt.data.get(offset..offset + 2)?;
        Some(u16::from_ne_bytes(bytes.try_into().ok()?))
    };
    Some((
        short(MATCH_FLAGS)?,
        short(MATCH_FLAGS + 2)?,
        short(MATCH_FLAGS + 4)?,
    ))
}

/// Targets of iptables that do the same to all packets of a flow.
const XT_TARGETS: [&str; 26] = [
    "ACCEPT",
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CONNMARK",
    "CONNSECMARK",
    "CT",
    "DNAT",
    "DROP",
    "DSCP",
    "LOG",
    "MARK",
    "MASQUERADE",
    "NETMAP",
    "NFLOG",
    "NOTRACK",
    "REDIRECT",
    "REJECT",
    "SECMARK",
    "SET",
    "SNAT",
    "TARPIT",
    "TCPMSS",
    "TOS",
    "TPROXY",
    "TRACE",
];

/// Those that only take note of the packet.
pub(crate) const XT_NOTES: [&str; 4] = ["AUDIT", "LOG", "NFLOG", "TRACE"];
