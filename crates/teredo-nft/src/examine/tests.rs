mod programs;

use std::process::Command;

use super::*;
use crate::nft_program as nft;

/// The reason for a ruleset that a script makes in a namespace of its own.
fn found(make: impl FnOnce() + Send) -> Option<String> {
    let namespace = teredo_lab::Namespace::new().expect("the tests need root for namespaces");
    let run = || {
        make();
        let mut netlink = Netlink::open().unwrap().with_limit(1 << 20);
        netlink.examine(&Datagrams::of(40000..=40000)).unwrap()
    };
    let examination = namespace.run(run).unwrap();
    examination.found.map(|rule| rule.expression)
}

/// The same for a rule in the chain `input` of a table of the family `inet`.
fn found_in(rule: &str) -> Option<String> {
    let script = format!(
        "table inet t {{
           set blocked {{ type ipv4_addr; flags dynamic; }}
           set seldom {{ type ipv4_addr; size 16; flags dynamic; limit rate 1/second; }}
           set services {{ type inet_service; flags interval; elements = {{ 1000-2000, 65000-65535 }} }}
           set port {{ type inet_service; elements = {{ 53, 40000 }} }}
           counter counted {{ }}
           quota some {{ over 1 mbytes; }}
           limit slow {{ rate 1/second; }}
           ct timeout patient {{ protocol udp; l3proto ip; policy = {{ replied : 100 }}; }}

           ct expectation more {{ protocol udp; dport 9; timeout 1m; size 12; l3proto ip; }}
           map slowly {{ type inet_service : limit; elements = {{ 40000 : \"slow\" }} }}
           chain quiet {{ limit rate 1/minute return; log prefix \"seen\"; }}
           chain busy {{ limit rate 1/minute return; udp dport 40000 drop; }}
           chain input {{ type filter hook input priority 0; policy accept; {rule}; }}
         }}"
    );
    found(|| nft::run(&script))
}

fn iptables(rules: &'static [&'static str]) -> Option<String> {
    found(|| {
        for rule in rules {
            let mut command = Command::new("iptables-nft");
            let output = command.args(rule.split(' ')).output();
            let output = output.expect("iptables-nft, of the package iptables");
            assert!(output.status.success(), "{rule}: {output:?}");
        }
    })
}

#[test]
fn rules_that_judge_flows_are_no_obstacle() {
    for rule in [
        "udp dport 40000 accept",
        "ip saddr 192.0.2.0/24 udp sport 1-1023 drop",
        "iifname \"eth*\" iif lo meta mark 7 drop",
        "ct state established,related accept",
        "ct state invalid drop",
        "ct mark 7 ct direction original ct zone 0 accept",
        "ip saddr @blocked counter log drop",
        "udp dport 40000 add @blocked { ip saddr }",
        "udp dport 40000 add @blocked { ip saddr counter }",
        "counter name \"counted\" accept",
        "ct timeout set \"patient\"",
        "ct timeout set \"patient\" accept",
        "ct expectation set \"more\"",
        "udp dport vmap { 53 : accept, 40000 : drop }",
        "meta pkttype broadcast drop",
        "fib daddr . iif type != local drop",
        "fib saddr . iif oif missing drop",
        "ip frag-off & 0x1fff != 0 drop",
        "ip option lsrr exists drop",
        "ether type ip drop",
        "meta skuid 0 drop",
        "meta mark set 7",
        "udp dport 40000 last accept",
    ] {
        // nft 1.0.6 does not know `last`.
        if rule.contains("last") {
            continue;
        }
        assert_eq!(found_in(rule), None, "{rule}");
    }
}

#[test]
fn rules_that_judge_packets_are_found() {
    for (rule, expression) in [
        ("limit rate 10/second accept", "limit"),
        (
            "udp dport 40000 limit rate over 1 mbytes/second drop",
            "limit",
        ),
        ("limit rate 10/second meta mark set 7", "limit"),
        ("limit rate 10/second udp dport @port accept", "limit"),
        ("udp dport != @services limit rate 1/second accept", "limit"),
        (
            "meta l4proto { tcp, udp } limit rate 1/second accept",
            "limit",
        ),
        (
            "ip protocol { udp, icmp } limit rate 1/second accept",
            "limit",
        ),
        ("udp dport { 1-41000 } limit rate 1/second accept", "limit"),
        (
            "ct state { established, new } limit rate 1/second accept",
            "limit",
        ),
        ("ct state established limit rate 1/second accept", "limit"),
        ("quota over 10 mbytes drop", "quota"),
        ("quota name \"some\" drop", "a named quota"),
        ("limit name \"slow\" drop", "a named limit"),
        (
            "limit name udp dport map @slowly drop",
            "an object of a map",
        ),
        ("ct expectation set \"more\" drop", "ct expectation"),
        ("numgen random mod 2 0 drop", "numgen"),
        ("symhash mod 2 0 drop", "hash"),
        ("meta length > 1000 drop", "meta length"),
        ("meta random < 1000 drop", "meta random"),
        ("meta hour \"08:00\"-\"17:00\" drop", "meta hour"),
        ("meta time < \"2035-01-01\" drop", "meta time"),
        ("meta hour vmap { \"08:00\"-\"17:00\" : drop }", "meta hour"),
        ("meta cpu 0 drop", "meta cpu"),
        ("ether saddr 02:00:00:00:00:01 drop", "ether saddr"),
        ("ether daddr 02:00:00:00:00:01 drop", "ether daddr"),
        (
            "ether saddr . ip saddr { 02:00:00:00:00:01 . 192.0.2.1 } drop",
            "ether saddr",
        ),
        ("ip length > 1000 drop", "ip length"),
        ("ip ttl < 5 drop", "ip ttl"),
        ("ip id 0 drop", "ip id"),
        ("ip dscp cs1 drop", "ip dscp"),
        ("udp length > 100 drop", "udp length"),
        ("udp checksum 0 drop", "udp checksum"),
        ("@th,64,32 0x20000000 drop", "the contents of the datagram"),
        ("ct bytes > 1000 drop", "ct bytes"),
        ("ct packets > 1000 drop", "ct packets"),
        ("ct expiration < 10s drop", "ct expiration"),
        ("ct count over 2 drop", "ct count"),
        ("ip saddr @seldom drop", "limit of the set 'seldom'"),
        (
            "add @blocked { ip saddr limit rate over 10/second } drop",
            "a limit or quota of a set",
        ),
        ("jump busy", "limit"),
        (
            "limit rate 10/second goto quiet; udp dport 40000 drop",
            "limit",
        ),
        ("udp dport vmap { 53 : accept, 40000 : jump busy }", "limit"),
    ] {
        assert_eq!(found_in(rule).as_deref(), Some(expression), "{rule}");
    }
}

/// The datagrams do not meet it, or it has no effect on them.
#[test]
fn rules_that_do_not_concern_the_datagrams_are_left_out() {
    for rule in [
        "tcp dport 22 limit rate 10/second accept",
        "icmp type echo-request limit rate 10/second accept",
        "meta l4proto { icmp, icmpv6 } limit rate 10/second accept",
        "ip protocol != udp limit rate 10/second accept",
        "limit rate 10/second tcp dport 22 accept",
        "ip6 saddr ::1 limit rate 10/second accept",
        "meta nfproto ipv6 quota over 10 mbytes drop",
        "udp dport 53 limit rate 10/second accept",
        "udp dport { 53, 123 } limit rate 10/second accept",
        "udp dport 1-1023 limit rate 10/second accept",
        "udp dport != 40000 limit rate 10/second accept",
        "udp dport @services limit rate 10/second accept",
        "udp dport != @port limit rate 10/second accept",
        "udp dport vmap { 53 : jump busy, 40000 : accept }",
        "udp dport 53 jump busy",
        "ct state new limit rate 10/second accept",
        "limit rate 5/minute log prefix \"dropped\"",
        "limit rate 5/minute counter",
        "jump quiet",
    ] {
        assert_eq!(found_in(rule), None, "{rule}");
    }
}

#[test]
fn each_hook_of_the_way_is_looked_at_and_no_other() {
    let script = |chain: &str| {
        let (family, rest) = chain.split_once(' ').unwrap();
        format!("table {family} t {{ chain c {{ type {rest}; limit rate 1/second drop; }}; }}")
    };
    for chain in [
        "inet filter hook prerouting priority -300",
        "inet filter hook input priority 0",
        "inet filter hook output priority 0",
        "inet filter hook postrouting priority 0",
        "inet filter hook ingress device lo priority 0",
        "ip filter hook input priority 0",
        "ip route hook output priority 0",
        "netdev filter hook ingress device lo priority 0",
        "netdev filter hook egress device lo priority 0",
        "bridge filter hook input priority 0",
        "bridge filter hook output priority 0",
    ] {
        assert_eq!(
            found(|| nft::run(&script(chain))).as_deref(),
            Some("limit"),
            "{chain}"
        );
    }
    for chain in [
        "inet filter hook forward priority 0",
        "inet nat hook prerouting priority -100",
        "ip nat hook output priority -100",
        "ip6 filter hook input priority 0",
        "arp filter hook input priority 0",
    ] {
        assert_eq!(found(|| nft::run(&script(chain))), None, "{chain}");
    }
    // Chains that nothing leads to, and a table that is asleep.
    let chain = "{ limit rate 1/second drop; }";
    assert_eq!(
        found(|| nft::run(&format!("table ip t {{ chain c {chain}; }}"))),
        None
    );
    let sleeps = "table ip t { flags dormant; chain c { type filter hook input priority 0; limit rate 1/second drop; }; }";
    assert_eq!(found(|| nft::run(sleeps)), None);
}

/// A packet that the kernel carries belongs to another socket than the samples, and to no connection.
#[test]
fn where_the_path_ends_sockets_are_those_of_samples() {
    let found_at = |family: &str, hook: &str, rule: &str| {
        let device = if family == "netdev" { "device lo" } else { "" };
        let chain = format!("type filter hook {hook} {device} priority 0");
        found(|| {
            nft::run(&format!(
                "table {family} t {{ chain c {{ {chain}; {rule} drop; }}; }}"
            ));
        })
    };
    for (family, hook) in [
        ("netdev", "egress"),
        ("bridge", "output"),
        ("bridge", "postrouting"),
    ] {
        for (rule, expression) in [
            ("meta skuid 0", "meta skuid"),
            ("meta skgid != 0", "meta skgid"),
            ("meta cgroup 7", "meta cgroup"),
        ] {
            let found = found_at(family, hook, rule);
            assert_eq!(found.as_deref(), Some(expression), "{family} {hook} {rule}");
        }
        for rule in ["ip daddr 192.0.2.1", "meta mark 7", "udp sport 40000"] {
            assert_eq!(found_at(family, hook, rule), None, "{family} {hook} {rule}");
        }
    }
    assert_eq!(found_at("inet", "output", "meta skuid 0"), None);
}

/// One direction alone, for a caller that has no use for the other.
#[test]
fn a_direction_can_be_left_out() {
    let namespace = teredo_lab::Namespace::new().unwrap();
    namespace
        .run(|| {
            nft::run(
                "table ip t { chain c { type filter hook output priority 0; limit rate 1/second drop; }; }",
            );
            let mut netlink = Netlink::open().unwrap();
            let both = Datagrams::of(1..=9);
            let arriving = Datagrams {
                leave: false,
                ..both.clone()
            };
            assert_eq!(netlink.examine(&arriving).unwrap().found, None);
            let found = netlink.examine(&both).unwrap().found.unwrap();
            assert_eq!(
                found.to_string(),
                "the rule with handle 2 in the chain 'ip t c' judges single packets (limit)"
            );
        })
        .unwrap();
}

#[test]
fn matches_of_iptables_are_known() {
    for rules in [
        &["-A INPUT -p udp --dport 40000 -j ACCEPT"][..],
        &["-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"],
        &["-A INPUT -m state --state ESTABLISHED -j ACCEPT"],
        &["-A INPUT -m mark --mark 7 -j DROP"],
        &["-A INPUT -m addrtype --dst-type BROADCAST -j DROP"],
        &["-A INPUT -p udp -m multiport --dports 53,40000 -j DROP"],
        &["-A INPUT -m iprange --src-range 192.0.2.1-192.0.2.9 -j DROP"],
        &["-A INPUT -m pkttype --pkt-type broadcast -j DROP"],
        &["-A OUTPUT -m owner --uid-owner 0 -j REJECT"],
        &["-t raw -A PREROUTING -m rpfilter --invert -j DROP"],
        &["-t raw -A OUTPUT -p udp -j CT --notrack"],
        &["-t mangle -A OUTPUT -p udp -j MARK --set-mark 7"],
        &["-A INPUT -f -j DROP"],
        &["-A INPUT -m limit --limit 3/min -j LOG --log-prefix seen"],
        &[
            "-A INPUT -p tcp --dport 22 -m recent --set",
            "-A INPUT -p tcp --dport 22 -m recent --update --hitcount 6 -j DROP",
        ],
        &["-A INPUT -p udp --dport 53 -m limit --limit 3/min -j ACCEPT"],
        &["-A INPUT -m conntrack --ctstate NEW -m limit --limit 3/min -j ACCEPT"],
        &["-A FORWARD -m limit --limit 3/min -j ACCEPT"],
        &["-t nat -A POSTROUTING -m statistic --mode random --probability 0.5 -j MASQUERADE"],
    ] {
        assert_eq!(iptables(rules), None, "{rules:?}");
    }
    for (rule, expression) in [
        ("-A INPUT -m limit --limit 3/min -j ACCEPT", "limit"),
        (
            "-A INPUT -m hashlimit --hashlimit-above 9/sec --hashlimit-name a -j DROP",
            "hashlimit of iptables",
        ),
        (
            "-A INPUT -m statistic --mode random --probability 0.5 -j DROP",
            "statistic of iptables",
        ),
        (
            "-A INPUT -m quota --quota 1000 -j ACCEPT",
            "quota of iptables",
        ),
        (
            "-A INPUT -m length --length 1000:2000 -j DROP",
            "length of iptables",
        ),
        (
            "-A INPUT -m mac --mac-source 02:00:00:00:00:01 -j DROP",
            "mac of iptables",
        ),
        ("-A INPUT -m ttl --ttl-lt 5 -j DROP", "ttl of iptables"),
        (
            "-A INPUT -m string --string x --algo bm -j DROP",
            "string of iptables",
        ),
        ("-A INPUT -m u32 --u32 0=0 -j DROP", "u32 of iptables"),
        (
            "-A INPUT -m connbytes --connbytes 9 --connbytes-dir both --connbytes-mode bytes -j DROP",
            "connbytes of iptables",
        ),
        (
            "-A INPUT -m recent --update --hitcount 6 -j DROP",
            "recent of iptables",
        ),
        (
            "-A INPUT -m time --timestart 08:00 -j DROP",
            "time of iptables",
        ),
        (
            "-A INPUT -m connlimit --connlimit-above 2 -j DROP",
            "connlimit of iptables",
        ),
        (
            "-A INPUT -m conntrack --ctexpire 5 -j DROP",
            "conntrack of iptables",
        ),
        ("-A INPUT -m dscp --dscp 8 -j DROP", "dscp of iptables"),
        (
            "-A INPUT -m physdev --physdev-in eth1 -j DROP",
            "physdev of iptables",
        ),
        ("-A INPUT -j NFQUEUE", "NFQUEUE of iptables"),
    ] {
        let rules = vec![rule].leak();
        assert_eq!(iptables(rules).as_deref(), Some(expression), "{rule}");
    }
}

/// Those of `hash:mac` and `hash:ip,mac` have `mac` in their names, too.
#[test]
fn sets_of_ipset_with_addresses_of_the_link_judge_packets() {
    let found_with = |kind: &'static str, dimensions: &'static str| {
        found(|| {
            crate::ipset::tests::create("other", "hash:ip");
            crate::ipset::tests::create("blocked", kind);
            let rule = format!("-A INPUT -m set --match-set blocked {dimensions} -j DROP");
            let mut command = Command::new("iptables-nft");
            let output = command.args(rule.split(' ')).output().unwrap();
            assert!(output.status.success(), "{rule}: {output:?}");
        })
    };
    let reason = Some("addresses of the link in set of iptables");
    assert_eq!(found_with("bitmap:ip,mac", "src,src").as_deref(), reason);
    assert_eq!(found_with("list:set", "src").as_deref(), reason);
    assert_eq!(found_with("hash:ip", "src"), None);
    assert_eq!(found_with("bitmap:ip", "src"), None);
}

#[test]
fn a_ruleset_beyond_the_limit_is_an_error() {
    let namespace = teredo_lab::Namespace::new().unwrap();
    namespace
        .run(|| {
            let rules = "ip saddr 192.0.2.1 drop;".repeat(2000);
            nft::run(&format!(
                "table ip t {{ chain c {{ type filter hook input priority 0; {rules} }}; }}"
            ));
            let datagrams = Datagrams::of(1..=9);
            let mut netlink = Netlink::open().unwrap().with_limit(100_000);
            let error = netlink.examine(&datagrams).unwrap_err();
            assert_eq!(
                error.to_string(),
                "the ruleset takes more than 100000 bytes"
            );
            let mut netlink = Netlink::open().unwrap().with_limit(10_000_000);
            assert_eq!(netlink.examine(&datagrams).unwrap().found, None);
        })
        .unwrap();
}
