use super::*;

#[test]
fn ways_have_names() {
    for way in NatTraversal::ALL {
        assert_eq!(way.to_string().parse(), Ok(way));
    }
    assert!("rfc6082".parse::<NatTraversal>().is_err());
}

/// R6081-5.1.2-01: of contradictory nonces, the last one counts.
#[test]
fn a_datagram_is_one_guess() {
    let mut bytes = Vec::new();
    for nonce in [[1; 4], [2; 4]] {
        Trailer::Nonce(nonce).emit(&mut bytes);
    }
    assert_eq!(nonce_of(&Trailers::new(&bytes)), Some([2; 4]));
    assert_eq!(nonce_of(&Trailers::new(&[])), None);
}
