use super::Ecn::{self, Ce, Ect0, Ect1, NotEct};

/// R6040-4.1-01: figure 4 of RFC 6040, row by row (the inner header) and column by column (the outer one).
#[test]
fn the_inner_header_says_what_the_figure_says() {
    let figure = [
        (NotEct, [Some(NotEct), Some(NotEct), Some(NotEct), None]),
        (Ect0, [Some(Ect0), Some(Ect0), Some(Ect1), Some(Ce)]),
        (Ect1, [Some(Ect1), Some(Ect1), Some(Ect1), Some(Ce)]),
        (Ce, [Some(Ce); 4]),
    ];
    for (inner, row) in figure {
        for (outer, expected) in [NotEct, Ect0, Ect1, Ce].into_iter().zip(row) {
            assert_eq!(
                inner.decapsulated_from(outer),
                expected,
                "{inner:?} in {outer:?}"
            );
            // A traffic class and a flow label around the bits remain.
            let mut packet = [0x6a, 0x4f | inner.to_bits() << 4, 0xff, 0xff];
            assert_eq!(Ecn::of_packet(&packet), inner);
            assert_eq!(Ecn::decapsulate(outer, &mut packet), expected.is_some());
            let left = expected.unwrap_or(inner);
            assert_eq!(packet, [0x6a, 0x4f | left.to_bits() << 4, 0xff, 0xff]);
        }
    }
}

#[test]
fn bits_are_those_of_rfc_3168() {
    for bits in 0..=255 {
        assert_eq!(Ecn::from_bits(bits).to_bits(), bits & 3);
    }
    assert_eq!([NotEct, Ect1, Ect0, Ce].map(Ecn::to_bits), [0, 1, 2, 3]);
    assert_eq!(Ecn::of_packet(&[0x60]), NotEct);
    assert!(Ecn::decapsulate(Ce, &mut [0x60, 0x20]));
}
