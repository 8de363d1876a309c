//! The firewall programs of this host that close what the agent opens: firewalld and ufw, as the kernel shows them.

use teredo_nft::{Condition, Family, Netlink, NftError, Policy, RuleInfo, TableName};

use crate::config::Backend;
use crate::table::PASS_MARK;

/// The rules that firewalld and ufw have in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostFirewalls {
    pub(crate) firewalld: bool,
    /// Whether firewalld has its rules in iptables, as older versions do.
    pub(crate) in_iptables: bool,
    pub(crate) ufw: Option<Ufw>,
}

/// ufw's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ufw {
    /// Whether its chains are in nftables. Those of iptables-legacy are not, and the kernel shows them to nobody else.
    pub(crate) visible: bool,
    /// Whether it drops what no rule of its own accepts, as far as can be seen. While it is disabled, it does not.
    pub(crate) closes: bool,
    /// Whether a line of the administrator accepts the packets with the agent's mark.
    pub(crate) passes_ipv4: bool,
    pub(crate) passes_ipv6: bool,
}

impl Ufw {
    /// Whether it is known to drop what the agent opens.
    pub(crate) fn lacks_line(self) -> bool {
        self.closes && !self.passes_ipv4
    }

    /// Whether it passes what the agent marks.
    pub(crate) fn passes(self) -> bool {
        self.closes && self.passes_ipv4
    }
}

/// The place of the line that passes what the agent marks, among ufw's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UfwPlace {
    /// Before the rules of the administrator, so that it has the last word.
    Before,
    /// After them, so that `ufw deny` of a source or an interface has the last word.
    After,
}

/// The commands, one a line, by which an administrator lets ufw pass what the agent marks: IPv6, which is inside the tunnel,
/// and with `ipv4` the port's datagrams, too. They are typed once.
#[must_use]
pub fn ufw_lines(place: UfwPlace, ipv4: bool) -> Vec<String> {
    let place = match place {
        UfwPlace::Before => "before",
        UfwPlace::After => "after",
    };
    let insert = |family: &str| {
        format!(
            "sed -i '/^# End required lines/a -A ufw{family}-{place}-input -m mark --mark {PASS_MARK:#x} -j ACCEPT' \
             /etc/ufw/{place}{family}.rules"
        )
    };
    let of_ipv4 = ipv4.then(|| insert(""));
    let rest = [insert("6"), "ufw reload".to_owned()];
    of_ipv4.into_iter().chain(rest).collect()
}

/// The commands for both families, after the administrator's rules, as one line.
#[must_use]
pub fn ufw_commands() -> String {
    ufw_lines(UfwPlace::After, true).join(" && ")
}

/// Looks for the programs that matter to this backend.
pub(crate) fn find(netlink: &mut Netlink, backend: Backend) -> Result<HostFirewalls, NftError> {
    let mut found = HostFirewalls::default();
    if backend == Backend::Nftables {
        return Ok(found);
    }
    let ipv4 = netlink.chains(Family::Ip)?;
    let in_filter = |name: &str| {
        ipv4.iter()
            .any(|chain| chain.table == FILTER && chain.name == name)
    };
    if backend.includes(Backend::Firewalld) {
        let tables = netlink.chains(Family::Inet)?;
        found.in_iptables = in_filter("INPUT_ZONES");
        found.firewalld = found.in_iptables
            || tables
                .iter()
                .any(|chain| [FIREWALLD, FIREWALLD_RELOADS].contains(&chain.table.as_str()));
    }
    if backend.includes(Backend::Ufw) {
        if in_filter("ufw-before-input") {
            let mut passes = |family, prefix: &str| -> Result<bool, NftError> {
                for position in ["after", "before"] {
                    let chain = format!("{prefix}-{position}-input");
                    let rules = netlink.rules(&filter(family), Some(&chain))?;
                    if rules.unwrap_or_default().iter().any(passes_mark) {
                        return Ok(true);
                    }
                }
                Ok(false)
            };
            let closes = ipv4.iter().any(|chain| {
                let drops = chain.base.is_some_and(|base| base.policy == Policy::Drop);
                chain.table == FILTER && chain.name == "INPUT" && drops
            });
            found.ufw = Some(Ufw {
                visible: true,
                closes,
                passes_ipv4: passes(Family::Ip, "ufw")?,
                passes_ipv6: passes(Family::Ip6, "ufw6")?,
            });
        } else if is_enabled(&std::fs::read_to_string(UFW_CONF).unwrap_or_default()) {
            found.ufw = Some(Ufw {
                visible: false,
                closes: false,
                passes_ipv4: false,
                passes_ipv6: false,
            });
        }
    }
    Ok(found)
}

/// The chains of iptables.
pub(crate) fn filter(family: Family) -> TableName {
    TableName::new(family, FILTER)
}

/// firewalld's table, and the one that drops everything while it loads that one again.
pub(crate) const FIREWALLD: &str = "firewalld";
pub(crate) const FIREWALLD_RELOADS: &str = "firewalld_policy_drop";

const FILTER: &str = "filter";
const UFW_CONF: &str = "/etc/ufw/ufw.conf";

/// Whether it accepts a packet for the agent's mark, and for no other reason.
fn passes_mark(rule: &RuleInfo) -> bool {
    let is_part = |condition: &Condition| {
        matches!(condition, Condition::Family(_) | Condition::Protocol(17))
            || *condition == Condition::Mark(PASS_MARK)
    };
    let conditions = rule.conditions();
    rule.accepts()
        && conditions.contains(&Condition::Mark(PASS_MARK))
        && conditions.iter().all(is_part)
}

/// Whether the text of `ufw.conf` says that ufw loads its rules.
fn is_enabled(conf: &str) -> bool {
    conf.lines().any(|line| {
        let (key, value) = line.split_once('=').unwrap_or_default();
        key.trim() == "ENABLED" && value.trim().trim_matches('"').eq_ignore_ascii_case("yes")
    })
}

#[cfg(test)]
mod tests;
