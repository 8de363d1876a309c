//! A rule as far as it matters to Teredo's datagrams: whether they meet it, its effect on them, and the first of its
//! expressions that judges single packets.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use netlink_packet_netfilter::nftables::{MetaKey, Operator};

use crate::ipset::{Ipsets, names_ipset};
use crate::judging::{XT_NOTES, conntrack_flags, judges_packets, judges_packets_at_egress};
use crate::{CtKey, Datagrams, Expression, Field, PayloadBase, VERDICT_REGISTER, Verdict, Xt};

/// The part of a rule that decides whether it judges single packets of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sketch {
    pub(crate) effects: Effects,
    /// The first expression that judges single packets, and the effects behind it.
    pub(crate) judged: Option<(String, Effects)>,
    /// Conditions that only the elements of a set can decide.
    pub(crate) lookups: Vec<Among>,
}

/// The effects of a rule on a packet that meets its conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// It ends the way through the base chain, or changes the packet or something that later rules look at.
    pub(crate) own: bool,
    pub(crate) returns: bool,
    /// The chain that it jumps or goes to.
    pub(crate) chain: Option<String>,
    /// The map that has the verdict, and what is looked up in it, if that is known.
    pub(crate) map: Option<(String, Option<Key>)>,
}

/// A key is in a set, or is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Among {
    pub(crate) key: Key,
    pub(crate) set: String,
    pub(crate) inverted: bool,
}

/// Something of our datagrams that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// The family of IP.
    Family,
    /// The protocol of the frame.
    EtherType,
    /// The transport protocol.
    Protocol,
    /// The port of the other end, which is any.
    Elsewhere,
    /// The port of this host.
    Here,
}

/// The directions of datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    In,
    /// In the IP stack, where a datagram of ours has a socket and a connection.
    Out,
    /// At the egress of a device, and in the output of a bridge.
    Egress,
}

const NFPROTO_IPV4: u8 = 2;
const ETHERTYPE_IPV4: u16 = 0x0800;
const UDP: u8 = 17;

impl Key {
    fn of(field: Field, direction: Direction) -> Option<Self> {
        const PROTOCOL: Field = Field::payload(PayloadBase::Network, 9, 1);
        const FRAME: Field = Field::payload(PayloadBase::Link, 12, 2);
        Some(match (field, direction) {
            (Field::Meta(MetaKey::Nfproto), _) => Self::Family,
            (Field::Meta(MetaKey::EtherTypeProtocol) | FRAME, _) => Self::EtherType,
            (Field::Meta(MetaKey::L4Proto) | PROTOCOL, _) => Self::Protocol,
            (Field::DESTINATION_PORT, Direction::In)
            | (Field::SOURCE_PORT, Direction::Out | Direction::Egress) => Self::Here,
            (Field::DESTINATION_PORT | Field::SOURCE_PORT, _) => Self::Elsewhere,
            _ => return None,
        })
    }

    /// The values that it may have, as numbers.
    pub(crate) fn values(self, datagrams: &Datagrams) -> RangeInclusive<u16> {
        let one = |value: u16| value..=value;
        match self {
            Self::Family => one(NFPROTO_IPV4.into()),
            Self::EtherType => one(ETHERTYPE_IPV4),
            Self::Protocol => one(UDP.into()),
            Self::Elsewhere => 0..=u16::MAX,
            Self::Here => datagrams.ports.clone(),
        }
    }
}

