use std::net::Ipv4Addr;

use super::super::tests::{A, ADVERTISEMENT, B, SOLICITATION, hex, ip, ipv6};
use super::super::{emit_bubble, server_link_local, server_prefix};
use super::*;
use etherparse::{Icmpv6Slice, PacketBuilder};
use proptest::prelude::*;

const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 120);

fn parse(bytes: &[u8]) -> Result<Icmpv6<'_>, ParseError> {
    Icmpv6::parse(&Ipv6Packet::parse(bytes).unwrap())
}

/// A packet around a message with a valid checksum.
fn packet(source: &str, destination: &str, hop_limit: u8, message: &str) -> Vec<u8> {
    let message = hex(message);
    let mut bytes = Vec::new();
    let addresses = [ip(source), ip(destination)];
    emit_message(
        addresses,
        hop_limit,
        [message[0], message[1]],
        &mut bytes,
        |out| {
            out.extend_from_slice(&message[4..]);
        },
    );
    bytes
}

fn advertisement() -> RouterAdvertisement {
    RouterAdvertisement {
        retrans_timer: 2000,
        prefixes: vec![PrefixInformation {
            prefix: server_prefix(SERVER),
            length: 64,
            on_link: false,
            autonomous: true,
            valid_lifetime: PrefixInformation::INFINITE,
            preferred_lifetime: PrefixInformation::INFINITE,
        }],
        mtu: Some(1280),
        ..RouterAdvertisement::default()
    }
}

#[test]
fn router_solicitation_vector() {
    let mut bytes = vec![0xa5];
    emit_router_solicitation(ip("fe80::3caf:3f57:fefd"), &mut bytes);
    assert_eq!(bytes[1..], hex(SOLICITATION));
    assert_eq!(
        parse(&bytes[1..]),
        Ok(Icmpv6::RouterSolicitation(RouterSolicitation {
            options: &[]
        }))
    );
}

/// R4380-5.1.2-01
#[test]
fn router_advertisement_vector() {
    let mut bytes = vec![0xa5];
    advertisement().emit(
        server_link_local(SERVER),
        ip("fe80::3caf:3f57:fefd"),
        &mut bytes,
    );
    assert_eq!(bytes[1..], hex(ADVERTISEMENT));
    assert_eq!(
        parse(&bytes[1..]),
        Ok(Icmpv6::RouterAdvertisement(advertisement()))
    );
}

/// R4380-5.3.2-11: RFC 4861 §6.1.1 discards these.
#[test]
fn invalid_router_solicitations() {
    let source_link_layer = "85000000 00000000 0101020304050607";
    for (bytes, error) in [
        (
            packet("fe80::1", "ff02::2", 254, "85000000 00000000"),
            ParseError::NeighborDiscoveryHopLimit(254),
        ),
        (
            packet("fe80::1", "ff02::2", 255, "85010000 00000000"),
            ParseError::NeighborDiscoveryCode(1),
        ),
        (
            packet(
                "fe80::1",
                "ff02::2",
                255,
                "85000000 00000000 0100020304050607",
            ),
            ParseError::NeighborDiscoveryOption { kind: 1, length: 0 },
        ),
        (
            packet("::", "ff02::2", 255, source_link_layer),
            ParseError::NeighborDiscoverySource,
        ),
    ] {
        assert_eq!(parse(&bytes), Err(error));
    }
    for short in [
        "85000000",
        "85000000 000000",
        "85000000 00000000 01",
        "85000000 00000000 0102020304050607",
    ] {
        let bytes = packet("fe80::1", "ff02::2", 255, short);
        assert!(
            matches!(parse(&bytes), Err(ParseError::Truncated { .. })),
            "{short}"
        );
    }
    assert!(parse(&packet("fe80::1", "ff02::2", 255, source_link_layer)).is_ok());
    assert!(parse(&packet("::", "ff02::2", 255, "85000000 00000000")).is_ok());
}

