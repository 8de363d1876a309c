use super::{HomeNat, HomeNatError, NatKind};

#[test]
fn names_read_as_they_are_written() {
    for kind in NatKind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    assert_eq!(format!("{:>6}", NatKind::Cone), "  cone");
    let error = "full-cone".parse::<NatKind>().unwrap_err();
    assert_eq!(error.to_string(), "\"full-cone\" is no kind of NAT");
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
}

/// A NAT has one way of mapping, of filtering, and of giving ports, and each is named once.
#[test]
fn properties_that_exclude_each_other_are_refused() {
    let unknown = |word: &str| HomeNatError::Unknown(word.to_owned());
    for (text, error) in [
        ("", unknown("")),
        ("random-ports,", unknown("")),
        ("address-dependent", unknown("address-dependent")),
        (
            "cone,random-ports",
            HomeNatError::KindAmongProperties(NatKind::Cone),
        ),
        (
            "endpoint-independent-mapping,open-input,address-dependent-mapping",
            HomeNatError::Contradiction(
                "endpoint-independent-mapping",
                "address-dependent-mapping",
            ),
        ),
        (
            "open-input,random-ports,open-input",
            HomeNatError::Repeated("open-input"),
        ),
        (
            "random-ports,sequential-ports",
            HomeNatError::Contradiction("random-ports", "sequential-ports"),
        ),
    ] {
        assert_eq!(text.parse::<HomeNat>(), Err(error), "{text}");
    }
}
