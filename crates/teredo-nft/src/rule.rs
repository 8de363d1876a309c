use std::{
    net::Ipv4Addr,
    ops::{BitOr, RangeInclusive},
};

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    self, Bitwise, Cmp, DataAttribute, Expressions, Immediate, Lookup, Meta, MetaKey, Operator,
    Register, VerdictAttribute,
};

use crate::{
    CtDirection, CtKey, Field, KeyType, PayloadBase, comment,
    field::{self, KEY, VALUE, attribute, register},
};

/// A rule: a row of expressions, each of which sees a packet only if those before it matched.
///
/// A match takes two steps. The first loads something of the packet ([`load`](Self::load),
/// [`meta`](Self::meta), [`payload`](Self::payload), [`ct`](Self::ct)). The second compares the loaded bytes
/// ([`is`](Self::is), [`within`](Self::within), [`in_set`](Self::in_set), [`among`](Self::among)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Rule {
    pub(crate) steps: Vec<Step>,
    pub(crate) comment: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Expression(Expressions),
    /// A lookup in a set of the rule's own, which the batch creates first.
    Among {
        key: KeyType,
        elements: Vec<Vec<u8>>,
    },
}

/// States of a connection, for [`Rule::ct_state`]; several are joined with `|`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtState(u32);

impl CtState {
    /// The packet belongs to no connection and can start none.
    pub const INVALID: Self = Self(1);
    /// Both directions have been seen.
    pub const ESTABLISHED: Self = Self(2);
    /// The packet starts a connection that an existing one announced, or is an error about one.
    pub const RELATED: Self = Self(4);
    /// The packet starts a connection.
    pub const NEW: Self = Self(8);
    /// The packet is exempt from tracking.
    pub const UNTRACKED: Self = Self(64);
}

impl BitOr for CtState {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Status bits of a connection, for [`Rule::ct_status`]; several are joined with `|`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtStatus(u32);

impl CtStatus {
    /// Packets have been seen in both directions.
    pub const SEEN_REPLY: Self = Self(1 << 1);
    /// Its source is translated.
    pub const SNAT: Self = Self(1 << 4);
    /// Its destination is translated.
    pub const DNAT: Self = Self(1 << 5);
}

impl BitOr for CtStatus {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Which ports [`Rule::masquerade_with`] chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masquerade {
    /// The ports to choose from. None keeps the port of the packet if it is free.
    pub ports: Option<RangeInclusive<u16>>,
    /// Choose another random port for each connection.
    pub fully_random: bool,
}

/// How a rule ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The packet leaves the chain; chains of a later priority at the same hook still see it.
    Accept,
    /// The packet is gone, whatever other chains say.
    Drop,
    /// Back to the chain that jumped here, or to the policy.
    Return,
    /// To another chain and, if it does not decide, back.
    Jump(String),
    /// To another chain for good.
    Goto(String),
}

impl Rule {
    /// A rule without expressions: it matches everything and does nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Loads fields side by side, as the concatenation `udp dport . ip saddr` does.
    ///
    /// Each takes whole registers of four bytes, of which there are sixteen. The kernel refuses a rule that needs more.
    pub fn load(mut self, fields: impl IntoIterator<Item = Field>) -> Self {
        let loads = field::load(fields, KEY).map(Step::Expression);
        self.steps.extend(loads);
        self
    }

    /// Loads packet metadata.
    pub fn meta(self, key: MetaKey) -> Self {
        self.load([Field::Meta(key)])
    }

    /// Loads `length` bytes of the packet, at most 16, from `offset` after `base`.
    pub fn payload(self, base: PayloadBase, offset: u32, length: u32) -> Self {
        self.load([Field::payload(base, offset, length)])
    }

    /// Loads a property of the packet's connection. The kernel tracks connections from then on.
    pub fn ct(self, key: CtKey) -> Self {
        self.load([Field::Ct(key)])
    }

