use super::NatKind;

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
