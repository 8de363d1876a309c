//! Rules of the administrator take effect, although the programs bypass them.

use std::time::Duration;

use teredo::wire::protocol;
use teredo_bpf::{Outcome, Path, Settings};
use teredo_lab::{Receive, until};

use crate::node::{FOREVER, Node, PATIENCE, acquaint, pair, strangers};
use crate::packet::{packet, udp};

/// So short that a proof expires soon: four times that.
const SOON: Duration = Duration::from_millis(25);

/// Chains that datagrams of the service port pass on their way in.
const WAYS_IN: [&str; 3] = [
    "inet t way { type filter hook input priority 0 ; }",
    "ip t way { type filter hook prerouting priority -300 ; }",
    "netdev t way { type filter hook ingress device eth0 priority 0 ; }",
];

/// The same on their way out.
const WAYS_OUT: [&str; 3] = [
    "inet t way { type filter hook output priority 0 ; }",
    "ip t way { type filter hook postrouting priority 0 ; }",
    "netdev t way { type filter hook egress device eth0 priority 0 ; }",
];

/// Adds a chain with one rule to the node.
fn add_rule(node: &Node, chain: &str, rule: &str) {
    let mut words = chain.split(' ');
    let family = words.next().unwrap();
    node.run("nft", &format!("add table {family} t"));
    node.run("nft", &format!("add chain {chain}"));
    node.run("nft", &format!("add rule {family} t way {rule}"));
}

/// Sends a packet to the inner socket of `near`, by the user space of `far`.
fn send_in(near: &Node, far: &Node) {
    let packet = udp(far.own, near.own, (1000, 1000), b"in");
    far.send_by_user_space(&packet, near);
}

/// The host at `near` sends a packet to `far`.
fn send_out(near: &Node, far: &Node) {
    let socket = near.inner_socket();
    socket.send_to(b"out", (far.own, 1000)).unwrap();
}

/// Nobody need announce the rule.
#[test]
fn a_rule_for_the_way_in_takes_effect_when_the_proof_expires() {
    let (_internet, near, far) = pair(SOON);
    until(PATIENCE, "a packet in the kernel", || {
        send_in(&near, &far);
        (near.count(Outcome::Decapsulated) > 0).then_some(())
    })
    .unwrap();
    let rule = format!("ip saddr {} drop", far.local.ip());
    add_rule(&near, WAYS_IN[0], &rule);
    until(PATIENCE, "the end of the proof", || {
        send_in(&near, &far);
        (near.count(Outcome::Unproven) > 0).then_some(())
    })
    .unwrap();
    assert_only(&near, Outcome::Unproven, Outcome::Decapsulated, || {
        send_in(&near, &far);
    });
}

/// The same for the way out.
#[test]
fn a_rule_for_the_way_out_takes_effect_when_the_proof_expires() {
    let (_internet, near, far) = pair(SOON);
    let rule = format!("ip daddr {} drop", far.local.ip());
    add_rule(&near, WAYS_OUT[0], &rule);
    until(PATIENCE, "the end of the proof", || {
        send_out(&near, &far);
        // User space does what it should, in vain.
        while let Some(packet) = near.poll_tun(&far) {
            let refused = near.service.send_to(&packet, far.local);
            assert!(refused.is_err());
        }
        (near.count(Outcome::Unproven) > 0).then_some(())
    })
    .unwrap();
    assert_only(&near, Outcome::Unproven, Outcome::Encapsulated, || {
        send_out(&near, &far);
    });
}

/// Two nodes of a host, such as a client and a relay, use one interface. What one carries is no proof for it only because the
/// other has seen it first.
#[test]
fn a_rule_takes_effect_although_another_node_watches_the_same_interface() {
    let (_internet, mut near, far) = pair(SOON);
    let underlay = near.interfaces.underlay;
    near.path.detach(underlay);
    let mut other = Path::load(Settings::default()).unwrap();
    for path in [&mut other, &mut near.path] {
        let attached = near.host.namespace().run(|| path.attach_underlay("eth0"));
        attached.unwrap().unwrap();
    }
    acquaint(&near, &far);
    let rule = format!("ip daddr {} drop", far.local.ip());
    add_rule(&near, WAYS_OUT[0], &rule);
    until(PATIENCE, "the end of the proof", || {
        send_out(&near, &far);
        while let Some(packet) = near.poll_tun(&far) {
            let refused = near.service.send_to(&packet, far.local);
            assert!(refused.is_err());
        }
        (near.count(Outcome::Unproven) > 0).then_some(())
    })
    .unwrap();
    assert_only(&near, Outcome::Unproven, Outcome::Encapsulated, || {
        send_out(&near, &far);
    });
}

