//! Panic mode of firewalld, which drops everything.

use crate::doctor::check::Check;
use crate::doctor::seen::Seen;

/// The table that firewalld makes for it.
const TABLE: &str = "firewalld_policy_drop";

/// Gives each check that panic mode has spoilt the one mend.
pub(crate) fn refer(seen: &Seen, checks: &mut [Check]) {
    let has_table = |table: &crate::doctor::rules::ruleset::Table| table.name.name == TABLE;
    let is_on = seen
        .rules
        .as_ref()
        .is_ok_and(|rules| rules.nftables.tables.iter().any(has_table));
    if !is_on {
        return;
    }
    for check in checks.iter_mut().filter(|check| check.is_trouble()) {
        let of_table = check.what.contains(TABLE) || check.fix.contains(TABLE);
        if of_table || check.id.starts_with("firewall.") {
            check.why = "firewalld is in panic mode: it drops every packet of this host until that is turned off".into();
            check.fix = "firewall-cmd --panic-off".into();
        }
    }
}
