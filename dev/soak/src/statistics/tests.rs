use super::*;

fn life(from: f64, level: f64, slope: f64) -> Vec<Point> {
    (0..60)
        .map(|second| {
            let at = f64::from(second);
            // A saw tooth, as an allocator's arenas make.
            let noise = f64::from(second % 5) - 2.0;
            Point {
                at: from + at,
                value: level + slope * at + noise,
            }
        })
        .collect()
}

#[test]
fn percentiles_are_of_the_nearest_rank() {
    let values: Vec<u64> = (1..=100).rev().collect();
    assert_eq!(percentile(&values, 0.5), Some(50));
    assert_eq!(percentile(&values, 0.99), Some(99));
    assert_eq!(percentile(&values, 1.0), Some(100));
    assert_eq!(percentile(&[7], 0.5), Some(7));
    assert_eq!(percentile(&[7, 9], 0.99), Some(9));
    assert_eq!(percentile(&[], 0.5), None);
}

#[test]
fn a_leak_shows_across_lives_of_different_levels() {
    let lives = [
        life(0.0, 9_000.0, 2.0),
        life(100.0, 5_000.0, 2.0),
        life(300.0, 7_000.0, 2.0),
    ];
    let growth = growth(&lives).unwrap();
    assert!((growth.slope - 2.0).abs() < 0.05, "{growth:?}");
    assert!((growth.covered - 177.0).abs() < 0.01, "{growth:?}");
    assert!((growth.total() - 354.0).abs() < 10.0, "{growth:?}");
}

/// One line through all points would see a leak here: each life starts higher than the one before it.
#[test]
fn levels_that_differ_are_no_growth() {
    let lives = [
        life(0.0, 1_000.0, 0.0),
        life(100.0, 2_000.0, 0.0),
        life(200.0, 3_000.0, 0.0),
    ];
    let growth = growth(&lives).unwrap();
    assert!(growth.total().abs() < 5.0, "{growth:?}");
}

#[test]
fn too_little_to_say_anything_says_nothing() {
    assert_eq!(growth(&[]), None);
    assert_eq!(growth(&[life(0.0, 1.0, 1.0)[..1].to_vec()]), None);
    let at_once = Point {
        at: 1.0,
        value: 2.0,
    };
    assert_eq!(growth(&[vec![at_once; 5]]), None);
}
