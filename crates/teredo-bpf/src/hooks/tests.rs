use super::*;

#[test]
fn an_interface_of_another_kind_is_refused() {
    let error = index_of("lo", Kind::Tun).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`lo` is no TUN interface: its kind is 772"
    );
    let error = index_of("absent0", Kind::Tun).unwrap_err();
    assert!(matches!(error, PathError::NoInterface(name) if name == "absent0"));
}
