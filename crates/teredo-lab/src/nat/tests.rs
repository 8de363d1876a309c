use super::{HomeNat, NatKind};

#[test]
fn names_read_as_they_are_written() {
    for kind in NatKind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    assert_eq!(format!("{:>6}", NatKind::Cone), "  cone");
    let error = "full-cone".parse::<NatKind>().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("\"full-cone\" is no kind of NAT: none, cone"),
        "{error}"
    );
}

/// RFC 4787: properties are named in any order, and the rest is a port-restricted NAT's.
#[test]
fn properties_read_as_they_are_written() {
    let nat: HomeNat = "random-ports,address-dependent-mapping".parse().unwrap();
    let text = "address-dependent-mapping,address-and-port-dependent-filtering,random-ports";
    assert_eq!(nat.to_string(), text);
    assert_eq!(text.parse(), Ok(nat));
    for name in HomeNat::properties() {
        let nat: HomeNat = name.parse().unwrap();
        assert_eq!(nat.to_string().parse(), Ok(nat));
    }
    assert_eq!("cone".parse(), Ok(HomeNat::Kind(NatKind::Cone)));
    for wrong in [
        "",
        "random-ports,",
        "cone,random-ports",
        "address-dependent",
    ] {
        assert!(wrong.parse::<HomeNat>().is_err(), "{wrong}");
    }
}
