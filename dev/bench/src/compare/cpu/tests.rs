use super::*;

#[test]
fn idle_waiting_and_stolen_ticks_are_unused() {
    let stat =
        "cpu  1 2 3 40 50 6 7 80 9 9\ncpu0 1 1 1 20 30 1 1 5 9 9\ncpu10 0 0 0 7 0 0 0 0 0 0\n";
    assert_eq!(unused_of(stat, None), Some(170));
    assert_eq!(unused_of(stat, Some(0)), Some(55));
    assert_eq!(unused_of(stat, Some(10)), Some(7));
    assert_eq!(unused_of(stat, Some(1)), None);
}
