use super::*;

fn outcome(kind: &'static str, recovery: u64) -> Outcome {
    Outcome {
        episode: 1,
        kind,
        faults: vec![kind.to_owned()],
        began_ms: 1_000,
        lifted_ms: 2_000,
        back_ms: 2_000 + recovery,
        bound_ms: 5_000,
        in_time: true,
    }
}

#[test]
fn kinds_have_counts_percentiles_and_reasons() {
    let outcomes: Vec<Outcome> = (1..=100)
        .map(|recovery| outcome("loss", recovery))
        .chain([outcome(PAIR, 7_000), outcome("client-killed", 400)])
        .collect();
    let found = kinds(&outcomes);
    let names: Vec<_> = found.iter().map(|kind| (kind.kind, kind.count)).collect();
    assert_eq!(names, [("client-killed", 1), ("loss", 100), (PAIR, 1)]);
    let wanted = Recovery {
        p50: 50,
        p99: 99,
        max: 100,
    };
    assert_eq!(found[1].recovery_ms, wanted);
    assert_eq!(found[0].bound_ms, Some(12_000));
    assert!(found[0].reason.is_some());
    assert_eq!(found[2].bound_ms, None);
}

/// The fields that scripts read.
#[test]
fn the_contract_of_a_kind() {
    let json = serde_json::to_value(&kinds(&[outcome("loss", 12)])[0]).unwrap();
    assert_eq!(json["kind"], "loss");
    assert_eq!(json["count"], 1);
    assert_eq!(json["recovery_ms"]["p50"], 12);
    assert_eq!(json["recovery_ms"]["p99"], 12);
}