    /// Keeps only the bits of `mask` in the loaded bytes.
    pub fn mask(self, mask: impl Into<Vec<u8>>) -> Self {
        let mask = mask.into();
        let length = u32::try_from(mask.len()).unwrap_or(u32::MAX);
        let zeroes = vec![0; mask.len()];
        self.push(Expressions::Bitwise(vec![
            Bitwise::SourceRegister(register(KEY)),
            Bitwise::DestinationRegister(register(KEY)),
            Bitwise::Length(length),
            Bitwise::Mask(DataAttribute::Value(mask)),
            Bitwise::Xor(DataAttribute::Value(zeroes)),
        ]))
    }

    /// Compares the loaded bytes with `value`.
    pub fn compare(self, operator: Operator, value: impl Into<Vec<u8>>) -> Self {
        self.push(Expressions::Cmp(vec![
            Cmp::SourceRegister(register(KEY)),
            Cmp::Op(operator),
            Cmp::Data(DataAttribute::Value(value.into())),
        ]))
    }

    /// Matches if the loaded bytes equal `value`.
    pub fn is(self, value: impl Into<Vec<u8>>) -> Self {
        self.compare(Operator::Equal, value)
    }

    /// Matches if the loaded number, in network byte order, lies in `range`.
    pub fn within<const N: usize>(self, range: RangeInclusive<[u8; N]>) -> Self {
        self.compare(Operator::GreatherThanEqual, *range.start())
            .compare(Operator::LessThanEqual, *range.end())
    }

    /// Matches if the loaded bytes are in the named set of the same table.
    pub fn in_set(self, set: impl Into<String>) -> Self {
        self.push(Expressions::Lookup(vec![
            Lookup::Set(set.into()),
            Lookup::SourceRegister(register(KEY)),
        ]))
    }

    /// Matches if the loaded bytes are one of `elements`.
    pub fn among<E: Into<Vec<u8>>>(
        mut self,
        key: KeyType,
        elements: impl IntoIterator<Item = E>,
    ) -> Self {
        let elements = elements.into_iter().map(Into::into).collect();
        self.steps.push(Step::Among { key, elements });
        self
    }

    /// Puts the loaded bytes into a [dynamic](crate::Set::dynamic) set. If they are there, their timeout starts again.
    pub fn update_set(self, set: &str) -> Self {
        self.update(set, None)
    }

    /// Puts the loaded bytes into a [dynamic](crate::Set::dynamic) map, with `values` side by side as the value. If the
    /// key is there, its value is replaced and its timeout starts again.
    ///
    /// Key and value have 32 bytes each.
    pub fn update_map(mut self, map: &str, values: impl IntoIterator<Item = Field>) -> Self {
        let loads = field::load(values, VALUE).map(Step::Expression);
        self.steps.extend(loads);
        self.update(
            map,
            Some(attribute(NFTA_DYNSET_SREG_DATA, register(VALUE).into())),
        )
    }

    fn update(self, set: &str, value: Option<DefaultNla>) -> Self {
        let mut name = set.as_bytes().to_vec();
        name.push(0);
        let mut attributes = vec![
            DefaultNla::new(NFTA_DYNSET_SET_NAME, name),
            attribute(NFTA_DYNSET_OP, NFT_DYNSET_OP_UPDATE),
            attribute(NFTA_DYNSET_SREG_KEY, register(KEY).into()),
        ];
        attributes.extend(value);
        self.raw("dynset", attributes)
    }

    /// Counts the packets and bytes that all earlier expressions of the rule let through.
    pub fn counter(self) -> Self {
        self.raw("counter", Vec::new())
    }

    /// Gives the packet a mark, which later chains see: `meta mark set MARK`.
    pub fn set_mark(self, mark: u32) -> Self {
        self.push(Expressions::Immediate(vec![
            Immediate::DestinationRegister(register(KEY)),
            Immediate::Data(DataAttribute::Value(mark.to_ne_bytes().to_vec())),
        ]))
        .push(Expressions::Meta(vec![
            Meta::Key(MetaKey::Mark),
            Meta::SourceRegister(register(KEY)),
        ]))
    }

