//! The administrator's set: filled with the port, put right, and refused if it is unfit.

use std::time::Instant;

use serde_json::Value;

use crate::ruleset::agent_fails;
use crate::world::*;

/// N-16: the administrator's set is filled again within a second of its return, however it went, and the tunnel
/// comes through.
#[test]
fn a_set_that_returns_is_filled_within_a_second() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    // It need not be there at the start either.
    let agent = world.agent(&host, &["--set", SET]);
    let alice = world.client(&host, &[]);
    let port = [u64::from(alice.qualified().port)];
    agent
        .wait_for_line("waits for its set", SECOND * 5)
        .unwrap();

    let reload = format!("flush ruleset; {DEFAULT_DROP}");
    let returns = |how: &str| {
        nft(&host, how);
        let returned = Instant::now();
        eventually(SECOND, "the port in the set", || open_ports(&host) == port);
        assert!(
            returned.elapsed() < SECOND,
            "after {how}: {:?}",
            returned.elapsed()
        );
    };
    returns(DEFAULT_DROP);
    // In one transaction, as `nft -f` does it, several times in a row.
    for _ in 0..10 {
        nft(&host, &reload);
    }
    returns(&reload);
    // Gone for a while: until the agent has noticed.
    nft(&host, "flush ruleset");
    alice.until(SECOND, "an agent without its set", |status| {
        status.firewall.iter().any(|gate| gate.trouble.is_some())
    });
    returns(DEFAULT_DROP);
    nft(&host, "delete table inet filter");
    returns(DEFAULT_DROP);

    alice.until(SECOND, "a firewall in step", |status| {
        status.firewall.iter().any(|gate| gate.in_sync)
    });
    // One may have met the rules in the moment before the set was filled.
    let before = counted(&host, "dropped_out");
    let next = alice.connect().rebind(None).unwrap();
    assert!(next.settled);
    assert_eq!(open_ports(&host), [u64::from(next.port)]);
    alice.qualified();
    assert_eq!(counted(&host, "dropped_out"), before);
}

/// F-2: of its own, the set holds the port and nothing else, whatever others take out of it; what they put there stays.
#[test]
fn what_others_do_to_the_set_is_put_right_within_a_second() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    nft(&host, DEFAULT_DROP);
    nft(&host, &format!("add element {SET} {{ 22, 443 }}"));
    let agent = world.agent(&host, &["--set", SET]);
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    let is_right = |port: u16| {
        let elements = elements(&host, SET).unwrap();
        let own = |element: &&Value| element["elem"]["comment"] == "teredo";
        let own: Vec<_> = elements.iter().filter(own).collect();
        let foreign = open_ports(&host);
        own.len() == 1
            && own[0]["elem"]["val"] == port
            && own[0]["elem"]["timeout"] == 15
            && [22, 443].iter().all(|port| foreign.contains(port))
    };
    assert!(is_right(port));
    for foreign in [
        format!("add element {SET} {{ 9 }}"),
        format!("add element {SET} {{ 53 timeout 1h, 123, 1900 }}"),
        format!("delete element {SET} {{ {port} }}"),
        format!("flush set {SET}; add element {SET} {{ 22, 443 }}"),
        // The agent's mark, but it would outlive the agent.
        format!(
            "delete element {SET} {{ {port} }}; add element {SET} {{ {port} comment \"teredo\" }}"
        ),
        format!(
            "delete element {SET} {{ {port} }}; add element {SET} {{ {port} timeout 1d comment \"teredo\" }}"
        ),
        format!("add element {SET} {{ 4444 timeout 1d comment \"teredo\" }}"),
    ] {
        nft(&host, &foreign);
        let what = format!("the set put right after '{foreign}'");
        eventually(SECOND, &what, || is_right(port));
    }
    alice.qualified();
    nft(&host, &format!("add element {SET} {{ 53 }}"));
    agent.terminate(SECOND).unwrap();
    let mut left = open_ports(&host);
    left.sort_unstable();
    assert_eq!(left, [22, 53, 443], "the agent took its own and no other");
}

