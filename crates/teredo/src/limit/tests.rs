use super::*;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// R4380-7.4-01: a burst, then one action per interval, and never more than a burst after a pause.
#[test]
fn a_burst_then_one_per_interval() {
    let mut limit = RateLimit::new(3, Duration::from_millis(100));
    let mut allowed = |millis| (0..10).filter(|_| limit.allow(at(millis))).count();
    assert_eq!(allowed(0), 3);
    assert_eq!(allowed(99), 0);
    assert_eq!(allowed(100), 1);
    assert_eq!(allowed(350), 2);
    assert_eq!(allowed(1_000_000), 3);
}

#[test]
fn what_is_kept_stays() {
    let rate = Rate::per_second(4, 10);
    let mut bucket = Bucket::default();
    bucket.take(at(0), rate);
    bucket.take(at(0), rate);
    assert!(bucket.has(at(0), rate, rate.interval));
    assert!(!bucket.has(at(0), rate, 2 * rate.interval));
}

/// A debt would keep others out who share the bucket.
#[test]
fn an_empty_bucket_has_no_debt() {
    let rate = Rate::per_second(2, 10);
    let mut bucket = Bucket::default();
    for _ in 0..100 {
        bucket.take(at(0), rate);
    }
    assert!(!bucket.has(at(99), rate, 0));
    assert!(bucket.has(at(100), rate, 0));
    bucket.give_back(rate, 1);
    assert!(bucket.has(at(0), rate, 0));
}