/// RFC 4861 §6.1.2 discards these.
#[test]
fn invalid_router_advertisements() {
    let head = "86000000 00000000 00000000 00000000";
    let option = |option: &str| packet("fe80::1", "fe80::2", 255, &format!("{head}{option}"));
    let wrong = |kind, length| ParseError::NeighborDiscoveryOption { kind, length };
    for (bytes, error) in [
        (
            packet("fe80::1", "fe80::2", 64, head),
            ParseError::NeighborDiscoveryHopLimit(64),
        ),
        (
            packet("2001:db8::1", "fe80::2", 255, head),
            ParseError::NeighborDiscoverySource,
        ),
        (option("0000000000000000"), wrong(0, 0)),
        (option("0301000000000000"), wrong(3, 1)),
        (option(&format!("0505{}", "00".repeat(38))), wrong(5, 5)),
    ] {
        assert_eq!(parse(&bytes), Err(error));
    }
    for len in 0..16 {
        let bytes = packet("fe80::1", "fe80::2", 255, &hex_of(&hex(head)[..len.max(4)]));
        assert!(
            matches!(parse(&bytes), Err(ParseError::Truncated { .. })),
            "{len}"
        );
    }
    assert!(
        parse(&option("1801000000000000")).is_ok(),
        "unknown options are skipped"
    );
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The client judges the number of prefixes; the first MTU counts.
#[test]
fn several_options() {
    let mut twice = advertisement();
    twice.prefixes.push(PrefixInformation {
        prefix: ip("2001:db8::"),
        on_link: true,
        ..twice.prefixes[0]
    });
    let mut bytes = Vec::new();
    twice.emit(ip("fe80::1"), ip("fe80::2"), &mut bytes);
    assert_eq!(parse(&bytes), Ok(Icmpv6::RouterAdvertisement(twice)));

    let head = "86000000 00000000 00000000 00000000";
    let bytes = packet(
        "fe80::1",
        "fe80::2",
        255,
        &format!("{head} 0501000000000500 0501000000000600"),
    );
    let Ok(Icmpv6::RouterAdvertisement(advertisement)) = parse(&bytes) else {
        panic!("an advertisement")
    };
    assert_eq!(advertisement.mtu, Some(1280));
}

/// The checksum covers every bit of a message and of the addresses.
#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = hex(ADVERTISEMENT);
    for bit in 8 * 8..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(
            matches!(parse(&bytes), Err(ParseError::Checksum(_))),
            "bit {bit}"
        );
    }
}

#[test]
fn fragments_and_other_protocols() {
    let mut bytes = Vec::new();
    emit_bubble(ip(A), ip(B), 1, &mut bytes);
    assert_eq!(parse(&bytes), Err(ParseError::NotIcmpv6(59)));

    let fragmented = |message: &[u8], offset_and_more: u8| {
        let mut bytes = message[..40].to_vec();
        bytes[5] += 8;
        bytes[6] = protocol::FRAGMENT;
        bytes.extend_from_slice(&[protocol::ICMPV6, 0, 0, offset_and_more, 0, 0, 0, 1]);
        bytes.extend_from_slice(&message[40..]);
        bytes
    };
    let mut echo = Vec::new();
    emit_echo_request(ip(A), ip(B), 64, 1, 2, &[], &mut echo);
    assert!(
        parse(&fragmented(&echo, 0)).is_ok(),
        "one fragment is the whole message"
    );
    assert_eq!(parse(&fragmented(&echo, 1)), Err(ParseError::Fragmented));
    assert_eq!(parse(&fragmented(&echo, 8)), Err(ParseError::Fragmented));
    assert_eq!(
        parse(&fragmented(&hex(SOLICITATION), 0)),
        Err(ParseError::Fragmented),
        "RFC 6980"
    );
}

