use super::*;

/// The first numbers of SplitMix64 from state 1234567, as published with the algorithm.
#[test]
fn the_numbers_are_those_of_the_publication() {
    let mut stream = Stream(1_234_567);
    assert_eq!(
        [(); 3].map(|()| stream.next()),
        [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423
        ]
    );
}

#[test]
fn streams_differ_by_seed_and_number() {
    let first = |seed, number| Stream::new(seed, number).next();
    let mut all: Vec<_> = (0..100)
        .flat_map(|seed| (0..100).map(move |number| first(seed, number)))
        .collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 10_000);
}

#[test]
fn neighbouring_streams_have_nothing_to_do_with_each_other() {
    let mut streams: Vec<_> = (0..64).map(|number| Stream::new(1, number)).collect();
    for round in 0..100 {
        let heads = streams.iter_mut().map(|stream| stream.chance(0.5));
        let heads = heads.filter(|head| *head).count();
        assert!((10..54).contains(&heads), "{heads} of 64 in round {round}");
    }
}
