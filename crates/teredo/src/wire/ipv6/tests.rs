use etherparse::{IcmpEchoHeader, Icmpv6Type, Ipv6HeaderSlice, icmpv6::DestUnreachableCode};
use proptest::prelude::*;

use super::super::tests::{A, B, BUBBLE, hex, ip, ipv6};
use super::*;

fn packet(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_length: payload.len() as u16,
        next_header,
        hop_limit: 64,
        source: ip(A),
        destination: ip(B),
    }
    .emit(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

/// R4380-5.1.1-05
#[test]
fn lengths_and_version_are_checked() {
    let bytes = packet(protocol::UDP, &[1, 2, 3, 4]);
    for len in 0..bytes.len() {
        assert!(
            matches!(
                Ipv6Packet::parse_prefix(&bytes[..len]),
                Err(ParseError::Truncated { .. })
            ),
            "{len}"
        );
    }
    assert_eq!(Ipv6Packet::parse(&bytes).unwrap().payload(), [1, 2, 3, 4]);

    let longer = [&bytes[..], &[9]].concat();
    assert_eq!(Ipv6Packet::parse(&longer), Err(ParseError::Surplus(1)));
    let (prefix, rest) = Ipv6Packet::parse_prefix(&longer).unwrap();
    assert_eq!((prefix.as_bytes(), rest), (&bytes[..], &[9][..]));

    let mut ipv4 = bytes;
    ipv4[0] = 0x45;
    assert_eq!(Ipv6Packet::parse(&ipv4), Err(ParseError::Version(4)));
}

#[test]
fn hop_limit_is_changed_in_place() {
    let mut bytes = hex(BUBBLE);
    set_hop_limit(&mut bytes, 7).unwrap();
    assert_eq!(Ipv6Packet::parse(&bytes).unwrap().hop_limit(), 7);
    bytes[7] = 0xff;
    assert_eq!(bytes, hex(BUBBLE), "nothing else is touched");
    assert!(set_hop_limit(&mut bytes[..39], 7).is_err());
}

#[test]
fn extension_headers_are_walked() {
    let options = hex("2b00 010400000000");
    let routing = hex("2c02 0001 00000000 20010db8000000000000000000000001");
    let fragment = hex("3c00 0001 00000001");
    let destination = hex("1101 010c 000000000000000000000000");
    let payload = [options, routing, fragment, destination, vec![0xaa; 9]].concat();
    let bytes = packet(protocol::HOP_BY_HOP, &payload);
    assert_eq!(
        Ipv6Packet::parse(&bytes).unwrap().upper_layer(),
        Ok(UpperLayer {
            protocol: protocol::UDP,
            payload: &[0xaa; 9],
            routing: Some(Routing {
                kind: 0,
                segments_left: 1
            }),
            fragment: Some(Fragment {
                offset: 0,
                more: true
            }),
        })
    );
    assert_eq!(
        Ipv6Packet::parse(&bytes).unwrap().to_string(),
        format!("IP6 {A} > {B}: srcrt (type 0, segleft 1) frag (0|9) UDP, length 9")
    );
}

/// Bytes in the middle of a datagram are not taken for a header.
#[test]
fn the_walk_ends_behind_a_later_fragment() {
    let bytes = packet(
        protocol::FRAGMENT,
        &hex("3c00 0011 00000001 ffffffffffffffff"),
    );
    let layer = Ipv6Packet::parse(&bytes).unwrap().upper_layer().unwrap();
    assert_eq!(
        layer.fragment,
        Some(Fragment {
            offset: 16,
            more: true
        })
    );
    assert_eq!(
        (layer.protocol, layer.payload.len()),
        (protocol::DESTINATION_OPTIONS, 8)
    );
}

#[test]
fn extension_headers_end_with_the_packet() {
    for next_header in [
        protocol::HOP_BY_HOP,
        protocol::ROUTING,
        protocol::FRAGMENT,
        protocol::DESTINATION_OPTIONS,
    ] {
        for len in 0..8 {
            let bytes = packet(next_header, &vec![0; len]);
            let error = Ipv6Packet::parse(&bytes)
                .unwrap()
                .upper_layer()
                .unwrap_err();
            assert!(
                matches!(error, ParseError::Truncated { needed: 8, .. }),
                "{next_header} {len}"
            );
        }
    }
    let bytes = packet(protocol::ROUTING, &hex("3b01 0000 00000000"));
    let error = Ipv6Packet::parse(&bytes)
        .unwrap()
        .upper_layer()
        .unwrap_err();
    assert!(matches!(
        error,
        ParseError::Truncated {
            needed: 16,
            available: 8,
            ..
        }
    ));
}

#[test]
fn too_many_extension_headers() {
    let chain = |count: usize| {
        let mut payload = hex("3c00 010400000000").repeat(count - 1);
        payload.extend(hex("3b00 010400000000"));
        packet(protocol::DESTINATION_OPTIONS, &payload)
    };
    let bytes = chain(MAX_EXTENSION_HEADERS);
    assert_eq!(
        Ipv6Packet::parse(&bytes)
            .unwrap()
            .upper_layer()
            .unwrap()
            .protocol,
        protocol::NO_NEXT_HEADER
    );
    let bytes = chain(MAX_EXTENSION_HEADERS + 1);
    assert_eq!(
        Ipv6Packet::parse(&bytes).unwrap().upper_layer(),
        Err(ParseError::TooManyExtensionHeaders)
    );
}

#[test]
fn display() {
    for (next_header, payload, text) in [
        (protocol::TCP, &[0; 20][..], "TCP, length 20"),
        (protocol::NO_NEXT_HEADER, &[0], "no next header, length 1"),
        (50, &[0; 3], "ip-proto-50, length 3"),
        (
            protocol::ICMPV6,
            &[128, 0, 0, 0],
            "ICMP6, malformed (wrong ICMPv6 checksum 0x0000), length 4",
        ),
    ] {
        let bytes = packet(next_header, payload);
        assert_eq!(
            Ipv6Packet::parse(&bytes).unwrap().to_string(),
            format!("IP6 {A} > {B}: {text}")
        );
    }
}

proptest! {
    /// The header survives, and another implementation reads the same.
    #[test]
    fn header_survives(
        traffic_class in any::<u8>(),
        flow_label in 0u32..1 << 20,
        next_header in any::<u8>(),
        hop_limit in any::<u8>(),
        source in ipv6(),
        destination in ipv6(),
        payload in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let payload_length = payload.len() as u16;
        let header = Ipv6Header { traffic_class, flow_label, payload_length, next_header, hop_limit, source, destination };
        let mut bytes = Vec::new();
        header.emit(&mut bytes);
        let oracle = Ipv6HeaderSlice::from_slice(&bytes).unwrap();
        prop_assert_eq!(oracle.traffic_class(), traffic_class);
        prop_assert_eq!(oracle.flow_label().value(), flow_label);
        prop_assert_eq!(oracle.payload_length(), payload_length);
        prop_assert_eq!(oracle.next_header().0, next_header);
        prop_assert_eq!(oracle.hop_limit(), hop_limit);
        prop_assert_eq!(oracle.source_addr(), source);
        prop_assert_eq!(oracle.destination_addr(), destination);

        bytes.extend_from_slice(&payload);
        let packet = Ipv6Packet::parse(&bytes).unwrap();
        prop_assert_eq!(packet.header(), header);
        prop_assert_eq!(packet.payload(), &payload);
        prop_assert_eq!(packet.as_bytes(), &bytes);
    }
}

/// The bubble from A to B of RFC 6081 §6.1.
#[test]
fn bubble_vector() {
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

/// A bubble has next header 59, and nothing behind it (RFC 4380 §2.8).
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

proptest! {
    /// Another implementation computes the same sum, also for payloads of odd length.
    #[test]
    fn as_etherparse(
        source in ipv6(),
        destination in ipv6(),
        id in any::<u16>(),
        seq in any::<u16>(),
        payload in prop::collection::vec(any::<u8>(), 0..1500),
    ) {
        for (kind, head) in [
            (Icmpv6Type::EchoRequest(IcmpEchoHeader { id, seq }), [&[128, 0, 0, 0][..], &id.to_be_bytes(), &seq.to_be_bytes()].concat()),
            (Icmpv6Type::DestinationUnreachable(DestUnreachableCode::Address), vec![1, 3, 0, 0, 0, 0, 0, 0]),
        ] {
            let expected = kind.calc_checksum(source.octets(), destination.octets(), &payload).unwrap();
            let mut message = [head, payload.clone()].concat();
            prop_assert_eq!(checksum(source, destination, 58, &message), expected);
            message[2..4].copy_from_slice(&expected.to_be_bytes());
            prop_assert_eq!(checksum(source, destination, 58, &message), 0);
        }
    }
}
