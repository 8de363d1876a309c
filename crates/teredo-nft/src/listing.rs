//! Chains and rules in the kernel, as far as programs compare and judge them.

use netlink_packet_netfilter::nftables::{
    self, ChainAttribute, ChainMessage, Cmp, DataAttribute, ExpressionAttribute, Expressions,
    Immediate, ListAttribute, Lookup, Meta, MetaKey, Operator, Payload, RuleAttribute, RuleMessage,
    VerdictAttribute,
};

use crate::{Expression, Family, Hook, Policy, comment, set::ANONYMOUS};

/// A chain in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainInfo {
    /// The name of its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Where it is called, if it is a base chain of a hook for IP packets.
    pub base: Option<BaseInfo>,
    /// Where it is called, if it is a base chain of a device: of the family `netdev`, or `inet` at the hook `ingress`.
    pub device: Option<DeviceInfo>,
}

/// Where a base chain is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BaseInfo {
    /// The hook.
    pub hook: Hook,
    /// The order among the chains of the hook.
    pub priority: i32,
    /// The verdict on packets that no rule decides on.
    pub policy: Policy,
}

/// Where a base chain of devices is called.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Whether it sees what leaves, and not what arrives.
    pub egress: bool,
    /// The devices.
    pub names: Vec<String>,
    /// The order among the chains of the hook.
    pub priority: i32,
    /// The verdict on packets that no rule decides on.
    pub policy: Policy,
}

/// A rule in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The named sets that it looks in.
    pub sets: Vec<String>,
    /// Whether it drops or rejects each packet that comes to it.
    pub drops_everything: bool,
    /// Whether it does nothing to some packets that come to it.
    pub conditional: bool,
    /// The chain that it jumps or goes to.
    pub target: Option<String>,
    /// The group of the interfaces whose packets it is about (`iifgroup`), if that is its only condition.
    pub interface_group: Option<u32>,
    /// Whether it accepts the packets that meet all its conditions.
    pub accepts: bool,
    /// Its conditions.
    pub conditions: Vec<Condition>,
}

/// A condition of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Any other.
    Other,
}

/// The value that a rule has loaded, to compare it.
#[derive(Clone, Copy)]
enum Loaded {
    Meta(MetaKey),
    DestinationPort,
    Other,
}

