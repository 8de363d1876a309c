//! The search for rules that judge single packets of Teredo's datagrams.
//!
//! A path that bypasses the stack shows it samples of a flow, and takes the stack's verdict on them for all packets of the
//! flow. That is right if the rules look at the flow alone. A limit, a quota, a length or the time of day is not the same for
//! the next packet.
//!
//! ```text
//! base chains at the hooks of the way ── rules that the datagrams may meet ── jump ──> further chains
//!                                             │
//!                                             └── an expression that judges packets, and behind it an effect: found
//! ```
//!
//! A rule of which no datagram meets the conditions is left out: another protocol, port or family, or the state `new`. So is
//! one without an effect, such as a limit of logging, and a chain in which no rule has one. Chains of the type `nat` see one
//! packet of each flow.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::RangeInclusive;

use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_netfilter::nftables::{
    ExpressionAttribute, ListAttribute, NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute,
    SetMessage,
};

use crate::ipset::{Ipsets, names_ipset};
use crate::sketch::{Among, Direction, Effects, Key, Sketch, number};
use crate::{
    ChainInfo, ElementInfo, Expression, Family, Hook, Netlink, NftError, SetInfo, TableName,
    Verdict, raw,
};

/// The datagrams of a Teredo node that rules are examined for: UDP over IPv4 from and to ports of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagrams {
    /// The ports of this host.
    pub ports: RangeInclusive<u16>,
    /// Whether those that arrive matter.
    pub arrive: bool,
    /// Whether those that leave matter.
    pub leave: bool,
}

impl Datagrams {
    /// Those of these ports, both ways.
    #[must_use]
    pub fn of(ports: RangeInclusive<u16>) -> Self {
        Self {
            ports,
            arrive: true,
            leave: true,
        }
    }
}

/// The result of [`Netlink::examine`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Examination {
    /// The first rule that judges single packets.
    pub found: Option<JudgingRule>,
    /// Whether there are others that have no effect, or that datagrams do not meet as sets are now. A further rule or element
    /// may change that.
    pub latent: bool,
    /// The generation of the ruleset that was examined.
    pub generation: u32,
}

/// A rule that judges single packets, and not the flow that they belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JudgingRule {
    /// Its table.
    pub table: TableName,
    /// Its chain.
    pub chain: String,
    /// Its number, as `nft -a list chain` shows it.
    pub handle: u64,
    /// The expression, such as `limit`.
    pub expression: String,
}

impl fmt::Display for JudgingRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            table,
            chain,
            handle,
            expression,
        } = self;
        write!(
            f,
            "the rule with handle {handle} in the chain '{table} {chain}' judges single packets ({expression})"
        )
    }
}

/// How often an examination is begun again because the ruleset changed while it ran.
const ATTEMPTS: usize = 3;

/// The families of chains that datagrams over IPv4 may meet.
const FAMILIES: [Family; 4] = [Family::Inet, Family::Ip, Family::Netdev, Family::Bridge];

impl Netlink {
    /// Searches the ruleset for rules that judge single packets of `datagrams`. Call it on a socket [with a
    /// limit](Self::with_limit), in a thread that may wait: a large ruleset takes a while.
    ///
    /// It knows the expressions that judge flows; any other counts as one that judges packets.
    ///
    /// # Errors
    ///
    /// Any [`NftError`]; [`NftError::Unexpected`] if the ruleset changed all the time.
    pub fn examine(&mut self, datagrams: &Datagrams) -> Result<Examination, NftError> {
        for _ in 0..ATTEMPTS {
            let generation = self.generation()?;
            let mut latent = false;
            let found = self.search(datagrams, &mut latent)?;
            if self.generation()? == generation {
                return Ok(Examination {
                    found,
                    latent,
                    generation,
                });
            }
        }
        Err(NftError::Unexpected {
            request: "examine the ruleset".to_owned(),
            reason: format!("the ruleset changed during each of {ATTEMPTS} attempts"),
        })
    }

