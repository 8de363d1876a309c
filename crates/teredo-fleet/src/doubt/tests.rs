use super::*;

#[test]
fn a_connection_without_success_is_given_up_later_after_some() {
    let start = Instant::now();
    let mut doubt = Doubt::new(start);
    let times: Vec<_> = (0..12)
        .map(|_| {
            let pause = (doubt.at() - start).as_secs();
            doubt.grow(start);
            pause
        })
        .collect();
    // Three within a lease of 15 s.
    assert_eq!(times, [5, 5, 5, 10, 10, 10, 10, 10, 10, 10, 10, 10]);
    doubt.settle(start);
    assert_eq!(doubt.at(), start + FIRST);
}
