//! Rules in the kernel, as far as programs compare and judge them.

use std::collections::BTreeMap;

use netlink_packet_core::{DefaultNla, Nla as _};
use netlink_packet_netfilter::nftables::{
    ExpressionAttribute, Expressions, ListAttribute, Lookup, MetaKey, Operator, RuleAttribute,
    RuleMessage,
};

use crate::{Expression, Field, Verdict, comment, set::ANONYMOUS};

/// A rule in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleInfo {
    /// Its chain.
    pub chain: String,
    /// Its number in its table, as `nft -a list ruleset` shows it.
    pub handle: u64,
    /// Its steps, in their order.
    pub expressions: Vec<Expression>,
    /// The comment that it was given.
    pub comment: Option<String>,
    /// The rule's effect as a text, which is equal for two rules with the same effect. The form of the text is not
    /// specified. It leaves out the values of counters and the contents of anonymous sets.
    pub content: String,
    /// The packets that its first counter has counted.
    pub packets: Option<u64>,
}

/// A condition of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// The family: 2 for IPv4, 10 for IPv6.
    Family(u8),
    /// The transport protocol, by its IANA number.
    Protocol(u8),
    /// The destination port.
    DestinationPort(u16),
    /// The mark of the packet.
    Mark(u32),
    /// The group of the interface that the packet came in by.
    InterfaceGroup(u32),
    /// The name of the interface that the packet came in by is in this set.
    InterfaceIn(String),
    /// Any other.
    Other,
}

impl RuleInfo {
    pub(crate) fn new(message: &RuleMessage) -> Self {
        let mut rule = Self::default();
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Chain(chain) => rule.chain.clone_from(chain),
                RuleAttribute::UserData(data) => rule.comment = comment::decode(data),
                RuleAttribute::Handle(handle) => rule.handle = *handle,
                RuleAttribute::Expressions(expressions) => {
                    rule.expressions = Expression::list(expressions);
                    rule.content = content(expressions);
                    rule.packets = data(expressions).find_map(counted);
                }
                _ => {}
            }
        }
        rule
    }

    /// The named sets that it looks in.
    pub fn sets(&self) -> impl Iterator<Item = &str> {
        self.expressions
            .iter()
            .filter_map(|expression| match expression {
                Expression::Lookup { set, .. } if !is_anonymous(set) => Some(set.as_str()),
                _ => None,
            })
    }

    /// Its conditions, in their order.
    pub fn conditions(&self) -> Vec<Condition> {
        conditions(&self.expressions)
    }

    /// Whether it accepts the packets that meet all its conditions.
    pub fn accepts(&self) -> bool {
        self.verdict() == Some(&Verdict::Accept)
    }

    /// Whether it drops or rejects each packet that comes to it.
    pub fn drops_everything(&self) -> bool {
        let end = self.expressions.iter().position(|expression| {
            matches!(
                expression,
                Expression::Verdict(Verdict::Drop) | Expression::Reject
            )
        });
        end.is_some_and(|end| conditions(&self.expressions[..end]).is_empty())
    }

    /// The chain that it jumps or goes to.
    pub fn target(&self) -> Option<&str> {
        match self.verdict()? {
            Verdict::Jump(chain) | Verdict::Goto(chain) => Some(chain),
            _ => None,
        }
    }

    fn verdict(&self) -> Option<&Verdict> {
        self.expressions
            .iter()
            .find_map(|expression| match expression {
                Expression::Verdict(verdict) => Some(verdict),
                _ => None,
            })
    }
}

