use super::*;

const KNOWN: Memory = Memory {
    sequence: 5,
    port: 40_001,
};

fn news(kind: Kind, sequence: u64, port: u16) -> News {
    News {
        kind: Some(kind),
        sequence,
        port,
    }
}

#[test]
fn what_is_in_order_is_right() {
    let nothing = Memory::default();
    for (known, right) in [
        (KNOWN, news(Kind::Change, 6, 40_002)),
        // Intermediate states may be skipped.
        (KNOWN, news(Kind::Change, 9, 40_005)),
        (KNOWN, news(Kind::Delete, 6, 0)),
        (nothing, news(Kind::Add, 1, 40_001)),
    ] {
        assert_eq!(fault(known, &right), None, "{right:?}");
    }
    let first = News {
        kind: None,
        sequence: 1,
        port: 7,
    };
    assert_eq!(fault(KNOWN, &first), None, "another connection");
}

#[test]
fn what_is_out_of_order_is_a_fault() {
    for wrong in [
        news(Kind::Change, 5, 40_002),
        news(Kind::Change, 4, 40_002),
        news(Kind::Change, 6, 40_001),
        news(Kind::Add, 6, 40_002),
        news(Kind::Delete, 6, 40_002),
        news(Kind::Change, 6, 0),
        news(Kind::Initial, 6, 40_002),
    ] {
        assert!(fault(KNOWN, &wrong).is_some(), "{wrong:?}");
    }
}

#[test]
fn replies_are_read() {
    let reply = json!({ "kind": "change", "sequence": 7, "port": 40_001, "more": 1 });
    let (kind, news) = read(&reply, false).unwrap();
    assert_eq!((kind, news.sequence, news.port), (Kind::Change, 7, 40_001));
    assert!(
        read(
            &json!({ "kind": "change", "port": 70_000, "sequence": 1 }),
            false
        )
        .is_none()
    );
    assert!(read(&json!({}), true).is_none());
}
