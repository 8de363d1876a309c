use std::{
    net::Ipv4Addr,
    ops::{BitOr, RangeInclusive},
};

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    self, Bitwise, Cmp, DataAttribute, Expressions, Immediate, Lookup, Meta, MetaKey, Operator,
    Payload, Register, VerdictAttribute,
};

use crate::KeyType;

/// A rule: a row of expressions, each of which sees a packet only if those before it matched.
///
/// A match takes two steps: one method loads something of the packet ([`meta`](Self::meta),
/// [`payload`](Self::payload), [`ct`](Self::ct)), the next compares what was loaded
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

/// Where [`Rule::payload`] counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadBase {
    /// The link layer's header.
    Link,
    /// The IP header.
    Network,
    /// The TCP, UDP or ICMP header.
    Transport,
}

/// What [`Rule::ct`] loads of a packet's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtKey {
    /// The state, bits of [`CtState`] in host byte order.
    State,
    /// The direction: 0 original, 1 reply.
    Direction,
    /// The status bits.
    Status,
    /// The connection's mark.
    Mark,
}

/// States of a connection; several are joined with `|`.
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

    /// Loads packet metadata.
    pub fn meta(self, key: MetaKey) -> Self {
        self.push(Expressions::Meta(vec![
            Meta::Key(key),
            Meta::DestinationRegister(REGISTER),
        ]))
    }

    /// Loads `length` bytes of the packet, at most 16, from `offset` after `base`.
    pub fn payload(self, base: PayloadBase, offset: u32, length: u32) -> Self {
        let base = match base {
            PayloadBase::Link => 0,
            PayloadBase::Network => 1,
            PayloadBase::Transport => 2,
        };
        self.push(Expressions::Payload(vec![
            Payload::DestinationRegister(REGISTER),
            Payload::Base(base),
            Payload::Offset(offset),
            Payload::Len(length),
        ]))
    }

    /// Loads something of the packet's connection; the kernel tracks connections from then on.
    pub fn ct(self, key: CtKey) -> Self {
        let key: u32 = match key {
            CtKey::State => 0,
            CtKey::Direction => 1,
            CtKey::Status => 2,
            CtKey::Mark => 3,
        };
        self.raw(
            "ct",
            vec![
                DefaultNla::new(NFTA_CT_DREG, u32::from(REGISTER).to_be_bytes().to_vec()),
                DefaultNla::new(NFTA_CT_KEY, key.to_be_bytes().to_vec()),
            ],
        )
    }

    /// Keeps only the bits of `mask` of what was loaded.
    pub fn mask(self, mask: impl Into<Vec<u8>>) -> Self {
        let mask = mask.into();
        let length = u32::try_from(mask.len()).unwrap_or(u32::MAX);
        let zeroes = vec![0; mask.len()];
        self.push(Expressions::Bitwise(vec![
            Bitwise::SourceRegister(REGISTER),
            Bitwise::DestinationRegister(REGISTER),
            Bitwise::Length(length),
            Bitwise::Mask(DataAttribute::Value(mask)),
            Bitwise::Xor(DataAttribute::Value(zeroes)),
        ]))
    }

    /// Compares what was loaded with `value`.
    pub fn compare(self, operator: Operator, value: impl Into<Vec<u8>>) -> Self {
        self.push(Expressions::Cmp(vec![
            Cmp::SourceRegister(REGISTER),
            Cmp::Op(operator),
            Cmp::Data(DataAttribute::Value(value.into())),
        ]))
    }

    /// Matches if what was loaded equals `value`.
    pub fn is(self, value: impl Into<Vec<u8>>) -> Self {
        self.compare(Operator::Equal, value)
    }

    /// Matches if what was loaded, as a number in network byte order, lies in `range`.
    pub fn within<const N: usize>(self, range: RangeInclusive<[u8; N]>) -> Self {
        self.compare(Operator::GreatherThanEqual, *range.start())
            .compare(Operator::LessThanEqual, *range.end())
    }

    /// Matches if what was loaded is in the named set of the same table.
    pub fn in_set(self, set: impl Into<String>) -> Self {
        self.push(Expressions::Lookup(vec![
            Lookup::Set(set.into()),
            Lookup::SourceRegister(REGISTER),
        ]))
    }

    /// Matches if what was loaded is one of `elements`.
    pub fn among<E: Into<Vec<u8>>>(
        mut self,
        key: KeyType,
        elements: impl IntoIterator<Item = E>,
    ) -> Self {
        let elements = elements.into_iter().map(Into::into).collect();
        self.steps.push(Step::Among { key, elements });
        self
    }

    /// Counts the packets and bytes that come so far in the rule.
    pub fn counter(self) -> Self {
        self.raw("counter", Vec::new())
    }

    /// Gives the packet the address of the interface by which it leaves.
    pub fn masquerade(self) -> Self {
        self.raw("masq", Vec::new())
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

    /// The comment as the type, length and value in which `nft` keeps it.
    pub(crate) fn user_data(&self) -> Option<Vec<u8>> {
        let comment = self.comment.as_deref()?;
        let end = (0..=MAX_COMMENT)
            .rev()
            .find(|&end| comment.is_char_boundary(end.min(comment.len())));
        let cut = &comment[..end.unwrap_or(0).min(comment.len())];
        // At most MAX_COMMENT bytes and the NUL.
        let length = cut.len() as u8 + 1;
        Some([&[NFTNL_UDATA_RULE_COMMENT, length], cut.as_bytes(), &[0]].concat())
    }
}

/// What is matched most often, in one step.
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
        self.payload(PayloadBase::Network, 16, 4)
            .is(address.octets())
    }

    /// Loads the source port of TCP, UDP, SCTP or DCCP; match the [`protocol`](Self::protocol)
    /// first.
    pub fn source_port(self) -> Self {
        self.payload(PayloadBase::Transport, 0, 2)
    }

    /// Loads the destination port of TCP, UDP, SCTP or DCCP; match the [`protocol`](Self::protocol)
    /// first.
    pub fn destination_port(self) -> Self {
        self.payload(PayloadBase::Transport, 2, 2)
    }

    /// Matches packets whose connection is in one of the states.
    pub fn ct_state(self, states: CtState) -> Self {
        self.ct(CtKey::State)
            .mask(states.0.to_ne_bytes())
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

/// Every load goes here, every comparison reads it from here.
const REGISTER: Register = Register::Reg1;

const MAX_COMMENT: usize = 127;
const NFTNL_UDATA_RULE_COMMENT: u8 = 0;

const NFTA_CT_DREG: u16 = 1;
const NFTA_CT_KEY: u16 = 2;

/// The kernel compares all 16 bytes of a name.
fn interface_name(name: &str) -> [u8; 16] {
    let mut padded = [0; 16];
    let length = name.len().min(15);
    padded[..length].copy_from_slice(&name.as_bytes()[..length]);
    padded
}
