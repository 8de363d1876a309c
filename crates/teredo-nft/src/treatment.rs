//! Whether the rules treat all datagrams of a service alike, whoever sends them.
//!
//! The service is a UDP port of this host that anyone may ask. For each chain on the way of a question or an answer, the rules
//! are followed with the little that is known of the datagram: its protocol and port. If a rule may drop it, redirect it or
//! change it, the verdict may depend on the sender, and the rule is found.
//!
//! ```text
//! base chain ── rule: no datagram meets it ─────────> next rule
//!            ├─ rule: all do, and it accepts ───────> the end: alike
//!            ├─ rule: some do, and it accepts ──────> next rule
//!            └─ rule: all or some do, any effect else: found
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use netlink_packet_netfilter::nftables::{MetaKey, Operator};
use rustix::io::Errno;

use crate::{
    CtKey, Expression, Family, Field, Hook, Netlink, NftError, PayloadBase, Policy, RuleInfo,
    TableName, VERDICT_REGISTER, Verdict, Xt,
};

/// A ruleset with more rules is not followed.
const MOST_RULES: usize = 20_000;

/// The most rules that are followed for one chain of a hook, jumps included.
const MOST_STEPS: usize = 100_000;

/// The kernel's limit of jumps within jumps.
const MOST_JUMPS: usize = 16;

/// The families whose chains a datagram of IPv4 may meet.
const FAMILIES: [Family; 4] = [Family::Ip, Family::Inet, Family::Netdev, Family::Bridge];

const UDP: u8 = 17;

/// `NF_CT_STATE_INVALID_BIT`: no datagram of UDP with right checksums and lengths has it.
const CT_INVALID: u32 = 1;

/// A rule, or the policy of a chain, that may treat datagrams of a service unlike others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnlikeRule {
    /// The table.
    pub table: TableName,
    /// The chain.
    pub chain: String,
    /// The number of the rule, as `nft -a list ruleset` shows it; none for the policy.
    pub handle: Option<u64>,
}

/// As in `nft -a list ruleset`.
impl fmt::Display for UnlikeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            table,
            chain,
            handle,
        } = self;
        write!(f, "{} {} {chain}", table.family, table.name)?;
        match handle {
            Some(handle) => write!(f, " handle {handle}"),
            None => f.write_str(" policy"),
        }
    }
}

/// The way of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// To the port.
    In,
    /// From the port.
    Out,
}

/// The way on from a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// To the next rule, unless accepted.
    Next,
    /// The same; some return from the chain.
    SomeReturn,
    /// All end here.
    All(End),
}

/// How many of the datagrams meet a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    All,
    Some,
    None,
}

/// The end of a chain that treats all alike, or nearly: accepting some early is no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All are accepted.
    Accepted,
    /// Some come to the end.
    Open,
}

impl Netlink {
    /// The first rule that may treat some datagrams to UDP port `port` of this host, or their answers, unlike others; none if all
    /// are accepted. In doubt a rule is returned.
    ///
    /// # Errors
    ///
    /// Any [`NftError`].
    pub fn unlike_treatment(&mut self, port: u16) -> Result<Option<UnlikeRule>, NftError> {
        for family in FAMILIES {
            let tables = match self.tables(family) {
                // A kernel without the family.
                Err(NftError::Refused {
                    errno: Errno::AFNOSUPPORT | Errno::OPNOTSUPP,
                    ..
                }) => {
                    continue;
                }
                tables => tables?,
            };
            let chains = self.chains(family)?;
            for (table, info) in tables {
                let on_way = |chain: &&crate::ChainInfo| {
                    chain.table == table.name && !ways(chain).is_empty()
                };
                if info.dormant || !chains.iter().any(|chain| on_way(&chain)) {
                    continue;
                }
                let rules = self.rules(&table, None)?.unwrap_or_default();
                let mut ruleset = Ruleset::new(&table, rules, port);
                for chain in chains.iter().filter(on_way) {
                    for (way, policy) in ways(chain) {
                        if let Err(unlike) = ruleset.follow_base(self, &chain.name, way, policy)? {
                            return Ok(Some(unlike));
                        }
                    }
                }
            }
        }
        Ok(None)
    }
}

