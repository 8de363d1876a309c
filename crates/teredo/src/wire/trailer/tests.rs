use super::super::tests::{hex, socket};
use super::*;
use proptest::prelude::*;

fn parse(bytes: &[u8]) -> Vec<Trailer<'_>> {
    Trailers::new(bytes).collect()
}

fn alternates(addresses: &[&str]) -> AlternateAddresses {
    let addresses: Vec<SocketAddrV4> = addresses
        .iter()
        .map(|address| address.parse().unwrap())
        .collect();
    AlternateAddresses::new(&addresses).unwrap()
}

/// R6081-4.2-01, R6081-4.3-01, R6081-4.4-01, R6081-4.5-01
#[test]
fn known_trailers() {
    for (trailer, wire, text) in [
        (
            Trailer::Nonce([0xde, 0xad, 0xbe, 0xef]),
            "0104deadbeef",
            "nonce deadbeef",
        ),
        (
            Trailer::AlternateAddresses(alternates(&["192.168.1.2:5000", "192.0.2.1:4096"])),
            "030e 0000 c0a80102 1388 c0000201 1000",
            "alternate 192.168.1.2:5000 192.0.2.1:4096",
        ),
        (
            Trailer::NeighborDiscovery {
                advertisement: false,
            },
            "0404 00 000000",
            "neighbor solicitation",
        ),
        (
            Trailer::NeighborDiscovery {
                advertisement: true,
            },
            "0404 01 000000",
            "neighbor advertisement",
        ),
        (Trailer::RandomPort(5000), "0502 1388", "random port 5000"),
        (
            Trailer::Unknown {
                kind: 0x80,
                value: &[7],
            },
            "8001 07",
            "unknown 0x80 length 1",
        ),
    ] {
        let mut bytes = vec![0xa5];
        trailer.emit(&mut bytes);
        assert_eq!(bytes[1..], hex(wire), "{text}");
        assert_eq!(parse(&bytes[1..]), [trailer]);
        assert_eq!(trailer.to_string(), text);
    }
}

/// R6081-5.1.2-01: the order is kept, and both of two trailers of one type are there.
#[test]
fn order_is_kept() {
    let bytes = hex("0502 1388 0104 00000001 0502 1389");
    assert_eq!(
        parse(&bytes),
        [
            Trailer::RandomPort(5000),
            Trailer::Nonce([0, 0, 0, 1]),
            Trailer::RandomPort(5001)
        ]
    );
    assert_eq!(
        Trailers::new(&bytes).to_string(),
        "trailers 14 bytes [random port 5000] [nonce 00000001] [random port 5001]"
    );
}

/// R6081-5.1.2-02, R6081-5.1.2-03: the two upper bits of the type decide.
#[test]
fn unknown_types() {
    for kind in 0..=255 {
        let bytes = [&[kind, 1, 0xaa][..], &hex("0104deadbeef")].concat();
        let expected = if (0x40..0x80).contains(&kind) {
            Err(ParseError::DiscardTrailer(kind))
        } else {
            Ok(())
        };
        assert_eq!(Trailers::new(&bytes).check(), expected);
        assert_eq!(
            parse(&bytes).last(),
            Some(&Trailer::Nonce([0xde, 0xad, 0xbe, 0xef])),
            "{kind:#04x}"
        );
    }
    // the wrong type of random port in the table of RFC 6081 §9.
    assert_eq!(
        parse(&hex("0202 1388")),
        [Trailer::Unknown {
            kind: 2,
            value: &[0x13, 0x88]
        }]
    );
}

/// R6081-5.1.2-04: trailers before a malformed one count, and those behind it do not.
#[test]
fn processing_stops_at_a_malformed_trailer() {
    for junk in ["00", "0104deadbe", "8005 00000000", "7f01"] {
        let bytes = [hex("0104deadbeef"), hex(junk)].concat();
        assert_eq!(
            parse(&bytes),
            [Trailer::Nonce([0xde, 0xad, 0xbe, 0xef])],
            "{junk}"
        );
        assert_eq!(Trailers::new(&bytes).check(), Ok(()), "{junk}");
    }
    assert_eq!(
        parse(&hex("8007 0104 deadbeef")),
        [],
        "a trailer inside a malformed one"
    );
}

/// A-16, R6081-4.3-01: a known type with a wrong length or value is skipped, not fatal.
#[test]
fn known_types_with_a_wrong_value_are_skipped() {
    for wrong in [
        "0103 deadbe",
        "0108 deadbeefdeadbeef",
        "0300",
        "0302 0000",
        "0307 0000 c0000201 10",
        "0309 0000 c0000201 1000 00",
        "0308 0000 c0000201 0000",
        "0308 0000 e0000001 1000",
        "0308 0000 00000000 1000",
        "0308 0000 ffffffff 1000",
        "0320 0000 c00002011000 c00002011000 c00002011000 c00002011000 c00002011000",
        "0404 02 000000",
        "0403 00 0000",
        "0500",
        "0503 138800",
    ] {
        let bytes = [hex(wrong), hex("0502 1389")].concat();
        assert_eq!(Trailers::new(&bytes).check(), Ok(()), "{wrong}");
        assert_eq!(parse(&bytes), [Trailer::RandomPort(5001)], "{wrong}");
    }
}

/// R6081-4.3-01: reserved bytes are ignored, and one to four addresses fit.
#[test]
fn alternate_addresses() {
    assert_eq!(
        parse(&hex("0308 ffff c0000201 1000")),
        [Trailer::AlternateAddresses(alternates(&["192.0.2.1:4096"]))]
    );
    let address = "192.0.2.1:4096".parse().unwrap();
    for count in 1..=4 {
        assert_eq!(
            AlternateAddresses::new(&vec![address; count])
                .unwrap()
                .as_slice(),
            vec![address; count]
        );
    }
    assert_eq!(AlternateAddresses::new(&[]), None);
    assert_eq!(AlternateAddresses::new(&[address; 5]), None);
}

fn trailer() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let addresses = prop::collection::vec(socket(), 1..=4)
        .prop_filter_map("not unicast", |addresses| {
            AlternateAddresses::new(&addresses).map(Trailer::AlternateAddresses)
        });
    let known = prop_oneof![
        any::<[u8; 4]>().prop_map(Trailer::Nonce),
        addresses,
        any::<bool>().prop_map(|advertisement| Trailer::NeighborDiscovery { advertisement }),
        any::<u16>().prop_map(Trailer::RandomPort),
    ];
    let unknown = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..=255));
    prop_oneof![
        known.prop_map(|trailer| {
            let mut bytes = Vec::new();
            trailer.emit(&mut bytes);
            (bytes[0], bytes)
        }),
        unknown
            .prop_filter("known", |(kind, _)| ![1, 3, 4, 5].contains(kind))
            .prop_map(|(kind, value)| {
                let mut bytes = Vec::new();
                Trailer::Unknown {
                    kind,
                    value: &value,
                }
                .emit(&mut bytes);
                (kind, bytes)
            }),
    ]
}

proptest! {
    #[test]
    fn trailers_survive(trailers in prop::collection::vec(trailer(), 0..8)) {
        let bytes: Vec<u8> = trailers.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        let parsed = parse(&bytes);
        prop_assert_eq!(parsed.len(), trailers.len());
        let mut again = Vec::new();
        parsed.iter().for_each(|trailer| trailer.emit(&mut again));
        prop_assert_eq!(again, bytes.clone());
        let discard = trailers.iter().any(|(kind, _)| kind >> 6 == 1);
        prop_assert_eq!(Trailers::new(&bytes).check().is_err(), discard);
    }
}
