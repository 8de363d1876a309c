use std::time::Duration;

use super::*;
use crate::nft_program as nft;
use crate::{Batch, Element, Family, KeyType, Netlink, Set, TableFlags, TableName};

/// Each of the scripts makes such a change, one after the other in one namespace.
fn assert_changes(scripts: &[(&str, RulesetChange)]) {
    let namespace = teredo_lab::Namespace::new().expect("the tests need root for namespaces");
    namespace
        .run(|| {
            let mut transactions = Transactions::open().unwrap();
            for (script, change) in scripts {
                nft::run(script);
                assert_eq!(transactions.read().unwrap(), Some(*change), "{script}");
                assert_eq!(transactions.read().unwrap(), None, "{script}");
            }
        })
        .unwrap();
}

#[test]
fn each_kind_of_change_is_heard() {
    use RulesetChange::{Doubtful, Plain};
    assert_changes(&[
        ("add table inet t", Doubtful),
        (
            "add chain inet t c { type filter hook input priority 0 ; }",
            Plain,
        ),
        ("add chain inet t far", Plain),
        (
            "add set inet t s { type inet_service ; flags timeout ; }",
            Plain,
        ),
        ("add map inet t m { type inet_service : verdict ; }", Plain),
        (
            "add set inet t slow { type ipv4_addr ; limit rate 1/second ; }",
            Doubtful,
        ),
        ("add rule inet t c udp dport 1 drop", Plain),
        ("add rule inet t c ct state established accept", Plain),
        ("insert rule inet t c counter", Plain),
        ("add rule inet t c limit rate 1/second drop", Doubtful),
        ("add rule inet t c ip ttl 1 drop", Doubtful),
        (
            "add rule inet t c ether saddr 02:00:00:00:00:01 drop",
            Doubtful,
        ),
        ("add rule inet t c jump far", Doubtful),
        ("add rule inet t c udp dport vmap @m", Doubtful),
        ("add element inet t s { 1, 2 timeout 10s }", Plain),
        ("delete element inet t s { 1 }", Plain),
        ("add element inet t m { 1 : drop }", Doubtful),
        ("flush set inet t s", Plain),
        ("add counter inet t n", Plain),
        ("flush chain inet t c", Plain),
        ("add table inet t { flags dormant ; }", Doubtful),
        ("delete table inet t", Plain),
        (
            "add table netdev t ; add chain netdev t c { type filter hook egress device lo priority 0 ; }",
            Doubtful,
        ),
        ("add rule netdev t c ip daddr 192.0.2.1 drop", Plain),
        ("add rule netdev t c meta skuid 0 drop", Doubtful),
        (
            "add table bridge t ; add chain bridge t c { type filter hook output priority 0 ; }",
            Doubtful,
        ),
        ("add rule bridge t c ip daddr 192.0.2.1 drop", Plain),
        ("add rule bridge t c meta skuid 0 drop", Doubtful),
    ]);
}

/// As the firewall agent does it every 5 s. The same elements of another set, or others of the same set, are a change.
#[test]
fn a_renewal_of_the_same_elements_is_no_change() {
    let namespace = teredo_lab::Namespace::new().unwrap();
    namespace
        .run(|| {
            let mut netlink = Netlink::open().unwrap();
            let table = TableName::new(Family::Inet, "teredo");
            let lease = |port: u16| Element::port(port).with_timeout(Duration::from_secs(15));
            let mut batch = Batch::new();
            batch.add_table(&table, TableFlags::default());
            for set in ["port", "other"] {
                batch.add_set(
                    &table,
                    &Set::new(set, KeyType::INET_SERVICE).with_timeouts(),
                );
            }
            batch.add_elements(&table, "port", [lease(1), lease(2)]);
            netlink.execute(&batch).unwrap();
            let mut transactions = Transactions::open().unwrap();
            let mut hear = |from: &str, to: &str, elements: Vec<Element>| {
                let mut batch = Batch::new();
                batch
                    .flush_set(&table, from)
                    .add_elements(&table, to, elements);
                netlink.execute(&batch).unwrap();
                transactions.read().unwrap()
            };
            let renewal = Some(RulesetChange::Renewal);
            assert_eq!(hear("port", "port", vec![lease(1), lease(2)]), renewal);
            assert_eq!(hear("port", "port", vec![lease(2), lease(1)]), renewal);
            let plain = Some(RulesetChange::Plain);
            assert_eq!(hear("port", "port", vec![lease(1)]), plain);
            assert_eq!(hear("port", "port", vec![lease(1), lease(3)]), plain);
            assert_eq!(hear("port", "other", vec![lease(1), lease(3)]), plain);
            let named = lease(1).with_comment("other");
            assert_eq!(hear("other", "other", vec![named, lease(3)]), plain);
        })
        .unwrap();
}

/// More announcements than the socket holds.
#[test]
fn a_lost_announcement_is_a_doubt() {
    let namespace = teredo_lab::Namespace::new().unwrap();
    namespace
        .run(|| {
            let mut netlink = Netlink::open().unwrap();
            let table = TableName::new(Family::Inet, "t");
            let mut batch = Batch::new();
            batch
                .add_table(&table, TableFlags::default())
                .add_set(&table, &Set::new("s", KeyType::INET_SERVICE));
            netlink.execute(&batch).unwrap();
            let mut transactions = Transactions::open().unwrap();
            for _ in 0..200 {
                let mut batch = Batch::new();
                let ports = (1..300).map(Element::port);
                batch
                    .flush_set(&table, "s")
                    .add_elements(&table, "s", ports);
                netlink.execute(&batch).unwrap();
            }
            assert_eq!(transactions.read().unwrap(), Some(RulesetChange::Doubtful));
            // The socket goes on behind it.
            let mut batch = Batch::new();
            batch.delete_set(&table, "s");
            netlink.execute(&batch).unwrap();
            assert_eq!(transactions.read().unwrap(), Some(RulesetChange::Plain));
        })
        .unwrap();
}
