use super::*;

#[test]
fn each_time_since_the_boot_is_later() {
    let mut clock = EntryClock::default();
    let mut last = Duration::ZERO;
    for _ in 0..1000 {
        let (_, next) = clock.next();
        assert!(next > last);
        last = next;
    }
    let now = Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap();
    assert!(now.abs_diff(last) < Duration::from_secs(60));
}