/// The ways that a base chain is on, with its policy.
fn ways(chain: &crate::ChainInfo) -> Vec<(Way, Policy)> {
    if let Some(device) = &chain.device {
        let way = if device.egress { Way::Out } else { Way::In };
        return vec![(way, device.policy)];
    }
    let Some(base) = chain.base else {
        return Vec::new();
    };
    match base.hook {
        Hook::Prerouting | Hook::Input => vec![(Way::In, base.policy)],
        Hook::Output | Hook::Postrouting => vec![(Way::Out, base.policy)],
        // Of a bridge whose ports the host's frames pass; others are not for this host.
        Hook::Forward => Vec::new(),
    }
}

/// The rules of one table.
struct Ruleset<'a> {
    table: &'a TableName,
    chains: HashMap<String, Vec<RuleInfo>>,
    port: u16,
    count: usize,
    /// The elements of sets: key and verdict; none for those that are not looked up here.
    sets: HashMap<String, Option<Elements>>,
}

/// The keys of a set, each with its verdict in a verdict map.
type Elements = Vec<(Vec<u8>, Option<Verdict>)>;

/// A rule that treats datagrams unlike.
type Followed<T> = Result<T, UnlikeRule>;

impl<'a> Ruleset<'a> {
    fn new(table: &'a TableName, rules: Vec<RuleInfo>, port: u16) -> Self {
        let count = rules.len();
        let mut chains: HashMap<String, Vec<RuleInfo>> = HashMap::new();
        for rule in rules {
            chains.entry(rule.chain.clone()).or_default().push(rule);
        }
        Self {
            table,
            chains,
            port,
            count,
            sets: HashMap::new(),
        }
    }

    fn unlike(&self, chain: &str, handle: Option<u64>) -> UnlikeRule {
        UnlikeRule {
            table: self.table.clone(),
            chain: chain.to_owned(),
            handle,
        }
    }

    fn follow_base(
        &mut self,
        netlink: &mut Netlink,
        chain: &str,
        way: Way,
        policy: Policy,
    ) -> Result<Followed<()>, NftError> {
        if self.count > MOST_RULES {
            return Ok(Err(self.unlike(chain, None)));
        }
        let mut steps = 0;
        let end = self.follow(netlink, chain, way, (0, &mut steps))?;
        Ok(match (end, policy) {
            (Err(unlike), _) => Err(unlike),
            (Ok(End::Open), Policy::Drop) => Err(self.unlike(chain, None)),
            (Ok(_), _) => Ok(()),
        })
    }

    fn follow(
        &mut self,
        netlink: &mut Netlink,
        chain: &str,
        way: Way,
        (jumps, steps): (usize, &mut usize),
    ) -> Result<Followed<End>, NftError> {
        // The rules are taken out for the time: no chain jumps to itself.
        let rules = self.chains.remove(chain).unwrap_or_default();
        let mut end = Ok(End::Open);
        // Some left the chain early: a later rule that accepts all does not see them.
        let mut some_returned = false;
        for rule in &rules {
            *steps += 1;
            let followed = if jumps > MOST_JUMPS || *steps > MOST_STEPS {
                Err(self.unlike(chain, Some(rule.handle)))
            } else {
                self.follow_rule(netlink, rule, way, (jumps, steps))?
            };
            match followed {
                Ok(Step::Next) => {}
                Ok(Step::SomeReturn) => some_returned = true,
                Ok(Step::All(ended)) => {
                    end = Ok(if some_returned { End::Open } else { ended });
                    break;
                }
                Err(unlike) => {
                    end = Err(unlike);
                    break;
                }
            }
        }
        self.chains.insert(chain.to_owned(), rules);
        Ok(end)
    }

