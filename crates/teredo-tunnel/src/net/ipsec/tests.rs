use std::process::Command;

use super::*;
use crate::netns::isolated;

/// The direction of the policy that is found after `ip xfrm policy add`.
fn found(policy: &'static str) -> Option<bool> {
    let (tell, told) = std::sync::mpsc::channel();
    isolated(move || {
        let mut policies = IpsecPolicies::open().unwrap().expect("a kernel with IPsec");
        assert!(!policies.changed().unwrap());
        assert_eq!(policies.find(&(40000..=40000)).unwrap(), None);
        let mut command = Command::new("ip");
        command.args("xfrm policy add".split(' ').chain(policy.split(' ')));
        let status = command.status().expect("ip, of the package iproute2");
        assert!(status.success(), "{policy}");
        assert!(policies.changed().unwrap() && !policies.changed().unwrap());
        let found = policies.find(&(40000..=40000)).unwrap();
        tell.send(found.map(|policy| policy.arrives)).unwrap();
    });
    told.recv().unwrap()
}

#[test]
fn a_policy_for_the_datagrams_is_found() {
    for (policy, arrives) in [
        (
            "src 192.0.2.0/24 dst 0.0.0.0/0 dir in tmpl mode transport proto esp",
            true,
        ),
        (
            "proto udp src 0.0.0.0/0 dst 0.0.0.0/0 dir out tmpl mode transport proto esp",
            false,
        ),
        (
            "src 0.0.0.0/0 dst 192.0.2.1 proto udp dport 40000 dir in tmpl mode transport proto esp",
            true,
        ),
        (
            "src 0.0.0.0/0 dst 192.0.2.1 proto udp sport 40000 dir out tmpl mode transport proto esp",
            false,
        ),
    ] {
        assert_eq!(found(policy), Some(arrives), "{policy}");
    }
}

#[test]
fn other_policies_are_left_out() {
    for policy in [
        "src 0.0.0.0/0 dst 0.0.0.0/0 dir fwd tmpl mode transport proto esp",
        "src ::/0 dst ::/0 dir in tmpl mode transport proto esp",
        "src 0.0.0.0/0 dst 0.0.0.0/0 proto tcp dir in tmpl mode transport proto esp",
        "src 0.0.0.0/0 dst 0.0.0.0/0 proto udp dport 500 dir in tmpl mode transport proto esp",
        "src 0.0.0.0/0 dst 0.0.0.0/0 dir in",
        "src 0.0.0.0/0 dst 0.0.0.0/0 dir in action block",
    ] {
        assert_eq!(found(policy), None, "{policy}");
    }
}

#[test]
fn the_words_name_the_policy_as_ip_does() {
    let policy = IpsecPolicy {
        arrives: true,
        index: 8,
    };
    assert_eq!(
        policy.to_string(),
        "the IPsec policy with index 8 (dir in) may concern the datagrams"
    );
}
