use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use teredo_nft::{Expression, Field, MetaKey, Operator};

use super::*;
use crate::doctor::rules::packet::{Link, NEW, STRANGER, UNTRACKED, kinds};
use crate::doctor::rules::ruleset::{Called, Row};

fn packet() -> Packet {
    let link = Link {
        name: "eth0".into(),
        index: 2,
        group: 0,
        kind: 1,
    };
    let here = (Ipv4Addr::new(192, 168, 1, 2), 40_000);
    kinds::to_port(&link, (STRANGER, 5000), here, NEW)
}

fn verdict(verdict: Verdict) -> Expression {
    Expression::Verdict(verdict)
}

fn udp() -> [Expression; 2] {
    [
        Expression::Load {
            field: Field::Meta(MetaKey::L4Proto),
            register: 0,
        },
        Expression::Compare {
            register: 0,
            operator: Operator::Equal,
            value: vec![17],
        },
    ]
}

fn limit() -> Expression {
    Expression::Other("limit".into())
}

/// Chains with their hook, priority and policy, and their rules.
type Chains<'a> = &'a [(&'a str, Option<(Hook, i32, Policy)>, Vec<Vec<Expression>>)];

fn table(name: &str, chains: Chains<'_>) -> Table {
    let mut rules = BTreeMap::new();
    let mut own = Vec::new();
    for (chain, place, contents) in chains {
        own.push(Chain {
            name: (*chain).into(),
            place: place.map(|(hook, priority, policy)| Called {
                at: At::Hook(hook),
                priority,
                policy,
            }),
        });
        let rows = contents.iter().enumerate().map(|(index, expressions)| Row {
            handle: index as u64,
            expressions: expressions.clone(),
        });
        rules.insert((*chain).to_owned(), rows.collect());
    }
    Table {
        name: TableName::new(Family::Inet, name),
        owner: None,
        comment: None,
        dormant: false,
        chains: own,
        rules,
        sets: BTreeMap::new(),
    }
}

fn fate(tables: Vec<Table>) -> Fate {
    let rules = Rules {
        nftables: Ruleset { tables },
        legacy: Legacy::default(),
    };
    rules.follow(&packet(), None)
}

const INPUT: Option<(Hook, i32, Policy)> = Some((Hook::Input, 0, Policy::Drop));

#[test]
fn a_policy_drops_what_no_rule_accepts() {
    let Fate::Dropped(place) = fate(vec![table("filter", &[("input", INPUT, vec![])])]) else {
        panic!("it passes");
    };
    assert_eq!(
        place.to_string(),
        "chain 'inet filter input': its policy is drop"
    );
    let accept = vec![[&udp()[..], &[verdict(Verdict::Accept)]].concat()];
    assert_eq!(
        fate(vec![table("filter", &[("input", INPUT, accept)])]),
        Fate::Passes
    );
}

/// An accept ends its own chain alone; a drop is final.
#[test]
fn an_accept_does_not_override_the_drop_of_another_table() {
    let accept = table(
        "teredo",
        &[(
            "input",
            Some((Hook::Input, -10, Policy::Accept)),
            vec![vec![verdict(Verdict::Accept)]],
        )],
    );
    let drop = table("filter", &[("input", INPUT, vec![])]);
    for tables in [vec![accept.clone(), drop.clone()], vec![drop, accept]] {
        assert!(matches!(fate(tables), Fate::Dropped(place) if place.table == "inet filter"));
    }
}

#[test]
fn the_first_chain_that_drops_is_named() {
    let at = |hook, priority| Some((hook, priority, Policy::Drop));
    let late = table("late", &[("input", at(Hook::Input, 50), vec![])]);
    let early = table("early", &[("input", at(Hook::Input, -50), vec![])]);
    let first = table("first", &[("pre", at(Hook::Prerouting, 300), vec![])]);
    let fate = fate(vec![late, early, first]);
    assert!(
        matches!(&fate, Fate::Dropped(place) if place.table == "inet first"),
        "{fate:?}"
    );
}

#[test]
fn a_dormant_table_does_nothing() {
    let mut asleep = table("filter", &[("input", INPUT, vec![])]);
    asleep.dormant = true;
    assert_eq!(fate(vec![asleep]), Fate::Passes);
}

#[test]
fn jumps_come_back_and_gotos_do_not() {
    let to = |verdict| vec![vec![verdict], vec![Expression::Verdict(Verdict::Accept)]];
    let jump = to(verdict(Verdict::Jump("own".into())));
    let goto = to(verdict(Verdict::Goto("own".into())));
    let with = |rules| table("filter", &[("input", INPUT, rules), ("own", None, vec![])]);
    assert_eq!(fate(vec![with(jump)]), Fate::Passes);
    // To the policy.
    assert!(matches!(fate(vec![with(goto)]), Fate::Dropped(_)));
}

#[test]
fn a_doubt_is_no_certainty() {
    let accept = vec![vec![limit(), verdict(Verdict::Accept)]];
    assert!(matches!(
        fate(vec![table("filter", &[("input", INPUT, accept)])]),
        Fate::Doubtful(_)
    ));
    let open = Some((Hook::Input, 0, Policy::Accept));
    let drop = vec![vec![limit(), verdict(Verdict::Drop)]];
    assert!(matches!(
        fate(vec![table("filter", &[("input", open, drop)])]),
        Fate::Doubtful(_)
    ));
    // A jump that may not be taken decides nothing for certain.
    let jump = vec![vec![limit(), verdict(Verdict::Jump("own".into()))]];
    let tables = vec![table(
        "filter",
        &[
            ("input", open, jump),
            ("own", None, vec![vec![verdict(Verdict::Drop)]]),
        ],
    )];
    assert!(matches!(fate(tables), Fate::Doubtful(place) if place.chain == "own"));
}

/// Chains that call each other come to an end.
#[test]
fn a_circle_ends() {
    let jump = |to: &str| vec![vec![verdict(Verdict::Jump(to.into()))]];
    let tables = vec![table(
        "filter",
        &[
            ("input", Some((Hook::Input, 0, Policy::Accept)), jump("one")),
            ("one", None, jump("other")),
            ("other", None, jump("one")),
        ],
    )];
    assert_eq!(fate(tables), Fate::Passes);
}

#[test]
fn an_untracked_packet_is_no_answer() {
    let raw = table(
        "raw",
        &[(
            "pre",
            Some((Hook::Prerouting, -300, Policy::Accept)),
            vec![vec![Expression::Neutral("notrack".into())]],
        )],
    );
    let untracked = vec![vec![
        Expression::Load {
            field: Field::Ct(teredo_nft::CtKey::State),
            register: 0,
        },
        Expression::Compare {
            register: 0,
            operator: Operator::Equal,
            value: UNTRACKED.to_ne_bytes().to_vec(),
        },
        verdict(Verdict::Drop),
    ]];
    let filter = table(
        "filter",
        &[("input", Some((Hook::Input, 0, Policy::Accept)), untracked)],
    );
    assert_eq!(fate(vec![filter.clone()]), Fate::Passes);
    assert!(matches!(fate(vec![raw, filter]), Fate::Dropped(_)));
}

/// A translation is decided on once, so answers do not meet it.
#[test]
fn a_translation_takes_new_packets_alone() {
    let elsewhere = vec![vec![Expression::Other("nat".into())]];
    let hook = Some((Hook::Prerouting, -100, Policy::Accept));
    let rules = Rules {
        nftables: Ruleset {
            tables: vec![table("nat", &[("pre", hook, elsewhere)])],
        },
        legacy: Legacy::default(),
    };
    let Fate::Dropped(place) = rules.follow(&packet(), None) else {
        panic!("it passes");
    };
    assert!(
        place.to_string().ends_with("which sends them elsewhere"),
        "{place}"
    );
    let mut answer = packet();
    answer.state = crate::doctor::rules::packet::ESTABLISHED;
    assert_eq!(rules.follow(&answer, None), Fate::Passes);
}

#[test]
fn a_rule_is_shown_in_the_words_of_nft() {
    let drop = vec![
        [
            &udp()[..],
            &[
                Expression::Load {
                    field: Field::DESTINATION_PORT,
                    register: 0,
                },
                Expression::Compare {
                    register: 0,
                    operator: Operator::Equal,
                    value: 40_000_u16.to_be_bytes().to_vec(),
                },
                Expression::Neutral("counter".into()),
                verdict(Verdict::Drop),
            ],
        ]
        .concat(),
    ];
    let Fate::Dropped(place) = fate(vec![table("filter", &[("input", INPUT, drop)])]) else {
        panic!("it passes");
    };
    assert_eq!(
        place.to_string(),
        "chain 'inet filter input': rule 'udp dport 40000 drop' (handle 0)"
    );
}

#[test]
fn keepers_are_known_by_their_names() {
    let of = |family, name: &str, chains: &[&str]| {
        let mut table = table(name, &[]);
        table.name = TableName::new(family, name);
        table.chains = chains
            .iter()
            .map(|chain| Chain {
                name: (*chain).into(),
                place: Some(Called {
                    at: At::Hook(Hook::Input),
                    priority: 0,
                    policy: Policy::Accept,
                }),
            })
            .collect();
        keeper(&table)
    };
    assert_eq!(of(Family::Inet, "firewalld", &[]), Keeper::Firewalld);
    assert_eq!(of(Family::Ip, "filter", &["INPUT"]), Keeper::Iptables);
    assert_eq!(
        of(Family::Ip, "filter", &["INPUT", "ufw-user-input"]),
        Keeper::Ufw
    );
    assert_eq!(of(Family::Ip, "filter", &["input"]), Keeper::Administrator);
    assert_eq!(
        of(Family::Inet, "filter", &["INPUT"]),
        Keeper::Administrator
    );
    assert_eq!(of(Family::Inet, "teredo", &[]), Keeper::Teredo);
}
