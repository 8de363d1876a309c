//! Whether the rules treat all datagrams of a service alike, from whatever source.
//!
//! The service is a UDP port of this host that anyone may ask. For each chain on the way of a question or an answer, the rules
//! are followed with what is known of the datagram: its protocol, and the service's port, address and interface. If a rule may
//! drop it, redirect it or change it, the verdict may depend on the sender, and the rule is found.
//!
//! ```text
//! base chain ── rule: no datagram meets it ─────────> next rule
//!            ├─ rule: all do, and it accepts ───────> the end: alike
//!            ├─ rule: some do, and it accepts ──────> next rule
//!            └─ rule: all or some do, any effect else: found
//! ```

mod content;
mod service;

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use rustix::io::Errno;

use crate::{
    Expression, Family, Hook, Netlink, NftError, Policy, RuleInfo, TableName, VERDICT_REGISTER,
    Verdict, Xt,
};
use content::{Content, Elements, Registers, Share};
pub use service::Service;
use service::Way;

/// A ruleset with more rules is not followed.
const MOST_RULES: usize = 20_000;

/// The most rules that are followed for one chain of a hook, jumps included.
const MOST_STEPS: usize = 100_000;

/// The kernel's limit of jumps within jumps.
const MOST_JUMPS: usize = 16;

/// The families whose chains a datagram of IPv4 may meet.
const FAMILIES: [Family; 4] = [Family::Ip, Family::Inet, Family::Netdev, Family::Bridge];

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

/// In words, with the names of `nft -a list ruleset`.
impl fmt::Display for UnlikeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            table,
            chain,
            handle,
        } = self;
        match handle {
            Some(handle) => write!(
                f,
                "the rule with handle {handle} in the chain '{table} {chain}'"
            ),
            None => write!(
                f,
                "the policy of the chain '{table} {chain}', because no rule before it accepts all"
            ),
        }
    }
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

/// The end of a chain that treats all alike, or nearly: accepting some early is no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All are accepted.
    Accepted,
    /// Some come to the end.
    Open,
}

impl Netlink {
    /// The first rule that may treat some datagrams to one of these services, or their answers, unlike others to the same one;
    /// none if all are accepted. In doubt a rule is returned.
    ///
    /// # Errors
    ///
    /// Any [`NftError`].
    pub fn unlike_treatment(
        &mut self,
        services: &[Service],
    ) -> Result<Option<UnlikeRule>, NftError> {
        let Some(first) = services.first() else {
            return Ok(None);
        };
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
                let on_way =
                    |chain: &&crate::ChainInfo| chain.table == table.name && way(chain).is_some();
                if info.dormant || !chains.iter().any(|chain| on_way(&chain)) {
                    continue;
                }
                let rules = self.rules(&table, None)?.unwrap_or_default();
                let mut ruleset = Ruleset::new(&table, rules, first);
                for service in services {
                    ruleset.service = service;
                    for chain in chains.iter().filter(on_way) {
                        let Some((way, policy)) = way(chain) else {
                            continue;
                        };
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

/// The way that a base chain is on, with its policy.
fn way(chain: &crate::ChainInfo) -> Option<(Way, Policy)> {
    if let Some(device) = &chain.device {
        let way = if device.egress { Way::Out } else { Way::In };
        return Some((way, device.policy));
    }
    let base = chain.base?;
    match base.hook {
        Hook::Prerouting | Hook::Input => Some((Way::In, base.policy)),
        Hook::Output | Hook::Postrouting => Some((Way::Out, base.policy)),
        // Of a bridge whose ports the host's frames pass; others are not for this host.
        Hook::Forward => None,
    }
}

/// The rules of one table.
struct Ruleset<'a> {
    table: &'a TableName,
    chains: HashMap<String, Vec<RuleInfo>>,
    service: &'a Service,
    count: usize,
    /// The elements of sets; none for those that are not looked up here.
    sets: HashMap<String, Option<Rc<Elements>>>,
}

/// A rule that treats datagrams unlike.
type Followed<T> = Result<T, UnlikeRule>;

impl<'a> Ruleset<'a> {
    fn new(table: &'a TableName, rules: Vec<RuleInfo>, service: &'a Service) -> Self {
        let count = rules.len();
        let mut chains: HashMap<String, Vec<RuleInfo>> = HashMap::new();
        for rule in rules {
            chains.entry(rule.chain.clone()).or_default().push(rule);
        }
        Self {
            table,
            chains,
            service,
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
            let too_many = self.count > MOST_RULES || jumps > MOST_JUMPS || *steps > MOST_STEPS;
            let followed = if too_many {
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
        let mut registers = Registers::default();
        for expression in &rule.expressions {
            let mut verdicts = Vec::new();
            let met = match expression {
                Expression::Load { field, register } => {
                    let content = self.service.content(*field, way, self.table.family);
                    registers.set(*register, field.registers(), content);
                    continue;
                }
                Expression::Fib { register, .. } => {
                    // An interface's name is the longest.
                    registers.set(*register, 4, Content::Any);
                    continue;
                }
                Expression::Constant { register, value } => {
                    let content = Content::Known(value.clone());
                    registers.set(*register, content::registers(value.len()), content);
                    continue;
                }
                Expression::Mask {
                    from,
                    to,
                    mask,
                    xor,
                } => {
                    registers.mask(*from, *to, mask, xor);
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
                } => registers.get(*register).compare(*operator, value),
                Expression::Range {
                    register,
                    inverted,
                    from,
                    to,
                } => registers.get(*register).is_within(from, to, *inverted),
                Expression::Lookup {
                    register,
                    set,
                    inverted,
                    value,
                } => match (value, self.elements(netlink, set)?) {
                    (Some(VERDICT_REGISTER), None) => return unlike,
                    (Some(VERDICT_REGISTER), Some(elements)) => {
                        let key = registers.key(*register, elements.length);
                        let (share, met) = key.look_up(&elements);
                        let Some(met) = met else {
                            return unlike;
                        };
                        verdicts.extend(met);
                        share
                    }
                    (value, elements) => {
                        let share = elements.map_or(Share::Some, |elements| {
                            let key = registers.key(*register, elements.length);
                            key.is_in(&elements, *inverted)
                        });
                        if let Some(value) = value {
                            // Of any length: none that was loaded there or behind it is known any more.
                            registers.set(*value, VERDICT_REGISTER, Content::Any);
                        }
                        share
                    }
                },
                Expression::Verdict(verdict) => {
                    verdicts.push(verdict.clone());
                    Share::All
                }
                Expression::XtMatch(Xt { name, data, .. }) if name == "udp" => {
                    udp_ports(data, way, self.service.port)
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
                    registers.clear();
                    Share::Some
                }
            };
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

    /// The elements of a set; none if they are not looked up here, or it is gone.
    fn elements(
        &mut self,
        netlink: &mut Netlink,
        set: &str,
    ) -> Result<Option<Rc<Elements>>, NftError> {
        if let Some(known) = self.sets.get(set) {
            return Ok(known.clone());
        }
        let info = netlink.set(self.table, set)?;
        let elements = match info {
            Some(info) => {
                let list = netlink.elements(self.table, set)?;
                list.and_then(|list| Elements::new(&info, list))
            }
            None => None,
        };
        let elements = elements.map(Rc::new);
        self.sets.insert(set.to_owned(), elements.clone());
        Ok(elements)
    }
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
