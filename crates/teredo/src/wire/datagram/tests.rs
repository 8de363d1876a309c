use super::super::tests::{ADVERTISEMENT, BUBBLE, SOLICITATION, hex};
use super::super::{MAC_LEN, Trailer};
use super::*;

const NONCE: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
const NONCE_ONLY: &str = "00010000 0102030405060708 00";
const ORIGIN: &str = "0000efff3ffffdfe";

/// R4380-5.1.1-01, R4380-5.1.1-02, R4380-5.1.1-03, R4380-5.1.1-04: the four valid sequences, and all others.
#[test]
fn sequences() {
    for (sequence, authentication, origin) in [
        (BUBBLE.to_owned(), false, false),
        (ORIGIN.to_owned() + BUBBLE, false, true),
        (NONCE_ONLY.to_owned() + BUBBLE, true, false),
        (NONCE_ONLY.to_owned() + ORIGIN + BUBBLE, true, true),
    ] {
        let bytes = hex(&sequence);
        let datagram = Datagram::parse(&bytes).unwrap();
        assert_eq!(
            datagram.authentication,
            authentication.then(|| Authentication::nonce_only(NONCE))
        );
        assert_eq!(
            datagram.origin,
            origin.then(|| Origin("192.0.2.1:4096".parse().unwrap()))
        );
        assert_eq!(datagram.packet.as_bytes(), hex(BUBBLE));
        assert!(datagram.trailers.as_bytes().is_empty());
        let mut again = vec![0xa5];
        datagram.emit(&mut again);
        assert_eq!(again[1..], bytes);
    }
    for (sequence, error) in [
        (
            ORIGIN.to_owned() + NONCE_ONLY + BUBBLE,
            ParseError::Misplaced("authentication"),
        ),
        (
            ORIGIN.to_owned() + ORIGIN + BUBBLE,
            ParseError::Misplaced("origin indication"),
        ),
        (
            NONCE_ONLY.to_owned() + NONCE_ONLY + BUBBLE,
            ParseError::Misplaced("authentication"),
        ),
        ("0002".to_owned() + BUBBLE, ParseError::UnknownElement(2)),
        (
            "4500".to_owned() + BUBBLE,
            ParseError::UnknownElement(0x4500),
        ),
    ] {
        assert_eq!(Datagram::parse(&hex(&sequence)), Err(error));
    }
}

/// R4380-5.1.1-05: no prefix of a datagram is valid.
#[test]
fn every_prefix_is_truncated() {
    let bytes = hex(&(NONCE_ONLY.to_owned() + ORIGIN + ADVERTISEMENT));
    for len in 0..bytes.len() {
        assert!(
            matches!(
                Datagram::parse(&bytes[..len]),
                Err(ParseError::Truncated { .. })
            ),
            "{len}"
        );
    }
    assert!(Datagram::parse(&bytes).is_ok());
}

/// R6081-4-01: the packet may be shorter than the payload, never longer.
#[test]
fn trailers_follow_the_packet() {
    let bytes = hex(&(BUBBLE.to_owned() + "0104deadbeef"));
    let datagram = Datagram::parse(&bytes).unwrap();
    assert!(datagram.packet.is_bubble());
    assert_eq!(
        datagram.trailers.iter().collect::<Vec<_>>(),
        [Trailer::Nonce([0xde, 0xad, 0xbe, 0xef])]
    );

    let mut longer = hex(BUBBLE);
    longer[5] = 1;
    assert!(matches!(
        Datagram::parse(&longer),
        Err(ParseError::Truncated {
            needed: 41,
            available: 40,
            ..
        })
    ));
}

/// The secure solicitation and advertisement of the test vectors: 86 and 142 bytes (RFC 4380 §5.2.2).
#[test]
fn authenticated_datagrams() {
    for (origin, packet, value, len) in [
        (
            "",
            SOLICITATION,
            "40a41c9d568902fb60837f44f5cbdb3de5dcc0c8",
            86,
        ),
        (
            ORIGIN,
            ADVERTISEMENT,
            "3fa17adde20bc459be384f4b1eaa8468ed700c50",
            142,
        ),
    ] {
        let value = hex(value);
        assert_eq!(value.len(), MAC_LEN);
        let mut bytes = Vec::new();
        Authentication {
            identifier: b"alice",
            value: &value,
            nonce: NONCE,
            confirmation: 0,
        }
        .emit(&mut bytes);
        bytes.extend(hex(origin));
        bytes.extend(hex(packet));
        assert_eq!(bytes.len(), len);
        assert!(
            Datagram::parse(&bytes)
                .unwrap()
                .verify(&Secret::new(b"secret"))
        );
        assert!(
            !Datagram::parse(&bytes)
                .unwrap()
                .verify(&Secret::new(b"secrets"))
        );

        let longer = [&bytes[..], &[1, 4, 0, 0, 0, 0]].concat();
        assert!(
            Datagram::parse(&longer)
                .unwrap()
                .verify(&Secret::new(b"secret")),
            "trailers are not covered"
        );

        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert!(
            !Datagram::parse(&bytes)
                .unwrap()
                .verify(&Secret::new(b"secret"))
        );
    }
    assert!(
        !Datagram::parse(&hex(SOLICITATION))
            .unwrap()
            .verify(&Secret::new(b"secret")),
        "there is nothing to verify"
    );
}

#[test]
fn display() {
    let bytes = hex(&(NONCE_ONLY.to_owned() + ORIGIN + BUBBLE + "0104deadbeef"));
    assert_eq!(
        Datagram::parse(&bytes).unwrap().to_string(),
        "Teredo, authentication nonce 0102030405060708, origin 192.0.2.1:4096, \
         IP6 2001:0:cb00:7178:0:efff:3fff:fdfe > 2001:0:c633:6476:0:dfff:3fff:fdf5: no next header, hlim 255, \
         trailers 6 bytes [nonce deadbeef]"
    );
}

/// R4380-5.1.1-02, R4380-4-02: the example of RFC 4380 §5.1.1, and the vector of a router advertisement.
#[test]
fn origin_vectors() {
    for (address, wire) in [
        ("1.2.3.4:337", "0000feaefefdfcfb"),
        ("192.0.2.1:4096", "0000efff3ffffdfe"),
    ] {
        let origin = Origin(address.parse().unwrap());
        let mut bytes = vec![0xa5];
        origin.emit(&mut bytes);
        assert_eq!(bytes[0], 0xa5, "emit appends");
        assert_eq!(bytes[1..], hex(wire));
        bytes.push(0x60);
        assert_eq!(Origin::parse(&bytes[1..]), Ok((origin, &[0x60][..])));
        assert_eq!(origin.to_string(), format!("origin {address}"));
    }
}

/// R4380-5.1.1-05
#[test]
fn every_prefix_of_an_origin_is_truncated() {
    let bytes = hex("0000feaefefdfcfb");
    for len in 0..bytes.len() {
        assert!(
            matches!(
                Origin::parse(&bytes[..len]),
                Err(ParseError::Truncated { needed: 8, .. })
            ),
            "{len}"
        );
    }
    assert_eq!(
        Origin::parse(&hex("0001feaefefdfcfb")),
        Err(ParseError::UnknownElement(1))
    );
}
