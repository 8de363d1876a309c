use super::*;

fn sample(at: f64, life: u32, memory_kib: f64) -> Sample {
    Sample {
        at,
        life,
        memory_kib,
        threads: 5.0,
        descriptors: 20.0,
        calm: true,
    }
}

#[test]
fn a_leak_is_found_and_a_new_life_is_none() {
    let leak: Vec<Sample> = (0..600)
        .map(|second| sample(f64::from(second), 1, 8_000.0 + 10.0 * f64::from(second)))
        .collect();
    let found = lines("client", &leak);
    let memory = &found[0];
    assert_eq!(memory.quantity, Quantity::Memory);
    assert!((memory.rise - 4_990.0).abs() < 1.0, "{memory:?}");
    assert!(memory.rise > memory.tolerance);
    assert!(found[1..].iter().all(|line| line.rise.abs() < 0.001));

    let lives: Vec<Sample> = (0..600)
        .map(|second| {
            let life = second / 200;
            sample(f64::from(second), life, 8_000.0 + 2_000.0 * f64::from(life))
        })
        .collect();
    assert!(lines("client", &lives)[0].rise.abs() < 0.001);
}

/// The use during a fault, and the warm-up of a life, are no growth.
#[test]
fn only_calm_moments_after_the_warm_up_count() {
    let mut samples: Vec<Sample> = (0..120)
        .map(|second| sample(f64::from(second), 1, 1_000.0 * f64::from(second.min(100))))
        .collect();
    for sample in &mut samples[110..115] {
        sample.memory_kib = 1e6;
        sample.calm = false;
    }
    let found = lines("client", &samples);
    assert!(found[0].rise.abs() < 0.001, "{found:?}");
    assert_eq!(found[0].samples, 15);
    assert!((found[0].most - 1e6).abs() < 0.001);
}

/// A short observation may see some steps of the allocator; a long one, three MiB in an hour.
#[test]
fn the_tolerance_grows_with_the_observed_time() {
    let memory = QUANTITIES[0].1;
    assert!((memory.over(60.0) - 400.0).abs() < 0.001);
    assert!((memory.over(3600.0) - 3072.0).abs() < 0.001);
    let threads = QUANTITIES[1].1;
    assert!((threads.over(60.0) - threads.over(7200.0 / 2.0)).abs() < 0.001);
}

/// An hour in which the client never lived long says nothing about its growth.
#[test]
fn a_program_without_long_lives_is_not_covered() {
    let lives: Vec<Sample> = (0..600)
        .map(|second| sample(f64::from(second), second / 44, 8_000.0))
        .collect();
    let short = covered(&lines("client", &lives), Role::Client);
    assert!(short < COVERED.as_secs_f64(), "{short}");
    let long: Vec<Sample> = (0..600)
        .map(|second| sample(f64::from(second), 1, 8_000.0))
        .collect();
    let long = covered(&lines("client", &long), Role::Client);
    assert!(long >= COVERED.as_secs_f64(), "{long}");
}

#[test]
fn this_process_is_none_of_the_programs() {
    assert!(look(std::process::id()).is_none_or(|_| {
        fs::read_to_string("/proc/self/status").is_ok_and(|text| text.starts_with("Name:\tteredo"))
    }));
    assert!(look(u32::MAX).is_none());
}
