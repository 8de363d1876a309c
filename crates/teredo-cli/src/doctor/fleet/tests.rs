use serde_json::json;

use super::*;
use crate::doctor::check::Verdict;
use crate::doctor::seen::{Process, Roles, Unanswered, Unit, Units};
use crate::doctor::tests::healthy;

fn perimeter(following: bool, in_step: bool, trouble: Option<&str>) -> Verdict {
    let report = json!({ "following": following, "in_step": in_step, "set": "inet filter s", "endpoints": 2, "trouble": trouble });
    of_perimeter(&report).result
}

#[test]
fn a_perimeter_is_well_if_it_follows_and_the_kernel_has_all() {
    assert_eq!(perimeter(true, true, None), Verdict::Ok);
    assert_eq!(perimeter(false, true, Some("t")), Verdict::Fail);
    assert_eq!(perimeter(true, false, Some("t")), Verdict::Fail);
    // Such as questions that are not heard.
    assert_eq!(perimeter(true, true, Some("t")), Verdict::Warn);
}

/// A host that is refused is closed there, although all is in step.
#[test]
fn a_refused_host_is_told() {
    let report = json!({ "following": true, "in_step": true, "set": "inet filter s", "endpoints": 0, "refused": { "not_granted": 2 } });
    let check = of_perimeter(&report);
    assert!(
        check.result == Verdict::Warn && check.fix.contains("--network"),
        "{check:?}"
    );
}

fn publisher(trouble: Option<&str>, in_sync: bool) -> Check {
    let gate = FirewallStatus {
        trouble: trouble.map(str::to_owned),
        in_sync,
        backend: Some(teredo_notify::types::FLEET_BACKEND.to_owned()),
        ..FirewallStatus::default()
    };
    assert!(gate.is_of_fleet());
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

fn unit(name: &str, active: &str, file: &str) -> Unit {
    Unit {
        name: format!("{name}.service"),
        loaded: "loaded".into(),
        active: active.into(),
        file: file.into(),
        ..Unit::default()
    }
}

fn process(arguments: &[&str]) -> Process {
    Process {
        pid: 99,
        name: "teredo".into(),
        arguments: ["teredo"]
            .iter()
            .chain(arguments)
            .map(|&word| word.to_owned())
            .collect(),
        here: Some(true),
        ..Process::default()
    }
}

fn verdicts(seen: &Seen) -> [Check; 2] {
    judge(seen).try_into().unwrap()
}

#[test]
fn a_publisher_that_is_to_run_and_does_not_is_told() {
    let mut seen = healthy();
    let [publisher, perimeter] = verdicts(&seen);
    assert_eq!(
        (publisher.result, perimeter.result),
        (Verdict::Ok, Verdict::Ok)
    );
    seen.units = Units::Known(vec![unit(PUBLISH, "inactive", "enabled")]);
    let [publisher, _] = verdicts(&seen);
    assert_eq!(publisher.result, Verdict::Fail);
    assert!(
        publisher.fix.contains("systemctl restart teredo-publish"),
        "{}",
        publisher.fix
    );
    seen.processes
        .push(process(&["publish", "--nats", "tls://nats.example"]));
    let [publisher, _] = verdicts(&seen);
    assert!(publisher.result == Verdict::Fail && publisher.why.contains("does not report"));
}

/// The service names a publisher that has ended, also without a unit.
#[test]
fn a_publisher_that_has_ended_is_told() {
    let mut seen = healthy();
    let status = seen.service.status.as_mut().unwrap();
    status.problems =
        vec!["teredo (pid 7) has ended, and the fleet's perimeters learn of no new port: …".into()];
    let [publisher, _] = verdicts(&seen);
    assert_eq!(publisher.result, Verdict::Fail);
    assert!(publisher.why.contains("pid 7") && publisher.fix.contains("teredo publish"));
}

/// The firewall of a fleet is not the agent of this host, and its host needs no client.
#[test]
fn a_perimeter_alone_is_no_client() {
    let mut seen = healthy();
    seen.settings.has = Roles::default();
    seen.service.status = Err(Unanswered::Missing);
    seen.processes = vec![process(&[
        "firewall",
        "--fleet",
        "tls://nats.example",
        "--set",
        "inet filter s",
    ])];
    assert_eq!(seen.roles(), Roles::default());
    let [_, perimeter] = verdicts(&seen);
    assert!(perimeter.result == Verdict::Fail && perimeter.why.contains("perimeter.sock"));
    seen.processes.clear();
    assert!(seen.roles().client);
    seen.units = Units::Known(vec![unit(PERIMETER, "failed", "enabled")]);
    assert!(!seen.roles().client);
    let [_, perimeter] = verdicts(&seen);
    assert!(
        perimeter.fix.contains("systemctl restart teredo-perimeter"),
        "{}",
        perimeter.fix
    );
}