    fn follow_rule(
        &mut self,
        netlink: &mut Netlink,
        rule: &RuleInfo,
        way: Way,
        (jumps, steps): (usize, &mut usize),
    ) -> Result<Followed<Step>, NftError> {
        let unlike = Ok(Err(self.unlike(&rule.chain, Some(rule.handle))));
        let mut share = Share::All;
        let mut loaded: BTreeMap<u32, Loaded> = BTreeMap::new();
        for expression in &rule.expressions {
            let mut verdicts = Vec::new();
            // A register whose content is not known.
            let mut loaded_any = None;
            let met = match expression {
                Expression::Load { field, register } => {
                    loaded.insert(*register, self.load(*field, way));
                    continue;
                }
                Expression::Fib { register, .. } => {
                    loaded.insert(*register, Loaded::Any);
                    continue;
                }
                Expression::Constant { register, value } => {
                    loaded.insert(*register, Loaded::Known(value.clone()));
                    continue;
                }
                Expression::Mask {
                    from,
                    to,
                    mask,
                    xor,
                } => {
                    let masked = loaded
                        .get(from)
                        .map_or(Loaded::Any, |value| value.masked(mask, xor));
                    loaded.insert(*to, masked);
                    continue;
                }
                // A change of the datagram.
                Expression::Neutral(name) if matches!(name.as_str(), "payload" | "exthdr") => {
                    return unlike;
                }
                Expression::Neutral(_) | Expression::SetMark { .. } => continue,
                Expression::Compare {
                    register,
                    operator,
                    value,
                } => match loaded.get(register) {
                    Some(loaded) => loaded.compare(*operator, value),
                    None => Share::Some,
                },
                Expression::Range {
                    register,
                    inverted,
                    from,
                    to,
                } => match loaded.get(register) {
                    Some(Loaded::Known(value)) => {
                        let within = (from..=to).contains(&value);
                        Share::of(within != *inverted)
                    }
                    _ => Share::Some,
                },
                Expression::Lookup {
                    register,
                    set,
                    inverted,
                    value,
                } => {
                    let elements = self.elements(netlink, set)?;
                    let loaded = loaded.get(register).unwrap_or(&Loaded::Any);
                    match (value, elements) {
                        (None, Some(elements)) => loaded.is_in(&elements, *inverted),
                        (None, None) => Share::Some,
                        (Some(VERDICT_REGISTER), Some(elements)) => {
                            let (share, met) = loaded.look_up(&elements);
                            let Some(met) = met else {
                                return unlike;
                            };
                            verdicts.extend(met);
                            share
                        }
                        (Some(VERDICT_REGISTER), None) => return unlike,
                        (Some(register), _) => {
                            loaded_any = Some(*register);
                            Share::Some
                        }
                    }
                }
                Expression::Verdict(verdict) => {
                    verdicts.push(verdict.clone());
                    Share::All
                }
                Expression::XtMatch(Xt { name, data, .. }) if name == "udp" => {
                    udp_ports(data, way, self.port)
                }
                Expression::XtTarget(Xt { name, .. })
                    if matches!(name.as_str(), "LOG" | "NFLOG") =>
                {
                    continue;
                }
                Expression::XtMatch(_) => Share::Some,
                Expression::Reject | Expression::XtTarget(_) | Expression::Other(_) => {
                    if !is_match(expression) {
                        return unlike;
                    }
                    // It may load something, too.
                    loaded.clear();
                    Share::Some
                }
            };
            if let Some(register) = loaded_any {
                loaded.insert(register, Loaded::Any);
            }
            share = share.and(met);
            if share == Share::None {
                return Ok(Ok(Step::Next));
            }
            if verdicts.is_empty() {
                continue;
            }
            let verdicts = verdicts
                .into_iter()
                .map(|verdict| (rule.chain.clone(), rule.handle, verdict))
                .collect();
            return self.obey(netlink, verdicts, share, way, (jumps, steps));
        }
        Ok(Ok(Step::Next))
    }