/// A set that cannot do what it is for is refused with the reason and the way out, and nothing is left behind.
#[test]
fn an_unfit_set_is_refused_with_the_reason() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let instead = "it must be declared as '{ type inet_service; flags timeout; }'";
    for (declaration, reason) in [
        (
            "set inet filter unfit { type ipv4_addr; flags timeout; }",
            "is not of type inet_service",
        ),
        (
            "set inet filter unfit { type inet_service . ipv4_addr; flags timeout; }",
            "is not of type inet_service",
        ),
        (
            "set inet filter unfit { type inet_service; flags interval, timeout; }",
            "has the flag interval",
        ),
        (
            "set inet filter unfit { type inet_service; flags constant; elements = { 9 }; }",
            "has the flag constant",
        ),
        (
            "map inet filter unfit { type inet_service : ipv4_addr; }",
            "is a map",
        ),
    ] {
        nft(
            &host,
            &format!("flush ruleset; add table inet filter; add {declaration}"),
        );
        let line =
            format!("the firewall cannot follow the port: the set 'inet filter unfit' {reason}");
        let hint = "\nhint: replace it: 'nft delete set inet filter unfit'";
        agent_fails(
            &host,
            &["--set", "inet filter unfit"],
            1,
            &[&line, instead, hint],
        );
        assert!(
            nft_json(&host, "chain inet teredo inside").is_none(),
            "after {declaration}"
        );
    }
    for (argument, words) in [
        (
            "filter teredo_ports",
            "expected 'FAMILY TABLE SET', for example 'inet filter teredo_ports'",
        ),
        (
            "inet filter teredo_ports more",
            "expected 'FAMILY TABLE SET', for example 'inet filter teredo_ports'",
        ),
        ("", "'--set"),
        ("inet6 filter teredo_ports", "'inet6'"),
    ] {
        agent_fails(&host, &["--set", argument], 2, &[words]);
    }
    for exception in ["ssh", "22", "0/tcp", "65536/tcp", "22/icmp"] {
        let said = format!("'{exception}'");
        agent_fails(
            &host,
            &["--allow-inbound", exception],
            2,
            &["--allow-inbound", &said],
        );
    }
}

/// A set without timeouts does its work, and what it lacks is said.
#[test]
fn a_set_without_timeouts_is_used_with_a_warning() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    nft(&host, &DEFAULT_DROP.replace("flags timeout;", ""));
    let agent = world.agent(&host, &["--set", SET]);
    agent
        .wait_for_line(
            "the set has no 'flags timeout': if the agent is killed, the port stays open",
            SECOND * 5,
        )
        .unwrap();
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    assert_eq!(open_ports(&host), [u64::from(port)]);
    alice.process.kill().unwrap();
    eventually(SECOND, "an empty set", || open_ports(&host).is_empty());
    agent.terminate(SECOND).unwrap();
}

/// One agent serves a host: the second names the first, and changes nothing.
#[test]
fn a_second_agent_is_refused() {
    for arguments in [&[][..], &["--set", SET]] {
        let (world, _server) = World::with_server();
        let host = world.left.host("alice").unwrap();
        nft(&host, DEFAULT_DROP);
        let first = world.agent(&host, arguments);
        first.wait_for_line("follows the port", SECOND * 5).unwrap();
        let owner = format!("is held by teredo (pid {})", first.id());
        let words = [
            "the table 'inet teredo'",
            &owner,
            "another firewall agent is running",
            "\nhint: ",
        ];
        agent_fails(&host, arguments, 1, &words);
        assert!(
            nft_json(&host, "chain inet teredo inside").is_some(),
            "the first one's table"
        );
        assert_eq!(first.try_wait().unwrap(), None, "the first one goes on");

        let status = first.terminate(SECOND * 5).unwrap();
        assert_eq!(status.code(), Some(0), "{status}");
        let third = world.agent(&host, arguments);
        third.wait_for_line("follows the port", SECOND * 5).unwrap();
    }
}
