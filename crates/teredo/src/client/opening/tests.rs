use super::*;

fn contact(opening: Opening) -> [Option<u8>; 4] {
    [0, 1, 2, 3].map(|number| opening.ttl(number))
}

fn unknown(ttl: u8) -> Opening {
    Opening { ttl, known: false }
}

fn known(ttl: u8) -> Opening {
    Opening { ttl, known: true }
}

#[test]
fn without_knowledge_each_bubble_of_a_contact_goes_further() {
    assert_eq!(contact(unknown(2)), [Some(2), Some(4), Some(8), None]);
    assert_eq!(contact(unknown(3)), [Some(3), Some(6), Some(8), None]);
    assert_eq!(contact(unknown(8)), [Some(8), Some(8), Some(8), None]);
}

#[test]
fn a_known_distance_is_kept_but_for_the_last_bubble() {
    assert_eq!(contact(known(2)), [Some(2), Some(2), Some(2), None]);
    assert_eq!(contact(known(8)), [Some(8), Some(8), Some(8), None]);
}

#[test]
fn reports_move_the_distance_up_only_and_never_beyond_the_farthest() {
    let mut opening = Opening::default();
    for expected in [3, 4, 5, 6, 7, 8, 8] {
        opening.ended_inside(opening.ttl);
        assert_eq!(opening, unknown(expected));
    }
    opening.passed(8);
    assert_eq!(opening, known(8));
    // Late reports about nearer bubbles.
    opening.passed(3);
    opening.ended_inside(4);
    assert_eq!(opening, known(8));
}

#[test]
fn an_answer_proves_the_distance_of_a_limited_bubble() {
    let mut opening = Opening::default();
    opening.answered(1, None);
    assert_eq!(opening, unknown(2), "an answer to an indirect bubble");
    opening.answered(2, Some(4));
    assert_eq!(opening, known(4));
}

#[test]
fn an_answer_to_the_last_bubble_alone_refutes_the_distance() {
    let mut opening = known(2);
    for expected in [2, 4, 8, 8] {
        opening.answered(4, None);
        assert_eq!(opening, unknown(expected));
    }
}

#[test]
fn homes_and_carriers_are_inside() {
    for inside in [
        "192.168.0.1",
        "10.1.2.3",
        "172.31.0.1",
        "100.64.0.1",
        "100.127.9.9",
        "169.254.1.1",
    ] {
        assert!(is_inside(inside.parse().unwrap()), "{inside}");
    }
    for outside in [
        "100.63.0.1",
        "100.128.0.1",
        "172.32.0.1",
        "198.18.0.1",
        "203.0.113.1",
    ] {
        assert!(!is_inside(outside.parse().unwrap()), "{outside}");
    }
}