    fn search(
        &mut self,
        datagrams: &Datagrams,
        latent: &mut bool,
    ) -> Result<Option<JudgingRule>, NftError> {
        let mut ipsets = None;
        for family in FAMILIES {
            let active: HashSet<String> = self
                .tables(family)?
                .into_iter()
                .filter(|(_, info)| !info.dormant)
                .map(|(name, _)| name.name)
                .collect();
            let mut begins: HashMap<String, Vec<(String, Direction)>> = HashMap::new();
            for chain in self.chains(family)? {
                let directions = directions(family, &chain);
                let wanted = directions.filter(|direction| match direction {
                    Direction::In => datagrams.arrive,
                    Direction::Out | Direction::Egress => datagrams.leave,
                });
                for direction in wanted {
                    if active.contains(&chain.table) {
                        let table = begins.entry(chain.table.clone()).or_default();
                        table.push((chain.name.clone(), direction));
                    }
                }
            }
            for (table, begins) in begins {
                let table = TableName::new(family, table);
                let table = Table::read(self, &table, datagrams, &mut ipsets)?;
                *latent |= table.judges();
                let found = table.search(self, begins)?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }
}

/// The directions in which datagrams of this host meet the chain.
fn directions(family: Family, chain: &ChainInfo) -> impl Iterator<Item = Direction> + use<> {
    let direction = if chain.translates {
        None
    } else if let Some(device) = &chain.device {
        Some(match device.egress {
            true => Direction::Egress,
            false => Direction::In,
        })
    } else {
        chain.base.and_then(|base| match base.hook {
            Hook::Prerouting | Hook::Input => Some(Direction::In),
            Hook::Output | Hook::Postrouting => Some(leaving(family)),
            Hook::Forward => None,
        })
    };
    direction.into_iter()
}

/// The direction of datagrams that leave, in a table of this family. The kernel's path bypasses the IP stack, and ends at a
/// device: a bridge is one, so what is carried meets its rules, too.
fn leaving(family: Family) -> Direction {
    match family {
        Family::Netdev | Family::Bridge => Direction::Egress,
        _ => Direction::Out,
    }
}

/// The rules of a table that have an effect on our datagrams.
struct Table<'a> {
    name: &'a TableName,
    datagrams: &'a Datagrams,
    /// By chain and direction, in the order of the chain.
    rules: HashMap<(String, Direction), Vec<(u64, Sketch)>>,
    /// The sets and maps whose keys are ranges.
    intervals: HashSet<String>,
    /// The elements of sets that were looked up.
    elements: HashMap<String, Vec<ElementInfo>>,
}

/// A chain, from the side of one direction.
type Place = (String, Direction);

impl<'a> Table<'a> {
    fn read(
        netlink: &mut Netlink,
        name: &'a TableName,
        datagrams: &'a Datagrams,
        ipsets: &mut Option<Ipsets>,
    ) -> Result<Self, NftError> {
        let attributes = vec![SetAttribute::Table(name.name.clone())];
        let message = NfTablesMessage::GetSet(SetMessage { attributes });
        let sets = netlink.query(name, NLM_F_DUMP, message, |message| match message {
            NfTablesMessage::NewSet(set) => Some((judging_set(&set), SetInfo::from(&set))),
            _ => None,
        })?;
        let (mut stateful, mut intervals) = (HashMap::new(), HashSet::new());
        for (judge, set) in sets.unwrap_or_default() {
            if set.intervals {
                intervals.insert(set.name.clone());
            }
            if let Some(judge) = judge {
                stateful.insert(set.name, judge);
            }
        }

        let leaves = leaving(name.family);
        // Each rule is sketched as it comes, so that a large ruleset takes little memory. Most use no ipset, and a kernel that has
        // none would load it at the first question.
        let names = Cell::new(false);
        let attributes = vec![RuleAttribute::Table(name.name.clone())];
        let message = NfTablesMessage::GetRule(RuleMessage { attributes });
        let sketches = netlink.query_raw(name, NLM_F_DUMP, message, |message| {
            let malformed = || "a malformed rule".to_owned();
            let (chain, handle, expressions) = raw::rule(message).ok_or_else(malformed)?;
            let mut matches = expressions.iter();
            if matches.any(|one| matches!(one, Expression::XtMatch(xt) if names_ipset(xt))) {
                names.set(true);
            }
            let sketch = |direction| {
                let ipsets = ipsets.as_ref();
                let sketch = Sketch::new(&expressions, direction, datagrams, &stateful, ipsets);
                sketch.map(|sketch| (direction, sketch))
            };
            let sketches = [Direction::In, leaves].map(sketch);
            let any = sketches.iter().any(Option::is_some);
            Ok(any.then_some((chain, handle, sketches)))
        })?;
        if names.get() && ipsets.is_none() {
            *ipsets = Some(Ipsets::read(netlink));
            return Self::read(netlink, name, datagrams, ipsets);
        }
        let mut rules: HashMap<Place, Vec<(u64, Sketch)>> = HashMap::new();
        for (chain, handle, sketches) in sketches.unwrap_or_default() {
            for (direction, sketch) in sketches.into_iter().flatten() {
                let place = rules.entry((chain.clone(), direction)).or_default();
                place.push((handle, sketch));
            }
        }
        Ok(Self {
            name,
            datagrams,
            rules,
            intervals,
            elements: HashMap::new(),
        })
    }