    /// Follows the verdicts that a rule may have on this share of the datagrams.
    fn obey(
        &mut self,
        netlink: &mut Netlink,
        verdicts: Vec<(String, u64, Verdict)>,
        share: Share,
        way: Way,
        (jumps, steps): (usize, &mut usize),
    ) -> Result<Followed<Step>, NftError> {
        let only = verdicts.len() == 1 && share == Share::All;
        let mut step = Step::Next;
        for (chain, handle, verdict) in verdicts {
            let (target, comes_back) = match verdict {
                Verdict::Accept if only => return Ok(Ok(Step::All(End::Accepted))),
                Verdict::Accept => continue,
                Verdict::Return if only => return Ok(Ok(Step::All(End::Open))),
                Verdict::Return => {
                    step = Step::SomeReturn;
                    continue;
                }
                Verdict::Drop => return Ok(Err(self.unlike(&chain, Some(handle)))),
                Verdict::Jump(target) => (target, true),
                Verdict::Goto(target) => (target, false),
            };
            match self.follow(netlink, &target, way, (jumps + 1, steps))? {
                Err(unlike) => return Ok(Err(unlike)),
                Ok(End::Accepted) if only => return Ok(Ok(Step::All(End::Accepted))),
                Ok(End::Open) if only && !comes_back => return Ok(Ok(Step::All(End::Open))),
                Ok(End::Open) if !comes_back => step = Step::SomeReturn,
                Ok(_) => {}
            }
        }
        Ok(Ok(step))
    }

    fn load(&self, field: Field, way: Way) -> Loaded {
        let port = self.port.to_be_bytes().to_vec();
        match field {
            Field::Meta(MetaKey::L4Proto) => Loaded::Known(vec![UDP]),
            // NFPROTO_IPV4
            Field::Meta(MetaKey::Nfproto) => Loaded::Known(vec![2]),
            Field::Payload {
                base: PayloadBase::Network,
                offset: 9,
                length: 1,
            } => Loaded::Known(vec![UDP]),
            Field::DESTINATION_PORT if way == Way::In => Loaded::Known(port),
            Field::SOURCE_PORT if way == Way::Out => Loaded::Known(port),
            Field::Ct(CtKey::State) => Loaded::CtState(u32::MAX),
            _ => Loaded::Any,
        }
    }

    /// The elements of a set; none if it holds ranges or is gone.
    fn elements(&mut self, netlink: &mut Netlink, set: &str) -> Result<Option<Elements>, NftError> {
        if let Some(known) = self.sets.get(set) {
            return Ok(known.clone());
        }
        let info = netlink.set(self.table, set)?;
        let elements = match info {
            // A longer key has several parts.
            Some(info) if !info.intervals && info.key.length <= 4 => {
                netlink.elements(self.table, set)?
            }
            _ => None,
        };
        let elements: Option<Elements> = elements.map(|elements| {
            let parts = elements.into_iter();
            parts
                .map(|element| (element.key, element.verdict))
                .collect()
        });
        self.sets.insert(set.to_owned(), elements.clone());
        Ok(elements)
    }
}

impl Share {
    fn of(all: bool) -> Self {
        if all { Self::All } else { Self::None }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, _) | (_, Self::None) => Self::None,
            (Self::All, Self::All) => Self::All,
            _ => Self::Some,
        }
    }
}

/// The content of a register, as far as it is the same for all datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Loaded {
    Known(Vec<u8>),
    /// The state of the connection, of which these bits are left.
    CtState(u32),
    Any,
}

impl Loaded {
    fn masked(&self, mask: &[u8], xor: &[u8]) -> Self {
        match self {
            Self::Known(value) if value.len() == mask.len() && value.len() == xor.len() => {
                let bytes = value.iter().zip(mask).zip(xor);
                Self::Known(
                    bytes
                        .map(|((value, mask), xor)| value & mask ^ xor)
                        .collect(),
                )
            }
            Self::CtState(bits) if xor.iter().all(|&byte| byte == 0) => match mask.try_into() {
                Ok(mask) => Self::CtState(bits & u32::from_ne_bytes(mask)),
                Err(_) => Self::Any,
            },
            _ => Self::Any,
        }
    }

