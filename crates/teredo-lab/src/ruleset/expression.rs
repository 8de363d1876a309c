//! The expressions that the rules are made of: a small register machine (`nf_tables.h`).
//!
//! Values are loaded into registers of four bytes from [`KEY`] on, a map's data from [`DATA`] on, and
//! compared, looked up or used from there. An expression that does not match ends its rule.

use std::ops::RangeInclusive;

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, Expressions, Immediate, Lookup, Meta, MetaKey, Operator, Payload,
    Register, Verdict, VerdictAttribute,
};

use super::attribute;

/// The first register of what is compared or looked up, and that of the second part of a pair.
const KEY: [Register; 2] = [Register::Reg32_00, Register::Reg32_01];
/// The registers of a map's data: an address and a port.
const DATA: [Register; 2] = [Register::Reg32_04, Register::Reg32_05];

const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;
const NFT_PAYLOAD_TRANSPORT_HEADER: u32 = 2;
const IFNAMSIZ: usize = 16;

const NFTA_CT_DREG: u16 = 1;
const NFTA_CT_KEY: u16 = 2;
const NFTA_CT_DIRECTION: u16 = 3;
const NFT_CT_STATE: u32 = 0;
const NFT_CT_DIRECTION: u32 = 1;
const NFT_CT_STATUS: u32 = 2;
const NFT_CT_PROTO_SRC: u32 = 11;
const NFT_CT_SRC_IP: u32 = 19;
/// `NF_CT_STATE_BIT` of `IP_CT_ESTABLISHED` and of `IP_CT_RELATED`.
const STATE_ESTABLISHED_OR_RELATED: u32 = 2 | 4;
const IPS_DST_NAT: u32 = 1 << 5;

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

/// The expressions of one rule, in order.
pub(super) struct Rule(Vec<Expressions>);

impl Rule {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn with(mut self, expressions: impl IntoIterator<Item = Expressions>) -> Self {
        self.0.extend(expressions);
        self
    }

    pub(super) fn into_expressions(self) -> Vec<Expressions> {
        self.0
    }
}

/// Something of the packet or its connection that fits into a register.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    Payload { base: u32, offset: u32, len: u32 },
    Conntrack { key: u32, direction: Direction },
}

pub(super) const IP_SADDR: Field = Field::Payload {
    base: NFT_PAYLOAD_NETWORK_HEADER,
    offset: 12,
    len: 4,
};
pub(super) const IP_DADDR: Field = Field::Payload {
    base: NFT_PAYLOAD_NETWORK_HEADER,
    offset: 16,
    len: 4,
};
pub(super) const UDP_SPORT: Field = Field::Payload {
    base: NFT_PAYLOAD_TRANSPORT_HEADER,
    offset: 0,
    len: 2,
};
pub(super) const UDP_DPORT: Field = Field::Payload {
    base: NFT_PAYLOAD_TRANSPORT_HEADER,
    offset: 2,
    len: 2,
};

/// The two sides of a connection (`enum ip_conntrack_dir`).
#[derive(Debug, Clone, Copy)]
pub(super) enum Direction {
    Original = 0,
    Reply = 1,
}

/// The address that the connection's packets of that direction come from, before translation.
pub(super) fn ct_address(direction: Direction) -> Field {
    Field::Conntrack {
        key: NFT_CT_SRC_IP,
        direction,
    }
}

/// The port that the connection's packets of that direction come from, before translation.
pub(super) fn ct_port(direction: Direction) -> Field {
    Field::Conntrack {
        key: NFT_CT_PROTO_SRC,
        direction,
    }
}

impl Field {
    fn load(self, register: Register) -> Expressions {
        match self {
            Self::Payload { base, offset, len } => Expressions::Payload(vec![
                Payload::DestinationRegister(register),
                Payload::Base(base),
                Payload::Offset(offset),
                Payload::Len(len),
            ]),
            Self::Conntrack { key, direction } => other(
                "ct",
                vec![
                    attribute(NFTA_CT_DREG, register.into()),
                    attribute(NFTA_CT_KEY, key),
                    DefaultNla::new(NFTA_CT_DIRECTION, vec![direction as u8]),
                ],
            ),
        }
    }
}

/// `iifname NAME`
pub(super) fn from(interface: &str) -> [Expressions; 2] {
    [meta(MetaKey::Iifname), equal(interface_name(interface))]
}

/// `oifname NAME`
pub(super) fn to(interface: &str) -> [Expressions; 2] {
    [meta(MetaKey::Oifname), equal(interface_name(interface))]
}

/// `meta l4proto NUMBER`
pub(super) fn protocol(number: u8) -> [Expressions; 2] {
    [meta(MetaKey::L4Proto), equal(vec![number])]
}

/// `ct direction original`, `ct direction reply`
pub(super) fn via(direction: Direction) -> [Expressions; 2] {
    [ct(NFT_CT_DIRECTION), equal(vec![direction as u8])]
}

/// `ct state established,related`
pub(super) fn ct_state_established() -> [Expressions; 3] {
    any_bit(ct(NFT_CT_STATE), STATE_ESTABLISHED_OR_RELATED)
}

/// `ct status dnat`
pub(super) fn ct_status_dnat() -> [Expressions; 3] {
    any_bit(ct(NFT_CT_STATUS), IPS_DST_NAT)
}

