use serde_json::json;

use super::*;
use crate::doctor::check::Verdict;

fn perimeter(following: bool, in_step: bool) -> Verdict {
    let report = json!({ "following": following, "in_step": in_step, "set": "inet filter s", "endpoints": 2, "trouble": "t" });
    of_perimeter(&report).result
}

#[test]
fn a_perimeter_is_well_if_it_follows_and_the_kernel_has_all() {
    assert_eq!(perimeter(true, true), Verdict::Ok);
    assert_eq!(perimeter(false, true), Verdict::Fail);
    assert_eq!(perimeter(true, false), Verdict::Fail);
}

fn publisher(trouble: Option<&str>, in_sync: bool) -> Check {
    let gate = FirewallStatus {
        trouble: trouble.map(str::to_owned),
        in_sync,
        backend: Some(GATE.to_owned()),
        ..FirewallStatus::default()
    };
    assert!(is_publisher(&gate));
    of_publisher(&gate)
}

#[test]
fn the_trouble_of_a_publisher_is_told_with_the_next_step() {
    assert_eq!(publisher(None, true).result, Verdict::Ok);
    assert_eq!(publisher(None, false).result, Verdict::Warn);
    let missing = publisher(Some("fw1 did not confirm port 4500"), false);
    assert!(
        missing.result == Verdict::Warn && missing.why.contains("fw1") && !missing.fix.is_empty()
    );
    let cut = publisher(Some("there is no connection to the servers"), false);
    assert!(cut.result == Verdict::Fail && !cut.fix.is_empty());
}
