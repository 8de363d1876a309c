use super::*;

#[test]
fn a_watch_that_delivers_nothing_of_what_there_is_has_stopped() {
    let mut stall = Stall::default();
    assert!(!stall.is_one((0, 0), Some(500)), "it has just begun");
    assert!(stall.is_one((0, 0), Some(510)));
    // One that is slow goes on.
    let mut stall = Stall::default();
    assert!(!stall.is_one((10, 100), Some(500)));
    assert!(!stall.is_one((20, 200), Some(600)));
    assert!(!stall.is_one((80, 600), Some(600)));
    // Nothing is new.
    assert!(!stall.is_one((80, 600), Some(600)));
    assert!(!stall.is_one((80, 600), Some(601)));
    assert!(stall.is_one((80, 600), Some(602)));
}

/// Entries that have ended are not delivered, and servers that do not answer prove nothing.
#[test]
fn without_an_entry_nothing_is_expected() {
    let mut stall = Stall::default();
    assert!(!stall.is_one((0, 0), Some(500)));
    let mut ended = Stall::default();
    assert!(!ended.is_one((0, 0), None));
    assert!(!ended.is_one((0, 0), None));
}
