use super::*;

#[test]
fn percentiles_are_those_of_the_nearest_rank() {
    let values = (1..=1000).rev().collect();
    let expected = Distribution {
        count: 1000,
        p50: 500,
        p99: 990,
        p99_9: Some(999),
        max: 1000,
    };
    assert_eq!(Distribution::of(values), Some(expected));
}

#[test]
fn few_values_have_no_thousandth() {
    let distribution = Distribution::of(vec![7]).unwrap();
    assert_eq!((distribution.p50, distribution.p99), (7, 7));
    assert_eq!(distribution.p99_9, None);
    assert_eq!(Distribution::of(Vec::new()), None);
}
