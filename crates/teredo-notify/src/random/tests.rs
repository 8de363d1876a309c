use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{MAX_RANDOM_PORTS, RandomPorts, RandomSnapshot};

proptest! {
    /// A bounded set of ports, in any order of additions.
    #[test]
    fn the_set_is_sorted_bounded_and_without_duplicates(
        added in prop::collection::vec(0..60_u16, 0..200),
    ) {
        let mut ports = RandomPorts::default();
        let mut expected = BTreeSet::new();
        for port in added {
            let fits = port != 0 && (expected.contains(&port) || expected.len() < MAX_RANDOM_PORTS);
            prop_assert_eq!(ports.insert(port), fits);
            if fits {
                expected.insert(port);
            }
            prop_assert!(ports.as_slice().iter().eq(&expected));
            prop_assert_eq!(ports.len(), expected.len());
            let mut same = RandomPorts::default();
            expected.iter().rev().for_each(|port| { same.insert(*port); });
            prop_assert_eq!(ports, same, "equal sets are equal values");
        }
    }
}

/// A reader takes any order and duplicates, but neither port 0 nor more ports than the bound.
#[test]
fn the_json_form_is_a_list() {
    let state: RandomSnapshot =
        serde_json::from_str(r#"{"sequence":3,"ports":[40002,40001,40002]}"#).unwrap();
    assert_eq!(state.ports.as_slice(), [40_001, 40_002]);
    assert_eq!(
        serde_json::to_string(&state).unwrap(),
        r#"{"sequence":3,"ports":[40001,40002]}"#
    );
    let too_many: Vec<u16> = (1..=33).collect();
    for bad in [
        "[0]".to_owned(),
        "[65536]".to_owned(),
        serde_json::to_string(&too_many).unwrap(),
    ] {
        assert!(serde_json::from_str::<RandomPorts>(&bad).is_err(), "{bad}");
    }
}
