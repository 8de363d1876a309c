//! The probe says whether a path can be had, and why not.

use std::net::Ipv6Addr;

use aya::programs::{SchedClassifier, TcAttachType};
use teredo_bpf::{Direction, Outcome, ProbeError, probe};
use teredo_lab::{Namespace, until};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::node::PATIENCE;

const OWN: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const PEER: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

/// A host with a TUN interface for the probe.
fn host() -> (Namespace, SyncDevice) {
    let namespace = Namespace::new().unwrap();
    let open = || {
        DeviceBuilder::new()
            .name("probe0")
            .layer(Layer::L3)
            .mtu(1280)
            .ipv6(OWN, 64_u8)
            .build_sync()
            .unwrap()
    };
    let tun = namespace.run(open).unwrap();
    until(PATIENCE, "the address", || {
        let bind = || std::net::UdpSocket::bind((OWN, 0)).ok();
        namespace.run(bind).unwrap().map(drop)
    })
    .unwrap();
    (namespace, tun)
}

fn add_rule(namespace: &Namespace, rules: &str) {
    let mut command = std::process::Command::new("nft");
    command.arg(rules);
    let status = namespace.spawn(&mut command).unwrap().wait().unwrap();
    assert!(status.success(), "{rules}");
}

#[test]
fn a_packet_comes_back_and_nothing_stays() {
    let (namespace, _tun) = host();
    namespace
        .run(|| probe("probe0", OWN, PEER))
        .unwrap()
        .unwrap();
    let attached = || {
        [
            ("probe0", TcAttachType::Egress),
            ("lo", TcAttachType::Egress),
            ("lo", TcAttachType::Ingress),
        ]
        .map(|(name, hook)| SchedClassifier::query_tcx(name, hook).unwrap().1.len())
    };
    assert_eq!(namespace.run(attached).unwrap(), [0, 0, 0]);
    // Again, with other ports.
    namespace
        .run(|| probe("probe0", OWN, PEER))
        .unwrap()
        .unwrap();
}

/// A drop of the stack at the way out is the kernel's error at once, one at the way in is silence.
#[test]
fn a_stack_that_lets_nothing_pass_is_the_reason() {
    for (hook, expected) in [
        ("output", "cannot send a datagram on the loopback: "),
        ("input", "no datagram passes the stack on the loopback out"),
    ] {
        let (namespace, _tun) = host();
        let chain = format!("chain way {{ type filter hook {hook} priority 0 ; policy drop ; }}");
        add_rule(&namespace, &format!("table ip t {{\n{chain}\n}}"));
        let error = namespace
            .run(|| probe("probe0", OWN, PEER))
            .unwrap()
            .unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

/// Inner packets meet the rules for IPv6, and a host that refuses them has no use for the path.
#[test]
fn a_lost_packet_is_the_reason() {
    let (namespace, _tun) = host();
    add_rule(
        &namespace,
        "table ip6 t {\nchain way { type filter hook input priority 0 ; iifname probe0 drop ; }\n}",
    );
    let error = namespace
        .run(|| probe("probe0", OWN, PEER))
        .unwrap()
        .unwrap_err();
    let text = error.to_string();
    let ProbeError::Lost {
        direction,
        outcomes,
    } = error
    else {
        panic!("{text}");
    };
    assert_eq!(direction, Direction::In);
    assert_eq!(outcomes.get(Outcome::Decapsulated), 1);
    assert!(
        text.starts_with("a packet was lost on its way in (encapsulated 1, "),
        "{text}"
    );
}

#[test]
fn an_absent_interface_is_the_reason() {
    let (namespace, _tun) = host();
    let error = namespace
        .run(|| probe("absent0", OWN, PEER))
        .unwrap()
        .unwrap_err();
    assert_eq!(error.to_string(), "there is no interface `absent0`");
}
