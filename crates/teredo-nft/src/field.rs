use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{Expressions, Meta, MetaKey, Payload, Register};

/// Something of a packet or of its connection that a rule loads, compares and looks up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Metadata of the packet.
    Meta(MetaKey),
    /// Bytes of the packet.
    Payload {
        /// The header that `offset` counts from.
        base: PayloadBase,
        /// Where the bytes begin.
        offset: u32,
        /// The number of bytes, at most 16.
        length: u32,
    },
    /// State of the packet's connection. The kernel tracks connections from then on.
    Ct(CtKey),
}

/// The header that a [`Field::Payload`] is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadBase {
    /// The link layer's header.
    Link,
    /// The IP header.
    Network,
    /// The TCP, UDP or ICMP header.
    Transport,
}

/// A property of a tracked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtKey {
    /// The state: bits of [`CtState`](crate::CtState) in host byte order.
    State,
    /// The direction of the packet: one byte, 0 original, 1 reply.
    Direction,
    /// The status: bits of [`CtStatus`](crate::CtStatus) in host byte order.
    Status,
    /// The connection's mark.
    Mark,
    /// The source address of the connection's packets in one direction, before translation. IPv4 only.
    Ipv4Source(CtDirection),
    /// The source port of the connection's packets in one direction, before translation.
    SourcePort(CtDirection),
}

/// A direction of a tracked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtDirection {
    /// That of the packet which started the connection.
    Original,
    /// That of the answers.
    Reply,
}

impl Field {
    /// The source address in an IPv4 header.
    pub const IPV4_SOURCE: Self = Self::payload(PayloadBase::Network, 12, 4);
    /// The destination address in an IPv4 header.
    pub const IPV4_DESTINATION: Self = Self::payload(PayloadBase::Network, 16, 4);
    /// The source port of TCP, UDP, SCTP or DCCP.
    pub const SOURCE_PORT: Self = Self::payload(PayloadBase::Transport, 0, 2);
    /// The destination port of TCP, UDP, SCTP or DCCP.
    pub const DESTINATION_PORT: Self = Self::payload(PayloadBase::Transport, 2, 2);

    /// `length` bytes, at most 16, from `offset` after `base`.
    #[must_use]
    pub const fn payload(base: PayloadBase, offset: u32, length: u32) -> Self {
        Self::Payload {
            base,
            offset,
            length,
        }
    }

    /// How many registers of four bytes it takes.
    pub(crate) fn registers(self) -> u32 {
        match self {
            Self::Meta(
                MetaKey::Iifname
                | MetaKey::Oifname
                | MetaKey::BriIifname
                | MetaKey::BriOifname
                | MetaKey::Iifkind
                | MetaKey::Oifkind
                | MetaKey::Sdifname,
            ) => 4,
            Self::Meta(MetaKey::TimeNs | MetaKey::BriIifhwaddr) => 2,
            Self::Meta(_) | Self::Ct(_) => 1,
            Self::Payload { length, .. } => length.div_ceil(4),
        }
    }

    fn load(self, register: Register) -> Expressions {
        match self {
            Self::Meta(key) => {
                Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(register)])
            }
            Self::Payload {
                base,
                offset,
                length,
            } => Expressions::Payload(vec![
                Payload::DestinationRegister(register),
                Payload::Base(base.number()),
                Payload::Offset(offset),
                Payload::Len(length),
            ]),
            Self::Ct(key) => {
                let (key, direction) = key.number();
                let mut attributes = vec![
                    attribute(NFTA_CT_DREG, register.into()),
                    attribute(NFTA_CT_KEY, key),
                ];
                attributes.extend(
                    direction.map(|direction| {
                        DefaultNla::new(NFTA_CT_DIRECTION, vec![direction.number()])
                    }),
                );
                Expressions::Other {
                    expression_type: "ct".to_owned(),
                    attributes,
                }
            }
        }
    }
}

impl PayloadBase {
    fn number(self) -> u32 {
        match self {
            Self::Link => 0,
            Self::Network => 1,
            Self::Transport => 2,
        }
    }
}

impl CtKey {
    /// The kernel's number, and the direction if the key has one.
    fn number(self) -> (u32, Option<CtDirection>) {
        match self {
            Self::State => (0, None),
            Self::Direction => (1, None),
            Self::Status => (2, None),
            Self::Mark => (3, None),
            Self::SourcePort(direction) => (11, Some(direction)),
            Self::Ipv4Source(direction) => (19, Some(direction)),
        }
    }
}

impl CtKey {
    /// The key by the kernel's number, as far as it has no direction.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        let keys = [Self::State, Self::Direction, Self::Status, Self::Mark];
        keys.into_iter().find(|key| key.number() == (number, None))
    }
}

impl CtDirection {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Original => 0,
            Self::Reply => 1,
        }
    }
}

/// The first of the sixteen registers of four bytes that a key takes, and of those that a map's value takes.
pub(crate) const KEY: u32 = 0;
pub(crate) const VALUE: u32 = 8;

/// A register by its number. A number that does not exist makes the kernel refuse the rule.
pub(crate) fn register(number: u32) -> Register {
    match number {
        // The same place as the first of the small registers, by the name that `nft` uses.
        KEY => Register::Reg1,
        number => Register::from(u32::from(Register::Reg32_00).saturating_add(number)),
    }
}

/// Loads fields side by side: each starts at a register of its own, as a concatenation does.
pub(crate) fn load(
    fields: impl IntoIterator<Item = Field>,
    mut first: u32,
) -> impl Iterator<Item = Expressions> {
    fields.into_iter().map(move |field| {
        let expression = field.load(register(first));
        first = first.saturating_add(field.registers());
        expression
    })
}

/// An attribute with a number in network byte order.
pub(crate) fn attribute(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}

const NFTA_CT_DREG: u16 = 1;
const NFTA_CT_KEY: u16 = 2;
const NFTA_CT_DIRECTION: u16 = 3;
