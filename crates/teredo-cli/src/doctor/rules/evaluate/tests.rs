use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use teredo_nft::{CtKey, Family, KeyType, MetaKey, PayloadBase};

use super::*;
use crate::doctor::rules::packet::{ESTABLISHED, Link, NEW, STRANGER, kinds};

fn link() -> Link {
    Link {
        name: "eth0".into(),
        index: 2,
        group: 0,
        kind: 1,
    }
}

fn packet() -> Packet {
    let here = (Ipv4Addr::new(192, 168, 1, 2), 40_000);
    kinds::to_port(&link(), (STRANGER, 5000), here, NEW)
}

fn table(sets: impl IntoIterator<Item = (&'static str, SetContents)>) -> Table {
    Table {
        name: TableName::new(Family::Inet, "filter"),
        owner: None,
        comment: None,
        dormant: false,
        chains: Vec::new(),
        rules: BTreeMap::new(),
        sets: sets
            .into_iter()
            .map(|(name, set)| (name.to_owned(), set))
            .collect(),
    }
}

fn set(key: KeyType, intervals: bool, elements: Vec<Member>) -> SetContents {
    SetContents {
        key,
        timeouts: false,
        intervals,
        map: false,
        constant: false,
        elements,
    }
}

fn port(port: u16) -> Member {
    Member {
        key: port.to_be_bytes().to_vec(),
        ..Member::default()
    }
}

fn load(field: Field) -> Expression {
    Expression::Load { field, register: 0 }
}

fn is(operator: Operator, value: &[u8]) -> Expression {
    Expression::Compare {
        register: 0,
        operator,
        value: value.to_vec(),
    }
}

fn in_set(name: &str) -> Expression {
    Expression::Lookup {
        register: 0,
        set: name.into(),
        inverted: false,
        value: None,
    }
}

#[track_caller]
fn judge(table: &Table, expressions: Vec<Expression>, packet: &Packet) -> Truth {
    let row = Row {
        handle: 1,
        expressions,
    };
    evaluate(table, &row, &mut packet.clone(), None).0
}

#[test]
fn fields_of_the_packet_are_compared() {
    let none = table([]);
    let cases = [
        (
            Field::DESTINATION_PORT,
            Operator::Equal,
            &40_000_u16.to_be_bytes()[..],
            Truth::Yes,
        ),
        (
            Field::DESTINATION_PORT,
            Operator::Equal,
            &53_u16.to_be_bytes(),
            Truth::No,
        ),
        (
            Field::DESTINATION_PORT,
            Operator::NotEqual,
            &53_u16.to_be_bytes(),
            Truth::Yes,
        ),
        (
            Field::DESTINATION_PORT,
            Operator::GreaterThan,
            &1023_u16.to_be_bytes(),
            Truth::Yes,
        ),
        (
            Field::DESTINATION_PORT,
            Operator::LessThanEqual,
            &1023_u16.to_be_bytes(),
            Truth::No,
        ),
        (
            Field::Meta(MetaKey::L4Proto),
            Operator::Equal,
            &[17],
            Truth::Yes,
        ),
        (
            Field::Meta(MetaKey::Nfproto),
            Operator::Equal,
            &[10],
            Truth::No,
        ),
        // `iifname "eth*"` compares the beginning alone.
        (
            Field::Meta(MetaKey::Iifname),
            Operator::Equal,
            b"eth",
            Truth::Yes,
        ),
        (
            Field::Meta(MetaKey::Iifname),
            Operator::Equal,
            b"eth0\0\0\0\0\0\0\0\0\0\0\0\0",
            Truth::Yes,
        ),
        (
            Field::Meta(MetaKey::Iifname),
            Operator::Equal,
            b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            Truth::No,
        ),
        // Nobody knows the time to live, or what a helper says.
        (
            Field::payload(PayloadBase::Network, 8, 1),
            Operator::Equal,
            &[64],
            Truth::Unknown,
        ),
        (
            Field::Meta(MetaKey::Cpu),
            Operator::Equal,
            &[0; 4],
            Truth::Unknown,
        ),
        // It comes in, so it has no way out.
        (
            Field::Meta(MetaKey::Oif),
            Operator::Equal,
            &2_u32.to_ne_bytes(),
            Truth::No,
        ),
    ];
    for (field, operator, value, expected) in cases {
        let rule = vec![load(field), is(operator, value)];
        assert_eq!(
            judge(&none, rule, &packet()),
            expected,
            "{field:?} {operator:?} {value:?}"
        );
    }
}

#[test]
fn the_state_of_the_connection_is_masked() {
    let none = table([]);
    let rule = |bits: u32| {
        vec![
            load(Field::Ct(CtKey::State)),
            Expression::Mask {
                from: 0,
                to: 0,
                mask: bits.to_ne_bytes().to_vec(),
                xor: vec![0; 4],
            },
            is(Operator::NotEqual, &[0; 4]),
        ]
    };
    let mut answer = packet();
    answer.state = ESTABLISHED;
    assert_eq!(judge(&none, rule(ESTABLISHED | 4), &answer), Truth::Yes);
    assert_eq!(judge(&none, rule(ESTABLISHED | 4), &packet()), Truth::No);
    answer.state = UNTRACKED;
    assert_eq!(judge(&none, rule(ESTABLISHED | 4), &answer), Truth::No);
}

#[test]
fn sets_have_single_elements_and_ranges() {
    let end = |number: u16| Member {
        interval_end: true,
        ..port(number)
    };
    let any = Member::default();
    let ports = KeyType::INET_SERVICE;
    let cases = [
        (set(ports, false, vec![port(22), port(40_000)]), Truth::Yes),
        (set(ports, false, vec![port(22)]), Truth::No),
        // 30000-50000, in any order.
        (
            set(ports, true, vec![end(50_001), end(0), port(30_000)]),
            Truth::Yes,
        ),
        (set(ports, true, vec![port(30_000), end(40_000)]), Truth::No),
        // 30000-65535: no end.
        (set(ports, true, vec![port(30_000)]), Truth::Yes),
        (set(ports, false, vec![port(22), any]), Truth::Yes),
        (set(ports, false, vec![]), Truth::No),
    ];
    for (contents, expected) in cases {
        let described = format!("{contents:?}");
        let table = table([("ports", contents)]);
        let rule = vec![load(Field::DESTINATION_PORT), in_set("ports")];
        assert_eq!(judge(&table, rule, &packet()), expected, "{described}");
    }
    // A set that could not be read.
    let rule = vec![load(Field::DESTINATION_PORT), in_set("gone")];
    assert_eq!(judge(&table([]), rule, &packet()), Truth::Unknown);
}

#[test]
fn parts_of_a_concatenation_have_ranges_of_their_own() {
    let key = KeyType::INET_PROTO.then(KeyType::INET_SERVICE);
    let element = |protocol: u8, from: u16, to: u16| {
        let bytes = |port: u16| {
            let [a, b] = port.to_be_bytes();
            vec![protocol, 0, 0, 0, a, b, 0, 0]
        };
        Member {
            key: bytes(from),
            key_end: Some(bytes(to)),
            ..Member::default()
        }
    };
    let rule = || {
        vec![
            load(Field::Meta(MetaKey::L4Proto)),
            Expression::Load {
                field: Field::DESTINATION_PORT,
                register: 1,
            },
            in_set("pairs"),
        ]
    };
    for (member, expected) in [
        (element(17, 30_000, 50_000), Truth::Yes),
        (element(6, 30_000, 50_000), Truth::No),
        (element(17, 1, 1023), Truth::No),
    ] {
        let table = table([("pairs", set(key, true, vec![member]))]);
        assert_eq!(judge(&table, rule(), &packet()), expected);
    }
}

#[test]
fn a_verdict_map_ends_the_rule() {
    let element = |state: u32, verdict| Member {
        key: state.to_ne_bytes().to_vec(),
        verdict: Some(verdict),
        ..Member::default()
    };
    let states = vec![
        element(ESTABLISHED, Verdict::Accept),
        element(NEW, Verdict::Drop),
    ];
    let table = table([("__map0", set(KeyType::MARK, false, states))]);
    let row = Row {
        handle: 1,
        expressions: vec![
            load(Field::Ct(CtKey::State)),
            Expression::Lookup {
                register: 0,
                set: "__map0".into(),
                inverted: false,
                value: Some(VERDICT_REGISTER),
            },
        ],
    };
    let found = evaluate(&table, &row, &mut packet(), None);
    assert_eq!(found, (Truth::Yes, Some(Effect::Verdict(Verdict::Drop))));
}

/// A port that is only assumed counts in its own set alone.
#[test]
fn a_port_may_be_assumed() {
    let table = table([("ports", set(KeyType::INET_SERVICE, false, vec![]))]);
    let row = Row {
        handle: 1,
        expressions: vec![load(Field::DESTINATION_PORT), in_set("ports")],
    };
    let assumed = |set: &str, port| Assumed {
        table: table.name.clone(),
        set: set.into(),
        port,
    };
    for (assumed, expected) in [
        (assumed("ports", 40_000), Truth::Yes),
        (assumed("ports", 40_001), Truth::No),
        (assumed("others", 40_000), Truth::No),
    ] {
        assert_eq!(
            evaluate(&table, &row, &mut packet(), Some(&assumed)).0,
            expected
        );
    }
}

#[test]
fn a_mark_goes_with_the_packet() {
    let row = Row {
        handle: 1,
        expressions: vec![
            Expression::Constant {
                register: 0,
                value: 7_u32.to_ne_bytes().to_vec(),
            },
            Expression::SetMark { register: 0 },
        ],
    };
    let mut packet = packet();
    evaluate(&table([]), &row, &mut packet, None);
    assert_eq!(packet.mark, Some(7));
    let rule = vec![
        load(Field::Meta(MetaKey::Mark)),
        is(Operator::Equal, &7_u32.to_ne_bytes()),
    ];
    assert_eq!(judge(&table([]), rule, &packet), Truth::Yes);
}

/// An unknown expression makes the rule doubtful, and a match that fails before it decides.
#[test]
fn an_unknown_expression_is_a_doubt() {
    let limit = || Expression::Other("limit".into());
    assert_eq!(judge(&table([]), vec![limit()], &packet()), Truth::Unknown);
    let rule = vec![
        load(Field::Meta(MetaKey::L4Proto)),
        is(Operator::Equal, &[6]),
        limit(),
    ];
    assert_eq!(judge(&table([]), rule, &packet()), Truth::No);
}
