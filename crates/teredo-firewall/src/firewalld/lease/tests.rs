use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::{FIRST, LAST, Lease, TURNS, Turns, Zones, leases};
use crate::firewalld::{Side, Wish};

fn zones() -> Zones {
    Zones {
        uplinks: BTreeSet::from(["public".to_owned(), "external".to_owned()]),
        tunnels: BTreeMap::from([("teredo".to_owned(), "home".to_owned())]),
    }
}

fn wish() -> Wish {
    Wish {
        ports: BTreeSet::from([40_001, 40_002]),
        discovery: true,
        tunnels: BTreeMap::from([("teredo".to_owned(), Side::Here)]),
        inside: vec!["22/tcp".parse().expect("an exception")],
        ..Wish::default()
    }
}

#[test]
fn each_zone_gets_the_ports_first() {
    let all: Vec<_> = leases(&wish(), &zones()).into_iter().collect();
    let ports = all.iter().map_while(Lease::opens).count();
    assert_eq!(ports, 4, "{all:?}");
    // Two of local discovery in each zone of an uplink, and one inside the tunnel.
    assert_eq!(all.len(), 4 + 2 * 2 + 1);
}

/// F-2: random ports have the same rule as the port, and none without it.
#[test]
fn random_ports_have_leases_of_their_own() {
    let mut wish = wish();
    wish.random = BTreeSet::from([50_001]);
    let all = leases(&wish, &zones());
    let opens = |port| {
        all.iter()
            .filter(|lease| lease.opens() == Some(port))
            .count()
    };
    assert_eq!((opens(40_001), opens(50_001)), (2, 2));
    let rule = Lease::port("public", 50_001);
    assert!(all.contains(&rule));
    assert_eq!(
        Lease::of_rule("public", &rule.rule(FIRST)),
        Some((rule, FIRST))
    );
}

#[test]
fn the_inside_is_open_to_teredo_addresses_alone() {
    let inside = |side| {
        let mut wish = wish();
        wish.tunnels.insert("teredo".to_owned(), side);
        let all = leases(&wish, &zones());
        let rules: Vec<_> = all.iter().filter(|lease| lease.zone == "home").collect();
        assert_eq!(rules.len(), 1);
        rules[0].rule(FIRST)
    };
    assert_eq!(
        inside(Side::Here),
        r#"rule priority="13544" family="ipv6" destination address="2001::/32" port port="22" protocol="tcp" accept"#
    );
    assert!(inside(Side::There).contains(r#"source address="2001::/32""#));
}

#[test]
fn without_a_port_nothing_is_open_outside() {
    let mut wish = wish();
    wish.ports.clear();
    let all = leases(&wish, &zones());
    assert!(all.iter().all(|lease| lease.zone == "home"), "{all:?}");
}

#[test]
fn a_rule_is_known_again_and_an_administrators_is_not() {
    for lease in leases(&wish(), &zones()) {
        let found = Lease::of_rule(&lease.zone, &lease.rule(LAST));
        assert_eq!(found, Some((lease, LAST)));
    }
    for rule in [
        r#"rule family="ipv4" port port="40001" protocol="udp" accept"#,
        r#"rule priority="1" family="ipv4" port port="40001" protocol="udp" accept"#,
        r#"rule priority="13544" family="ipv4" port port="40001" protocol="tcp" accept"#,
        r#"rule priority="13544" family="ipv4" port port="40001" protocol="udp" drop"#,
        r#"rule priority="13544" family="ipv4" source address="192.0.2.1" accept"#,
        r#"rule priority="13560" family="ipv4" port port="40001" protocol="udp" accept"#,
        "",
    ] {
        assert_eq!(Lease::of_rule("public", rule), None, "{rule}");
    }
}

#[tokio::test(start_paused = true)]
async fn rules_take_turns() {
    let mut turns = Turns::default();
    let lease = Duration::from_secs(15);
    let start = Instant::now();
    let mut priorities = BTreeSet::new();
    for turn in 0..TURNS {
        let now = start + lease / 2 * u32::try_from(turn).expect("small");
        let priority = turns.next();
        assert!(priorities.insert(priority), "{priority} is used twice");
        turns.add(priority, now);
        assert!(turns.alive(now, lease).len() <= 3);
    }
    assert_eq!(turns.next(), FIRST);
}