impl ChainInfo {
    pub(crate) fn new(family: Family, message: &ChainMessage) -> Self {
        let (mut table, mut name) = (String::new(), String::new());
        let (mut number, mut priority, mut policy) = (None, 0, Policy::Accept);
        let mut names = Vec::new();
        for attribute in &message.attributes {
            match attribute {
                ChainAttribute::Table(value) => table.clone_from(value),
                ChainAttribute::Name(value) => name.clone_from(value),
                ChainAttribute::Policy(0) => policy = Policy::Drop,
                ChainAttribute::Hook(values) => {
                    for value in values {
                        match value {
                            nftables::Hook::Number(value) => number = Some(u32::from(*value)),
                            nftables::Hook::Priority(value) => priority = value.cast_signed(),
                            nftables::Hook::NetDeviceName(name) => names.push(name.clone()),
                            nftables::Hook::NetDevices(list) => names.extend(list.iter().map(text)),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        let of_device = family == Family::Netdev || number == Some(INET_INGRESS);
        let device = number.filter(|_| of_device).map(|number| DeviceInfo {
            egress: number == NETDEV_EGRESS,
            names,
            priority,
            policy,
        });
        let hook = number.filter(|_| !of_device).and_then(Hook::from_number);
        let base = hook.map(|hook| BaseInfo {
            hook,
            priority,
            policy,
        });
        Self {
            table,
            name,
            base,
            device,
        }
    }
}

// linux/netfilter.h
const INET_INGRESS: u32 = 5;
const NETDEV_EGRESS: u32 = 1;

fn text(attribute: &netlink_packet_core::DefaultNla) -> String {
    use netlink_packet_core::Nla as _;
    let mut value = vec![0; attribute.value_len()];
    attribute.emit_value(&mut value);
    let end = value.iter().position(|&byte| byte == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}

impl RuleInfo {
    pub(crate) fn new(message: &RuleMessage) -> Self {
        let mut rule = Self {
            chain: String::new(),
            handle: 0,
            expressions: Vec::new(),
            comment: None,
            content: String::new(),
            packets: None,
            sets: Vec::new(),
            drops_everything: false,
            conditional: false,
            target: None,
            interface_group: None,
            accepts: false,
            conditions: Vec::new(),
        };
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Chain(chain) => rule.chain.clone_from(chain),
                RuleAttribute::UserData(data) => rule.comment = comment::decode(data),
                RuleAttribute::Handle(handle) => rule.handle = *handle,
                RuleAttribute::Expressions(expressions) => {
                    rule.expressions = Expression::list(expressions);
                    rule.read(expressions);
                }
                _ => {}
            }
        }
        rule
    }

    fn read(&mut self, expressions: &[ListAttribute<ExpressionAttribute>]) {
        let mut conditions = 0;
        let mut group_is_loaded = false;
        let mut loaded = Loaded::Other;
        for expression in expressions {
            let ListAttribute::Element(attributes) = expression else {
                continue;
            };
            let data = attributes.iter().find_map(|attribute| match attribute {
                ExpressionAttribute::Data(data) => Some(data),
                _ => None,
            });
            let name = attributes.iter().find_map(|attribute| match attribute {
                ExpressionAttribute::Name(name) => Some(name.as_str()),
                _ => None,
            });
            let name = name.unwrap_or_default();
            self.content.push_str(name);
            self.judge(name, data, &mut loaded);
            match data {
                Some(Expressions::Other { attributes, .. }) if name == "counter" => {
                    let packets = attributes.iter().find_map(packets);
                    self.packets = self.packets.or(packets);
                }
                Some(Expressions::Lookup(lookup)) => {
                    conditions += 1;
                    self.conditional = true;
                    self.look_up(lookup);
                }
                Some(Expressions::Immediate(immediate)) => {
                    self.content.push_str(&format!("{immediate:?}"));
                    self.drops_everything |= !self.conditional && is_drop(immediate);
                    self.target = self.target.take().or_else(|| target(immediate));
                }
                Some(other) => {
                    match other {
                        Expressions::Cmp(comparison) => {
                            conditions += 1;
                            let group = equals(comparison).filter(|_| group_is_loaded);
                            self.interface_group = group.filter(|_| conditions == 1);
                        }
                        Expressions::Meta(load) => {
                            group_is_loaded = load.contains(&Meta::Key(MetaKey::Iifgroup));
                        }
                        _ => group_is_loaded = false,
                    }
                    self.content.push_str(&format!("{other:?}"));
                    match name {
                        "reject" => self.drops_everything |= !self.conditional,
                        "log" => {}
                        _ => self.conditional = true,
                    }
                }
                None => self.conditional |= name != "notrack",
            }
            self.content.push(';');
        }
        if conditions != 1 {
            self.interface_group = None;
        }
    }

    /// Notes the condition or the verdict of an expression.
    fn judge(&mut self, name: &str, data: Option<&Expressions>, loaded: &mut Loaded) {
        match data {
            Some(Expressions::Meta(load)) => {
                let key = load.iter().find_map(|attribute| match attribute {
                    Meta::Key(key) => Some(*key),
                    _ => None,
                });
                *loaded = key.map_or(Loaded::Other, Loaded::Meta);
            }
            Some(Expressions::Payload(load)) => {
                // The second two bytes of the transport header.
                let port = [Payload::Base(2), Payload::Offset(2), Payload::Len(2)];
                *loaded = if port.iter().all(|part| load.contains(part)) {
                    Loaded::DestinationPort
                } else {
                    Loaded::Other
                };
            }
            Some(Expressions::Cmp(comparison)) => {
                self.conditions.push(condition(*loaded, comparison));
            }
            Some(Expressions::Bitwise(_)) => *loaded = Loaded::Other,
            Some(Expressions::Immediate(immediate)) => self.accepts |= is_accept(immediate),
            _ if matches!(name, "counter" | "log" | "reject" | "notrack") => {}
            // Connection state is loaded, and then compared.
            _ if name == "ct" => *loaded = Loaded::Other,
            _ => self.conditions.push(Condition::Other),
        }
    }

    fn look_up(&mut self, lookup: &[Lookup]) {
        for attribute in lookup {
            match attribute {
                // The kernel numbers anonymous sets.
                Lookup::Set(set) if set.starts_with(ANONYMOUS.trim_end_matches("%d")) => {}
                Lookup::Set(set) => {
                    self.content.push_str(set);
                    self.sets.push(set.clone());
                }
                Lookup::SetId(_) => {}
                other => self.content.push_str(&format!("{other:?}")),
            }
        }
    }
}

fn condition(loaded: Loaded, comparison: &[Cmp]) -> Condition {
    let value = comparison.iter().find_map(|attribute| match attribute {
        Cmp::Data(DataAttribute::Value(value)) => Some(value.as_slice()),
        _ => None,
    });
    let equal = comparison.contains(&Cmp::Op(Operator::Equal));
    match (loaded, value.filter(|_| equal)) {
        (Loaded::Meta(MetaKey::Nfproto), Some(&[family])) => Condition::Family(family),
        (Loaded::Meta(MetaKey::L4Proto), Some(&[protocol])) => Condition::Protocol(protocol),
        (Loaded::Meta(MetaKey::Mark), Some(&[a, b, c, d])) => {
            Condition::Mark(u32::from_ne_bytes([a, b, c, d]))
        }
        (Loaded::DestinationPort, Some(&[high, low])) => {
            Condition::DestinationPort(u16::from_be_bytes([high, low]))
        }
        _ => Condition::Other,
    }
}

fn is_accept(immediate: &[Immediate]) -> bool {
    immediate.iter().any(|attribute| match attribute {
        Immediate::Data(DataAttribute::Verdict(verdict)) => {
            verdict.contains(&VerdictAttribute::Code(nftables::Verdict::Other(1)))
        }
        _ => false,
    })
}

fn is_drop(immediate: &[Immediate]) -> bool {
    immediate.iter().any(|attribute| match attribute {
        Immediate::Data(DataAttribute::Verdict(verdict)) => {
            verdict.contains(&VerdictAttribute::Code(nftables::Verdict::Other(0)))
        }
        _ => false,
    })
}

/// The number that a comparison for equality asks for.
fn equals(comparison: &[Cmp]) -> Option<u32> {
    if !comparison.contains(&Cmp::Op(Operator::Equal)) {
        return None;
    }
    comparison.iter().find_map(|attribute| match attribute {
        Cmp::Data(DataAttribute::Value(value)) => {
            Some(u32::from_ne_bytes(value.as_slice().try_into().ok()?))
        }
        _ => None,
    })
}

fn target(immediate: &[Immediate]) -> Option<String> {
    immediate.iter().find_map(|attribute| match attribute {
        Immediate::Data(DataAttribute::Verdict(verdict)) => {
            verdict.iter().find_map(|attribute| match attribute {
                VerdictAttribute::Chain(chain) => Some(chain.clone()),
                _ => None,
            })
        }
        _ => None,
    })
}

/// NFTA_COUNTER_PACKETS, in network byte order.
fn packets(attribute: &netlink_packet_core::DefaultNla) -> Option<u64> {
    use netlink_packet_core::Nla as _;
    if attribute.kind() != NFTA_COUNTER_PACKETS || attribute.value_len() != size_of::<u64>() {
        return None;
    }
    let mut value = [0; size_of::<u64>()];
    attribute.emit_value(&mut value);
    Some(u64::from_be_bytes(value))
}

const NFTA_COUNTER_PACKETS: u16 = 2;
