use super::*;

/// R6081-5.1.2-01, R6081-5.6.4.2-01: of several lists the last one counts, and one that is malformed is none.
#[test]
fn the_last_list_counts() {
    let address = |last| SocketAddrV4::new([192, 168, 1, last].into(), 40_000);
    let list = |last| AlternateAddresses::new(&[address(last)]).unwrap();
    let mut bytes = Vec::new();
    for last in [2, 3] {
        Trailer::AlternateAddresses(list(last)).emit(&mut bytes);
    }
    assert_eq!(alternates_of(&Trailers::new(&bytes)), Some(list(3)));
    // A length of 9.
    assert_eq!(
        alternates_of(&Trailers::new(&[3, 9, 0, 0, 1, 2, 3, 4, 5, 6, 7])),
        None
    );
}
