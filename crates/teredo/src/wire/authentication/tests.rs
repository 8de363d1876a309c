use super::super::MAC_LEN;
use super::super::tests::{ADVERTISEMENT, SOLICITATION, hex};
use super::*;
use proptest::prelude::*;

const NONCE: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// R4380-5.1.1-03
#[test]
fn nonce_only() {
    let mut bytes = vec![0xa5];
    Authentication::nonce_only(NONCE).emit(&mut bytes);
    assert_eq!(bytes[1..], hex("00010000 0102030405060708 00"));
    assert_eq!(bytes.len() - 1, Authentication::MIN_LEN);
    assert_eq!(
        Authentication::parse(&bytes[1..]),
        Ok((Authentication::nonce_only(NONCE), &[][..]))
    );
}

/// R4380-5.2.2-08: the keyed hash over a solicitation, and over an advertisement with its origin.
#[test]
fn hmac_vectors() {
    assert_eq!(
        Secret::new(b"secret").sign(NONCE, 0, &hex(SOLICITATION))[..],
        hex("40a41c9d568902fb60837f44f5cbdb3de5dcc0c8")
    );
    let rest = [hex("0000efff3ffffdfe"), hex(ADVERTISEMENT)].concat();
    assert_eq!(
        Secret::new(b"secret").sign(NONCE, 0, &rest)[..],
        hex("3fa17adde20bc459be384f4b1eaa8468ed700c50")
    );
}

/// R4380-5.1.1-03: identifier and value with the lengths of the vector, and with the greatest lengths.
#[test]
fn identifier_and_value() {
    for (identifier, value, len) in [
        (&b"alice"[..], &[7; MAC_LEN][..], 38),
        (&[1; 255], &[2; 255], 523),
    ] {
        let element = Authentication {
            identifier,
            value,
            nonce: NONCE,
            confirmation: 1,
        };
        let mut bytes = Vec::new();
        element.emit(&mut bytes);
        assert_eq!(bytes.len(), len);
        assert_eq!(Authentication::parse(&bytes), Ok((element, &[][..])));
        for len in 0..bytes.len() {
            let error = Authentication::parse(&bytes[..len]).unwrap_err();
            assert!(
                matches!(error, ParseError::Truncated { .. }),
                "{len}: {error}"
            );
        }
    }
}

#[test]
fn an_identifier_that_does_not_fit_is_cut() {
    let element = Authentication {
        identifier: &[1; 300],
        value: &[],
        nonce: NONCE,
        confirmation: 0,
    };
    let mut bytes = Vec::new();
    element.emit(&mut bytes);
    let (parsed, rest) = Authentication::parse(&bytes).unwrap();
    assert_eq!((parsed.identifier, rest), (&[1; 255][..], &[][..]));
}

#[test]
fn verification_notices_every_change() {
    let packet = hex(SOLICITATION);
    let value = Secret::new(b"secret").sign(NONCE, 0, &packet);
    let element = Authentication {
        identifier: b"alice",
        value: &value,
        nonce: NONCE,
        confirmation: 0,
    };
    assert!(element.verify(&Secret::new(b"secret"), &packet));
    assert!(!element.verify(&Secret::new(b"Secret"), &packet));
    assert!(!element.verify(&Secret::new(b"secret"), &packet[1..]));
    assert!(
        !Authentication {
            confirmation: 1,
            ..element
        }
        .verify(&Secret::new(b"secret"), &packet)
    );
    assert!(
        !Authentication {
            nonce: [0; 8],
            ..element
        }
        .verify(&Secret::new(b"secret"), &packet)
    );
    for len in 0..MAC_LEN {
        assert!(
            !Authentication {
                value: &value[..len],
                ..element
            }
            .verify(&Secret::new(b"secret"), &packet),
            "a part of the value"
        );
    }
    for bit in 0..MAC_LEN * 8 {
        let mut value = value;
        value[bit / 8] ^= 1 << (bit % 8);
        assert!(
            !Authentication {
                value: &value,
                ..element
            }
            .verify(&Secret::new(b"secret"), &packet)
        );
    }
}

#[test]
fn display() {
    assert_eq!(
        Authentication::nonce_only(NONCE).to_string(),
        "authentication nonce 0102030405060708"
    );
    let element = Authentication {
        identifier: b"al\nice",
        value: &[0; 20],
        nonce: NONCE,
        confirmation: 2,
    };
    assert_eq!(
        element.to_string(),
        r#"authentication nonce 0102030405060708 confirmation 0x02 identifier "al\nice" value 20 bytes"#
    );
}

proptest! {
    #[test]
    fn element_survives(
        identifier in prop::collection::vec(any::<u8>(), 0..=255),
        value in prop::collection::vec(any::<u8>(), 0..=255),
        nonce in any::<[u8; 8]>(),
        confirmation in any::<u8>(),
        rest in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let element = Authentication { identifier: &identifier, value: &value, nonce, confirmation };
        let mut bytes = Vec::new();
        element.emit(&mut bytes);
        bytes.extend_from_slice(&rest);
        prop_assert_eq!(Authentication::parse(&bytes), Ok((element, &rest[..])));
    }
}
