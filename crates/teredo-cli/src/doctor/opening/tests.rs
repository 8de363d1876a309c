use super::*;

fn place(keeper: Keeper, table: &str, chain: &str) -> Place {
    Place {
        keeper,
        table: table.into(),
        chain: chain.into(),
        end: End::Policy,
    }
}

fn opening(direction: Direction, ipv6: bool) -> Opening {
    Opening {
        direction,
        ipv6,
        nft: "udp dport 5".into(),
        iptables: vec!["-p udp --dport 5".into()],
        ufw: None,
        firewalld: vec![Rich::Port(5, "udp".into())],
    }
}

/// The rule goes into the table and the chain that drop, of the right family.
#[test]
fn a_rule_of_iptables_goes_where_the_drop_is() {
    use Keeper::{Iptables, IptablesLegacy};
    let cases = [
        (Iptables, "ip6 filter", "INPUT", true, "ip6tables -I INPUT"),
        (Iptables, "ip filter", "INPUT", false, "iptables -I INPUT"),
        (
            Iptables,
            "ip6 raw",
            "PREROUTING",
            true,
            "ip6tables -t raw -I PREROUTING",
        ),
        (
            IptablesLegacy,
            "mangle",
            "INPUT",
            true,
            "ip6tables-legacy -t mangle -I INPUT",
        ),
        // A chain of its own is entered from INPUT; raw has no INPUT.
        (
            Iptables,
            "ip filter",
            "my-chain",
            false,
            "iptables -I INPUT",
        ),
        (
            IptablesLegacy,
            "raw",
            "my-chain",
            false,
            "iptables-legacy -t raw -I my-chain",
        ),
    ];
    for (keeper, table, chain, ipv6, head) in cases {
        let commands = opening(Direction::In, ipv6).commands(&place(keeper, table, chain));
        assert_eq!(commands, format!("{head} -p udp --dport 5 -j ACCEPT"));
    }
}

#[test]
fn the_object_of_firewalld_is_that_of_the_chain() {
    for (chain, option) in [
        ("filter_IN_public", "--zone=public "),
        ("filter_IN_my_zone_deny", "--zone=my_zone "),
        (
            "filter_IN_policy_allow-host-ipv6_pre",
            "--policy=allow-host-ipv6 ",
        ),
        ("filter_INPUT", ""),
    ] {
        assert_eq!(object(chain), option);
    }
    let at = |chain| place(Keeper::Firewalld, "inet firewalld", chain);
    let commands = opening(Direction::In, true).commands(&at("filter_IN_public"));
    assert_eq!(
        commands,
        "firewall-cmd --permanent --zone=public --add-port=5/udp\nfirewall-cmd --reload"
    );
    // A rule that denies comes before it.
    let commands = opening(Direction::In, true).commands(&at("filter_IN_public_deny"));
    assert_eq!(
        commands,
        "firewall-cmd --permanent --zone=public \
         --add-rich-rule='rule priority=-100 family=ipv6 port port=5 protocol=udp accept'\nfirewall-cmd --reload"
    );
    // What this host sends passes no zone.
    let commands = opening(Direction::Out, true).commands(&at("filter_OUTPUT"));
    assert!(!commands.contains("--zone"), "{commands}");
    assert!(commands.contains("--policy=teredo-host --add-rich-rule="));
}