    fn judges(&self) -> bool {
        let mut rules = self.rules.values().flatten();
        rules.any(|(_, sketch)| sketch.judged.is_some())
    }

    /// Follows the chains from the base chains, in the order of their rules.
    fn search(
        mut self,
        netlink: &mut Netlink,
        begins: Vec<Place>,
    ) -> Result<Option<JudgingRule>, NftError> {
        let effective = self.effective();
        let mut seen: HashSet<Place> = begins.iter().cloned().collect();
        let mut next = begins;
        while let Some(place) = next.pop() {
            let rules = self.rules.remove(&place).unwrap_or_default();
            for (handle, sketch) in rules {
                if !self.may_meet(netlink, &sketch)? {
                    continue;
                }
                if let Some((expression, behind)) = &sketch.judged
                    && has_effect(behind, &place, &effective)
                {
                    return Ok(Some(JudgingRule {
                        table: self.name.clone(),
                        chain: place.0,
                        handle,
                        expression: expression.clone(),
                    }));
                }
                for chain in self.targets(netlink, &sketch.effects)? {
                    let target = (chain, place.1);
                    if seen.insert(target.clone()) {
                        next.push(target);
                    }
                }
            }
        }
        Ok(None)
    }

    /// The chains in which a rule has an effect of its own, and those that lead to one.
    fn effective(&self) -> HashSet<Place> {
        let mut callers: HashMap<Place, Vec<&Place>> = HashMap::new();
        let mut effective = HashSet::new();
        let mut next = Vec::new();
        for (place, rules) in &self.rules {
            for (_, Sketch { effects, .. }) in rules {
                if let Some(chain) = &effects.chain {
                    callers
                        .entry((chain.clone(), place.1))
                        .or_default()
                        .push(place);
                }
                if effects.own && effective.insert(place.clone()) {
                    next.push(place.clone());
                }
            }
        }
        while let Some(place) = next.pop() {
            for &caller in callers.get(&place).into_iter().flatten() {
                if effective.insert(caller.clone()) {
                    next.push(caller.clone());
                }
            }
        }
        effective
    }