/// Each packet has this outcome from now on, and none the other.
fn assert_only(node: &Node, left: Outcome, carried: Outcome, send: impl Fn()) {
    let (before, carried_before) = (node.count(left), node.count(carried));
    for number in 1..=5 {
        send();
        node.await_count(left, before + number);
    }
    assert_eq!(node.count(carried), carried_before);
}

/// After an announced change, nothing passes that the stack was not asked about, at any hook.
#[test]
fn a_rule_for_the_way_in_takes_effect_at_once_when_it_is_announced() {
    for way in WAYS_IN {
        let (_internet, mut near, far) = pair(FOREVER);
        send_in(&near, &far);
        near.await_count(Outcome::Decapsulated, 1);
        add_rule(&near, way, &format!("ip saddr {} drop", far.local.ip()));
        near.path.require_proof().unwrap();
        assert_only(&near, Outcome::Unproven, Outcome::Decapsulated, || {
            send_in(&near, &far);
        });
        near.assert_nothing_received();
        // The rule goes. One packet by the stack is enough, if nothing is waited for that was dropped.
        near.run("nft", "flush ruleset");
        near.path.require_proof().unwrap();
        until(PATIENCE, "a packet in the kernel", || {
            send_in(&near, &far);
            (near.count(Outcome::Decapsulated) == 2).then_some(())
        })
        .unwrap();
    }
}

/// The same for the way out.
#[test]
fn a_rule_for_the_way_out_takes_effect_at_once_when_it_is_announced() {
    for way in WAYS_OUT {
        let (_internet, mut near, far) = pair(FOREVER);
        send_out(&near, &far);
        near.await_count(Outcome::Encapsulated, 1);
        add_rule(&near, way, &format!("ip daddr {} drop", far.local.ip()));
        near.path.require_proof().unwrap();
        assert_only(&near, Outcome::Unproven, Outcome::Encapsulated, || {
            send_out(&near, &far);
            let packet = near.take_from_tun(&far);
            // The chain of a device drops in silence.
            let _ = near.service.send_to(&packet, far.local);
        });
        near.run("nft", "flush ruleset");
        near.path.require_proof().unwrap();
        near.send_by_user_space(&udp(near.own, far.own, (1, 1), b"asks"), &far);
        until(PATIENCE, "a packet in the kernel", || {
            send_out(&near, &far);
            (near.count(Outcome::Encapsulated) == 2).then_some(())
        })
        .unwrap();
    }
}

/// The peer sees another port, so that an encapsulated datagram would come from a stranger.
#[test]
fn a_translated_datagram_proves_nothing() {
    let (_internet, mut near, far) = strangers(FOREVER);
    let chain = "ip t way { type nat hook postrouting priority 100 ; }";
    add_rule(&near, chain, "udp sport 40000 snat to 192.0.2.45:50000");
    near.know(&far);
    near.send_by_user_space(&udp(near.own, far.own, (1, 1), b"translated"), &far);
    assert_eq!(far.receive().1.port(), 50000);
    let traffic = near.path.traffic(far.own).unwrap().unwrap();
    assert_eq!(traffic.let_out, None);
    send_out(&near, &far);
    near.await_count(Outcome::Unproven, 1);
}

/// Carried packets would leave without the mark, class or time to live that a rule gives, and so pass filters and queues
/// that look at them, and routers.
#[test]
fn a_datagram_that_a_rule_has_labelled_is_no_proof() {
    for change in ["meta mark set 7", "meta priority set 1:7", "ip ttl set 1"] {
        let (_internet, near, far) = pair(FOREVER);
        let let_out = || near.path.traffic(far.own).unwrap().unwrap().let_out;
        let bubble = packet(near.own, far.own, protocol::NO_NEXT_HEADER, &[]);
        let before = let_out();
        near.send_by_user_space(&bubble, &far);
        let proven = let_out();
        assert!(proven > before);
        add_rule(&near, WAYS_OUT[0], &format!("udp sport 40000 {change}"));
        near.send_by_user_space(&bubble, &far);
        assert_eq!(let_out(), proven, "{change}");
    }
}

