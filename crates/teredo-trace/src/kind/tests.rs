use crate::sample::*;

use super::*;

#[test]
fn names_in_json_are_the_names() {
    for kind in [
        Kind::Solicitation,
        Kind::IndirectBubble,
        Kind::DiscoveryBubble,
        Kind::PingRequest,
        Kind::Malformed,
    ] {
        let json = serde_json::to_string(&kind).unwrap();
        assert_eq!(json, format!("\"{}\"", kind.name()));
    }
}

/// A host may be server, relay and peer at once.
#[test]
fn a_bubble_to_a_relay_on_the_port_of_servers_is_direct() {
    let own = teredo(MAPPED);
    let trace = Exchange::new()
        .qualified()
        .send(
            100,
            LOCAL,
            PRIMARY,
            bubble(own, "fe80::1".parse().unwrap(), &[]),
        )
        .send(
            101,
            LOCAL,
            "198.51.100.7:3544",
            bubble(own, teredo("198.51.100.7:3544"), &[]),
        )
        .send(102, LOCAL, PRIMARY, bubble(own, teredo(PEER), &[]))
        .trace();
    let kinds: Vec<_> = trace.packets[4..]
        .iter()
        .map(|packet| packet.kind)
        .collect();
    assert_eq!(kinds, [Kind::Bubble, Kind::Bubble, Kind::IndirectBubble]);
}
