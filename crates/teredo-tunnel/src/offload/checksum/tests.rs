use proptest::prelude::*;
use teredo_segmentation::sum;

use super::*;

#[test]
fn the_example_of_the_rfc() {
    // RFC 1071 §3
    let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(Sum::of(&bytes).folded(), [0xdd, 0xf2]);
    assert_eq!(Sum::of(&bytes).checksum(), [0x22, 0x0d]);
}

#[test]
fn zero_is_written_in_two_ways() {
    let sum = Sum::of(&[0xff, 0xff]);
    assert_eq!(
        (sum.checksum(), sum.nonzero_checksum()),
        ([0, 0], [0xff, 0xff])
    );
}

#[test]
fn the_longest_packet_does_not_overflow() {
    assert_eq!(Sum::of(&[0xff; 65_536]).folded(), [0xff, 0xff]);
}

proptest! {
    #[test]
    fn is_what_adding_word_by_word_gives(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let expected = (!sum(&bytes)).to_be_bytes();
        // No bytes sum up to one of the two zeros, and a sum of zero to the other.
        prop_assert_eq!(Sum::of(&bytes).checksum(), expected);
        let mut copy = vec![0; bytes.len()];
        prop_assert_eq!(Sum::copying(&mut copy, &bytes), Sum::of(&bytes));
        prop_assert_eq!(copy, bytes);
    }

    #[test]
    fn parts_add_up(words in prop::collection::vec(any::<[u8; 2]>(), 1..200), at in 0usize..200, number: u16) {
        let bytes = words.concat();
        let (head, tail) = bytes.split_at(2 * at.min(words.len()));
        let mut whole = bytes.clone();
        whole.extend_from_slice(&u32::from(number).to_be_bytes());
        let total = Sum::of(head).plus(Sum::of(tail)).plus(Sum::number(number.into()));
        prop_assert_eq!(total.checksum(), (!sum(&whole)).to_be_bytes());
    }
}