/// The mark of an inner packet must not choose another route than that of user space's datagrams.
#[test]
fn the_mark_of_a_packet_does_not_choose_the_route() {
    let (_internet, near, far) = pair(FOREVER);
    let chain = "ip6 t way { type route hook output priority 0 ; }";
    add_rule(&near, chain, "oifname teredo0 meta mark set 7");
    near.run("ip", "-4 rule add fwmark 7 prohibit");
    let receiver = far.inner_socket();
    near.inner_socket()
        .send_to(b"marked", receiver.local_addr().unwrap())
        .unwrap();
    let mut buffer = [0; 16];
    assert_eq!(receiver.receive(&mut buffer).unwrap(), 6);
    assert_eq!(near.count(Outcome::Encapsulated), 1);
}

/// A datagram of the programs themselves is no proof that the stack would send it.
#[test]
fn the_programs_do_not_prove_their_own_datagrams() {
    let (_internet, near, far) = pair(FOREVER);
    let before = near.path.traffic(far.own).unwrap().unwrap();
    send_out(&near, &far);
    near.await_count(Outcome::Encapsulated, 1);
    far.await_count(Outcome::Decapsulated, 1);
    let after = near.path.traffic(far.own).unwrap().unwrap();
    assert_eq!(after.let_out, before.let_out);
}

/// Once an interval a packet takes the way of user space, and renews the proof.
#[test]
fn samples_renew_the_proof() {
    let (_internet, near, far) = pair(SOON);
    let before = near.path.traffic(far.own).unwrap().unwrap();
    until(PATIENCE, "a sample each way", || {
        send_in(&near, &far);
        send_out(&near, &far);
        while let Some(packet) = near.poll_tun(&far) {
            near.send_by_user_space(&packet, &far);
        }
        let traffic = near.path.traffic(far.own).unwrap().unwrap();
        (traffic.let_in > before.let_in
            && traffic.let_out > before.let_out
            && near.count(Outcome::Sample) >= 2)
            .then_some(())
    })
    .unwrap();
    assert!(near.count(Outcome::Decapsulated) > 0 && near.count(Outcome::Encapsulated) > 0);
}

/// A program that leaves a packet must not end the list: filters of an administrator come later.
#[test]
fn programs_that_come_later_see_what_is_left() {
    let (_internet, mut near, far) = strangers(FOREVER);
    let mut later = near
        .host
        .namespace()
        .run(|| {
            let mut path = Path::load(Settings::default()).unwrap();
            path.attach(&near.service, "teredo0", "eth0").unwrap();
            path
        })
        .unwrap();
    // The first path leaves packets of a peer that it does not know; the second counts them, since it does.
    let entry = near.entry(&far);
    later.insert(far.own, &entry).unwrap();
    send_in(&near, &far);
    near.receive();
    assert_eq!(later.outcomes().unwrap().get(Outcome::Closed), 1);
    send_out(&near, &far);
    near.take_from_tun(&far);
    assert_eq!(later.outcomes().unwrap().get(Outcome::Closed), 2);
    // The same if the first path knows the peer, too.
    near.know(&far);
    acquaint_one_way(&near, &far);
    near.path.close().unwrap();
    send_in(&near, &far);
    near.await_count(Outcome::Closed, 1);
    near.receive();
    assert_eq!(later.outcomes().unwrap().get(Outcome::Closed), 3);
}

fn acquaint_one_way(near: &Node, far: &Node) {
    near.send_by_user_space(&udp(near.own, far.own, (1, 1), b"asks"), far);
    far.receive();
}

#[test]
fn acquaintance_is_all_that_a_peer_needs() {
    let (_internet, mut near, mut far) = strangers(FOREVER);
    near.know(&far);
    far.know(&near);
    send_out(&near, &far);
    near.await_count(Outcome::Unproven, 1);
    near.pass_on(&far);
    far.receive();
    acquaint(&near, &far);
    send_out(&near, &far);
    near.await_count(Outcome::Encapsulated, 1);
}
