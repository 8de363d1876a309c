//! The whole ruleset of nftables, read at once.

use std::collections::{BTreeMap, BTreeSet};

use teredo_nft::{
    ChainInfo, ElementInfo, Expression, Family, Hook, KeyType, Netlink, NftError, Policy, RuleInfo,
    SetInfo, TableInfo, TableName, Verdict,
};

/// All tables whose rules an IP packet may meet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ruleset {
    pub(crate) tables: Vec<Table>,
}

/// A table and its contents.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: TableName,
    /// The netlink port of the program that owns it.
    pub(crate) owner: Option<u32>,
    pub(crate) comment: Option<String>,
    /// Whether no packet meets its rules.
    pub(crate) dormant: bool,
    pub(crate) chains: Vec<Chain>,
    /// The rules by chain, in their order.
    pub(crate) rules: BTreeMap<String, Vec<Row>>,
    pub(crate) sets: BTreeMap<String, SetContents>,
}

/// A chain, and where it is called if it is a base chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) name: String,
    pub(crate) place: Option<Called>,
}

/// Where a base chain is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Called {
    pub(crate) at: At,
    pub(crate) priority: i32,
    pub(crate) policy: Policy,
}

/// The place on a packet's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Hook(Hook),
    Ingress(Vec<String>),
    Egress(Vec<String>),
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) handle: u64,
    pub(crate) expressions: Vec<Expression>,
}

/// A set, and its elements if a rule looks in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetContents {
    pub(crate) key: KeyType,
    pub(crate) timeouts: bool,
    pub(crate) intervals: bool,
    pub(crate) map: bool,
    pub(crate) constant: bool,
    pub(crate) elements: Vec<Member>,
}

/// An element of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    /// Empty for the one that stands for all others.
    pub(crate) key: Vec<u8>,
    pub(crate) key_end: Option<Vec<u8>>,
    pub(crate) interval_end: bool,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) comment: Option<String>,
    /// Whether it ends by itself.
    pub(crate) leased: bool,
}

const FAMILIES: [Family; 4] = [Family::Inet, Family::Ip, Family::Ip6, Family::Netdev];

impl Ruleset {
    /// Reads it in the network namespace of the calling thread.
    pub(crate) fn read() -> Result<Self, NftError> {
        let mut netlink = Netlink::open()?;
        let mut tables = Vec::new();
        for family in FAMILIES {
            let chains = netlink.chains(family)?;
            for (name, info) in netlink.tables(family)? {
                let own = chains.iter().filter(|chain| chain.table == name.name);
                let own = own.map(Chain::from).collect();
                tables.push(Table::read(&mut netlink, name, info, own)?);
            }
        }
        Ok(Self { tables })
    }

    pub(crate) fn table(&self, name: &TableName) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == *name)
    }
}

impl Table {
    fn read(
        netlink: &mut Netlink,
        name: TableName,
        info: TableInfo,
        chains: Vec<Chain>,
    ) -> Result<Self, NftError> {
        let mut rules: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        for rule in netlink.rules(&name, None)?.unwrap_or_default() {
            let RuleInfo {
                chain,
                handle,
                expressions,
                ..
            } = rule;
            let row = Row {
                handle,
                expressions,
            };
            rules.entry(chain).or_default().push(row);
        }
        let used: BTreeSet<&str> = rules.values().flatten().flat_map(Row::sets).collect();
        let mut sets = BTreeMap::new();
        for info in netlink.sets(&name)?.unwrap_or_default() {
            // A set of blocked addresses may be large, so one that no rule looks in is left alone, unless it is one of
            // ports.
            let elements = if used.contains(info.name.as_str()) || info.key.length == 2 {
                netlink.elements(&name, &info.name)?.unwrap_or_default()
            } else {
                Vec::new()
            };
            let contents = SetContents::new(&info, elements);
            sets.insert(info.name, contents);
        }
        Ok(Self {
            name,
            owner: info.owner,
            comment: info.comment,
            dormant: info.dormant,
            chains,
            rules,
            sets,
        })
    }

    /// The rules of a chain.
    pub(crate) fn rules_of(&self, chain: &str) -> &[Row] {
        self.rules.get(chain).map_or(&[], Vec::as_slice)
    }

    /// The set by its name, unless it is anonymous.
    pub(crate) fn named_set(&self, name: &str) -> Option<&SetContents> {
        self.sets.get(name).filter(|_| !name.starts_with("__"))
    }

    /// Whether a rule looks in the set.
    pub(crate) fn looks_in(&self, set: &str) -> bool {
        let mut rules = self.rules.values().flatten();
        rules.any(|rule| rule.sets().any(|used| used == set))
    }
}

impl Row {
    /// The sets that it looks in.
    pub(crate) fn sets(&self) -> impl Iterator<Item = &str> {
        self.expressions
            .iter()
            .filter_map(|expression| match expression {
                Expression::Lookup { set, .. } => Some(set.as_str()),
                _ => None,
            })
    }
}

impl Chain {
    fn from(info: &ChainInfo) -> Self {
        let of_hook = info.base.as_ref().map(|base| Called {
            at: At::Hook(base.hook),
            priority: base.priority,
            policy: base.policy,
        });
        let of_device = info.device.as_ref().map(|device| Called {
            at: if device.egress {
                At::Egress(device.names.clone())
            } else {
                At::Ingress(device.names.clone())
            },
            priority: device.priority,
            policy: device.policy,
        });
        Self {
            name: info.name.clone(),
            place: of_hook.or(of_device),
        }
    }

    /// Whether it is called at this hook.
    pub(crate) fn is_at(&self, hook: Hook) -> bool {
        self.place
            .as_ref()
            .is_some_and(|place| place.at == At::Hook(hook))
    }
}

impl SetContents {
    fn new(info: &SetInfo, elements: Vec<ElementInfo>) -> Self {
        Self {
            key: info.key,
            timeouts: info.timeouts,
            intervals: info.intervals,
            map: info.map,
            constant: info.constant,
            elements: elements.into_iter().map(Member::from).collect(),
        }
    }
}

impl From<ElementInfo> for Member {
    fn from(info: ElementInfo) -> Self {
        Self {
            leased: info.expires.is_some(),
            key: info.key,
            key_end: info.key_end,
            interval_end: info.interval_end,
            verdict: info.verdict,
            comment: info.comment,
        }
    }
}

impl Member {
    /// The port that the key is, in a set of ports.
    pub(crate) fn port(&self) -> Option<u16> {
        let bytes = <[u8; 2]>::try_from(self.key.as_slice()).ok()?;
        Some(u16::from_be_bytes(bytes))
    }
}
