use std::time::Duration;

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
        ..RelayLimits::default()
    };
    RelayLimiter::new(limits, [7; 32])
}

fn rate(per_second: u32, burst: u32) -> Option<Rate> {
    Some(Rate::of(per_second, burst).unwrap())
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(1 << 50) + Duration::from_millis(millis)
}

/// The senders of a crowd, each from another network.
fn sender(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits((number as u32).wrapping_mul(0x9e37_79b1))
}

/// How many of `tries` packets of a crowd pass at once.
fn passed(limiter: &RelayLimiter, now: Instant, to: Ipv4Addr, tries: usize) -> usize {
    (0..tries)
        .filter(|&number| limiter.allows_ipv4(now, sender(number), to))
        .count()
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
    let native = |text: &str| limiter.allows_native(at(0), sender(0), text.parse().unwrap());
    assert_eq!(passed(&limiter, at(0), HERE, 9), 1);
    assert_eq!(passed(&limiter, at(0), other, 9), 1);
    assert!(native("2001:db8::1"));
    assert!(!native("2001:db8::2"), "one network");
    assert!(native("2001:db8:0:1::1"));
}

/// R4380-7.4-01: a sender that floods one destination leaves half of the rate to others, and one that is alone may use
/// nearly all of it.
#[test]
fn a_sender_has_a_share() {
    let limiter = limiter(rate(256, 512), None, 65_536);
    let flood = Ipv4Addr::new(203, 0, 113, 66);
    let (mut of_flood, mut of_others) = (0, 0);
    // 5,000 a second for ten seconds, and 100 a second of others, each from another address.
    for millis in 0..10_000_u64 {
        for _ in 0..5 {
            of_flood += usize::from(limiter.allows_ipv4(at(millis), flood, HERE));
        }
        if millis % 10 == 0 {
            let other = sender(millis as usize);
            of_others += usize::from(limiter.allows_ipv4(at(millis), other, HERE));
        }
    }
    assert_eq!(of_others, 1000);
    assert!((1700..=2560 + 512 - 1000).contains(&of_flood), "{of_flood}");

    // The neighbours of the flood have a share, too, and those of another network all that is left.
    let beside = Ipv4Addr::new(203, 0, 7, 7);
    assert!(limiter.allows_ipv4(at(10_000), beside, HERE));
    // A day later all is forgotten.
    let day = at(86_400_000);
    let alone = (0..5000).filter(|_| limiter.allows_ipv4(day, flood, HERE));
    assert_eq!(alone.count(), 256 + 64);
    assert_eq!(passed(&limiter, day, HERE, 5000), 512 - 256 - 64);
}

/// R4380-7.4-01: neither an address nor a network of senders uses up the half that is for others, and together they get
/// no more than the rate.
#[test]
fn shares_end_at_the_rate() {
    let limiter = limiter(rate(256, 512), None, 65_536);
    let count = |senders: std::ops::Range<u32>| {
        let senders = senders.map(|number| Ipv4Addr::from_bits(0xcb00_0000 + number));
        senders
            .flat_map(|sender| [sender; 100])
            .filter(|&sender| limiter.allows_ipv4(at(0), sender, HERE))
            .count()
    };
    assert_eq!(count(0..1), 100);
    assert_eq!(
        count(0..100),
        156 + 128,
        "the first half, and a /16's share"
    );
    assert_eq!(count(0x1_0000..0x1_0009), 128, "another /16");
    assert_eq!(passed(&limiter, at(0), HERE, 1000), 0);
}

/// Advertisements have a limit of their own, far above what a carrier's NAT causes.
#[test]
fn advertisements_are_limited() {
    let limiter = limiter(rate(1, 1), None, 65_536);
    // 65,000 clients behind one address, each once in 30 s.
    let mut solicitations = (0..65_000_u64).map(|number| at(number * 30_000 / 65_000));
    assert!(solicitations.all(|now| limiter.allows_advertisement(now, HERE)));
    let later = at(100_000);
    let flood = |to| {
        let flood = (0..100_000).filter(|_| limiter.allows_advertisement(later, to));
        flood.count()
    };
    assert_eq!(flood(HERE), 20_000);
    assert_eq!(flood(Ipv4Addr::new(192, 0, 2, 2)), 20_000);
    assert_eq!(
        passed(&limiter, later, HERE, 9),
        1,
        "other packets do not count"
    );
}

#[test]
fn all_together_are_limited() {
    let limiter = limiter(rate(1, 1), rate(10, 50), 4096);
    let passed = (0..1000u32)
        .filter(|&n| limiter.allows_ipv4(at(0), sender(0), n.into()))
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
        limiter.allows_ipv4(at(0), sender(0), Ipv4Addr::from(0x0b00_0000 + crowd));
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
            passed += u64::from(limiter.allows_ipv4(at(now), sender(now as usize), HERE));
            let most = u64::from(burst) + u64::from(per_second) * now / 1000;
            prop_assert!(passed <= most, "{passed} in {now} ms");
        }
    }
}
