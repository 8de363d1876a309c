use std::time::{Duration, Instant};

use super::until;

#[test]
fn names_what_was_awaited() {
    let error = until(Duration::from_millis(20), "a bubble", || None::<()>).unwrap_err();
    assert_eq!(error.what, "a bubble");
    assert!(error.waited >= Duration::from_millis(20));
    assert!(
        error.to_string().ends_with("in vain for a bubble"),
        "{error}"
    );
}

#[test]
fn a_timeout_of_zero_is_a_single_look() {
    let mut looks = 0;
    let result = until(Duration::ZERO, "nothing", || {
        looks += 1;
        None::<()>
    });
    assert!(result.is_err());
    assert_eq!(looks, 1);
}

#[test]
fn returns_as_soon_as_the_condition_holds() {
    let start = Instant::now();
    let due = start + Duration::from_millis(30);
    let value = until(Duration::from_secs(60), "30 ms", || {
        (Instant::now() >= due).then_some(7)
    });
    assert_eq!(value, Ok(7));
    assert!(start.elapsed() < Duration::from_secs(5));
}
