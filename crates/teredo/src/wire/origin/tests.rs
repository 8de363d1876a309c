use super::super::tests::hex;
use super::*;

/// R4380-5.1.1-02, R4380-4-02: the example of RFC 4380 §5.1.1, and the vector of a router advertisement.
#[test]
fn vectors() {
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
fn every_prefix_is_truncated() {
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
