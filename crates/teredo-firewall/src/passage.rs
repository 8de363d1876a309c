//! Whether datagrams for the port get through the chains of others.
//!
//! Two chains of the table `inet teredo` count the new datagrams for the port: one before all other chains of the hook
//! `input`, and one behind them. If the counts differ, other chains dropped datagrams: those of nftables, iptables,
//! firewalld or ufw. Before the first datagram, the ruleset itself says which chains drop what they do not accept.

use std::collections::BTreeSet;

use teredo_nft::{BaseInfo, ChainInfo, Family, Hook, Netlink, NftError, Policy, TableName};

use crate::config::SetPath;
use crate::host::{self, FIREWALLD, FIREWALLD_RELOADS, Ufw, ufw_commands};
use crate::table::{self, ARRIVING, PASSED};

/// After how many lost datagrams in a row a way that was open before counts as closed. One or two may be from a source
/// that the administrator blocks.
const LOST: u64 = 5;

/// The ways through the chains of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ways {
    /// The administrator's set.
    pub(crate) set: Option<SetPath>,
    /// Whether firewalld has opened the port.
    pub(crate) firewalld: bool,
    /// Whether it has its rules in iptables.
    pub(crate) in_iptables: bool,
    pub(crate) ufw: Option<Ufw>,
}

impl Ways {
    /// Whether the rules of that table are made for the port.
    fn lead_through(&self, table: &TableName) -> bool {
        let filter = *table == host::filter(Family::Ip);
        self.set.as_ref().is_some_and(|set| set.table == *table)
            || (self.firewalld && ((filter && self.in_iptables) || is_firewalld(table)))
            || (filter && self.ufw.is_some_and(Ufw::passes))
    }
}

fn is_firewalld(table: &TableName) -> bool {
    [FIREWALLD, FIREWALLD_RELOADS].contains(&table.name.as_str())
}

/// Observations of the datagrams for the port.
#[derive(Debug, Default)]
pub(crate) struct Passage {
    /// The chains of others that drop what they do not accept.
    suspects: Vec<String>,
    /// Whether a rule looks in the administrator's set.
    looked_in: bool,
    ways: Ways,
    /// Whether the three above are as the kernel has them.
    current: bool,
    ports: BTreeSet<u16>,
    arrived: u64,
    passed: u64,
    /// How many arrived and did not pass since the last one that passed.
    lost: u64,
    proven: bool,
}

impl Passage {
    /// Another program changed the ruleset.
    pub(crate) fn doubt(&mut self) {
        self.current = false;
    }

    /// Looks at the kernel, and returns why the port is not open although its exception is in place; none if it is open
    /// as far as can be seen.
    pub(crate) fn look(
        &mut self,
        netlink: &mut Netlink,
        ways: &Ways,
        ports: &BTreeSet<u16>,
    ) -> Result<Option<String>, NftError> {
        if ports.is_empty() {
            return Ok(None);
        }
        if *ports != self.ports {
            (self.proven, self.lost) = (false, 0);
            self.ports.clone_from(ports);
        }
        // A large ruleset takes a while to read, so it is read only when it has changed.
        let set = ways.set.as_ref();
        if !self.current || self.ways != *ways {
            let suspects = suspects(netlink, ways)?;
            if suspects != self.suspects {
                (self.proven, self.lost) = (false, 0);
                self.suspects = suspects;
            }
            self.looked_in = match set {
                Some(set) => is_looked_in(netlink, set)?,
                None => true,
            };
            self.ways.clone_from(ways);
            self.current = true;
        }
        // In this order, so that a datagram that comes in between is not taken for lost.
        let arrived = count(netlink, ARRIVING)?;
        let passed = count(netlink, PASSED)?;
        self.count(arrived, passed);
        if let Some(set) = set
            && !self.looked_in
        {
            return Ok(Some(format!(
                "no rule looks in the set '{set}', so it opens nothing: add 'udp dport @{} accept' to the chain of the \
                 table '{}' that drops",
                set.set, set.table
            )));
        }
        Ok(self.trouble())
    }

    fn count(&mut self, arrived: u64, passed: u64) {
        let anew = arrived < self.arrived || passed < self.passed;
        let (came, went) = if anew {
            // The table was created again, and its counters with it.
            (arrived, passed)
        } else {
            (arrived - self.arrived, passed - self.passed)
        };
        (self.arrived, self.passed) = (arrived, passed);
        if went > 0 {
            (self.proven, self.lost) = (true, 0);
        } else {
            self.lost = self.lost.saturating_add(came);
        }
    }

    fn trouble(&self) -> Option<String> {
        let mend = match self.ways.ufw {
            Some(ufw) if ufw.lacks_line() || !ufw.visible => {
                format!("type once, as root: {}", ufw_commands())
            }
            _ => String::from(
                "let the port through there: give that table a set, a rule 'udp dport @SET accept' and the agent '--set'",
            ),
        };
        let lost = if self.proven { LOST } else { 1 };
        let chains = self.suspects.join(" and ");
        if self.lost >= lost {
            let who = if chains.is_empty() && self.ways.ufw.is_some_and(|ufw| !ufw.visible) {
                "ufw, or another rule of iptables,".to_owned()
            } else if chains.is_empty() {
                "a rule of another table or of iptables".to_owned()
            } else {
                chains
            };
            return Some(format!(
                "{} datagrams for the port arrived and none passed: {who} drops them; {mend}",
                self.lost
            ));
        }
        (!self.proven && !chains.is_empty()).then(|| {
            format!("{chains} drops what it does not accept, and no datagram for the port has passed it yet; {mend}")
        })
    }
}

/// The packets that the rule of a chain of the table has counted.
fn count(netlink: &mut Netlink, chain: &str) -> Result<u64, NftError> {
    let rules = netlink
        .rules(&table::name(), Some(chain))?
        .unwrap_or_default();
    Ok(rules.iter().filter_map(|rule| rule.packets).sum())
}

fn is_looked_in(netlink: &mut Netlink, set: &SetPath) -> Result<bool, NftError> {
    let rules = netlink.rules(&set.table, None)?.unwrap_or_default();
    Ok(rules
        .iter()
        .any(|rule| rule.sets().any(|used| used == set.set)))
}

/// The chains on the way of IPv4 to this host that drop by their policy or at their end, except those of tables whose
/// rules are made for the port.
fn suspects(netlink: &mut Netlink, ways: &Ways) -> Result<Vec<String>, NftError> {
    let mut suspects = Vec::new();
    for family in [Family::Inet, Family::Ip] {
        for ChainInfo {
            table, name, base, ..
        } in netlink.chains(family)?
        {
            let Some(BaseInfo {
                hook: Hook::Input | Hook::Prerouting,
                policy,
                ..
            }) = base
            else {
                continue;
            };
            let path = TableName::new(family, table);
            if path == table::name() || ways.lead_through(&path) {
                continue;
            }
            let is_ufws = path == host::filter(Family::Ip) && ways.ufw.is_some_and(Ufw::lacks_line);
            let owner = if is_ufws { "ufw: " } else { "" };
            if policy == Policy::Drop {
                suspects.push(format!("{owner}the chain '{path} {name}' (policy drop)"));
                continue;
            }
            let rules = netlink.rules(&path, Some(&name))?.unwrap_or_default();
            if rules.iter().any(|rule| rule.drops_everything()) {
                suspects.push(format!("{owner}the chain '{path} {name}'"));
            }
        }
    }
    Ok(suspects)
}

#[cfg(test)]
mod tests;