    /// Exempts the packet from connection tracking. Only chains before the priority -200 can.
    pub fn notrack(self) -> Self {
        self.raw("notrack", Vec::new())
    }

    /// Gives the packet the address of the interface by which it leaves.
    pub fn masquerade(self) -> Self {
        self.masquerade_with(&Masquerade::default())
    }

    /// Gives the packet the address of the interface by which it leaves, and a port chosen in this way.
    pub fn masquerade_with(mut self, options: &Masquerade) -> Self {
        let mut attributes = Vec::new();
        let mut flags = 0;
        if options.fully_random {
            flags |= NF_NAT_RANGE_PROTO_RANDOM_FULLY;
        }
        if let Some(ports) = &options.ports {
            flags |= NF_NAT_RANGE_PROTO_SPECIFIED;
            for (port, number, kind) in [
                (ports.start(), KEY, NFTA_MASQ_REG_PROTO_MIN),
                (ports.end(), KEY + 1, NFTA_MASQ_REG_PROTO_MAX),
            ] {
                let value = DataAttribute::Value(port.to_be_bytes().to_vec());
                self = self.push(Expressions::Immediate(vec![
                    Immediate::DestinationRegister(register(number)),
                    Immediate::Data(value),
                ]));
                attributes.push(attribute(kind, register(number).into()));
            }
        }
        if flags != 0 {
            attributes.push(attribute(NFTA_MASQ_FLAGS, flags));
        }
        self.raw("masq", attributes)
    }

    /// Looks the loaded bytes up, at most 32, in a map to `ipv4_addr . inet_service`. If they are there, the packet goes
    /// to that address and port: `dnat ip to … map @MAP`.
    pub fn dnat_ipv4_to_map(self, map: impl Into<String>) -> Self {
        self.push(Expressions::Lookup(vec![
            Lookup::Set(map.into()),
            Lookup::SourceRegister(register(KEY)),
            Lookup::DestinationRegister(register(VALUE)),
        ]))
        .raw(
            "nat",
            vec![
                attribute(NFTA_NAT_TYPE, NFT_NAT_DNAT),
                attribute(NFTA_NAT_FAMILY, NFPROTO_IPV4),
                attribute(NFTA_NAT_REG_ADDR_MIN, register(VALUE).into()),
                attribute(NFTA_NAT_REG_PROTO_MIN, register(VALUE + 1).into()),
            ],
        )
    }

    /// Ends the rule with a verdict.
    pub fn verdict(self, verdict: Verdict) -> Self {
        let (code, chain) = match verdict {
            Verdict::Drop => (nftables::Verdict::Other(0), None),
            Verdict::Accept => (nftables::Verdict::Other(1), None),
            Verdict::Return => (nftables::Verdict::Return, None),
            Verdict::Jump(chain) => (nftables::Verdict::Jump, Some(chain)),
            Verdict::Goto(chain) => (nftables::Verdict::Goto, Some(chain)),
        };
        let mut attributes = vec![VerdictAttribute::Code(code)];
        attributes.extend(chain.map(VerdictAttribute::Chain));
        self.push(Expressions::Immediate(vec![
            Immediate::DestinationRegister(Register::Verdict),
            Immediate::Data(DataAttribute::Verdict(attributes)),
        ]))
    }

    /// Adds any other expression by its name and attributes.
    pub fn raw(self, name: impl Into<String>, attributes: Vec<DefaultNla>) -> Self {
        self.push(Expressions::Other {
            expression_type: name.into(),
            attributes,
        })
    }

    /// Adds a comment that `nft list ruleset` shows, cut after 127 bytes.
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    fn push(mut self, expression: Expressions) -> Self {
        self.steps.push(Step::Expression(expression));
        self
    }

    /// The comment in the form in which `nft` keeps it.
    pub(crate) fn user_data(&self) -> Option<Vec<u8>> {
        self.comment.as_deref().map(comment::encode)
    }
}

/// The most common matches, in one step.
impl Rule {
    /// Matches packets that came in by the interface of that name.
    pub fn iifname(self, name: &str) -> Self {
        self.meta(MetaKey::Iifname).is(interface_name(name))
    }

