use proptest::prelude::*;

use super::*;

/// An entry that counts until then.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Until(u64);

impl Entry for Until {
    fn counts(&self, now: Instant) -> bool {
        self.0 > now.as_nanos()
    }
}

proptest! {
    /// The list forgets only what counts for nothing, whether it becomes an array or not.
    #[test]
    fn places_are_an_array(steps in prop::collection::vec((0..64_usize, 0..40_u64), 1..200)) {
        let mut places = Places::<Until, 64>::default();
        let mut array = [Until::default(); 64];
        for (time, (place, lasting)) in (0_u64..).zip(steps) {
            let now = Instant::from_nanos(time);
            *places.get_mut(now, place) = Until(time + lasting);
            array[place] = Until(time + lasting);
            for (place, expected) in array.iter().enumerate() {
                let found = places.get(place);
                prop_assert!(found == *expected || !found.counts(now) && !expected.counts(now));
            }
        }
    }
}

#[test]
fn a_few_places_take_little_memory_for_ever() {
    let mut places = Places::<Until, 64>::default();
    for time in 0..10_000 {
        let place = time as usize % 64;
        *places.get_mut(Instant::from_nanos(time), place) = Until(time + FEW as u64);
    }
    assert!(matches!(&places, Places::Few(list) if list.len() <= FEW));
}
