//! Properties of all wire formats: no bytes cause a panic, and parsed values can be written again.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use proptest::prelude::*;

use super::*;

/// The two addresses of RFC 6081 §6.1, figure 2, and a bubble from one to the other.
pub(super) const A: &str = "2001:0:cb00:7178:0:efff:3fff:fdfe";
pub(super) const B: &str = "2001:0:c633:6476:0:dfff:3fff:fdf5";
pub(super) const BUBBLE: &str =
    "6000000000003bff20010000cb0071780000efff3ffffdfe20010000c63364760000dfff3ffffdf5";

/// Router solicitation and advertisement between a client at 192.168.1.2:50000 and the server 203.0.113.120.
pub(super) const SOLICITATION: &str = "6000000000083afffe8000000000000000003caf3f57fefdff0200000000000000000000000000028500023300000000";
pub(super) const ADVERTISEMENT: &str = "6000000000383afffe800000000000008000f22734ff8e87fe80000000000000\
    00003caf3f57fefd86001a480000000000000000000007d003044040ffffffffffffffff0000000020010000cb00717800000000\
    000000000501000000000500";

pub(super) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

pub(super) fn ip(address: &str) -> Ipv6Addr {
    address.parse().unwrap()
}

pub(super) fn socket() -> impl Strategy<Value = SocketAddrV4> {
    any::<(u32, u16)>().prop_map(|(ip, port)| SocketAddrV4::new(Ipv4Addr::from(ip), port))
}

pub(super) fn ipv6() -> impl Strategy<Value = Ipv6Addr> {
    any::<u128>().prop_map(Ipv6Addr::from)
}

/// Bytes that pass the first checks: the elements of a datagram, mostly valid.
fn nearly_a_datagram() -> impl Strategy<Value = Vec<u8>> {
    let authentication = prop_oneof![
        Just(vec![]),
        (
            any::<u8>(),
            any::<u8>(),
            prop::collection::vec(any::<u8>(), 0..40)
        )
            .prop_map(|(i, a, rest)| [vec![0, 1, i % 16, a % 24], rest].concat()),
    ];
    let origin = prop_oneof![
        Just(vec![]),
        any::<[u8; 6]>().prop_map(|rest| [vec![0, 0], rest.to_vec()].concat())
    ];
    let protocol = prop_oneof![
        Just(0u8),
        Just(43),
        Just(44),
        Just(58),
        Just(59),
        Just(60),
        any::<u8>()
    ];
    let packet = (
        any::<u8>(),
        protocol,
        prop::collection::vec(any::<u8>(), 32..160),
    )
        .prop_map(|(length, protocol, rest)| {
            [vec![0x60, 0, 0, 0, 0, length % 128, protocol, 255], rest].concat()
        });
    (authentication, origin, packet).prop_map(|(a, o, p)| [a, o, p].concat())
}

/// Calls every accessor, none of which may panic, and checks the promises of the parsers.
fn exercise(bytes: &[u8]) {
    if let Ok((authentication, rest)) = Authentication::parse(bytes) {
        let _ = authentication.to_string();
        let mut again = Vec::new();
        authentication.emit(&mut again);
        assert_eq!([&again, rest].concat(), bytes);
    }
    if let Ok((origin, rest)) = Origin::parse(bytes) {
        let _ = origin.to_string();
        let mut again = Vec::new();
        origin.emit(&mut again);
        assert_eq!([&again, rest].concat(), bytes);
    }
    let trailers = Trailers::new(bytes);
    let _ = (trailers.check(), trailers.to_string());
    let mut again = Vec::new();
    trailers.iter().for_each(|trailer| trailer.emit(&mut again));
    assert_eq!(
        Trailers::new(&again).collect::<Vec<_>>(),
        trailers.collect::<Vec<_>>()
    );

    if let Ok((packet, _)) = Ipv6Packet::parse_prefix(bytes) {
        let _ = (
            packet.to_string(),
            packet.upper_layer(),
            Icmpv6::parse(&packet),
        );
        let mut again = Vec::new();
        packet.header().emit(&mut again);
        assert_eq!([&again, packet.payload()].concat(), packet.as_bytes());
        let _ = may_be_answered_with_error(packet.as_bytes());
    }
    if let Ok(datagram) = Datagram::parse(bytes) {
        let _ = (
            datagram.to_string(),
            datagram.verify(&Secret::new(b"secret")),
        );
        let mut again = Vec::new();
        datagram.emit(&mut again);
        assert_eq!(again, bytes);
    }
}

proptest! {
    /// R4380-5.1.1-05
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        exercise(&bytes);
    }

    /// R4380-5.1.1-05
    #[test]
    fn no_nearly_right_bytes_panic(bytes in nearly_a_datagram()) {
        exercise(&bytes);
        for at in 0..bytes.len() {
            exercise(&bytes[at..]);
        }
    }

    /// A valid checksum reaches the parsers behind it.
    #[test]
    fn no_icmpv6_message_panics(
        source in prop_oneof![Just(ip("fe80::1")), Just(Ipv6Addr::UNSPECIFIED), ipv6()],
        destination in ipv6(),
        kind in prop_oneof![1u8..4, 128u8..130, 133u8..138],
        code in prop_oneof![Just(0u8), any::<u8>()],
        hop_limit in prop_oneof![Just(255u8), any::<u8>()],
        body in prop::collection::vec(prop_oneof![0u8..6, any::<u8>()], 0..100),
    ) {
        let mut message = [vec![kind, code, 0, 0], body].concat();
        let sum = checksum(source, destination, protocol::ICMPV6, &message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut bytes = Vec::new();
        Ipv6Header {
            traffic_class: 0,
            flow_label: 0,
            payload_length: message.len() as u16,
            next_header: protocol::ICMPV6,
            hop_limit,
            source,
            destination,
        }
        .emit(&mut bytes);
        bytes.extend_from_slice(&message);
        let packet = Ipv6Packet::parse(&bytes).unwrap();
        let _ = packet.to_string();
        if let Ok(Icmpv6::RouterAdvertisement(advertisement)) = Icmpv6::parse(&packet) {
            let mut again = Vec::new();
            advertisement.emit(source, destination, &mut again);
            let again = Ipv6Packet::parse(&again).unwrap();
            prop_assert_eq!(Icmpv6::parse(&again), Ok(Icmpv6::RouterAdvertisement(advertisement)));
        }
    }
}