    /// Matches packets that leave by the interface of that name.
    pub fn oifname(self, name: &str) -> Self {
        self.meta(MetaKey::Oifname).is(interface_name(name))
    }

    /// Matches IPv4 in a table of the family `inet`.
    pub fn ipv4(self) -> Self {
        self.meta(MetaKey::Nfproto).is([2])
    }

    /// Matches IPv6 in a table of the family `inet`.
    pub fn ipv6(self) -> Self {
        self.meta(MetaKey::Nfproto).is([10])
    }

    /// Matches a transport protocol by its IANA number.
    pub fn protocol(self, number: u8) -> Self {
        self.meta(MetaKey::L4Proto).is([number])
    }

    /// Matches packets of [IPv4](Self::ipv4) to an address.
    pub fn ipv4_destination(self, address: Ipv4Addr) -> Self {
        self.load([Field::IPV4_DESTINATION]).is(address.octets())
    }

    /// Loads the source port of TCP, UDP, SCTP or DCCP; match the [`protocol`](Self::protocol)
    /// first.
    pub fn source_port(self) -> Self {
        self.load([Field::SOURCE_PORT])
    }

    /// Loads the destination port of TCP, UDP, SCTP or DCCP; match the [`protocol`](Self::protocol)
    /// first.
    pub fn destination_port(self) -> Self {
        self.load([Field::DESTINATION_PORT])
    }

    /// Matches packets whose connection is in one of the states.
    pub fn ct_state(self, states: CtState) -> Self {
        self.ct(CtKey::State).any_bit(states.0)
    }

    /// Matches packets of a connection to which one of these has happened.
    pub fn ct_status(self, status: CtStatus) -> Self {
        self.ct(CtKey::Status).any_bit(status.0)
    }

    /// Matches packets that travel in this direction of their connection.
    pub fn ct_direction(self, direction: CtDirection) -> Self {
        self.ct(CtKey::Direction).is([direction.number()])
    }

    /// Bit fields are in host byte order.
    fn any_bit(self, bits: u32) -> Self {
        self.mask(bits.to_ne_bytes())
            .compare(Operator::NotEqual, [0; 4])
    }

    /// Ends the rule: the packet leaves the chain.
    pub fn accept(self) -> Self {
        self.verdict(Verdict::Accept)
    }

    /// Ends the rule: the packet is dropped.
    pub fn drop(self) -> Self {
        self.verdict(Verdict::Drop)
    }
}

// linux/netfilter/nf_tables.h, for the expressions that the netlink crate has no type for.
const NFTA_DYNSET_SET_NAME: u16 = 1;
const NFTA_DYNSET_OP: u16 = 3;
const NFTA_DYNSET_SREG_KEY: u16 = 4;
const NFTA_DYNSET_SREG_DATA: u16 = 5;
const NFT_DYNSET_OP_UPDATE: u32 = 1;

const NFTA_MASQ_FLAGS: u16 = 1;
const NFTA_MASQ_REG_PROTO_MIN: u16 = 2;
const NFTA_MASQ_REG_PROTO_MAX: u16 = 3;
const NF_NAT_RANGE_PROTO_SPECIFIED: u32 = 1 << 1;
const NF_NAT_RANGE_PROTO_RANDOM_FULLY: u32 = 1 << 4;

const NFTA_NAT_TYPE: u16 = 1;
const NFTA_NAT_FAMILY: u16 = 2;
const NFTA_NAT_REG_ADDR_MIN: u16 = 3;
const NFTA_NAT_REG_PROTO_MIN: u16 = 5;
const NFT_NAT_DNAT: u32 = 1;
const NFPROTO_IPV4: u32 = 2;

/// The kernel compares all 16 bytes of a name.
pub(crate) fn interface_name(name: &str) -> [u8; 16] {
    let mut padded = [0; 16];
    let length = name.len().min(15);
    padded[..length].copy_from_slice(&name.as_bytes()[..length]);
    padded
}
