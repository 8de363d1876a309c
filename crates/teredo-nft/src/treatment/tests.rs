use super::*;
use crate::nft_program as nft;

/// The table of our firewall agent, as a test of it compares it with the kernel's.
const OF_THE_AGENT: &str = include_str!("../../../teredo-firewall/src/table/tests/own_table.nft");

fn service(address: [u8; 4], interface: &str, index: u32) -> Service {
    Service {
        address: address.into(),
        port: 3544,
        interface: interface.to_owned(),
        index,
        group: 0,
    }
}

/// The rule that is found in a script, in words.
fn found_for(services: &[Service], script: &str) -> Option<String> {
    let namespace = teredo_lab::Namespace::new().expect("the tests need root for namespaces");
    let rule = namespace.run(|| {
        nft::run(script);
        Netlink::open().unwrap().unlike_treatment(services).unwrap()
    });
    rule.unwrap().map(|rule| rule.to_string())
}

fn found(script: &str) -> Option<String> {
    found_for(&[service([192, 0, 2, 1], "eth0", 2)], script)
}

/// A chain of the input with this policy and these rules.
fn input(policy: &str, rules: &str) -> String {
    format!(
        "table inet t {{ set ports {{ type inet_service ; elements = {{ 22, 3544 }} ; }} ;
         set others {{ type inet_service ; elements = {{ 22, 80 }} ; }} ;
         set limited {{ type inet_service ; limit rate 1/second ; elements = {{ 3544 }} ; }} ;
         set counted {{ type inet_service ; counter ; elements = {{ 3544 }} ; }} ;
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
        ("drop", "udp dport @counted accept"),
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
        ("drop", "udp dport @limited accept"),
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
fn our_own_address_and_interface_are_known() {
    for (policy, rules) in [
        ("drop", "ip daddr 192.0.2.1 udp dport 3544 accept"),
        ("drop", "ip daddr 192.0.2.0/24 udp dport 3544 accept"),
        ("drop", "ip daddr 192.0.0.0/20 udp dport 3544 accept"),
        ("drop", "ip daddr 192.0.2.1-192.0.2.9 accept"),
        ("drop", "ip daddr { 192.0.2.1, 192.0.2.2 } accept"),
        ("drop", "ip daddr { 192.0.2.0/25, 198.51.100.0/24 } accept"),
        (
            "drop",
            "ip daddr . udp dport { 192.0.2.1 . 3544, 192.0.2.1 . 53 } accept",
        ),
        ("drop", "udp dport { 53, 3000-4000 } accept"),
        (
            "accept",
            "udp dport vmap { 3000-3543 : drop, 3545-4000 : drop }",
        ),
        ("drop", "iifname \"eth0\" udp dport 3544 accept"),
        ("drop", "iifname \"eth*\" udp dport 3544 accept"),
        ("drop", "iifname { \"eth0\", \"wlan0\" } accept"),
        ("drop", "iifname . udp dport { \"eth0\" . 3544 } accept"),
        ("drop", "iifname vmap { \"lo\" : drop, \"eth0\" : accept }"),
        ("drop", "meta iifgroup 0 udp dport 3544 accept"),
        ("accept", "iifname \"tere*\" drop"),
        ("accept", "iifname \"wlan0\" ip saddr 198.51.100.9 drop"),
        ("accept", "iifname != \"eth0\" drop"),
        ("accept", "iif lo ip saddr 198.51.100.9 drop"),
        ("accept", "iifgroup 3544 goto strict"),
        ("accept", "ip daddr 198.51.100.1 drop"),
        ("accept", "ip daddr { 198.51.100.0/24 } goto strict"),
        ("accept", "ip daddr . udp dport { 192.0.2.1 . 53 } drop"),
    ] {
        assert_alike(&input(policy, rules));
    }
    for (policy, rules) in [
        ("drop", "ip daddr 192.0.2.2 udp dport 3544 accept"),
        ("drop", "ip daddr { 192.0.2.2-192.0.2.9 } accept"),
        ("accept", "ip daddr 192.0.2.1 drop"),
        ("accept", "ip daddr { 192.0.2.0/25 } goto strict"),
        (
            "accept",
            "iifname \"eth0\" udp dport 3544 ip saddr 198.51.100.9 drop",
        ),
        ("accept", "iifname \"eth*\" jump strict"),
        ("accept", "iifname vmap { \"eth0\" : jump strict }"),
        ("accept", "udp dport vmap { 3000-4000 : jump strict }"),
        ("accept", "udp dport vmap { 22 : accept, * : jump strict }"),
        ("drop", "iifname \"eth1\" udp dport 3544 accept"),
        // Nothing is known of the way out of what comes in.
        ("drop", "oifname \"eth0\" udp dport 3544 accept"),
        // Source and destination are loaded as one.
        (
            "accept",
            "ip saddr 198.51.100.9 ip daddr 192.0.2.1 udp dport 3544 drop",
        ),
    ] {
        assert_unlike(&input(policy, rules));
    }
    let output = |policy, rules| {
        format!(
            "table ip t {{ chain way {{ type filter hook output priority 0 ; policy {policy} ; {rules} ; }} ; }}"
        )
    };
    assert_alike(&output(
        "drop",
        "oifname \"eth0\" ip saddr 192.0.2.1 udp sport 3544 accept",
    ));
    assert_unlike(&output(
        "drop",
        "oifname \"eth0\" ip saddr 192.0.2.2 udp sport 3544 accept",
    ));
    assert_unlike(&output("accept", "iifname \"eth1\" drop"));
    // A bridge's rules see its ports.
    assert_unlike(
        "table bridge t { chain way { type filter hook input priority 0 ; iifname \"eth1\" drop ; } ; }",
    );
}

#[test]
fn an_interface_is_known_by_its_index() {
    let script = input("drop", "iif lo udp dport 3544 accept");
    let loopback = service([192, 0, 2, 1], "lo", 1);
    assert_eq!(found_for(&[loopback], &script), None);
    assert_unlike(&script);
}

/// Each address and interface is looked at for itself: the kernel answers for all of them, or for none.
#[test]
fn a_rule_must_hold_for_every_service() {
    let both = [
        service([192, 0, 2, 1], "eth0", 2),
        service([192, 0, 2, 129], "eth1", 3),
    ];
    let of_one = "iifname \"eth0\" ip daddr 192.0.2.1 udp dport 3544 accept";
    let of_other = "iifname \"eth1\" ip daddr 192.0.2.129 udp dport 3544 accept";
    let script = input("drop", of_one);
    assert_eq!(found_for(&both[..1], &script), None);
    assert!(found_for(&both, &script).is_some());
    let script = input("drop", &format!("{of_one} ; {of_other}"));
    assert_eq!(found_for(&both, &script), None);
    let script = input("accept", "iifname \"eth1\" ip saddr 198.51.100.9 drop");
    assert_eq!(found_for(&both[..1], &script), None);
    assert!(found_for(&both, &script).is_some());
}

#[test]
fn the_table_of_the_firewall_agent_treats_all_alike() {
    assert_alike(OF_THE_AGENT);
    // The inside of the tunnel is closed.
    let inside = [service([192, 0, 2, 1], "teredo", 7)];
    let found = found_for(&inside, OF_THE_AGENT).unwrap();
    assert!(
        found.ends_with(" in the chain 'inet teredo inside'"),
        "{found}"
    );
}

#[test]
fn the_rule_is_named_in_words() {
    let text = found(&input("accept", "counter ; ip saddr 198.51.100.9 drop")).unwrap();
    let handle = text
        .strip_prefix("the rule with handle ")
        .and_then(|rest| rest.strip_suffix(" in the chain 'inet t way'"));
    let handle = handle.and_then(|handle| handle.parse::<u64>().ok());
    assert!(handle.is_some(), "{text}");
    assert_eq!(
        found(&input("drop", "tcp dport 22 accept")).unwrap(),
        "the policy of the chain 'inet t way', because no rule before it accepts all"
    );
}
