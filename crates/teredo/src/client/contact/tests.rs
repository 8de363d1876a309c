use super::*;

fn contact(opening: Opening) -> [Option<u8>; 4] {
    [0, 1, 2, 3].map(|number| opening.ttl(number))
}

#[test]
fn each_bubble_of_a_contact_goes_further() {
    assert_eq!(
        contact(Opening::default()),
        [Some(2), Some(4), Some(8), None]
    );
}

#[test]
fn a_peer_that_answers_the_first_bubble_teaches_nothing() {
    let mut opening = Opening::default();
    opening.answered(1);
    assert_eq!(opening.ttl(0), Some(2));
}

#[test]
fn later_answers_move_the_first_bubble_on_but_never_beyond_the_last_limit() {
    let mut opening = Opening::default();
    for expected in [4, 8, 8] {
        opening.answered(2);
        assert_eq!(opening.ttl(0), Some(expected));
    }
    assert_eq!(opening.ttl(1), None);
}
