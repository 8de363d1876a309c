use super::*;

#[test]
fn a_connection_without_success_is_given_up_later_each_time() {
    let start = Instant::now();
    let mut doubt = Doubt::new(start);
    assert_eq!(doubt.at(), start + FIRST);
    doubt.grow(start);
    assert_eq!(doubt.at(), start + FIRST * 2);
    for _ in 0..10 {
        doubt.grow(start);
    }
    assert_eq!(doubt.at(), start + LONGEST);
    doubt.settle(start);
    assert_eq!(doubt.at(), start + FIRST);
}
