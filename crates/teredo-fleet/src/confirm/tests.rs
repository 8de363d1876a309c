use super::*;

fn state(boot: &str, microseconds: u64) -> Vec<u8> {
    let state = HostState {
        boot: boot.into(),
        time: Duration::from_secs(1_790_000_000),
        uptime: Some(Duration::from_micros(microseconds)),
        sequence: 1,
    };
    Confirmation::of(&state).encode()
}

/// N-16: the port is settled when each perimeter has confirmed it, and not before.
#[test]
fn each_perimeter_has_to_confirm() {
    let names: Vec<HostKey> = ["fw1", "fw2"].map(|name| name.parse().unwrap()).into();
    let mut perimeters = Perimeters::new(String::from("b"), &names);
    let time = Duration::from_micros(1_790_000_000_123_456);
    assert_eq!(perimeters.missing(time).len(), 2);
    perimeters.take("fw1", &state("b", 1_790_000_000_123_456), Instant::now());
    perimeters.take("fw2", &state("b", 1_790_000_000_123_455), Instant::now());
    assert_eq!(perimeters.missing(time), [&names[1]]);
    // A later one confirms all before it; an earlier one takes nothing back.
    perimeters.take("fw2", &state("b", 1_790_000_000_200_000), Instant::now());
    perimeters.take("fw2", &state("b", 1), Instant::now());
    assert!(perimeters.missing(time).is_empty());
}

#[test]
fn other_boots_strangers_and_garbage_confirm_nothing() {
    let mut perimeters = Perimeters::new(String::from("b"), &["fw1".parse().unwrap()]);
    perimeters.take("fw1", &state("a", 5), Instant::now());
    perimeters.take("fw3", &state("b", 5), Instant::now());
    perimeters.take("fw1", b"{", Instant::now());
    perimeters.take(
        "fw1",
        br#"{"schema":"x","boot":"b","sequence":1,"time":"2026-01-01T00:00:00Z"}"#,
        Instant::now(),
    );
    assert_eq!(perimeters.missing(Duration::from_micros(5)).len(), 1);
}

#[test]
fn one_that_has_confirmed_and_is_silent_is_named() {
    let names: Vec<HostKey> = ["fw1", "fw2", "fw3"]
        .map(|name| name.parse().unwrap())
        .into();
    let mut perimeters = Perimeters::new(String::from("b"), &names);
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let limit = Duration::from_secs(75);
    perimeters.take("fw1", &state("b", 5), start);
    perimeters.take("fw2", &state("b", 5), start);
    perimeters.take("fw2", &state("b", 5), at(30));
    assert!(perimeters.silent(start, at(75), limit).is_empty());
    assert_eq!(perimeters.silent(start, at(76), limit), [&names[0]]);
    // Nobody is heard without a connection.
    assert!(perimeters.silent(at(70), at(76), limit).is_empty());
}
