use super::*;

const WINDOW: Duration = Duration::from_secs(15);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn the_latest_entry_tells_the_time() {
    let start = Instant::now();
    let mut clock = ServerClock::new(WINDOW);
    assert_eq!(clock.now(start), None);
    // A snapshot holds older entries first.
    clock.observe(ms(90_000), start);
    clock.observe(ms(100_000), start);
    clock.observe(ms(95_000), start);
    assert_eq!(clock.now(start), Some(ms(100_000)));
    assert_eq!(clock.now(start + ms(400)), Some(ms(100_400)));
    // One that was held up on the way does not turn the clock back.
    clock.observe(ms(100_100), start + ms(900));
    assert_eq!(clock.now(start + ms(900)), Some(ms(100_900)));
}

#[test]
fn the_clock_of_a_former_leader_is_forgotten() {
    let start = Instant::now();
    let mut clock = ServerClock::new(WINDOW);
    clock.observe(ms(100_000), start);
    // The next leader is 3 s behind.
    for second in 1..=31 {
        clock.observe(ms(97_000 + second * 1000), start + ms(second * 1000));
    }
    let now = start + ms(31_000);
    assert_eq!(clock.now(now), Some(ms(128_000)));
}
