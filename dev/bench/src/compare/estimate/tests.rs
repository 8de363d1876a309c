use super::*;

#[test]
fn medians_of_odd_and_even_numbers() {
    assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    assert_eq!(median(&[]), None);
}

#[test]
fn the_interval_holds_the_median_and_follows_the_spread() {
    let narrow: Vec<f64> = (0..20).map(|n| 100.0 + f64::from(n) / 10.0).collect();
    let wide: Vec<f64> = (0..20).map(|n| 100.0 + f64::from(n)).collect();
    let [narrow, wide] = [narrow, wide].map(|values| Estimate::of(&values).unwrap());
    for estimate in [narrow, wide] {
        assert!(estimate.low < estimate.median && estimate.median < estimate.high);
    }
    assert!(wide.high - wide.low > 5.0 * (narrow.high - narrow.low));
    assert_eq!(Estimate::of(&[]), None);
}

/// One run in eleven that went wrong moves nothing.
#[test]
fn an_outlier_does_not_matter() {
    let mut values = vec![10.0; 10];
    values.push(1e9);
    let estimate = Estimate::of(&values).unwrap();
    assert_eq!((estimate.median, estimate.high), (10.0, 10.0));
}
