use super::*;

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn measured(samples: &[u64]) -> RoundTrip {
    let mut round_trip = RoundTrip::default();
    for sample in samples {
        round_trip.measure(ms(*sample));
    }
    round_trip
}

fn pauses(is_eager: bool) -> Pauses {
    Pauses {
        is_eager,
        timeout: ms(4_000),
        attempts: 3,
    }
}

/// RFC 6298 §2: the smoothed round trip and its variance.
#[test]
fn the_estimate_is_that_of_rfc_6298() {
    let of = |samples: &[u64]| measured(samples).0.map(|e| (e.smoothed, e.variance));
    assert_eq!(of(&[]), None);
    assert_eq!(of(&[80]), Some((ms(80), ms(10))));
    // (80 × 7 + 160) / 8, (10 × 3 + 80) / 4.
    assert_eq!(
        of(&[80, 160]),
        Some((ms(90), Duration::from_micros(27_500)))
    );
    assert_eq!(measured(&[80, 160]).timeout(), Some(ms(200)));
}

/// A steady path has the least margin, one without a measure no timeout.
#[test]
fn a_timeout_has_a_floor() {
    assert_eq!(measured(&[]).timeout(), None);
    assert_eq!(measured(&[1]).timeout(), Some(ms(21)));
    assert_eq!(measured(&[200; 100]).timeout(), Some(ms(220)));
    assert_eq!(measured(&[1]).way(3, AT_ONCE), Some(LEAST_WAY));
    assert_eq!(measured(&[9_000]).way(3, AT_ONCE), Some(CONTACT_TIMEOUT));
}

/// The times of solicitations without an answer.
fn sent(
    next: impl Fn(Instant, Instant, u32) -> Instant,
    is_over: impl Fn(Instant, Instant, u32) -> bool,
) -> Vec<u128> {
    let since = Instant::default();
    let (mut now, mut attempts, mut sent) = (since, 0, Vec::new());
    while !is_over(now, since, attempts) {
        attempts += 1;
        sent.push((now - since).as_millis());
        now = next(now, since, attempts);
    }
    sent.push((now - since).as_millis());
    sent
}

/// R4380-5.2.1-03: three every 4 s; if the client is eager, more within the same time, by the measure.
#[test]
fn solicitations_are_repeated_until_the_same_end() {
    let times = |is_eager, measured| {
        let pauses = pauses(is_eager);
        sent(
            |now, since, attempts| pauses.next(now, since, attempts, measured),
            |now, since, attempts| pauses.are_over(now, since, attempts),
        )
    };
    assert_eq!(times(false, measured(&[5])), [0, 4_000, 8_000, 12_000]);
    assert_eq!(
        times(true, measured(&[])),
        [0, 70, 210, 490, 1_050, 2_170, 4_410, 8_410, 12_000]
    );
    assert_eq!(
        times(true, measured(&[300; 50])),
        [0, 320, 960, 2_240, 4_800, 8_800, 12_000]
    );
}

/// R4380-5.2.5-06: the first repetition of a refresh is two at once, and then another server may take over.
#[test]
fn a_refresh_is_repeated_at_once() {
    let times = |is_eager, measured| {
        let pauses = pauses(is_eager);
        sent(
            |now, since, attempts| pauses.next_refresh(now, since, attempts, measured),
            |now, since, attempts| pauses.are_over(now, since, attempts),
        )
    };
    assert_eq!(times(false, measured(&[5])), [0, 4_000, 8_000, 12_000]);
    let steady = measured(&[100; 50]);
    assert_eq!(steady.silence(), Some(ms(340)));
    assert_eq!(
        times(true, steady),
        [
            0, 120, 130, 340, 580, 1_060, 2_020, 3_940, 7_780, 11_780, 12_000
        ]
    );
    assert_eq!(times(true, measured(&[]))[..4], [0, 1_000, 1_010, 2_010]);
}