/// `FIELD [. FIELD] @SET`
pub(super) fn lookup(fields: &[Field], set: &str) -> Vec<Expressions> {
    let mut expressions = load(fields, KEY);
    expressions.push(Expressions::Lookup(vec![
        Lookup::Set(set.into()),
        Lookup::SourceRegister(KEY[0]),
    ]));
    expressions
}

/// `FIELD map @MAP`, the outcome of which is for [`dnat`]
pub(super) fn map(field: Field, map: &str) -> [Expressions; 2] {
    let lookup = Expressions::Lookup(vec![
        Lookup::Set(map.into()),
        Lookup::SourceRegister(KEY[0]),
        Lookup::DestinationRegister(DATA[0]),
    ]);
    [field.load(KEY[0]), lookup]
}

/// `dnat to ADDRESS:PORT`, as loaded by [`map`]
pub(super) fn dnat() -> [Expressions; 1] {
    [other(
        "nat",
        vec![
            attribute(NFTA_NAT_TYPE, NFT_NAT_DNAT),
            attribute(NFTA_NAT_FAMILY, NFPROTO_IPV4),
            attribute(NFTA_NAT_REG_ADDR_MIN, DATA[0].into()),
            attribute(NFTA_NAT_REG_PROTO_MIN, DATA[1].into()),
        ],
    )]
}

/// `masquerade [to :FIRST-LAST] [fully-random]`
pub(super) fn masquerade(
    ports: Option<&RangeInclusive<u16>>,
    fully_random: bool,
) -> Vec<Expressions> {
    let mut expressions = Vec::new();
    let mut attributes = Vec::new();
    let mut flags = 0;
    if fully_random {
        flags |= NF_NAT_RANGE_PROTO_RANDOM_FULLY;
    }
    if let Some(ports) = ports {
        flags |= NF_NAT_RANGE_PROTO_SPECIFIED;
        let ends = [
            (ports.start(), KEY[0], NFTA_MASQ_REG_PROTO_MIN),
            (ports.end(), KEY[1], NFTA_MASQ_REG_PROTO_MAX),
        ];
        for (port, register, kind) in ends {
            expressions.push(Expressions::Immediate(vec![
                Immediate::DestinationRegister(register),
                Immediate::Data(DataAttribute::Value(port.to_be_bytes().to_vec())),
            ]));
            attributes.push(attribute(kind, register.into()));
        }
    }
    if flags != 0 {
        attributes.push(attribute(NFTA_MASQ_FLAGS, flags));
    }
    expressions.push(other("masq", attributes));
    expressions
}

/// `update @SET { KEY [. KEY] }`, `update @MAP { KEY : DATA . DATA }`
pub(super) fn update(key: &[Field], data: &[Field], set: &str) -> Vec<Expressions> {
    let mut expressions = load(key, KEY);
    expressions.extend(load(data, DATA));
    let mut name = set.as_bytes().to_vec();
    name.push(0);
    let mut attributes = vec![
        DefaultNla::new(NFTA_DYNSET_SET_NAME, name),
        attribute(NFTA_DYNSET_OP, NFT_DYNSET_OP_UPDATE),
        attribute(NFTA_DYNSET_SREG_KEY, KEY[0].into()),
    ];
    if !data.is_empty() {
        attributes.push(attribute(NFTA_DYNSET_SREG_DATA, DATA[0].into()));
    }
    expressions.push(other("dynset", attributes));
    expressions
}

/// `accept`
pub(super) fn accept() -> [Expressions; 1] {
    let verdict = VerdictAttribute::Code(Verdict::Other(super::NF_ACCEPT));
    [Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(vec![verdict])),
    ])]
}

fn load(fields: &[Field], registers: [Register; 2]) -> Vec<Expressions> {
    fields
        .iter()
        .zip(registers)
        .map(|(field, register)| field.load(register))
        .collect()
}

fn meta(key: MetaKey) -> Expressions {
    Expressions::Meta(vec![Meta::DestinationRegister(KEY[0]), Meta::Key(key)])
}

fn ct(key: u32) -> Expressions {
    other(
        "ct",
        vec![
            attribute(NFTA_CT_DREG, KEY[0].into()),
            attribute(NFTA_CT_KEY, key),
        ],
    )
}

fn equal(value: Vec<u8>) -> Expressions {
    compare(Operator::Equal, value)
}

fn compare(operator: Operator, value: Vec<u8>) -> Expressions {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(KEY[0]),
        Cmp::Op(operator),
        Cmp::Data(DataAttribute::Value(value)),
    ])
}

/// Bit fields are in host byte order.
fn any_bit(load: Expressions, bits: u32) -> [Expressions; 3] {
    let none = || 0_u32.to_ne_bytes().to_vec();
    let mask = Expressions::Bitwise(vec![
        Bitwise::SourceRegister(KEY[0]),
        Bitwise::DestinationRegister(KEY[0]),
        Bitwise::Length(4),
        Bitwise::Mask(DataAttribute::Value(bits.to_ne_bytes().to_vec())),
        Bitwise::Xor(DataAttribute::Value(none())),
    ]);
    [load, mask, compare(Operator::NotEqual, none())]
}

/// An interface name is compared over its whole field, so that no longer name matches.
fn interface_name(name: &str) -> Vec<u8> {
    let mut field = name.as_bytes().to_vec();
    field.resize(IFNAMSIZ, 0);
    field
}

fn other(expression_type: &str, attributes: Vec<DefaultNla>) -> Expressions {
    Expressions::Other {
        expression_type: expression_type.into(),
        attributes,
    }
}
