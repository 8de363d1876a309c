use super::*;

/// Three tries, of which the cluster places two on a server that has died, fit well into the shortest usual lease.
#[test]
fn the_first_tries_are_short_and_the_later_ones_long_enough() {
    let mut patience = Patience::new();
    let tries: Vec<_> = (0..5)
        .map(|_| {
            let time = patience.get();
            patience.missed();
            time.as_millis()
        })
        .collect();
    assert_eq!(tries, [500, 1000, 2000, 4000, 4000]);
    patience.met();
    assert_eq!(patience.get(), SHORTEST);
}