#[test]
fn display() {
    let shown = |bytes: &[u8]| Ipv6Packet::parse(bytes).unwrap().to_string();
    assert_eq!(
        shown(&hex(SOLICITATION)),
        "IP6 fe80::3caf:3f57:fefd > ff02::2: ICMP6, router solicitation, length 8"
    );
    assert_eq!(
        shown(&hex(ADVERTISEMENT)),
        "IP6 fe80::8000:f227:34ff:8e87 > fe80::3caf:3f57:fefd: ICMP6, router advertisement, lifetime 0s, \
         prefix 2001:0:cb00:7178::/64, mtu 1280, length 56"
    );
    for (message, text) in [
        (
            "01030000 00000000 00",
            "destination unreachable, address, length 9",
        ),
        ("01630000 00000000", "destination unreachable, length 8"),
        ("02000000 00000500", "packet too big, mtu 1280, length 8"),
        ("03000000 00000000", "time exceeded in-transit, length 8"),
        ("03010000 00000000", "time exceeded in reassembly, length 8"),
        ("80000000 00070001", "echo request, id 7, seq 1, length 8"),
        ("81000000 00070001 ff", "echo reply, id 7, seq 1, length 9"),
        ("88000000 00070001", "type 136, code 0, length 8"),
    ] {
        let bytes = packet("fe80::1", "fe80::2", 64, message);
        assert_eq!(
            shown(&bytes),
            format!("IP6 fe80::1 > fe80::2: ICMP6, {text}")
        );
    }
}

/// RFC 4443 §2.4 (e): no errors about errors, multicast, or sources that are not a single node's.
#[test]
fn what_is_answered_with_an_error() {
    for (bytes, expected) in [
        (packet(A, B, 64, "80000000 00070001"), true),
        (packet(A, B, 64, "88000000 00070001"), true),
        (packet(A, B, 64, "01000000 00000000"), false),
        (packet(A, B, 64, "02000000 00000500"), false),
        (packet(A, B, 64, "7f000000 00000500"), false),
        (packet(A, B, 64, "89000000 00000000"), false),
        (packet(A, "ff02::1", 64, "80000000 00070001"), false),
        (packet("::", B, 64, "80000000 00070001"), false),
        (packet("ff02::1", B, 64, "80000000 00070001"), false),
        (hex("6000000000003b40"), false),
    ] {
        assert_eq!(
            may_be_answered_with_error(&bytes),
            expected,
            "{}",
            hex_of(&bytes)
        );
        let mut out = Vec::new();
        assert_eq!(
            emit_unreachable(ip(B), ip(A), unreachable::ADDRESS, &bytes, &mut out),
            expected
        );
        assert_eq!(!out.is_empty(), expected);
        out.clear();
        assert_eq!(
            emit_packet_too_big(ip(B), ip(A), 1280, &bytes, &mut out),
            expected
        );
        assert_eq!(!out.is_empty(), expected);
    }
    let mut bubble = Vec::new();
    emit_bubble(ip(A), ip(B), 64, &mut bubble);
    assert!(may_be_answered_with_error(&bubble));

    // The first fragment of an error shows what it is; a later one does not.
    for (offset_and_more, expected) in [(1, false), (8, true)] {
        let mut fragment = packet(A, B, 64, "01000000 00000000");
        fragment[5] += 8;
        fragment[6] = protocol::FRAGMENT;
        fragment.splice(
            40..40,
            [protocol::ICMPV6, 0, 0, offset_and_more, 0, 0, 0, 1],
        );
        assert_eq!(may_be_answered_with_error(&fragment), expected);
    }
}