fn conditions(expressions: &[Expression]) -> Vec<Condition> {
    let mut loaded = BTreeMap::new();
    let mut conditions = Vec::new();
    for expression in expressions {
        match expression {
            Expression::Load { field, register } => {
                loaded.insert(*register, *field);
            }
            Expression::Fib { register, .. } | Expression::Constant { register, .. } => {
                loaded.remove(register);
            }
            Expression::Mask { to, .. } => {
                loaded.remove(to);
            }
            Expression::Compare {
                register,
                operator: Operator::Equal,
                value,
            } => conditions.push(equals(loaded.get(register), value)),
            Expression::Lookup {
                register,
                set,
                inverted: false,
                value: None,
            } if loaded.get(register) == Some(&Field::Meta(MetaKey::Iifname)) => {
                conditions.push(Condition::InterfaceIn(set.clone()));
            }
            Expression::Compare { .. }
            | Expression::Range { .. }
            | Expression::Lookup { .. }
            | Expression::XtMatch(_)
            | Expression::XtTarget(_)
            | Expression::Other(_) => conditions.push(Condition::Other),
            Expression::SetMark { .. }
            | Expression::Verdict(_)
            | Expression::Reject
            | Expression::Neutral(_) => {}
        }
    }
    conditions
}

fn equals(field: Option<&Field>, value: &[u8]) -> Condition {
    match (field, value) {
        (Some(Field::Meta(MetaKey::Nfproto)), &[family]) => Condition::Family(family),
        (Some(Field::Meta(MetaKey::L4Proto)), &[protocol]) => Condition::Protocol(protocol),
        (Some(Field::Meta(MetaKey::Mark)), &[a, b, c, d]) => {
            Condition::Mark(u32::from_ne_bytes([a, b, c, d]))
        }
        (Some(Field::Meta(MetaKey::Iifgroup)), &[a, b, c, d]) => {
            Condition::InterfaceGroup(u32::from_ne_bytes([a, b, c, d]))
        }
        (Some(&Field::DESTINATION_PORT), &[high, low]) => {
            Condition::DestinationPort(u16::from_be_bytes([high, low]))
        }
        _ => Condition::Other,
    }
}

/// The names and contents of the expressions.
fn content(expressions: &[ListAttribute<ExpressionAttribute>]) -> String {
    let mut content = String::new();
    for expression in expressions {
        let ListAttribute::Element(attributes) = expression else {
            continue;
        };
        for attribute in attributes {
            match attribute {
                ExpressionAttribute::Name(name) => content.push_str(name),
                ExpressionAttribute::Data(data) if counted(data).is_none() => {
                    content.push_str(&describe(data));
                }
                _ => {}
            }
        }
        content.push(';');
    }
    content
}

fn describe(data: &Expressions) -> String {
    match data {
        // The kernel numbers anonymous sets.
        Expressions::Lookup(lookup) => {
            let kept = lookup.iter().filter(|attribute| match attribute {
                Lookup::Set(set) => !is_anonymous(set),
                Lookup::SetId(_) => false,
                _ => true,
            });
            format!("{:?}", kept.collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    }
}

fn is_anonymous(set: &str) -> bool {
    set.starts_with(ANONYMOUS.trim_end_matches("%d"))
}

fn data(expressions: &[ListAttribute<ExpressionAttribute>]) -> impl Iterator<Item = &Expressions> {
    let attributes = expressions.iter().flat_map(|expression| match expression {
        ListAttribute::Element(attributes) => attributes.as_slice(),
        _ => &[],
    });
    attributes.filter_map(|attribute| match attribute {
        ExpressionAttribute::Data(data) => Some(data),
        _ => None,
    })
}

/// The packets of a counter.
fn counted(data: &Expressions) -> Option<u64> {
    match data {
        Expressions::Other {
            attributes,
            expression_type,
        } if expression_type == "counter" => attributes.iter().find_map(packets),
        _ => None,
    }
}

/// NFTA_COUNTER_PACKETS, in network byte order.
fn packets(attribute: &DefaultNla) -> Option<u64> {
    const NFTA_COUNTER_PACKETS: u16 = 2;
    if attribute.kind() != NFTA_COUNTER_PACKETS || attribute.value_len() != size_of::<u64>() {
        return None;
    }
    let mut value = [0; size_of::<u64>()];
    attribute.emit_value(&mut value);
    Some(u64::from_be_bytes(value))
}
