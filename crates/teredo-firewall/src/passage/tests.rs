use super::*;
use crate::nft_program as nft;
use crate::testing::Namespace;

fn passage(proven: bool, suspects: &[&str]) -> Passage {
    Passage {
        suspects: suspects.iter().map(|&name| name.to_owned()).collect(),
        proven,
        ..Passage::default()
    }
}

/// A datagram that arrives and does not pass was dropped; one that passes proves the way open.
#[test]
fn a_difference_between_the_counters_is_a_loss() {
    let mut seen = passage(false, &[]);
    assert_eq!(seen.trouble(), None);
    seen.count(3, 0);
    let trouble = seen.trouble().unwrap();
    assert!(
        trouble.starts_with("3 datagrams for the port arrived and none passed"),
        "{trouble}"
    );
    seen.count(4, 1);
    assert_eq!(seen.trouble(), None);
    // A source that the administrator blocks.
    seen.count(8, 1);
    assert_eq!(seen.trouble(), None);
    seen.count(9, 1);
    assert!(seen.trouble().is_some());
    // The table was created again, and its counters with it.
    seen.count(1, 1);
    assert_eq!(seen.trouble(), None);
}

/// A chain that drops what it does not accept is under suspicion until a datagram has passed.
#[test]
fn a_chain_that_drops_is_named_until_a_datagram_has_passed() {
    let mut seen = passage(false, &["the chain 'inet other in' (policy drop)"]);
    let trouble = seen.trouble().unwrap();
    assert!(
        trouble.contains("'inet other in' (policy drop)"),
        "{trouble}"
    );
    seen.count(1, 1);
    assert_eq!(seen.trouble(), None);
}

/// The kernel's own ruleset shows which chains drop: by policy, or by a last rule, as in firewalld.
#[test]
fn chains_that_drop_what_they_do_not_accept_are_found() {
    Namespace::new().run(|| {
        nft::run(
            "table inet strict { chain in { type filter hook input priority 0; policy drop; }; }
             table ip filter { chain INPUT { type filter hook input priority 0; policy drop; }; }
             table inet firewalld { chain filter_INPUT {
                type filter hook input priority 10; policy accept;
                ct state established,related accept
                tcp dport 22 accept
                counter reject with icmpx admin-prohibited
             }; }
             table inet harmless {
                chain in { type filter hook input priority 0; tcp dport 23 drop; }
                chain out { type filter hook output priority 0; policy drop; }
                chain regular { drop; }
             }
             table inet mine { set ports { type inet_service; };
                chain in { type filter hook input priority 0; policy drop; udp dport @ports accept; }; }",
        );
        let mut netlink = Netlink::open().unwrap();
        let set: SetPath = "inet mine ports".parse().unwrap();
        let ways = Ways {
            set: Some(set.clone()),
            ..Ways::default()
        };
        let mut found = suspects(&mut netlink, &ways).unwrap();
        found.sort();
        assert_eq!(
            found,
            [
                "the chain 'inet firewalld filter_INPUT'",
                "the chain 'inet strict in' (policy drop)",
                "the chain 'ip filter INPUT' (policy drop)",
            ]
        );
        // The rules of firewalld and ufw have been made to fit.
        let ufw = |passes_ipv4| Ufw {
            visible: true,
            closes: true,
            passes_ipv4,
            passes_ipv6: false,
        };
        let mut ways = Ways {
            firewalld: true,
            ufw: Some(ufw(false)),
            ..ways
        };
        let mut found = suspects(&mut netlink, &ways).unwrap();
        found.sort();
        assert_eq!(
            found,
            [
                "the chain 'inet strict in' (policy drop)",
                "ufw: the chain 'ip filter INPUT' (policy drop)",
            ]
        );
        ways.ufw = Some(ufw(true));
        let found = suspects(&mut netlink, &ways).unwrap();
        assert_eq!(found, ["the chain 'inet strict in' (policy drop)"]);
        assert!(is_looked_in(&mut netlink, &set).unwrap());
        assert!(!is_looked_in(&mut netlink, &"inet strict ports".parse().unwrap()).unwrap());
    });
}