    /// Whether the sets that the rule looks in let a datagram meet it. Only rules that matter are worth the question.
    fn may_meet(&mut self, netlink: &mut Netlink, sketch: &Sketch) -> Result<bool, NftError> {
        let matters = sketch.judged.is_some() || sketch.effects.chain.is_some();
        if !matters {
            return Ok(true);
        }
        for Among { key, set, inverted } in &sketch.lookups {
            let values = key.values(self.datagrams);
            let ranges = self.intervals.contains(set);
            let holds = match contains(self.elements(netlink, set)?, ranges, &values) {
                Contains::None => *inverted,
                Contains::Some => true,
                Contains::All => !*inverted,
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The chains that the rule leads to.
    fn targets(
        &mut self,
        netlink: &mut Netlink,
        effects: &Effects,
    ) -> Result<Vec<String>, NftError> {
        let mut targets: Vec<String> = effects.chain.iter().cloned().collect();
        if let Some((map, key)) = &effects.map {
            let ranges = self.intervals.contains(map);
            let values = key
                .filter(|_| !ranges)
                .map(|key: Key| key.values(self.datagrams));
            for element in self.elements(netlink, map)? {
                let fits = match (&values, number(&element.key)) {
                    (Some(values), Some(key)) => values.contains(&key),
                    _ => true,
                };
                if let Some(Verdict::Jump(chain) | Verdict::Goto(chain)) = &element.verdict
                    && fits
                {
                    targets.push(chain.clone());
                }
            }
        }
        Ok(targets)
    }

    fn elements(&mut self, netlink: &mut Netlink, set: &str) -> Result<&[ElementInfo], NftError> {
        if !self.elements.contains_key(set) {
            let elements = netlink.elements(self.name, set)?.unwrap_or_default();
            self.elements.insert(set.to_owned(), elements);
        }
        Ok(&self.elements[set])
    }
}

/// Whether the effects matter in a chain: `return` does only if a later rule could have had an effect.
fn has_effect(effects: &Effects, place: &Place, effective: &HashSet<Place>) -> bool {
    effects.own
        || (effects.returns && effective.contains(place))
        || effects
            .chain
            .as_ref()
            .is_some_and(|chain| effective.contains(&(chain.clone(), place.1)))
}

/// How many of our values a set has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contains {
    None,
    /// Some, or perhaps.
    Some,
    All,
}

fn contains(elements: &[ElementInfo], ranges: bool, values: &RangeInclusive<u16>) -> Contains {
    let mut bounds = Vec::with_capacity(elements.len());
    for element in elements {
        match number(&element.key) {
            Some(key) if element.key_end.is_none() => bounds.push((key, !element.interval_end)),
            _ => return Contains::Some,
        }
    }
    bounds.sort_unstable();
    let mut any = false;
    let mut bounds = bounds.into_iter().peekable();
    while let Some((from, begins)) = bounds.next() {
        if !begins {
            continue;
        }
        // The end of an interval is no longer in it; the last one may have none.
        let to = match (ranges, bounds.peek()) {
            (false, _) => from,
            (true, Some((end, _))) => end.saturating_sub(1),
            (true, None) => u16::MAX,
        };
        if from <= *values.start() && *values.end() <= to {
            return Contains::All;
        }
        any |= from <= *values.end() && *values.start() <= to;
    }
    match any {
        true => Contains::Some,
        false => Contains::None,
    }
}

/// The condition that the elements of a set have of their own, if it judges single packets.
fn judging_set(set: &SetMessage) -> Option<String> {
    set.attributes.iter().find_map(|attribute| match attribute {
        SetAttribute::Expression(one) => judging_name(one),
        SetAttribute::ListExpressions(list) => {
            let attributes = list.iter().filter_map(|expression| match expression {
                ListAttribute::Element(attributes) => Some(attributes),
                _ => None,
            });
            attributes.flatten().find_map(judging_name)
        }
        _ => None,
    })
}

fn judging_name(attribute: &ExpressionAttribute) -> Option<String> {
    match attribute {
        ExpressionAttribute::Name(name) if !matches!(name.as_str(), "counter" | "last") => {
            Some(name.clone())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
