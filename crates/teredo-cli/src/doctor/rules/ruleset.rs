//! The whole ruleset of nftables, read at once.

use std::collections::{BTreeMap, BTreeSet};

use teredo_nft::{
    ChainInfo, ElementInfo, Expression, Family, Netlink, NftError, RuleInfo, SetInfo, TableInfo,
    TableName,
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
    pub(crate) info: TableInfo,
    pub(crate) chains: Vec<ChainInfo>,
    /// The rules by chain, in their order.
    pub(crate) rules: BTreeMap<String, Vec<RuleInfo>>,
    pub(crate) sets: BTreeMap<String, SetContents>,
}

/// A set, and its elements if a rule looks in it.
#[derive(Clone, Debug)]
pub(crate) struct SetContents {
    pub(crate) info: SetInfo,
    pub(crate) elements: Vec<ElementInfo>,
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
                let own = own.cloned().collect();
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
        chains: Vec<ChainInfo>,
    ) -> Result<Self, NftError> {
        let mut rules: BTreeMap<String, Vec<RuleInfo>> = BTreeMap::new();
        for rule in netlink.rules(&name, None)?.unwrap_or_default() {
            rules.entry(rule.chain.clone()).or_default().push(rule);
        }
        let expressions = rules.values().flatten().flat_map(|rule| &rule.expressions);
        let used: BTreeSet<&str> = expressions
            .filter_map(|expression| match expression {
                Expression::Lookup { set, .. } => Some(set.as_str()),
                _ => None,
            })
            .collect();
        let mut sets = BTreeMap::new();
        for info in netlink.sets(&name)?.unwrap_or_default() {
            // A set of blocked addresses may be large, so one that no rule looks in is left alone, unless it is one of
            // ports.
            let elements = if used.contains(info.name.as_str()) || info.key.length == 2 {
                netlink.elements(&name, &info.name)?.unwrap_or_default()
            } else {
                Vec::new()
            };
            sets.insert(info.name.clone(), SetContents { info, elements });
        }
        Ok(Self {
            name,
            info,
            chains,
            rules,
            sets,
        })
    }

    /// The rules of a chain.
    pub(crate) fn rules_of(&self, chain: &str) -> &[RuleInfo] {
        self.rules.get(chain).map_or(&[], Vec::as_slice)
    }

    /// The set by its name, unless it is anonymous.
    pub(crate) fn named_set(&self, name: &str) -> Option<&SetContents> {
        self.sets.get(name).filter(|_| !name.starts_with("__"))
    }

    /// Whether a rule looks in the set.
    pub(crate) fn looks_in(&self, set: &str) -> bool {
        let mut rules = self.rules.values().flatten();
        rules.any(|rule| rule.sets.iter().any(|used| used == set))
    }
}
