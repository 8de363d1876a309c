use super::agent::kind;
use super::*;
use crate::doctor::check::Verdict;
use crate::doctor::seen::Process;
use crate::doctor::tests::{check, healthy};

fn with_trouble(text: &str) -> Seen {
    let mut seen = healthy();
    let gate = &mut seen.status_mut().firewall[0];
    gate.in_sync = false;
    gate.trouble = Some(text.into());
    seen
}

/// The agent's words, as they are in its code.
#[test]
fn the_troubles_of_agents_are_sorted() {
    let cases = [
        (
            "the set 'inet filter p' does not exist; if the name is right, it is created by: nft add set",
            Trouble::Set,
        ),
        (
            "no rule looks in the set 'inet filter p', so it opens nothing: add",
            Trouble::Set,
        ),
        (
            "the chain 'inet filter input' (policy drop) drops what it does not accept, and no datagram for the port has \
          passed it yet; let",
            Trouble::Suspected,
        ),
        (
            "7 datagrams for the port arrived and none passed: a rule of another table",
            Trouble::Lost,
        ),
        (
            "the table 'inet teredo' exists and does not carry this program's mark: it is left",
            Trouble::Table,
        ),
        (
            "it hangs: its last report is 17 s old; restart it",
            Trouble::Hangs,
        ),
        ("not permitted to use nftables", Trouble::Other),
    ];
    for (text, expected) in cases {
        assert_eq!(kind(text), expected, "{text}");
    }
}

/// A port that the rules let through for certain is no trouble, although nothing has come yet.
#[test]
fn a_suspicion_of_the_agent_is_checked_against_the_rules() {
    let seen = with_trouble(
        "the chain 'x' drops what it does not accept, and no datagram for the port has passed it yet; let",
    );
    assert_eq!(check(&seen, id::FIREWALL_PORT).result, Verdict::Ok);
    let lost = with_trouble("7 datagrams for the port arrived and none passed: a rule drops them");
    assert_eq!(check(&lost, id::FIREWALL_PORT).result, Verdict::Fail);
}

#[test]
fn an_agent_that_hangs_ends_or_is_behind_is_named() {
    let mut seen = with_trouble("it hangs: its last report is 17 s old; restart it");
    assert_eq!(check(&seen, id::FIREWALL_AGENT).result, Verdict::Fail);
    let status = seen.status_mut();
    status.firewall.clear();
    status.problems = vec![
        "teredo (pid 7) has ended, and no firewall follows the port: the exception closes".into(),
    ];
    assert!(check(&seen, id::FIREWALL_AGENT).what.contains("has ended"));
    let mut seen = healthy();
    let gate = &mut seen.status_mut().firewall[0];
    (gate.in_sync, gate.sequence) = (false, Some(2));
    let found = check(&seen, id::FIREWALL_AGENT);
    assert_eq!(found.result, Verdict::Warn);
    assert!(
        found.why.contains("state 2") && found.why.contains('3'),
        "{found:?}"
    );
}

#[test]
fn a_stopped_agent_goes_on_by_a_signal() {
    let mut seen = healthy();
    seen.processes = vec![Process {
        pid: 7,
        name: "teredo".into(),
        arguments: ["teredo", "firewall"].map(String::from).to_vec(),
        stopped: true,
        here: Some(true),
        ..Process::default()
    }];
    let found = check(&seen, id::FIREWALL_AGENT);
    assert_eq!(
        (found.result, found.fix.as_str()),
        (Verdict::Fail, "kill -CONT 7")
    );
}

#[test]
fn an_open_inside_is_a_failure_without_the_rules_too() {
    let mut seen = healthy();
    seen.status_mut().protected = Some(false);
    assert_eq!(check(&seen, id::FIREWALL_INSIDE).result, Verdict::Fail);
    (seen.root, seen.rules) = (false, Err("not permitted".into()));
    assert_eq!(check(&seen, id::FIREWALL_INSIDE).result, Verdict::Fail);
    assert_eq!(check(&seen, id::FIREWALL_SHADOWED).result, Verdict::Skip);
}

#[test]
fn lines_of_several_mends_come_once() {
    let lines = ["a\nb", "a\nc"].map(str::to_owned);
    assert_eq!(lines.into_iter().fold(String::new(), together), "a\nb\nc");
}

/// firewalld's panic mode is one cause, with one mend.
#[test]
fn panic_mode_is_turned_off() {
    let mut seen = healthy();
    let rules = seen.rules.as_mut().unwrap();
    let mut table = rules.nftables.tables[0].clone();
    table.name.name = "firewalld_policy_drop".into();
    rules.nftables.tables.push(table);
    let mut checks = [
        Check::fail(
            id::SERVER_BLOCKED,
            "chain 'inet firewalld_policy_drop raw_output'",
        )
        .fix("x"),
        Check::fail(id::SERVER_NAME, "something else").fix("y"),
    ];
    panic::refer(&seen, &mut checks);
    assert_eq!(checks[0].fix, "firewall-cmd --panic-off");
    assert_eq!(checks[1].fix, "y");
}
