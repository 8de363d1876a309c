use super::*;
use crate::nft_program as nft;

/// The verdict on the rules of a script for the service, as `table chain` of the rule found.
fn found(script: &str) -> Option<String> {
    let namespace = teredo_lab::Namespace::new().expect("the tests need root for namespaces");
    let rule = namespace.run(|| {
        nft::run(script);
        Netlink::open().unwrap().unlike_treatment(3544).unwrap()
    });
    let rule = rule.unwrap()?;
    Some(format!("{} {}", rule.table, rule.chain))
}

/// A chain of the input with this policy and these rules.
fn input(policy: &str, rules: &str) -> String {
    format!(
        "table inet t {{ set ports {{ type inet_service ; elements = {{ 22, 3544 }} ; }} ;
         set others {{ type inet_service ; elements = {{ 22, 80 }} ; }} ;
         set bad {{ type ipv4_addr ; elements = {{ 198.51.100.9 }} ; }} ;
         set pairs {{ type inet_service . ipv4_addr ; elements = {{ 3544 . 198.51.100.9 }} ; }} ;
         chain further {{ udp dport 3544 accept ; }} ;
         chain strict {{ ip saddr 198.51.100.9 drop ; }} ;
         chain way {{ type filter hook input priority 0 ; policy {policy} ; {rules} ; }} ; }}"
    )
}

#[track_caller]
fn assert_alike(script: &str) {
    assert_eq!(found(script), None, "{script}");
}

#[track_caller]
fn assert_unlike(script: &str) {
    assert!(found(script).is_some(), "{script}");
}

#[test]
fn all_are_accepted() {
    for (policy, rules) in [
        ("accept", ""),
        ("accept", "tcp dport 22 drop"),
        ("accept", "ip6 saddr 2001:db8::1 drop"),
        ("accept", "udp dport 53 drop"),
        ("accept", "udp dport @others drop"),
        ("accept", "ct state invalid drop"),
        (
            "accept",
            "udp dport 3544 accept ; ip saddr 198.51.100.9 drop",
        ),
        ("accept", "udp dport 3544 counter log prefix \"x\""),
        ("drop", "udp dport 3544 accept"),
        ("drop", "udp dport { 53, 3544 } accept"),
        ("drop", "udp dport @ports accept"),
        ("drop", "ip protocol udp udp dport 3544 accept"),
        ("drop", "udp dport 3000-4000 accept"),
        (
            "drop",
            "ct state established,related accept ; iifname \"lo\" accept ; udp dport 3544 accept",
        ),
        (
            "drop",
            "ct state vmap { established : accept, invalid : drop } ; udp dport 3544 accept",
        ),
        ("drop", "udp dport vmap { 22 : drop, 3544 : accept }"),
        (
            "drop",
            "meta l4proto vmap { tcp : drop, udp : jump further }",
        ),
        ("drop", "jump further"),
        ("drop", "goto further"),
        ("accept", "limit rate 1/second accept"),
    ] {
        assert_alike(&input(policy, rules));
    }
    assert_alike(
        "table ip t { chain way { type filter hook forward priority 0 ; policy drop ; } ; }",
    );
    assert_alike(
        "table ip t { flags dormant ; chain way { type filter hook input priority 0 ; policy drop ; } ; }",
    );
    assert_alike(
        "table ip6 t { chain way { type filter hook input priority 0 ; policy drop ; } ; }",
    );
    assert_alike(
        "table ip t { chain way { type nat hook postrouting priority 100 ; meta l4proto tcp masquerade ; } ; }",
    );
}

#[test]
fn some_may_be_dropped() {
    for (policy, rules) in [
        ("drop", ""),
        ("accept", "ip saddr 198.51.100.9 drop"),
        ("accept", "ip saddr 198.51.100.9 reject"),
        ("accept", "ip saddr @bad drop"),
        ("accept", "udp dport . ip saddr @pairs drop"),
        ("accept", "ct state new drop"),
        ("accept", "ct state vmap { new : drop }"),
        ("accept", "limit rate over 1/second drop"),
        ("accept", "udp dport 3544 ip length 76 drop"),
        ("accept", "udp sport 1-1023 drop"),
        ("accept", "jump strict"),
        ("accept", "goto strict"),
        ("accept", "ip saddr 198.51.100.0/24 jump strict"),
        ("accept", "udp dport vmap { 3544 : jump strict }"),
        ("drop", "udp dport 53 accept"),
        ("drop", "udp dport @others accept"),
        ("drop", "limit rate 1/second accept"),
        ("drop", "ip saddr 198.51.100.0/24 udp dport 3544 accept"),
        (
            "drop",
            "ip saddr 198.51.100.9 return ; udp dport 3544 accept",
        ),
        ("drop", "udp sport 53 udp dport 3544 accept"),
    ] {
        assert_unlike(&input(policy, rules));
    }
    for script in [
        "table ip t { chain way { type filter hook output priority 0 ; policy drop ; udp dport 3544 accept ; } ; }",
        "table ip t { chain way { type filter hook output priority 0 ; ip daddr 198.51.100.9 drop ; } ; }",
        "table ip t { chain way { type filter hook prerouting priority -300 ; ip saddr 198.51.100.9 drop ; } ; }",
        "table ip t { chain way { type nat hook postrouting priority 100 ; masquerade ; } ; }",
        "table ip t { chain way { type nat hook prerouting priority 100 ; udp dport 3544 redirect to 3545 ; } ; }",
        "table ip t { chain way { type filter hook output priority 0 ; udp sport 3544 ip dscp set cs1 ; } ; }",
        "table netdev t { chain way { type filter hook ingress device lo priority 0 ; ip saddr 198.51.100.9 drop ; } ; }",
    ] {
        assert_unlike(script);
    }
}

#[test]
fn the_answers_have_the_port_as_their_source() {
    assert_alike(
        "table ip t { chain way { type filter hook output priority 0 ; policy drop ; udp sport 3544 accept ; } ; }",
    );
}

#[test]
fn the_rule_is_named_as_nft_shows_it() {
    let namespace = teredo_lab::Namespace::new().unwrap();
    let rule = namespace.run(|| {
        nft::run(&input("accept", "counter ; ip saddr 198.51.100.9 drop"));
        Netlink::open().unwrap().unlike_treatment(3544).unwrap()
    });
    let text = rule.unwrap().unwrap().to_string();
    assert!(text.starts_with("inet t way handle "), "{text}");
}
