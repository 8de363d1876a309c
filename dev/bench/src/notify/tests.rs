use super::*;

/// Two processes of two registrations, two announcements.
#[test]
fn delays_belong_to_the_announcement_and_the_last_is_that_of_all_processes() {
    let heard = [vec![101, 102, 1_001, 1_005], vec![103, 104, 1_002, 1_003]];
    let summed = sum_up(System::Socket, 2, 2, &[100, 1_000], &heard, 4_000_000_000).unwrap();
    assert_eq!((summed.processes, summed.registrations), (2, 4));
    assert_eq!(
        (summed.each.count, summed.each.p50, summed.each.max),
        (8, 2, 5)
    );
    assert_eq!(
        (summed.last.count, summed.last.p50, summed.last.max),
        (2, 4, 5)
    );
    assert!((summed.deliveries_per_core_second - 2.0).abs() < 1e-9);
}

#[test]
fn a_callback_that_is_missing_is_an_error() {
    assert!(sum_up(System::Socket, 1, 2, &[100], &[vec![101]], 1).is_err());
}