/// RFC 4443 §2.4 (c): as much as fits into the minimum MTU.
#[test]
fn errors_quote_up_to_the_minimum_mtu() {
    for (len, total) in [(0, 40 + 8 + 48), (1184, 1280), (1185, 1280), (40_000, 1280)] {
        let mut offending = Vec::new();
        emit_echo_request(ip(A), ip(B), 64, 1, 2, &vec![0x5a; len], &mut offending);
        let mut bytes = Vec::new();
        assert!(emit_packet_too_big(
            ip("2001:db8::1"),
            ip(A),
            1280,
            &offending,
            &mut bytes
        ));
        assert_eq!(bytes.len(), total);
        assert_eq!(
            parse(&bytes),
            Ok(Icmpv6::PacketTooBig {
                mtu: 1280,
                quoted: &offending[..total - 48]
            })
        );
        bytes.clear();
        assert!(emit_unreachable(
            ip("2001:db8::1"),
            ip(A),
            unreachable::ADDRESS,
            &offending,
            &mut bytes
        ));
        assert_eq!(
            parse(&bytes),
            Ok(Icmpv6::DestinationUnreachable {
                code: 3,
                quoted: &offending[..total - 48]
            })
        );
    }
}

#[test]
fn a_message_that_does_not_fit_is_cut() {
    let mut bytes = Vec::new();
    emit_echo_request(ip(A), ip(B), 64, 1, 2, &vec![0; 70_000], &mut bytes);
    assert_eq!(bytes.len(), 40 + 65_535);
    assert!(parse(&bytes).is_ok());
}

proptest! {
    /// Byte for byte the output of another implementation, and parsed to the same values.
    #[test]
    fn echo_as_etherparse(
        source in ipv6(),
        destination in ipv6(),
        hop_limit in any::<u8>(),
        identifier in any::<u16>(),
        sequence in any::<u16>(),
        data in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let oracle = || PacketBuilder::ipv6(source.octets(), destination.octets(), hop_limit);
        let mut bytes = Vec::new();
        emit_echo_request(source, destination, hop_limit, identifier, sequence, &data, &mut bytes);
        let mut expected = Vec::new();
        oracle().icmpv6_echo_request(identifier, sequence).write(&mut expected, &data).unwrap();
        prop_assert_eq!(&bytes, &expected);
        prop_assert_eq!(parse(&bytes), Ok(Icmpv6::EchoRequest { identifier, sequence, data: &data }));

        bytes.clear();
        emit_echo_reply(source, destination, hop_limit, identifier, sequence, &data, &mut bytes);
        expected.clear();
        oracle().icmpv6_echo_reply(identifier, sequence).write(&mut expected, &data).unwrap();
        prop_assert_eq!(&bytes, &expected);
        prop_assert_eq!(parse(&bytes), Ok(Icmpv6::EchoReply { identifier, sequence, data: &data }));
    }

    #[test]
    fn advertisement_survives(
        destination in ipv6(),
        fields in any::<(u8, u8, u16, u32, u32)>(),
        prefixes in prop::collection::vec((ipv6(), any::<(u8, bool, bool, u32, u32)>()), 0..4),
        mtu in any::<Option<u32>>(),
    ) {
        let (hop_limit, flags, router_lifetime, reachable_time, retrans_timer) = fields;
        let prefixes = prefixes
            .into_iter()
            .map(|(prefix, (length, on_link, autonomous, valid_lifetime, preferred_lifetime))| {
                PrefixInformation { prefix, length, on_link, autonomous, valid_lifetime, preferred_lifetime }
            })
            .collect();
        let advertisement =
            RouterAdvertisement { hop_limit, flags, router_lifetime, reachable_time, retrans_timer, prefixes, mtu };
        let mut bytes = Vec::new();
        advertisement.emit(ip("fe80::1"), destination, &mut bytes);
        let packet = Ipv6Packet::parse(&bytes).unwrap();
        let oracle = Icmpv6Slice::from_slice(packet.payload()).unwrap();
        prop_assert!(oracle.is_checksum_valid(packet.source().octets(), destination.octets()));
        let length = format!("length {}", packet.payload().len());
        prop_assert!(packet.to_string().ends_with(&length), "{packet}");
        prop_assert_eq!(parse(&bytes), Ok(Icmpv6::RouterAdvertisement(advertisement)));
    }
}
