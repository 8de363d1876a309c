use std::process::Command;

use super::*;
use crate::netns::isolated;

fn iptables(arguments: &str) {
    let mut command = Command::new("iptables-legacy");
    let status = command.args(arguments.split(' ')).status();
    let status = status.expect("iptables-legacy, of the package iptables");
    assert!(status.success(), "{arguments}");
}

#[test]
fn rules_of_iptables_legacy_are_found_and_empty_tables_are_not() {
    isolated(|| {
        assert_eq!(legacy_rules().unwrap(), None);
        iptables("-P INPUT DROP");
        assert_eq!(legacy_rules().unwrap(), None);
        iptables("-t nat -A OUTPUT -j ACCEPT");
        assert_eq!(legacy_rules().unwrap(), None);
        iptables("-t mangle -A INPUT -m limit -j ACCEPT");
        assert_eq!(legacy_rules().unwrap(), Some("mangle"));
        iptables("-A INPUT -j ACCEPT");
        assert_eq!(legacy_rules().unwrap(), Some("filter"));
        iptables("-F INPUT");
        iptables("-t mangle -F");
        assert_eq!(legacy_rules().unwrap(), None);
    });
}