/// A key of a set, or a value of a comparison, as a number: one byte, or two in network byte order.
pub(crate) fn number(bytes: &[u8]) -> Option<u16> {
    match *bytes {
        [one] => Some(one.into()),
        [high, low] => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

impl Sketch {
    /// None if no datagram meets the rule's conditions, or if it has no effect on one. A set of ipset that is not known may hold
    /// anything.
    pub(crate) fn new(
        expressions: &[Expression],
        direction: Direction,
        datagrams: &Datagrams,
        stateful: &HashMap<String, String>,
        ipsets: Option<&Ipsets>,
    ) -> Option<Self> {
        let mut conditions = Conditions {
            direction,
            datagrams,
            loaded: HashMap::new(),
            lookups: Vec::new(),
        };
        let mut sketch = Self::default();
        for (index, expression) in expressions.iter().enumerate() {
            if !conditions.may_hold(expression) {
                return None;
            }
            if sketch.judged.is_none() {
                let judge = match expression {
                    Expression::Lookup { set, .. } => stateful
                        .get(set)
                        .map(|judge| format!("{judge} of the set '{set}'")),
                    Expression::XtMatch(xt)
                        if names_ipset(xt) && ipsets.is_none_or(|ipsets| ipsets.judges(xt)) =>
                    {
                        Some("addresses of the link in set of iptables".to_owned())
                    }
                    other => {
                        let judges = match direction {
                            Direction::Egress => judges_packets_at_egress,
                            Direction::In | Direction::Out => judges_packets,
                        };
                        judges(other, &expressions[index + 1..])
                    }
                };
                sketch.judged = judge.map(|judge| (judge, Effects::default()));
            }
            let effects = conditions.effects(expression);
            sketch.effects.add(&effects);
            if let Some((_, behind)) = &mut sketch.judged {
                behind.add(&effects);
            }
        }
        sketch.lookups = conditions.lookups;
        let judged = sketch.judged.take();
        sketch.judged = judged.filter(|(_, behind)| *behind != Effects::default());
        (sketch.effects != Effects::default()).then_some(sketch)
    }
}

impl Effects {
    const OWN: Self = Self {
        own: true,
        returns: false,
        chain: None,
        map: None,
    };

    fn add(&mut self, other: &Self) {
        self.own |= other.own;
        self.returns |= other.returns;
        // A rule has one verdict.
        self.chain = self.chain.take().or_else(|| other.chain.clone());
        self.map = self.map.take().or_else(|| other.map.clone());
    }
}

/// The knowledge of a packet that has met the conditions so far.
struct Conditions<'a> {
    direction: Direction,
    datagrams: &'a Datagrams,
    /// By register.
    loaded: HashMap<u32, Loaded>,
    lookups: Vec<Among>,
}

#[derive(Clone, Copy)]
enum Loaded {
    Field(Field),
    /// These bits of the connection's state.
    State(u32),
}

/// Bits of the state of a connection, of which none is set for an established one: invalid, new.
const BEFORE_ESTABLISHED: u32 = 1 | 8;

impl Conditions<'_> {
    /// Whether datagrams of a flow that goes on may meet the condition, if they have met those before.
    ///
    /// One with the state `new` is met by the first packet of a flow alone, so it judges flows whatever comes behind it.
    fn may_hold(&mut self, expression: &Expression) -> bool {
        match expression {
            Expression::Load { field, register } => {
                if field.registers() > 1 {
                    self.forget(*register);
                }
                self.loaded.insert(*register, Loaded::Field(*field));
            }
            Expression::Fib { register, .. } | Expression::Constant { register, .. } => {
                self.forget(*register);
            }
            Expression::Mask {
                from,
                to,
                mask,
                xor,
            } => {
                let state = match (self.loaded.get(from), <[u8; 4]>::try_from(mask.as_slice())) {
                    // There, what the kernel carries has no connection, which counts as invalid.
                    (Some(Loaded::Field(Field::Ct(CtKey::State))), Ok(mask))
                        if self.direction != Direction::Egress
                            && xor.iter().all(|&byte| byte == 0) =>
                    {
                        Some(Loaded::State(u32::from_ne_bytes(mask)))
                    }
                    _ => None,
                };
                self.forget(*to);
                if let Some(state) = state {
                    self.loaded.insert(*to, state);
                }
            }
            Expression::Compare {
                register,
                operator,
                value,
            } => return self.may_compare(*register, *operator, value),
            Expression::Range {
                register,
                inverted: false,
                from,
                to,
            } => {
                if let (Some(key), Some(from), Some(to)) =
                    (self.key(*register), number(from), number(to))
                {
                    let values = key.values(self.datagrams);
                    return from <= *values.end() && *values.start() <= to;
                }
            }
            Expression::Lookup {
                register,
                set,
                inverted,
                value: None,
            } => {
                if let Some(key) = self.key(*register) {
                    self.lookups.push(Among {
                        key,
                        set: set.clone(),
                        inverted: *inverted,
                    });
                }
            }
            Expression::Lookup {
                value: Some(register),
                ..
            } => self.forget(*register),
            Expression::XtMatch(xt) => return self.may_match(xt),
            // Any of them may have written to a register.
            Expression::Other(_) => self.loaded.clear(),
            _ => {}
        }
        true
    }

    /// This register was written to, and perhaps those behind it.
    fn forget(&mut self, register: u32) {
        self.loaded.retain(|&loaded, _| loaded < register);
    }

    fn key(&self, register: u32) -> Option<Key> {
        match self.loaded.get(&register)? {
            Loaded::Field(field) => Key::of(*field, self.direction),
            Loaded::State(_) => None,
        }
    }

    fn may_compare(&self, register: u32, operator: Operator, value: &[u8]) -> bool {
        if let Some(Loaded::State(mask)) = self.loaded.get(&register) {
            let before = mask & !BEFORE_ESTABLISHED == 0;
            let none = value.iter().all(|&byte| byte == 0);
            return !(before && none && operator == Operator::NotEqual);
        }
        let (Some(key), Some(value)) = (self.key(register), number(value)) else {
            return true;
        };
        let values = key.values(self.datagrams);
        let (least, most) = (*values.start(), *values.end());
        match operator {
            Operator::Equal => values.contains(&value),
            Operator::NotEqual => least != value || most != value,
            Operator::LessThan => least < value,
            Operator::LessThanEqual => least <= value,
            Operator::GreaterThan => most > value,
            Operator::GreatherThanEqual => most >= value,
            _ => true,
        }
    }

    fn may_match(&self, xt: &Xt) -> bool {
        match xt.name.as_str() {
            "tcp" | "icmp" | "icmp6" | "sctp" | "dccp" | "ah" | "esp" => false,
            "udp" => self.may_have_ports(&xt.data).unwrap_or(true),
            "conntrack" => {
                const STATE: u16 = 1;
                conntrack_flags(xt).is_none_or(|(flags, inverted, states)| {
                    flags & STATE == 0
                        || inverted & STATE != 0
                        || u32::from(states) & !BEFORE_ESTABLISHED != 0
                })
            }
            "state" => <[u8; 4]>::try_from(xt.data.as_slice()).map_or(true, |states| {
                u32::from_ne_bytes(states) & !BEFORE_ESTABLISHED != 0
            }),
            _ => true,
        }
    }

    /// `struct xt_udp`: two ranges, for the source and the destination, and which of them are inverted.
    fn may_have_ports(&self, data: &[u8]) -> Option<bool> {
        let index = match self.direction {
            Direction::Out | Direction::Egress => 0,
            Direction::In => 4,
        };
        let inverted = *data.get(8)? & if index == 0 { 1 } else { 2 } != 0;
        let port = |at: usize| Some(u16::from_ne_bytes(data.get(at..at + 2)?.try_into().ok()?));
        let (from, to) = (port(index)?, port(index + 2)?);
        let ours = &self.datagrams.ports;
        Some(match inverted {
            false => from <= *ours.end() && *ours.start() <= to,
            true => *ours.start() < from || to < *ours.end(),
        })
    }

    fn effects(&self, expression: &Expression) -> Effects {
        match expression {
            Expression::Verdict(Verdict::Return) => Effects {
                returns: true,
                ..Effects::default()
            },
            Expression::Verdict(Verdict::Jump(chain)) => Effects {
                chain: Some(chain.clone()),
                ..Effects::default()
            },
            // The rules behind it are not met any more, even if the other chain is empty.
            Expression::Verdict(Verdict::Goto(chain)) => Effects {
                returns: true,
                chain: Some(chain.clone()),
                ..Effects::default()
            },
            Expression::Verdict(_) | Expression::Reject | Expression::SetMark { .. } => {
                Effects::OWN
            }
            Expression::Lookup {
                register,
                set,
                value: Some(VERDICT_REGISTER),
                ..
            } => Effects {
                map: Some((set.clone(), self.key(*register))),
                ..Effects::OWN
            },
            Expression::XtTarget(xt) if !XT_NOTES.contains(&xt.name.as_str()) => Effects::OWN,
            Expression::Neutral(name)
                if !matches!(
                    name.as_str(),
                    "counter" | "log" | "last" | "flow_offload" | "objref"
                ) =>
            {
                Effects::OWN
            }
            Expression::Other(name)
                if !CONDITIONS.contains(&name.as_str()) && !name.starts_with("ct ") =>
            {
                Effects::OWN
            }
            _ => Effects::default(),
        }
    }
}

/// Expressions without a type of their own that only match or load. An unknown one may do anything.
const CONDITIONS: [&str; 19] = [
    "bitwise",
    "byteorder",
    "cmp",
    "connlimit",
    "exthdr",
    "hash",
    "limit",
    "lookup",
    "match",
    "meta",
    "numgen",
    "osf",
    "payload",
    "quota",
    "range",
    "rt",
    "socket",
    "tunnel",
    "xfrm",
];

#[cfg(test)]
mod tests;