    fn compare(&self, operator: Operator, value: &[u8]) -> Share {
        match self {
            Self::Known(known) => {
                // A shorter comparison is one of a prefix, and a longer one of more than is known.
                let Some(known) = known.get(..value.len()) else {
                    return Share::Some;
                };
                match operator {
                    Operator::Equal => Share::of(known == value),
                    Operator::NotEqual => Share::of(known != value),
                    // In network byte order, as ports are.
                    Operator::LessThan => Share::of(known < value),
                    Operator::LessThanEqual => Share::of(known <= value),
                    Operator::GreaterThan => Share::of(known > value),
                    Operator::GreatherThanEqual => Share::of(known >= value),
                    _ => Share::Some,
                }
            }
            // `ct state invalid`
            Self::CtState(bits)
                if *bits & !CT_INVALID == 0 && value.iter().all(|&byte| byte == 0) =>
            {
                match operator {
                    Operator::NotEqual => Share::None,
                    Operator::Equal => Share::All,
                    _ => Share::Some,
                }
            }
            Self::CtState(_) | Self::Any => Share::Some,
        }
    }

    fn is_in(&self, elements: &Elements, inverted: bool) -> Share {
        match self {
            Self::Known(known) => {
                Share::of(elements.iter().any(|(key, _)| is_key(key, known)) != inverted)
            }
            _ => Share::Some,
        }
    }

    /// The verdicts of a map that may be met; none if one of them is not known.
    fn look_up(&self, elements: &Elements) -> (Share, Option<Vec<Verdict>>) {
        let met = elements.iter().filter(|(key, _)| match self {
            Self::Known(known) => is_key(key, known),
            Self::CtState(_) => key.as_slice() != CT_INVALID.to_ne_bytes(),
            Self::Any => true,
        });
        let verdicts: Option<Vec<Verdict>> = met.map(|(_, verdict)| verdict.clone()).collect();
        let share = match (self, &verdicts) {
            (Self::Known(_), Some(verdicts)) => Share::of(!verdicts.is_empty()),
            _ => Share::Some,
        };
        (share, verdicts)
    }
}

/// Whether a set's key is this value; the kernel pads keys.
fn is_key(key: &[u8], value: &[u8]) -> bool {
    key.get(..value.len()) == Some(value) && key[value.len()..].iter().all(|&byte| byte == 0)
}

/// Whether an expression only decides whether the rule goes on.
fn is_match(expression: &Expression) -> bool {
    const MATCHES: [&str; 8] = [
        "limit",
        "quota",
        "connlimit",
        "numgen",
        "hash",
        "osf",
        "socket",
        "rt",
    ];
    matches!(expression, Expression::Other(name) if MATCHES.contains(&name.as_str()))
}

/// The match `udp` of iptables: `struct xt_udp`, two ranges of ports and what is inverted.
fn udp_ports(data: &[u8], way: Way, port: u16) -> Share {
    let Some(&[s0, s1, s2, s3, d0, d1, d2, d3, inverted]) = data.first_chunk::<9>() else {
        return Share::Some;
    };
    let range = |bytes: [u8; 4]| {
        let [a, b, c, d] = bytes;
        u16::from_ne_bytes([a, b])..=u16::from_ne_bytes([c, d])
    };
    let (sources, destinations) = (range([s0, s1, s2, s3]), range([d0, d1, d2, d3]));
    let (own, own_inverted, far, far_inverted) = match way {
        Way::In => (destinations, inverted & 2 != 0, sources, inverted & 1 != 0),
        Way::Out => (sources, inverted & 1 != 0, destinations, inverted & 2 != 0),
    };
    let far = if far == (0..=u16::MAX) && !far_inverted {
        Share::All
    } else {
        Share::Some
    };
    Share::of(own.contains(&port) != own_inverted).and(far)
}

#[cfg(test)]
mod tests;
