//! Rules of the host take effect on packets that pass in the kernel.

use std::time::Instant;

use teredo_node::teredo_tunnel::kernel::Outcome;

use super::*;

fn nft(host: &Host, line: &str) {
    let mut command = Command::new("nft");
    let process = host.namespace().spawn(command.arg(line));
    let process = process.unwrap_or_else(|error| panic!("nft, of the package nftables: {error}"));
    assert!({ process }.wait().unwrap().success(), "{line}");
}

/// Whether an echo request is answered soon.
fn is_answered(host: &Host, peer: Ipv6Addr) -> bool {
    ping(host, peer, 1, Duration::from_millis(300)).is_ok_and(|answers| !answers.order.is_empty())
}

/// At every hook, much sooner than the proofs end.
#[test]
fn a_rule_that_drops_takes_effect_at_once() {
    let (_internet, _server, [(near, _), (_far, peer)]) = two_clients();
    let host = &near.place.host;
    until(SOON, "an open path", || near.kernel().open.then_some(())).unwrap();
    for (family, chain, rule) in [
        ("inet", "filter hook input priority 0", "ip saddr"),
        ("ip", "filter hook prerouting priority -300", "ip saddr"),
        ("ip", "filter hook output priority 0", "ip daddr"),
        (
            "netdev",
            "filter hook ingress device eth0 priority 0",
            "ip saddr",
        ),
    ] {
        nft(host, &format!("add table {family} t"));
        nft(
            host,
            &format!("add chain {family} t way {{ type {chain} ; }}"),
        );
        warm_up(&near, host, peer);
        nft(host, &format!("add rule {family} t way {rule} {FAR} drop"));
        // The thread that hears of it takes up to a millisecond. A proof would last for seconds.
        until(SOON, "the rule", || {
            (!is_answered(host, peer)).then_some(())
        })
        .unwrap();
        for _ in 0..5 {
            assert!(!is_answered(host, peer), "{chain}: {:?}", near.kernel());
        }
        // It judges flows.
        assert!(near.kernel().open);
        nft(host, &format!("delete table {family} t"));
        until(SOON, "an answer", || is_answered(host, peer).then_some(())).unwrap();
    }
    warm_up(&near, host, peer);
}

fn ip(host: &Host, line: &str) {
    let mut command = Command::new("ip");
    let process = host.namespace().spawn(command.args(line.split(' ')));
    let process = process.unwrap_or_else(|error| panic!("ip, of the package iproute2: {error}"));
    assert!({ process }.wait().unwrap().success(), "{line}");
}

/// Within a second, and not after eight when the proofs end: a route by another interface, none at all, and a rule. None of
/// them judges packets, so the path stays open.
#[test]
fn a_route_to_a_peer_that_changes_takes_effect_within_a_second() {
    let (_internet, _server, [(near, _), (_far, peer)]) = two_clients();
    let host = &near.place.host;
    until(SOON, "an open path", || near.kernel().open.then_some(())).unwrap();
    let encapsulated = || near.kernel().outcomes.get(Outcome::Encapsulated);
    // Whether a packet is carried in the kernel, or answered.
    let passes = || {
        let before = encapsulated();
        is_answered(host, peer) || encapsulated() > before
    };
    ip(host, "link add other type veth peer name end");
    ip(host, "link set other up");
    for [verb, opposite, change] in [
        ["route add", "route delete", "203.0.113.8/32 dev other"],
        ["route add", "route delete", "blackhole 203.0.113.8/32"],
        ["rule add", "rule delete", "to 203.0.113.8 unreachable"],
    ] {
        warm_up(&near, host, peer);
        ip(host, &format!("{verb} {change}"));
        // The last try begins after a second, and waits 300 ms for the answer.
        until(Duration::from_millis(1500), change, || {
            (!passes()).then_some(())
        })
        .unwrap();
        for _ in 0..5 {
            assert!(!passes(), "{change}: {:?}", near.kernel());
        }
        assert!(near.kernel().open);
        ip(host, &format!("{opposite} {change}"));
        until(SOON, "an answer", || is_answered(host, peer).then_some(())).unwrap();
    }
    warm_up(&near, host, peer);
}

/// A router's table changes all the time. Each peer asks the stack by a packet each way, once a second.
#[test]
fn routes_that_change_all_the_time_cost_little() {
    let (_internet, _server, [(near, _), (_far, peer)]) = two_clients();
    let host = &near.place.host;
    warm_up(&near, host, peer);
    let unproven = || near.kernel().outcomes.get(Outcome::Unproven);
    let (packets, before, start) = (near.kernel().packets(), unproven(), Instant::now());
    let mut changes = 0;
    // The start of the client was a change, too.
    while start.elapsed() < Duration::from_secs(3) {
        ip(host, "route add blackhole 192.0.2.200/32");
        ip(host, "route delete blackhole 192.0.2.200/32");
        echo(host, peer, 1);
        changes += 2;
    }
    let (took, asked) = (start.elapsed(), unproven() - before);
    assert!(asked >= 2, "{asked} of {changes}");
    assert!(asked <= 2 * (took.as_secs() + 2), "{asked} in {took:?}");
    assert!(changes > 4 * asked, "{asked} of {changes}");
    let carried = near.kernel().packets() - packets;
    // Two of each echo.
    assert!(carried > changes / 2, "{carried}, {:?}", near.kernel());
    assert!(near.kernel().open);
}

/// An agent renews its leases every few seconds.
#[test]
fn renewals_void_no_proof() {
    let (_internet, _server, [(near, _), (_far, peer)]) = two_clients();
    let host = &near.place.host;
    nft(
        host,
        "add table inet teredo ; add set inet teredo port { type inet_service ; flags timeout ; }",
    );
    nft(host, "add element inet teredo port { 40000 timeout 15s }");
    warm_up(&near, host, peer);
    let unproven = || near.kernel().outcomes.get(Outcome::Unproven);
    let before = unproven();
    for _ in 0..10 {
        nft(
            host,
            "flush set inet teredo port ; add element inet teredo port { 40000 timeout 15s }",
        );
        echo(host, peer, 1);
    }
    assert_eq!(unproven(), before);
    // Another element is a change.
    nft(host, "add element inet teredo port { 40001 timeout 15s }");
    until(SOON, "a packet without a proof", || {
        echo(host, peer, 1);
        (unproven() > before).then_some(())
    })
    .unwrap();
}

/// The path is closed, and the packets meet the limit.
#[test]
fn a_limit_closes_the_path_and_is_named() {
    let (_internet, _server, [(near, _), (_far, peer)]) = two_clients();
    let host = &near.place.host;
    nft(
        host,
        "add table inet t ; add chain inet t way { type filter hook input priority 0 ; }",
    );
    warm_up(&near, host, peer);
    nft(
        host,
        "add rule inet t way udp dport 1-65535 limit rate over 1/day drop",
    );
    let reason = "the rule with handle 2 in the chain 'inet t way' judges single packets (limit)";
    until(SOON, reason, || {
        (near.status().data_path.reason.as_deref() == Some(reason)).then_some(())
    })
    .unwrap();
    let before = near.kernel().packets();
    let answered = (0..9).filter(|_| is_answered(host, peer)).count();
    assert!(answered < 9, "the limit has no effect");
    assert_eq!(near.kernel().packets(), before);
    nft(host, "delete table inet t");
    until(SOON, "an open path", || near.kernel().open.then_some(())).unwrap();
    warm_up(&near, host, peer);
}
