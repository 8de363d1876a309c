use super::super::tests::{A, B, BUBBLE, hex, ip};
use super::super::{Ipv6Header, Ipv6Packet};
use super::*;

/// The bubble from A to B of RFC 6081 §6.1.
#[test]
fn vector() {
    let mut bytes = vec![0xa5];
    emit_bubble(ip(A), ip(B), 255, &mut bytes);
    assert_eq!(bytes[1..], hex(BUBBLE));
    let packet = Ipv6Packet::parse(&bytes[1..]).unwrap();
    assert!(packet.is_bubble());
    assert_eq!(
        packet.to_string(),
        format!("IP6 {A} > {B}: no next header, hlim 255")
    );
}

/// Both halves of the definition count: next header 59, and nothing behind it (RFC 4380 §2.8).
#[test]
fn what_is_no_bubble() {
    let header = Ipv6Packet::parse(&hex(BUBBLE)).unwrap().header();
    for header in [
        Ipv6Header {
            payload_length: 1,
            ..header
        },
        Ipv6Header {
            next_header: protocol::ICMPV6,
            ..header
        },
        Ipv6Header {
            next_header: protocol::HOP_BY_HOP,
            ..header
        },
    ] {
        let mut bytes = Vec::new();
        header.emit(&mut bytes);
        bytes.resize(40 + usize::from(header.payload_length), 0);
        assert!(!Ipv6Packet::parse(&bytes).unwrap().is_bubble(), "{header}");
    }
}
