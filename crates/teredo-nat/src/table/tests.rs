use proptest::prelude::*;

use super::*;

proptest! {
    /// The list and the tree do the same as a `BTreeMap`.
    #[test]
    fn a_table_is_a_map(steps in prop::collection::vec((0_u8..4, 0_u8..40, 0_u8..40), 1..200)) {
        let mut table = Table::default();
        let mut map = BTreeMap::new();
        for (step, key, other) in steps {
            match step {
                0 | 1 => prop_assert_eq!(table.insert(key, other), map.insert(key, other)),
                2 => prop_assert_eq!(table.remove(&key), map.remove(&key)),
                _ => {
                    table.retain(|found, _| found % 3 != key % 3);
                    map.retain(|found, _| found % 3 != key % 3);
                }
            }
            prop_assert_eq!(table.len(), map.len());
            prop_assert_eq!(table.get(&other), map.get(&other));
            prop_assert_eq!(table.get_mut(&other), map.get_mut(&other));
            prop_assert!(table.iter().eq(map.iter()));
            let (first, last) = (key.min(other), key.max(other));
            prop_assert!(table.range(first, last).eq(map.range(first..=last)));
        }
    }
}

#[test]
fn a_range_from_above_to_below_is_empty() {
    let mut table = Table::default();
    for key in 0..40 {
        table.insert(key, ());
        assert_eq!(table.range(10, 5).count(), 0);
    }
    assert!(matches!(table.0, Entries::Many(_)));
    table.clear();
    assert_eq!(table.len(), 0);
}
