use proptest::prelude::*;

use super::*;

const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn limiter(
    per_destination: Option<Rate>,
    total: Option<Rate>,
    destinations: usize,
) -> RelayLimiter {
    let limits = RelayLimits {
        per_destination,
        total,
        destinations,
    };
    RelayLimiter::new(limits, [7; 32])
}

fn rate(per_second: u32, burst: u32) -> Option<Rate> {
    Some(Rate::of(per_second, burst).unwrap())
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(1 << 50) + Duration::from_millis(millis)
}

/// How many of `tries` packets pass at once.
fn passed(limiter: &RelayLimiter, now: Instant, to: Ipv4Addr, tries: usize) -> usize {
    (0..tries).filter(|_| limiter.allows_ipv4(now, to)).count()
}

#[test]
fn a_burst_then_the_rate() {
    let limiter = limiter(rate(100, 20), None, 64);
    assert_eq!(passed(&limiter, at(0), HERE, 50), 20);
    assert_eq!(passed(&limiter, at(105), HERE, 50), 10);
    assert_eq!(
        passed(&limiter, at(60_000), HERE, 50),
        20,
        "a pause fills it, and no more"
    );
}

#[test]
fn destinations_do_not_pay_for_each_other() {
    let limiter = limiter(rate(1, 1), None, 64);
    let other = Ipv4Addr::new(192, 0, 2, 2);
    let native = |text: &str| limiter.allows_native(at(0), text.parse().unwrap());
    assert_eq!(passed(&limiter, at(0), HERE, 9), 1);
    assert_eq!(passed(&limiter, at(0), other, 9), 1);
    assert!(native("2001:db8::1"));
    assert!(!native("2001:db8::2"), "one network");
    assert!(native("2001:db8:0:1::1"));
}

#[test]
fn all_together_are_limited() {
    let limiter = limiter(rate(1, 1), rate(10, 50), 4096);
    let passed = (0..1000u32)
        .filter(|&n| limiter.allows_ipv4(at(0), n.into()))
        .count();
    assert_eq!(passed, 50);
}

#[test]
fn without_limits_everything_passes() {
    assert_eq!(
        passed(&limiter(None, None, 0), at(0), HERE, 100_000),
        100_000
    );
}

/// A million other destinations do not free one at its limit: the entry that was idle longest makes room.
#[test]
fn a_crowd_frees_few_destinations_and_takes_no_memory() {
    let limiter = limiter(rate(1, 8), None, 1024);
    let places = limiter.places.len();
    assert_eq!(passed(&limiter, at(0), HERE, 100), 8);
    for crowd in 0..1_000_000u32 {
        limiter.allows_ipv4(at(0), Ipv4Addr::from(0x0b00_0000 + crowd));
    }
    assert_eq!(passed(&limiter, at(0), HERE, 100), 0);
    assert_eq!(limiter.places.len(), places);
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the caller's threads share a limiter"
)]
fn threads_share_the_buckets() {
    let limiter = limiter(rate(1, 1000), None, 64);
    let sum: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| passed(&limiter, at(0), HERE, 1000)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(sum, 1000);
}

/// The largest numbers do not wrap around.
#[test]
fn extremes() {
    for (per_second, burst) in [(1, u32::MAX), (u32::MAX, u32::MAX), (u32::MAX, 1), (1, 1)] {
        let limiter = limiter(rate(per_second, burst), rate(per_second, burst), 4);
        let first = passed(&limiter, at(0), HERE, 1000);
        assert_eq!(first, 1000.min(burst as usize), "{per_second} {burst}");
        assert_eq!(passed(&limiter, at(2000), HERE, 1), 1);
    }
}

proptest! {
    /// Over any time, the burst and the rate are the bound.
    #[test]
    fn a_rate_is_never_exceeded(
        per_second in 1..2000u32,
        burst in 1..50u32,
        pauses in prop::collection::vec(0..50u64, 1..300),
    ) {
        let limiter = limiter(rate(per_second, burst), rate(per_second, burst), 4);
        let (mut now, mut passed) = (0, 0);
        for pause in pauses {
            now += pause;
            passed += u64::from(limiter.allows_ipv4(at(now), HERE));
            let most = u64::from(burst) + u64::from(per_second) * now / 1000;
            prop_assert!(passed <= most, "{passed} in {now} ms");
        }
    }
}
